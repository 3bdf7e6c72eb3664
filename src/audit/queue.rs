//! How many records wait, and how many may. Places are counted here; the records themselves are in a channel.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::plumbing::DecisionsConfig;
use crate::telemetry::Metrics;

/// How long a write may take before it is taken for one that never ends.
const HANGS: Duration = Duration::from_secs(5);
/// How often it is said at most that records are lost.
const TOLD_EVERY: Duration = Duration::from_secs(10);
/// Refusals of callers who prove nothing that are written in a second.
const NOBODYS_MAX: u64 = 100;

/// The places of a queue.
#[derive(Debug)]
pub(super) struct Queue {
    /// Those of requests that have ended: they wait for the writer.
    waiting: Count,
    /// Those that requests in flight hold: they wait for nobody, so they take no room from others.
    flying: Count,
    records_max: AtomicUsize,
    bytes_max: AtomicUsize,
    /// Records lost since the last one that was written.
    lost: AtomicU64,
    /// The last write failed, or nobody writes.
    is_failing: AtomicBool,
    is_ending: AtomicBool,
    began: Instant,
    /// When the write began that isn't done yet, in milliseconds; 0 for none.
    writing: AtomicU64,
    /// When it was said last that records are lost, in milliseconds; 0 for never.
    told: AtomicU64,
    /// How many refusals of nobody there were in a second: the second and the number, half of the bits each.
    nobodys: AtomicU64,
    /// What `[decisions]` says now, until the writer has taken it.
    wanted: Mutex<Option<DecisionsConfig>>,
    metrics: Arc<Metrics>,
}

/// A place in the queue, for as long as it lives.
#[derive(Debug)]
pub struct Place {
    queue: Arc<Queue>,
    bytes: usize,
    stage: Stage,
}

/// Among which a place counts.
#[derive(Clone, Copy, Debug)]
enum Stage {
    InFlight,
    Waiting,
}

#[derive(Debug, Default)]
struct Count {
    records: AtomicUsize,
    bytes: AtomicUsize,
}

impl Count {
    /// How many records, and how many bytes, there are with this one.
    fn more(&self, bytes: usize) -> (usize, usize) {
        let records = self.records.fetch_add(1, Ordering::AcqRel) + 1;
        (records, self.bytes.fetch_add(bytes, Ordering::AcqRel).saturating_add(bytes))
    }

    /// How many records are left.
    fn less(&self, bytes: usize) -> usize {
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.records.fetch_sub(1, Ordering::AcqRel).saturating_sub(1)
    }
}

impl Place {
    /// Its request has ended: from now on it waits for the writer.
    pub(super) fn ended(mut self) -> Self {
        if matches!(self.stage, Stage::InFlight) {
            self.queue.flying.less(self.bytes);
            let (waiting, _) = self.queue.waiting.more(self.bytes);
            self.stage = Stage::Waiting;
            self.queue.metrics.decisions_waiting(waiting);
        }
        self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        match self.stage {
            Stage::InFlight => drop(self.queue.flying.less(self.bytes)),
            Stage::Waiting => self.queue.metrics.decisions_waiting(self.queue.waiting.less(self.bytes)),
        }
    }
}

/// Why a record is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// There was no room.
    Full,
    /// Too many who prove nothing were refused at once.
    Nobodys,
    /// It couldn't be made, or nobody writes any more.
    Fault,
}

impl Loss {
    /// The label.
    fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Nobodys => "unidentified",
            Self::Fault => "fault",
        }
    }
}

