//! What the servers of one upstream share: who waits until fewer requests are in flight, what retries may cost, and what
//! was counted. It outlives a reload.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, Semaphore};

use super::Obstacle;
use crate::balance::Budget;

/// Look-ups that one upstream is asked at once.
const LOOKUPS_MAX: usize = 64;

/// What came of the wish to send a request again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retried {
    /// It was answered then.
    Answered,
    /// It failed again.
    Failed,
    /// It wasn't sent: too many were lately.
    OverBudget,
}

impl Retried {
    /// Every result.
    pub const ALL: [Self; 3] = [Self::Answered, Self::Failed, Self::OverBudget];

    /// The metric label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::OverBudget => "over-budget",
        }
    }
}

/// What an upstream's servers share.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) asking: Semaphore,
    pub(super) waiting: AtomicUsize,
    pub(super) freed: Notify,
    pub(super) overloads: AtomicU64,
    /// Tries beyond each request's first.
    more_tries: AtomicU64,
    retried: [AtomicU64; 3],
    unopened: [AtomicU64; Obstacle::ALL.len()],
    budget: Mutex<Budget>,
    born: Instant,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self {
            asking: Semaphore::new(LOOKUPS_MAX),
            waiting: AtomicUsize::new(0),
            freed: Notify::new(),
            overloads: AtomicU64::new(0),
            more_tries: AtomicU64::new(0),
            retried: Default::default(),
            unopened: Default::default(),
            budget: Mutex::default(),
            born: Instant::now(),
        }
    }

    /// Somebody's request ended.
    pub(super) fn left(&self) {
        if self.waiting.load(Ordering::SeqCst) != 0 {
            self.freed.notify_one();
        }
    }

    /// A request is tried once more.
    pub(super) fn tried_again(&self) {
        self.more_tries.fetch_add(1, Ordering::Relaxed);
    }

    /// Pays for sending a request again. `tries` is how many there were: only the first ones earn anything.
    pub(super) fn pay(&self, tries: u64) -> bool {
        let requests = tries.wrapping_sub(self.more_tries.load(Ordering::Relaxed));
        let now_ms = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        let paid = self.budget.lock().unwrap_or_else(PoisonError::into_inner).take(requests, now_ms);
        if !paid {
            self.retried(Retried::OverBudget);
        }
        paid
    }

    pub(super) fn retried(&self, result: Retried) {
        if let Some(counter) = self.retried.get(result as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn retries(&self, result: Retried) -> u64 {
        self.retried.get(result as usize).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }
}

impl Gate {
    /// This stood in the way of a connection.
    pub(super) fn not_opened(&self, why: Obstacle) {
        if let Some(counter) = self.unopened.get(why as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn unopened(&self, why: Obstacle) -> u64 {
        self.unopened.get(why as usize).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }
}

/// A place in the queue before an upstream that has enough to do.
pub(super) struct Waiting<'g>(&'g Gate);

impl<'g> Waiting<'g> {
    /// Takes one if there are fewer than `most`.
    pub(super) fn take(gate: &'g Gate, most: usize) -> Option<Self> {
        let before = gate.waiting.fetch_add(1, Ordering::SeqCst);
        let place = Self(gate);
        (before < most).then_some(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
        // Whoever was woken and left, and whoever was woken once for two that ended, passes it on.
        self.0.left();
    }
}
