//! Connections to the applications: which servers there are, which failed lately, and one exchange with one of them.
//!
//! A set of upstreams is built from plain configuration and replaced as a whole when that changes; a server that stays
//! keeps its health and its idle connections. Idle connections belong to the thread that opened them (`pool`), so
//! that no request waits for a lock. What may be sent, and to which upstream, was decided before.

mod answer;
mod connect;
mod connection;
mod exchange;
mod line;
mod measure;
mod opening;
mod outgoing;
mod pipe;
mod pool;
mod switch;
mod upload;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use self::connect::Link;
use crate::balance;
use crate::plumbing::{Credential, Limits, Protocol, ServerAddress, UpstreamConfig};

pub use answer::Answer;
pub use connect::{Obstacle, machine_roots};
pub use exchange::Failure;
pub use measure::Measure;
pub use outgoing::{BodyFault, BodyLimits, Outgoing};
pub use pipe::Pipe;
pub use pool::sweep;
pub use switch::{Open, Switched};

/// How long a server that couldn't be reached is tried last, for each failure in a row.
const AVOID_STEP: Duration = Duration::from_secs(1);
/// The longest such time.
const AVOID_MAX: Duration = Duration::from_secs(10);
/// Look-ups that one upstream is asked at once.
const LOOKUPS_MAX: usize = 64;

/// The upstreams of one configuration, in its order.
#[derive(Debug, Default)]
pub struct Upstreams {
    list: Vec<Arc<Upstream>>,
}

impl Upstreams {
    /// Builds the set for `configs`; servers that `previous` had too keep their health and connections.
    #[must_use]
    pub fn build<'c>(
        configs: impl Iterator<Item = &'c UpstreamConfig>,
        limits: &Limits,
        previous: Option<&Self>,
    ) -> Self {
        let known = |address: &ServerAddress| {
            let all = previous.into_iter().flat_map(|set| &set.list).flat_map(|upstream| &upstream.servers);
            all.into_iter().find(|server| server.address == *address).cloned()
        };
        let turns = |name: &str| {
            let known = previous.into_iter().flat_map(|set| &set.list).find(|own| *own.name == *name);
            known.map_or_else(|| Arc::new(Semaphore::new(LOOKUPS_MAX)), |own| own.asking.clone())
        };
        let list = configs.map(|config| {
            let servers = config.servers.iter();
            let servers =
                servers.map(|address| known(address).unwrap_or_else(|| Server::new(address.clone())));
            Arc::new(Upstream {
                name: config.name.clone(),
                servers: servers.collect(),
                turn: AtomicUsize::new(0),
                credential: config.credential.clone(),
                asking: turns(&config.name),
                link: Link {
                    protocol: config.protocol,
                    tls: config.tls.clone(),
                    timeout: config.connect_timeout,
                    head_bytes: limits.upstream_head_bytes,
                },
                read_timeout: config.read_timeout,
                total_timeout: config.total_timeout,
                idle_connections: limits.upstream_idle_connections,
            })
        });
        Self { list: list.collect() }
    }

    /// The upstream with this index in the configuration.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&Arc<Upstream>> {
        self.list.get(index)
    }

    /// Every upstream.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.list.iter()
    }
}

/// One application, behind one or more servers.
#[derive(Debug)]
pub struct Upstream {
    name: Arc<str>,
    servers: Vec<Arc<Server>>,
    turn: AtomicUsize,
    credential: Option<Credential>,
    asking: Arc<Semaphore>,
    link: Link,
    read_timeout: Duration,
    total_timeout: Duration,
    idle_connections: usize,
}

impl Upstream {
    /// The name in the configuration.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its servers.
    #[must_use]
    pub fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }

    /// What the gateway shows it when it asks on its own account.
    #[must_use]
    pub fn credential(&self) -> Option<&Credential> {
        self.credential.as_ref()
    }

    /// What is spoken to its servers.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.link.protocol
    }

    /// How long an exchange with it may take.
    #[must_use]
    pub fn total_timeout(&self) -> Duration {
        self.total_timeout
    }

    /// Turns to ask it something: what rules want to know never takes all that it can bear.
    #[must_use]
    pub fn asking(&self) -> &Semaphore {
        &self.asking
    }

    /// The servers in the order in which this request should try them.
    fn order(&self) -> impl Iterator<Item = &Arc<Server>> {
        let (turn, down) = match self.servers.len() {
            1 => (0, 0),
            _ => (self.turn.fetch_add(1, Ordering::Relaxed), self.down()),
        };
        balance::order(self.servers.len(), turn, down).filter_map(|index| self.servers.get(index))
    }

    fn down(&self) -> u64 {
        let now = Instant::now();
        let marks = self.servers.iter().take(balance::MARKS).enumerate();
        marks.filter(|(_, server)| server.is_avoided(now)).fold(0, |down, (index, _)| down | 1 << index)
    }
}

