//! Candidate rules beside the live ones: what they would have answered to the requests that come, counted, with an example
//! of each kind of difference. Where candidates come from, and when there is one, is `control`'s business.
//!
//! A request is answered first and copied then, if there is a candidate at all; the copy waits in a bounded queue for one
//! thread of low priority, and a full queue drops it. Nobody is asked anything for a candidate: what it would have to ask
//! and the live rules didn't is unknown, which is counted as neither allow nor deny.

mod asked;
mod clerk;
mod tally;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use http::{HeaderName, HeaderValue};

use self::asked::Asked;
pub use self::tally::Tally;
use crate::authorize::{Effect, Event, Evidence};
use crate::rejection::Rejection;
use crate::request::{RequestView, Timestamp};
use crate::snapshot::Snapshot;
use crate::telemetry::{Dropped, Metrics};

/// Most decisions that wait for the candidate.
const QUEUE_MAX: usize = 1024;
/// Most bytes that they may hold on to, as far as those can be estimated.
const QUEUE_MAX_BYTES: usize = 16 << 20;

/// What candidate rules are asked, if there are any.
#[derive(Debug)]
pub struct Shadow {
    /// Whether there are: what every request looks at.
    is_there: AtomicBool,
    /// Whether they answer some tenants' requests.
    answers: AtomicBool,
    /// Changes with them, for whoever holds on to an answer.
    generation: AtomicU64,
    candidate: ArcSwapOption<Candidate>,
    /// To the one thread that asks them, once there was a candidate.
    queue: OnceLock<SyncSender<Box<Asked>>>,
    /// Bytes that wait.
    waiting: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
}

/// Rules that judge beside the live ones.
#[derive(Debug)]
pub struct Candidate {
    /// The rules, on the plumbing of the live ones.
    pub snapshot: Arc<Snapshot>,
    /// The revision of the live rules that they were compiled on top of.
    pub over: u64,
    /// The headers that any rule of either set reads.
    reads: Box<[HeaderName]>,
    /// The acting tenants whose requests they answer.
    pub tenants: Box<[Box<str>]>,
    /// What they have said so far.
    pub tally: Arc<Tally>,
}

impl Candidate {
    /// Rules compiled on top of the live ones, which answer nobody yet.
    #[must_use]
    pub fn new(snapshot: Arc<Snapshot>, live: &Snapshot) -> Self {
        let apps = snapshot.apps.iter().chain(&live.apps);
        let names = apps.flat_map(|app| &app.read_headers);
        let reads: BTreeSet<String> = names.map(|name| name.to_ascii_lowercase()).collect();
        let reads = reads.iter().filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok()).collect();
        Self { over: live.revision, reads, tenants: Box::default(), tally: Arc::default(), snapshot }
    }

    /// The same rules, answering these tenants.
    #[must_use]
    pub fn answering(&self, tenants: &[Box<str>]) -> Self {
        Self {
            snapshot: self.snapshot.clone(),
            over: self.over,
            reads: self.reads.clone(),
            tenants: tenants.into(),
            tally: self.tally.clone(),
        }
    }
}

/// A request, or a socket's event, that the live rules have answered.
pub struct Judged<'j> {
    /// The rules that answered.
    pub live: &'j Arc<Snapshot>,
    /// The request; that which opened the socket for an event.
    pub request: &'j RequestView<'j>,
    /// The event that it is.
    pub event: Option<&'j Event<'j>>,
    /// Why it was refused, if it was.
    pub refusal: Option<&'j Rejection>,
    /// What the answer rested on.
    pub evidence: &'j Evidence,
    /// The id under which it is recorded.
    pub id: &'j HeaderValue,
    /// When it came.
    pub now: Timestamp,
}

impl Shadow {
    /// Without a candidate.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            is_there: AtomicBool::new(false),
            answers: AtomicBool::new(false),
            generation: AtomicU64::new(0),
            candidate: ArcSwapOption::empty(),
            queue: OnceLock::new(),
            waiting: Arc::default(),
            metrics,
        }
    }

    /// Whether there is a candidate at all. Costs one load.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.is_there.load(Ordering::Relaxed)
    }

    /// The candidate of now.
    #[must_use]
    pub fn candidate(&self) -> Option<Arc<Candidate>> {
        self.candidate.load_full()
    }

    /// Whether there is a candidate that answers some tenants' requests. Costs one load.
    #[must_use]
    pub fn answers_some(&self) -> bool {
        self.answers.load(Ordering::Relaxed)
    }

    /// The candidate, if it answers the requests of this acting tenant and stands beside these rules.
    #[must_use]
    pub fn answering(&self, live: &Snapshot, tenant: &str) -> Option<Arc<Candidate>> {
        if !self.answers_some() {
            return None;
        }
        let is_its = |own: &Arc<Candidate>| {
            own.over == live.revision && own.tenants.iter().any(|name| **name == *tenant)
        };
        self.candidate().filter(is_its)
    }

    /// Changes whenever other rules may answer. Read before what is judged, it tells afterwards whether that still holds.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Has decisions judged by these rules too, or by none.
    pub fn stand(&self, candidate: Option<Arc<Candidate>>) {
        let answers = candidate.as_ref().is_some_and(|own| !own.tenants.is_empty());
        let is_there = candidate.is_some();
        self.candidate.store(candidate);
        self.is_there.store(is_there, Ordering::Relaxed);
        let answered = self.answers.swap(answers, Ordering::AcqRel);
        if answers || answered {
            self.generation.fetch_add(1, Ordering::Release);
        }
    }

    /// Counts a decision of the candidate's that counted.
    pub fn answered(&self, candidate: &Candidate, evidence: &Evidence) {
        let tenant = evidence.judged.as_ref().and_then(|own| own.tenant.as_ref()).map(|own| &*own.name);
        let effect = evidence.verdict.map_or(Effect::Deny, |verdict| verdict.effect);
        candidate.tally.answered();
        self.metrics.canary_decided(tenant, evidence.app.as_deref(), effect.as_str());
    }

    /// Notes an answer, for the candidate to be asked what it would have said. Never waits.
    pub fn judged(&self, judged: &Judged<'_>) {
        if !self.is_there() {
            return;
        }
        let Some(candidate) = self.candidate() else { return };
        // A request that began under other rules than those that the candidate stands beside is nobody's measure.
        if candidate.over != judged.live.revision {
            return;
        }
        let Some(asked) = Asked::of(judged, candidate, &self.waiting) else { return };
        let queue = self.queue.get_or_init(|| self.begin());
        let has_room = self.waiting.load(Ordering::Relaxed) <= QUEUE_MAX_BYTES;
        if !has_room || queue.try_send(Box::new(asked)).is_err() {
            self.metrics.shadow_dropped(Dropped::QueueFull);
        }
    }

    fn begin(&self) -> SyncSender<Box<Asked>> {
        let (queue, waiting) = sync_channel(QUEUE_MAX);
        let metrics = self.metrics.clone();
        let thread = std::thread::Builder::new().name("shadow".to_owned());
        if let Err(why) = thread.spawn(move || clerk::run(&waiting, &metrics)) {
            tracing::error!(%why, "no thread for candidate rules: nothing is judged by them");
        }
        queue
    }
}
