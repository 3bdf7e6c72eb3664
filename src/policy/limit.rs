//! The rates that a rule file sets, and which of them a request that is to be permitted is held to.

use std::sync::Arc;

use super::{App, Facts, Granted, Operation, RoleSet, holds_one};
use crate::budget::Limit;

/// The rates of an app.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Of each address, asked before anything is known of who sends.
    pub address: Option<Arc<Limit>>,
    /// Of each acting tenant.
    pub tenant: Option<Arc<Limit>>,
    /// Of each person who holds a role, by the role's index.
    pub roles: Box<[(usize, Arc<Limit>)]>,
}

impl Limits {
    /// The rate of a role.
    #[must_use]
    pub fn of_role(&self, role: usize) -> Option<&Arc<Limit>> {
        self.roles.iter().find(|(own, _)| *own == role).map(|(_, limit)| limit)
    }
}

/// The rates of the roles that let a caller do something, of which one must have a token; none where one of these roles
/// has no rate. So a role more never takes access away.
#[must_use]
pub fn held_to<'a>(
    app: &'a App,
    operation: &Operation,
    roles: &RoleSet,
    granted: Granted,
    facts: &Facts<'_>,
) -> Vec<&'a Arc<Limit>> {
    let (Some(limits), Granted::Grant { role: first, .. }) = (&app.limits, granted) else {
        return Vec::new();
    };
    if limits.roles.is_empty() {
        return Vec::new();
    }
    let permissions: Vec<_> = operation.permissions().collect();
    let before = facts.trail.narrowed();
    // A role that shows less of a list doesn't let the caller do the same.
    let lets = |role: &usize| {
        let held = holds_one(app, &permissions, &RoleSet::exactly(vec![*role]), facts);
        let as_it_is = facts.trail.narrowed() == before;
        facts.trail.unnarrow(before);
        held && as_it_is
    };
    let others = roles.iter().filter(|role| *role != first).filter(lets);
    let all: Option<Vec<_>> = std::iter::once(first).chain(others).map(|role| limits.of_role(role)).collect();
    all.unwrap_or_default()
}
