//! What the tests share: a gateway in this process, upstreams that follow a script, a client that sends raw bytes.

pub(crate) mod client;
pub(crate) mod gateway;
pub(crate) mod h2;
pub(crate) mod h2_upstream;
pub(crate) mod tls;
pub(crate) mod upstream;

use std::time::{Duration, Instant};

pub(crate) use client::{Client, Response};
pub(crate) use gateway::Gateway;
pub(crate) use tls::Authority;
pub(crate) use upstream::{Upstream, Wire};

/// No test waits longer than this for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Asks again until the answer is yes.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
