//! Who is asked about: nobody, every verified caller, and the holders of each string that an app takes for roles on one
//! side or the other. Roles have no names here but those that the files give them; the string is what stays the same.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::world::{Known, Var};
use crate::fact::{Source, Type, Value};
use crate::policy::{App, RoleSet};
use crate::snapshot::Snapshot;

/// The holder of a token of an issuer's, and what it says of roles.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Holder {
    pub(super) issuer: Arc<str>,
    /// Where a role is said, and which; nothing for every caller.
    pub(super) says: Option<(Var, String)>,
    /// What a file calls it.
    pub(super) name: String,
}

impl Holder {
    /// The roles that it has in an app of one side.
    pub(super) fn roles(&self, app: &App) -> RoleSet {
        let said = self.said(app);
        RoleSet::of(app, said.as_ref().and_then(|said| Value::of_claim(said, kind(app))).as_ref())
    }

    /// What its token, or the app, says where the app looks for roles.
    pub(super) fn said(&self, app: &App) -> Option<Json> {
        let (var, text) = self.says.as_ref()?;
        (roles_var(app).as_ref() == Some(var)).then(|| spelled(kind(app), text))
    }

    /// The same as every caller.
    pub(super) fn without_roles(&self) -> Self {
        Self { issuer: self.issuer.clone(), says: None, name: EVERYONE.to_owned() }
    }
}

/// What everyone is called whose token is good.
pub(super) const EVERYONE: &str = "anyone";

fn spelled(kind: Type, text: &str) -> Json {
    if kind == Type::Set { json!([text]) } else { json!(text) }
}

fn kind(app: &App) -> Type {
    app.facts.get(app.roles_fact).map_or(Type::Set, |fact| fact.kind)
}

/// The variable that holds the callers' roles.
pub(super) fn roles_var(app: &App) -> Option<Var> {
    match &app.facts.get(app.roles_fact)?.source {
        Source::Token(path) => Some(Var::Claim(path.clone())),
        Source::LookUp { look_up, at } => {
            let name = app.look_ups.get(*look_up)?.name.clone();
            Some(Var::Answer(app.name.clone(), name, at.clone()))
        }
        _ => None,
    }
}

/// Everyone that an app of this name may answer differently, every caller first.
pub(super) fn of_app(old: &Snapshot, new: &Snapshot, name: &str) -> Vec<Holder> {
    let apps: Vec<&App> = [old.app(name), new.app(name)].into_iter().flatten().collect();
    let mut found: Vec<Holder> = Vec::new();
    let issuers: BTreeSet<&Arc<str>> = apps.iter().map(|app| &app.issuer).collect();
    let strings: BTreeSet<&str> =
        apps.iter().flat_map(|app| app.role_claims.keys()).map(|text| &**text).collect();
    for issuer in issuers {
        found.push(Holder { issuer: issuer.clone(), says: None, name: EVERYONE.to_owned() });
        let mut vars: Vec<Var> = Vec::new();
        for var in apps.iter().filter_map(|app| roles_var(app)) {
            if !vars.contains(&var) {
                vars.push(var);
            }
        }
        for var in vars {
            let mut seen: Vec<[Vec<Arc<str>>; 2]> = Vec::new();
            for text in &strings {
                let mut holder = Holder {
                    issuer: issuer.clone(),
                    says: Some((var.clone(), (*text).to_owned())),
                    name: String::new(),
                };
                let names = |side: Known| {
                    let snapshot = if side == Known::Old { old } else { new };
                    snapshot.app(name).map_or_else(Vec::new, |app| held(app, &holder.roles(app)))
                };
                let both = [names(Known::Old), names(Known::New)];
                // Strings that mean the same roles on both sides are one.
                if seen.contains(&both) || both.iter().all(Vec::is_empty) {
                    continue;
                }
                holder.name = called(&both, text);
                seen.push(both);
                found.push(holder);
            }
        }
    }
    found
}

fn held(app: &App, roles: &RoleSet) -> Vec<Arc<str>> {
    let named = roles.iter().filter(|role| Some(*role) != app.anyone);
    named.filter_map(|role| app.roles.get(role)).map(|role| role.name.clone()).collect()
}

fn called([old, new]: &[Vec<Arc<str>>; 2], text: &str) -> String {
    let list = |names: &[Arc<str>]| names.join(" and ");
    match (&**old, &**new) {
        (same, other) if same == other => list(same),
        ([], only) | (only, []) if *list(only) == *text => list(only),
        ([], only) | (only, []) => format!("{} ('{text}')", list(only)),
        (old, new) => format!("'{text}' ({}, then {})", list(old), list(new)),
    }
}
