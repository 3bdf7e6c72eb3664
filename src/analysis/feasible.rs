//! Which combinations of answers a handful of tests can give together. `x = 'a'` and `x = 'b'` never hold both, a set that
//! is empty has nothing, an hour before eight isn't after ten: a truth table without these would see ghosts.
//!
//! Tests that share facts are looked at together, over every value that could make a difference: the literals that they
//! name, one more, and none (what no test tells apart needs no value of its own). Where facts are compared with facts in
//! ways that can't be counted out so, every combination is taken for possible: what is said to be impossible is, and what
//! is said to be possible may not be.

mod domain;

use std::collections::BTreeSet;

use self::domain::Cell;
use crate::policy::{App, Condition, Leaf, Operand, Truth};

/// Most combinations of values that are tried for tests that share facts.
const TRIED_MAX: usize = 4_096;
/// Most tests that share facts whose every combination is taken for possible: 3^9 rows.
const FREE_MAX: usize = 9;
/// Most rows of all tests together.
const ROWS_MAX: usize = 200_000;

/// Every combination of answers that some tests can give.
#[derive(Clone, Debug)]
pub struct Worlds<'a> {
    leaves: Vec<&'a Leaf>,
    parts: Vec<Part>,
}

/// Tests that share no fact with the others, and the rows that they can have.
#[derive(Clone, Debug)]
struct Part {
    leaves: Vec<usize>,
    rows: Vec<Vec<Truth>>,
}

impl<'a> Worlds<'a> {
    /// Of the tests that some conditions rest on, through names too. Nothing if there are too many.
    #[must_use]
    pub fn of(app: &'a App, conditions: impl IntoIterator<Item = &'a Condition>) -> Option<Self> {
        let mut leaves: Vec<&Leaf> = Vec::new();
        for condition in conditions {
            condition.leaves(&app.conditions, &mut |leaf| {
                if !leaves.contains(&leaf) {
                    leaves.push(leaf);
                }
            });
        }
        let mut parts = Vec::new();
        let mut rows: usize = 1;
        for part in components(&leaves) {
            let own: Vec<&Leaf> = part.iter().filter_map(|index| leaves.get(*index).copied()).collect();
            let found = counted(app, &own).or_else(|| free(own.len()))?;
            rows = rows.checked_mul(found.len()).filter(|rows| *rows <= ROWS_MAX)?;
            parts.push(Part { leaves: part, rows: found });
        }
        Some(Self { leaves, parts })
    }

    /// A row in which `wanted` is so, if there is one: what each test says, in the order of [`Worlds::leaves`].
    pub fn find(&self, mut wanted: impl FnMut(&Row<'_, 'a>) -> bool) -> Option<Vec<Truth>> {
        let mut at = vec![0usize; self.parts.len()];
        let mut row = vec![Truth::Unknown; self.leaves.len()];
        loop {
            for (part, index) in self.parts.iter().zip(&at) {
                let truths = part.rows.get(*index).map_or(&[][..], Vec::as_slice);
                for (leaf, truth) in part.leaves.iter().zip(truths) {
                    if let Some(cell) = row.get_mut(*leaf) {
                        *cell = *truth;
                    }
                }
            }
            if wanted(&Row { leaves: &self.leaves, truths: &row }) {
                return Some(row);
            }
            let mut counters = at.iter_mut().zip(&self.parts);
            let more = counters.any(|(index, part)| {
                *index += 1;
                let is_next = *index < part.rows.len();
                if !is_next {
                    *index = 0;
                }
                is_next
            });
            if !more {
                return None;
            }
        }
    }

    /// The tests.
    #[must_use]
    pub fn leaves(&self) -> &[&'a Leaf] {
        &self.leaves
    }
}

/// One combination.
#[derive(Debug)]
pub struct Row<'r, 'a> {
    leaves: &'r [&'a Leaf],
    truths: &'r [Truth],
}

impl Row<'_, '_> {
    /// What a condition says in it.
    #[must_use]
    pub fn truth(&self, app: &App, condition: &Condition) -> Truth {
        condition.truth(&app.conditions, &mut |leaf: &Leaf| {
            let at = self.leaves.iter().position(|own| *own == leaf);
            at.and_then(|at| self.truths.get(at)).copied().unwrap_or(Truth::Unknown)
        })
    }

    /// Whether every one of some conditions, by index, holds in it.
    #[must_use]
    pub fn all_hold(&self, app: &App, conditions: &[usize]) -> bool {
        conditions.iter().all(|index| {
            let named = app.conditions.get(*index);
            named.is_some_and(|own| self.truth(app, &own.condition) == Truth::Holds)
        })
    }
}

/// The tests by which facts they share, by index.
fn components(leaves: &[&Leaf]) -> Vec<Vec<usize>> {
    let facts = |leaf: &Leaf| {
        let other = match leaf.operand {
            Operand::Fact(other) => Some(other),
            Operand::Literal(_) => None,
        };
        [Some(leaf.fact), other].into_iter().flatten()
    };
    let mut parts: Vec<(Vec<usize>, BTreeSet<usize>)> = Vec::new();
    for (index, leaf) in leaves.iter().enumerate() {
        let own: BTreeSet<usize> = facts(leaf).collect();
        let (meeting, apart): (Vec<_>, Vec<_>) =
            parts.into_iter().partition(|(_, theirs)| !theirs.is_disjoint(&own));
        let mut joined = (vec![index], own);
        for (tests, facts) in meeting {
            joined.0.extend(tests);
            joined.1.extend(facts);
        }
        parts = apart;
        parts.push(joined);
    }
    parts.into_iter().map(|(tests, _)| tests).collect()
}

/// The rows of tests that share facts, counted out over every value that matters. Nothing where they can't be.
fn counted(app: &App, leaves: &[&Leaf]) -> Option<Vec<Vec<Truth>>> {
    let domains = domain::of(app, leaves, TRIED_MAX)?;
    let mut rows = BTreeSet::new();
    let mut at = vec![0usize; domains.len()];
    loop {
        let cell = |fact: usize| -> Option<&Cell> {
            let slot = domains.iter().position(|(own, _)| *own == fact)?;
            domains.get(slot)?.1.get(*at.get(slot)?)
        };
        let row: Vec<u8> = leaves.iter().map(|leaf| rank(domain::test(leaves, leaf, &cell))).collect();
        rows.insert(row);
        let mut counters = at.iter_mut().zip(&domains);
        let more = counters.any(|(index, (_, cells))| {
            *index += 1;
            let is_next = *index < cells.len();
            if !is_next {
                *index = 0;
            }
            is_next
        });
        if !more {
            break;
        }
    }
    Some(rows.into_iter().map(|row| row.into_iter().map(unrank).collect()).collect())
}

/// Every combination at all.
fn free(tests: usize) -> Option<Vec<Vec<Truth>>> {
    if tests > FREE_MAX {
        return None;
    }
    let mut rows = vec![Vec::new()];
    for _ in 0..tests {
        let longer = |row: Vec<Truth>| {
            (0..3).map(move |rank| row.iter().copied().chain([unrank(rank)]).collect::<Vec<_>>())
        };
        rows = rows.into_iter().flat_map(longer).collect();
    }
    Some(rows)
}

fn rank(truth: Truth) -> u8 {
    match truth {
        Truth::Holds => 0,
        Truth::Fails => 1,
        Truth::Unknown => 2,
    }
}

fn unrank(rank: u8) -> Truth {
    match rank {
        0 => Truth::Holds,
        1 => Truth::Fails,
        _ => Truth::Unknown,
    }
}
