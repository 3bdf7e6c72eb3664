//! A Keycloak export as it is written: a realm's, a client's, or the authorization settings alone. What stands in
//! strings inside of it is read too. Nothing is judged here; what has another shape than an export has is told.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::super::report::{Report, Weight, code, shown};

/// How several answers make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Every one.
    Unanimous,
    /// One is enough.
    Affirmative,
    /// More for it than against it.
    Consensus,
}

/// What happens where no policy says anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enforcement {
    /// Refused.
    Enforcing,
    /// Allowed.
    Permissive,
    /// Everything is allowed.
    Disabled,
}

/// What is protected.
#[derive(Clone, Debug)]
pub struct Resource {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: Option<String>,
    /// Its type.
    pub kind: Option<String>,
    /// Its addresses.
    pub uris: Vec<String>,
    /// The names of its scopes.
    pub scopes: Vec<String>,
    /// Where it stands.
    pub at: String,
}

/// A policy, or a permission, which is a policy over policies.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: Option<String>,
    /// Its type.
    pub kind: String,
    /// Whether its answer is turned round. Nothing where the export says something else.
    pub negative: Option<bool>,
    /// How its parts make one answer. Nothing where the export says something else.
    pub strategy: Option<Strategy>,
    /// Its settings.
    pub config: Map<String, Value>,
    /// Where it stands.
    pub at: String,
}

impl Policy {
    /// Whether it is a permission.
    #[must_use]
    pub fn is_permission(&self) -> bool {
        matches!(self.kind.as_str(), "resource" | "scope")
    }

    /// A setting that is a list of names in a string. Nothing where there is none.
    pub fn list(&self, key: &str) -> Result<Vec<Value>, String> {
        let parsed = match self.config.get(key) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(items)) => return Ok(items.clone()),
            Some(Value::String(text)) if text.trim().is_empty() => return Ok(Vec::new()),
            Some(Value::String(text)) => serde_json::from_str::<Value>(text).ok(),
            Some(_) => None,
        };
        match parsed {
            Some(Value::Array(items)) => Ok(items),
            _ => Err(format!("`{key}` isn't a list")),
        }
    }

    /// A setting that is a list of names.
    pub fn names(&self, key: &str) -> Result<Vec<String>, String> {
        let name = |item: Value| match item {
            Value::String(name) => Ok(name),
            _ => Err(format!("`{key}` has something that isn't a name")),
        };
        self.list(key)?.into_iter().map(name).collect()
    }

    /// A setting that is text. Nothing where there is none, or an empty one.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.config.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
    }
}

/// A client's authorization settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The client.
    pub client: String,
    /// What happens where no policy says anything. Nothing where the export says something else.
    pub enforcement: Option<Enforcement>,
    /// How several permissions make one answer. Nothing where the export says something else.
    pub strategy: Option<Strategy>,
    /// What is protected.
    pub resources: Vec<Resource>,
    /// Policies and permissions.
    pub policies: Vec<Policy>,
    /// Where they stand.
    pub at: String,
}

/// What a realm's export says beside its clients.
#[derive(Clone, Debug, Default)]
pub struct Realm {
    /// Its name, if the file is a realm's.
    pub name: Option<String>,
    /// Roles of the realm; each with its id.
    pub roles: BTreeMap<String, Option<String>>,
    /// Roles of clients: client, role; each with its id.
    pub client_roles: BTreeMap<(String, String), Option<String>>,
    /// Roles that contain others.
    pub composites: Vec<String>,
    /// Paths of groups.
    pub groups: BTreeSet<String>,
    /// Ids of users by their names.
    pub users: BTreeMap<String, String>,
}

/// An export.
#[derive(Clone, Debug)]
pub struct Export {
    /// The realm, empty where the file is one client's.
    pub realm: Realm,
    /// The clients that have authorization settings.
    pub clients: Vec<Settings>,
}

/// Most things of one kind that are read.
const THINGS_MAX: usize = 50_000;
/// Deepest nesting of groups.
const GROUPS_DEEP: usize = 32;

