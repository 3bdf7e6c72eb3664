//! Exports in the form that Keycloak writes them, and an evaluation of them that knows nothing of rule files: what the
//! imported file allows, Keycloak allows.

mod exports;

use serde_json::{Value, json};

use super::super::report::{Report, Weight};
use super::super::trial::compile_alone;
use super::*;
use crate::config::diagnostic::Style;
use crate::snapshot::Snapshot;

pub(super) fn options() -> Options {
    Options {
        issuer: "keycloak".into(),
        tenant: "default".into(),
        app: None,
        methods: Stated::new(),
        enforcer: None,
        time_zone: None,
    }
}

/// Imports the first client of an export; what was made compiles.
#[track_caller]
pub(super) fn imported(text: &str, options: &Options) -> (Imported, Report, Snapshot) {
    let mut report = Report::default();
    let export = Export::read(text, None, &mut report).unwrap();
    let made = import(&export.realm, &export.clients[0], options, &mut report).unwrap();
    match compile_alone(&made.text, &made.around) {
        Ok(compiled) => (made, report, compiled.snapshot),
        Err((why, files)) => panic!("{}\n{}", why.render(&files, Style::Plain), made.text),
    }
}

#[track_caller]
pub(super) fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part} not in\n{text}");
    }
}

fn list(names: &[&str]) -> String {
    Value::from(names.to_vec()).to_string()
}

/// A client with one resource `/doc` of the scope `view`, whose permission applies these policies.
fn one(policies: Vec<Value>, applied: &[&str], strategy: &str) -> String {
    let mut all = policies;
    all.push(json!({ "name": "it", "type": "scope", "logic": "POSITIVE", "decisionStrategy": strategy,
        "config": { "resources": "[\"doc\"]", "scopes": "[\"view\"]", "applyPolicies": list(applied) } }));
    json!({ "clientId": "shop", "authorizationSettings": {
        "policyEnforcementMode": "ENFORCING", "decisionStrategy": "UNANIMOUS",
        "resources": [{ "name": "doc", "uris": ["/doc"], "scopes": [{ "name": "view" }] }],
        "scopes": [{ "name": "view" }], "policies": all } })
    .to_string()
}

fn role(name: &str, roles: Value, logic: &str) -> Value {
    json!({ "name": name, "type": "role", "logic": logic, "decisionStrategy": "UNANIMOUS",
        "config": { "roles": roles.to_string() } })
}

#[test]
fn the_contact_centre_comes_over_with_its_roles() {
    let (made, report, _) = imported(exports::CONTACT_CENTRE, &options());
    has(
        &made.text,
        &[
            "app    = \"cim\"",
            "[resource.reason-code]",
            "view   = [\"GET /unified-admin/reasons\", \"GET /unified-admin/reasons/{rest...}\"]",
            "[role.admin]",
            "[role.agent]",
        ],
    );
    has(
        &report.to_text(),
        &[
            "GW6018  scope `manage`",
            "GW6016  resource `state-change`",
            "GW6009  scope `assign_label` of `customer-labels`",
            "GW6004  policy `office`",
        ],
    );
    assert!(report.count(Weight::Denied) > 0);
}

#[test]
fn what_keycloak_tests_itself_with_is_read() {
    let (made, report, _) = imported(exports::SERVLET, &options());
    // Scopes that no convention knows hold no operation, and their addresses nobody else's.
    has(
        &made.text,
        &[
            "[resource.\"Admin Resource\"]  # of type http://servlet-authz/protected/admin",
            "not-translated = [\"GET /protected/admin\", \"GET /protected/admin/{rest...}\"]",
            "read  = [\"GET /protected/scopes.jsp\"]",
        ],
    );
    has(
        &report.to_text(),
        &[
            "policy `Deny Policy`",
            "it runs JavaScript",
            "address",
            "urn:servlet-authz:protected:admin:access",
        ],
    );
}

