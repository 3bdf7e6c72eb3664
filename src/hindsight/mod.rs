//! What the rules of now say of decisions that were recorded: whether they would be answered alike ([`again`]), what
//! becomes of a whole log ([`replay`]), and what a period of it says of the rules ([`suggest`]).
//!
//! Values only: who reads logs, and how they are printed, is `cli`. What a record doesn't hold is said to be unknown; it
//! is never guessed.

pub mod again;
pub mod replay;
pub mod suggest;

use std::hash::BuildHasher;

use foldhash::quality::FixedState;

use crate::record::Record;

/// Everyone of whom so many are told apart; beyond it there are "at least" as many.
const PEOPLE_MAX: usize = 1 << 18;

/// A bounded set of those that were met, told apart by a hash.
#[derive(Clone, Debug, Default)]
pub struct Met(std::collections::HashSet<u64, foldhash::fast::FixedState>);

impl Met {
    /// Notes one.
    pub fn note(&mut self, one: u64) {
        if self.0.len() < PEOPLE_MAX {
            self.0.insert(one);
        }
    }

    /// Everyone that another has met, too.
    pub fn join(&mut self, other: Self) {
        other.0.into_iter().for_each(|one| self.note(one));
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether there may be more than were counted.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.len() >= PEOPLE_MAX
    }
}

/// Tells the caller of a record apart from others: by issuer and subject. Nothing, where either isn't recorded.
#[must_use]
pub fn person(record: &Record) -> Option<u64> {
    let (issuer, subject) = (record.issuer.as_deref()?, record.sub.as_deref()?);
    Some(FixedState::default().hash_one((issuer, subject)))
}

/// Tells the acting tenant of a record apart from others.
#[must_use]
pub fn tenant(record: &Record) -> Option<u64> {
    let name = record.tenant.as_deref()?;
    Some(FixedState::default().hash_one(name))
}