impl Queue {
    pub(super) fn new(config: &DecisionsConfig, metrics: Arc<Metrics>) -> Self {
        let own = Self {
            waiting: Count::default(),
            flying: Count::default(),
            records_max: AtomicUsize::new(0),
            bytes_max: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
            is_failing: AtomicBool::new(false),
            is_ending: AtomicBool::new(false),
            began: Instant::now(),
            writing: AtomicU64::new(0),
            told: AtomicU64::new(0),
            nobodys: AtomicU64::new(0),
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

    /// A place for what must be written, while its request is in flight. None where nothing can be written, where what
    /// waits already fills the queue, or where as many as the queue may hold are in flight.
    pub(super) fn reserve(self: &Arc<Self>, bytes: usize) -> Option<Place> {
        let waits = (self.waiting(), self.waiting.bytes.load(Ordering::Acquire).saturating_add(bytes));
        if self.hangs() && self.is_to_be_told() {
            tracing::error!(
                seconds = HANGS.as_secs(),
                "a write of decisions doesn't end: what must be on record is refused"
            );
        }
        if self.is_failing() || !self.fits((waits.0.saturating_add(1), waits.1)) {
            return None;
        }
        // Whoever finds no room gives it back at once.
        let taken = self.flying.more(bytes);
        let place = Place { queue: self.clone(), bytes, stage: Stage::InFlight };
        self.fits(taken).then_some(place)
    }

    /// A place for what has ended.
    pub(super) fn place(self: &Arc<Self>, bytes: usize) -> Option<Place> {
        let taken = self.waiting.more(bytes);
        let place = Place { queue: self.clone(), bytes, stage: Stage::Waiting };
        let fits = self.fits(taken);
        if fits {
            self.metrics.decisions_waiting(taken.0);
        }
        fits.then_some(place)
    }

    fn fits(&self, (records, bytes): (usize, usize)) -> bool {
        records <= self.records_max.load(Ordering::Relaxed) && bytes <= self.bytes_max.load(Ordering::Relaxed)
    }

    /// Whether one more refusal of somebody who proved nothing is written: there is no end of those.
    pub(super) fn takes_nobodys(&self) -> bool {
        let second = self.began.elapsed().as_secs() << 32;
        let one_more = |own: u64| match own & !u64::from(u32::MAX) == second {
            false => Some(second + 1),
            true => (own - second < NOBODYS_MAX).then_some(own + 1),
        };
        self.nobodys.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_ok()
    }

    /// Records are lost: it is counted, and the first of them is told, now and then.
    pub(super) fn dropped(&self, records: u64, why: Loss) {
        let is_first = self.lost.fetch_add(records, Ordering::AcqRel) == 0;
        self.metrics.decisions_dropped(why.as_str(), records);
        if is_first && self.is_to_be_told() {
            tracing::error!(
                why = why.as_str(),
                waiting = self.waiting(),
                is_failing = self.is_failing(),
                "decisions are lost: they are counted, and the next line says how many"
            );
        }
    }

    fn is_to_be_told(&self) -> bool {
        let (now, told) = (self.now(), self.told.load(Ordering::Acquire));
        let is_time = told == 0 || now.saturating_sub(told) >= millis(TOLD_EVERY);
        is_time && self.told.compare_exchange(told, now, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Milliseconds since it was made, never 0.
    fn now(&self) -> u64 {
        millis(self.began.elapsed()).saturating_add(1)
    }

    /// A write begins, which may take so long and no longer.
    pub(super) fn writes(&self) {
        self.writing.store(self.now(), Ordering::Release);
    }

    fn hangs(&self) -> bool {
        let since = self.writing.load(Ordering::Acquire);
        since != 0 && self.now().saturating_sub(since) > millis(HANGS)
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
        self.writing.store(0, Ordering::Release);
        self.is_failing.store(false, Ordering::Release);
        self.metrics.decisions_written(sink, records);
    }

    /// A write failed; whether the one before hadn't.
    pub(super) fn failed(&self, sink: &'static str) -> bool {
        self.writing.store(0, Ordering::Release);
        self.metrics.decisions_not_written(sink);
        !self.is_failing.swap(true, Ordering::AcqRel)
    }

    /// Whether the last write failed, or one is under way that doesn't end.
    pub(super) fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Acquire) || self.hangs()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.records.load(Ordering::Acquire)
    }

    pub(super) fn end(&self) {
        self.is_ending.store(true, Ordering::Release);
    }

    pub(super) fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Acquire)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Mode;

    fn queue(queue: usize, queue_bytes: u64) -> Arc<Queue> {
        let config = DecisionsConfig { queue, queue_bytes, ..DecisionsConfig::default() };
        Arc::new(Queue::new(&config, Arc::new(Metrics::new(Mode::Run).unwrap())))
    }

    #[test]
    fn there_are_so_many_places_and_no_more() {
        let queue = queue(2, 100);
        let first = queue.place(60).unwrap();
        assert!(queue.place(60).is_none(), "there were bytes for one");
        let second = queue.reserve(40).unwrap().ended();
        assert!(queue.place(0).is_none(), "there were places for two");
        assert!(queue.reserve(0).is_none(), "what waits fills the queue");
        drop(first);
        let third = queue.place(60).unwrap();
        assert_eq!(queue.waiting(), 2);
        drop((second, third));
        assert!(queue.failed("file"), "the first failure is news");
        assert!(!queue.failed("file"));
        assert!(queue.reserve(1).is_none(), "what must be on record can't be");
        assert!(queue.place(1).is_some());
        queue.wrote("file", 1);
        assert!(queue.reserve(1).is_some());
        assert_eq!((queue.waiting(), queue.flying.records.load(Ordering::Acquire)), (0, 0));
    }

    #[test]
    fn requests_in_flight_take_no_room_from_what_has_ended() {
        let queue = queue(2, 100);
        let flying = [(); 2].map(|()| queue.reserve(10).unwrap());
        assert!(queue.reserve(10).is_none(), "they have a bound of their own");
        let ended = [(); 2].map(|()| queue.place(10).unwrap());
        assert_eq!(queue.waiting(), 2);
        // What was promised a place has one.
        let flying = flying.map(Place::ended);
        assert_eq!(queue.waiting(), 4);
        drop((flying, ended));
        assert_eq!(queue.waiting(), 0);
    }

    #[test]
    fn a_write_that_does_not_end_is_one_that_failed() {
        let mut queue = Queue::new(&DecisionsConfig::default(), Arc::new(Metrics::new(Mode::Run).unwrap()));
        queue.began = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
        queue.writes();
        assert!(!queue.is_failing());
        queue.began -= Duration::from_secs(6);
        let queue = Arc::new(queue);
        assert!(queue.is_failing() && queue.reserve(1).is_none());
        queue.wrote("file", 1);
        assert!(!queue.is_failing());
    }

    #[test]
    fn of_those_who_prove_nothing_so_many_are_written_in_a_second() {
        let mut queue = Queue::new(&DecisionsConfig::default(), Arc::new(Metrics::new(Mode::Run).unwrap()));
        for _ in 0..3 {
            // A second may pass while they are counted.
            let taken = (0..1000).filter(|_| queue.takes_nobodys()).count();
            assert!((100..=200).contains(&taken), "{taken}");
            queue.began -= Duration::from_secs(2);
        }
    }
}
