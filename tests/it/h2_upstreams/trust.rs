//! Whom the gateway takes for an upstream, over TLS, and what it shows of itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gatewarden::plumbing::{ClientIdentity, Protocol, UpstreamTls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::process::{FREE_PORTS, Files, Process};
use crate::support::h2_upstream::{H2Upstream, Manner, echo, speaking};
use crate::support::{Client, Gateway, eventually};

/// An authority and what it signs, as files.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, directory }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// A certificate for this name, and its key: `NAME.pem` and `NAME.key`.
    fn sign(&self, name: &str) -> ClientIdentity {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        let file = |ending: &str| self.directory.path().join(format!("{name}.{ending}"));
        fs::write(file("pem"), signed.pem()).unwrap();
        fs::write(file("key"), key.serialize_pem()).unwrap();
        ClientIdentity { certificate: file("pem"), key: file("key") }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        roots
    }
}

/// What a server shows, to whom, and which protocols it speaks.
fn server(shown: &ClientIdentity, clients: Option<&Authority>, speaks: &[&str]) -> Manner {
    let chain = vec![CertificateDer::from_pem_file(&shown.certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(&shown.key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider.clone());
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = match clients {
        None => config.with_no_client_auth(),
        Some(authority) => {
            let roots = Arc::new(authority.roots());
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build().unwrap();
            config.with_client_cert_verifier(verifier)
        }
    };
    let mut config = config.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = speaks.iter().map(|name| name.as_bytes().to_vec()).collect();
    Manner { tls: Some(Arc::new(config)), ..Manner::default() }
}

fn trusting(authorities: &Path, identity: Option<ClientIdentity>, name: Option<&str>) -> UpstreamTls {
    let name = name.map(|name| ServerName::try_from(name.to_owned()).unwrap());
    UpstreamTls::new(Some(authorities.to_owned()), identity, name)
}

fn gateway(upstream: &H2Upstream, protocol: Protocol, tls: UpstreamTls) -> Gateway {
    let setup = Gateway::setup().upstream("app", &[upstream.address]).over_tls();
    setup.alter(speaking(protocol, Some(tls))).start()
}

#[test]
fn a_server_of_ones_own_authority_is_trusted_and_no_other() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let upstream = H2Upstream::start(server(&ours.sign("127.0.0.1"), None, &["h2"]), echo);
    for protocol in [Protocol::Http2, Protocol::Auto] {
        let trusted = gateway(&upstream, protocol, trusting(&ours.file(), None, None));
        let response = trusted.request("GET /app/x", &[]);
        assert_eq!(response.status, 200);
        assert!(response.text().starts_with("GET https://gateway.test/app/x\n"), "{}", response.text());
        let stranger = gateway(&upstream, protocol, trusting(&theirs.file(), None, None));
        assert_eq!(stranger.request("GET /app/x", &[]).status, 503);
        stranger.counts("gatewarden_upstream_connect_failures_total", &["app", "tls", " 1"]);
    }
}

#[test]
fn a_server_is_called_what_its_certificate_says() {
    let ours = Authority::new();
    let upstream = H2Upstream::start(server(&ours.sign("app.internal"), None, &["h2"]), echo);
    let named = gateway(&upstream, Protocol::Http2, trusting(&ours.file(), None, Some("app.internal")));
    assert_eq!(named.request("GET /app/x", &[]).status, 200);
    for other in [None, Some("other.internal")] {
        let wrong = gateway(&upstream, Protocol::Http2, trusting(&ours.file(), None, other));
        assert_eq!(wrong.request("GET /app/x", &[]).status, 503, "{other:?}");
    }
}

#[test]
fn who_asks_for_a_certificate_is_shown_ours() {
    let (ours, clients) = (Authority::new(), Authority::new());
    let upstream = H2Upstream::start(server(&ours.sign("127.0.0.1"), Some(&clients), &["h2"]), echo);
    let shown =
        gateway(&upstream, Protocol::Http2, trusting(&ours.file(), Some(clients.sign("gateway.test")), None));
    assert_eq!(shown.request("GET /app/x", &[]).status, 200);
    for identity in [None, Some(ours.sign("gateway.test"))] {
        let other = gateway(&upstream, Protocol::Http2, trusting(&ours.file(), identity, None));
        assert_eq!(other.request("GET /app/x", &[]).status, 503);
    }
}

#[test]
fn what_is_spoken_is_agreed_on() {
    let ours = Authority::new();
    let own = ours.sign("127.0.0.1");
    let trust = || trusting(&ours.file(), None, None);
    // It would speak HTTP/2, but doesn't agree to it.
    let upstream = H2Upstream::start(server(&own, None, &["http/1.1"]), echo);
    assert_eq!(gateway(&upstream, Protocol::Http2, trust()).request("GET /app/x", &[]).status, 503);
    let upstream = H2Upstream::start(server(&own, None, &[]), echo);
    let silent = gateway(&upstream, Protocol::Http2, trust());
    assert_eq!(silent.request("GET /app/x", &[]).status, 503);
    silent.counts("gatewarden_upstream_connect_failures_total", &["app", "protocol", " 1"]);
    // Where the server may choose, it does.
    let upstream = H2Upstream::start(server(&own, None, &["h2", "http/1.1"]), echo);
    let chosen = gateway(&upstream, Protocol::Auto, trust());
    let mut client = chosen.client();
    for _ in 0..3 {
        assert_eq!(client.request("GET /app/x", &[]).status, 200);
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn an_exchanged_authority_counts_for_connections_that_are_open() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let upstream = H2Upstream::start(server(&ours.sign("127.0.0.1"), None, &["h2"]), echo);
    let gateway = gateway(&upstream, Protocol::Http2, trusting(&ours.file(), None, None));
    assert_eq!(gateway.request("GET /app/x", &[]).status, 200);
    fs::write(ours.file(), theirs.issuer.pem()).unwrap();
    gatewarden::control::upstream_tls::refresh(&gateway.config());
    assert_eq!(gateway.request("GET /app/x", &[]).status, 503);
}

#[test]
fn files_are_read_again_and_a_broken_one_changes_nothing() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let upstream = H2Upstream::start(server(&ours.sign("127.0.0.1"), None, &["h2"]), echo);
    let files = Files::new(upstream.address, FREE_PORTS);
    let text = fs::read_to_string(files.path("gateway.toml")).unwrap().replace("http://127", "https://127");
    files.write("gateway.toml", &format!("{text}protocol = \"h2\"\ntls = {{ ca = \"trust/ca.pem\" }}\n"));
    let (code, _, stderr) = files.ended(&[]);
    assert_eq!(code, 4, "{stderr}");
    for part in ["upstream `desk`", "trust/ca.pem`"] {
        assert!(stderr.contains(part), "{part} not in\n{stderr}");
    }

    fs::create_dir(files.path("trust")).unwrap();
    files.write("trust/ca.pem", &ours.issuer.pem());
    let process = Process::start(files);
    let status = || Client::connect(process.address("callers")).request("GET /desk/open", &[]).status;
    assert_eq!(status(), 200);
    process.files.write("trust/ca.pem", "nothing");
    process.signal("HUP");
    process.until("rules rejected");
    assert_eq!(status(), 200);
    process.files.write("trust/ca.pem", &theirs.issuer.pem());
    process.signal("HUP");
    eventually("the other authority counts", || status() == 503);
    process.files.write("trust/ca.pem", &ours.issuer.pem());
    process.signal("HUP");
    eventually("the first counts again", || status() == 200);
}
