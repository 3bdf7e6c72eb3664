//! How many variables of a kind are compared with each other: so many different values of it, or so many in a row, can
//! decide a question, and no more. Where nothing is compared but with what a file says, one is enough.

use std::collections::BTreeSet;

use super::world::{Read, Test};
use crate::fact::Type;
use crate::policy::Operator;

/// Most that are looked at; a table that needs more is too large in any case.
pub(super) const APART_MAX: i64 = 64;

/// How many of each kind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Apart {
    /// Strings, be it as members of sets.
    pub(super) texts: usize,
    /// Places of a hierarchy.
    pub(super) nodes: usize,
    pub(super) numbers: usize,
    pub(super) addresses: usize,
    pub(super) times: usize,
    /// Whether strings are places of a hierarchy too.
    pub(super) hierarchy: bool,
    /// Whether it matters that a text can stand by itself in a header or a query.
    pub(super) plain: bool,
}

impl Apart {
    /// What these tests need.
    pub(super) fn of<'t>(tests: impl Iterator<Item = &'t Test>) -> Self {
        let mut compared: Vec<(usize, Type)> = Vec::new();
        let (mut hierarchy, mut plain) = (false, false);
        for test in tests {
            plain |= matches!(test, Test::Plain(_));
            let Test::Compare(operator, left, right) = test else { continue };
            hierarchy |= *operator == Operator::Under;
            let reads = |term: &super::world::Term| {
                let mut found: Vec<(usize, Type)> = Vec::new();
                term.each_read(&mut |read: &Read| found.push((read.var, read.kind)));
                found
            };
            let (left, right) = (reads(left), reads(right));
            if !left.is_empty() && !right.is_empty() {
                compared.extend(left.into_iter().chain(right));
            }
        }
        let count = |wanted: &[Type]| {
            let of_kind = compared.iter().filter(|(_, kind)| wanted.contains(kind));
            of_kind.map(|(var, _)| *var).collect::<BTreeSet<_>>().len()
        };
        // Each two sets may share something that no third has.
        let sets = count(&[Type::Set]);
        let pairs = sets * sets.saturating_sub(1) / 2;
        Self {
            texts: (count(&[Type::String, Type::Node]) + pairs).max(1),
            nodes: count(&[Type::Node, Type::String]).max(1),
            numbers: count(&[Type::Int]).max(1),
            addresses: count(&[Type::Ip]).max(1),
            times: count(&[Type::Time]).max(1),
            hierarchy,
            plain,
        }
    }

    /// How far on either side of a number.
    pub(super) fn reach(self) -> i64 {
        i64::try_from(self.numbers).map_or(APART_MAX, |own| (own + 1).min(APART_MAX))
    }
}
