//! What a service manager is told (systemd's `sd_notify`): nothing, where there is none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use crate::control::admin::{Phase, Readiness};
use crate::proxy::Pulse;

/// How long a worker may not be seen at work: many times what it takes when all is well.
const STUCK: Duration = Duration::from_secs(15);

/// It serves.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// It reads its files again; `ready` follows.
pub(super) fn reloading() {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
}

/// It ends.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
}

/// Another process is the service now.
pub(super) fn replaced_by(pid: u32) {
    tell(&[NotifyState::MainPid(pid)]);
}

/// Says that it lives as often as the manager wants to hear it, until the task is dropped: while it serves, only as long
/// as every worker turns. A worker that ends with its last connection is not stuck.
pub(super) async fn stay_watched(pulse: Pulse, readiness: Arc<Readiness>) {
    let Some(within) = sd_notify::watchdog_enabled() else { return };
    loop {
        let silent = pulse.silent(Instant::now());
        if silent < STUCK || readiness.phase() == Phase::Draining {
            tell(&[NotifyState::Watchdog]);
        } else {
            tracing::error!(
                r#for = format_args!("{}s", silent.as_secs()),
                "a worker is stuck: the service manager isn't told that all is well"
            );
        }
        tokio::time::sleep((within / 2).max(Duration::from_millis(10))).await;
    }
}

fn tell(news: &[NotifyState<'_>]) {
    if let Err(why) = sd_notify::notify(news) {
        tracing::debug!(%why, "the service manager can't be told");
    }
}
