//! Grants that change nothing, roles that are others, and permissions, roles and scopes that lead nowhere.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{Finding, Kind, Subject, Weight, listed};
use crate::analysis::feasible::Worlds;
use crate::policy::{App, Grant, PermissionId};

/// Most roles of which every two are compared.
const ROLES_MAX: usize = 64;

pub(super) fn of(app: &App) -> Vec<Finding> {
    let mut findings = Vec::new();
    idle(app, &mut findings);
    roles(app, &mut findings);
    never_granted(app, &mut findings);
    empty_scopes(app, &mut findings);
    findings
}

/// Whether whoever meets the conditions of `own` is granted the same by one of `others`.
fn is_covered(app: &App, own: &Grant, others: &[&Grant]) -> bool {
    // What every operation requires is no condition of a grant's own.
    let besides = |grant: &Grant| -> Vec<usize> {
        grant.conditions.iter().copied().filter(|index| !app.required_everywhere.contains(index)).collect()
    };
    let others: Vec<Vec<usize>> = others.iter().map(|other| besides(other)).collect();
    if others.iter().any(|other| other.iter().all(|condition| own.conditions.contains(condition))) {
        return true;
    }
    let named = own.conditions.iter().chain(others.iter().flatten());
    let named: BTreeSet<usize> = named.copied().collect();
    let conditions = named.iter().filter_map(|index| app.conditions.get(*index)).map(|own| &own.condition);
    if others.is_empty() {
        return false;
    }
    let Some(worlds) = Worlds::of(app, conditions) else { return false };
    let alone = worlds.find(|row| {
        row.all_hold(app, &own.conditions) && !others.iter().any(|other| row.all_hold(app, other))
    });
    // A grant that can't ever hold is told of as the condition that never holds.
    alone.is_none() && worlds.find(|row| row.all_hold(app, &own.conditions)).is_some()
}

/// Grants that another one of the role, or what everyone has, makes superfluous.
fn idle(app: &App, findings: &mut Vec<Finding>) {
    let anyone = app.anyone.and_then(|index| app.roles.get(index));
    for (index, role) in app.roles.iter().enumerate() {
        let everyone = anyone.filter(|_| app.anyone != Some(index));
        for (at, grant) in role.grants.iter().enumerate() {
            let own = role.grants_of(grant.permission);
            let first = role.grants.partition_point(|other| other.permission < grant.permission);
            // Of two that say the same the first stays.
            let stays = |(other, theirs): &(usize, &Grant)| {
                first + other < at || first + other > at && !is_covered(app, theirs, &[grant])
            };
            let others: Vec<&Grant> = own.iter().enumerate().filter(stays).map(|(_, own)| own).collect();
            let given = everyone.map_or(&[][..], |anyone| anyone.grants_of(grant.permission));
            let by_everyone: Vec<&Grant> = given.iter().collect();
            let permission = app.permission(grant.permission).map_or("", |own| &*own.name);
            // A document's rows say what everyone has, too.
            let (weight, why, by) = if is_covered(app, grant, &others) {
                (Weight::Note, "another grant of the role says as much", &others)
            } else if is_covered(app, grant, &by_everyone) {
                (Weight::Reading, "everyone has it", &by_everyone)
            } else {
                continue;
            };
            let message = format!("granting `{permission}` to `{}` changes nothing here: {why}", role.name);
            let label = by.first().map(|first| format!("granted at {}", first.place)).unwrap_or_default();
            findings
                .push(Finding::new(Kind::IdleGrant, weight, Subject::Grant(index, at), message).label(label));
        }
    }
}

/// A role's grants as what can be compared: each permission with its conditions.
fn granted(app: &App, role: usize) -> BTreeSet<(PermissionId, Vec<usize>)> {
    let grants = app.roles.get(role).map_or(&[][..], |role| &role.grants);
    let sorted = |grant: &Grant| {
        let mut conditions = grant.conditions.to_vec();
        conditions.sort_unstable();
        conditions.dedup();
        (grant.permission, conditions)
    };
    grants.iter().map(sorted).collect()
}

fn roles(app: &App, findings: &mut Vec<Finding>) {
    let rows: Vec<_> = (0..app.roles.len()).map(|role| granted(app, role)).collect();
    let name = |index: usize| app.roles.get(index).map_or("", |role| &*role.name);
    for (index, row) in rows.iter().enumerate() {
        if row.is_empty() {
            let message = format!("role `{}` grants nothing", name(index));
            findings.push(Finding::new(Kind::EmptyRole, Weight::Note, Subject::Role(index), message));
        }
        if row.is_empty() || Some(index) == app.anyone || rows.len() > ROLES_MAX {
            continue;
        }
        let others =
            rows.iter().enumerate().filter(|(other, _)| *other != index && Some(*other) != app.anyone);
        let mut others = others.filter(|(_, theirs)| !theirs.is_empty());
        let equal = others.clone().find(|(other, theirs)| *other < index && *theirs == row);
        let finding = if let Some((other, _)) = equal {
            let message = format!("roles `{}` and `{}` are granted the same", name(other), name(index));
            Finding::new(Kind::SameRole, Weight::Note, Subject::Role(index), message)
                .also(Subject::Role(other), "the other one")
                .help("one role with both strings under `claim` would say it once")
        } else if let Some((other, _)) = others.find(|(_, theirs)| row.is_subset(theirs) && *theirs != row) {
            let message = format!("whatever `{}` grants, `{}` grants too", name(index), name(other));
            Finding::new(Kind::SameRole, Weight::Reading, Subject::Role(index), message)
                .also(Subject::Role(other), "the larger one")
        } else {
            continue;
        };
        findings.push(finding);
    }
}

fn never_granted(app: &App, findings: &mut Vec<Finding>) {
    let granted: HashSet<PermissionId> =
        app.roles.iter().flat_map(|role| &role.grants).map(|grant| grant.permission).collect();
    let ungranted = |(_, (id, own)): &(usize, &(PermissionId, crate::policy::Permission))| {
        !own.reserved && !granted.contains(id)
    };
    let without: Vec<_> = app.permissions.iter().enumerate().filter(ungranted).collect();
    let Some((first, _)) = without.first() else { return };
    let names: Vec<String> = without.iter().map(|(_, (_, own))| own.name.to_string()).collect();
    let message = format!("nobody is granted {}", listed(&names));
    findings.push(
        Finding::new(Kind::NeverGranted, Weight::Note, Subject::Scope(*first), message)
            .label(if names.len() == 1 { "no role has it" } else { "no role has it, nor the others" })
            .help("`reserved = true` says of a resource that this is meant"),
    );
}

/// Scopes that permit no operation, and yet are granted: whoever reads the file thinks that they do something.
fn empty_scopes(app: &App, findings: &mut Vec<Finding>) {
    let permitting: HashSet<PermissionId> = app.operations.iter().flat_map(|own| own.permissions()).collect();
    let mut holders: HashMap<PermissionId, Vec<String>> = HashMap::new();
    for role in &app.roles {
        for grant in role.grants.iter().filter(|grant| !permitting.contains(&grant.permission)) {
            let names = holders.entry(grant.permission).or_default();
            if names.last().map(String::as_str) != Some(&*role.name) {
                names.push(role.name.to_string());
            }
        }
    }
    for (at, (id, own)) in app.permissions.iter().enumerate() {
        let Some(names) = holders.get(id) else { continue };
        let message = format!("`{}` permits no operation, though {} is granted it", own.name, listed(names));
        findings.push(
            Finding::new(Kind::EmptyScope, Weight::Warning, Subject::Scope(at), message)
                .label("an empty list of operations"),
        );
    }
}
