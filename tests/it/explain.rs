//! `gatewarden explain`: roles that are tried, and two sets of rules beside each other.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::cli::says;

/// The shipped files, with one line of one of them in place of another.
fn changed(edits: &[(&str, &str, &str)]) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::create_dir(place.path().join("rules")).unwrap();
    fs::copy(root.join("gateway.toml"), place.path().join("gateway.toml")).unwrap();
    for entry in fs::read_dir(root.join("rules")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, place.path().join("rules").join(path.file_name().unwrap())).unwrap();
        }
    }
    for (file, right, other) in edits {
        let path = place.path().join("rules").join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(right), "{file} has no {right}");
        fs::write(path, text.replace(right, other)).unwrap();
    }
    place
}

/// Somebody's own call, asked for by somebody else.
const OTHERS_CALL: [&str; 12] = [
    "--tenant",
    "acme-housing",
    "--role",
    "Customer Users",
    "--with",
    "token.amr=mfa",
    "--with",
    "token.oid=ann",
    "--with",
    "call.creator=bob",
    "--with",
    "call.customer=acme-housing",
];

#[test]
fn the_nearest_roles_are_tried_with_the_very_request() {
    let ask =
        |more: &[&'static str]| [&["explain"], &OTHERS_CALL[..], more, &["GET", "/calling/calls/7"]].concat();
    says(
        &ask(&[]),
        1,
        &[
            "would be allowed as Customer Users, were it not for call.creator = token.oid ('bob' = 'ann')",
            "would be allowed: Customer ReadOnly Users (if reader: met here); Customer Admins (if home: met here)",
        ],
    );
    // A guest is none of the customer's admins, whatever his own people call him.
    let guest = ["--with", "token.tid=0b1f8c1e-1c5b-4f0e-9f3a-5a1d7b8f6c11"];
    let out = says(&ask(&guest), 1, &["would not: Customer Admins, were it not for token.tid in tenant.ids"]);
    assert!(!out.contains("Customer Admins (if home: met here)"), "{out}");
}

#[test]
fn two_sets_of_rules_are_laid_beside_each_other() {
    let other = changed(&[
        ("agent-desk.toml", "  # \"customer-schema\",  ", "  \"customer-schema\",  "),
        ("agent-desk.toml", "[\"customer-schema#view\", ", "["),
        (
            "agent-desk.toml",
            "\"agent GET /cim/customerSchema\"                                   = \"deny\"",
            "",
        ),
    ]);
    let other = other.path().to_str().unwrap();
    let ask = |path: &'static str| ["explain", "--against", other, "--role", "agent", "GET", path];
    let out = says(&ask("/cim/customerSchema"), 1, &["A  DENY  403  no-permission", "B  ALLOW  granted"]);
    let marked: Vec<&str> = out.lines().filter(|line| line.starts_with('>')).collect();
    assert_eq!(marked.len(), 2, "{out}");
    assert!(marked[0].contains("none of the caller's roles has customer-schema#view"), "{out}");
    assert!(marked[1].contains("agent has customer-schema#view"), "{out}");
    says(&ask("/cim/customers"), 0, &["both answer alike, step by step"]);
    let json = [&ask("/cim/customerSchema")[..], &["--format", "json"]].concat();
    let said: Value = serde_json::from_str(&says(&json, 1, &[])).unwrap();
    assert_eq!(said["first_difference"], 4, "{said:#}");
    let effects = [&said["sides"][0]["answer"]["effect"], &said["sides"][1]["answer"]["effect"]];
    assert_eq!(effects, ["deny", "allow"]);
}

#[test]
fn rules_that_cannot_be_asked_are_no_answer() {
    let other = changed(&[("agent-desk.toml", "[role.agent]", "[role.agent")]);
    let other = other.path().to_str().unwrap();
    says(&["explain", "--against", other, "--role", "agent", "GET", "/cim/customers"], 3, &["mistake"]);
    says(&["explain", "--against", "nowhere/", "--role", "agent", "GET", "/cim/customers"], 4, &[]);
}
