//! The real gateway's own log, looked back at: what it recorded of generated traffic is what its rules say again.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::cli::says;
use crate::dev::{Serving, ask, eventually, exchange};

/// Whoever the demo applications know, by application.
const PEOPLE: [(&str, &[&str]); 4] = [
    (
        "calling",
        &[
            "config-admin",
            "user-a",
            "keyfax-user",
            "read-only",
            "guest",
            "guest-caller",
            "call-centre",
            "mfa-user",
            "seat-1",
            "seat-2",
            "seat-3",
            "seat-4",
            "seat-5",
            "anyone",
        ],
    ),
    ("agent-desk", &["agent", "supervisor", "admin", "anyone"]),
    ("admin", &["admin"]),
    (
        "connect",
        &["owner", "full-access-user", "limited-access", "read-only", "restricted", "team-user", "anyone"],
    ),
];

/// What stands for a parameter of a path: something that is there, and something that isn't.
fn filled(template: &str, turn: usize) -> String {
    let known = [
        ("{call}", "c1"),
        ("{tenant}", "acme"),
        ("{user}", "dev-read-only"),
        ("{classifier}", "1"),
        ("{id}", "k1"),
    ];
    let mut path = template.to_owned();
    for (name, value) in known {
        path = path.replace(name, if turn % 3 == 2 { "nothing-of-it" } else { value });
    }
    while let (Some(start), Some(end)) = (path.find('{'), path.find('}')) {
        path.replace_range(start..=end, "x7");
    }
    path
}

/// Everything that everyone could ask for, once; the id of the last answer.
fn everything(dev: &Serving, routes: &[Value]) -> String {
    let mut last = String::new();
    for (app, people) in PEOPLE {
        for (turn, who) in people.iter().enumerate() {
            let token = dev.token_of(&format!("{app}/{who}"));
            let own = routes.iter().filter(|own| own["app"] == app && own["method"] != "EMIT");
            for (index, route) in own.enumerate() {
                let (method, path) = (route["method"].as_str().unwrap(), route["path"].as_str().unwrap());
                let more = match (app, (turn + index) % 4) {
                    ("connect", 1) => "x-view: acme/retail\r\n",
                    ("connect", 2) => "x-view: zenith\r\n",
                    ("calling", 1) => "x-customer: 452fb554-60fc-49fc-b403-9cabece4d68c\r\n",
                    ("calling", 2) => "x-customer: nobody's\r\n",
                    _ => "",
                };
                let path = filled(path, turn + index);
                let head = format!(
                    "{method} {path} HTTP/1.1\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n{more}"
                );
                let document = match (method, index % 3) {
                    ("GET", _) => "",
                    (_, 0) => r#"{"role":"Read Only","node":"acme/retail","group":"retail"}"#,
                    (_, 1) => r#"{"note":"x","name":"y"}"#,
                    _ => "{}",
                };
                last = exchange(dev.gateway, &head, document).head;
            }
        }
    }
    last
}

/// What no rule is asked about, and what is nowhere.
fn nonsense(dev: &Serving) {
    let agent = dev.token_of("agent-desk/agent");
    for (method, path) in
        [("GET", "/nowhere"), ("DELETE", "/cim/customers"), ("GET", "/cim/../x"), ("HEAD", "/cim/customers")]
    {
        ask(dev.gateway, method, path, Some(&agent));
        ask(dev.gateway, method, path, None);
    }
    ask(dev.gateway, "GET", "/cim/customers", Some("not.a.token"));
    let two = format!(
        "GET /connect/t/acme/apps HTTP/1.1\r\nauthorization: Bearer {agent}\r\nx-view: a\r\nx-view: b\r\n"
    );
    exchange(dev.gateway, &two, "");
}

