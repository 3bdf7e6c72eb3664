//! Grants that come to nothing on an operation, because a condition of theirs rests on what isn't known there: the object of
//! a list, the body of a GET. Whoever holds only such a grant is refused there, for ever.

use std::collections::HashMap;

use super::{Finding, Kind, Subject, Weight, listed};
use crate::fact::{Source, Type};
use crate::policy::obligation::Piece;
use crate::policy::{App, Condition, Grant, Leaf, Operand, Operation, Operator, PermissionId};
use crate::route::Verb;

pub(super) fn of(app: &App) -> Vec<Finding> {
    let objects: Vec<bool> = (0..app.conditions.len()).map(|index| is_of_an_object(app, index)).collect();
    let mut under: HashMap<PermissionId, Vec<&Operation>> = HashMap::new();
    for operation in &app.operations {
        for permission in operation.permissions() {
            under.entry(permission).or_default().push(operation);
        }
    }
    let mut findings = Vec::new();
    for (index, role) in app.roles.iter().enumerate() {
        for (at, grant) in role.grants.iter().enumerate() {
            let rests = grant.conditions.iter().any(|own| objects.get(*own).copied().unwrap_or(false));
            if !rests {
                continue;
            }
            let operations = under.get(&grant.permission).map_or(&[][..], Vec::as_slice);
            let dead: Vec<String> = operations
                .iter()
                .filter(|operation| !can_hold(app, operation, grant) && !is_let_in(app, index, operation))
                .map(|operation| format!("{} {}", operation.verb, operation.template))
                .collect();
            if dead.is_empty() {
                continue;
            }
            let message = format!("this never lets `{}` do {}", role.name, listed(&dead));
            findings.push(
                Finding::new(Kind::NeverKnown, Weight::Warning, Subject::Grant(index, at), message)
                    .label("it rests on an object that isn't named there")
                    .help("make the condition a filter of the list with [narrow], or grant the list by a scope of its own"),
            );
        }
    }
    findings
}

/// Whether a role, or everyone, has another grant that can hold on an operation.
fn is_let_in(app: &App, role: usize, operation: &Operation) -> bool {
    let roles = [Some(role), app.anyone].into_iter().flatten().filter_map(|role| app.roles.get(role));
    let mut grants = roles.flat_map(|role| operation.permissions().flat_map(|id| role.grants_of(id)));
    grants.any(|grant| can_hold(app, operation, grant))
}

fn can_hold(app: &App, operation: &Operation, grant: &Grant) -> bool {
    let known = Known::on(app, operation);
    grant.conditions.iter().all(|own| known.outlook(&Condition::Named(*own)).0)
}

/// Whether a condition reads what not every operation has.
fn is_of_an_object(app: &App, condition: usize) -> bool {
    let mut found = false;
    Condition::Named(condition).leaves(&app.conditions, &mut |leaf| {
        let other = match leaf.operand {
            Operand::Fact(other) => Some(other),
            Operand::Literal(_) => None,
        };
        for fact in [Some(leaf.fact), other].into_iter().flatten() {
            let source = app.facts.get(fact).map(|own| &own.source);
            found |= matches!(source, Some(Source::Path(_) | Source::Body(_) | Source::LookUp { .. }));
        }
    });
    found
}

/// What can be known on one operation.
struct Known<'a> {
    app: &'a App,
    operation: &'a Operation,
    look_ups: Vec<bool>,
}

impl<'a> Known<'a> {
    fn on(app: &'a App, operation: &'a Operation) -> Self {
        let mut known = Self { app, operation, look_ups: vec![false; app.look_ups.len()] };
        loop {
            let asked: Vec<bool> = app
                .look_ups
                .iter()
                .map(|own| {
                    own.target.iter().all(|piece| !matches!(piece, Piece::Fact(fact) if !known.knows(*fact)))
                })
                .collect();
            if asked == known.look_ups {
                return known;
            }
            known.look_ups = asked;
        }
    }

    fn knows(&self, fact: usize) -> bool {
        let Some(fact) = self.app.facts.get(fact) else { return false };
        match &fact.source {
            Source::Path(name) => {
                self.app.path_of(self.operation).parameters().iter().any(|(own, _)| own == name)
            }
            Source::Body(_) => self.operation.verb != Verb::Get,
            Source::LookUp { look_up, .. } => self.look_ups.get(*look_up).copied().unwrap_or(false),
            _ => true,
        }
    }

    /// Whether a condition can hold there, and whether it can fail. One that became a filter of the query holds.
    fn outlook(&self, condition: &Condition) -> (bool, bool) {
        match condition {
            Condition::Leaf(leaf) => self.of_leaf(leaf),
            Condition::Named(index) => {
                let mut narrows = self.operation.obligations.narrows.iter();
                if narrows.any(|own| own.condition == *index) {
                    return (true, false);
                }
                self.app.conditions.get(*index).map_or((false, false), |own| self.outlook(&own.condition))
            }
            Condition::All(parts) => {
                let parts: Vec<_> = parts.iter().map(|part| self.outlook(part)).collect();
                (parts.iter().all(|own| own.0), parts.iter().any(|own| own.1))
            }
            Condition::Any(parts) => {
                let parts: Vec<_> = parts.iter().map(|part| self.outlook(part)).collect();
                (parts.iter().any(|own| own.0), parts.iter().all(|own| own.1))
            }
            Condition::Not(part) => {
                let (holds, fails) = self.outlook(part);
                (fails, holds)
            }
        }
    }

    fn of_leaf(&self, leaf: &Leaf) -> (bool, bool) {
        let left = self.knows(leaf.fact);
        let (right, is_fact) = match leaf.operand {
            Operand::Fact(other) => (self.knows(other), true),
            Operand::Literal(_) => (true, false),
        };
        if left && right {
            return (true, true);
        }
        // A set that is known may be empty, and then it fails whatever the other side.
        let is_set = self.app.facts.get(leaf.fact).is_some_and(|own| own.kind == Type::Set);
        let over_empty = matches!(leaf.operator, Operator::In | Operator::Meets);
        (false, over_empty && (right && is_fact || left && is_set))
    }
}