impl Export {
    /// Reads an export. `client` names the client where the file doesn't.
    pub fn read(text: &str, client: Option<&str>, report: &mut Report) -> Result<Self, String> {
        let root: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))
            .map_err(|why| format!("this is no JSON: {why}"))?;
        let Value::Object(root) = root else { return Err("an export is a JSON object".to_owned()) };
        if let Some(clients) = root.get("clients").and_then(Value::as_array) {
            let realm = realm(&root, report);
            let settings = clients.iter().enumerate().filter_map(|(index, own)| {
                let own = own.as_object()?;
                let settings = own.get("authorizationSettings")?;
                let name = own.get("clientId").and_then(Value::as_str).unwrap_or("client");
                Some(self::settings(
                    settings,
                    name,
                    &format!("clients[{index}].authorizationSettings"),
                    report,
                ))
            });
            return Ok(Self { realm, clients: settings.collect() });
        }
        let named = ["clientId", "name"].iter().find_map(|key| root.get(*key).and_then(Value::as_str));
        let name = client.or(named).unwrap_or("client").to_owned();
        if let Some(own) = root.get("authorizationSettings") {
            let clients = vec![settings(own, &name, "authorizationSettings", report)];
            return Ok(Self { realm: Realm::default(), clients });
        }
        if root.get("policies").is_some() || root.get("resources").is_some() {
            let clients = vec![settings(&Value::Object(root), &name, "", report)];
            return Ok(Self { realm: Realm::default(), clients });
        }
        Err("it has neither `clients` nor `authorizationSettings` nor `policies`: export the realm with its clients, or the client's authorization settings".to_owned())
    }
}

fn join(at: &str, key: &str) -> String {
    if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") }
}

fn shape(at: &str, what: &str, why: &str, report: &mut Report) {
    report.add(Weight::Denied, code::SHAPE, at, shown(what), why);
}

/// The objects of a list, each with its place.
fn objects<'v>(
    from: &'v Map<String, Value>,
    key: &str,
    at: &str,
    report: &mut Report,
) -> Vec<(String, &'v Map<String, Value>)> {
    let at = join(at, key);
    let items = match from.get(key) {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::Array(items)) => items,
        Some(_) => {
            shape(&at, key, "isn't a list", report);
            return Vec::new();
        }
    };
    if items.len() > THINGS_MAX {
        shape(&at, key, &format!("has more than {THINGS_MAX} entries; the rest isn't read"), report);
    }
    let mut found = Vec::new();
    for (index, item) in items.iter().take(THINGS_MAX).enumerate() {
        let at = format!("{at}[{index}]");
        match item {
            Value::Object(own) => found.push((at, own)),
            _ => shape(&at, key, "isn't an object", report),
        }
    }
    found
}

fn settings(value: &Value, client: &str, at: &str, report: &mut Report) -> Settings {
    let empty = Map::new();
    let from = value.as_object().unwrap_or_else(|| {
        shape(at, client, "isn't an object", report);
        &empty
    });
    let enforcement = match from.get("policyEnforcementMode").map(Value::as_str) {
        None | Some(Some("ENFORCING")) => Some(Enforcement::Enforcing),
        Some(Some("PERMISSIVE")) => Some(Enforcement::Permissive),
        Some(Some("DISABLED")) => Some(Enforcement::Disabled),
        Some(_) => None,
    };
    let resources = objects(from, "resources", at, report);
    let resources = resources.into_iter().filter_map(|(at, own)| resource(own, at, report)).collect();
    let policies = objects(from, "policies", at, report);
    let policies = policies.into_iter().filter_map(|(at, own)| policy(own, at, report)).collect();
    Settings {
        client: client.to_owned(),
        enforcement,
        strategy: strategy(from),
        resources,
        policies,
        at: at.to_owned(),
    }
}

fn strategy(from: &Map<String, Value>) -> Option<Strategy> {
    match from.get("decisionStrategy").map(Value::as_str) {
        None | Some(Some("UNANIMOUS")) => Some(Strategy::Unanimous),
        Some(Some("AFFIRMATIVE")) => Some(Strategy::Affirmative),
        Some(Some("CONSENSUS")) => Some(Strategy::Consensus),
        Some(_) => None,
    }
}

fn text(from: &Map<String, Value>, key: &str) -> Option<String> {
    from.get(key).and_then(Value::as_str).map(str::to_owned)
}

