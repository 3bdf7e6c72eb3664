//! Two answers to one request, by the live rules and by a candidate: whether they are the same, and in what they differ.
//! Who puts the request to both, and when, is `shadow`'s business.

use std::sync::Arc;

use super::carried::edited;
use crate::authorize::{Effect, Evidence, Permit, Question, Ruling, TokenHandling};
use crate::rejection::Rejection;
use crate::snapshot::Snapshot;

/// What a candidate says to a request, seen from the live answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Allowed; where the live rules allow it too, with the same obligations.
    Allow,
    /// Allowed by both, but another thing is sent on, or other parts of the answer are passed on.
    Differently,
    /// Refused.
    Deny,
    /// It can't be known: the candidate would have asked what the live rules didn't.
    Unknown,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 4] = [Self::Allow, Self::Differently, Self::Deny, Self::Unknown];

    /// The metric label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Differently => "differently",
            Self::Deny => "deny",
            Self::Unknown => "unknown",
        }
    }

    /// Whether a caller would notice.
    #[must_use]
    pub fn is_change(self, live: Effect) -> bool {
        match (live, self) {
            (_, Self::Unknown) => false,
            (Effect::Allow, said) => said != Self::Allow,
            (Effect::Deny, said) => said != Self::Deny,
        }
    }
}

/// One side's answer.
#[derive(Clone, Debug)]
pub struct Side {
    /// What it said; `None` where that can't be known.
    pub effect: Option<Effect>,
    /// Why, in a word, or what would have been asked.
    pub reason: String,
    /// What it rested on.
    pub evidence: Evidence,
    /// What an allow carries along.
    carries: Vec<Carried>,
}

/// One thing that an allow carries along. Its value may be a fact that nobody is to read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Carried {
    what: String,
    value: String,
}

impl Carried {
    fn of(what: impl Into<String>, value: impl Into<String>) -> Self {
        Self { what: what.into(), value: value.into() }
    }
}

impl Side {
    /// Of a ruling by these rules.
    #[must_use]
    pub fn of(snapshot: &Snapshot, ruling: Ruling) -> Self {
        match ruling {
            Ruling::Permit(permit, evidence) => {
                let carries = carries(snapshot, &permit, &evidence);
                let reason = evidence.verdict.map_or("granted", |verdict| verdict.reason).to_owned();
                Self { effect: Some(Effect::Allow), reason, evidence, carries }
            }
            // Another time the app may answer.
            Ruling::Refuse(Rejection::Unanswered, evidence) => {
                let reason = "an application gave no answer".to_owned();
                Self { effect: None, reason, evidence, carries: Vec::new() }
            }
            Ruling::Refuse(rejection, evidence) => {
                let reason = evidence.verdict.map_or(rejection.reason(), |verdict| verdict.reason).to_owned();
                Self { effect: Some(Effect::Deny), reason, evidence, carries: Vec::new() }
            }
            Ruling::Ask(pending) => {
                let first = pending.questions().first().map_or_else(String::new, would_ask);
                Self::unknown(first)
            }
        }
    }

    /// Of rules that ask for what nobody found out.
    #[must_use]
    pub fn asking(question: &Question) -> Self {
        Self::unknown(would_ask(question))
    }

    /// Of rules whose answer can't be known, because of this.
    #[must_use]
    pub fn unknown(reason: String) -> Self {
        Self { effect: None, reason, evidence: Evidence::default(), carries: Vec::new() }
    }

    /// The names of the roles that the caller holds by these rules.
    #[must_use]
    pub fn roles(&self, snapshot: &Snapshot) -> Box<[Arc<str>]> {
        let Some(judged) = &self.evidence.judged else { return Box::default() };
        let Some(app) = snapshot.apps.get(judged.operation.app) else { return Box::default() };
        let held = judged.roles.iter().filter(|role| Some(*role) != app.anyone);
        held.filter_map(|role| Some(app.roles.get(role)?.name.clone())).collect()
    }

    /// The acting tenant's name, proven or not.
    #[must_use]
    pub fn acting(&self) -> Option<&Arc<str>> {
        self.evidence.judged.as_ref()?.tenant.as_ref().map(|tenant| &tenant.name)
    }

    /// What this side's allow carries along and the other's doesn't; of what has only another value, that it has.
    #[must_use]
    pub fn beyond(&self, other: &Self) -> Vec<String> {
        let own = self.carries.iter().filter(|own| !other.carries.contains(own));
        let told = own.map(|own| {
            let is_there = other.carries.iter().any(|theirs| theirs.what == own.what);
            if is_there { format!("{} (of another value)", own.what) } else { own.what.clone() }
        });
        told.collect()
    }
}

/// What a candidate says, seen from the live answer.
#[must_use]
pub fn verdict(live: &Side, candidate: &Side) -> Verdict {
    match (live.effect, candidate.effect) {
        (_, None) => Verdict::Unknown,
        (_, Some(Effect::Deny)) => Verdict::Deny,
        (Some(Effect::Allow), Some(Effect::Allow)) if live.carries != candidate.carries => {
            Verdict::Differently
        }
        (_, Some(Effect::Allow)) => Verdict::Allow,
    }
}

/// What would be seen of an allow from outside: where the request goes, as what and for whom, and what is done to its answer.
fn carries(snapshot: &Snapshot, permit: &Permit, evidence: &Evidence) -> Vec<Carried> {
    let upstream = snapshot.gateway.upstreams.get(permit.upstream()).map_or("", |own| &own.name);
    let mut told = vec![Carried::of(format!("sent to {upstream}"), path_of(permit.target()))];
    if let Some(tenant) = evidence.judged.as_ref().and_then(|own| own.tenant.as_ref()) {
        told.push(Carried::of(format!("for tenant {}", tenant.name), ""));
    }
    if permit.authorization() == TokenHandling::Pass {
        told.push(Carried::of("with the caller's token", ""));
    }
    told.extend(
        permit.removed().iter().map(|name| Carried::of(format!("without the client's own {name}"), "")),
    );
    for (key, value) in &evidence.narrowed {
        told.push(Carried::of(format!("the list is filtered by {key}"), value));
    }
    for (name, value) in permit.supplied() {
        told.push(Carried::of(format!("with {name}"), String::from_utf8_lossy(value.as_bytes())));
    }
    for (name, value) in &evidence.audited {
        told.push(Carried::of(format!("{name} on record"), value));
    }
    told.extend(edited(snapshot, permit, evidence).into_iter().map(|text| Carried::of(text, "")));
    told
}

/// What is added to a query is told by the steps; the client's own part is nobody's business.
fn path_of(target: &str) -> &str {
    target.split_once('?').map_or(target, |(path, _)| path)
}

fn would_ask(question: &Question) -> String {
    match question {
        Question::Body => "would read the body".to_owned(),
        Question::LookUp(own) => format!("would ask {} for its {}", own.key.app, own.key.namespace),
        Question::Seat { .. } => "would need a licence seat".to_owned(),
        Question::Verify { .. } => "would verify the token".to_owned(),
        Question::Arrival { .. } | Question::Budget { .. } => "would count against a rate".to_owned(),
    }
}
