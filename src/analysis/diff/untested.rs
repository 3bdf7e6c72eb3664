//! The facts whose values decide something that no test of a request shows: what is told to applications, what they are
//! asked by, and what is left of their answers.

use std::collections::BTreeSet;

use crate::fact::Default;
use crate::policy::obligation::Piece;
use crate::policy::socket::Told;
use crate::policy::{App, Condition, Operand};

/// All of them, by index, with what stands for them by default.
pub(super) fn facts(app: &App) -> BTreeSet<usize> {
    let mut found: BTreeSet<usize> = app.injects.iter().map(|own| own.fact).collect();
    for operation in &app.operations {
        for narrow in &operation.obligations.narrows {
            operand(&narrow.value, &mut found);
        }
        for filter in &operation.obligations.filters {
            condition(app, &Condition::Named(filter.keep), &mut found);
        }
    }
    for piece in app.look_ups.iter().flat_map(|own| own.target.iter()) {
        if let Piece::Fact(at) = piece {
            found.insert(*at);
        }
    }
    for (_, told) in app.socket.iter().flat_map(|own| own.auth.told.iter()) {
        of_told(told, &mut found);
    }
    loop {
        let default = |at: &usize| match app.facts.get(*at)?.default {
            Some(Default::Fact(other)) => Some(other),
            _ => None,
        };
        let more: Vec<usize> = found.iter().filter_map(default).filter(|own| !found.contains(own)).collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

fn operand(operand: &Operand, found: &mut BTreeSet<usize>) {
    if let Operand::Fact(at) = operand {
        found.insert(*at);
    }
}

fn condition(app: &App, own: &Condition, found: &mut BTreeSet<usize>) {
    match own {
        Condition::Leaf(leaf) => {
            found.insert(leaf.fact);
            operand(&leaf.operand, found);
        }
        Condition::Named(at) => {
            let named = app.conditions.get(*at);
            named.into_iter().for_each(|own| condition(app, &own.condition, found));
        }
        Condition::All(parts) | Condition::Any(parts) => {
            parts.iter().for_each(|part| condition(app, part, found));
        }
        Condition::Not(part) => condition(app, part, found),
    }
}

fn of_told(told: &Told, found: &mut BTreeSet<usize>) {
    match told {
        Told::Fact(at) => {
            found.insert(*at);
        }
        Told::Roles | Told::Permissions => {}
        Told::Object(members) | Told::Text(members) => {
            members.iter().for_each(|(_, own)| of_told(own, found));
        }
    }
}
