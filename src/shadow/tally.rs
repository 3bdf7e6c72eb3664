//! What a candidate has said so far: the cells, and of each kind of difference how often it came and one example. Bounded,
//! however many kinds there are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};

use super::asked::Asked;
use crate::analysis::trial::{Side, Verdict};
use crate::authorize::Effect;
use crate::record::hides_path;
use crate::request::Timestamp;
use crate::snapshot::Snapshot;

/// Kinds of difference of which an example is kept.
const KINDS_MAX: usize = 200;
/// Kinds of what can't be known of which an example is kept: they never take the room of differences.
const UNKNOWN_MAX: usize = 50;

/// Counts and examples.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    cells: HashMap<(bool, Verdict), u64>,
    kinds: HashMap<Kind, Sample>,
    unknown_kinds: usize,
    /// Differences of kinds that there was no room for.
    unlisted: u64,
    /// Requests that it answered.
    answered: u64,
}

/// What makes two differences alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kind {
    app: Option<Arc<str>>,
    method: Box<str>,
    route: Option<Arc<str>>,
    roles: Box<[Arc<str>]>,
    is_live_allowed: bool,
    candidate: Verdict,
}

#[derive(Debug)]
struct Sample {
    count: u64,
    first: Timestamp,
    last: Timestamp,
    example: Value,
}

impl Tally {
    pub(super) fn count(
        &self,
        asked: &Asked,
        live: (&Side, &Snapshot),
        candidate: (&Side, &Snapshot),
        said: Verdict,
    ) {
        let effect = asked.effect;
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.cells.entry((effect == Effect::Allow, said)).or_default() += 1;
        if !said.is_change(effect) && said != Verdict::Unknown {
            return;
        }
        let kind = kind(asked, live, candidate, said);
        let now = asked.posed.now;
        if let Some(sample) = counts.kinds.get_mut(&kind) {
            sample.count += 1;
            sample.last = now.max(sample.last);
            return;
        }
        let is_unknown = said == Verdict::Unknown;
        let has_room = if is_unknown {
            counts.unknown_kinds < UNKNOWN_MAX
        } else {
            counts.kinds.len() - counts.unknown_kinds < KINDS_MAX
        };
        if !has_room {
            counts.unlisted += 1;
            return;
        }
        counts.unknown_kinds += usize::from(is_unknown);
        let example = example(asked, live.0, candidate.0);
        counts.kinds.insert(kind, Sample { count: 1, first: now, last: now, example });
    }

    pub(super) fn answered(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).answered += 1;
    }

    /// Everything, for operators.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let row = |is_allowed: bool| -> Map<String, Value> {
            let cell = |said: Verdict| counts.cells.get(&(is_allowed, said)).copied().unwrap_or(0);
            Verdict::ALL.iter().map(|said| (said.as_str().to_owned(), cell(*said).into())).collect()
        };
        let changed = |(is_allowed, said): &(bool, Verdict)| said.is_change(effect(*is_allowed));
        let changes: u64 = counts.cells.iter().filter(|(cell, _)| changed(cell)).map(|(_, own)| own).sum();
        let mut kinds: Vec<_> = counts.kinds.iter().collect();
        kinds.sort_by(|(a, one), (b, other)| {
            let order = |kind: &Kind| (kind.candidate == Verdict::Unknown, kind.is_live_allowed);
            (order(a), other.count, one.first).cmp(&(order(b), one.count, other.first))
        });
        json!({
            "cells": { "allow": row(true), "deny": row(false) },
            "changes": changes,
            "kinds": kinds.into_iter().map(|(kind, sample)| kind.to_json(sample)).collect::<Vec<_>>(),
            "unlisted": counts.unlisted,
            "answered": counts.answered,
        })
    }
}

impl Kind {
    fn to_json(&self, sample: &Sample) -> Value {
        json!({
            "app": self.app.as_deref(),
            "method": self.method,
            "route": self.route.as_deref(),
            "roles": self.roles.iter().map(|role| &**role).collect::<Vec<_>>(),
            "live": effect(self.is_live_allowed).as_str(),
            "candidate": self.candidate.as_str(),
            "count": sample.count,
            "first": sample.first.0,
            "last": sample.last.0,
            "example": sample.example,
        })
    }
}

fn effect(is_allowed: bool) -> Effect {
    if is_allowed { Effect::Allow } else { Effect::Deny }
}

fn kind(
    asked: &Asked,
    (live, live_set): (&Side, &Snapshot),
    (candidate, set): (&Side, &Snapshot),
    said: Verdict,
) -> Kind {
    let roles = live.roles(live_set);
    Kind {
        app: live.evidence.app.clone().or_else(|| candidate.evidence.app.clone()),
        method: if asked.posed.event.is_some() { "EMIT".into() } else { asked.posed.method.as_str().into() },
        route: live.evidence.route.clone().or_else(|| candidate.evidence.route.clone()),
        roles: if live.evidence.judged.is_some() { roles } else { candidate.roles(set) },
        is_live_allowed: asked.effect == Effect::Allow,
        candidate: said,
    }
}

/// One request of a kind, without anything that the rules didn't read but its path; never a token or a query.
fn example(asked: &Asked, live: &Side, candidate: &Side) -> Value {
    let side = |own: &Side, other: &Side| {
        json!({
            "reason": own.reason,
            "rule": own.evidence.rule.as_deref(),
            "tenant": own.acting().map(|name| &**name),
            "carries": own.beyond(other),
        })
    };
    let posed = &asked.posed;
    // As in the decision log.
    let (decisions, other) = (&asked.live.gateway.decisions, candidate.evidence.route.as_deref());
    let is_hidden = hides_path(decisions, live.evidence.route.as_deref())
        || other.is_some_and(|route| hides_path(decisions, Some(route)));
    let path = posed.target.split_once('?').map_or(&*posed.target, |(path, _)| path);
    let path = (!is_hidden).then_some(path);
    json!({
        "request_id": asked.id.to_str().unwrap_or_default(),
        "host": posed.host.as_str(),
        "path": path,
        "event": posed.event.as_ref().map(|own| &own.name),
        "live": side(live, candidate),
        "candidate": side(candidate, live),
    })
}
