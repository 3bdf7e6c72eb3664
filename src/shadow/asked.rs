//! What is kept of an answered request until the candidate is asked: a copy of everything that rules could read, and
//! nothing else. No token is in it but as what was verified, and no header that no rule reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

use super::{Candidate, Judged};
use crate::analysis::posed::{Caller, Posed, PosedEvent};
use crate::authorize::{Effect, Evidence};
use crate::policy::Known;
use crate::request::RequestView;
use crate::snapshot::Snapshot;

/// One request for the candidate.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) live: Arc<Snapshot>,
    pub(super) candidate: Arc<Candidate>,
    pub(super) posed: Posed,
    /// What was found out for the live rules, by their numbers.
    pub(super) known: Known,
    /// What the caller was answered.
    pub(super) effect: Effect,
    /// Whether a token came along that nobody verified.
    pub(super) is_unidentified: bool,
    pub(super) id: HeaderValue,
    _weight: Weight,
}

/// Bytes that count among those that wait, as long as this lives.
#[derive(Debug)]
struct Weight {
    waiting: Arc<AtomicUsize>,
    bytes: usize,
}

impl Weight {
    fn new(waiting: &Arc<AtomicUsize>, bytes: usize) -> Self {
        waiting.fetch_add(bytes, Ordering::Relaxed);
        Self { waiting: waiting.clone(), bytes }
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.waiting.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Asked {
    /// Nothing for what no rule refused: a limit, a broken request, a token that proves nothing.
    pub(super) fn of(
        judged: &Judged<'_>,
        candidate: Arc<Candidate>,
        waiting: &Arc<AtomicUsize>,
    ) -> Option<Self> {
        let effect = match judged.refusal {
            None => Effect::Allow,
            Some(refusal) if refusal.is_the_rules() => Effect::Deny,
            Some(_) => return None,
        };
        let (request, evidence) = (judged.request, judged.evidence);
        let event = match judged.event {
            None => None,
            Some(event) => {
                let app = (*judged.live.apps.get(event.app)?.name).into();
                Some(PosedEvent { app, name: event.name.into() })
            }
        };
        let posed = Posed {
            method: request.method.clone(),
            target: target(request),
            host: request.host.clone(),
            headers: headers(request.headers, &candidate),
            client: request.client,
            certificate: request.certificate.cloned(),
            caller: evidence.caller.clone().map_or(Caller::Nobody, Caller::Verified),
            event,
            answers: Vec::new(),
            body: None,
            seats: Vec::new(),
            now: evidence.judged.as_ref().map_or(judged.now, |own| own.now),
        };
        let is_unidentified = evidence.caller.is_none() && request.headers.contains_key(AUTHORIZATION);
        let (live, id, known) = (judged.live.clone(), judged.id.clone(), known(judged, evidence));
        let _weight = Weight::new(waiting, weight(&posed, &known, &live));
        Some(Self { live, candidate, posed, known, effect, is_unidentified, id, _weight })
    }
}

/// What was found out; for an event that rules could read, what it says was known before.
fn known(judged: &Judged<'_>, evidence: &Evidence) -> Known {
    let mut known = evidence.judged.as_ref().map_or_else(Known::default, |own| own.known.clone());
    if let Some(event) = judged.event
        && known.body.is_none()
    {
        known.body.clone_from(&event.payload);
    }
    known
}

/// Bytes that the copy holds on to; of a body as many as it may have.
fn weight(posed: &Posed, known: &Known, live: &Snapshot) -> usize {
    let headers: usize = posed.headers.values().map(HeaderValue::len).sum();
    let body = if known.body.is_some() { live.gateway.limits.rule_body_bytes } else { 0 };
    size_of::<Asked>() + posed.target.len() + headers + usize::try_from(body).unwrap_or(usize::MAX)
}

fn target(request: &RequestView<'_>) -> String {
    let (path, query) = (request.path.raw(), request.query.raw());
    let mut target = String::with_capacity(path.len() + 1 + query.len());
    target.push_str(path);
    if !query.is_empty() {
        target.push('?');
        target.push_str(query);
    }
    target
}

fn headers(all: &HeaderMap, candidate: &Candidate) -> HeaderMap {
    let mut kept = HeaderMap::new();
    for name in &candidate.reads {
        for value in all.get_all(name) {
            // In memory of its own: what is read from a connection holds on to its whole buffer.
            if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
                kept.append(name, value);
            }
        }
    }
    kept
}
