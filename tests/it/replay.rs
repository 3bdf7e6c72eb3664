//! `gatewarden replay`: a log put to rules, changed ones and those that made it.

use std::fs;
use std::path::PathBuf;

use gatewarden::record::{Effect, Record, Rules, SCHEMA};
use serde_json::{Value, json};

use crate::cli::says;

const GATEWAY: &str = "[issuers.sso]\nkind = \"oidc\"\nissuer = \"https://sso.test\"\naudience = [\"api\"]\n\
    algorithms = [\"EdDSA\"]\njwks = \"https://sso.test/keys\"\n[upstreams.desk]\nat = [\"/desk\"]\nservers = [\"http://127.0.0.1:1\"]\n";
const TENANTS: &str = "[tenant.acme]\nids = [\"acme\"]\napps = [\"desk\"]\n";
pub(crate) const RULES: &str = "app = \"desk\"\nowns = [\"/desk\"]\nissuer = \"sso\"\nroles = \"token.roles\"\ntenant = \"acme\"\n\
    [facts.token]\nroles = \"set\"\nteam = \"string\"\n[when]\nnight = \"token.team = 'night'\"\n\
    [mask]\n\"GET /desk/things/{thing}\" = { fields = [\"/price\"], unless = \"prices\" }\n\
    [resource.things]\nview = [\"GET /desk/things/{thing}\"]\nedit = [\"PUT /desk/things/{thing}\"]\n\
    [resource.prices]\nuse = [\"GET /desk/prices\"]\n\
    [role.clerk]\nview = [\"things\"]\nuse = [\"prices if night\"]\n[role.boss]\nview = [\"things\"]\nedit = [\"things\"]\nuse = [\"prices\"]\n";

/// A set of files, and a log beside them.
pub(crate) struct Desk {
    place: tempfile::TempDir,
}

impl Desk {
    pub(crate) fn with(rules: &str, records: &[Record]) -> Self {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("rules")).unwrap();
        fs::write(place.path().join("gateway.toml"), GATEWAY).unwrap();
        fs::write(place.path().join("rules/tenants.toml"), TENANTS).unwrap();
        fs::write(place.path().join("rules/desk.toml"), rules).unwrap();
        let lines: Vec<String> = records.iter().map(|own| own.line() + "\n").collect();
        fs::write(place.path().join("decisions.log"), lines.concat()).unwrap();
        Self { place }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    pub(crate) fn run(&self, verb: &str, code: i32, more: &[&str], words: &[&str]) -> String {
        let (config, log) = (self.path("gateway.toml"), self.path("decisions.log"));
        let asked = [verb, "--config", config.to_str().unwrap()];
        says(&[&asked, more, &[log.to_str().unwrap()]].concat(), code, words)
    }

    fn report(&self, more: &[&str]) -> Value {
        serde_json::from_str(&self.run("replay", 0, &[&["--format", "json"], more].concat(), &[])).unwrap()
    }
}

/// A request of somebody's, as a gateway records it that doesn't let it through.
pub(crate) fn record(number: u32, role: &str, method: &str, path: &str, route: &str) -> Record {
    let facts = json!({ "token.roles": [role], "token.team": null });
    Record {
        schema: SCHEMA.to_owned(),
        ts: format!("2026-11-21T08:{:02}:{:02}.000000Z", number / 60 % 60, number % 60),
        decision_id: format!("id-{number:04}"),
        rules: Rules { revision: 41, hash: "of-then".to_owned() },
        tenant: Some("acme".to_owned()),
        issuer: Some("sso".to_owned()),
        sub: Some(format!("u{}", number % 7)),
        roles: vec![role.to_owned()],
        method: Some(method.to_owned()),
        host: Some("desk.test".to_owned()),
        path: Some(path.to_owned()),
        route: Some(route.to_owned()),
        app: Some("desk".to_owned()),
        effect: Effect::Deny,
        reason: "no-permission".to_owned(),
        facts: facts.as_object().unwrap().clone(),
        sampled: 1,
        ..Record::default()
    }
}

pub(crate) fn allowed(record: Record, role: &str, permission: &str) -> Record {
    Record {
        effect: Effect::Allow,
        reason: "granted".to_owned(),
        role: Some(role.to_owned()),
        permission: Some(permission.to_owned()),
        ..record
    }
}

fn put(number: u32, role: &str) -> Record {
    record(number, role, "PUT", &format!("/desk/things/{number}"), "/desk/things/{thing}")
}

fn view(number: u32, role: &str) -> Record {
    let own = record(number, role, "GET", &format!("/desk/things/{number}"), "/desk/things/{thing}");
    let own = allowed(own, role, "things#view");
    let masked = vec!["/price is hidden in the answer".to_owned()];
    Record { obligations: if role == "clerk" { masked } else { Vec::new() }, ..own }
}

