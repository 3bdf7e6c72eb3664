//! What can be known on an operation at all, and so what a condition can come to there: one that rests on an object that
//! the operation doesn't name would refuse everyone, for ever.

use super::lookups::LookUpDraft;
use super::{Draft, OperationDraft};
use crate::fact::{Source, Type};
use crate::policy::{Condition, Leaf, Operand, Operator};
use crate::route::Verb;

/// What can be known on one operation.
pub(super) struct Reach<'d, 'n> {
    draft: &'d Draft<'n>,
    operation: &'d OperationDraft,
    look_ups: Vec<bool>,
}

/// What a condition can come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outlook {
    /// It can hold.
    pub(super) holds: bool,
    /// It can fail.
    pub(super) fails: bool,
}

impl<'d, 'n> Reach<'d, 'n> {
    /// What can be known on an operation.
    pub(super) fn of(draft: &'d Draft<'n>, operation: &'d OperationDraft) -> Self {
        let mut reach = Self { draft, operation, look_ups: vec![false; draft.look_ups.len()] };
        let mut before = None;
        while before != Some(reach.look_ups.clone()) {
            before = Some(reach.look_ups.clone());
            let asked = |own: &LookUpDraft| own.placeholders().all(|fact| reach.knows(fact));
            reach.look_ups = draft.look_ups.iter().map(asked).collect();
        }
        reach
    }

    /// Takes the facts of a look-up for known: they are read from elsewhere.
    pub(super) fn with(mut self, look_up: usize) -> Self {
        if let Some(known) = self.look_ups.get_mut(look_up) {
            *known = true;
        }
        self
    }

    /// Whether a fact can be known there.
    pub(super) fn knows(&self, fact: usize) -> bool {
        let Some(fact) = self.draft.facts.get(fact) else { return false };
        match &fact.source {
            Source::Path(name) => {
                let opened = self.draft.opened_at(self.operation);
                opened.is_some_and(|(path, _)| path.parameters().iter().any(|(own, _)| own == name))
            }
            Source::Body(_) => self.operation.verb != Verb::Get,
            Source::LookUp { look_up, .. } => self.look_ups.get(*look_up).copied().unwrap_or(false),
            _ => true,
        }
    }

    /// What a condition can come to there. One that became a filter of the query holds.
    pub(super) fn outlook(&self, condition: usize) -> Outlook {
        self.of_condition(&Condition::Named(condition))
    }

    fn of_condition(&self, condition: &Condition) -> Outlook {
        match condition {
            Condition::Leaf(leaf) => self.of_leaf(leaf),
            Condition::Named(index) => {
                let narrows = &self.operation.obligations.narrows;
                if narrows.iter().any(|own| own.condition == *index) {
                    return Outlook { holds: true, fails: false };
                }
                let named = self.draft.conditions.get(*index);
                named.map_or(Outlook { holds: false, fails: false }, |own| self.of_condition(&own.condition))
            }
            Condition::All(parts) => Outlook {
                holds: parts.iter().all(|part| self.of_condition(part).holds),
                fails: parts.iter().any(|part| self.of_condition(part).fails),
            },
            Condition::Any(parts) => Outlook {
                holds: parts.iter().any(|part| self.of_condition(part).holds),
                fails: parts.iter().all(|part| self.of_condition(part).fails),
            },
            Condition::Not(part) => {
                let own = self.of_condition(part);
                Outlook { holds: own.fails, fails: own.holds }
            }
        }
    }

    fn of_leaf(&self, leaf: &Leaf) -> Outlook {
        let left = self.knows(leaf.fact);
        let right = match leaf.operand {
            Operand::Fact(other) => self.knows(other),
            Operand::Literal(_) => true,
        };
        if left && right {
            return Outlook { holds: true, fails: true };
        }
        // A set that is known may be empty, and then it fails whatever the other side.
        let over_empty = matches!(leaf.operator, Operator::In | Operator::Meets)
            && (right && matches!(leaf.operand, Operand::Fact(_))
                || left && self.draft.facts.get(leaf.fact).is_some_and(|own| own.kind == Type::Set));
        Outlook { holds: false, fails: over_empty }
    }
}

/// The path parameters that a condition reads, those of its look-ups' paths included but for the base's own.
pub(super) fn parameters(draft: &Draft<'_>, condition: usize) -> Vec<Box<str>> {
    let mut found: Vec<Box<str>> = Vec::new();
    let mut asked: Vec<usize> = Vec::new();
    for fact in facts(draft, condition) {
        match draft.facts.get(fact).map(|own| &own.source) {
            Some(Source::Path(name)) => found.push(name.clone()),
            Some(Source::LookUp { look_up, .. }) => asked.push(*look_up),
            _ => {}
        }
    }
    let in_base = |name: &str| draft.base.split('/').any(|segment| segment == format!("{{{name}}}"));
    let mut at = 0;
    while let Some(look_up) = asked.get(at).copied() {
        at += 1;
        for fact in draft.look_ups.get(look_up).into_iter().flat_map(LookUpDraft::placeholders) {
            match draft.facts.get(fact).map(|own| &own.source) {
                Some(Source::Path(name)) if !in_base(name) => found.push(name.clone()),
                Some(Source::LookUp { look_up, .. }) if !asked.contains(look_up) => asked.push(*look_up),
                _ => {}
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The facts that a condition reads itself, through names too.
pub(super) fn facts(draft: &Draft<'_>, condition: usize) -> Vec<usize> {
    let mut facts = Vec::new();
    Condition::Named(condition).leaves(&draft.conditions, &mut |leaf| {
        facts.push(leaf.fact);
        if let Operand::Fact(other) = leaf.operand {
            facts.push(other);
        }
    });
    facts
}

/// Whether a condition reads what not every operation has: a parameter of a path, or a body.
pub(super) fn is_of_an_object(draft: &Draft<'_>, condition: usize) -> bool {
    let plain = |fact: usize| {
        let source = draft.facts.get(fact).map(|own| &own.source);
        !matches!(source, Some(Source::Path(_) | Source::Body(_) | Source::LookUp { .. }))
    };
    !facts(draft, condition).into_iter().all(plain)
}
