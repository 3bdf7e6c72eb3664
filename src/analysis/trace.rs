//! How a ruling was come to, step by step, with the values that its conditions read. It evaluates nothing anew that
//! could differ: steps come from the ruling's own evidence, values from the same facts.

use std::borrow::Cow;
use std::sync::Arc;

use super::{beside, carried, guard, nearest};
use crate::authorize::{Evidence, Judged};
use crate::fact::Value;
use crate::identity::Principal;
use crate::policy::{
    App, Condition, Decision, Denial, Facts, Granted, Leaf, Operand, Operation, TenantRule, Trail, Truth,
};
use crate::request::RequestView;
use crate::snapshot::Snapshot;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it was about, in one word.
    pub stage: &'static str,
    /// What came of it.
    pub text: String,
    /// Where the rule stands.
    pub place: Option<Arc<str>>,
    /// The tests that it rested on.
    pub tests: Vec<Test>,
}

/// One leaf with the values that it compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// The condition that it belongs to.
    pub condition: Box<str>,
    /// `token.tid in tenant.ids`.
    pub text: String,
    /// `'4f1…' in ['452…']`; what is unknown is said to be.
    pub values: String,
    /// What it said.
    pub truth: Truth,
}

/// The steps of a ruling that came as far as an operation.
#[must_use]
pub fn steps(snapshot: &Snapshot, request: &RequestView<'_>, evidence: &Evidence) -> Vec<Step> {
    let Some(judged) = &evidence.judged else { return Vec::new() };
    let Some((app, operation)) = snapshot.operation(judged.operation) else { return Vec::new() };
    let mut steps = vec![route(app, operation)];
    steps.extend(beside::of_app(app, operation));
    let (Some(caller), Some(_)) = (&evidence.caller, &judged.tenant) else { return steps };
    let Ok(principal) = Principal::identify(caller.clone(), |id| snapshot.directory.knows(id)) else {
        return steps;
    };
    let parameters = app.path_of(operation).values(request.path);
    let trail = Trail::default();
    let facts = facts(app, operation, judged, request, (&principal, &parameters, &trail));
    steps.push(identity(app, judged, &principal));
    steps.extend(carried::answers(app, judged));
    steps.push(tenant(app, judged, &facts));
    steps.extend(requirements(app, operation, judged, &facts));
    steps.extend(grant(app, operation, judged, &facts));
    steps.extend(beside::of_caller(app, operation, judged, &facts));
    steps
}

/// The facts that an operator could state to make an answer one that doesn't rest on what is unknown.
#[must_use]
pub fn unknown_facts(snapshot: &Snapshot, request: &RequestView<'_>, evidence: &Evidence) -> Vec<Box<str>> {
    let mut unknown = Vec::new();
    let Some(judged) = &evidence.judged else { return unknown };
    let Some((app, operation)) = snapshot.operation(judged.operation) else { return unknown };
    let Some(caller) = &evidence.caller else { return unknown };
    let Ok(principal) = Principal::identify(caller.clone(), |id| snapshot.directory.knows(id)) else {
        return unknown;
    };
    let parameters = app.path_of(operation).values(request.path);
    let trail = Trail::default();
    let facts = facts(app, operation, judged, request, (&principal, &parameters, &trail));
    let proof = match &app.tenant {
        TenantRule::From { proven_by, .. } => proven_by.as_ref(),
        TenantRule::Constant(_) => None,
    };
    let requirements = proof.into_iter().chain(operation.requirements());
    let mut conditions: Vec<usize> =
        requirements.filter_map(|own| app.requirements.get(*own)).map(|own| own.condition).collect();
    if let Some(Decision::Deny(Denial::Condition { condition, .. })) = judged.decision {
        conditions.push(condition);
    }
    conditions.iter().for_each(|condition| carried::unknown(app, *condition, &facts, &mut unknown));
    unknown
}

fn facts<'r>(
    app: &'r App,
    operation: &'r Operation,
    judged: &'r Judged,
    request: &'r RequestView<'r>,
    (principal, parameters, trail): (&'r Principal, &'r [(&'r str, Cow<'r, str>)], &'r Trail),
) -> Facts<'r> {
    Facts {
        declared: &app.facts,
        request,
        parameters,
        principal: Some(principal),
        tenant: judged.tenant.as_deref(),
        app: judged.operation.app,
        known: &judged.known,
        narrows: &operation.obligations.narrows,
        trail,
        now: judged.now,
    }
}

