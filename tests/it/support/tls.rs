//! An authority for certificates, and clients that trust it.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use gatewarden::plumbing::{CertificateFiles, ClientTrust, Presence, TlsConfig};
use gatewarden::proxy::tls::present::{Material, Pair};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

use super::{Client, PATIENCE};

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Whoever signs the tests' certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Authority");
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate with these names, changed as the test wants it.
    pub(crate) fn issue_as(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    pub(crate) fn issue(&self, names: &[&str]) -> Identity {
        self.issue_as(names, |_| {})
    }

    /// What a gateway holds that presents these.
    pub(crate) fn presenting(&self, own: &[&Identity], clients: Option<Presence>) -> TlsConfig {
        let files =
            |name: &str| CertificateFiles { name: name.into(), certificate: name.into(), key: name.into() };
        let names: Vec<_> = (0..own.len()).map(|number| number.to_string()).collect();
        let trust = clients.map(|presence| ClientTrust { authorities: "ca".into(), presence });
        let config = TlsConfig::new(names.iter().map(|name| files(name)).collect(), trust);
        let pair = |(own, name): (&&Identity, &String)| Pair {
            name: name.as_str().into(),
            certificate: own.certificate.clone().into_bytes(),
            key: own.key.clone().into_bytes(),
        };
        let clients = clients.map(|presence| (self.pem.clone().into_bytes(), presence));
        config
            .hold(Material { pairs: own.iter().zip(&names).map(pair).collect(), clients }.present().unwrap());
        config
    }

    /// A client that trusts it.
    pub(crate) fn client(&self) -> Caller {
        Caller {
            authority: self.pem.clone(),
            versions: rustls::ALL_VERSIONS.to_vec(),
            alpn: &[b"http/1.1"],
            own: None,
        }
    }
}

/// How a client shakes hands.
#[derive(Clone)]
pub(crate) struct Caller {
    authority: String,
    pub(crate) versions: Vec<&'static SupportedProtocolVersion>,
    pub(crate) alpn: &'static [&'static [u8]],
    pub(crate) own: Option<Identity>,
}

/// A client's stream over TLS.
pub(crate) type Secured = StreamOwned<ClientConnection, TcpStream>;

impl Caller {
    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match &self.own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let chain = CertificateDer::pem_slice_iter(own.certificate.as_bytes()).map(Result::unwrap);
                let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain.collect(), key).unwrap()
            }
        };
        config.alpn_protocols = self.alpn.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }

    /// A connection that has shaken hands, or why not.
    pub(crate) fn connect(&self, address: SocketAddr, name: &str) -> std::io::Result<Client<Secured>> {
        connect(self.config(), address, name)
    }
}

/// The same with a configuration that remembers sessions.
pub(crate) fn connect(
    config: Arc<ClientConfig>,
    address: SocketAddr,
    name: &str,
) -> std::io::Result<Client<Secured>> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut session = ClientConnection::new(config, name).unwrap();
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    while session.is_handshaking() {
        session.complete_io(&mut stream)?;
    }
    while session.wants_write() {
        session.write_tls(&mut stream)?;
    }
    Ok(Client::over(StreamOwned::new(session, stream)))
}

impl Client<Secured> {
    /// The names of the certificate that was presented: its bytes are searched for them.
    pub(crate) fn was_presented(&self, name: &str) -> bool {
        let chain = self.stream.conn.peer_certificates().unwrap();
        chain[0].windows(name.len()).any(|bytes| bytes == name.as_bytes())
    }
}
