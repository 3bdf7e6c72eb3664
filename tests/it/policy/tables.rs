//! Every cell of every table of the three documents, and the sentences around them, as data under `tests/tables/`.
//! Each row names the document and its line, is written from the document and not from the rules, and is decided with
//! a signed token through the whole verifier.

use std::fmt::Write as _;
use std::sync::Arc;

use gatewarden::authorize::Ruling;
use gatewarden::rejection::Rejection;
use gatewarden::snapshot::Snapshot;
use gatewarden::token::signer::Signer;
use http::{HeaderMap, HeaderName};
use serde_json::{Map, Value, json};

use super::{Asked, NOW, compiled, root, rule, shipped, trusted_signer};

#[test]
fn every_cell_of_the_documents_is_decided_as_they_say() {
    let snapshot = compiled(&shipped());
    let signer = trusted_signer(&snapshot);
    let (mut cells, mut requests, mut wrong) = (0, 0, String::new());
    for app in ["calling", "agent-desk", "admin", "connect"] {
        let text = std::fs::read_to_string(root().join(format!("tests/tables/{app}.toml"))).unwrap();
        let table: Value = toml::from_str(&text).unwrap();
        for cell in table["cell"].as_array().unwrap() {
            cells += 1;
            requests += check_cell(&snapshot, &signer, &table, cell, &mut wrong);
        }
    }
    println!("{cells} cells, {requests} requests");
    assert!(cells > 600 && requests > 2000, "the tables have shrunk: {cells} cells, {requests} requests");
    assert!(wrong.is_empty(), "\n{wrong}");
}

fn check_cell(
    snapshot: &Arc<Snapshot>,
    signer: &Signer,
    table: &Value,
    cell: &Value,
    wrong: &mut String,
) -> usize {
    let app = table["app"].as_str().unwrap();
    let token = signer.sign(&claims(app, table, cell)).unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in cell["headers"].as_object().into_iter().flatten() {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            value.as_str().unwrap().parse().unwrap(),
        );
    }
    let client = cell["peer"].as_str().unwrap_or("203.0.113.200").parse().unwrap();
    let mut count = 0;
    for expected in ["allow", "deny", "missing"] {
        for request in cell[expected].as_array().into_iter().flatten().map(|own| own.as_str().unwrap()) {
            count += 1;
            let (method, target) = request.split_once(' ').unwrap();
            let asked = Asked { method, target, headers: headers.clone(), token: Some(&token), client };
            let ruling = rule(snapshot, &asked);
            let found = match &ruling {
                Ruling::Permit(..) => "allow",
                Ruling::Refuse(Rejection::NoRoute | Rejection::MethodNotAllowed { .. }, _) => "missing",
                Ruling::Refuse(..) => "deny",
                Ruling::Ask(_) => "ask",
            };
            if found != expected {
                writeln!(
                    wrong,
                    "{}:{} {}: {request}: expected {expected}, found {ruling:?}",
                    table["document"], cell["line"], cell["says"]
                )
                .unwrap();
            }
        }
    }
    count
}

/// The row's claims over the table's, with the roles where the app reads them, in a token its issuer would make.
fn claims(app: &str, table: &Value, cell: &Value) -> Value {
    let mut claims = json!({ "exp": NOW.0 + 600, "iat": NOW.0 - 60 });
    merge(&mut claims, &table["defaults"]["claims"]);
    merge(&mut claims, &cell["claims"]);
    let roles = &cell["roles"];
    let has_roles = roles.as_array().is_some_and(|roles| !roles.is_empty());
    let at: &[&str] = match app {
        "calling" => &["roles"],
        "connect" => &["connect", "roles"],
        _ => &["realm_access", "roles"],
    };
    if has_roles {
        merge(&mut claims, &at.iter().rev().fold(roles.clone(), |inner, key| json!({ *key: inner })));
    }
    let issuer = if app == "calling" {
        let tid = claims["tid"].as_str().unwrap().to_owned();
        json!({ "iss": format!("https://login.microsoftonline.com/{tid}/v2.0"), "aud": "api://gatewarden" })
    } else {
        json!({ "iss": "https://sso.example/auth/realms/expertflow", "aud": "cim", "typ": "Bearer", "azp": "cim" })
    };
    let stated = claims.clone();
    merge(&mut claims, &issuer);
    merge(&mut claims, &stated);
    claims
}

fn merge(into: &mut Value, from: &Value) {
    let Some(from) = from.as_object() else { return };
    for (key, value) in from {
        let slot = into.as_object_mut().unwrap().entry(key).or_insert(Value::Null);
        if slot.is_object() && value.is_object() {
            merge(slot, value);
        } else {
            *slot = value.clone();
        }
    }
}

#[test]
fn a_row_of_a_table_is_read_with_all_its_keys() {
    const KNOWN: [&str; 11] =
        ["line", "says", "roles", "claims", "headers", "allow", "deny", "missing", "later", "peer", "tenant"];
    for app in ["calling", "agent-desk", "admin", "connect"] {
        let text = std::fs::read_to_string(root().join(format!("tests/tables/{app}.toml"))).unwrap();
        let table: Map<String, Value> = toml::from_str(&text).unwrap();
        for cell in table["cell"].as_array().unwrap() {
            for key in cell.as_object().unwrap().keys() {
                assert!(KNOWN.contains(&key.as_str()), "{app}: {key}");
            }
        }
    }
}
