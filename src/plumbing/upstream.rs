//! `[upstreams.NAME]`: where an application is, and how it is spoken to.

use std::sync::Arc;
use std::time::Duration;

use super::{Credential, Protocol, UpstreamTls};

/// One application behind the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// The name in the configuration.
    pub name: Arc<str>,
    /// The places that it serves; at least one.
    pub at: Vec<Place>,
    /// Its servers; at least one.
    pub servers: Vec<ServerAddress>,
    /// `protocol`: what is spoken to them.
    pub protocol: Protocol,
    /// `tls`: whom the gateway takes for them; the machine's authorities and their own hosts' names if nothing is said.
    pub tls: Option<UpstreamTls>,
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

impl UpstreamConfig {
    /// Default of `connect-timeout`.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
    /// Default of `read-timeout`.
    pub const READ_TIMEOUT: Duration = Duration::from_secs(30);
    /// Default of `total-timeout`: long enough for downloads and event streams, short enough to end.
    pub const TOTAL_TIMEOUT: Duration = Duration::from_secs(3600);
}
