//! Looks after the servers of all upstreams, off the request path: asks whether they are well, where that is configured, and
//! looks up again where they are, where they have names.
//!
//! What is found lives with the server and outlives a reload. When something is due is decided here, by one task that wakes
//! often and does nothing itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::balance;
use crate::proxy::Plane;
use crate::upstream::{News, Resolve, Server, Upstream, Upstreams};

/// How often it is looked whether something is due.
const TICK: Duration = Duration::from_millis(100);

/// When something is due at one server.
#[derive(Clone, Copy, Debug)]
struct Due {
    probe: Instant,
    look_up: Instant,
}

/// Looks after the servers for as long as it is polled.
pub async fn tend(plane: Arc<Plane>, resolve: Resolve) {
    let mut due = HashMap::new();
    loop {
        let now = Instant::now();
        for work in round(&plane.current_upstreams(), &mut due, now) {
            match work {
                Work::Probe(upstream, server) => drop(tokio::spawn(probe(upstream, server))),
                Work::LookUp(server) => drop(tokio::spawn(async move { server.look_up(resolve).await })),
            }
        }
        tokio::time::sleep(TICK).await;
    }
}

#[derive(Debug)]
enum Work {
    Probe(Arc<Upstream>, Arc<Server>),
    LookUp(Arc<Server>),
}

/// What is due now. Servers that are gone are forgotten, new ones are due at once.
fn round(upstreams: &Upstreams, due: &mut HashMap<u64, Due>, now: Instant) -> Vec<Work> {
    let mut work = Vec::new();
    let mut kept = HashMap::new();
    for upstream in upstreams.iter() {
        for server in upstream.servers() {
            let mut next = due.get(&server.id()).copied().unwrap_or(Due { probe: now, look_up: now });
            match upstream.health() {
                Some(check) if next.probe <= now => {
                    next.probe = now + shaken(check.every);
                    work.push(Work::Probe(upstream.clone(), server.clone()));
                }
                Some(_) => {}
                None => {
                    next.probe = now;
                    server.unprobed();
                }
            }
            if server.is_named() && next.look_up <= now {
                next.look_up = now + shaken(upstream.resolve_every());
                work.push(Work::LookUp(server.clone()));
            }
            kept.insert(server.id(), next);
        }
    }
    *due = kept;
    work
}

/// Not all at once: many gateways ask the same servers.
fn shaken(time: Duration) -> Duration {
    let mut random = [0; 8];
    let _ = aws_lc_rs::rand::fill(&mut random);
    balance::jittered(time, u64::from_ne_bytes(random))
}

async fn probe(upstream: Arc<Upstream>, server: Arc<Server>) {
    let Some(check) = upstream.health() else { return };
    let (name, address) = (upstream.name(), server.address());
    match upstream.probe(&server, check).await {
        Some(News::Well) => tracing::info!(upstream = %name, server = %address, "well again"),
        Some(News::Unwell) => {
            tracing::warn!(upstream = %name, server = %address, path = check.path, "fails its health check");
        }
        None => {}
    }
}
