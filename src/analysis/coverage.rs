//! Which parts of an app's rules a ruling rested on, so that tests can say what none of them ever tried. A part is tried by
//! the evidence that names it: a grant by an allow that it gave, a requirement by an allow that met it and by a refusal for
//! it, an obligation by an allow that carried it.

use std::sync::Arc;

use serde_json::Value;

use super::nearest;
use crate::authorize::{Evidence, Judged, Permit, Ruling};
use crate::policy::{App, Decision, Denial, Granted, Operation, TenantRule};
use crate::rejection::{Rejection, TenantError};
use crate::snapshot::Snapshot;

/// A part of an app's rules that one can try, by indices of the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// A role's grant lets someone in.
    Grant {
        /// The role.
        role: usize,
        /// Which of its grants.
        grant: usize,
    },
    /// A requirement is met.
    Met(usize),
    /// A requirement stands against someone.
    Refuses(usize),
    /// A list is narrowed.
    Narrow {
        /// The operation.
        operation: usize,
        /// Which of its narrowings.
        index: usize,
    },
    /// Fields of an answer are hidden.
    Mask {
        /// The operation.
        operation: usize,
        /// Which of its masks.
        index: usize,
    },
    /// Elements of an answer are dropped.
    Filter {
        /// The operation.
        operation: usize,
        /// Which of its filters.
        index: usize,
    },
    /// A body is held against the fields that it may have.
    Body {
        /// The operation.
        operation: usize,
    },
}

/// A part in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// The part.
    pub part: Part,
    /// `grant`, `require`, `narrow`, `mask`, `filter` or `body`.
    pub kind: &'static str,
    /// `supervisor customer-labels#manage`, `member refuses`, `GET /calls by creator`.
    pub text: String,
    /// Where it stands; an obligation's is its operation's.
    pub place: Arc<str>,
}

/// Everything of an app that one can try.
#[must_use]
pub fn parts(app: &App) -> Vec<Described> {
    let mut parts = Vec::new();
    for (role_index, role) in app.roles.iter().enumerate() {
        for (index, grant) in role.grants.iter().enumerate() {
            let permission = app.permission(grant.permission).map_or("", |own| &own.name);
            let under = nearest::names(app, &grant.conditions).join(", ");
            let under = if under.is_empty() { under } else { format!(" if {under}") };
            let text = format!("{} {permission}{under}", role.name);
            let part = Part::Grant { role: role_index, grant: index };
            parts.push(Described { part, kind: "grant", text, place: grant.place.clone() });
        }
    }
    for (index, own) in app.requirements.iter().enumerate() {
        for (part, what) in [(Part::Met(index), "met"), (Part::Refuses(index), "refuses")] {
            let text = format!("{} {what}", own.name);
            parts.push(Described { part, kind: "require", text, place: own.place.clone() });
        }
    }
    app.operations.iter().enumerate().for_each(|(index, own)| obligations(app, index, own, &mut parts));
    parts
}

fn obligations(app: &App, operation: usize, own: &Operation, into: &mut Vec<Described>) {
    let route = format!("{} {}", own.verb, own.template);
    let mut add = |part, kind, text| into.push(Described { part, kind, text, place: own.place.clone() });
    for (index, narrow) in own.obligations.narrows.iter().enumerate() {
        let condition = app.conditions.get(narrow.condition).map_or("", |own| &*own.name);
        add(Part::Narrow { operation, index }, "narrow", format!("{condition} on {route}"));
    }
    for (index, mask) in own.obligations.masks.iter().enumerate() {
        let fields: Vec<String> = mask.fields.iter().map(ToString::to_string).collect();
        add(Part::Mask { operation, index }, "mask", format!("{} on {route}", fields.join(", ")));
    }
    for (index, filter) in own.obligations.filters.iter().enumerate() {
        let condition = app.conditions.get(filter.keep).map_or("", |own| &*own.name);
        add(Part::Filter { operation, index }, "filter", format!("{condition} on {route}"));
    }
    if own.obligations.body_only.is_some() {
        add(Part::Body { operation }, "body", route);
    }
}

/// What a ruling tried, and of which app, by index.
#[must_use]
pub fn tried(snapshot: &Snapshot, ruling: &Ruling) -> Option<(usize, Vec<Part>)> {
    let evidence = match ruling {
        Ruling::Permit(_, evidence) | Ruling::Refuse(_, evidence) => evidence,
        Ruling::Ask(_) => return None,
    };
    let judged = evidence.judged.as_ref()?;
    let (app, operation) = snapshot.operation(judged.operation)?;
    let mut parts = match ruling {
        Ruling::Permit(permit, _) => allowed(app, operation, judged, permit, evidence),
        Ruling::Refuse(rejection, _) => refused(app, judged, rejection),
        Ruling::Ask(_) => Vec::new(),
    };
    let body = judged.known.body.as_ref().is_some_and(|body| **body != Value::Null);
    let judged_body = matches!(ruling, Ruling::Permit(..) | Ruling::Refuse(Rejection::FieldNotPermitted, _));
    if body && judged_body && operation.obligations.body_only.is_some() {
        parts.push(Part::Body { operation: judged.operation.operation });
    }
    Some((judged.operation.app, parts))
}

fn proven_by(app: &App) -> Option<usize> {
    match &app.tenant {
        TenantRule::From { proven_by, .. } => *proven_by,
        TenantRule::Constant(_) => None,
    }
}

fn allowed(
    app: &App,
    operation: &Operation,
    judged: &Judged,
    permit: &Permit,
    evidence: &Evidence,
) -> Vec<Part> {
    let Some(Decision::Allow(granted)) = judged.decision else { return Vec::new() };
    let mut parts: Vec<Part> =
        operation.requirements().iter().copied().chain(proven_by(app)).map(Part::Met).collect();
    if let Granted::Grant { role, grant, .. } = granted {
        parts.push(Part::Grant { role, grant });
    }
    let at = judged.operation.operation;
    let own = &operation.obligations;
    let narrowed = |query: &str| evidence.narrowed.iter().any(|(key, _)| **key == *query);
    for (index, _) in own.narrows.iter().enumerate().filter(|(_, narrow)| narrowed(&narrow.query)) {
        parts.push(Part::Narrow { operation: at, index });
    }
    let Some(edits) = permit.edits() else { return parts };
    let hidden = |mask: &&crate::policy::obligation::Mask| {
        mask.fields.iter().any(|field| edits.masks.iter().any(|own| own == field))
    };
    for (index, _) in own.masks.iter().enumerate().filter(|(_, mask)| hidden(mask)) {
        parts.push(Part::Mask { operation: at, index });
    }
    if !edits.filters.is_empty() {
        parts.extend((0..own.filters.len()).map(|index| Part::Filter { operation: at, index }));
    }
    parts
}

fn refused(app: &App, judged: &Judged, rejection: &Rejection) -> Vec<Part> {
    if *rejection == Rejection::Tenant(TenantError::NotProven) {
        return proven_by(app).map(Part::Refuses).into_iter().collect();
    }
    match judged.decision {
        Some(Decision::Deny(Denial::Requirement { requirement, .. })) => vec![Part::Refuses(requirement)],
        _ => Vec::new(),
    }
}
