//! Connections to the applications: which servers there are, which failed lately, and one exchange with one of them.
//!
//! A set of upstreams is built from plain configuration and replaced as a whole when that changes; a server that stays
//! keeps its health and its idle connections. Idle connections belong to the thread that opened them (`pool`), so
//! that no request waits for a lock. What may be sent, and to which upstream, was decided before.

mod answer;
mod choice;
mod connect;
mod connection;
mod dial;
mod effort;
mod exchange;
mod gate;
mod line;
mod measure;
mod names;
mod opening;
mod outgoing;
mod pipe;
mod pool;
mod probe;
mod server;
mod switch;
mod tap;
mod upload;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

use self::connect::Link;
use self::gate::Gate;
use crate::plumbing::{Balance, Calls, Credential, HealthCheck, Limits, ServerAddress, UpstreamConfig};

pub use answer::Answer;
pub use connect::{Obstacle, machine_roots};
pub use exchange::Failure;
pub use gate::Retried;
pub use measure::Measure;
pub use names::{Looking, Resolve, system as system_resolver};
pub use outgoing::{BodyFault, BodyLimits, Outgoing};
pub use pipe::Pipe;
pub use pool::sweep;
pub use probe::News;
pub use server::Server;
pub use switch::{Open, Switched};

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
        let list = configs.map(|config| {
            let known =
                previous.into_iter().flat_map(|set| &set.list).find(|own| own.config.name == config.name);
            let gate = known.map_or_else(|| Arc::new(Gate::new()), |own| own.gate.clone());
            let server = |address: &ServerAddress| {
                let mut all = known.into_iter().flat_map(|own| &own.servers);
                let same = all.find(|server| server.address() == address).cloned();
                same.unwrap_or_else(|| Server::new(address.clone(), gate.clone()))
            };
            Arc::new(Upstream {
                servers: config.servers.iter().map(server).collect(),
                ticket: AtomicU64::new(0),
                gate: gate.clone(),
                config: config.clone(),
                link: Link {
                    protocol: config.protocol,
                    tls: config.tls.clone(),
                    timeout: config.connect_timeout,
                    head_bytes: limits.upstream_head_bytes,
                    age: config.connection_age,
                },
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
    config: UpstreamConfig,
    servers: Vec<Arc<Server>>,
    ticket: AtomicU64,
    gate: Arc<Gate>,
    link: Link,
    idle_connections: usize,
}

impl Upstream {
    /// The name in the configuration.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.config.name
    }

    /// Its servers.
    #[must_use]
    pub fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }

    /// What the gateway shows it when it asks on its own account.
    #[must_use]
    pub fn credential(&self) -> Option<&Credential> {
        self.config.credential.as_ref()
    }

    /// What becomes of gRPC calls to it.
    #[must_use]
    pub fn calls(&self) -> Calls {
        self.config.calls
    }

    /// How long an exchange with it may take.
    #[must_use]
    pub fn total_timeout(&self) -> Duration {
        self.config.total_timeout
    }

    /// Turns to ask it something: what rules want to know never takes all that it can bear.
    #[must_use]
    pub fn asking(&self) -> &Semaphore {
        &self.gate.asking
    }

    /// Whether the acting tenant says which server comes next.
    #[must_use]
    pub fn balances_by_tenant(&self) -> bool {
        self.config.balance == Balance::Tenant && self.servers.len() > 1
    }

    /// How its servers are asked whether they are well.
    #[must_use]
    pub fn health(&self) -> Option<&HealthCheck> {
        self.config.health.as_ref()
    }

    /// How often its servers' names are looked up.
    #[must_use]
    pub fn resolve_every(&self) -> Duration {
        self.config.resolve_every
    }

    /// Requests that wait until fewer are with its servers.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.gate.waiting.load(Ordering::Relaxed)
    }

    /// Requests that were refused because too many were with its servers, or waited.
    #[must_use]
    pub fn overloads(&self) -> u64 {
        self.gate.overloads.load(Ordering::Relaxed)
    }

    /// Connections that this stood in the way of.
    #[must_use]
    pub fn unopened(&self, why: Obstacle) -> u64 {
        self.gate.unopened(why)
    }

    /// How often the wish to send a request again ended so.
    #[must_use]
    pub fn retries(&self, result: Retried) -> u64 {
        self.gate.retries(result)
    }
}
