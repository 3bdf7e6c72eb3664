//! Reads the files of TLS towards upstreams: whose certificates count, and the gateway's own. When it starts, when it
//! reloads, and whenever the files are looked at: an exchanged certificate is used by the next connection, without a
//! reload. What can't be used refuses a new set; the live one keeps what it read last.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::provision;
use crate::config::diagnostic::code;
use crate::config::{Diagnostic, Diagnostics, FileKind, Sources, gateway};
use crate::plumbing::{GatewayConfig, Trusted, UpstreamTls};
use crate::upstream::machine_roots;

/// Longest file: a bundle of every public authority is a quarter of it.
const FILE_MAX_BYTES: u64 = 1 << 20;

/// Reads the files of a set that is about to be live.
pub fn read_all(config: &GatewayConfig, sources: &Sources) -> Result<(), Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    for (upstream, tls) in with_tls(config) {
        match made(tls) {
            Ok(trusted) => tls.hold(trusted),
            Err(why) => {
                let message = format!("TLS to upstream `{upstream}` can't be set up: {why}");
                let diagnostic = Diagnostic::error(code::UNREADABLE, &message);
                diagnostics.push(match provision::place(sources, upstream, "tls", &message) {
                    Some(span) => diagnostic.at(span, ""),
                    None => diagnostic,
                });
            }
        }
    }
    if diagnostics.errors() == 0 { Ok(()) } else { Err(diagnostics) }
}

/// Reads the files of the live set again.
pub fn refresh(config: &GatewayConfig) {
    for (_, tls) in with_tls(config) {
        // What stands in the way is told where the set as a whole is judged again.
        if let Ok(trusted) = made(tls)
            && trusted.digest != tls.digest()
        {
            tls.hold(trusted);
        }
    }
}

/// What can't be used of the files that a set names: nothing where all is well. Two looks at the same files differ in it
/// when one breaks or is mended, though nothing else has changed.
#[must_use]
pub fn unreadable(sources: &Sources) -> String {
    let mut files = sources.files.iter().zip(0u32..);
    let Some((file, index)) = files.find(|(file, _)| file.kind == FileKind::Gateway) else {
        return String::new();
    };
    let config = gateway::read(index, file, &mut Diagnostics::default());
    let broken = with_tls(&config).filter_map(|(upstream, tls)| Some((upstream, made(tls).err()?)));
    broken.map(|(upstream, why)| format!(" -{upstream}: {why}")).collect()
}

fn with_tls(config: &GatewayConfig) -> impl Iterator<Item = (&str, &UpstreamTls)> {
    config.upstreams.iter().filter_map(|own| Some((&*own.name, own.tls.as_ref()?)))
}

fn made(tls: &UpstreamTls) -> Result<Trusted, String> {
    let mut seen = digest::Context::new(&digest::SHA256);
    seen.update(format!("{:?}", tls.server_name).as_bytes());
    let mut read = |path: &Path| {
        let bytes = read_file(path).map_err(|why| format!("file `{}`: {why}", path.display()))?;
        seen.update(&(bytes.len() as u64).to_be_bytes());
        seen.update(&bytes);
        Ok::<_, String>(bytes)
    };
    let roots = match &tls.authorities {
        None => machines().clone(),
        Some(path) => roots(&read(path)?).map_err(|why| format!("file `{}`: {why}", path.display()))?,
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|why| why.to_string())?
        .with_root_certificates(roots);
    let config = match &tls.identity {
        None => config.with_no_client_auth(),
        Some(own) => {
            let (shown, secret) = (own.certificate.display(), own.key.display());
            let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(&own.certificate)?).collect();
            let chain = chain.map_err(|why| format!("file `{shown}`: {why}"))?;
            if chain.is_empty() {
                return Err(format!("file `{shown}`: it holds no certificate"));
            }
            let key = PrivateKeyDer::from_pem_slice(&read(&own.key)?)
                .map_err(|why| format!("file `{secret}`: {why}"))?;
            let fits = config.with_client_auth_cert(chain, key);
            fits.map_err(|why| format!("files `{shown}` and `{secret}`: {why}"))?
        }
    };
    let mut digest = [0; 32];
    digest.copy_from_slice(seen.finish().as_ref());
    Ok(Trusted { digest, config: Arc::new(config) })
}

/// Every certificate of a bundle; one that can't be used is a mistake, not left out.
fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(|why| why.to_string())?).map_err(|why| why.to_string())?;
    }
    if roots.is_empty() { Err("it holds no certificate".into()) } else { Ok(roots) }
}

/// The machine's authorities, read once.
fn machines() -> &'static RootCertStore {
    static ROOTS: OnceLock<RootCertStore> = OnceLock::new();
    ROOTS.get_or_init(machine_roots)
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    file.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_MAX_BYTES {
        return Err(io::Error::other("it is longer than 1 MiB"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    use super::*;
    use crate::config::SourceFile;

    fn sources(directory: &Path, tls: &str) -> Sources {
        let text =
            format!("[upstreams.desk]\nat = [\"/\"]\nservers = [\"https://127.0.0.1:1\"]\ntls = {tls}\n");
        let path = directory.join("gateway.toml").to_string_lossy().into();
        Sources { files: vec![SourceFile { kind: FileKind::Gateway, path, text }], ..Sources::default() }
    }

    fn config(sources: &Sources) -> GatewayConfig {
        let mut diagnostics = Diagnostics::default();
        let config = gateway::read(0, &sources.files[0], &mut diagnostics);
        assert_eq!(diagnostics.errors(), 0, "{diagnostics:?}");
        config
    }

    fn authority() -> (String, String) {
        let mut params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn files_are_read_and_a_broken_one_leaves_the_last_in_place() {
        let directory = tempfile::tempdir().unwrap();
        let sources = sources(directory.path(), "{ ca = \"ca.pem\" }");
        let config = config(&sources);
        let why = read_all(&config, &sources).unwrap_err().first_line(&[]);
        assert!(why.contains("upstream `desk`") && why.contains("ca.pem`: No such file"), "{why}");
        assert!(unreadable(&sources).contains("desk"));

        let file = directory.path().join("ca.pem");
        fs::write(&file, authority().0).unwrap();
        read_all(&config, &sources).unwrap();
        let first = config.upstreams[0].tls.as_ref().unwrap().digest();
        assert_ne!(first, [0; 32]);
        assert_eq!(unreadable(&sources), "");

        fs::write(&file, "nothing").unwrap();
        refresh(&config);
        assert_eq!(config.upstreams[0].tls.as_ref().unwrap().digest(), first);
        assert!(unreadable(&sources).contains("no certificate"));

        fs::write(&file, authority().0).unwrap();
        refresh(&config);
        assert_ne!(config.upstreams[0].tls.as_ref().unwrap().digest(), first);
    }

    #[test]
    fn a_certificate_has_its_own_key() {
        let directory = tempfile::tempdir().unwrap();
        let sources = sources(directory.path(), "{ certificate = \"own.pem\", key = \"own.key\" }");
        let ((certificate, key), (_, other)) = (authority(), authority());
        fs::write(directory.path().join("own.pem"), certificate).unwrap();
        fs::write(directory.path().join("own.key"), other).unwrap();
        let why = read_all(&config(&sources), &sources).unwrap_err().first_line(&[]);
        assert!(why.contains("own.key"), "{why}");
        fs::write(directory.path().join("own.key"), key).unwrap();
        read_all(&config(&sources), &sources).unwrap();
    }
}