/// The step that names the operation.
pub(super) fn route(app: &App, operation: &Operation) -> Step {
    let permissions: Vec<_> =
        operation.permissions().filter_map(|id| app.permission(id)).map(|own| own.name.to_string()).collect();
    let leads = if permissions.is_empty() { "public".to_owned() } else { permissions.join(" or ") };
    Step {
        stage: "route",
        text: format!("{} {} -> {}: {leads}", operation.verb, operation.template, app.name),
        place: Some(operation.place.clone()),
        tests: Vec::new(),
    }
}

fn identity(app: &App, judged: &Judged, principal: &Principal) -> Step {
    let roles: Vec<_> = judged
        .roles
        .iter()
        .filter_map(|role| app.roles.get(role))
        .map(|role| role.name.to_string())
        .collect();
    let held = if roles.is_empty() { "no role of this app".to_owned() } else { roles.join(", ") };
    let fact = app.facts.get(app.roles_fact).map_or("", |fact| &*fact.name);
    let text =
        format!("issuer {}, subject {}: {held} (from {fact})", principal.issuer(), principal.subject());
    Step { stage: "identity", text, place: None, tests: Vec::new() }
}

fn tenant(app: &App, judged: &Judged, facts: &Facts<'_>) -> Step {
    let name = judged.tenant.as_ref().map_or("none", |tenant| &*tenant.name);
    let (text, proof) = match &app.tenant {
        TenantRule::Constant(_) => (format!("{name}, always"), None),
        TenantRule::From { sources, proven_by } => {
            let source =
                sources.iter().find(|source| facts.is_stated(**source)).and_then(|at| app.facts.get(*at));
            let from = source.map_or("", |fact| &*fact.name);
            (format!("{name}, from {from}"), proven_by.and_then(|at| app.requirements.get(at)))
        }
    };
    let tests = proof.map_or(Vec::new(), |proof| tests(app, proof.condition, facts));
    let failed = proof.is_some_and(|proof| crate::policy::test(app, proof.condition, facts) != Truth::Holds);
    let text = match (proof, failed) {
        (Some(proof), true) => {
            format!("{text}: `{}` doesn't prove that the caller may act there", proof.name)
        }
        (Some(proof), false) => format!("{text}, proven by `{}`", proof.name),
        (None, _) => text,
    };
    Step { stage: "tenant", text, place: proof.map(|proof| proof.place.clone()), tests }
}

fn requirements(app: &App, operation: &Operation, judged: &Judged, facts: &Facts<'_>) -> Vec<Step> {
    let Some(decision) = judged.decision else { return Vec::new() };
    let proven_by = match &app.tenant {
        TenantRule::From { proven_by, .. } => *proven_by,
        TenantRule::Constant(_) => None,
    };
    let failed = match decision {
        Decision::Deny(Denial::Requirement { requirement, .. })
        | Decision::Unanswered(Denial::Requirement { requirement, .. }) => Some(requirement),
        Decision::Deny(Denial::NoPermission) | Decision::Unanswered(Denial::NoPermission) => {
            return Vec::new();
        }
        _ => None,
    };
    operation
        .requirements()
        .iter()
        .copied()
        .filter(|index| Some(*index) != proven_by && failed.is_none_or(|failed| *index <= failed))
        .filter_map(|index| app.requirements.get(index).map(|requirement| (index, requirement)))
        .map(|(index, requirement)| {
            let truth = crate::policy::test(app, requirement.condition, facts);
            Step {
                stage: "require",
                text: format!("{} {}", requirement.name, word(truth)),
                place: Some(requirement.place.clone()),
                tests: if failed == Some(index) {
                    tests(app, requirement.condition, facts)
                } else {
                    Vec::new()
                },
            }
        })
        .collect()
}

fn grant(app: &App, operation: &Operation, judged: &Judged, facts: &Facts<'_>) -> Option<Step> {
    let written = |role: usize, grant: usize| {
        let role = app.roles.get(role)?;
        let grant = role.grants.get(grant)?;
        let permission = app.permission(grant.permission)?;
        let conditions = nearest::names(app, &grant.conditions).join(", ");
        let condition = if conditions.is_empty() { String::new() } else { format!(" if {conditions}") };
        Some((format!("{} has {}{condition}", role.name, permission.name), grant))
    };
    let step = |text, place, tests| Some(Step { stage: "grant", text, place, tests });
    match judged.decision? {
        Decision::Allow(Granted::Public | Granted::Opening) | Decision::Need(_) => None,
        Decision::Allow(Granted::Grant { role, grant, .. }) => {
            let (text, grant) = written(role, grant)?;
            let mut shown: Vec<Test> = Vec::new();
            for test in grant.conditions.iter().flat_map(|own| tests(app, *own, facts)) {
                if !shown.contains(&test) {
                    shown.push(test);
                }
            }
            step(text, Some(grant.place.clone()), shown)
        }
        Decision::Deny(Denial::Condition { role, grant, condition, truth })
        | Decision::Unanswered(Denial::Condition { role, grant, condition, truth }) => {
            let (text, grant) = written(role, grant)?;
            let name = app.conditions.get(condition).map_or("", |own| &*own.name);
            step(
                format!("{text}; `{name}` {}", word(truth)),
                Some(grant.place.clone()),
                tests(app, condition, facts),
            )
        }
        Decision::Deny(Denial::NoPermission) | Decision::Unanswered(Denial::NoPermission) => {
            let names: Vec<_> = operation
                .permissions()
                .filter_map(|id| app.permission(id))
                .map(|own| own.name.to_string())
                .collect();
            step(format!("none of the caller's roles has {}", names.join(" or ")), None, Vec::new())
        }
        Decision::Deny(Denial::Requirement { .. }) | Decision::Unanswered(Denial::Requirement { .. }) => None,
    }
}

