//! Upstreams and their servers, as of a scrape: nothing is counted here while requests go by. Names and servers are the
//! configured ones.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use prometheus::{IntCounter, IntGauge};

use super::family::{Family, Spec};
use super::metrics::{Maker, Metrics, MetricsError, set};
use super::specs::spec;
use crate::upstream::{Obstacle, Retried, Server, Upstreams};

#[derive(Debug)]
pub(super) struct UpstreamMetrics {
    healthy: Family<IntGauge>,
    in_flight: Family<IntGauge>,
    opened: Family<IntCounter>,
    ejections: Family<IntCounter>,
    pending: Family<IntGauge>,
    overloads: Family<IntCounter>,
    retries: Family<IntCounter>,
    connect_failures: Family<IntCounter>,
}

impl UpstreamMetrics {
    pub(super) fn new(made: &Maker<'_>) -> Result<Self, MetricsError> {
        Ok(Self {
            healthy: made.family(HEALTHY)?,
            in_flight: made.family(IN_FLIGHT)?,
            opened: made.family(OPENED)?,
            ejections: made.family(EJECTIONS)?,
            pending: made.family(PENDING)?,
            overloads: made.family(OVERLOADS)?,
            retries: made.family(RETRIES)?,
            connect_failures: made.family(CONNECT_FAILURES)?,
        })
    }

    /// Shows these and forgets all others.
    fn show(&self, upstreams: &Upstreams, now: Instant) {
        self.forget_but(upstreams);
        for upstream in upstreams.iter() {
            let name = &**upstream.name();
            set(&self.pending, &[name], gauge(upstream.pending()));
            rise(&self.overloads, &[name], upstream.overloads());
            for result in Retried::ALL {
                rise(&self.retries, &[name, result.as_str()], upstream.retries(result));
            }
            for why in Obstacle::ALL {
                rise(&self.connect_failures, &[name, why.as_str()], upstream.unopened(why));
            }
            for server in upstream.servers() {
                let labels = [name, &server.address().to_string()];
                set(&self.healthy, &labels, i64::from(server.is_well() && !server.is_ejected(now)));
                set(&self.in_flight, &labels, gauge(server.in_flight()));
                rise(&self.opened, &labels, server.opened());
                rise(&self.ejections, &labels, server.ejections());
            }
        }
    }

    fn forget_but(&self, upstreams: &Upstreams) {
        let names: HashSet<&str> = upstreams.iter().map(|upstream| &**upstream.name()).collect();
        let of = |server: &Arc<Server>| server.address().to_string();
        let servers: HashSet<(&str, String)> = upstreams
            .iter()
            .flat_map(|upstream| upstream.servers().iter().map(|server| (&**upstream.name(), of(server))))
            .collect();
        let upstream_stays = |values: &[Box<str>]| values.first().is_some_and(|name| names.contains(&**name));
        let server_stays = |values: &[Box<str>]| match values {
            [name, server] => servers.contains(&(&**name, server.to_string())),
            _ => false,
        };
        for family in [&self.healthy, &self.in_flight] {
            family.retain(server_stays);
        }
        for family in [&self.opened, &self.ejections] {
            family.retain(server_stays);
        }
        self.pending.retain(upstream_stays);
        for family in [&self.overloads, &self.retries, &self.connect_failures] {
            family.retain(upstream_stays);
        }
    }
}

impl Metrics {
    /// How upstreams and their servers are doing, as of a scrape. One that isn't there is forgotten.
    pub fn show_upstreams(&self, upstreams: &Upstreams, now: Instant) {
        self.upstreams.show(upstreams, now);
    }
}

fn gauge(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A smaller number means that it was configured anew: the counter starts again.
fn rise(family: &Family<IntCounter>, values: &[&str], total: u64) {
    if let Ok(counter) = family.get(values) {
        if total < counter.get() {
            counter.reset();
        }
        counter.inc_by(total.saturating_sub(counter.get()));
    }
}

const HEALTHY: Spec = spec(
    "gatewarden_upstream_server_healthy",
    "Whether a server gets requests: probes say that it is well, and it didn't fail lately.",
    &["upstream", "server"],
);
const IN_FLIGHT: Spec = spec(
    "gatewarden_upstream_server_in_flight",
    "Requests that a server hasn't answered to the end.",
    &["upstream", "server"],
);
const OPENED: Spec = spec(
    "gatewarden_upstream_server_connections_opened_total",
    "Connections that were opened to a server.",
    &["upstream", "server"],
);
const EJECTIONS: Spec = spec(
    "gatewarden_upstream_server_ejections_total",
    "How often a server was left alone for a while because requests failed there.",
    &["upstream", "server"],
);
const PENDING: Spec = spec(
    "gatewarden_upstream_pending",
    "Requests that wait until fewer are with the upstream's servers.",
    &["upstream"],
);
const OVERLOADS: Spec = spec(
    "gatewarden_upstream_overloads_total",
    "Requests that were refused because too many were with the upstream's servers, or waited.",
    &["upstream"],
);
const RETRIES: Spec = spec(
    "gatewarden_upstream_retries_total",
    "Requests that could be sent again: answered then, failed again, or not sent because too many were lately.",
    &["upstream", "result"],
);
const CONNECT_FAILURES: Spec = spec(
    "gatewarden_upstream_connect_failures_total",
    "Connections to an upstream's server that failed, by what stood in the way.",
    &["upstream", "reason"],
);
