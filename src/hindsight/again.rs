//! One recorded request, decided again by other rules, and how the two answers differ.

use crate::authorize::{Evidence, Permit, Ruling};
use crate::fact::{Fact, Source};
use crate::policy::{App, Decision, Denial, Operand, TenantRule, Truth};
use crate::record::{Effect, Record, Unreplayable, obligations};
use crate::rejection::Rejection;
use crate::snapshot::Snapshot;

/// What rules say of a recorded request.
#[derive(Clone, Debug)]
pub enum Again {
    /// They answer it as it was answered.
    Alike,
    /// They answer it otherwise.
    Otherwise(Box<Now>, Change),
    /// It can't be known: they read what the record doesn't hold. What they say without it, and what is missing.
    Unknown(Box<Now>, Vec<Box<str>>),
    /// Nothing: the rules had no part in it, or it can't be put to any.
    Apart(Unreplayable),
}

/// How an answer differs from the recorded one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// It was denied, and would be allowed.
    Gained,
    /// It was allowed, and would be denied.
    Lost,
    /// It is allowed with less held back, or with something else.
    Wider,
    /// It is allowed for another tenant: another's things.
    Tenant,
    /// It is allowed, and sent to another upstream.
    Upstream,
    /// It is allowed with more held back.
    Narrower,
    /// It is denied for another reason.
    Reason,
}

impl Change {
    /// Its words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gained => "deny -> allow",
            Self::Lost => "allow -> deny",
            Self::Wider => "allow, with other obligations",
            Self::Tenant => "allow, for another tenant",
            Self::Upstream => "allow, by another upstream",
            Self::Narrower => "allow, with more obligations",
            Self::Reason => "deny, for another reason",
        }
    }

    /// Whether someone may more than before.
    #[must_use]
    pub fn widens(self) -> bool {
        matches!(self, Self::Gained | Self::Wider | Self::Tenant | Self::Upstream)
    }

    /// Whether someone may less than before.
    #[must_use]
    pub fn narrows(self) -> bool {
        matches!(self, Self::Lost | Self::Narrower)
    }
}

/// An answer, in the words that a record has for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Now {
    /// Allow or deny.
    pub effect: Effect,
    /// Why.
    pub reason: &'static str,
    /// The members of a record that tell the rest: app, route, roles, permission, role, condition, rule, obligations.
    pub record: Record,
}

/// Puts a record to rules.
#[must_use]
pub fn again(record: &Record, snapshot: &Snapshot) -> Again {
    let posed = match record.posed(snapshot) {
        Ok(posed) => posed,
        Err(why) => return Again::Apart(why),
    };
    let decided = posed.decide(snapshot, |_, ruling| match &ruling {
        Ruling::Permit(permit, evidence) => judge(record, snapshot, Ok(permit), evidence),
        Ruling::Refuse(rejection, evidence) => judge(record, snapshot, Err(rejection), evidence),
        Ruling::Ask(_) => judge(record, snapshot, Err(&Rejection::Unanswered), &Evidence::default()),
    });
    decided.unwrap_or_else(|why| Again::Apart(Unreplayable::NoDecision { reason: why.reason().to_owned() }))
}

fn judge(
    record: &Record,
    snapshot: &Snapshot,
    ruled: Result<&Permit, &Rejection>,
    evidence: &Evidence,
) -> Again {
    let verdict = evidence.verdict.map(|own| own.reason);
    let (effect, reason) = match ruled {
        Ok(_) => (Effect::Allow, verdict.unwrap_or("allowed")),
        Err(rejection) => (Effect::Deny, verdict.unwrap_or(rejection.reason())),
    };
    let carried =
        ruled.ok().map(|permit| obligations(permit.edits(), snapshot, evidence)).unwrap_or_default();
    let is_bare = ruled.ok().is_none_or(|own| own.edits().is_none() && evidence.narrowed.is_empty());
    let upstream =
        ruled.ok().and_then(|own| snapshot.gateway.upstreams.get(own.upstream())).map(|own| &*own.name);
    let now = || Box::new(Now::of(snapshot, (effect, reason), evidence, (carried.clone(), upstream)));
    // The rules that made the record say the same again, whatever it doesn't hold.
    if *record.rules.hash != *snapshot.hash {
        let missing = missing(record, snapshot, effect, is_bare, evidence);
        if !missing.is_empty() {
            return Again::Unknown(now(), missing);
        }
    }
    // Who asked for what was nowhere, nobody wrote down.
    let was_nowhere = matches!(&*record.reason, "no-such-operation" | "method-not-allowed");
    if was_nowhere && reason == "token-missing" {
        return Again::Unknown(now(), vec!["the caller's token".into()]);
    }
    let now = now();
    match change(record, &now.record) {
        None => Again::Alike,
        Some(change) => Again::Otherwise(now, change),
    }
}

impl Now {
    /// No answer.
    #[must_use]
    pub fn nothing() -> Self {
        Self { effect: Effect::Deny, reason: "unknown", record: Record::default() }
    }

