//! `[upstreams.NAME]`: where an application is, and how it is spoken to.

use std::fmt;
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
    /// `grpc`: what becomes of gRPC calls.
    pub calls: Calls,
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
    /// How long one server may take to begin its answer while another can be asked instead.
    pub try_timeout: Option<Duration>,
    /// How often a request that was sent may be sent again.
    pub retries: usize,
    /// Which server comes next.
    pub balance: Balance,
    /// How servers are asked whether they are well.
    pub health: Option<HealthCheck>,
    /// Requests that may be with its servers at once.
    pub in_flight: usize,
    /// Requests that may wait until there are fewer.
    pub pending: usize,
    /// How long one may wait.
    pub pending_timeout: Duration,
    /// How old a connection may become.
    pub connection_age: Duration,
    /// How often a server's name is looked up.
    pub resolve_every: Duration,
}

/// What becomes of gRPC calls to an upstream. They last longer and carry more than other requests, and the caller alone
/// says that a request is one: so the operator says where there are any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Calls {
    /// They are refused.
    #[default]
    Refused,
    /// They are passed on.
    Passed,
}

/// Which server of an upstream comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// Each in its turn.
    #[default]
    RoundRobin,
    /// Of two taken at random, the one with fewer requests in flight.
    LeastRequests,
    /// Always the same for one acting tenant, while it is well.
    Tenant,
}

/// A request that a server in good order answers with a known status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// Its path, perhaps with a query.
    pub path: String,
    /// Time between two.
    pub every: Duration,
    /// Time for one, connection and all; at most `every`.
    pub timeout: Duration,
    /// The status of a good answer.
    pub expect: u16,
    /// Good ones in a row that bring a server back.
    pub healthy: u32,
    /// Bad ones in a row that take it out.
    pub unhealthy: u32,
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

/// As in a `Host` header.
impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Balance {
    /// Every way.
    pub const ALL: [Self; 3] = [Self::RoundRobin, Self::LeastRequests, Self::Tenant];

    /// The word in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::LeastRequests => "least-requests",
            Self::Tenant => "tenant",
        }
    }
}

impl HealthCheck {
    /// Default of `every`.
    pub const EVERY: Duration = Duration::from_secs(5);
    /// Default of `timeout`, if `every` isn't shorter.
    pub const TIMEOUT: Duration = Duration::from_secs(2);
    /// Default of `expect`.
    pub const EXPECT: u16 = 200;
    /// Default of `healthy`.
    pub const HEALTHY: u32 = 2;
    /// Default of `unhealthy`.
    pub const UNHEALTHY: u32 = 3;
}

impl UpstreamConfig {
    /// Most `servers`.
    pub const SERVERS_MAX: usize = 64;
    /// Default of `connect-timeout`.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
    /// Default of `read-timeout`.
    pub const READ_TIMEOUT: Duration = Duration::from_secs(30);
    /// Default of `total-timeout`: long enough for downloads and event streams, short enough to end.
    pub const TOTAL_TIMEOUT: Duration = Duration::from_secs(3600);
    /// Default of `retries`.
    pub const RETRIES: usize = 2;
    /// Default of `limits.in-flight`: half of what the gateway itself takes, so that one application that answers
    /// nobody never takes the others' room.
    pub const IN_FLIGHT: usize = 5_000;
    /// Default of `limits.pending`.
    pub const PENDING: usize = 100;
    /// Default of `limits.pending-timeout`.
    pub const PENDING_TIMEOUT: Duration = Duration::from_secs(1);
    /// Default of `connection-age`.
    pub const CONNECTION_AGE: Duration = Duration::from_secs(300);
    /// Default of `resolve-every`.
    pub const RESOLVE_EVERY: Duration = Duration::from_secs(30);

    /// An upstream of these servers that serves nothing yet, and is otherwise as it comes.
    #[must_use]
    pub fn new(name: Arc<str>, servers: Vec<ServerAddress>) -> Self {
        Self {
            name,
            at: Vec::new(),
            servers,
            protocol: Protocol::default(),
            calls: Calls::default(),
            tls: None,
            strip: None,
            credential: None,
            connect_timeout: Self::CONNECT_TIMEOUT,
            read_timeout: Self::READ_TIMEOUT,
            total_timeout: Self::TOTAL_TIMEOUT,
            try_timeout: None,
            retries: Self::RETRIES,
            balance: Balance::default(),
            health: None,
            in_flight: Self::IN_FLIGHT,
            pending: Self::PENDING,
            pending_timeout: Self::PENDING_TIMEOUT,
            connection_age: Self::CONNECTION_AGE,
            resolve_every: Self::RESOLVE_EVERY,
        }
    }
}
