//! The guard of a role on an operation: all its grants' conditions together, held against another guard by a truth
//! table over the leaves. Three-valued like the conditions themselves, so that unknown facts count too.

use crate::policy::{Access, App, Condition, Leaf, Operation, Truth};

/// More leaves than this make a table too large to build at load: 3^12 rows.
const LEAVES_MAX: usize = 12;

/// What a role has of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No grant at all.
    Nothing,
    /// A grant without a condition.
    Sure,
    /// Grants under conditions.
    Conditional,
}

/// What `role` (and what everyone has) grants of an operation.
#[must_use]
pub fn standing(app: &App, role: usize, operation: &Operation) -> Standing {
    let guards = guards(app, role, operation);
    if guards.is_empty() {
        Standing::Nothing
    } else if guards.iter().any(|conditions| conditions.is_empty()) {
        Standing::Sure
    } else {
        Standing::Conditional
    }
}

/// The conditions of each grant that `role`, or `anyone`, has of an operation.
#[must_use]
pub fn guards<'a>(app: &'a App, role: usize, operation: &'a Operation) -> Vec<&'a [usize]> {
    let mut guards = Vec::new();
    let roles = [Some(role), app.anyone.filter(|anyone| *anyone != role)];
    for row in roles.into_iter().flatten().filter_map(|role| app.roles.get(role)) {
        for permission in operation.permissions() {
            guards.extend(row.grants_of(permission).iter().map(|grant| &*grant.conditions));
        }
    }
    guards
}

/// How a role's guard compares with an expectation, over every row of the truth table in which `require` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The guard holds in all of them.
    Always,
    /// In none of them.
    Never,
    /// In exactly those in which the expected conditions hold.
    AsExpected,
    /// Otherwise.
    Otherwise,
    /// There are too many leaves to say.
    TooMany,
}

/// Holds a role's guard on an operation against conditions that must all hold, of which the role's own `only` is
/// taken for granted if `expected` leaves it out.
#[must_use]
pub fn compare(app: &App, role: usize, operation: &Operation, expected: &[usize]) -> Verdict {
    if matches!(operation.access, Access::Public) {
        return Verdict::Always;
    }
    let guards = guards(app, role, operation);
    if guards.is_empty() {
        return Verdict::Never;
    }
    let only = app.roles.get(role).and_then(|role| role.only);
    let mut leaves: Vec<&Leaf> = Vec::new();
    for condition in guards.iter().flat_map(|own| own.iter()).chain(expected).chain(&only) {
        add_leaves(app, *condition, &mut leaves);
    }
    let (required, apart) = joined(app, required(app, operation), &mut leaves);
    if leaves.len() > LEAVES_MAX {
        return Verdict::TooMany;
    }
    // What shares no test with the guards says nothing about them, as long as it can hold at all.
    match can_hold(app, &apart) {
        Some(true) => {}
        Some(false) => return Verdict::Never,
        None => return Verdict::TooMany,
    }
    let (mut always, mut never, mut exact, mut within_only) = (true, true, true, true);
    let mut row = vec![Truth::Holds; leaves.len()];
    loop {
        let all = |conditions: &[usize]| conditions.iter().all(|index| holds(app, *index, &leaves, &row));
        if all(&required) {
            let granted = guards.iter().any(|conditions| all(conditions));
            let wanted = all(expected);
            always &= granted;
            never &= !granted;
            exact &= granted == wanted;
            if only.is_none_or(|only| holds(app, only, &leaves, &row)) {
                within_only &= granted == wanted;
            }
        }
        if !advance(&mut row) {
            break;
        }
    }
    match (always, never, exact || within_only) {
        (true, ..) => Verdict::Always,
        (_, true, _) => Verdict::Never,
        (_, _, true) => Verdict::AsExpected,
        _ => Verdict::Otherwise,
    }
}

fn add_leaves<'a>(app: &'a App, condition: usize, leaves: &mut Vec<&'a Leaf>) {
    if let Some(named) = app.conditions.get(condition) {
        named.condition.leaves(&app.conditions, &mut |leaf| {
            if !leaves.contains(&leaf) {
                leaves.push(leaf);
            }
        });
    }
}

/// Of some conditions those that share a test with `leaves`, by way of each other too, and the others. The tests of the
/// former are added.
fn joined<'a>(app: &'a App, conditions: Vec<usize>, leaves: &mut Vec<&'a Leaf>) -> (Vec<usize>, Vec<usize>) {
    let (mut joined, mut apart) = (Vec::new(), conditions);
    loop {
        let meets = |condition: &usize| {
            let mut own = Vec::new();
            add_leaves(app, *condition, &mut own);
            own.iter().any(|leaf| leaves.contains(leaf))
        };
        let (more, rest): (Vec<usize>, Vec<usize>) = apart.into_iter().partition(meets);
        apart = rest;
        if more.is_empty() {
            return (joined, apart);
        }
        more.iter().for_each(|condition| add_leaves(app, *condition, leaves));
        joined.extend(more);
    }
}

/// Whether conditions can hold together; nothing if there are too many tests to say. Those that share none are looked
/// at apart.
fn can_hold(app: &App, conditions: &[usize]) -> Option<bool> {
    let mut left = conditions.to_vec();
    while let Some(first) = left.pop() {
        let mut leaves = Vec::new();
        add_leaves(app, first, &mut leaves);
        let (mut together, apart) = joined(app, left, &mut leaves);
        left = apart;
        together.push(first);
        if leaves.len() > LEAVES_MAX {
            return None;
        }
        let mut row = vec![Truth::Holds; leaves.len()];
        while !together.iter().all(|condition| holds(app, *condition, &leaves, &row)) {
            if !advance(&mut row) {
                return Some(false);
            }
        }
    }
    Some(true)
}

/// Every requirement that an operation is under, the one that proves the tenant included.
#[must_use]
pub fn required(app: &App, operation: &Operation) -> Vec<usize> {
    let proven_by = match &app.tenant {
        crate::policy::TenantRule::From { proven_by, .. } => *proven_by,
        crate::policy::TenantRule::Constant(_) => None,
    };
    let all = proven_by.into_iter().chain(operation.requirements().iter().copied());
    all.filter_map(|index| app.requirements.get(index)).map(|requirement| requirement.condition).collect()
}

/// The conditions that every guarded operation of an app requires.
#[must_use]
pub fn required_everywhere(app: &App) -> Vec<usize> {
    let mut guarded = app.operations.iter().filter(|own| matches!(own.access, Access::Guarded { .. }));
    let mut common = guarded.next().map(|own| required(app, own)).unwrap_or_default();
    for operation in guarded {
        let own = required(app, operation);
        common.retain(|condition| own.contains(condition));
    }
    common
}

fn holds(app: &App, condition: usize, leaves: &[&Leaf], row: &[Truth]) -> bool {
    let Some(named) = app.conditions.get(condition) else { return false };
    let condition: &Condition = &named.condition;
    let truth = condition.truth(&app.conditions, &mut |leaf: &Leaf| {
        let at = leaves.iter().position(|own| *own == leaf);
        at.and_then(|at| row.get(at)).copied().unwrap_or(Truth::Unknown)
    });
    truth == Truth::Holds
}

/// The next row of the table, counting in base three; false after the last.
fn advance(row: &mut [Truth]) -> bool {
    for cell in row {
        *cell = match cell {
            Truth::Holds => Truth::Fails,
            Truth::Fails => Truth::Unknown,
            Truth::Unknown => {
                *cell = Truth::Holds;
                continue;
            }
        };
        return true;
    }
    false
}
