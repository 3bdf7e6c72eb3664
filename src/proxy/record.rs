//! The one record of a request. It rides along from the first byte to the last and is emitted when it is dropped,
//! however that comes about: a request that nobody finished counts as one whose client left.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};
use uuid::fmt::Hyphenated;
use uuid::{NoContext, Uuid};

use super::answering::{Necessity, Settled, now};
use super::plane::{Plane, Slot};
use crate::audit::Place;
use crate::authorize::Event;
use crate::outcome::{EVENT_METHOD, Ending, Evidence, Outcome};
use crate::record::{Asked, Captured};
use crate::rejection::Rejection;
use crate::request::RequestView;
use crate::shadow::Judged;
use crate::snapshot::Snapshot;

/// The status that is written down for a client that left before it had an answer.
const CLIENT_LEFT: u16 = 499;

/// Records one request.
#[derive(Debug)]
pub(super) struct Recorder(Box<Record>);

#[derive(Debug)]
struct Record {
    outcome: Outcome,
    started: Instant,
    asked: Option<Instant>,
    kept: Option<Kept>,
    mark: u64,
    slot: Slot,
}

/// What the decision log gets beside the outcome, and its place in the queue if it has one already.
#[derive(Debug)]
struct Kept {
    captured: Box<Captured>,
    place: Option<Place>,
}

impl Recorder {
    pub(super) fn new(slot: Slot, method: &Method) -> Self {
        let method = is_listed(method).then(|| method.clone());
        let outcome = Outcome { method, ..Outcome::of(mint_id(), CLIENT_LEFT) };
        Self(Box::new(Record { outcome, started: Instant::now(), asked: None, mark: 0, kept: None, slot }))
    }

    /// The record of a socket's event.
    pub(super) fn of_event(slot: Slot) -> Self {
        let mut recorder = Self::new(slot, &Method::GET);
        recorder.0.outcome.method = Method::from_bytes(EVENT_METHOD.as_bytes()).ok();
        recorder
    }

    pub(super) fn plane(&self) -> &Arc<Plane> {
        &self.0.slot.plane
    }

    pub(super) fn is_over_capacity(&self) -> bool {
        self.0.slot.is_over
    }

    pub(super) fn method(&self) -> Option<&Method> {
        self.0.outcome.method.as_ref()
    }

    /// The id as the client and the upstream are told.
    pub(super) fn request_id(&self) -> &HeaderValue {
        &self.0.outcome.request_id
    }

    pub(super) fn request_id_text(&self) -> &str {
        self.request_id().to_str().unwrap_or_default()
    }

    pub(super) fn judged_by(&mut self, revision: u64) {
        self.0.outcome.revision = revision;
    }

