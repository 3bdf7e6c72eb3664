//! What is spoken to an upstream's servers, and `[upstreams.NAME] tls`: whom the gateway takes for them, and what it shows
//! of itself. The files are read elsewhere, again and again, and what came of them is put here for whoever connects.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

/// What is spoken to the servers of an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: over TLS where the server agrees to it, else without asking first.
    Http2,
    /// What the server prefers, over TLS.
    Auto,
}

/// TLS towards the servers of an upstream. Copies share what they hold.
#[derive(Clone)]
pub struct UpstreamTls {
    /// Authorities that count in place of the machine's.
    pub authorities: Option<PathBuf>,
    /// What the gateway shows of itself.
    pub identity: Option<ClientIdentity>,
    /// The name that a server's certificate must have, in place of its host's.
    pub server_name: Option<ServerName<'static>>,
    held: Arc<ArcSwapOption<Trusted>>,
}

/// A certificate of the gateway's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The certificate, and after it those that lead to an authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// What was made of the files.
#[derive(Debug)]
pub struct Trusted {
    /// Of everything that it was made from: a connection that was opened by other files isn't used.
    pub digest: [u8; 32],
    /// What handshakes need.
    pub config: Arc<ClientConfig>,
}

impl UpstreamTls {
    /// With these files, and nothing read yet.
    #[must_use]
    pub fn new(
        authorities: Option<PathBuf>,
        identity: Option<ClientIdentity>,
        server_name: Option<ServerName<'static>>,
    ) -> Self {
        Self { authorities, identity, server_name, held: Arc::default() }
    }

    /// Takes what was made of the files: the next handshake uses it.
    pub fn hold(&self, trusted: Trusted) {
        self.held.store(Some(Arc::new(trusted)));
    }

    /// What was made of the files last; none before they were read.
    #[must_use]
    pub fn held(&self) -> Option<Arc<Trusted>> {
        self.held.load_full()
    }

    /// What tells it from other readings of other files; nothing before they were read.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.held.load().as_ref().map_or([0; 32], |held| held.digest)
    }
}

/// Two are equal when they come from the same files: what stands in them may change at any time.
impl PartialEq for UpstreamTls {
    fn eq(&self, other: &Self) -> bool {
        self.authorities == other.authorities
            && self.identity == other.identity
            && self.server_name == other.server_name
    }
}

impl Eq for UpstreamTls {}

impl fmt::Debug for UpstreamTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamTls")
            .field("authorities", &self.authorities)
            .field("identity", &self.identity)
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}
