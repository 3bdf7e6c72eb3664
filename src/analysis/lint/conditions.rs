//! Conditions that say the same whatever the facts are, or the same as another one; and what nothing reads.

use std::collections::{BTreeMap, HashSet};

use super::{Finding, Kind, Subject, Weight};
use crate::analysis::feasible::Worlds;
use crate::fact::{Default, Literal, Source};
use crate::policy::obligation::{Piece, SeatRule};
use crate::policy::socket::Told;
use crate::policy::{App, Condition, Operand, TenantRule, Truth};

/// Most conditions over the same facts of which every two are compared.
const ALIKE_MAX: usize = 40;

pub(super) fn of(app: &App) -> Vec<Finding> {
    let mut findings = Vec::new();
    let constant = constants(app, &mut findings);
    same(app, &constant, &mut findings);
    unread(app, &mut findings);
    findings
}

/// Conditions that never hold, or hold whenever they are known. Of those that are so because of another one only that.
fn constants(app: &App, findings: &mut Vec<Finding>) -> HashSet<usize> {
    let mut constant = HashSet::new();
    let mut named: HashSet<usize> = HashSet::new();
    for (index, own) in app.conditions.iter().enumerate() {
        if is_plain(&own.condition) {
            continue;
        }
        let Some(worlds) = Worlds::of(app, [&own.condition]) else { continue };
        let comes_to = |wanted: Truth| worlds.find(|row| row.truth(app, &own.condition) == wanted).is_some();
        let what = if !comes_to(Truth::Holds) {
            Some((
                Weight::Warning,
                "never holds, whatever the facts are",
                "what rests on it is granted to nobody",
            ))
        } else if !comes_to(Truth::Fails) {
            Some((
                Weight::Note,
                "holds whenever its facts are known",
                "it tests nothing but that they are there",
            ))
        } else {
            None
        };
        let Some((weight, says, label)) = what else { continue };
        constant.insert(index);
        named.insert(index);
        let message = format!("condition `{}` {says}", own.name);
        findings.push(Finding::new(Kind::Constant, weight, Subject::Condition(index), message).label(label));
    }
    let rests_on_another = |index: usize| {
        app.conditions
            .get(index)
            .is_some_and(|own| refers(&own.condition).iter().any(|other| named.contains(other)))
    };
    findings.retain(|own| !matches!(own.subject, Subject::Condition(index) if rests_on_another(index)));
    constant
}

/// Whether a condition is one test that can be either, or another name of one that is looked at itself.
fn is_plain(condition: &Condition) -> bool {
    match condition {
        Condition::Named(_) => true,
        Condition::Leaf(leaf) => match &leaf.operand {
            Operand::Fact(other) => *other != leaf.fact,
            Operand::Literal(literal) => {
                matches!(literal, Literal::Text(_) | Literal::Bool(_) | Literal::Time(_))
            }
        },
        Condition::All(_) | Condition::Any(_) | Condition::Not(_) => false,
    }
}

/// The conditions that one names.
fn refers(condition: &Condition) -> Vec<usize> {
    match condition {
        Condition::Leaf(_) => Vec::new(),
        Condition::Named(index) => vec![*index],
        Condition::All(parts) | Condition::Any(parts) => parts.iter().flat_map(refers).collect(),
        Condition::Not(part) => refers(part),
    }
}

