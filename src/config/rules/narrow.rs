//! `[narrow.COND]`: a list names no single object, so the condition becomes a filter of its query. The value is the other
//! side of the condition's one `=`, the side that is known without the object.

use super::super::diagnostic::{Diagnostic, Diagnostics, code};
use super::super::raw::{Entry, Fields, Table, Text};
use super::lookups::LookUpDraft;
use super::obligations::operation;
use super::reach::{self, Reach};
use super::{Draft, OperationDraft};
use crate::fact::Source;
use crate::policy::obligation::Narrow;
use crate::policy::{Condition, Leaf, Operand, Operator, TenantRule};
use crate::route::Verb;

/// Most narrowings of one operation.
const NARROWS_MAX: usize = 32;

/// Reads `[narrow.*]`.
pub(super) fn read(draft: &mut Draft<'_>, table: &Table, diagnostics: &mut Diagnostics) {
    for own in &table.entries {
        let Some(rows) = own.value.table(diagnostics) else { continue };
        let Some((condition, leaf)) = condition(draft, own, diagnostics) else { continue };
        for row in &rows.entries {
            if let Some((at, narrow)) = one(draft, row, (condition, &leaf), diagnostics)
                && let Some(operation) = draft.operations.get_mut(at)
            {
                let narrows = std::mem::take(&mut operation.obligations.narrows);
                operation.obligations.narrows = narrows.into_iter().chain([narrow]).collect();
            }
        }
    }
}

/// The condition that a table narrows by: one comparison, of `[when]` or of a requirement's own.
fn condition(draft: &Draft<'_>, own: &Entry, diagnostics: &mut Diagnostics) -> Option<(usize, Leaf)> {
    let required = draft.requirements.iter().find(|other| *other.requirement.name == *own.key);
    let found = draft.condition_names.get(own.key.as_str()).copied();
    let Some(index) = found.or(required.map(|own| own.requirement.condition)) else {
        diagnostics.push(
            Diagnostic::error(code::UNKNOWN_CONDITION, format!("unknown condition `{}`", own.key))
                .at(own.span, "not declared in [when]")
                .nearest(own.span, &own.key, draft.condition_names.keys().map(|key| &**key)),
        );
        return None;
    };
    match draft.conditions.get(index).map(|named| &named.condition) {
        Some(Condition::Leaf(leaf)) if leaf.operator == Operator::Equal => Some((index, leaf.clone())),
        _ => {
            let message = format!("`{}` is more than one `=`, so no query can filter by it", own.key);
            diagnostics.push(
                Diagnostic::error(code::OBLIGATION, message)
                    .at(own.span, "expected a condition such as `call.creator = token.oid`")
                    .help("what no single query says can be a [filter] of the answer"),
            );
            None
        }
    }
}

fn one(
    draft: &Draft<'_>,
    row: &Entry,
    (condition, leaf): (usize, &Leaf),
    diagnostics: &mut Diagnostics,
) -> Option<(usize, Narrow)> {
    let mut fields = Fields::new(row.value.table(diagnostics)?);
    let query = fields.require("query", row.span, diagnostics).and_then(|node| node.text(diagnostics));
    let pass = fields.take("pass").and_then(|node| node.texts(diagnostics)).unwrap_or_default();
    fields.finish(diagnostics);
    let at = operation(draft, row, diagnostics)?;
    let own = draft.operations.get(at)?;
    let key = Text::of_key(row);
    let mut refuse = |message: String| {
        diagnostics.push(Diagnostic::error(code::OBLIGATION, message).at(key.inner(), ""));
    };
    if own.verb != Verb::Get {
        refuse(format!("`{}` is no list: a query is narrowed on a `GET`", key.value));
        return None;
    }
    let Some(value) = value(draft, own, leaf) else {
        let name = draft.conditions.get(condition).map_or("", |own| &*own.name);
        let message = format!("on `{}` there is nothing to narrow by in `{name}`", key.value);
        diagnostics.push(
            Diagnostic::error(code::OBLIGATION, message)
                .at(key.inner(), "exactly one side of its `=` is of an object that isn't named here")
                .help("the side that is known here is what the list is filtered by"),
        );
        return None;
    };
    let query = query?;
    if query.value.is_empty() || pass.iter().any(|own| own.value == query.value) {
        let message = format!("`{}` is set by the gateway, so the client's own can't pass", query.value);
        diagnostics.push(Diagnostic::error(code::OBLIGATION, message).at(query.inner(), ""));
        return None;
    }
    let pass: Box<[Box<str>]> = pass.iter().map(|text| text.value.into()).collect();
    check_others(own, (query, &pass), diagnostics)?;
    Some((at, Narrow { condition, query: query.value.into(), value, pass }))
}