#[test]
fn unanimous_roles_are_one_grant_under_the_other() {
    let two = vec![
        role("a", json!([{ "id": "agent" }]), "POSITIVE"),
        role("b", json!([{ "id": "lead", "required": true }]), "POSITIVE"),
    ];
    let (made, report, _) = imported(&one(two.clone(), &["a", "b"], "UNANIMOUS"), &options());
    has(
        &made.text,
        &["has-lead = \"token.realm_access.roles has 'lead'\"", "[role.agent]\nview = [\"doc if has-lead\"]"],
    );
    assert_eq!(report.count(Weight::Denied), 0, "{}", report.to_text());
    let (made, ..) = imported(&one(two, &["a", "b"], "AFFIRMATIVE"), &options());
    has(&made.text, &["[role.agent]\nview = [\"doc\"]", "[role.lead]\nview = [\"doc\"]"]);
}

#[test]
fn what_is_turned_round_is_known_exactly_or_denied() {
    let (made, report, _) =
        imported(&one(vec![role("a", json!(["guest"]), "NEGATIVE")], &["a"], "UNANIMOUS"), &options());
    has(
        &made.text,
        &["no-has-guest = { not = \"has-guest\" }", "[role.anyone]\nview = [\"doc if no-has-guest\"]"],
    );
    has(&report.to_text(), &["GW6019"]);
    let js = json!({ "name": "a", "type": "js", "logic": "NEGATIVE", "config": { "code": "$evaluation.deny();" } });
    let (made, report, _) = imported(&one(vec![js], &["a"], "UNANIMOUS"), &options());
    assert!(!made.text.contains("[role"), "{}", made.text);
    has(&report.to_text(), &["GW6004", "GW6008"]);
}

#[test]
fn a_role_called_anyone_is_no_role_of_everyone() {
    let (made, ..) =
        imported(&one(vec![role("a", json!(["anyone"]), "POSITIVE")], &["a"], "UNANIMOUS"), &options());
    has(&made.text, &["[role.role-anyone]\nclaim = [\"anyone\"]"]);
    assert!(!made.text.contains("[role.anyone]"), "{}", made.text);
}

#[test]
fn each_kind_of_policy_is_a_condition_or_told() {
    let policies = vec![
        json!({ "name": "g", "type": "group", "config": { "groupsClaim": "groups", "groups": "[{\"path\":\"/staff/eu\",\"extendChildren\":true}]" } }),
        json!({ "name": "c", "type": "client", "config": { "clients": "[\"desk\"]" } }),
        json!({ "name": "t", "type": "time", "config": { "noa": "2027-01-31 18:00:00", "hour": "9", "hourEnd": "17" } }),
        json!({ "name": "u", "type": "user", "config": { "users": "[\"sara\"]" } }),
        json!({ "name": "r", "type": "regex", "config": { "targetClaim": "x", "pattern": "^a" } }),
        json!({ "name": "s", "type": "client-scope", "config": {} }),
        json!({ "name": "loop", "type": "aggregate", "config": { "applyPolicies": "[\"loop\"]" } }),
    ];
    let export = one(policies.clone(), &["g", "c", "t", "u", "r", "s", "loop", "gone"], "AFFIRMATIVE");
    let (made, report, _) =
        imported(&export, &Options { time_zone: Some("Europe/Berlin".into()), ..options() });
    has(
        &made.text,
        &[
            "token.groups has '/staff/eu'",
            "token.groups has 'eu'",
            "token.azp = 'desk'",
            "client.time <= '2027-01-31T17:00:00Z'",
            "client.time <= '17:59'",
        ],
    );
    has(
        &report.to_text(),
        &[
            "policy `u`",
            "policy `r`",
            "policy `s`",
            "rests on itself",
            "`gone`",
            "time-zone = \"Europe/Berlin\"",
        ],
    );
    let (made, report, _) = imported(&one(policies, &["t"], "AFFIRMATIVE"), &options());
    assert!(!made.text.contains("[role"), "{}", made.text);
    has(&report.to_text(), &["GW6013", "--time-zone"]);
}

#[test]
fn modes_that_open_are_told_and_not_followed() {
    for mode in ["PERMISSIVE", "DISABLED", "OPEN"] {
        let export = one(Vec::new(), &[], "UNANIMOUS").replace("ENFORCING", mode);
        let (made, report, _) = imported(&export, &options());
        assert!(!made.text.contains("[role"), "{}", made.text);
        has(&report.to_text(), &["GW6012"]);
    }
}