    /// Notes who judged: a candidate in the place of the live rules, or these, in which case the candidate rules are asked
    /// about the same, if there are any, once nobody waits for it.
    pub(super) fn compared(
        &mut self,
        (live, request): (&Arc<Snapshot>, &RequestView<'_>),
        event: Option<&Event<'_>>,
        settled: &Settled,
    ) {
        if let Some(candidate) = &settled.candidate {
            return self.judged_by(candidate.snapshot.revision);
        }
        let shadow = self.plane().shadow();
        if shadow.is_there() {
            let (id, now) = (self.request_id(), now());
            let (refusal, evidence) = (settled.ruled.as_ref().err(), &settled.evidence);
            shadow.judged(&Judged { live, request, event, refusal, evidence, id, now });
        }
    }

    /// The decision stands; what follows is forwarding.
    pub(super) fn decided(&mut self, evidence: Evidence) {
        self.0.outcome.evidence = evidence;
        self.0.outcome.deciding = self.0.started.elapsed();
    }

    /// What the decision rested on.
    pub(super) fn evidence(&self) -> &Evidence {
        &self.0.outcome.evidence
    }

    /// What held when it began: whatever came of it is judged again once that is another.
    pub(super) fn marked(&mut self, mark: u64) {
        self.0.mark = mark;
    }

    /// What held when it began.
    pub(super) fn mark(&self) -> u64 {
        self.0.mark
    }

    /// The rule set that judged.
    pub(super) fn revision(&self) -> u64 {
        self.0.outcome.revision
    }

    /// Keeps what the decision log wants to know of a request, or of an event, that was just decided. Where it must be
    /// on record and can't be, it is refused.
    pub(super) fn keep(
        &mut self,
        live: &Arc<Snapshot>,
        (request, event): (&RequestView<'_>, Option<&str>),
        settled: &Settled,
    ) -> Result<(), Rejection> {
        let (snapshot, evidence, ruled) = (settled.rules(live), &settled.evidence, settled.ruled.as_ref());
        let is_required = settled.necessity() == Necessity::Required;
        let own = &snapshot.gateway.decisions;
        let is_wanted = if ruled.is_ok() { own.wants_allows() } else { own.wants_refusals() };
        if !is_wanted {
            return if is_required { Err(Rejection::AuditUnavailable) } else { Ok(()) };
        }
        let operation = evidence.judged.as_ref().and_then(|own| snapshot.operation(own.operation));
        let is_named = operation.is_some_and(|(_, own)| !own.obligations.audit.is_empty());
        let sampled = if ruled.is_err() || is_required || is_named { 1 } else { own.sample_allow };
        if !is_one_of(sampled, self.request_id()) {
            return Ok(());
        }
        let mut asked = Asked::of(snapshot, request, evidence, ruled);
        if let Some(name) = event {
            asked = asked.as_event(name);
        }
        let mut captured = Box::new(Captured::new(snapshot.clone(), wall_clock()));
        (captured.asked, captured.sampled) = (Some(Box::new(asked)), sampled);
        let mut place = None;
        let mut kept = Ok(());
        if is_required {
            place = self.plane().log().reserve(captured.weight(evidence));
            if place.is_none() {
                kept = Err(Rejection::AuditUnavailable);
                captured.overruled = Some(Rejection::AuditUnavailable.reason());
            }
        }
        self.0.kept = Some(Kept { captured, place });
        kept
    }

    /// Keeps that a request was refused of which nothing was decided.
    pub(super) fn keep_refusal(&mut self) {
        if self.0.kept.is_some() || self.evidence().judged.is_some() || self.is_over_capacity() {
            return;
        }
        let snapshot = self.plane().load();
        if snapshot.gateway.decisions.wants_refusals() {
            let captured = Box::new(Captured::new(snapshot, wall_clock()));
            self.0.kept = Some(Kept { captured, place: None });
        }
    }

    pub(super) fn asked(&mut self, upstream: &Arc<str>) {
        self.0.outcome.upstream_name = Some(upstream.clone());
        self.0.asked = Some(Instant::now());
    }

    pub(super) fn upstream_answered(&mut self) {
        self.0.outcome.upstream = self.0.asked.map(|asked| asked.elapsed());
    }

    pub(super) fn responded(&mut self, status: StatusCode) {
        self.0.outcome.status = status.as_u16();
    }

    pub(super) fn ended(&mut self, ending: Ending) {
        self.0.outcome.ending = ending;
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.0.outcome.bytes_sent = self.0.outcome.bytes_sent.saturating_add(bytes);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.outcome.total = self.started.elapsed();
        self.slot.plane.metrics().observe(&self.outcome);
        if let Some(Kept { captured, place }) = self.kept.take() {
            let ended = Outcome::of(HeaderValue::from_static(""), CLIENT_LEFT);
            let outcome = std::mem::replace(&mut self.outcome, ended);
            self.slot.plane.log().decided(captured, outcome, place);
        }
    }
}

fn wall_clock() -> jiff::Timestamp {
    jiff::Timestamp::try_from(SystemTime::now()).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

/// Whether it is the one of so many: by the random end of its id, so that nothing is counted between requests.
fn is_one_of(many: u32, id: &HeaderValue) -> bool {
    if many <= 1 {
        return true;
    }
    let digits = id.to_str().ok().and_then(|id| id.get(id.len().saturating_sub(8)..));
    digits.and_then(|own| u32::from_str_radix(own, 16).ok()).is_none_or(|own| own % many == 0)
}

/// A new id, unpredictable and in the order of time. Never the client's.
fn mint_id() -> HeaderValue {
    // No shared counter: it would be a lock, and the random part is wide enough.
    let id = Uuid::new_v7(uuid::Timestamp::now(NoContext));
    let mut text = [0; Hyphenated::LENGTH];
    id.hyphenated().encode_lower(&mut text);
    // Shared from the start: both sides and the record have it.
    HeaderValue::from_maybe_shared(Bytes::from_owner(text)).unwrap_or(HeaderValue::from_static("none"))
}

/// Methods that may be a metric's label.
fn is_listed(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET
            | Method::HEAD
            | Method::POST
            | Method::PUT
            | Method::PATCH
            | Method::DELETE
            | Method::OPTIONS
    )
}
