//! `gateway.toml` as plain values: listeners, issuers, upstreams, limits, and every default, in one place.
//!
//! How the file is read, and what is a mistake in it, is `config::gateway`'s. Nothing here opens a file or a socket:
//! a path is kept as the operator wrote it, already joined to the directory of `gateway.toml`.

mod credential;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::token::IssuerKind;

pub use credential::{Credential, CredentialSource, NoSecret, SECRET_MAX_BYTES, examine};

/// Everything that `gateway.toml` says, defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayConfig {
    /// `[listen]`: where requests arrive.
    pub listen: ListenConfig,
    /// `[admin] address`: operators' endpoints; always a loopback address.
    pub admin: SocketAddr,
    /// `[metrics] address`: a listener for scrapers and probes alone, if there is one.
    pub metrics: Option<SocketAddr>,
    /// `rules`: the directory of rule files.
    pub rules: PathBuf,
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
}

/// Where requests arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenConfig {
    /// The address; port 0 takes any free port.
    pub address: SocketAddr,
    /// How many runtimes share it; `None` is one per core.
    pub workers: Option<usize>,
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

/// One application behind the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// The name in the configuration.
    pub name: Arc<str>,
    /// The places that it serves; at least one.
    pub at: Vec<Place>,
    /// Its servers; at least one.
    pub servers: Vec<ServerAddress>,
    /// A path prefix that is cut off before forwarding: starts with `/`, doesn't end in one.
    pub strip: Option<String>,
    /// What look-ups authenticate with.
    pub credential: Option<Credential>,
    /// How long a connection may take to come up.
    pub connect_timeout: Duration,
    /// How long the first byte of an answer, and each next one, may take.
    pub read_timeout: Duration,
    /// How long the whole exchange may take.
    pub total_timeout: Duration,
}

/// Part of the address space of requests: a path prefix at a segment boundary, perhaps on one host alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The host in lower case; `None` is any.
    pub host: Option<String>,
    /// The prefix: `/`, or starts with `/` and doesn't end in one.
    pub prefix: String,
}

/// One server of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerAddress {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// Name or address; an IPv6 address without its brackets.
    pub host: String,
    /// The port, the scheme's own if none was given.
    pub port: u16,
}

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
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

/// What bounds every request and connection. No limit is optional.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open client connections.
    pub connections: usize,
    /// Open client connections of one address.
    pub connections_per_client: usize,
    /// Requests in flight.
    pub requests: usize,
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// Header lines of a request.
    pub headers: usize,
    /// Bytes of a request's body.
    pub body_bytes: u64,
    /// Bytes of a request's body that a rule reads.
    pub rule_body_bytes: u64,
    /// Time for a request's head to arrive.
    pub head_timeout: Duration,
    /// Time for the next piece of a request's body to arrive.
    pub body_timeout: Duration,
    /// Time that a connection may stay without a request.
    pub idle_timeout: Duration,
    /// Concurrent streams of an HTTP/2 connection.
    pub h2_streams: u32,
    /// Requests of one connection before it is closed.
    pub requests_per_connection: u64,
    /// Bytes of an upstream's response head.
    pub upstream_head_bytes: usize,
    /// Idle connections kept per server and worker.
    pub upstream_idle_connections: usize,
    /// Time that an idle upstream connection is kept.
    pub upstream_idle_timeout: Duration,
    /// Verified tokens that are remembered, per worker.
    pub cached_tokens: usize,
    /// Open sockets: WebSockets, and Socket.IO sessions over whatever transport.
    pub sockets: usize,
    /// Bytes of one message of a client on a socket.
    pub socket_message_bytes: usize,
    /// Packets of a client on a socket, per second and kept up.
    pub socket_packets_per_second: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_client: 200,
            requests: 10_000,
            head_bytes: 32 * KIB,
            headers: 100,
            body_bytes: 10 * 1024 * 1024,
            rule_body_bytes: 64 * 1024,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            h2_streams: 100,
            requests_per_connection: 10_000,
            upstream_head_bytes: 64 * KIB,
            upstream_idle_connections: 64,
            upstream_idle_timeout: Duration::from_secs(30),
            cached_tokens: 10_000,
            sockets: 10_000,
            socket_message_bytes: 1024 * KIB,
            socket_packets_per_second: 100,
        }
    }
}

impl UpstreamConfig {
    /// Default of `connect-timeout`.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
    /// Default of `read-timeout`.
    pub const READ_TIMEOUT: Duration = Duration::from_secs(30);
    /// Default of `total-timeout`: long enough for downloads and event streams, short enough to end.
    pub const TOTAL_TIMEOUT: Duration = Duration::from_secs(3600);
}

/// Default of `[listen] address`: this machine alone, so that a first try is open to nobody else.
pub const LISTEN_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
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

const KIB: usize = 1024;