    fn of(
        snapshot: &Snapshot,
        (effect, reason): (Effect, &'static str),
        evidence: &Evidence,
        (obligations, upstream): (Vec<String>, Option<&str>),
    ) -> Self {
        let text = |own: &Option<std::sync::Arc<str>>| own.as_deref().map(str::to_owned);
        let mut record = Record {
            app: text(&evidence.app),
            route: text(&evidence.route),
            tenant: text(&evidence.tenant),
            rule: text(&evidence.rule),
            effect,
            reason: reason.to_owned(),
            obligations,
            upstream: upstream.map(str::to_owned),
            ..Record::default()
        };
        let judged = evidence.judged.as_ref();
        if let Some((judged, (app, operation))) =
            judged.and_then(|own| Some((own, snapshot.operation(own.operation)?)))
        {
            record.judged(app, operation, judged);
        }
        Self { effect, reason, record }
    }
}

fn change(then: &Record, now: &Record) -> Option<Change> {
    match (then.effect, now.effect) {
        (Effect::Deny, Effect::Allow) => Some(Change::Gained),
        (Effect::Allow, Effect::Deny) => Some(Change::Lost),
        (Effect::Deny, Effect::Deny) => (then.reason != now.reason).then_some(Change::Reason),
        (Effect::Allow, Effect::Allow) => change_of_allowed(then, now),
    }
}

/// Whose things are shown, by whom, and how much of them.
fn change_of_allowed(then: &Record, now: &Record) -> Option<Change> {
    if then.tenant.is_some() && then.tenant != now.tenant {
        return Some(Change::Tenant);
    }
    // What was let through and never sent, such as a preflight, was by no upstream.
    if then.upstream.is_some() && then.upstream != now.upstream {
        return Some(Change::Upstream);
    }
    let is_kept = then.obligations.iter().all(|own| now.obligations.contains(own));
    let is_more = now.obligations.iter().any(|own| !then.obligations.contains(own));
    match (is_kept, is_more) {
        (true, false) => None,
        (true, true) => Some(Change::Narrower),
        (false, _) => Some(Change::Wider),
    }
}

/// Of what the rules read and the record doesn't hold, that which the answer could rest on.
fn missing(
    record: &Record,
    snapshot: &Snapshot,
    effect: Effect,
    is_bare: bool,
    evidence: &Evidence,
) -> Vec<Box<str>> {
    let mut missing = record.missing(snapshot, evidence);
    let found = evidence.judged.as_ref().and_then(|own| Some((own, snapshot.operation(own.operation)?)));
    let (false, Some((judged, (app, _)))) = (missing.is_empty(), found) else { return missing };
    let caller = callers(app);
    let is_callers = |name: &str| caller.contains(&name);
    match judged.decision {
        // Conditions grant nothing to roles that have no grant.
        Some(Decision::Deny(Denial::NoPermission)) => missing.retain(|name| is_callers(name)),
        // What fails for what is known fails whatever the rest is.
        Some(Decision::Deny(Denial::Requirement { requirement, truth: Truth::Fails })) => {
            let condition = app.requirements.get(requirement).map(|own| own.condition);
            let own = condition.map_or(Vec::new(), |own| read_by(app, own));
            missing.retain(|name| is_callers(name) || own.contains(&&**name));
        }
        // Nothing that is unknown makes a test hold, so that knowing more takes no allow away.
        Some(Decision::Allow(_)) if effect == Effect::Allow && is_bare => {
            // But for what stands in place of the unknown.
            let given = |fact: &Fact| {
                fact.default.is_some() || fact.source == Source::ClientIp || is_injected(app, fact)
            };
            let needed = |name: &str| app.facts.iter().any(|fact| *fact.name == *name && given(fact));
            missing.retain(|name| is_callers(name) || needed(name));
        }
        _ => {}
    }
    missing
}

fn is_injected(app: &App, fact: &Fact) -> bool {
    app.injects.iter().any(|own| app.facts.get(own.fact).is_some_and(|other| other.name == fact.name))
}

/// The facts that say who asks, and for whom.
fn callers(app: &App) -> Vec<&str> {
    let mut facts = vec![app.roles_fact];
    let mut names = Vec::new();
    if let TenantRule::From { sources, proven_by } = &app.tenant {
        facts.extend(sources.iter());
        let proof = proven_by.and_then(|own| app.requirements.get(own)).map(|own| own.condition);
        names.extend(proof.into_iter().flat_map(|own| read_by(app, own)));
    }
    names.extend(facts.into_iter().filter_map(|own| app.facts.get(own)).map(|own| &*own.name));
    names
}

/// The facts that a condition reads.
fn read_by(app: &App, condition: usize) -> Vec<&str> {
    let mut facts: Vec<usize> = Vec::new();
    let named = app.conditions.get(condition);
    named.into_iter().for_each(|own| {
        own.condition.leaves(&app.conditions, &mut |leaf| {
            facts.push(leaf.fact);
            if let Operand::Fact(other) = leaf.operand {
                facts.push(other);
            }
        });
    });
    facts.into_iter().filter_map(|own| app.facts.get(own)).map(|own| &*own.name).collect()
}
