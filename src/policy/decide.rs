//! The decision: permission bits of the caller's roles AND the operation's mask, then the requirements, then the
//! conditions of the few grants that have some.

use std::sync::Arc;

use super::Facts;
use super::condition::{Condition, Leaf, Tester, Truth};
use super::grant::{Access, App, Grant, Operation, PermissionId, Role};
use super::known::{Missed, Needs};
use crate::fact::Value;

/// The roles that a caller holds in an app, by index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleSet(Arc<[usize]>);

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
        Self(roles.into())
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
    /// It may not, and only because an app that was asked gave no answer.
    Unanswered(Denial),
    /// Something must be found out first.
    Need(Needs),
}

/// By what it may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granted {
    /// The operation is public.
    Public,
    /// It opens a socket, on which some role of the caller's may send something.
    Opening,
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

/// Decides one operation for one set of roles. Total: every input has an answer, and only known facts allow. What
/// fails for good is refused before anything is asked.
pub fn decide(app: &App, operation: &Operation, roles: &RoleSet, facts: &Facts<'_>) -> Decision {
    if matches!(operation.access, Access::Public) {
        return Decision::Allow(Granted::Public);
    }
    let reach = reach(app, operation.masks(), roles);
    if reach == Reach::None {
        return Decision::Deny(Denial::NoPermission);
    }
    let required = require(app, operation, facts);
    if let Standing::Against(denial) = required {
        return Decision::Deny(denial);
    }
    let granted = match (&operation.access, reach) {
        (Access::Socket { .. }, _) => Standing::For(Granted::Opening),
        (_, Reach::Sure { role, permission }) => allow(app, role, permission),
        _ => conditional(app, operation.masks(), roles, facts),
    };
    match (required, granted) {
        (Standing::Against(denial), _) | (_, Standing::Against(denial)) => Decision::Deny(denial),
        (Standing::Open(open), _) | (_, Standing::Open(open)) => open.decision(),
        (Standing::For(()), Standing::For(granted)) => Decision::Allow(granted),
    }
}

/// What one part of the rules says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing<T> {
    /// Nothing stands against it.
    For(T),
    /// This does, whatever else is found out.
    Against(Denial),
    /// This does, for all that is known.
    Open(Open),
}

/// What isn't known to hold, but may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    denial: Denial,
    /// What would tell; nothing, where an app that was asked gave no answer.
    needs: Needs,
}

impl Open {
    /// What is decided of it: nothing, as long as it can be found out.
    pub fn decision(self) -> Decision {
        if self.needs.is_empty() { Decision::Unanswered(self.denial) } else { Decision::Need(self.needs) }
    }

    /// What is decided of it where more is needed beside.
    pub fn and(self, needs: Needs) -> Decision {
        if self.needs.is_empty() { self.decision() } else { Decision::Need(self.needs.and(needs)) }
    }
}

/// What the requirements of an operation say, but for the one that proves the tenant. The first that fails for good
/// is told; else the first that isn't known.
#[must_use]
pub fn require(app: &App, operation: &Operation, facts: &Facts<'_>) -> Standing<()> {
    let mut standing_of_all = Standing::For(());
    for requirement in operation.requirements() {
        let condition = app.requirements.get(*requirement).map(|own| own.condition);
        let denial = |truth| Denial::Requirement { requirement: *requirement, truth };
        match standing(app, condition, facts, denial) {
            Standing::For(()) => {}
            Standing::Against(denial) => return Standing::Against(denial),
            open @ Standing::Open(_) if standing_of_all == Standing::For(()) => standing_of_all = open,
            Standing::Open(_) => {}
        }
    }
    standing_of_all
}

/// What the requirement that proves the tenant says.
#[must_use]
pub fn prove(app: &App, requirement: usize, facts: &Facts<'_>) -> Standing<()> {
    let condition = app.requirements.get(requirement).map(|own| own.condition);
    standing(app, condition, facts, |truth| Denial::Requirement { requirement, truth })
}

/// Whether one of these permissions is known to be held.
#[must_use]
pub fn holds_one(app: &App, permissions: &[PermissionId], roles: &RoleSet, facts: &Facts<'_>) -> bool {
    let grants = |role: usize| app.roles.get(role).into_iter();
    let mut grants = roles.iter().flat_map(|role| {
        grants(role).flat_map(|row| permissions.iter().flat_map(|permission| row.grants_of(*permission)))
    });
    grants.any(|grant| grant.conditions.iter().all(|own| test(app, *own, facts) == Truth::Holds))
}

