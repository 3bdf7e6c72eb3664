//! `rules/APP.toml`.

use serde_json::{Value, json};

use super::{Names, either, flag, known, list, named, offered, one_of, put, said, table, text, texts};

/// The schema of an app's file.
pub(super) fn root(names: Option<&Names>) -> Value {
    let empty = Names::default();
    let own = names.unwrap_or(&empty);
    let mut keys = head(names);
    keys.extend(guards(own));
    keys.extend([
        (
            "never",
            said(
                named(texts()),
                "What stays true whatever is edited: a role, a condition or anyone, and what it may never do",
            ),
        ),
        ("reading", said(reading(), "Where the file departs from its document, and why")),
        ("resource", said(named(resource()), "What is protected: each scope with its operations")),
        ("matrix", said(matrix(), "The document's features × roles, cell by cell")),
        ("routes", said(named(texts()), "The operations of each feature of the matrix")),
        ("role", said(roles(own), "Who is granted what: each scope with its resources")),
        ("expect", said(named(text()), "What is expected: `deny`, `allow` or `if condition, condition`")),
    ]);
    let mut root = table(&keys, &["app", "issuer", "roles", "tenant"]);
    put(&mut root, "definitions", json!({ "condition": condition(own) }));
    root
}

fn head(names: Option<&Names>) -> Vec<(&'static str, Value)> {
    let issuers = names.map(|own| own.issuers.as_slice());
    let facts = names.map_or(&[][..], |own| own.facts.as_slice());
    let tenants = names.map_or(&[][..], |own| own.tenants.as_slice());
    let from = table(&[("from", list(offered(facts))), ("proven-by", text())], &["from"]);
    vec![
        ("app", said(json!({ "type": "string", "pattern": "^[a-z0-9-]{1,64}$" }), "What the app is called")),
        ("hosts", said(texts(), "Hosts that it answers to; every host if left out")),
        ("base", said(text(), "Prefix that routes are relative to")),
        ("owns", said(texts(), "Path prefixes that the app owns; what `base` says if left out")),
        (
            "shared-with",
            said(
                list(offered(names.map_or(&[][..], |own| &own.apps))),
                "Apps that may claim operations here, too",
            ),
        ),
        ("issuer", said(known(issuers), "Whose tokens it takes: a row of [issuers] in gateway.toml")),
        ("roles", said(offered(facts), "The fact that holds the caller's roles")),
        (
            "tenant",
            said(
                either(vec![offered(tenants), from]),
                "Whose things are asked for: a tenant's name, or where the request says it",
            ),
        ),
        ("isolation", said(text(), "`upstream`, or the requirement that keeps tenants apart")),
        ("public", said(texts(), "Operations for everyone, without a token")),
        ("public-login", said(texts(), "Operations by which one gets a token")),
        ("authorization", said(one_of(&["pass", "strip"]), "Whether the app is sent the caller's token")),
    ]
}

fn guards(names: &Names) -> Vec<(&'static str, Value)> {
    let condition = || json!({ "$ref": "#/definitions/condition" });
    let narrow = table(&[("query", text()), ("pass", texts())], &["query"]);
    let filter = table(&[("items", text()), ("as", text()), ("keep", condition())], &["items", "as", "keep"]);
    let one_or_more = || either(vec![text(), texts()]);
    let mask =
        table(&[("fields", one_or_more()), ("except", texts()), ("unless", one_or_more())], &["fields"]);
    let step_up = table(&[("step-up", table(&[("acr", texts()), ("entra", text())], &[]))], &["step-up"]);
    let limited = table(&[("is", condition()), ("on", texts()), ("else", step_up)], &["is"]);
    vec![
        ("facts", said(facts(), "What conditions may read, each with its type")),
        ("when", said(named(condition()), "Conditions by name")),
        ("require", said(named(either(vec![condition(), limited])), "What must hold whatever the role")),
        ("narrow", said(named(named(narrow)), "Conditions that become filters of lists")),
        ("filter", said(named(filter), "Elements of answers that are dropped")),
        ("mask", said(named(either(vec![mask, texts()])), "Fields of answers that are hidden")),
        ("body", said(named(table(&[("only", texts())], &["only"])), "What a write may say")),
        ("inject", said(named(offered(&names.facts)), "Headers whose values are facts'")),
        (
            "audit",
            said(named(list(offered(&names.facts))), "Facts that are recorded whatever the rules read"),
        ),
        ("limit", said(limit(), "How often one may come: `200/s`, `200/s burst 400`")),
        ("cors", said(cors(), "Pages of other origins")),
        ("socket", said(socket(), "The app's Socket.IO or WebSocket")),
    ]
}

