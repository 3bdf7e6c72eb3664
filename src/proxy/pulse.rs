//! Whether the workers still turn: each says so every second or so. One that doesn't any more is stuck, and its callers with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When each worker was last seen at work.
#[derive(Clone, Debug)]
pub struct Pulse {
    began: Instant,
    beats: Arc<[AtomicU64]>,
}

impl Pulse {
    pub(super) fn new(workers: usize, now: Instant) -> Self {
        Self { began: now, beats: (0..workers).map(|_| AtomicU64::new(0)).collect() }
    }

    pub(super) fn beat(&self, worker: usize, now: Instant) {
        if let Some(beat) = self.beats.get(worker) {
            beat.store(self.since(now), Ordering::Relaxed);
        }
    }

    /// How long the slowest worker wasn't seen.
    #[must_use]
    pub fn silent(&self, now: Instant) -> Duration {
        let oldest = self.beats.iter().map(|beat| beat.load(Ordering::Relaxed)).min();
        oldest.map_or(Duration::ZERO, |oldest| Duration::from_millis(self.since(now).saturating_sub(oldest)))
    }

    fn since(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_worker_counts() {
        let now = Instant::now();
        let pulse = Pulse::new(2, now);
        let later = now + Duration::from_secs(9);
        pulse.beat(0, later);
        assert_eq!(pulse.silent(later), Duration::from_secs(9));
        pulse.beat(1, later);
        assert_eq!(pulse.silent(later), Duration::ZERO);
    }
}
