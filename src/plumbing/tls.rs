//! `[listen] tls`: which certificates are presented to callers, and whose certificates callers may present. The files are
//! read elsewhere, again and again, and what came of them is put here for whoever shakes hands.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::ServerConfig;

use crate::request::Timestamp;

/// TLS towards callers. Copies share what they hold.
#[derive(Clone)]
pub struct TlsConfig {
    /// The certificates; the first is presented to whoever asks for no name, or for one that none has.
    pub certificates: Vec<CertificateFiles>,
    /// `clients`: what callers may, or must, present.
    pub clients: Option<ClientTrust>,
    held: Arc<ArcSwapOption<Presented>>,
}

/// A certificate's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// What it is called in metrics and messages: the file's name as the operator wrote it.
    pub name: Arc<str>,
    /// The certificate, and after it those that lead to an authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// Which certificates of callers count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTrust {
    /// The authorities' certificates.
    pub authorities: PathBuf,
    /// Whether a caller without one is turned away.
    pub presence: Presence,
}

/// Whether something must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It must.
    Required,
    /// It may be left out.
    Optional,
}

/// What was made of the files.
#[derive(Debug)]
pub struct Presented {
    /// Of everything that it was made from.
    pub digest: [u8; 32],
    /// What handshakes need.
    pub config: Arc<ServerConfig>,
    /// When each certificate ends.
    pub ends: Vec<(Arc<str>, Timestamp)>,
}

impl TlsConfig {
    /// With these files, and nothing read yet.
    #[must_use]
    pub fn new(certificates: Vec<CertificateFiles>, clients: Option<ClientTrust>) -> Self {
        Self { certificates, clients, held: Arc::default() }
    }

    /// Takes what was made of the files: the next handshake uses it.
    pub fn hold(&self, presented: Presented) {
        self.held.store(Some(Arc::new(presented)));
    }

    /// What was made of the files last; none before they were read.
    #[must_use]
    pub fn held(&self) -> Option<Arc<Presented>> {
        self.held.load_full()
    }
}

/// Two are equal when they come from the same files: what stands in them may change at any time.
impl PartialEq for TlsConfig {
    fn eq(&self, other: &Self) -> bool {
        self.certificates == other.certificates && self.clients == other.clients
    }
}

impl Eq for TlsConfig {}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfig")
            .field("certificates", &self.certificates)
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}
