//! How many records wait, and how many may. Places are counted here; the records themselves are in a channel.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::Necessity;
use crate::plumbing::DecisionsConfig;
use crate::telemetry::Metrics;

/// The places of a queue.
#[derive(Debug)]
pub(super) struct Queue {
    records: AtomicUsize,
    bytes: AtomicUsize,
    records_max: AtomicUsize,
    bytes_max: AtomicUsize,
    /// Records lost since the last one that was written.
    lost: AtomicU64,
    /// The last write failed, or nobody writes.
    is_failing: AtomicBool,
    is_ending: AtomicBool,
    /// What `[decisions]` says now, until the writer has taken it.
    wanted: Mutex<Option<DecisionsConfig>>,
    metrics: Arc<Metrics>,
}

/// A place in the queue, for as long as it lives.
#[derive(Debug)]
pub struct Place {
    queue: Arc<Queue>,
    bytes: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        let left = self.queue.records.fetch_sub(1, Ordering::AcqRel).saturating_sub(1);
        self.queue.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        self.queue.metrics.decisions_waiting(left);
    }
}

impl Queue {
    pub(super) fn new(config: &DecisionsConfig, metrics: Arc<Metrics>) -> Self {
        let own = Self {
            records: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            records_max: AtomicUsize::new(0),
            bytes_max: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
            is_failing: AtomicBool::new(false),
            is_ending: AtomicBool::new(false),
            wanted: Mutex::default(),
            metrics,
        };
        own.bound(config);
        own
    }

    pub(super) fn bound(&self, config: &DecisionsConfig) {
        self.records_max.store(config.queue, Ordering::Relaxed);
        let bytes = usize::try_from(config.queue_bytes).unwrap_or(usize::MAX);
        self.bytes_max.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn place(self: &Arc<Self>, necessity: Necessity, bytes: usize) -> Option<Place> {
        if necessity == Necessity::Required && self.is_failing.load(Ordering::Acquire) {
            return None;
        }
        let records = self.records.fetch_add(1, Ordering::AcqRel) + 1;
        let before = self.bytes.fetch_add(bytes, Ordering::AcqRel);
        // Whoever finds no room gives it back at once.
        let place = Place { queue: self.clone(), bytes };
        let fits = records <= self.records_max.load(Ordering::Relaxed)
            && before.saturating_add(bytes) <= self.bytes_max.load(Ordering::Relaxed);
        if fits {
            self.metrics.decisions_waiting(records);
        }
        fits.then_some(place)
    }

    pub(super) fn dropped(&self, records: u64) {
        self.lost.fetch_add(records, Ordering::AcqRel);
        self.metrics.decisions_dropped(records);
    }

    /// How many were lost since this was asked last.
    pub(super) fn take_lost(&self) -> u64 {
        self.lost.swap(0, Ordering::AcqRel)
    }

    /// Has the writer go on as `config` says, also where it can't get on as it is.
    pub(super) fn want(&self, config: &DecisionsConfig) {
        self.bound(config);
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Some(config.clone());
    }

    pub(super) fn take_wanted(&self) -> Option<DecisionsConfig> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn wrote(&self, sink: &'static str, records: u64) {
        self.is_failing.store(false, Ordering::Release);
        self.metrics.decisions_written(sink, records);
    }

    /// A write failed; whether the one before hadn't.
    pub(super) fn failed(&self, sink: &'static str) -> bool {
        self.metrics.decisions_not_written(sink);
        !self.is_failing.swap(true, Ordering::AcqRel)
    }

    pub(super) fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Acquire)
    }

    pub(super) fn waiting(&self) -> usize {
        self.records.load(Ordering::Acquire)
    }

    pub(super) fn end(&self) {
        self.is_ending.store(true, Ordering::Release);
    }

    pub(super) fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Mode;

    #[test]
    fn there_are_so_many_places_and_no_more() {
        let config = DecisionsConfig { queue: 2, queue_bytes: 100, ..DecisionsConfig::default() };
        let queue = Arc::new(Queue::new(&config, Arc::new(Metrics::new(Mode::Run).unwrap())));
        let first = queue.place(Necessity::Wanted, 60).unwrap();
        assert!(queue.place(Necessity::Wanted, 60).is_none(), "there were bytes for one");
        let second = queue.place(Necessity::Required, 40).unwrap();
        assert!(queue.place(Necessity::Wanted, 0).is_none(), "there were places for two");
        drop(first);
        let third = queue.place(Necessity::Wanted, 60).unwrap();
        assert_eq!(queue.waiting(), 2);
        drop((second, third));
        assert!(queue.failed("file"), "the first failure is news");
        assert!(!queue.failed("file"));
        assert!(queue.place(Necessity::Required, 1).is_none(), "what must be on record can't be");
        assert!(queue.place(Necessity::Wanted, 1).is_some());
        queue.wrote("file", 1);
        assert!(queue.place(Necessity::Required, 1).is_some());
        assert_eq!(queue.waiting(), 0);
    }
}
