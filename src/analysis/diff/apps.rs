//! What apps' files set beside who may do what: whose tokens they take, what roles are called, what they ask of their
//! applications, rates, pages of other origins, sockets; and what a `*` newly covers.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Effect::{self, Narrows, Neither, Widens};
use super::carries;
use super::same;
use super::settings::{Rows, strings};
use super::subject::Named;
use super::tenants::Tenants;
use super::untested;
use crate::budget::Rate;
use crate::policy::cors::Origins;
use crate::policy::limit::Limits;
use crate::policy::{App, TenantRule, Term};
use crate::snapshot::Snapshot;

/// What is set differently in apps.
pub(super) fn settings(rows: &mut Rows, (old, new): (&Snapshot, &Snapshot), tenants: &Tenants) {
    let names: BTreeSet<&Arc<str>> = old.apps.iter().chain(&new.apps).map(|app| &app.name).collect();
    for name in names {
        let of = format!("app {name}");
        match (old.app(name), new.app(name)) {
            (Some(_), None) => rows.neither(&of, "is gone"),
            (None, Some(_)) => rows.neither(&of, "is new"),
            (Some(before), Some(after)) => {
                values(rows, &of, (before, after), tenants);
                if !same::app((old, new), before, after) {
                    app(rows, &of, (old, before), (new, after));
                    if Named::of(&[before, after]).beyond {
                        let text = "its conditions read the roles in a way that isn't looked at for every choice of \
                                    roles that a caller may hold";
                        rows.add(Widens, &of, text);
                    }
                }
            }
            (None, None) => {}
        }
    }
}

/// A tenant's value that apps are told or asked by, or that lists and answers are filtered by: what they make of it nobody
/// knows here.
fn values(rows: &mut Rows, of: &str, (old, new): (&App, &App), tenants: &Tenants) {
    let told = untested::facts(new);
    for fact in told.into_iter().filter_map(|at| new.facts.get(at)) {
        let crate::fact::Source::Tenant(setting) = &fact.source else { continue };
        for (name, pair) in tenants.iter() {
            if let (Some(before), Some(after)) = (&pair.old, &pair.new)
                && before.uses(&old.name)
                && after.uses(&new.name)
                && before.fact(setting) != after.fact(setting)
            {
                let text = format!("is told, or shows by, another value of {} for tenant {name}", fact.name);
                rows.add(Widens, of, text);
            }
        }
    }
}

fn app(rows: &mut Rows, of: &str, (before, old): (&Snapshot, &App), (after, new): (&Snapshot, &App)) {
    rows.changed(Widens, of, "issuer", &old.issuer, &new.issuer);
    let list = |own: &[Box<str>]| if own.is_empty() { vec!["any".to_owned()] } else { strings(own) };
    rows.list(of, "hosts", (&list(&old.hosts), &list(&new.hosts)), (Neither, Neither));
    rows.changed(Neither, of, "base", &old.base, &new.base);
    // A rule reads them, so that a request that says them twice is refused.
    let keys = (strings(&old.read_queries), strings(&new.read_queries));
    rows.list(of, "query parameters that may be said only once", (&keys.0, &keys.1), (Narrows, Widens));
    let names = (strings(&old.read_headers), strings(&new.read_headers));
    rows.list(of, "headers that may be said only once", (&names.0, &names.1), (Narrows, Widens));
    rows.changed(
        Widens,
        of,
        "roles",
        &carries::fact(old, old.roles_fact),
        &carries::fact(new, new.roles_fact),
    );
    rows.changed(Widens, of, "tenant", &tenant(old), &tenant(new));
    roles(rows, of, old, new);
    wildcards(rows, of, old, new);
    facts(rows, of, old, new);
    look_ups(rows, of, (before, old), (after, new));
    for requirement in &new.requirements {
        let other = old.requirements.iter().find(|own| own.name == requirement.name);
        if other.is_some_and(|own| own.step_up != requirement.step_up) {
            rows.neither(of, &format!("requirement {}: another log-in is asked for", requirement.name));
        }
    }
    limits(rows, of, (old, old.limits.as_deref()), (new, new.limits.as_deref()));
    cors(rows, of, old, new);
    let socket = |own: &App| {
        own.socket.as_ref().map_or("none".to_owned(), |socket| {
            let told: Vec<String> = socket
                .auth
                .told
                .iter()
                .map(|(key, told)| format!("{key}: {}", carries::told(own, told)))
                .collect();
            format!(
                "{:?} at {}, namespaces {:?}, token of {:?}, told {told:?}, kept {:?}",
                socket.kind, socket.path, socket.namespaces, socket.token, socket.auth.keep
            )
        })
    };
    rows.changed(Widens, of, "socket", &socket(old), &socket(new));
    for operation in new.operations.iter().filter(|own| matches!(own.access, crate::policy::Access::Public)) {
        let was = old.operations.iter().any(|own| {
            own.verb == operation.verb
                && own.template.same_shape(&operation.template)
                && matches!(own.access, crate::policy::Access::Public)
        });
        if !was {
            rows.neither(of, &format!("{} {} is public now", operation.verb, operation.template));
        }
    }
}

fn tenant(app: &App) -> String {
    match &app.tenant {
        TenantRule::Constant(own) => format!("always {}", own.name),
        TenantRule::From { sources, proven_by } => {
            let sources: Vec<String> = sources.iter().map(|own| carries::fact(app, *own)).collect();
            let proof =
                proven_by.and_then(|own| app.requirements.get(own)).map_or("nothing", |own| &own.name);
            format!("the first of {}, proven by {proof}", sources.join(", "))
        }
    }
}