#[test]
fn a_policy_enforcer_says_the_methods() {
    let enforcer = enforcer(exports::ENFORCER).unwrap();
    let (made, report, _) =
        imported(exports::CONTACT_CENTRE, &Options { enforcer: Some(enforcer), ..options() });
    has(
        &made.text,
        &[
            "manage          = [\"POST /unified-admin/reasons\"",
            "view-and-manage = [\"PUT /unified-admin/reasons\"",
        ],
    );
    has(&report.to_text(), &["GW6101  path `/unified-admin/health`"]);
    assert!(!made.text.contains("public"), "{}", made.text);
}

#[test]
fn stated_methods_go_before_the_convention() {
    let methods = ["view=GET,POST", "manage=PUT"].iter().map(|own| stated(own).unwrap()).collect();
    let (made, report, _) = imported(exports::CONTACT_CENTRE, &Options { methods, ..options() });
    has(&made.text, &["\"POST /unified-admin/reasons\"", "\"PUT /unified-admin/reasons\""]);
    assert!(!made.text.contains("DELETE /unified-admin/reasons"), "{}", made.text);
    assert!(!report.to_text().contains("GW6018"), "{}", report.to_text());
    for odd in ["view", "=GET", "view=HEAD", "view=", "view=GET,,"] {
        assert!(stated(odd).is_err(), "{odd}");
    }
}

#[test]
fn no_address_takes_the_paths_of_one_that_is_not_translated() {
    let export = |uri: &str| {
        one(vec![role("a", json!(["agent"]), "POSITIVE")], &["a"], "UNANIMOUS").replace(
            "\"uris\":[\"/doc\"]",
            "\"uris\":[\"/doc/*\"]",
        ).replace("\"resources\":[{", &format!("\"resources\":[{{\"name\":\"other\",\"uris\":[\"{uri}\"],\"scopes\":[{{\"name\":\"dance\"}}]}},{{"))
    };
    // A path of its own stays occupied.
    let (made, ..) = imported(&export("/doc/secret"), &options());
    has(&made.text, &["not-translated = [\"GET /doc/secret\"]", "GET /doc/{rest...}"]);
    // What can't be a path here takes the wider one with it.
    for uri in ["/doc/*.html", "/doc/a*", "/*.jsp", "/doc/"] {
        let (made, report, _) = imported(&export(uri), &options());
        assert!(!made.text.contains("view = [\"GET"), "{uri}\n{}", made.text);
        has(&report.to_text(), &["GW6010", "GW6011"]);
    }
}

#[test]
fn hostile_files_are_told_or_refused() {
    for odd in ["", "null", "[]", "{}", "{\"a\":1}", "{\"clients\":3}", "\u{feff}{", &"[".repeat(100_000)] {
        assert!(
            Export::read(odd, None, &mut Report::default()).is_err(),
            "{}",
            odd.chars().take(20).collect::<String>()
        );
    }
    let odd = json!({ "clientId": "../x\" \n]", "authorizationSettings": {
        "policyEnforcementMode": 7, "decisionStrategy": [], "scopes": 1,
        "resources": [1, { "name": "a\"]\n[role.anyone]\nview = [\"*\"]", "uris": ["/a", 3, "/b\"]", "/\u{0}"], "scopes": [{}, "only", "reserved", "view\n"] },
            { "name": "*", "uris": "x" }, { "name": "! if until", "scopes": ["claim"] }, { "uris": [] }],
        "policies": [null, { "name": 1 }, role("r", json!([{ "id": "x'y" }]), "POSITIVE"), role("q", json!([{ "id": "a", "required": "yes" }]), "SIDEWAYS"),
            { "name": "p", "type": "resource", "config": { "resources": "[[[", "applyPolicies": "[\"r\"]" } },
            { "name": "p", "type": "scope", "config": { "scopes": "[\"view\\n\"]", "applyPolicies": "[\"r\",\"q\"]" } }] } });
    let (made, report, snapshot) = imported(&odd.to_string(), &options());
    assert!(snapshot.apps[0].roles.is_empty(), "{}", made.text);
    assert!(report.count(Weight::Denied) > 8, "{}", report.to_text());
    assert!(report.to_markdown().lines().all(|line| !line.starts_with("[role")));
}