/// Conditions over the same facts that say the same of every combination. A name given to another one is no second one.
fn same(app: &App, constant: &HashSet<usize>, findings: &mut Vec<Finding>) {
    let mut by_facts: BTreeMap<Vec<usize>, Vec<usize>> = BTreeMap::new();
    for (index, own) in app.conditions.iter().enumerate() {
        if constant.contains(&index) || matches!(own.condition, Condition::Named(_)) {
            continue;
        }
        let mut facts = Vec::new();
        own.condition.leaves(&app.conditions, &mut |leaf| {
            facts.push(leaf.fact);
            if let Operand::Fact(other) = leaf.operand {
                facts.push(other);
            }
        });
        facts.sort_unstable();
        facts.dedup();
        by_facts.entry(facts).or_default().push(index);
    }
    for group in by_facts.values().filter(|group| (2..=ALIKE_MAX).contains(&group.len())) {
        for (at, second) in group.iter().enumerate() {
            let is_same = |first: &&usize| {
                let (Some(a), Some(b)) = (app.conditions.get(**first), app.conditions.get(*second)) else {
                    return false;
                };
                let Some(worlds) = Worlds::of(app, [&a.condition, &b.condition]) else { return false };
                worlds.find(|row| row.truth(app, &a.condition) != row.truth(app, &b.condition)).is_none()
            };
            let Some(first) = group.iter().take(at).find(is_same) else { continue };
            let name = |index: &usize| app.conditions.get(*index).map_or("", |own| &*own.name);
            let message = format!("conditions `{}` and `{}` always say the same", name(first), name(second));
            findings.push(
                Finding::new(Kind::SameCondition, Weight::Note, Subject::Condition(*second), message)
                    .also(Subject::Condition(*first), "the other one")
                    .help("one of them is enough, unless they are about to differ"),
            );
        }
    }
}

fn unread(app: &App, findings: &mut Vec<Finding>) {
    let used = used_conditions(app);
    for (index, own) in app.conditions.iter().enumerate().filter(|(index, _)| !used.contains(index)) {
        let message = format!("nothing rests on condition `{}`", own.name);
        findings.push(Finding::new(Kind::Unread, Weight::Note, Subject::Condition(index), message));
    }
    let read = read_facts(app);
    for (index, own) in app.facts.iter().enumerate().filter(|(index, _)| !read.contains(index)) {
        let what = if matches!(own.source, Source::Tenant(_)) { "setting" } else { "fact" };
        let message = format!("nothing reads {what} `{}`", own.name);
        findings.push(Finding::new(Kind::Unread, Weight::Note, Subject::Fact(index), message));
    }
}

/// The conditions that something rests on, by way of others too.
fn used_conditions(app: &App) -> HashSet<usize> {
    let mut open: Vec<usize> = app.requirements.iter().map(|own| own.condition).collect();
    for role in &app.roles {
        open.extend(role.only);
        open.extend(role.grants.iter().flat_map(|grant| grant.conditions.iter().copied()));
    }
    for operation in &app.operations {
        open.extend(operation.obligations.narrows.iter().map(|own| own.condition));
        open.extend(operation.obligations.filters.iter().map(|own| own.keep));
    }
    open.extend(app.permissions.iter().filter_map(|(_, own)| match own.seat {
        SeatRule::If(condition) => Some(condition),
        SeatRule::Free | SeatRule::Always => None,
    }));
    let mut used = HashSet::new();
    while let Some(index) = open.pop() {
        if used.insert(index)
            && let Some(own) = app.conditions.get(index)
        {
            open.extend(refers(&own.condition));
        }
    }
    used
}

fn read_facts(app: &App) -> HashSet<usize> {
    let mut read: HashSet<usize> = HashSet::from([app.roles_fact]);
    for own in &app.conditions {
        own.condition.leaves(&app.conditions, &mut |leaf| {
            read.insert(leaf.fact);
            if let Operand::Fact(other) = leaf.operand {
                read.insert(other);
            }
        });
    }
    if let TenantRule::From { sources, .. } = &app.tenant {
        read.extend(sources.iter().copied());
    }
    read.extend(app.injects.iter().map(|own| own.fact));
    for operation in &app.operations {
        read.extend(operation.obligations.audit.iter().copied());
    }
    for piece in app.look_ups.iter().flat_map(|own| &own.target) {
        if let Piece::Fact(fact) = piece {
            read.insert(*fact);
        }
    }
    if let Some(socket) = &app.socket {
        told(&socket.auth.told, &mut read);
    }
    let defaults = app.facts.iter().filter_map(|own| match own.default {
        Some(Default::Fact(other)) => Some(other),
        _ => None,
    });
    read.extend(defaults);
    read
}

fn told(members: &[(Box<str>, Told)], read: &mut HashSet<usize>) {
    for (_, own) in members {
        match own {
            Told::Fact(fact) => {
                read.insert(*fact);
            }
            Told::Object(inner) | Told::Text(inner) => told(inner, read),
            Told::Roles | Told::Permissions => {}
        }
    }
}