/// What a condition of the app says of these facts. Where the operation makes a filter of a condition, it holds as
/// far as the value to filter by is known.
#[must_use]
pub fn test(app: &App, condition: usize, facts: &Facts<'_>) -> Truth {
    Condition::Named(condition).truth(&app.conditions, &mut ByFacts(facts))
}

struct ByFacts<'f, 'r>(&'f Facts<'r>);

impl Tester for ByFacts<'_, '_> {
    fn leaf(&mut self, leaf: &Leaf) -> Truth {
        leaf.test(self.0)
    }

    fn instead_of(&mut self, named: usize) -> Option<Truth> {
        let at = self.0.narrows.iter().position(|own| own.condition == named)?;
        let narrow = self.0.narrows.get(at)?;
        Some(match narrow.filter_value(self.0) {
            Some(_) => {
                self.0.trail.narrows(at);
                Truth::Holds
            }
            None => Truth::Unknown,
        })
    }
}

/// Tests a condition, and tells what can still be found out from what the request itself lacks.
fn standing(
    app: &App,
    condition: Option<usize>,
    facts: &Facts<'_>,
    denial: impl FnOnce(Truth) -> Denial,
) -> Standing<()> {
    if holds_unfiltered(app, condition, facts) {
        return Standing::For(());
    }
    let _before = facts.trail.take();
    let truth = condition.map_or(Truth::Unknown, |condition| test(app, condition, facts));
    let (needs, missed) = facts.trail.take();
    match truth {
        Truth::Holds => Standing::For(()),
        Truth::Unknown
            if (!needs.is_empty() || missed == Missed::Something) && may_hold(app, condition, facts) =>
        {
            Standing::Open(Open { denial: denial(truth), needs })
        }
        Truth::Unknown | Truth::Fails => Standing::Against(denial(truth)),
    }
}

/// Whether a condition holds without those that the operation makes filters of: what is held so isn't filtered.
fn holds_unfiltered(app: &App, condition: Option<usize>, facts: &Facts<'_>) -> bool {
    let Some(condition) = condition.filter(|_| !facts.narrows.is_empty()) else { return false };
    Condition::Named(condition).truth(&app.conditions, &mut Unfiltered(facts)) == Truth::Holds
}

struct Unfiltered<'f, 'r>(&'f Facts<'r>);

impl Tester for Unfiltered<'_, '_> {
    fn leaf(&mut self, leaf: &Leaf) -> Truth {
        leaf.test(self.0)
    }

    fn instead_of(&mut self, named: usize) -> Option<Truth> {
        self.0.narrows.iter().any(|own| own.condition == named).then_some(Truth::Unknown)
    }
}

/// Whether some answers to what isn't answered yet would make a condition hold. What is unknown for good never does, so
/// that nobody is asked in vain, and nobody told to come again.
fn may_hold(app: &App, condition: Option<usize>, facts: &Facts<'_>) -> bool {
    let before = facts.trail.narrowed();
    let hopes = condition.map(|own| hopes(app, &Condition::Named(own), facts));
    facts.trail.unnarrow(before);
    let _asked = facts.trail.take();
    hopes.is_some_and(|own| own.holds)
}

/// What a condition may still come to.
#[derive(Clone, Copy)]
struct Hopes {
    holds: bool,
    fails: bool,
}

