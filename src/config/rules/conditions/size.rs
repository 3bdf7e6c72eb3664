//! How much work a condition can be. It is tested at requests, by names through names, so a few lines that name each
//! other twice could ask for more tests than anyone lives to see, and a long chain for more stack than there is.

use super::super::super::diagnostic::{Diagnostic, Diagnostics, Span, code};
use super::super::super::raw::{Entry, Node};
use super::super::Draft;
use crate::policy::Condition;

/// Most tests that a condition comes to once every name in it is spelt out.
const TESTS_MAX: usize = 1_000;
/// Longest chain of names.
const CHAIN_MAX: usize = 32;

/// What a condition comes to.
#[derive(Clone, Copy, Debug)]
struct Size {
    tests: usize,
    chain: usize,
}

/// Judges every named condition. What rests on itself, or is too large, is reported and never holds.
pub(super) fn judge(draft: &mut Draft<'_>, entries: &[Entry], diagnostics: &mut Diagnostics) {
    let sizes = sizes(draft);
    let mut told = 0;
    for (index, (own, size)) in entries.iter().zip(&sizes).enumerate() {
        let mistake = match size {
            Some(size) => too_large(*size),
            // Everything that leads into a circle has no size; the circle's own members are told, up to a number
            // that a reader can bear.
            None if told < 20 && reaches(draft, index) => {
                told += 1;
                Some("rests on itself")
            }
            None => None,
        };
        if let Some(why) = mistake {
            report(&format!("condition `{}` {why}", own.key), own.span, diagnostics);
        }
        if (mistake.is_some() || size.is_none())
            && let Some(slot) = draft.conditions.get_mut(index)
        {
            slot.condition = Condition::Any(Vec::new());
        }
    }
}

/// Judges a condition that stands in a place of its own; those that it names have been judged.
pub(super) fn judge_one(
    draft: &Draft<'_>,
    node: &Node,
    condition: &Condition,
    diagnostics: &mut Diagnostics,
) -> Option<()> {
    let sizes = sizes(draft);
    let why = size_of(condition, &sizes).and_then(too_large);
    if let Some(why) = why {
        report(&format!("the condition {why}"), node.span, diagnostics);
    }
    why.is_none().then_some(())
}

fn too_large(size: Size) -> Option<&'static str> {
    if size.tests > TESTS_MAX {
        Some("comes to more than 1000 tests once every name in it is spelt out")
    } else if size.chain > CHAIN_MAX {
        Some("rests on a chain of more than 32 names")
    } else {
        None
    }
}

fn report(message: &str, span: Span, diagnostics: &mut Diagnostics) {
    diagnostics.push(Diagnostic::error(code::CONDITION, message).at(span, ""));
}

/// The size of every condition, those without names first; none for what is on a circle or leads into one.
fn sizes(draft: &Draft<'_>) -> Vec<Option<Size>> {
    let count = draft.conditions.len();
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); count];
    let mut waits_for = vec![0usize; count];
    for (index, named) in draft.conditions.iter().enumerate() {
        let mut names = Vec::new();
        names_in(&named.condition, &mut names);
        for name in names {
            if let (Some(users), Some(waits)) = (users.get_mut(name), waits_for.get_mut(index)) {
                users.push(index);
                *waits += 1;
            }
        }
    }
    let mut sizes: Vec<Option<Size>> = vec![None; count];
    let mut ready: Vec<usize> = (0..count).filter(|index| waits_for.get(*index) == Some(&0)).collect();
    while let Some(index) = ready.pop() {
        let size = draft.conditions.get(index).and_then(|named| size_of(&named.condition, &sizes));
        if let Some(slot) = sizes.get_mut(index) {
            *slot = size;
        }
        for user in users.get(index).into_iter().flatten() {
            if let Some(waits) = waits_for.get_mut(*user) {
                *waits -= 1;
                if *waits == 0 {
                    ready.push(*user);
                }
            }
        }
    }
    sizes
}

fn size_of(condition: &Condition, sizes: &[Option<Size>]) -> Option<Size> {
    match condition {
        Condition::Leaf(_) => Some(Size { tests: 1, chain: 0 }),
        Condition::Named(index) => {
            let size = sizes.get(*index).copied().flatten()?;
            Some(Size { tests: size.tests, chain: size.chain + 1 })
        }
        Condition::All(parts) | Condition::Any(parts) => {
            parts.iter().try_fold(Size { tests: 0, chain: 0 }, |sum, part| {
                let size = size_of(part, sizes)?;
                let tests = sum.tests.saturating_add(size.tests);
                Some(Size { tests, chain: sum.chain.max(size.chain) })
            })
        }
        Condition::Not(part) => size_of(part, sizes),
    }
}

fn names_in(condition: &Condition, into: &mut Vec<usize>) {
    match condition {
        Condition::Named(index) => into.push(*index),
        Condition::All(parts) | Condition::Any(parts) => parts.iter().for_each(|part| names_in(part, into)),
        Condition::Not(part) => names_in(part, into),
        Condition::Leaf(_) => {}
    }
}

/// Whether a condition leads back to itself.
fn reaches(draft: &Draft<'_>, wanted: usize) -> bool {
    let mut seen = vec![false; draft.conditions.len()];
    let mut frontier = vec![wanted];
    while let Some(index) = frontier.pop() {
        let mut names = Vec::new();
        if let Some(named) = draft.conditions.get(index) {
            names_in(&named.condition, &mut names);
        }
        for name in names {
            if name == wanted {
                return true;
            }
            if let Some(slot) = seen.get_mut(name).filter(|slot| !**slot) {
                *slot = true;
                frontier.push(name);
            }
        }
    }
    false
}
