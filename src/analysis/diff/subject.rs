//! Who is asked about: nobody, every verified caller, and the holders of each string that an app takes for roles on one
//! side or the other. Roles have no names here but those that the files give them; the string is what stays the same.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::world::{Known, Var};
use crate::fact::{Default, Literal, Source, Type, Value};
use crate::policy::{App, Condition, Operand, RoleSet};
use crate::snapshot::Snapshot;

/// The holder of a token of an issuer's, and what it says of roles.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Holder {
    pub(super) issuer: Arc<str>,
    /// Where roles are said, and which; nothing for every caller.
    pub(super) says: Option<(Var, Vec<String>)>,
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
        let (var, texts) = self.says.as_ref()?;
        if roles_var(app).as_ref() != Some(var) {
            return None;
        }
        spelled(kind(app), texts)
    }

    /// The same as every caller.
    pub(super) fn without_roles(&self) -> Self {
        Self { issuer: self.issuer.clone(), says: None, name: EVERYONE.to_owned() }
    }
}

/// What everyone is called whose token is good.
pub(super) const EVERYONE: &str = "anyone";

fn spelled(kind: Type, texts: &[String]) -> Option<Json> {
    if kind == Type::Set { Some(json!(texts)) } else { texts.first().map(|text| json!(text)) }
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
    let named = Named::of(&apps);
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
            for texts in named.with_each(&strings) {
                let text = texts.join(" and ");
                let mut holder =
                    Holder { issuer: issuer.clone(), says: Some((var.clone(), texts)), name: String::new() };
                let names = |side: Known| {
                    let snapshot = if side == Known::Old { old } else { new };
                    snapshot.app(name).map_or_else(Vec::new, |app| held(app, &holder.roles(app)))
                };
                let both = [names(Known::Old), names(Known::New)];
                // Strings that mean the same roles on both sides are one.
                let is_seen = seen.contains(&both) && named.texts.is_empty();
                if is_seen || both.iter().all(Vec::is_empty) {
                    continue;
                }
                holder.name = called(&both, &text);
                seen.push(both);
                found.push(holder);
            }
        }
    }
    found
}

/// The strings for roles that conditions read: who holds some of them beside a role is another caller to them. Other roles
/// need no looking at in pairs, for each grants by itself what it grants.
pub(super) struct Named {
    texts: BTreeSet<String>,
    /// Whether something else than strings that a file names is held against the roles, or too many.
    pub(super) beyond: bool,
}

/// Roles that conditions read, of which every choice is looked at.
const NAMED_MAX: usize = 4;

impl Named {
    pub(super) fn of(apps: &[&App]) -> Self {
        let mut own = Self { texts: BTreeSet::new(), beyond: false };
        for app in apps {
            for named in &app.conditions {
                own.read(app, &named.condition);
            }
        }
        own.texts.retain(|text| apps.iter().any(|app| app.role_claims.contains_key(text.as_str())));
        if own.texts.len() > NAMED_MAX {
            own.beyond = true;
            own.texts.clear();
        }
        own
    }

    fn read(&mut self, app: &App, condition: &Condition) {
        match condition {
            Condition::Leaf(leaf) => {
                let left = is_of_roles(app, leaf.fact);
                match &leaf.operand {
                    Operand::Fact(other) => self.beyond |= left || is_of_roles(app, *other),
                    Operand::Literal(Literal::Text(text)) if left => {
                        self.texts.insert(text.to_string());
                    }
                    Operand::Literal(Literal::Set(items)) if left => {
                        self.texts.extend(items.iter().map(ToString::to_string));
                    }
                    Operand::Literal(_) => self.beyond |= left,
                }
            }
            // It is looked at where it stands.
            Condition::Named(_) => {}
            Condition::All(parts) | Condition::Any(parts) => parts.iter().for_each(|own| self.read(app, own)),
            Condition::Not(part) => self.read(app, part),
        }
    }

    /// Every role alone, and with each choice of those that conditions read.
    fn with_each(&self, strings: &BTreeSet<&str>) -> Vec<Vec<String>> {
        let named: Vec<&String> = self.texts.iter().collect();
        let mut found: Vec<Vec<String>> = Vec::new();
        for mask in 0..1usize << named.len() {
            let chosen = named.iter().enumerate().filter(|(at, _)| mask >> at & 1 == 1);
            let chosen: Vec<String> = chosen.map(|(_, own)| (*own).clone()).collect();
            for text in strings {
                let mut own = vec![(*text).to_owned()];
                own.extend(chosen.iter().filter(|other| *other != text).cloned());
                own.sort();
                if !found.contains(&own) {
                    found.push(own);
                }
            }
        }
        found
    }
}

/// Whether a fact, or what stands for it, is what the roles are read from.
fn is_of_roles(app: &App, fact: usize) -> bool {
    let roles = app.facts.get(app.roles_fact).map(|own| &own.source);
    let Some(own) = app.facts.get(fact) else { return false };
    Some(&own.source) == roles
        || match &own.default {
            Some(Default::Fact(other)) => app.facts.get(*other).map(|own| &own.source) == roles,
            _ => false,
        }
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
