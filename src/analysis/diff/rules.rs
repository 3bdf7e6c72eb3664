//! What a file says of one operation for some roles, in words without places: where both sides' words are the same, so is
//! their meaning, and nothing has to be searched.

use std::fmt::Write as _;

use super::carries::{condition, fact};
use crate::policy::obligation::SeatRule;
use crate::policy::{Access, App, Condition, Grant, Operation, Role, RoleSet, TenantRule};
use crate::snapshot::Snapshot;

/// The rules of an operation for these roles.
pub(super) fn of(snapshot: &Snapshot, app: &App, operation: &Operation, roles: &RoleSet) -> String {
    let kind = snapshot.gateway.issuers.iter().find(|own| own.name == app.issuer).map(|own| own.kind);
    let mut text = format!("{} of {} {kind:?}\n", operation.template, app.issuer);
    let word = match operation.access {
        Access::Public => "public",
        Access::Guarded { .. } => "guarded",
        Access::Socket { .. } => "socket",
    };
    text.push_str(word);
    match &app.tenant {
        TenantRule::Constant(own) => text += &format!("\ntenant {}", own.name),
        TenantRule::From { sources, proven_by } => {
            let sources: Vec<String> = sources.iter().map(|own| fact(app, *own)).collect();
            let _ = write!(text, "\ntenant of {sources:?} by {}", required(app, *proven_by));
        }
    }
    for own in operation.requirements() {
        let _ = write!(text, "\nrequired {}", required(app, Some(*own)));
    }
    let rows: Vec<&Role> = roles.iter().filter_map(|role| app.roles.get(role)).collect();
    for row in &rows {
        for permission in operation.permissions() {
            let seat = match app.permission(permission).map(|own| own.seat) {
                Some(SeatRule::If(own)) => condition(app, &Condition::Named(own)),
                other => format!("{other:?}"),
            };
            for grant in row.grants_of(permission) {
                let _ = write!(text, "\ngrant {} seat {seat}", conditions(app, grant));
            }
        }
    }
    for narrow in &operation.obligations.narrows {
        let _ = write!(
            text,
            "\nnarrow {} {} by {}",
            narrow.query,
            condition(app, &Condition::Named(narrow.condition)),
            super::carries::operand(app, &narrow.value)
        );
    }
    for mask in &operation.obligations.masks {
        let held = rows.iter().flat_map(|row| mask.unless.iter().flat_map(|own| row.grants_of(*own)));
        let held: Vec<String> = held.map(|grant| conditions(app, grant)).collect();
        let fields: Vec<String> = mask.fields.iter().map(ToString::to_string).collect();
        let _ = write!(text, "\nmask {fields:?} unless {held:?}");
    }
    for inject in &app.injects {
        let _ = write!(text, "\ninject {}", fact(app, inject.fact));
    }
    if let Some(only) = &operation.obligations.body_only {
        let only: Vec<String> = only.iter().map(ToString::to_string).collect();
        let _ = write!(text, "\nonly {only:?}");
    }
    text
}

fn required(app: &App, requirement: Option<usize>) -> String {
    let own = requirement.and_then(|own| app.requirements.get(own));
    own.map_or_else(|| "nothing".to_owned(), |own| condition(app, &Condition::Named(own.condition)))
}

fn conditions(app: &App, grant: &Grant) -> String {
    let all: Vec<String> =
        grant.conditions.iter().map(|own| condition(app, &Condition::Named(*own))).collect();
    all.join(" and ")
}
