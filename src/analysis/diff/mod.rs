//! What a change of the configuration does: who gains, who loses, for whom something else comes of the same request, and
//! what else is different. Two whole snapshots are compared by meaning, not by text.
//!
//! Every way in (`route::walk`) is asked about for every kind of caller (`subject`) and every tenant (`tenants`). The rules
//! of both sides become expressions over the same tests (`guard`, `world`), the rows of whose truth table that can occur are
//! searched (`domain`, `problem`, `search`). What is found is a request, and is put to both sides by the one decision path
//! (`witness`). What requests can't show is compared as it stands (`settings`, `carries`). What can't be proven not to
//! widen counts as widening.

mod apart;
mod apps;
mod carries;
mod contents;
mod domain;
mod finder;
mod found;
mod guard;
mod json;
mod problem;
mod rules;
mod same;
mod search;
mod settings;
mod shown;
mod subject;
mod tenants;
mod text;
mod untested;
mod witness;
mod world;

use std::sync::Arc;

pub use self::contents::{Contents, named};
pub use self::found::Outcome;
pub use self::witness::Answer;
use super::posed::Posed;
use crate::snapshot::Snapshot;

/// What is different between two snapshots.
#[derive(Clone, Debug, Default)]
pub struct SnapshotDiff {
    /// The hash of the old one's files.
    pub old: String,
    /// The hash of the new one's.
    pub new: String,
    /// Who gains, who loses, and for whom something else comes of it, grouped.
    pub access: Vec<Access>,
    /// What else is different.
    pub settings: Vec<Setting>,
    /// Files that are named alike on both sides, and that nobody could look into.
    pub not_compared: Vec<String>,
}

/// What a difference does to what callers may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// Someone may do more, or it can't be proven that nobody may.
    Widens,
    /// Nobody may do more, and someone less.
    Narrows,
    /// Neither.
    Neither,
}

impl Effect {
    /// Whether someone may do more.
    #[must_use]
    pub fn widens(self) -> bool {
        self == Self::Widens
    }

    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Widens => "widens",
            Self::Narrows => "narrows",
            Self::Neither => "neither",
        }
    }
}

/// Operations of which the same is true for the same callers.
#[derive(Clone, Debug)]
pub struct Access {
    /// What becomes of them.
    pub outcome: Outcome,
    /// What that does.
    pub effect: Effect,
    /// The app.
    pub app: Arc<str>,
    /// Who: a role, or a kind of caller.
    pub who: String,
    /// By which permission, on the side that lets them through; empty for what is public.
    pub permission: String,
    /// What is different, where both sides let them through.
    pub detail: String,
    /// The operations: `GET /calls/{call}`.
    pub operations: Vec<String>,
    /// When: one of these must be so; none is always, as far as the requirements and the role's own `only` let it through.
    pub when: Vec<String>,
    /// For which tenants; empty for all that there are.
    pub tenants: Vec<Arc<str>>,
    /// Whether a wildcard covers what it didn't cover before.
    pub wildcard: bool,
    /// Whether it could be decided. What couldn't counts as widening.
    pub decided: bool,
    /// A request that shows it.
    pub witness: Option<Witness>,
}

/// A request that was put to both sides.
#[derive(Clone, Debug)]
pub struct Witness {
    /// The request.
    pub posed: Posed,
    /// What the old side answers.
    pub old: Answer,
    /// What the new side answers.
    pub new: Answer,
}

/// Something that is set differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// What that does, as far as it isn't told in rows of its own.
    pub effect: Effect,
    /// What it is: `issuer entra`, `tenant acme`, `app calling`.
    pub of: String,
    /// What is different, in words.
    pub text: String,
}

impl Access {
    /// Whether the witness shows what the row claims.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        let Some(Witness { old, new, .. }) = &self.witness else { return false };
        match self.outcome {
            Outcome::Gains => !old.allowed && new.allowed,
            Outcome::Loses => old.allowed && !new.allowed,
            Outcome::Differently => old.allowed && new.allowed,
        }
    }
}

impl SnapshotDiff {
    /// Whether nothing is different.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.access.is_empty() && self.settings.is_empty()
    }

    /// Whether someone may do more, or it can't be proven that nobody may.
    #[must_use]
    pub fn widens(&self) -> bool {
        self.has(Effect::Widens) || self.access.iter().any(|own| !own.is_confirmed())
    }

    /// Whether someone may do less.
    #[must_use]
    pub fn narrows(&self) -> bool {
        self.has(Effect::Narrows)
    }

    fn has(&self, effect: Effect) -> bool {
        self.access.iter().any(|own| own.effect == effect)
            || self.settings.iter().any(|own| own.effect == effect)
    }

    /// How many operations are gained, lost and answered differently, callers apart.
    #[must_use]
    pub fn counts(&self) -> [usize; 3] {
        let of = |outcome: Outcome| {
            let rows = self.access.iter().filter(|own| own.outcome == outcome);
            rows.map(|own| own.operations.len()).sum()
        };
        [of(Outcome::Gains), of(Outcome::Loses), of(Outcome::Differently)]
    }
}

/// Compares two snapshots.
#[must_use]
pub fn diff(old: &Snapshot, new: &Snapshot) -> SnapshotDiff {
    let tenants = tenants::Tenants::of_both(old, new);
    SnapshotDiff {
        old: old.hash.to_string(),
        new: new.hash.to_string(),
        access: finder::access(old, new, &tenants),
        settings: settings::of(old, new, &tenants),
        not_compared: Vec::new(),
    }
}