/// The word for a truth.
#[must_use]
pub fn word(truth: Truth) -> &'static str {
    match truth {
        Truth::Holds => "holds",
        Truth::Fails => "fails",
        Truth::Unknown => "is unknown",
    }
}

/// The leaves of a condition with their values: of one that holds those that made it hold, else all of them.
fn tests(app: &App, condition: usize, facts: &Facts<'_>) -> Vec<Test> {
    let mut tests: Vec<Test> = Vec::new();
    collect(app, &Condition::Named(condition), "", facts, &mut tests);
    if crate::policy::test(app, condition, facts) == Truth::Holds {
        tests.retain(|test| (test.truth == Truth::Holds) != test.condition.starts_with("not "));
    }
    let mut seen: Vec<Test> = Vec::new();
    for test in tests {
        if !seen.contains(&test) {
            seen.push(test);
        }
    }
    seen
}

fn collect(app: &App, condition: &Condition, name: &str, facts: &Facts<'_>, into: &mut Vec<Test>) {
    match condition {
        Condition::Leaf(leaf) => into.push(Test {
            condition: name.into(),
            text: written(app, leaf),
            values: values(leaf, facts),
            truth: leaf.test(facts),
        }),
        Condition::Named(index) => {
            if let Some(named) = app.conditions.get(*index) {
                collect(app, &named.condition, &named.name, facts, into);
            }
        }
        Condition::All(parts) | Condition::Any(parts) => {
            parts.iter().for_each(|part| collect(app, part, name, facts, into));
        }
        Condition::Not(part) => {
            let start = into.len();
            collect(app, part, name, facts, into);
            into.iter_mut()
                .skip(start)
                .for_each(|test| test.condition = format!("not {}", test.condition).into());
        }
    }
}

/// A leaf as its file writes it.
#[must_use]
pub fn written(app: &App, leaf: &Leaf) -> String {
    let name = |index: usize| app.facts.get(index).map_or("", |fact| &*fact.name);
    let right = match &leaf.operand {
        Operand::Fact(index) => name(*index).to_owned(),
        Operand::Literal(literal) => literal.to_string(),
    };
    format!("{} {} {right}", name(leaf.fact), leaf.operator)
}

fn values(leaf: &Leaf, facts: &Facts<'_>) -> String {
    let shown = |value: Option<Value<'_>>| match value {
        None => "unknown".to_owned(),
        // As the tenant's clocks show it: days and hours are compared there.
        Some(Value::Time(moment)) => {
            let there = moment.zone.datetime(moment.at).strftime("%Y-%m-%d %H:%M");
            format!("{} {there} {}", moment.weekday(), moment.zone.name())
        }
        Some(value) => value.to_string(),
    };
    let right = match &leaf.operand {
        Operand::Fact(index) => shown(facts.get(*index)),
        Operand::Literal(literal) => literal.to_string(),
    };
    format!("{} {} {right}", shown(facts.get(leaf.fact)), leaf.operator)
}

/// The roles that would be let in where this one wasn't, but for the ones that the caller holds.
#[must_use]
pub fn would_be_allowed(
    app: &App,
    operation: &Operation,
    judged: Option<&Judged>,
) -> Vec<nearest::Candidate> {
    let held: Vec<&str> = judged.map_or(Vec::new(), |judged| {
        judged.roles.iter().filter_map(|role| app.roles.get(role)).map(|role| &*role.name).collect()
    });
    let mut candidates = nearest::roles(app, operation);
    candidates.retain(|candidate| !held.contains(&&*candidate.role));
    candidates
}

/// Whether an operation can be reached by nobody at all.
#[must_use]
pub fn is_unreachable(app: &App, operation: &Operation) -> bool {
    !matches!(operation.access, crate::policy::Access::Public)
        && (0..app.roles.len()).all(|role| guard::standing(app, role, operation) == guard::Standing::Nothing)
}
