//! From what was counted to what there is to say, with the rules of now.

use std::collections::HashMap;

use super::findings::{Denied, Findings, Held, Needed, OfRole, Repaired, Unused, Used, Why};
use super::{Allowed, Count, Period, RECURS, Refused};
use crate::policy::{App, Operation, PermissionId, Role};
use crate::snapshot::Snapshot;

/// What was allowed to a role: operations, by index, with what was counted.
type InUse<'p> = HashMap<usize, Vec<&'p Count>>;

impl Period {
    /// What the period says of these rules.
    #[must_use]
    pub fn conclude(&self, snapshot: &Snapshot) -> Findings {
        let mut findings = Findings::default();
        for app in &snapshot.apps {
            let operations = named(app);
            for (index, role) in app.roles.iter().enumerate() {
                let is_anyone = app.anyone == Some(index);
                let key = (app.name.to_string(), role.name.to_string());
                let came = self.roles.get(&key);
                if came.is_none() && !is_anyone {
                    let place = role.place.clone();
                    findings.absent.push(OfRole { app: app.name.clone(), role: role.name.clone(), place });
                    continue;
                }
                self.of_role(app, role, came, &operations, &mut findings);
            }
            self.requirements(app, &mut findings);
        }
        let known =
            |key: &Allowed| snapshot.app(&key.app).is_some_and(|app| named(app).contains_key(&key.operation));
        findings.gone = self.allowed.iter().filter(|(key, _)| !known(key)).map(|(_, own)| own.requests).sum();
        findings.denied = self.denied(snapshot);
        findings
    }

    fn of_role(
        &self,
        app: &App,
        role: &Role,
        came: Option<&Count>,
        operations: &HashMap<String, usize>,
        findings: &mut Findings,
    ) {
        let mut used: InUse<'_> = HashMap::new();
        for (key, count) in &self.allowed {
            if *key.app == *app.name
                && *key.role == *role.name
                && let Some(operation) = operations.get(&key.operation)
            {
                used.entry(*operation).or_default().push(count);
            }
        }
        let mut granted: Vec<PermissionId> = role.grants.iter().map(|own| own.permission).collect();
        granted.dedup();
        let mut needed = cover(app, &granted, &used);
        let shows = granted.iter().filter(|own| !needed.iter().any(|(other, _)| other == *own));
        let shows: Vec<_> = shows.filter_map(|own| Some((*own, shown_by(app, *own, &used)?))).collect();
        needed.extend(shows);
        for permission in &granted {
            if needed.iter().any(|(own, _)| own == permission) {
                continue;
            }
            let is_used = used.keys().any(|own| permits(app, *own, *permission));
            for grant in role.grants_of(*permission) {
                findings.unused.push(Unused {
                    app: app.name.clone(),
                    role: role.name.clone(),
                    permission: name(app, *permission),
                    place: grant.place.clone(),
                    why: if is_used { Why::NotNeeded } else { Why::NeverUsed },
                });
            }
        }
        let permissions = needed.iter().map(|(id, counts)| {
            let sum = sum(counts);
            Used { permission: name(app, *id), requests: sum.requests, people: sum.people.count() }
        });
        let all: Vec<&Count> = used.values().flatten().copied().collect();
        findings.least.push(Needed {
            app: app.name.clone(),
            role: role.name.clone(),
            people: came.map_or_else(|| sum(&all).people.count(), |own| own.people.count()),
            requests: sum(&all).requests,
            permissions: permissions.collect(),
            granted: granted.len(),
        });
        self.conditions(app, role, findings);
    }

    /// The conditions of grants in use that stood against nobody.
    fn conditions(&self, app: &App, role: &Role, findings: &mut Findings) {
        let mut by_permission: HashMap<&str, Vec<&Count>> = HashMap::new();
        for (key, count) in &self.allowed {
            if *key.app == *app.name && *key.role == *role.name {
                by_permission.entry(&key.permission).or_default().push(count);
            }
        }
        for grant in &role.grants {
            // Of several grants it isn't recorded which one it was.
            let [_] = role.grants_of(grant.permission) else { continue };
            let permission = name(app, grant.permission);
            let Some(counts) = by_permission.get(&*permission) else { continue };
            for condition in grant.conditions.iter().filter_map(|own| app.conditions.get(*own)) {
                let stood = |key: &Refused| {
                    *key.app == *app.name
                        && key.condition.as_deref() == Some(&*condition.name)
                        && key
                            .nearest
                            .as_ref()
                            .is_some_and(|(own, of)| **own == *role.name && **of == *permission)
                };
                if !self.refused.keys().any(stood) {
                    let sum = sum(counts);
                    findings.held.push(Held {
                        app: app.name.clone(),
                        grant: Some((role.name.clone(), permission.clone())),
                        condition: condition.name.clone(),
                        place: condition.place.clone(),
                        requests: sum.requests,
                        people: sum.people.count(),
                    });
                }
            }
        }
    }

    /// The requirements that stood against nobody, where anything was allowed under them.
    fn requirements(&self, app: &App, findings: &mut Findings) {
        let operations = named(app);
        for (index, requirement) in app.requirements.iter().enumerate() {
            let is_under = |key: &&Allowed| {
                let own = operations.get(&key.operation).and_then(|at| app.operations.get(*at));
                *key.app == *app.name && own.is_some_and(|own| own.requirements().contains(&index))
            };
            let counts: Vec<&Count> =
                self.allowed.iter().filter(|(key, _)| is_under(key)).map(|(_, own)| own).collect();
            let stood = |key: &Refused| {
                *key.app == *app.name
                    && key.nearest.is_none()
                    && key.condition.as_deref() == Some(&*requirement.name)
            };
            if !counts.is_empty() && !self.refused.keys().any(stood) {
                let sum = sum(&counts);
                findings.held.push(Held {
                    app: app.name.clone(),
                    grant: None,
                    condition: (*requirement.name).into(),
                    place: requirement.place.clone(),
                    requests: sum.requests,
                    people: sum.people.count(),
                });
            }
        }
    }

