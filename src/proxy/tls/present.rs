//! Certificates and keys, as bytes, → what handshakes need. Nothing here opens a file. What was made of other bytes shares
//! nothing with what was made before: a session is resumed only under the certificates and the authorities that it began
//! under.

use std::sync::Arc;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::names::Names;
use crate::plumbing::{Presence, Presented};
use crate::request::{ClientCertificate, Timestamp};

/// What is spoken over TLS, the better first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Longest subject that rules are told.
const SUBJECT_MAX_BYTES: usize = 1024;

/// The bytes of a listener's files.
#[derive(Debug)]
pub struct Material {
    /// Each certificate and its key.
    pub pairs: Vec<Pair>,
    /// The authorities of callers' certificates.
    pub clients: Option<(Vec<u8>, Presence)>,
}

/// The bytes of a certificate's files.
#[derive(Debug)]
pub struct Pair {
    /// What it is called.
    pub name: Arc<str>,
    /// PEM: the certificate, and those that lead to an authority.
    pub certificate: Vec<u8>,
    /// PEM: its key.
    pub key: Vec<u8>,
}

/// Which of the files something is wrong with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The certificate with this index.
    Certificate(usize),
    /// The key with this index.
    Key(usize),
    /// The authorities of callers' certificates.
    Authorities,
    /// None in particular.
    All,
}

/// Why files can't be presented.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct Unfit {
    /// Which of them.
    pub part: Part,
    /// What is wrong.
    pub why: String,
}

impl Material {
    /// Tells two states of the files apart.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        let mut add = |bytes: &[u8]| {
            context.update(&(bytes.len() as u64).to_be_bytes());
            context.update(bytes);
        };
        for pair in &self.pairs {
            add(&pair.certificate);
            add(&pair.key);
        }
        if let Some((authorities, presence)) = &self.clients {
            add(if *presence == Presence::Required { b"required" } else { b"optional" });
            add(authorities);
        }
        let mut digest = [0; 32];
        digest.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
        digest
    }

    /// Makes of the files what handshakes need.
    pub fn present(&self) -> Result<Presented, Unfit> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut names: Option<Names> = None;
        let mut ends = Vec::new();
        for (index, pair) in self.pairs.iter().enumerate() {
            let unfit = |why: String| Unfit { part: Part::Certificate(index), why };
            let (key, own) = pair.read(index)?;
            let names = names.get_or_insert_with(|| Names::new(key.clone()));
            for name in &own.names {
                if !names.add(name, &key) {
                    return Err(unfit(format!("`{name}` is a name of another certificate too")));
                }
            }
            ends.push((pair.name.clone(), own.end));
        }
        let all = |why: rustls::Error| Unfit { part: Part::All, why: why.to_string() };
        let names = names.ok_or(Unfit { part: Part::All, why: "there is no certificate".to_owned() })?;
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(all)?;
        let builder = match self.verifier()? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(names));
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        // Sessions are in tickets, which only this configuration can read; nothing is kept here.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(all)?;
        Ok(Presented { digest: self.digest(), config: Arc::new(config), ends })
    }

    fn verifier(&self) -> Result<Option<Arc<dyn ClientCertVerifier>>, Unfit> {
        let Some((authorities, presence)) = &self.clients else { return Ok(None) };
        let unfit = |why: String| Unfit { part: Part::Authorities, why };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(authorities).map_err(unfit)? {
            let added = roots.add(certificate);
            added.map_err(|why| unfit(format!("holds no certificate of an authority: {why}")))?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        if *presence == Presence::Optional {
            builder = builder.allow_unauthenticated();
        }
        builder.build().map(Some).map_err(|why| unfit(why.to_string()))
    }
}

/// What a certificate says of itself.
struct Own {
    names: Vec<String>,
    end: Timestamp,
}

impl Pair {
    fn read(&self, index: usize) -> Result<(Arc<CertifiedKey>, Own), Unfit> {
        let unfit = |part: Part, why: String| Unfit { part, why };
        let chain = certificates(&self.certificate).map_err(|why| unfit(Part::Certificate(index), why))?;
        let own = chain.first().ok_or("holds no certificate".to_owned()).and_then(own);
        let own = own.map_err(|why| unfit(Part::Certificate(index), why))?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            // Not the reason: it might show a piece of the key.
            .map_err(|_| unfit(Part::Key(index), "holds no private key in PEM".to_owned()))?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let key = CertifiedKey::from_der(chain, key, &provider).map_err(|why| {
            let why = match why {
                rustls::Error::InconsistentKeys(_) => "isn't the key of its certificate".to_owned(),
                _ => format!("can't be used: {why}"),
            };
            unfit(Part::Key(index), why)
        })?;
        Ok((Arc::new(key), own))
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err("holds no certificate in PEM".to_owned()),
        Err(why) => Err(format!("holds broken PEM: {why}")),
    }
}

/// What a caller's certificate, whose signatures were checked, says for rules and tokens.
#[must_use]
pub fn describe(certificate: &CertificateDer<'_>) -> ClientCertificate {
    let digest = digest::digest(&digest::SHA256, certificate);
    let read = CertificateInner::<Raw>::from_der(certificate).ok();
    let subject = read.map(|own| own.tbs_certificate().subject().to_string());
    let subject = subject.filter(|text| !text.is_empty() && text.len() <= SUBJECT_MAX_BYTES);
    ClientCertificate {
        subject: subject.map(Into::into),
        thumbprint: Some(URL_SAFE_NO_PAD.encode(digest).into()),
    }
}

fn own(certificate: &CertificateDer<'_>) -> Result<Own, String> {
    // What webpki can't read isn't presented: no client could.
    rustls::server::ParsedCertificate::try_from(certificate).map_err(|why| why.to_string())?;
    let read = CertificateInner::<Raw>::from_der(certificate);
    let read = read.map_err(|why| format!("the certificate can't be read: {why}"))?;
    let said = read.tbs_certificate();
    let alternatives = said.get_extension::<SubjectAltName>().ok().flatten();
    let names = alternatives.map(|(_, SubjectAltName(all))| all).unwrap_or_default();
    let names = names.into_iter().filter_map(|name| match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_owned()),
        _ => None,
    });
    let end = said.validity().not_after.to_unix_duration().as_secs();
    Ok(Own { names: names.collect(), end: Timestamp(end) })
}