/// Several narrowings of one operation set several keys, and let the same of the client's pass.
fn check_others(
    own: &OperationDraft,
    (query, pass): (Text<'_>, &[Box<str>]),
    diagnostics: &mut Diagnostics,
) -> Option<()> {
    let others = &own.obligations.narrows;
    let why = if others.iter().any(|other| *other.query == *query.value) {
        "it is narrowed by this query already"
    } else if others.iter().any(|other| *other.pass != *pass) {
        "its other narrowing lets other keys `pass`: they must be the same"
    } else if others.iter().any(|other| pass.contains(&other.query)) {
        "`pass` names what its other narrowing sets"
    } else if others.len() >= NARROWS_MAX {
        "it is narrowed in more than 32 ways"
    } else {
        return Some(());
    };
    diagnostics.push(Diagnostic::error(code::OBLIGATION, why).at(query.inner(), ""));
    None
}

/// The side of a comparison that is known where the other is not.
fn value(draft: &Draft<'_>, operation: &OperationDraft, leaf: &Leaf) -> Option<Operand> {
    let reach = Reach::of(draft, operation);
    let right_is_known = match leaf.operand {
        Operand::Fact(other) => reach.knows(other),
        Operand::Literal(_) => true,
    };
    match (reach.knows(leaf.fact), right_is_known) {
        (false, true) => Some(leaf.operand.clone()),
        (true, false) => Some(Operand::Fact(leaf.fact)),
        _ => None,
    }
}

/// How a condition is used by the rules of an operation.
#[derive(Clone, Copy, Debug, Default)]
struct Uses {
    plain: bool,
    negated: bool,
}

/// Every narrowing is used, and not under `not`: what is filtered by a condition holds, and its opposite can't.
pub(super) fn check(draft: &Draft<'_>, table: &Table, diagnostics: &mut Diagnostics) {
    for own in &table.entries {
        let required = draft.requirements.iter().find(|other| *other.requirement.name == *own.key);
        let found = draft.condition_names.get(own.key.as_str()).copied();
        let Some(condition) = found.or(required.map(|own| own.requirement.condition)) else { continue };
        for row in own.value.as_table().map_or(&[][..], |rows| &rows.entries) {
            let key = Text::of_key(row);
            // What is wrong with the key has been told when it was read.
            let Some(at) = operation(draft, row, &mut Diagnostics::default()) else { continue };
            let Some(operation) = draft.operations.get(at) else { continue };
            if !operation.obligations.narrows.iter().any(|own| own.condition == condition) {
                continue;
            }
            let rules = rules(draft, operation);
            check_read(draft, (operation, &rules), key, diagnostics);
            let uses = uses(draft, &rules, condition);
            let diagnostic = if uses.negated {
                Diagnostic::error(
                    code::OBLIGATION,
                    format!("`{}` stands under `not` in a rule of `{}`", own.key, key.value),
                )
                .help("what becomes a filter holds for all that is listed, so its opposite can't be required")
            } else if !uses.plain {
                let message =
                    format!("no rule of `{}` reads `{}`, so this narrows nothing", key.value, own.key);
                Diagnostic::warning(code::OBLIGATION, message)
            } else {
                continue;
            };
            diagnostics.push(diagnostic.at(key.inner(), "narrowed here"));
        }
    }
}

/// What a rule reads of the query is what the app is given: it passes, and isn't set by the gateway beside.
fn check_read(
    draft: &Draft<'_>,
    (operation, rules): (&OperationDraft, &[usize]),
    key: Text<'_>,
    diagnostics: &mut Diagnostics,
) {
    let mut read: Vec<usize> = rules.iter().flat_map(|rule| reach::facts(draft, *rule)).collect();
    if let Some(TenantRule::From { sources, .. }) = &draft.tenant {
        read.extend(sources);
    }
    let mut at = 0;
    while let Some(fact) = read.get(at).and_then(|fact| draft.facts.get(*fact)) {
        at += 1;
        let look_up = match fact.source {
            Source::LookUp { look_up, .. } => draft.look_ups.get(look_up),
            _ => None,
        };
        let more: Vec<usize> = look_up.into_iter().flat_map(LookUpDraft::placeholders).collect();
        read.extend(more.iter().filter(|own| !read.contains(own)).copied().collect::<Vec<_>>());
    }
    for (index, fact) in draft.facts.iter().enumerate() {
        let Source::Query(name) = &fact.source else { continue };
        let is_read = read.contains(&index);
        let narrows = &operation.obligations.narrows;
        let is_set = narrows.iter().any(|own| own.query.eq_ignore_ascii_case(name));
        let passes = narrows.iter().all(|own| own.pass.contains(name));
        let why = if is_set && (is_read || fact.default.is_some()) {
            format!("`{}` is read here, and what the app is given is set by the gateway", fact.name)
        } else if is_read && !passes {
            format!("`{}` is read here, but doesn't `pass`: the app would not be given it", fact.name)
        } else {
            continue;
        };
        diagnostics.push(Diagnostic::error(code::OBLIGATION, why).at(key.inner(), "narrowed here"));
    }
}

/// The conditions of the requirements and grants of an operation.
fn rules(draft: &Draft<'_>, operation: &OperationDraft) -> Vec<usize> {
    let proven_by = match &draft.tenant {
        Some(TenantRule::From { proven_by, .. }) => *proven_by,
        _ => None,
    };
    let required = operation.requirements.iter().copied().chain(proven_by);
    let required = required.filter_map(|index| draft.requirements.get(index));
    let grants = draft.roles.iter().flat_map(|role| &role.grants);
    let granted = grants.filter(|grant| operation.permissions.contains(&grant.permission));
    let mut rules: Vec<usize> = required.map(|own| own.requirement.condition).collect();
    rules.extend(granted.flat_map(|grant| grant.conditions.iter().copied()));
    rules.sort_unstable();
    rules.dedup();
    rules
}

/// How these rules use a condition.
fn uses(draft: &Draft<'_>, rules: &[usize], condition: usize) -> Uses {
    let mut uses = Uses::default();
    for rule in rules {
        visit(draft, &Condition::Named(*rule), (condition, false), &mut uses);
    }
    uses
}

fn visit(draft: &Draft<'_>, own: &Condition, (wanted, negated): (usize, bool), uses: &mut Uses) {
    match own {
        Condition::Named(index) if *index == wanted => {
            uses.plain |= !negated;
            uses.negated |= negated;
        }
        Condition::Named(index) => {
            if let Some(named) = draft.conditions.get(*index) {
                visit(draft, &named.condition, (wanted, negated), uses);
            }
        }
        Condition::All(parts) | Condition::Any(parts) => {
            parts.iter().for_each(|part| visit(draft, part, (wanted, negated), uses));
        }
        Condition::Not(part) => visit(draft, part, (wanted, !negated), uses),
        Condition::Leaf(_) => {}
    }
}