fn roles(rows: &mut Rows, of: &str, old: &App, new: &App) {
    for role in &old.roles {
        if new.role(&role.name).is_none() {
            rows.neither(of, &format!("role {} is gone", role.name));
        }
    }
    for role in &new.roles {
        match old.role(&role.name) {
            None => rows.neither(of, &format!("role {} is new", role.name)),
            Some((_, before)) => {
                let key = format!("role {}: strings in the token", role.name);
                rows.list(of, &key, (&strings(&before.claims), &strings(&role.claims)), (Neither, Neither));
            }
        }
    }
}

/// What a `*` covers that it didn't cover before, whatever it comes to.
fn wildcards(rows: &mut Rows, of: &str, old: &App, new: &App) {
    let covered = |app: &App, role: &str| -> BTreeSet<String> {
        let row = app.role(role).map(|(_, row)| row);
        let grants = row.into_iter().flat_map(|row| &row.grants).filter(|own| own.term == Term::Star);
        grants.filter_map(|own| app.permission(own.permission)).map(|own| own.name.to_string()).collect()
    };
    for role in &new.roles {
        let (before, after) = (covered(old, &role.name), covered(new, &role.name));
        let more: Vec<&str> = after.difference(&before).map(String::as_str).collect();
        if !more.is_empty() {
            rows.neither(of, &format!("role {}: `*` newly covers {}", role.name, more.join(", ")));
        }
    }
}

fn facts(rows: &mut Rows, of: &str, old: &App, new: &App) {
    for (at, fact) in new.facts.iter().enumerate() {
        let Some(before) = old.facts.iter().position(|own| own.name == fact.name) else { continue };
        // One text may be read as several values, and another value as none.
        let is_same_kind = old.facts.get(before).is_some_and(|own| own.kind == fact.kind);
        let effect = if is_same_kind { Neither } else { Widens };
        rows.changed(effect, of, "fact", &carries::fact(old, before), &carries::fact(new, at));
    }
}

fn look_ups(rows: &mut Rows, of: &str, (before, old): (&Snapshot, &App), (after, new): (&Snapshot, &App)) {
    for (at, own) in new.look_ups.iter().enumerate() {
        let Some(other) = old.look_ups.iter().position(|other| other.name == own.name) else { continue };
        let key = format!("look-up {}", own.name);
        // What another question is answered can't be held against what this one was.
        rows.changed(
            Widens,
            of,
            &key,
            &carries::question(before, old, other),
            &carries::question(after, new, at),
        );
        let Some(other) = old.look_ups.get(other) else { continue };
        let effect = if own.ttl > other.ttl { Widens } else { Neither };
        rows.changed(
            effect,
            of,
            &format!("{key}: ttl"),
            &format!("{:?}", other.ttl),
            &format!("{:?}", own.ttl),
        );
        rows.changed(
            Neither,
            of,
            &format!("{key}: timeout"),
            &format!("{:?}", other.timeout),
            &format!("{:?}", own.timeout),
        );
    }
}

fn limits(
    rows: &mut Rows,
    of: &str,
    (before, old): (&App, Option<&Limits>),
    (after, new): (&App, Option<&Limits>),
) {
    let rate = |own: Option<Rate>| own.map_or("none".to_owned(), |own| own.to_string());
    let mut row = |whom: &str, old: Option<Rate>, new: Option<Rate>| {
        rows.changed(slower(old, new), of, &format!("rate of {whom}"), &rate(old), &rate(new));
    };
    let address = |own: Option<&Limits>| own.and_then(|own| own.address.as_ref()).map(|own| own.rate);
    let of_tenant = |own: Option<&Limits>| own.and_then(|own| own.tenant.as_ref()).map(|own| own.rate);
    row("each address", address(old), address(new));
    row("each tenant", of_tenant(old), of_tenant(new));
    let of_role = |app: &App, own: Option<&Limits>, name: &str| {
        app.role(name).and_then(|(at, _)| own?.of_role(at)).map(|own| own.rate)
    };
    let names: BTreeSet<&Arc<str>> = before.roles.iter().chain(&after.roles).map(|own| &own.name).collect();
    for name in names {
        row(&format!("each person as {name}"), of_role(before, old, name), of_role(after, new, name));
    }
}

/// Whether another rate lets fewer through, always.
fn slower(old: Option<Rate>, new: Option<Rate>) -> Effect {
    match (old, new) {
        (None, Some(_)) => Narrows,
        (Some(old), Some(new)) if new.burst() <= old.burst() && new.interval() >= old.interval() => Narrows,
        _ => Widens,
    }
}

fn cors(rows: &mut Rows, of: &str, old: &App, new: &App) {
    let origins = |own: &App| match own.cors.as_ref().map(|own| &own.origins) {
        None => Vec::new(),
        Some(Origins::Any) => vec!["*".to_owned()],
        Some(Origins::Listed(listed)) => {
            listed.iter().map(|own| String::from_utf8_lossy(own.as_bytes()).into_owned()).collect()
        }
    };
    rows.list(of, "cors origins", (&origins(old), &origins(new)), (Widens, Narrows));
    let rest = |own: &App| {
        own.cors.as_ref().map_or("none".to_owned(), |own| {
            format!(
                "credentials {:?}, headers {:?}, expose {:?}, max-age {:?}",
                own.credentials, own.headers, own.expose, own.max_age
            )
        })
    };
    rows.changed(Widens, of, "cors", &rest(old), &rest(new));
}
