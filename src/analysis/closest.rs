//! Which roles would have been let in where a caller wasn't: each is tried, by putting the very request once more with
//! that role in place of the caller's. What a role's grant says on paper is `nearest`'s; this is what it comes to for one request.

use std::sync::Arc;

use serde_json::Value;

use super::nearest;
use super::posed::{Caller, Posed};
use super::trace::{self, Test};
use crate::authorize::{Judged, Ruling};
use crate::fact::Type;
use crate::policy::{App, Truth};
use crate::snapshot::Snapshot;

/// More roles than this aren't tried for one request.
const ROLES_MAX: usize = 64;

/// A role, and what it would come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Near {
    /// The role.
    pub role: Arc<str>,
    /// Whether the caller holds it.
    pub held: Standing,
    /// Its conditions: `if home, or if reader`.
    pub under: Option<String>,
    /// What the request would be answered with it.
    pub verdict: Verdict,
}

/// Whether the caller holds a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The role is the caller's.
    Held,
    /// It is another one.
    Other,
}

/// What a request would be answered with a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It would be allowed.
    Allowed,
    /// It would not: why, in the reason's word, and the tests that stand against it.
    Refused(Box<str>, Vec<Test>),
}

impl Near {
    /// `Customer ReadOnly Users (if reader, which holds)`, or `Customer Users, were it not for call.creator = token.oid`.
    #[must_use]
    pub fn text(&self) -> String {
        match (&self.verdict, &self.under) {
            (Verdict::Allowed, None) => self.role.to_string(),
            (Verdict::Allowed, Some(under)) => format!("{} ({under}: met here)", self.role),
            (Verdict::Refused(reason, tests), _) => {
                let tests: Vec<String> =
                    tests.iter().map(|own| format!("{} ({})", own.text, own.values)).collect();
                let why = if tests.is_empty() { reason.to_string() } else { tests.join(", ") };
                format!("{}, were it not for {why}", self.role)
            }
        }
    }
}

/// The roles that a refused request could have been allowed with, by how little is missing: the caller's own that only
/// a test stands against; then others that it would be allowed with, the least powerful first; then those that it
/// wouldn't.
#[must_use]
pub fn roles(snapshot: &Snapshot, posed: &Posed, judged: &Judged) -> Vec<Near> {
    let Some((app, operation)) = snapshot.operation(judged.operation) else { return Vec::new() };
    let mut found: Vec<(usize, Near)> = Vec::new();
    for candidate in nearest::roles(app, operation).into_iter().take(ROLES_MAX) {
        let Some((index, role)) = app.role(&candidate.role) else { continue };
        let held = if judged.roles.iter().any(|own| own == index) { Standing::Held } else { Standing::Other };
        let Some(posed) = with_role(app, posed, index) else { continue };
        let verdict = verdict(snapshot, &posed);
        let near = Near { role: role.name.clone(), held, under: candidate.under(), verdict };
        found.push((role.grants.len(), near));
    }
    found.sort_by_key(|(power, near)| rank(near, *power));
    found.into_iter().map(|(_, near)| near).collect()
}

fn rank(near: &Near, power: usize) -> (u8, usize) {
    match (&near.verdict, near.held) {
        (Verdict::Refused(_, tests), Standing::Held) => (0, tests.len()),
        (Verdict::Allowed, _) => (1, power),
        (Verdict::Refused(_, tests), Standing::Other) => (2, tests.len()),
    }
}

/// The request, of a caller who holds this role alone: grants only add up, so that no other is needed beside it. Nothing,
/// where roles come from what can't be stated.
fn with_role(app: &App, posed: &Posed, role: usize) -> Option<Posed> {
    let fact = app.facts.get(app.roles_fact)?;
    let claim = Value::from(&**app.roles.get(role)?.claims.first()?);
    let mut posed = posed.clone();
    if let Caller::Verified(token) = &posed.caller {
        posed.caller = Caller::Claims(token.issuer().clone(), token.claims().clone());
    }
    let claim = if fact.kind == Type::Set { Value::Array(vec![claim]) } else { claim };
    posed.place(app, fact, claim).ok()?;
    Some(posed)
}

/// What the request is answered, and the tests that stand against it.
fn verdict(snapshot: &Snapshot, posed: &Posed) -> Verdict {
    let refused = |reason: &str, tests| Verdict::Refused(reason.into(), tests);
    let decided = posed.decide(snapshot, |view, ruling| match ruling {
        Ruling::Permit(..) => Verdict::Allowed,
        Ruling::Ask(_) => refused("unanswered", Vec::new()),
        Ruling::Refuse(rejection, evidence) => {
            let reason = evidence.verdict.map_or(rejection.reason(), |own| own.reason);
            let mut tests = trace::steps(snapshot, view, &evidence).pop().map_or(Vec::new(), |own| own.tests);
            tests.retain(|test| (test.truth == Truth::Holds) == test.condition.starts_with("not "));
            refused(reason, tests)
        }
    });
    decided.unwrap_or_else(|why| refused(why.reason(), Vec::new()))
}