    fn denied(&self, snapshot: &Snapshot) -> Vec<Denied> {
        let recurring = self.refused.iter().filter(|(key, own)| own.requests >= RECURS && is_of_grants(key));
        let mut denied: Vec<Denied> = recurring
            .map(|(key, own)| Denied {
                app: key.app.clone(),
                operation: key.operation.clone(),
                roles: key.roles.clone(),
                reason: key.reason.clone(),
                condition: key.condition.clone(),
                requests: own.requests,
                people: own.people.count(),
                repaired: repaired(snapshot, key),
            })
            .collect();
        let order = |own: &Denied| (u64::MAX - own.requests, own.app.clone(), own.operation.clone());
        denied.sort_by_key(|own| (order(own), own.roles.clone(), own.condition.clone()));
        denied
    }
}

/// Whether someone was refused by the rules, not for a bad token or a full gateway.
fn is_of_grants(key: &Refused) -> bool {
    ["no-permission", "condition-", "requirement-", "tenant-not-proven"]
        .iter()
        .any(|own| key.reason.starts_with(own))
}

fn named(app: &App) -> HashMap<String, usize> {
    let all = app.operations.iter().enumerate();
    all.map(|(index, own)| (format!("{} {}", own.verb, own.template), index)).collect()
}

fn name(app: &App, id: PermissionId) -> std::sync::Arc<str> {
    app.permission(id).map_or_else(|| "".into(), |own| own.name.clone())
}

fn permits(app: &App, operation: usize, permission: PermissionId) -> bool {
    app.operations.get(operation).is_some_and(|own| own.permissions().any(|other| other == permission))
}

/// What was answered with fields that are shown only to who holds a permission: without it they would have been hidden.
fn shown_by<'p>(app: &App, permission: PermissionId, used: &InUse<'p>) -> Option<Vec<&'p Count>> {
    let lifts = |at: &usize| {
        let masks = app.operations.get(*at).map_or(&[][..], |own| &own.obligations.masks);
        masks.iter().any(|mask| mask.unless.contains(&permission))
    };
    let counts: Vec<_> = used.iter().filter(|(at, _)| lifts(at)).flat_map(|(_, own)| own).copied().collect();
    (!counts.is_empty()).then_some(counts)
}

/// How many operations a permission permits.
fn power(app: &App, permission: PermissionId) -> usize {
    let permits = |own: &&Operation| own.permissions().any(|other| other == permission);
    app.operations.iter().filter(permits).count()
}

fn sum(counts: &[&Count]) -> Count {
    let mut sum = Count::default();
    counts.iter().for_each(|own| sum.add((*own).clone()));
    sum
}

/// The fewest permissions that permit everything in use: always the one that permits most of what is left, of equals the
/// one that permits least beside.
fn cover<'p>(app: &App, granted: &[PermissionId], used: &InUse<'p>) -> Vec<(PermissionId, Vec<&'p Count>)> {
    let mut left: Vec<usize> = used.keys().copied().collect();
    let mut chosen = Vec::new();
    loop {
        let gain = |own: &PermissionId| left.iter().filter(|at| permits(app, **at, *own)).count();
        let best = granted
            .iter()
            .filter(|own| gain(own) > 0)
            .max_by_key(|own| (gain(own), usize::MAX - power(app, **own), std::cmp::Reverse(**own)));
        let Some(best) = best else { return chosen };
        let (taken, rest): (Vec<usize>, Vec<usize>) = left.iter().partition(|at| permits(app, **at, *best));
        chosen.push((*best, taken.iter().filter_map(|at| used.get(at)).flatten().copied().collect()));
        left = rest;
    }
}

/// The least that would have let them in.
fn repaired(snapshot: &Snapshot, key: &Refused) -> Repaired {
    match (&*key.reason, &key.nearest) {
        (reason, Some((role, permission))) if reason.starts_with("condition-") => {
            Repaired::Unconditional { role: role.clone(), permission: permission.clone() }
        }
        ("no-permission", _) => grant(snapshot, key),
        _ => Repaired::NoGrant,
    }
}

/// Of the permissions that would do, the one that permits least beside.
fn grant(snapshot: &Snapshot, key: &Refused) -> Repaired {
    let Some(app) = snapshot.app(&key.app) else { return Repaired::Nothing };
    let all = named(app);
    let Some(operation) = all.get(&key.operation).and_then(|at| app.operations.get(*at)) else {
        return Repaired::Nothing;
    };
    let open = |own: &PermissionId| app.permission(*own).is_some_and(|own| !own.reserved);
    let least = operation.permissions().filter(open).min_by_key(|own| (power(app, *own), *own));
    let Some(least) = least else { return Repaired::Nothing };
    let is_beside = |own: &&Operation| own.permissions().any(|other| other == least);
    let mut beside: Vec<String> =
        app.operations.iter().filter(is_beside).map(|own| format!("{} {}", own.verb, own.template)).collect();
    beside.retain(|own| *own != key.operation);
    Repaired::Grant { permission: name(app, least), beside }
}
