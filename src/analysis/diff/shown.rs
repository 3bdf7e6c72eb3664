//! Whom fields of an answer are shown to. A caller with several roles is let through by one and shown a field by another,
//! so that nobody who holds one role alone need see what changes for who holds both.

use std::collections::{BTreeMap, BTreeSet};

use super::carries::condition;
use crate::policy::{App, Condition, Operation};
use crate::snapshot::{OperationRef, Snapshot};

/// Who is shown a field by one of the masks that hide it: a role's string, under these conditions.
type Shown = BTreeSet<(String, String)>;

/// The fields that some callers may be shown who weren't, with who that is.
pub(super) fn newly(
    (old, from): (&Snapshot, &[OperationRef]),
    (new, to): (&Snapshot, &[OperationRef]),
) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (before, operation) in from.iter().filter_map(|at| old.operation(*at)) {
        let other = to.iter().filter_map(|at| new.operation(*at)).find(|(app, _)| app.name == before.name);
        let Some((after, changed)) = other else { continue };
        let (was, is) = (masks(before, operation), masks(after, changed));
        for (field, was) in was {
            let is = is.get(&field).map_or(&[][..], |own| own);
            for mask in was {
                // What hides at least as much as this one did.
                if !is.iter().any(|own| own.is_subset(&mask)) {
                    let more = is.iter().flat_map(|own| own.difference(&mask));
                    found.entry(field.clone()).or_default().extend(more.map(|(role, _)| role.clone()));
                }
            }
        }
    }
    found
}

fn masks(app: &App, operation: &Operation) -> BTreeMap<String, Vec<Shown>> {
    let mut found: BTreeMap<String, Vec<Shown>> = BTreeMap::new();
    for mask in &operation.obligations.masks {
        let mut shown = Shown::new();
        for role in &app.roles {
            for grant in mask.unless.iter().flat_map(|own| role.grants_of(*own)) {
                let mut all: Vec<String> =
                    grant.conditions.iter().map(|own| condition(app, &Condition::Named(*own))).collect();
                all.sort();
                let claims = role.claims.iter().map(ToString::to_string);
                let claims: Vec<String> =
                    if role.claims.is_empty() { vec![role.name.to_string()] } else { claims.collect() };
                shown.extend(claims.into_iter().map(|own| (own, all.join(" and "))));
            }
        }
        for field in &mask.fields {
            found.entry(field.to_string()).or_default().push(shown.clone());
        }
    }
    found
}