fn resource(from: &Map<String, Value>, at: String, report: &mut Report) -> Option<Resource> {
    let Some(name) = text(from, "name") else {
        shape(&at, "a resource", "has no name", report);
        return None;
    };
    let mut uris: Vec<String> = Vec::new();
    match (from.get("uris"), from.get("uri")) {
        (Some(Value::Array(items)), _) => {
            for (index, item) in items.iter().enumerate() {
                match item.as_str() {
                    Some(uri) => uris.push(uri.to_owned()),
                    None => shape(&format!("{at}.uris[{index}]"), &name, "an address is text", report),
                }
            }
        }
        (None | Some(Value::Null), Some(Value::String(uri))) => uris.push(uri.clone()),
        (None | Some(Value::Null), None | Some(Value::Null)) => {}
        _ => shape(&join(&at, "uris"), &name, "the addresses aren't a list of text", report),
    }
    let mut scopes = Vec::new();
    for (index, item) in from.get("scopes").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let scope = item.as_str().or_else(|| item.get("name").and_then(Value::as_str));
        match scope {
            Some(scope) => scopes.push(scope.to_owned()),
            None => shape(&format!("{at}.scopes[{index}]"), &name, "a scope has no name", report),
        }
    }
    uris.dedup();
    scopes.dedup();
    let id = text(from, "_id").or_else(|| text(from, "id"));
    let kind = text(from, "type").filter(|kind| !kind.is_empty());
    Some(Resource { name, id, kind, uris, scopes, at })
}

fn policy(from: &Map<String, Value>, at: String, report: &mut Report) -> Option<Policy> {
    let (Some(name), Some(kind)) = (text(from, "name"), text(from, "type")) else {
        shape(&at, "a policy", "has no name or no type", report);
        return None;
    };
    let negative = match from.get("logic").map(Value::as_str) {
        None | Some(Some("POSITIVE")) => Some(false),
        Some(Some("NEGATIVE")) => Some(true),
        Some(_) => None,
    };
    let mut config = from.get("config").and_then(Value::as_object).cloned().unwrap_or_default();
    // Some exports say these beside `config`.
    for key in ["resources", "scopes", "policies", "roles", "groups", "clients", "users"] {
        if let Some(value) = from.get(key) {
            let key = if key == "policies" { "applyPolicies" } else { key };
            config.entry(key.to_owned()).or_insert_with(|| value.clone());
        }
    }
    Some(Policy { name, id: text(from, "id"), kind, negative, strategy: strategy(from), config, at })
}

fn realm(root: &Map<String, Value>, report: &mut Report) -> Realm {
    let mut realm = Realm { name: text(root, "realm"), ..Realm::default() };
    let empty = Map::new();
    let roles = root.get("roles").and_then(Value::as_object).unwrap_or(&empty);
    for (_, own) in objects(roles, "realm", "roles", report) {
        if let Some(name) = text(own, "name") {
            if own.get("composite").and_then(Value::as_bool) == Some(true) {
                realm.composites.push(name.clone());
            }
            realm.roles.insert(name, text(own, "id"));
        }
    }
    let clients = roles.get("client").and_then(Value::as_object).unwrap_or(&empty);
    for client in clients.keys() {
        for (_, own) in objects(clients, client, "roles.client", report) {
            if let Some(name) = text(own, "name") {
                if own.get("composite").and_then(Value::as_bool) == Some(true) {
                    realm.composites.push(format!("{client}/{name}"));
                }
                realm.client_roles.insert((client.clone(), name), text(own, "id"));
            }
        }
    }
    for (_, own) in objects(root, "groups", "", report) {
        group(own, "", 0, &mut realm.groups);
    }
    for (_, own) in objects(root, "users", "", report) {
        if let (Some(name), Some(id)) = (text(own, "username"), text(own, "id")) {
            realm.users.insert(name, id);
        }
    }
    realm
}

fn group(from: &Map<String, Value>, above: &str, deep: usize, groups: &mut BTreeSet<String>) {
    let Some(name) = from.get("name").and_then(Value::as_str) else { return };
    let path = format!("{above}/{name}");
    for below in from.get("subGroups").and_then(Value::as_array).into_iter().flatten() {
        if let (Some(below), true) = (below.as_object(), deep < GROUPS_DEEP && groups.len() < THINGS_MAX) {
            group(below, &path, deep + 1, groups);
        }
    }
    groups.insert(path);
}
