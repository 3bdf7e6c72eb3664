//! Every cell of every table of the three documents, and every sentence of theirs that grants or refuses, as data under
//! `rules/tests/`: held against the shipped rules by the verb that operators have. What a table leaves out, or what
//! doesn't hold, is told with its place.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use gatewarden::authorize::Ruling;
use gatewarden::rejection::Rejection;
use gatewarden::snapshot::Snapshot;
use gatewarden::token::signer::Signer;
use http::HeaderMap;
use serde_json::{Value, json};

use super::{Asked, NOW, compiled, root, rule, shipped, trusted_signer};

const DESK: &str = "rules/tests/agent-desk.toml";

fn test_verb(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gatewarden"))
        .arg("test")
        .args(arguments)
        .env_remove("GATEWARDEN_CONFIG")
        .current_dir(root())
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn every_cell_and_sentence_of_the_documents_is_obeyed() {
    let output = test_verb(&["--format", "json"]);
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    assert_eq!((output.status.code(), &report["ok"]), (Some(0), &json!(true)), "{}", said(&output));
    let count = |key: &str| report[key].as_u64().unwrap();
    let (cells, sentences, requests) = (count("cells"), count("sentences"), count("requests"));
    println!("{cells} cells, {sentences} sentences, {requests} requests of {}", report["documents"]);
    // KeyNect 3 × 7; AgentDesk 10 × 3 roles × 2 scopes; Unified Admin 8 × 2; Webex 21 × 5 and 12 × 3.
    assert_eq!(cells, 21 + 60 + 16 + 141);
    assert_eq!(report["documents"].as_array().unwrap().len(), 3);
    assert!(sentences > 110 && requests > 3000, "the tables have shrunk: {report}");
    let human = said(&test_verb(&[]));
    assert!(human.contains(&format!("{cells} cells and {sentences} sentences of 3 documents")), "{human}");
}

/// Where rows need no look-up, a signed token through the whole verifier is answered as the row says too.
#[test]
fn signed_tokens_are_answered_alike() {
    let snapshot = compiled(&shipped());
    let signer = trusted_signer(&snapshot);
    let (mut requests, mut wrong) = (0, String::new());
    for app in ["agent-desk", "admin"] {
        let text = std::fs::read_to_string(root().join(format!("rules/tests/{app}.toml"))).unwrap();
        let table: Value = toml::from_str(&text).unwrap();
        let rows = ["cell", "sentence"].iter().flat_map(|kind| table[kind].as_array().unwrap());
        for row in rows.filter(|row| row["anonymous"] != true) {
            requests += check(&snapshot, &signer, row, &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(requests > 750, "{requests}");
}

fn check(snapshot: &Arc<Snapshot>, signer: &Signer, row: &Value, wrong: &mut String) -> usize {
    let mut claims = json!({
        "iss": "https://sso.example/auth/realms/expertflow", "aud": "cim", "typ": "Bearer", "azp": "cim",
        "exp": NOW.0 + 600, "iat": NOW.0 - 60, "sub": "u1", "realm_access": { "roles": row["roles"] },
    });
    for (key, value) in row["claims"].as_object().into_iter().flatten() {
        claims[key] = value.clone();
    }
    let token = signer.sign(&claims).unwrap();
    let mut count = 0;
    for expected in ["allow", "deny", "missing"] {
        let requests = row[expected].as_array().into_iter().flatten().map(|own| own.as_str().unwrap());
        for request in requests.filter(|request| !request.starts_with("EMIT ")) {
            count += 1;
            let (method, target) = request.split_once(' ').unwrap();
            let client = "203.0.113.200".parse().unwrap();
            let asked = Asked { method, target, headers: HeaderMap::new(), token: Some(&token), client };
            let ruling = rule(snapshot, &asked);
            let found = match &ruling {
                Ruling::Permit(..) => "allow",
                Ruling::Refuse(Rejection::NoRoute | Rejection::MethodNotAllowed { .. }, _) => "missing",
                Ruling::Refuse(..) => "deny",
                Ruling::Ask(_) => "ask",
            };
            if found != expected {
                writeln!(wrong, "{row}: {request}: expected {expected}, found {ruling:?}").unwrap();
            }
        }
    }
    count
}

/// A shipped table, changed, in a place of its own.
fn changed(place: &Path, change: impl Fn(String) -> String) -> PathBuf {
    let path = place.join("table.toml");
    // The golden table that it names stands beside it.
    std::fs::copy(root().join("rules/tests/agent-desk.md"), place.join("agent-desk.md")).unwrap();
    let text = std::fs::read_to_string(root().join(DESK)).unwrap();
    let new = change(text.clone());
    assert_ne!(text, new, "nothing was changed");
    std::fs::write(&path, new).unwrap();
    path
}

#[test]
fn what_does_not_hold_is_told_with_its_place() {
    let place = tempfile::tempdir().unwrap();
    let table = changed(place.path(), |text| {
        let row = "\n[[sentence]]\nline = 3\nsays = \"Nobody\"\nroles = [\"agent\"]\ndeny = [\"GET /cim/customers\"]\n";
        format!("{text}{row}")
    });
    let shown = table.to_string_lossy();
    let output = test_verb(&[&shown]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let text = said(&output);
    for part in ["GET /cim/customers: expected deny, found allow", ":3 Nobody", &format!("{shown}:")] {
        assert!(text.contains(part), "{part} not in\n{text}");
    }
    let junit = said(&test_verb(&["--format", "junit", &shown]));
    assert!(junit.contains("failures=\"1\"") && junit.contains("expected deny"), "{junit}");
}

#[test]
fn what_is_skipped_is_a_mistake() {
    let cases: [(&str, &dyn Fn(String) -> String); 6] = [
        ("no [[cell]] for `leave-chat`, `Agent: View`", &|text| {
            text.replacen(
                "cell  = [\"leave-chat\", \"Agent: View\"]",
                "cell  = [\"leave-chat\", \"Admin: View\"]",
                1,
            )
        }),
        ("line 9 stands in no row", &|text| text.replacen("7-11", "7, 8, 10, 11", 1)),
        ("is held against nothing", &|text| format!("{text}\n[[sentence]]\nline = 3\nsays = \"x\"\n")),
        ("unknown key `roels`", &|text| text.replacen("roles = [\"agent\"]", "roels = [\"agent\"]", 1)),
        ("no [[table]] has a cell", &|text| {
            text.replacen("cell  = [\"leave-chat\"", "cell  = [\"leave-chats\"", 1)
        }),
        ("line 99 isn't among `lines`", &|text| {
            format!("{text}\n[[sentence]]\nline = 99\nsays = \"x\"\ndeny = [\"GET /cim/x\"]\n")
        }),
    ];
    for (expected, change) in cases {
        let place = tempfile::tempdir().unwrap();
        let table = changed(place.path(), change);
        let output = test_verb(&[&table.to_string_lossy()]);
        assert_eq!(output.status.code(), Some(3), "{expected}: {}", said(&output));
        assert!(said(&output).contains(expected), "{expected} not in\n{}", said(&output));
    }
    assert_eq!(test_verb(&["nowhere.toml"]).status.code(), Some(4));
}
