//! The decision: permission bits of the caller's roles AND the operation's mask, then the requirements, then the
//! conditions of the few grants that have some.

use super::Facts;
use super::condition::Truth;
use super::grant::{Access, App, Grant, Operation, PermissionId, Role};
use crate::fact::Value;

/// The roles that a caller holds in an app, by index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleSet(Vec<usize>);

impl RoleSet {
    /// The roles that a caller's strings mean, and `anyone`. Strings that mean nothing are left out.
    #[must_use]
    pub fn of(app: &App, claims: Option<&Value<'_>>) -> Self {
        let mut roles: Vec<usize> = app.anyone.into_iter().collect();
        if let Some(claims) = claims {
            claims.for_each_string(|claim| roles.extend(app.role_claims.get(claim).into_iter().flatten()));
        }
        Self::exactly(roles)
    }

    /// These very roles.
    #[must_use]
    pub fn exactly(mut roles: Vec<usize>) -> Self {
        roles.sort_unstable();
        roles.dedup();
        Self(roles)
    }

    /// The indices.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().copied()
    }
}

/// What the rules say of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// It may pass.
    Allow(Granted),
    /// It may not.
    Deny(Denial),
}

/// By what it may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granted {
    /// The operation is public.
    Public,
    /// A role's grant.
    Grant {
        /// The role, by index.
        role: usize,
        /// What it granted.
        permission: PermissionId,
        /// Which of the role's grants, by index.
        grant: usize,
    },
}

/// Why it may not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// No role of the caller's has any permission for it.
    NoPermission,
    /// A requirement doesn't hold.
    Requirement {
        /// Which, by index.
        requirement: usize,
        /// Whether it fails or is unknown.
        truth: Truth,
    },
    /// Roles of the caller's have it under conditions, none of which holds.
    Condition {
        /// The role whose grant came nearest.
        role: usize,
        /// That grant, by index in the role.
        grant: usize,
        /// The condition that stood against it, by index.
        condition: usize,
        /// Whether it fails or is unknown.
        truth: Truth,
    },
}

impl Denial {
    /// The word for metrics and logs.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoPermission => "no-permission",
            Self::Requirement { truth: Truth::Unknown, .. } => "requirement-unknown",
            Self::Requirement { .. } => "requirement-failed",
            Self::Condition { truth: Truth::Unknown, .. } => "condition-unknown",
            Self::Condition { .. } => "condition-failed",
        }
    }
}

/// Decides one operation for one set of roles. Total: every input has an answer, and only known facts allow.
pub fn decide(app: &App, operation: &Operation, roles: &RoleSet, facts: &Facts<'_>) -> Decision {
    let (masks, requirements) = match &operation.access {
        Access::Public => return Decision::Allow(Granted::Public),
        Access::Guarded { masks, requirements } => (masks, requirements),
    };
    let reach = reach(app, masks, roles);
    if reach == Reach::None {
        return Decision::Deny(Denial::NoPermission);
    }
    for requirement in requirements {
        let truth =
            app.requirements.get(*requirement).map_or(Truth::Unknown, |own| test(app, own.condition, facts));
        if truth != Truth::Holds {
            return Decision::Deny(Denial::Requirement { requirement: *requirement, truth });
        }
    }
    match reach {
        Reach::Sure { role, permission } => allow(app, role, permission),
        Reach::None | Reach::Maybe => conditional(app, masks, roles, facts),
    }
}

/// What a condition of the app says of these facts.
#[must_use]
pub fn test(app: &App, condition: usize, facts: &Facts<'_>) -> Truth {
    let Some(named) = app.conditions.get(condition) else { return Truth::Unknown };
    named.condition.truth(&app.conditions, &mut |leaf| leaf.test(facts))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    None,
    Maybe,
    Sure { role: usize, permission: PermissionId },
}

fn reach(app: &App, masks: &[(u16, u64)], roles: &RoleSet) -> Reach {
    let mut reach = Reach::None;
    for role in roles.iter() {
        let Some(row) = app.roles.get(role) else { continue };
        for (word, mask) in masks {
            let at = usize::from(*word);
            let sure = row.sure.get(at).copied().unwrap_or(0) & mask;
            if let Ok(bit) = u8::try_from(sure.trailing_zeros())
                && sure != 0
            {
                return Reach::Sure { role, permission: PermissionId { word: *word, bit } };
            }
            if row.maybe.get(at).copied().unwrap_or(0) & mask != 0 {
                reach = Reach::Maybe;
            }
        }
    }
    reach
}

fn allow(app: &App, role: usize, permission: PermissionId) -> Decision {
    let unconditional = |row: &Role| {
        let start = row.grants.partition_point(|grant| grant.permission < permission);
        let found = row.grants_of(permission).iter().position(|grant| grant.conditions.is_empty())?;
        Some(start + found)
    };
    match app.roles.get(role).and_then(unconditional) {
        Some(grant) => Decision::Allow(Granted::Grant { role, permission, grant }),
        // A sure bit without its grant can't be compiled; if it ever were, it grants nothing.
        None => Decision::Deny(Denial::NoPermission),
    }
}

fn conditional(app: &App, masks: &[(u16, u64)], roles: &RoleSet, facts: &Facts<'_>) -> Decision {
    let mut nearest: Option<(usize, Denial)> = None;
    for role in roles.iter() {
        let Some(row) = app.roles.get(role) else { continue };
        for permission in permissions(row, masks) {
            let start = row.grants.partition_point(|grant| grant.permission < permission);
            for (offset, grant) in row.grants_of(permission).iter().enumerate() {
                let index = start + offset;
                match against(app, grant, facts) {
                    None => return Decision::Allow(Granted::Grant { role, permission, grant: index }),
                    Some((met, condition, truth)) => {
                        if nearest.is_none_or(|(best, _)| met > best) {
                            nearest = Some((met, Denial::Condition { role, grant: index, condition, truth }));
                        }
                    }
                }
            }
        }
    }
    Decision::Deny(nearest.map_or(Denial::NoPermission, |(_, denial)| denial))
}

/// The permissions under conditions that a role has of an operation's.
fn permissions(row: &Role, masks: &[(u16, u64)]) -> impl Iterator<Item = PermissionId> {
    masks.iter().flat_map(|(word, mask)| {
        let mut left = row.maybe.get(usize::from(*word)).copied().unwrap_or(0) & mask;
        std::iter::from_fn(move || {
            let bit = u8::try_from(left.trailing_zeros()).ok().filter(|_| left != 0)?;
            left &= left - 1;
            Some(PermissionId { word: *word, bit })
        })
    })
}

/// The first condition that stands against a grant, after how many that hold.
fn against(app: &App, grant: &Grant, facts: &Facts<'_>) -> Option<(usize, usize, Truth)> {
    grant.conditions.iter().enumerate().find_map(|(met, condition)| {
        let truth = test(app, *condition, facts);
        (truth != Truth::Holds).then_some((met, *condition, truth))
    })
}