/// One server, with what is known of it across requests.
#[derive(Debug)]
pub struct Server {
    /// Names its idle connections; never used again for another server.
    id: u64,
    address: ServerAddress,
    ip: Option<IpAddr>,
    born: Instant,
    avoid_until_ms: AtomicU64,
    failures_in_row: AtomicU32,
    failures: AtomicU64,
    in_flight: AtomicUsize,
}

impl Server {
    fn new(address: ServerAddress) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            ip: address.host.parse().ok(),
            address,
            born: Instant::now(),
            avoid_until_ms: AtomicU64::new(0),
            failures_in_row: AtomicU32::new(0),
            failures: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> &ServerAddress {
        &self.address
    }

    /// Requests that it hasn't answered to the end.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// How often it couldn't be reached.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Whether it failed so lately that others are tried before it.
    #[must_use]
    pub fn is_avoided(&self, now: Instant) -> bool {
        self.avoid_until_ms.load(Ordering::Relaxed) > self.age_ms(now)
    }

    fn reached(&self) {
        if self.failures_in_row.load(Ordering::Relaxed) != 0 {
            self.failures_in_row.store(0, Ordering::Relaxed);
            self.avoid_until_ms.store(0, Ordering::Relaxed);
        }
    }

    fn not_reached(&self, now: Instant) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let row = self.failures_in_row.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let pause = AVOID_STEP.saturating_mul(row).min(AVOID_MAX);
        self.avoid_until_ms.store(self.age_ms(now + pause), Ordering::Relaxed);
    }

    fn age_ms(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.born).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plumbing::Scheme;

    fn config(name: &str, ports: &[u16]) -> UpstreamConfig {
        let server =
            |port: &u16| ServerAddress { scheme: Scheme::Http, host: "127.0.0.1".into(), port: *port };
        UpstreamConfig {
            name: name.into(),
            at: Vec::new(),
            servers: ports.iter().map(server).collect(),
            protocol: Protocol::default(),
            tls: None,
            strip: None,
            credential: None,
            connect_timeout: UpstreamConfig::CONNECT_TIMEOUT,
            read_timeout: UpstreamConfig::READ_TIMEOUT,
            total_timeout: UpstreamConfig::TOTAL_TIMEOUT,
        }
    }

    #[test]
    fn a_server_that_stays_keeps_what_is_known_of_it() {
        let limits = Limits::default();
        let old = Upstreams::build([config("a", &[1, 2])].iter(), &limits, None);
        old.get(0).unwrap().servers()[1].not_reached(Instant::now());
        let new = Upstreams::build([config("b", &[3]), config("a", &[2])].iter(), &limits, Some(&old));
        let kept = &new.get(1).unwrap().servers()[0];
        assert_eq!(kept.failures(), 1);
        assert_eq!(kept.id, old.get(0).unwrap().servers()[1].id);
        assert_ne!(new.get(0).unwrap().servers()[0].id, old.get(0).unwrap().servers()[0].id);
        assert!(new.get(2).is_none());
    }

    #[test]
    fn a_failed_server_is_avoided_for_a_while_and_forgiven() {
        let upstreams = Upstreams::build([config("a", &[1, 2])].iter(), &Limits::default(), None);
        let upstream = upstreams.get(0).unwrap();
        let (server, now) = (&upstream.servers()[0], Instant::now());
        server.not_reached(now);
        assert!(server.is_avoided(now));
        for _ in 0..4 {
            assert_eq!(upstream.order().map(|server| server.address.port).collect::<Vec<_>>(), [2, 1]);
        }
        assert!(!server.is_avoided(now + AVOID_STEP * 2));
        for _ in 0..100 {
            server.not_reached(now);
        }
        assert!(server.is_avoided(now + AVOID_MAX / 2));
        assert!(!server.is_avoided(now + AVOID_MAX * 2));
        server.reached();
        assert!(!server.is_avoided(now));
    }
}
