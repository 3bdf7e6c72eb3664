//! The shape of our files as JSON schemas (draft-07), for editors that complete and check while one types: put
//! `#:schema ./rules.schema.json` on a file's first line. A schema knows names and types; what a rule means, and whether
//! it may be so, only `check` knows.

mod gateway;
mod rules;
mod tenants;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};

use crate::snapshot::Snapshot;

/// Which file a schema is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum File {
    /// `rules/APP.toml`.
    Rules,
    /// `rules/tenants.toml`.
    Tenants,
    /// `gateway.toml`.
    Gateway,
}

/// Names that are offered, from rules that are there.
#[derive(Clone, Debug, Default)]
pub struct Names {
    roles: Vec<String>,
    resources: Vec<String>,
    conditions: Vec<String>,
    facts: Vec<String>,
    tenants: Vec<String>,
    apps: Vec<String>,
    issuers: Vec<String>,
}

impl Names {
    /// The names of a set of rules; of one app's alone where it is named.
    #[must_use]
    pub fn of(snapshot: &Snapshot, app: Option<&str>) -> Self {
        let mut own = Self::default();
        for found in snapshot.apps.iter().filter(|found| app.is_none_or(|name| *name == *found.name)) {
            own.roles.extend(found.roles.iter().map(|role| role.name.to_string()));
            own.resources.extend(found.permissions.iter().map(|(_, own)| own.resource.to_string()));
            let is_name = |name: &&str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
            own.conditions
                .extend(found.conditions.iter().map(|own| &*own.name).filter(is_name).map(str::to_owned));
            own.facts.extend(found.facts.iter().map(|fact| fact.name.to_string()));
        }
        own.apps.extend(snapshot.apps.iter().map(|app| app.name.to_string()));
        own.tenants.extend(snapshot.directory.tenants().iter().map(|tenant| tenant.name.to_string()));
        own.issuers.extend(snapshot.gateway.issuers.iter().map(|issuer| issuer.name.to_string()));
        for names in [
            &mut own.roles,
            &mut own.resources,
            &mut own.conditions,
            &mut own.facts,
            &mut own.tenants,
            &mut own.apps,
            &mut own.issuers,
        ] {
            names.sort();
            names.dedup();
        }
        own
    }
}

/// The schema of a file.
#[must_use]
pub fn schema(file: File, names: Option<&Names>) -> Value {
    let (title, body) = match file {
        File::Rules => ("One application's permissions", rules::root(names)),
        File::Tenants => ("Tenants and organisations", tenants::root(names)),
        File::Gateway => ("The plumbing", gateway::root()),
    };
    let mut root = json!({ "$schema": "http://json-schema.org/draft-07/schema#", "title": title });
    if let (Some(root), Value::Object(body)) = (root.as_object_mut(), body) {
        root.extend(body);
    }
    root
}

/// Says something more in a schema.
fn put(schema: &mut Value, key: &str, value: Value) {
    if let Some(own) = schema.as_object_mut() {
        own.insert(key.to_owned(), value);
    }
}

/// A table of known keys: nothing else may stand in it.
fn table(keys: &[(&str, Value)], required: &[&str]) -> Value {
    let keys: Map<String, Value> =
        keys.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    let mut own = json!({ "type": "object", "properties": keys, "additionalProperties": false });
    if !required.is_empty() {
        put(&mut own, "required", required.into());
    }
    own
}

/// A table whose keys are names.
fn named(value: Value) -> Value {
    json!({ "type": "object", "additionalProperties": value })
}

/// A value with a word about it.
fn said(mut value: Value, about: &str) -> Value {
    put(&mut value, "description", about.into());
    value
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn flag() -> Value {
    json!({ "type": "boolean" })
}

fn int() -> Value {
    json!({ "type": "integer" })
}

fn texts() -> Value {
    list(text())
}

fn list(of: Value) -> Value {
    json!({ "type": "array", "items": of })
}

fn one_of(words: &[&str]) -> Value {
    json!({ "enum": words })
}

fn either(ways: Vec<Value>) -> Value {
    json!({ "anyOf": ways })
}

/// Text, with names offered: other text may stand there all the same.
fn offered(names: &[String]) -> Value {
    if names.is_empty() { text() } else { either(vec![json!({ "enum": names }), text()]) }
}

/// One of these names, or any text where none are known.
fn known(names: Option<&[String]>) -> Value {
    match names {
        Some(names) if !names.is_empty() => json!({ "enum": names }),
        _ => text(),
    }
}
