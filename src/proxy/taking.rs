//! Streams that the client opened and doesn't take from. On HTTP/1.1 that stalls the socket and is seen there; on
//! HTTP/2 each stream has a window of its own, and one that is kept shut would hold its request for ever.
//!
//! Nothing is timed per stream: a body notes in which period it was last handed on, and at the end of each period the
//! connection looks whether one is still out from the period before.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Now, the one before, and the one that is cleared next.
const PERIODS: usize = 3;

/// The bodies of one connection that wait for the client.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    period: AtomicUsize,
    out: [AtomicUsize; PERIODS],
}

impl Waiting {
    /// Ends when a body has waited for the client for a whole period.
    pub(super) async fn stalled(&self, period: Duration) {
        loop {
            tokio::time::sleep(period).await;
            if self.next_period() {
                return;
            }
        }
    }

    /// Begins a period; says whether a body is out since before the one that just ended.
    fn next_period(&self) -> bool {
        let ended = self.period.fetch_add(1, Ordering::Relaxed);
        self.out_since(ended.wrapping_add(PERIODS - 1)).is_some_and(|out| out.load(Ordering::Relaxed) > 0)
    }

    fn out_since(&self, period: usize) -> Option<&AtomicUsize> {
        self.out.get(period % PERIODS)
    }
}

/// One body's place among those that wait.
#[derive(Debug)]
pub(super) struct Taking {
    waiting: Arc<Waiting>,
    since: Option<usize>,
}

impl Taking {
    /// A body that waits for the client from the start.
    pub(super) fn new(waiting: Arc<Waiting>) -> Self {
        let mut taking = Self { waiting, since: None };
        taking.handed_on();
        taking
    }

    /// The client is to take what it was handed.
    pub(super) fn handed_on(&mut self) {
        self.asked_for();
        let period = self.waiting.period.load(Ordering::Relaxed);
        if let Some(out) = self.waiting.out_since(period) {
            out.fetch_add(1, Ordering::Relaxed);
        }
        self.since = Some(period);
    }

    /// The client can take more.
    pub(super) fn asked_for(&mut self) {
        if let Some(out) = self.since.take().and_then(|since| self.waiting.out_since(since)) {
            out.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        self.asked_for();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_waits_a_whole_period_is_stalled() {
        let waiting = Arc::new(Waiting::default());
        let mut body = Taking::new(waiting.clone());
        assert!(!waiting.next_period(), "it may have begun just now");
        body.handed_on();
        assert!(!waiting.next_period());
        body.asked_for();
        for _ in 0..5 {
            assert!(!waiting.next_period(), "it waits for the upstream");
        }
        body.handed_on();
        assert!(!waiting.next_period());
        assert!(waiting.next_period());
        drop(body);
        for _ in 0..5 {
            assert!(!waiting.next_period());
        }
    }
}