/// What a day brings: clerks look and may not write, bosses may.
fn day() -> Vec<Record> {
    let of = |number: u32| match number % 4 {
        0 => put(number, "clerk"),
        1 => allowed(put(number, "boss"), "boss", "things#edit"),
        2 => view(number, "boss"),
        _ => view(number, "clerk"),
    };
    (0..400).map(of).collect()
}

#[test]
fn the_rules_that_made_a_log_change_nothing() {
    let report = Desk::with(RULES, &day()).report(&["--fail-on", "any"]);
    assert_eq!((&report["records"], &report["alike"]), (&400.into(), &400.into()), "{report:#}");
    assert_eq!(report["groups"], json!([]));
}

#[test]
fn what_changes_is_told_with_how_many_it_concerns() {
    let wider = RULES.replace("[role.clerk]\n", "[role.clerk]\nedit = [\"things\"]\n");
    let desk = Desk::with(&wider, &day());
    let report = desk.report(&[]);
    let group = &report["groups"][0];
    assert_eq!(report["changed"]["deny_to_allow"], 100, "{report:#}");
    assert_eq!((&group["what"], &group["roles"]), (&"things#edit".into(), &json!(["clerk"])), "{report:#}");
    assert_eq!((&group["people"], &group["tenants"]), (&7.into(), &1.into()), "{report:#}");
    assert_eq!(group["samples"], json!(["id-0000", "id-0004", "id-0008"]));
    desk.run(
        "replay",
        1,
        &["--fail-on", "widen"],
        &["100  deny -> allow   WIDENS", "100 requests, 7 people"],
    );
    desk.run("replay", 0, &["--fail-on", "narrow"], &[]);
    desk.run(
        "replay",
        1,
        &["--fail-on", "any", "--format", "md"],
        &["| deny -> allow | desk | things#edit |"],
    );

    let narrower = Desk::with(&RULES.replace("edit = [\"things\"]\n", ""), &day());
    narrower.run(
        "replay",
        1,
        &["--fail-on", "narrow"],
        &["100  allow -> deny   narrows", "now no-permission"],
    );
    narrower.run("replay", 0, &["--fail-on", "widen"], &[]);
}

#[test]
fn what_is_held_back_is_an_answer_too() {
    let unmasked = RULES.split_once("[mask]").unwrap();
    let unmasked = format!(
        "{}{}",
        unmasked.0,
        unmasked.1.split_once("\n[resource").map(|own| "[resource".to_owned() + own.1).unwrap()
    );
    let desk = Desk::with(&unmasked, &day());
    let words =
        ["100  allow, with other obligations   WIDENS", "then held back: /price is hidden in the answer"];
    desk.run("replay", 1, &["--fail-on", "widen"], &words);
    let all = RULES.replace(", unless = \"prices\"", "");
    Desk::with(&all, &day()).run(
        "replay",
        1,
        &["--fail-on", "narrow"],
        &["100  allow, with more obligations   narrows"],
    );
}

#[test]
fn another_tenant_upstream_or_header_is_another_answer() {
    let gateway = "at = [\"/desk\"]\nservers = [\"http://127.0.0.1:1\"]\n";
    let records: Vec<_> =
        day().into_iter().map(|own| Record { upstream: Some("desk".into()), ..own }).collect();
    let desk = Desk::with(RULES, &records);
    desk.run("replay", 0, &["--fail-on", "any"], &["400  are answered alike"]);
    let other = GATEWAY.replace("[upstreams.desk]", "[upstreams.elsewhere]");
    assert!(other.contains(gateway));
    fs::write(desk.path("gateway.toml"), other).unwrap();
    let words =
        ["300  allow, by another upstream   WIDENS", "then by upstream desk", "now by upstream elsewhere"];
    desk.run("replay", 1, &["--fail-on", "widen"], &words);

    let desk = Desk::with(&RULES.replace("tenant = \"acme\"", "tenant = \"umbra\""), &day());
    let umbra = TENANTS.replace("acme", "umbra");
    fs::write(desk.path("rules/tenants.toml"), umbra).unwrap();
    let words = ["300  allow, for another tenant   WIDENS", "then for tenant acme", "now for tenant umbra"];
    desk.run("replay", 1, &["--fail-on", "widen"], &words);

    let inject = |fact: &str| RULES.replace("[mask]", &format!("[inject]\nx-team = \"{fact}\"\n[mask]"));
    let told = |own: Record| match own.effect {
        Effect::Allow => {
            let own = Record {
                facts: json!({"token.roles": own.roles, "token.team": "a"}).as_object().unwrap().clone(),
                ..own
            };
            let more = vec!["x-team is set from token.team".to_owned()];
            Record { obligations: [own.obligations.clone(), more].concat(), ..own }
        }
        Effect::Deny => own,
    };
    let records: Vec<_> = day().into_iter().map(told).collect();
    let desk = Desk::with(&inject("token.team"), &records);
    desk.run("replay", 0, &["--fail-on", "any"], &["400  are answered alike"]);
    let rules = inject("token.sub").replacen("team = \"string\"", "team = \"string\"\nsub = \"string\"", 1);
    let desk = Desk::with(&rules, &records);
    desk.run(
        "replay",
        1,
        &["--fail-on", "widen"],
        &["WIDENS", "x-team is set from token.team", "from token.sub"],
    );
}

