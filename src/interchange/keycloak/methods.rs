//! Which methods a scope stands for. An export doesn't say: the configuration of a policy enforcer does, or the operator,
//! or else the plain convention, which is told for review.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::report::shown;
use crate::route::Verb;

/// Methods by scope, as an operator states them.
pub type Stated = BTreeMap<String, Vec<Verb>>;

/// Reads `view=GET` or `manage=POST,PUT,DELETE`.
pub fn stated(text: &str) -> Result<(String, Vec<Verb>), String> {
    let (scope, methods) =
        text.split_once('=').ok_or_else(|| format!("`{text}` isn't SCOPE=METHOD,METHOD"))?;
    let verb = |word: &str| {
        Verb::parse(&word.trim().to_ascii_uppercase())
            .ok_or_else(|| format!("`{word}` is no method of an operation"))
    };
    let verbs = methods.split(',').map(verb).collect::<Result<Vec<_>, _>>()?;
    if scope.trim().is_empty() {
        return Err(format!("`{text}` names no scope"));
    }
    Ok((scope.trim().to_owned(), verbs))
}

/// What a scope's name stands for by convention.
pub(super) fn by_convention(scope: &str) -> Option<Vec<Verb>> {
    if let Some(verb) = Verb::parse(&scope.to_ascii_uppercase()) {
        return Some(vec![verb]);
    }
    let last = scope.rsplit([':', '.', '/']).next().unwrap_or(scope);
    Some(match last.to_ascii_lowercase().as_str() {
        "view" | "read" => vec![Verb::Get],
        "manage" | "write" => vec![Verb::Post, Verb::Put, Verb::Patch, Verb::Delete],
        "create" | "add" => vec![Verb::Post],
        "update" | "edit" => vec![Verb::Put, Verb::Patch],
        "delete" | "remove" => vec![Verb::Delete],
        "get" | "post" | "put" | "patch" => vec![Verb::parse(&last.to_ascii_uppercase())?],
        _ => return None,
    })
}

/// Every method of an operation, for what is protected as a whole.
pub(super) const WHOLE: [Verb; 5] = [Verb::Get, Verb::Post, Verb::Put, Verb::Patch, Verb::Delete];

/// Which scopes a method of a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Every one.
    All,
    /// One is enough.
    Any,
}

/// A path of a policy enforcer's configuration.
#[derive(Clone, Debug)]
pub struct EnforcedPath {
    pub(super) name: Option<String>,
    pub(super) path: String,
    pub(super) methods: Vec<(Verb, Vec<String>, Wanted)>,
    pub(super) scopes: Vec<String>,
    pub(super) mode: String,
    pub(super) at: String,
    /// Methods that no operation can have.
    pub(super) odd: Vec<String>,
}

/// Reads a policy enforcer's configuration: by itself, or in an adapter's.
pub fn enforcer(text: &str) -> Result<Vec<EnforcedPath>, String> {
    let root: Value = serde_json::from_str(text).map_err(|why| format!("this is no JSON: {why}"))?;
    let inner =
        ["policy-enforcer", "policyEnforcerConfig", "policyEnforcer"].iter().find_map(|key| root.get(*key));
    let from = inner.unwrap_or(&root);
    let paths = from.get("paths").and_then(Value::as_array).ok_or("it has no `paths`")?;
    paths.iter().enumerate().map(|(index, own)| path(own, format!("paths[{index}]"))).collect()
}

fn strings(from: Option<&Value>) -> Vec<String> {
    let items = from.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn path(own: &Value, at: String) -> Result<EnforcedPath, String> {
    let path = own.get("path").and_then(Value::as_str).ok_or_else(|| format!("{at} has no `path`"))?;
    let (mut methods, mut odd) = (Vec::new(), Vec::new());
    for method in own.get("methods").and_then(Value::as_array).into_iter().flatten() {
        let word = method
            .get("method")
            .and_then(Value::as_str)
            .ok_or_else(|| format!("{at} has a method without a name"))?;
        let wanted = match method.get("scopes-enforcement-mode").and_then(Value::as_str) {
            None | Some("ALL") => Wanted::All,
            Some("ANY") => Wanted::Any,
            // Then the method asks for no scope at all.
            Some(other) => {
                odd.push(format!("{word} ({})", shown(other)));
                continue;
            }
        };
        match Verb::parse(word) {
            Some(verb) => methods.push((verb, strings(method.get("scopes")), wanted)),
            None => odd.push(shown(word)),
        }
    }
    Ok(EnforcedPath {
        name: own.get("name").and_then(Value::as_str).map(str::to_owned),
        path: path.to_owned(),
        methods,
        scopes: strings(own.get("scopes")),
        mode: own.get("enforcement-mode").and_then(Value::as_str).unwrap_or("ENFORCING").to_owned(),
        at,
        odd,
    })
}
