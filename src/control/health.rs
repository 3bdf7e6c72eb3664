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
/// How long a name that was never found is left alone.
const RETRY: Duration = Duration::from_secs(1);

/// When something is due at one server.
#[derive(Clone, Copy, Debug)]
struct Due {
    probe: Instant,
    /// When it was looked up last, and how long what was found then is good for.
    looked_up: Option<(Instant, Duration)>,
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
            let mut next = due.get(&server.id()).copied().unwrap_or(Due { probe: now, looked_up: None });
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
            let is_old = next.looked_up.is_none_or(|(at, good_for)| {
                now >= at + if server.is_found() { good_for } else { RETRY.min(good_for) }
            });
            if server.is_named() && is_old {
                next.looked_up = Some((now, shaken(upstream.resolve_every())));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plumbing::{Limits, Scheme, ServerAddress, UpstreamConfig};
    use crate::upstream::Looking;

    fn found(_: String, port: u16) -> Looking {
        Box::pin(async move { Ok(vec![([127, 0, 0, 1], port).into()]) })
    }

    #[tokio::test]
    async fn a_name_that_was_never_found_is_looked_up_soon_again() {
        let address = ServerAddress { scheme: Scheme::Http, host: "app.example".into(), port: 7 };
        let config = UpstreamConfig::new("a".into(), vec![address]);
        let upstreams = Upstreams::build([config].iter(), &Limits::default(), None);
        let (mut due, start) = (HashMap::new(), Instant::now());
        let mut looks = |seconds| round(&upstreams, &mut due, start + Duration::from_secs_f64(seconds)).len();
        assert_eq!([0.0, 0.5, 1.0, 1.5, 2.0].map(&mut looks), [1, 0, 1, 0, 1]);
        assert!(upstreams.get(0).unwrap().servers()[0].look_up(found).await);
        assert_eq!([3.0, 20.0, 32.0, 33.0].map(&mut looks), [0, 0, 1, 0]);
    }
}