#[test]
fn what_the_log_does_not_hold_is_not_guessed() {
    let mut records = day();
    for record in &mut records {
        record.facts.remove("token.team");
        record.erased.push("/facts/token.team".to_owned());
    }
    let by_team = RULES.replace("edit = [\"things\"]", "edit = [\"things if night\"]");
    let desk = Desk::with(&by_team, &records);
    let report = desk.report(&[]);
    // What clerks may not do doesn't rest on it, nor what bosses may see; what clerks are shown does.
    assert_eq!((&report["unknown"], &report["alike"]), (&200.into(), &200.into()), "{report:#}");
    assert_eq!(report["groups"][0]["missing"], json!(["token.team"]));
    desk.run("replay", 1, &["--fail-on", "narrow"], &["rests on token.team, which the log doesn't hold"]);
    desk.run("replay", 0, &["--fail-on", "widen"], &[]);
}

#[test]
fn a_body_that_nobody_wrote_down_is_not_taken_for_alike_where_it_is_not_looked_at() {
    let refused = Record { reason: "body-field".to_owned(), ..put(1, "boss") };
    let limited =
        RULES.replace("[mask]", "[body]\n\"PUT /desk/things/{thing}\" = { only = [\"/name\"] }\n[mask]");
    let desk = Desk::with(&limited, std::slice::from_ref(&refused));
    desk.run("replay", 0, &["--fail-on", "any"], &["1  can't be put again"]);
    let desk = Desk::with(RULES, &[refused]);
    desk.run("replay", 1, &["--fail-on", "widen"], &["1  can't be known", "rests on the body's fields"]);
    desk.run("replay", 0, &["--fail-on", "narrow"], &[]);
}

#[test]
fn who_asked_for_what_was_nowhere_is_not_known() {
    let nowhere = Record {
        reason: "no-such-operation".to_owned(),
        facts: serde_json::Map::new(),
        ..Record {
            issuer: None,
            sub: None,
            tenant: None,
            app: None,
            route: None,
            roles: Vec::new(),
            ..record(1, "clerk", "GET", "/desk/more", "")
        }
    };
    let desk = Desk::with(RULES, std::slice::from_ref(&nowhere));
    assert_eq!(desk.report(&["--fail-on", "any"])["alike"], 1);
    let more = RULES.replace(
        "view = [\"GET /desk/things/{thing}\"]",
        "view = [\"GET /desk/things/{thing}\", \"GET /desk/more\"]",
    );
    let report = Desk::with(&more, &[nowhere]).report(&[]);
    assert_eq!(
        (&report["unknown"], &report["groups"][0]["missing"]),
        (&1.into(), &json!(["the caller's token"])),
        "{report:#}"
    );
}

#[test]
fn what_rules_had_no_part_in_is_counted_apart_and_what_is_unsure_is_said() {
    let mut records = day();
    records[0] = Record { sub: None, tenant: None, reason: "token-expired".to_owned(), ..records[0].clone() };
    records[1].sampled = 10;
    records[2].dropped_before = 5;
    let desk = Desk::with(RULES, &records);
    let report = desk.report(&[]);
    assert_eq!(report["before_rules"], json!({ "token-expired": 1 }), "{report:#}");
    assert_eq!((&report["requests"], &report["alike"]), (&409.into(), &408.into()), "{report:#}");
    desk.run("replay", 0, &[], &["1 record stand", "the log lost 5 records"]);
    let log = desk.path("decisions.log");
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, format!("{text}nonsense\n{{\"schema\":\"gatewarden.config/1\"}}\n{{\"schema\":\"gatew"))
        .unwrap();
    desk.run("replay", 0, &[], &["decisions.log:401: ", "the last line breaks off", "1 line can't be read"]);
    desk.run("replay", 1, &["--fail-on", "widen"], &[]);
    fs::write(&log, "").unwrap();
    desk.run("replay", 1, &["--fail-on", "widen"], &["no decision that can be read"]);
}