/// A name, three words, or a table of one of `all`, `any` and `not`.
fn condition(names: &Names) -> Value {
    let inner = || json!({ "$ref": "#/definitions/condition" });
    let parts = || json!({ "type": "array", "items": inner(), "minItems": 1 });
    either(vec![
        offered(&names.conditions),
        table(&[("all", parts())], &["all"]),
        table(&[("any", parts())], &["any"]),
        table(&[("not", inner())], &["not"]),
    ])
}

const TYPES: [&str; 9] = ["string", "bool", "int", "set", "ip", "nets", "time", "node", "tenants"];

fn facts() -> Value {
    let kind = || one_of(&TYPES);
    let standing = || json!({ "type": ["string", "boolean", "integer", "array"] });
    let declared = table(&[("type", kind()), ("default", standing())], &["type"]);
    // A claim in a claim: `realm_access.roles` is a table in a table.
    let nested = named(either(vec![
        kind(),
        declared.clone(),
        named(either(vec![kind(), declared.clone(), json!({ "type": "object" })])),
    ]));
    let plain = named(either(vec![kind(), declared]));
    let placed = table(&[("at", text()), ("type", kind()), ("default", standing())], &["at", "type"]);
    let mut look_up = named(placed.clone());
    put(
        &mut look_up,
        "properties",
        json!({ "get": text(), "ttl": text(), "timeout": text(), "forget": texts() }),
    );
    put(&mut look_up, "required", json!(["get"]));
    json!({
        "type": "object",
        "properties": {
            "token": nested, "tenant": plain.clone(), "path": plain.clone(), "query": plain.clone(), "header": plain,
            "body": named(placed),
        },
        "additionalProperties": look_up,
    })
}

fn limit() -> Value {
    table(&[("address", text()), ("tenant", text()), ("role", named(text()))], &[])
}

fn cors() -> Value {
    let keys = [
        ("origins", texts()),
        ("credentials", flag()),
        ("headers", texts()),
        ("expose", texts()),
        ("max-age", text()),
    ];
    table(&keys, &["origins"])
}

fn socket() -> Value {
    let made = json!({ "type": ["string", "object"] });
    let mut auth = named(made);
    put(&mut auth, "properties", json!({ "keep": { "type": ["array", "string", "object"] } }));
    let keys = [
        ("path", text()),
        ("kind", one_of(&["socket.io", "websocket"])),
        ("namespaces", texts()),
        ("token", texts()),
        ("auth", auth),
    ];
    table(&keys, &["path"])
}

fn reading() -> Value {
    let departure = table(&[("is", text()), ("why", text())], &["is", "why"]);
    let mut own = named(either(vec![text(), departure]));
    put(&mut own, "properties", json!({ "addition": texts(), "alias": named(text()) }));
    own
}

fn resource() -> Value {
    let seated = table(
        &[("seat", json!({ "type": ["boolean", "string"] })), ("operations", texts())],
        &["seat", "operations"],
    );
    let mut own = named(either(vec![texts(), seated]));
    put(&mut own, "properties", json!({ "reserved": flag() }));
    own
}

fn matrix() -> Value {
    let mut own = named(list(text()));
    put(&mut own, "required", json!(["columns"]));
    own
}

fn roles(names: &Names) -> Value {
    let terms: Vec<String> = names
        .resources
        .iter()
        .flat_map(|own| [own.clone(), format!("!{own}")])
        .chain(["*".to_owned()])
        .collect();
    let terms = if names.resources.is_empty() { texts() } else { list(offered(&terms)) };
    let mut role = named(terms);
    let claim = either(vec![text(), texts()]);
    put(&mut role, "properties", json!({ "claim": claim, "only": { "$ref": "#/definitions/condition" } }));
    let mut own = named(role.clone());
    // The roles that are there are offered as tables.
    let known = names.roles.iter().map(|name| (name.clone(), role.clone()));
    put(&mut own, "properties", Value::Object(known.collect()));
    own
}