fn hopes(app: &App, condition: &Condition, facts: &Facts<'_>) -> Hopes {
    let of_known = |test: &dyn Fn() -> Truth| {
        let _before = facts.trail.take();
        let truth = test();
        let (needs, missed) = facts.trail.take();
        let is_open = truth == Truth::Unknown && (!needs.is_empty() || missed == Missed::Something);
        Hopes { holds: is_open || truth == Truth::Holds, fails: is_open || truth == Truth::Fails }
    };
    match condition {
        Condition::Leaf(leaf) => of_known(&|| leaf.test(facts)),
        Condition::Named(own) if facts.narrows.iter().any(|other| other.condition == *own) => {
            of_known(&|| test(app, *own, facts))
        }
        Condition::Named(own) => match app.conditions.get(*own) {
            Some(named) => hopes(app, &named.condition, facts),
            None => Hopes { holds: false, fails: false },
        },
        Condition::All(parts) => parts.iter().fold(Hopes { holds: true, fails: false }, |all, part| {
            let own = hopes(app, part, facts);
            Hopes { holds: all.holds && own.holds, fails: all.fails || own.fails }
        }),
        Condition::Any(parts) => parts.iter().fold(Hopes { holds: false, fails: true }, |any, part| {
            let own = hopes(app, part, facts);
            Hopes { holds: any.holds || own.holds, fails: any.fails && own.fails }
        }),
        Condition::Not(part) => {
            let own = hopes(app, part, facts);
            Hopes { holds: own.fails, fails: own.holds }
        }
    }
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

fn allow(app: &App, role: usize, permission: PermissionId) -> Standing<Granted> {
    let unconditional = |row: &Role| {
        let start = row.grants.partition_point(|grant| grant.permission < permission);
        let found = row.grants_of(permission).iter().position(|grant| grant.conditions.is_empty())?;
        Some(start + found)
    };
    match app.roles.get(role).and_then(unconditional) {
        Some(grant) => Standing::For(Granted::Grant { role, permission, grant }),
        // A sure bit without its grant can't be compiled; if it ever were, it grants nothing.
        None => Standing::Against(Denial::NoPermission),
    }
}

/// The best of the grants under conditions: one that holds as it is, then one that may once more is known, then one
/// that holds as a filter, so that a role more never shows less.
fn conditional(app: &App, masks: &[(u16, u64)], roles: &RoleSet, facts: &Facts<'_>) -> Standing<Granted> {
    let before = facts.trail.narrowed();
    let mut nearest: Option<(usize, Denial)> = None;
    let mut open: Option<Open> = None;
    let mut narrowed: Option<(u32, Granted)> = None;
    for role in roles.iter() {
        let Some(row) = app.roles.get(role) else { continue };
        for permission in permissions(row, masks) {
            let start = row.grants.partition_point(|grant| grant.permission < permission);
            for (offset, grant) in row.grants_of(permission).iter().enumerate() {
                let index = start + offset;
                facts.trail.unnarrow(before);
                let denial = |condition, truth| Denial::Condition { role, grant: index, condition, truth };
                let granted = Granted::Grant { role, permission, grant: index };
                match grant_standing(app, grant, facts, denial) {
                    (_, Standing::For(())) if facts.trail.narrowed() == before => {
                        return Standing::For(granted);
                    }
                    (_, Standing::For(())) => {
                        narrowed.get_or_insert((facts.trail.narrowed(), granted));
                    }
                    (_, Standing::Open(own)) => {
                        let asks_less = |known: &Open| known.needs.is_empty() && !own.needs.is_empty();
                        if open.as_ref().is_none_or(asks_less) {
                            open = Some(own);
                        }
                    }
                    (met, Standing::Against(denial)) => {
                        if nearest.is_none_or(|(best, _)| met > best) {
                            nearest = Some((met, denial));
                        }
                    }
                }
            }
        }
    }
    facts.trail.unnarrow(before);
    match (open, narrowed) {
        (Some(open), None) => Standing::Open(open),
        (Some(open), Some(_)) if !open.needs.is_empty() => Standing::Open(open),
        (_, Some((bits, granted))) => {
            facts.trail.unnarrow(bits);
            Standing::For(granted)
        }
        (None, None) => Standing::Against(nearest.map_or(Denial::NoPermission, |(_, denial)| denial)),
    }
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

/// What a grant's conditions say together, and how many of the first ones hold. One that fails for good settles it,
/// wherever it stands.
fn grant_standing(
    app: &App,
    grant: &Grant,
    facts: &Facts<'_>,
    denial: impl Fn(usize, Truth) -> Denial,
) -> (usize, Standing<()>) {
    let mut met = 0;
    let mut of_all = Standing::For(());
    for condition in &grant.conditions {
        match standing(app, Some(*condition), facts, |truth| denial(*condition, truth)) {
            Standing::For(()) if of_all == Standing::For(()) => met += 1,
            Standing::For(()) => {}
            against @ Standing::Against(_) => return (met, against),
            open @ Standing::Open(_) if of_all == Standing::For(()) => of_all = open,
            Standing::Open(_) => {}
        }
    }
    (met, of_all)
}
