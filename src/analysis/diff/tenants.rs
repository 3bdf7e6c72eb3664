//! The tenants of both sides, by name: which of them are asked about, and which are different.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::same;
use super::world::Known;
use crate::snapshot::Snapshot;
use crate::tenant::Tenant;

/// The tenants of both sides.
#[derive(Debug, Default)]
pub(super) struct Tenants(BTreeMap<Arc<str>, Pair>);

#[derive(Debug, Default)]
pub(super) struct Pair {
    pub(super) old: Option<Arc<Tenant>>,
    pub(super) new: Option<Arc<Tenant>>,
}

impl Pair {
    pub(super) fn is_changed(&self) -> bool {
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => !same::tenant(old, new),
            _ => true,
        }
    }

    fn uses(&self, app: &str) -> bool {
        [&self.old, &self.new].into_iter().flatten().any(|own| own.uses(app))
    }
}

impl Tenants {
    pub(super) fn of_both(old: &Snapshot, new: &Snapshot) -> Self {
        let mut all: BTreeMap<Arc<str>, Pair> = BTreeMap::new();
        for own in old.directory.tenants() {
            all.entry(own.name.clone()).or_default().old = Some(own.clone());
        }
        for own in new.directory.tenants() {
            all.entry(own.name.clone()).or_default().new = Some(own.clone());
        }
        Self(all)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Pair)> {
        self.0.iter()
    }

    /// A tenant as one side has it.
    pub(super) fn of(&self, side: Known, name: &str) -> Option<Arc<Tenant>> {
        let pair = self.0.get(name)?;
        match side {
            Known::Old => pair.old.clone(),
            Known::New => pair.new.clone(),
        }
    }

    /// The customers of an app on either side, of which some may be wanted alone.
    pub(super) fn customers(&self, app: &str, which: Which) -> Vec<Arc<str>> {
        let wanted = |own: &Pair| own.uses(app) && (which == Which::All || own.is_changed());
        self.0.iter().filter(|(_, own)| wanted(own)).map(|(name, _)| name.clone()).collect()
    }
}

/// Which tenants are asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    All,
    Changed,
}
