//! `gateway.toml` as plain values: listeners, issuers, upstreams, limits, and every default, in one place.
//!
//! How the file is read, and what is a mistake in it, is `config::gateway`'s. Nothing here opens a file or a socket:
//! a path is kept as the operator wrote it, already joined to the directory of `gateway.toml`.

mod candidate;
mod credential;
mod decisions;
mod limits;
mod listen;
mod tls;
mod upstream;
mod upstream_tls;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::token::IssuerKind;

pub use candidate::{CANDIDATE_DIRECTORY, CandidateConfig};
pub use credential::{Credential, CredentialSource, NoSecret, SECRET_MAX_BYTES, examine};
pub use decisions::{Chain, DecisionsConfig, Mask, Rotate, Sink, Subject, Written};
pub use limits::Limits;
pub use listen::{LISTEN_ADDRESS, ListenConfig};
pub use tls::{CertificateFiles, ClientTrust, Presence, Presented, TlsConfig};
pub use upstream::{Balance, Calls, HealthCheck, Place, Scheme, ServerAddress, UpstreamConfig};
pub use upstream_tls::{ClientIdentity, Protocol, Trusted, UpstreamTls};

/// Everything that `gateway.toml` says, defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayConfig {
    /// The directory that the file stands in: what it names is relative to it.
    pub directory: PathBuf,
    /// `[listen]`: where requests arrive.
    pub listen: ListenConfig,
    /// `[admin] address`: operators' endpoints; always a loopback address.
    pub admin: SocketAddr,
    /// `[metrics] address`: a listener for scrapers and probes alone, if there is one.
    pub metrics: Option<SocketAddr>,
    /// `rules`: the directory of rule files.
    pub rules: PathBuf,
    /// `[candidate]`: rules that are tried out.
    pub candidate: CandidateConfig,
    /// `[issuers.NAME]`, in the order of their names.
    pub issuers: Vec<IssuerConfig>,
    /// `[upstreams.NAME]`, in the order of their names.
    pub upstreams: Vec<UpstreamConfig>,
    /// `[limits]`.
    pub limits: Limits,
    /// `trusted-proxies`: peers whose `X-Forwarded-*` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// `drain-delay`: how long callers are still let in after a stop signal, while `/readyz` says that they shouldn't be
    /// sent here any more.
    pub drain_delay: Duration,
    /// `drain`: how long requests in flight may take to end after that.
    pub drain: Duration,
    /// `[telemetry] log`.
    pub log: LogFormat,
    /// `[ledger] file`: where who has a seat is kept over a restart; `None` keeps it in memory only.
    pub ledger: Option<PathBuf>,
    /// `[decisions]`.
    pub decisions: DecisionsConfig,
}

/// Who signs tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerConfig {
    /// The name in the configuration.
    pub name: Arc<str>,
    /// What kind of identity provider it is.
    pub kind: IssuerKind,
    /// The expected `iss`; for Entra a template with `{tenantid}`.
    pub issuer: String,
    /// Accepted audiences; at least one.
    pub audience: Vec<String>,
    /// Accepted signature algorithms by their JOSE names; at least one.
    pub algorithms: Vec<String>,
    /// Where its keys come from.
    pub keys: KeySource,
    /// How far clocks may differ.
    pub leeway: Duration,
}

/// Where an issuer's keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// The OpenID Connect discovery document, whose `jwks_uri` is then asked.
    Metadata(String),
    /// A key set at a URL.
    Url(String),
    /// A key set in a file.
    File(PathBuf),
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Default of `[admin] address`.
pub const ADMIN_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9901);
/// Default of `rules`.
pub const RULES_DIRECTORY: &str = "rules";
/// Default of `drain`.
pub const DRAIN: Duration = Duration::from_secs(30);
/// Default of an issuer's `leeway`.
pub const LEEWAY: Duration = Duration::from_secs(30);
/// Longest `leeway`.
pub const LEEWAY_MAX: Duration = Duration::from_secs(300);
/// The `iss` template of Entra's shared endpoints.
pub const ENTRA_ISSUER: &str = "https://login.microsoftonline.com/{tenantid}/v2.0";
/// Entra's shared discovery document.
pub const ENTRA_METADATA: &str =
    "https://login.microsoftonline.com/common/v2.0/.well-known/openid-configuration";
