//! Conditions in words: what a named condition tests, as its file writes it, and what stands behind the names that it
//! uses itself. Values of a request are `trace`'s.

use std::sync::Arc;

use super::trace;
use crate::policy::{App, Condition};

/// A named condition and what it tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defined {
    /// Its name.
    pub name: Box<str>,
    /// `token.tid in tenant.ids`, or names and tests with `and`, `or` and `not` between.
    pub text: String,
    /// Where it stands.
    pub place: Arc<str>,
}

/// These conditions, and every one that they name, in the order of the file.
#[must_use]
pub fn defined(app: &App, conditions: impl IntoIterator<Item = usize>) -> Vec<Defined> {
    let mut wanted: Vec<usize> = Vec::new();
    let mut open: Vec<usize> = conditions.into_iter().collect();
    while let Some(index) = open.pop() {
        if wanted.contains(&index) {
            continue;
        }
        if let Some(named) = app.conditions.get(index) {
            wanted.push(index);
            names(&named.condition, &mut open);
        }
    }
    wanted.sort_unstable();
    let own = wanted.into_iter().filter_map(|index| app.conditions.get(index));
    own.map(|named| Defined {
        name: named.name.clone(),
        text: of(app, &named.condition),
        place: named.place.clone(),
    })
    .collect()
}

/// The conditions that a condition names itself.
#[must_use]
pub fn beneath(app: &App, condition: usize) -> Vec<usize> {
    let mut found = Vec::new();
    app.conditions.get(condition).into_iter().for_each(|own| names(&own.condition, &mut found));
    found
}

fn names(condition: &Condition, into: &mut Vec<usize>) {
    match condition {
        Condition::Leaf(_) => {}
        Condition::Named(index) => into.push(*index),
        Condition::All(parts) | Condition::Any(parts) => parts.iter().for_each(|part| names(part, into)),
        Condition::Not(part) => names(part, into),
    }
}

/// A condition in words; those that it names stay names.
#[must_use]
pub fn of(app: &App, condition: &Condition) -> String {
    match condition {
        Condition::Leaf(leaf) => trace::written(app, leaf),
        Condition::Named(index) => {
            app.conditions.get(*index).map_or_else(String::new, |own| own.name.to_string())
        }
        Condition::All(parts) => joined(app, parts, " and "),
        Condition::Any(parts) => joined(app, parts, " or "),
        Condition::Not(part) => format!("not {}", inner(app, part)),
    }
}

fn joined(app: &App, parts: &[Condition], word: &str) -> String {
    match parts {
        [only] => of(app, only),
        parts => parts.iter().map(|part| inner(app, part)).collect::<Vec<_>>().join(word),
    }
}

/// A part of another condition: in brackets where it has several of its own.
fn inner(app: &App, part: &Condition) -> String {
    match part {
        Condition::All(parts) | Condition::Any(parts) if parts.len() > 1 => format!("({})", of(app, part)),
        part => of(app, part),
    }
}