/// A socket by polling, and events on it.
fn events(dev: &Serving, who: &str) {
    let authorization = format!("authorization: Bearer {}\r\n", dev.token_of(who));
    let at = "/agent-manager/socket.io/?EIO=4&transport=polling";
    let open = exchange(dev.gateway, &format!("GET {at} HTTP/1.1\r\n{authorization}"), "");
    assert_eq!(open.status, 200, "{}", open.body);
    let open: Value = serde_json::from_str(open.body.strip_prefix('0').unwrap()).unwrap();
    let at = format!("{at}&sid={}", open["sid"].as_str().unwrap());
    for packets in [
        "40",
        "42[\"changeAgentState\",{\"state\":\"READY\"}]",
        "42[\"deletePullModeRequest\",{\"id\":\"p1\"}]\u{1e}42[\"nothing\"]",
    ] {
        let head = format!("POST {at} HTTP/1.1\r\n{authorization}content-type: text/plain\r\n");
        exchange(dev.gateway, &head, packets);
    }
}

#[test]
fn a_log_put_to_the_rules_that_made_it_changes_nothing() {
    let dev = Serving::dev();
    let config = dev.files().join("gateway.toml");
    let config = config.to_str().unwrap();
    let routes = says(&["routes", "--config", config, "--format", "json"], 0, &[]);
    let routes: Value = serde_json::from_str(&routes).unwrap();
    events(&dev, "agent-desk/agent");
    events(&dev, "agent-desk/supervisor");
    nonsense(&dev);
    let last = everything(&dev, routes["routes"].as_array().unwrap());
    let id = last
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("x-request-id: ").map(str::to_owned))
        .unwrap();
    let log = dev.files().join("log/decisions.ndjson");
    eventually("the log has the last decision", || {
        fs::read_to_string(&log).is_ok_and(|text| text.contains(&id))
    });
    let log = log.to_str().unwrap();
    let out = says(&["replay", "--config", config, "--fail-on", "any", "--format", "json", log], 0, &[]);
    let said: Value = serde_json::from_str(&out).unwrap();
    let count = |name: &str| said[name].as_u64().unwrap();
    assert_eq!((&said["groups"], count("unknown")), (&serde_json::json!([]), 0), "{said:#}");
    let text = fs::read_to_string(log).unwrap();
    let lines = text.lines().filter(|line| line.contains("gatewarden.decision/1")).count() as u64;
    assert_eq!(count("records"), lines, "{said:#}");
    assert!(count("alike") > 700 && count("alike") * 10 > lines * 9, "{said:#}");
    assert!(said["before_rules"].as_object().unwrap().len() >= 2, "{said:#}");
    // It was no one-sided log: these are among what was decided alike.
    let mut reasons = BTreeSet::new();
    for line in text.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        reasons.insert(record["reason"].as_str().unwrap_or_default().to_owned());
    }
    for reason in [
        "granted",
        "public",
        "no-permission",
        "condition-failed",
        "requirement-failed",
        "tenant-unknown",
        "tenant-not-proven",
    ] {
        assert!(reasons.contains(reason), "no {reason} in {reasons:?}");
    }
    for part in [
        "\"method\":\"EMIT\"",
        "\"answers\":{\"call\":\"found\"",
        "\"answers\":{\"call\":\"nothing\"",
        "\"obligations\":[",
    ] {
        assert!(text.contains(part), "no {part}");
    }
}

#[test]
fn the_running_gateway_tells_why_it_refused_a_request_by_its_id() {
    let dev = Serving::dev();
    let config = dev.files().join("gateway.toml");
    let config = config.to_str().unwrap();
    let token = dev.token_of("agent-desk/agent");
    let refused = ask(dev.gateway, "GET", "/cim/customerSchema", Some(&token));
    assert_eq!(refused.status, 403);
    let id = refused.json()["request_id"].as_str().unwrap().to_owned();
    let told = says(
        &["explain", "--config", config, &id],
        1,
        &[
            "DENY  403  no-permission",
            "GET /cim/customerSchema on localhost -> agent-desk",
            "dev-agent (keycloak); roles: agent; tenant: default",
        ],
    );
    // `dev` says by which address it is reached by operators, which its files needn't.
    assert!(told.contains("the very rules that decided") || told.contains("answered alike"), "{told}");
    assert!(told.contains("none of the caller's roles has customer-schema#view"), "{told}");
    assert!(told.contains("would be allowed: supervisor; admin"), "{told}");
}
