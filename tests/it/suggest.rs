//! `gatewarden suggest` and `explain ID`: what a log says of the rules, and of one decision.

use std::fs;

use gatewarden::record::{Effect, Record};
use serde_json::{Value, json};

use crate::cli::says;
use crate::replay::{Desk, RULES, allowed, record};

/// Clerks look at things and try to change them; bosses change them; nobody asks for prices but a clerk by day.
fn week() -> Vec<Record> {
    let of = |number: u32| {
        let path = format!("/desk/things/{number}");
        let ask = |role, method| record(number, role, method, &path, "/desk/things/{thing}");
        match number % 4 {
            0 => ask("clerk", "PUT"),
            1 => allowed(ask("boss", "PUT"), "boss", "things#edit"),
            2 => allowed(ask("clerk", "GET"), "clerk", "things#view"),
            _ => Record {
                reason: "condition-unknown".to_owned(),
                role: Some("clerk".to_owned()),
                permission: Some("prices#use".to_owned()),
                condition: Some("night".to_owned()),
                ..record(number, "clerk", "GET", "/desk/prices", "/desk/prices")
            },
        }
    };
    (0..400).map(of).collect()
}

fn suggested(desk: &Desk, more: &[&str]) -> Value {
    serde_json::from_str(&desk.run("suggest", 0, &[&["--format", "json"], more].concat(), &[])).unwrap()
}

#[test]
fn grants_without_use_and_the_least_that_suffices_are_named() {
    let rules = RULES.replace("[role.boss]", "[role.intern]\nview = [\"things\"]\n[role.boss]");
    let desk = Desk::with(&rules, &week());
    let said = suggested(&desk, &[]);
    assert_eq!(said["absent_roles"][0]["role"], "intern", "{said:#}");
    let unused: Vec<_> = said["unused_grants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|own| {
            let place = own["place"].as_str().unwrap();
            let line: usize = place.rsplit(':').next().unwrap().parse().unwrap();
            let text = rules.lines().nth(line - 1).unwrap();
            assert!(
                text.contains(own["permission"].as_str().unwrap().split('#').next().unwrap()),
                "{place}: {text}"
            );
            (own["role"].as_str().unwrap(), own["permission"].as_str().unwrap())
        })
        .collect();
    assert_eq!(unused, [("boss", "things#view"), ("boss", "prices#use")], "{said:#}");
    let least = &said["least"][0];
    assert_eq!((&least["role"], &least["needed"][0]["permission"]), (&"clerk".into(), &"things#view".into()));
    assert_eq!(least["needed"][0]["requests"], 100);
    desk.run(
        "suggest",
        0,
        &[],
        &["boss (100 requests, 7 people): 1 of 3 permissions: things#edit", "nothing was changed"],
    );
}

#[test]
fn a_grant_that_shows_a_field_of_an_answer_is_in_use() {
    let ask = |number, role: &str, method: &str, permission: &str| {
        let asked = record(number, role, method, "/desk/things/1", "/desk/things/{thing}");
        allowed(asked, role, permission)
    };
    let mut records: Vec<_> = (0..8).map(|number| ask(number, "boss", "GET", "things#view")).collect();
    records.extend((8..12).map(|number| ask(number, "boss", "PUT", "things#edit")));
    // What a boss is shown of a thing rests on `prices#use`, though nobody asks for the prices themselves.
    let said = suggested(&Desk::with(RULES, &records), &[]);
    assert_eq!(said["unused_grants"], json!([]), "{said:#}");
    let least = said["least"].as_array().unwrap().iter().find(|own| own["role"] == "boss").unwrap();
    let needed = least["needed"].as_array().unwrap();
    let prices = needed.iter().find(|own| own["permission"] == "prices#use").unwrap();
    assert_eq!(prices["requests"], 8, "{said:#}");
}

#[test]
fn what_was_asked_for_in_vain_is_told_with_the_least_grant_and_as_a_widening() {
    let said = suggested(&Desk::with(RULES, &week()), &[]);
    let denied = said["denied"].as_array().unwrap();
    let of = |operation: &str| denied.iter().find(|own| own["operation"] == operation).unwrap();
    let put = of("PUT /desk/things/{thing}");
    assert_eq!(
        (&put["least_grant"], &put["widens"], &put["people"]),
        (&"things#edit".into(), &true.into(), &7.into())
    );
    assert_eq!(put["permits_beside"], json!([]));
    let prices = of("GET /desk/prices");
    assert_eq!(
        (&prices["condition"], &prices["least_grant"]),
        (&"night".into(), &"prices#use".into()),
        "{prices:#}"
    );
    // The grant that is suggested would have let them: the tool that knows says so.
    let wider = RULES.replace("[role.clerk]\n", "[role.clerk]\nedit = [\"things\"]\n");
    Desk::with(&wider, &week()).run("replay", 1, &["--fail-on", "widen"], &["100  deny -> allow   WIDENS"]);
}

#[test]
fn a_condition_that_stood_against_somebody_is_not_among_those_that_did_not() {
    let by_night: Vec<Record> = week()
        .into_iter()
        .map(|own| match &*own.reason {
            "condition-unknown" => Record { condition: None, ..allowed(own, "clerk", "prices#use") },
            _ => own,
        })
        .collect();
    let said = suggested(&Desk::with(RULES, &by_night), &[]);
    assert_eq!(
        (&said["held"][0]["condition"], &said["held"][0]["requests"]),
        (&"night".into(), &100.into()),
        "{said:#}"
    );
    assert_eq!(suggested(&Desk::with(RULES, &week()), &[])["held"], json!([]));
}

#[test]
fn a_period_is_cut_and_what_makes_it_unsure_is_said() {
    let mut records = week();
    records[2].sampled = 10;
    records[3].dropped_before = 4;
    let desk = Desk::with(RULES, &records);
    let said = suggested(&desk, &["--since", "2026-11-21T08:01:00Z", "--until", "2026-11-21T08:02:00Z"]);
    assert_eq!(said["records"], 60);
    assert_eq!(said["period"]["from"], "2026-11-21T08:01:00.000000Z");
    desk.run(
        "suggest",
        0,
        &[],
        &[
            "allows were sampled (1 of the records stand for more): what looks unused may have been used",
            "the log lost 4 records",
            "400 of the decisions were made by other rules than these",
            "6 minutes",
        ],
    );
    desk.run("suggest", 1, &["--since", "2026-12-01"], &["no decision was made in that period"]);
    desk.run("suggest", 2, &["--since", "yesterday"], &["write 2026-11-01"]);
}

fn explain(desk: &Desk, id: &str, code: i32, more: &[&str], words: &[&str]) -> String {
    let (config, log) = (desk.path("gateway.toml"), desk.path("decisions.log"));
    let asked = ["explain", id, "--config", config.to_str().unwrap(), "--log", log.to_str().unwrap()];
    says(&[&asked, more].concat(), code, words)
}

#[test]
fn a_decision_is_told_by_its_id_and_judged_again() {
    let mut records = week();
    records[3].erased = vec!["/facts/token.email".to_owned()];
    let desk = Desk::with(RULES, &records);
    let words = [
        "DENY  0  condition-unknown",
        "decisions.log:4",
        "asked     GET /desk/prices on desk.test -> desk: prices#use",
        "u3 (sso); roles: clerk; tenant: acme",
        "by revision 41 (rules of-then): nearest was a grant of clerk, but `night`",
        "token.team absent",
        "masked    /facts/token.email: left out on purpose",
        "it would be answered alike",
        "UNKNOWN  night: token.team = 'night'    unknown = 'night'",
        "would be allowed: boss",
    ];
    explain(&desk, "id-0003", 1, &[], &words);
    explain(&desk, "id-0001", 0, &[], &["ALLOW  granted", "boss has things#edit"]);
    explain(&desk, "id-9999", 1, &[], &["no decision `id-9999` is known; looked for in: ", "decisions.log"]);
    explain(&desk, "id-0001", 2, &["--role", "clerk"], &["is in the record"]);
}

#[test]
fn a_decision_that_would_be_another_now_says_since_when() {
    let wider = RULES.replace("[role.clerk]\n", "[role.clerk]\nedit = [\"things\"]\n");
    let desk = Desk::with(&wider, &week());
    let alike = explain(&desk, "id-0000", 1, &[], &["ALLOW  granted: it would be allowed\n"]);
    assert!(alike.contains("clerk has things#edit"), "{alike}");
    let json = explain(&desk, "id-0000", 1, &["--format", "json"], &[]);
    let said: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&said["then"]["effect"], &said["now"]["change"]), (&"deny".into(), &"deny -> allow".into()));
    let event = json!({
        "schema": "gatewarden.config/1", "ts": "2026-11-21T09:00:00.000000Z", "result": "applied", "revision": 42,
        "hash": said["now"]["hash"],
    });
    let log = desk.path("decisions.log");
    fs::write(&log, format!("{}{event}\n", fs::read_to_string(&log).unwrap())).unwrap();
    explain(&desk, "id-0000", 1, &[], &["since revision 42 went live 2026-11-21T09:00:00.000000Z"]);
    let narrower = Desk::with(RULES, &[]);
    let other = narrower.path("gateway.toml");
    let out = explain(
        &desk,
        "id-0000",
        1,
        &["--against", other.to_str().unwrap()],
        &["B  by ", "DENY  403  no-permission: it would be answered alike"],
    );
    assert!(out.lines().any(|line| line.starts_with('>')), "{out}");
}

#[test]
fn a_decision_is_found_in_a_log_that_was_rotated() {
    let desk = Desk::with(RULES, &week());
    let log = desk.path("decisions.log");
    fs::rename(&log, desk.path("decisions.log.2")).unwrap();
    let later = Record { effect: Effect::Allow, ..week()[2].clone() };
    fs::write(&log, Record { decision_id: "later".to_owned(), ..later }.line() + "\n").unwrap();
    explain(&desk, "id-0001", 0, &[], &["decisions.log.2:2"]);
    explain(&desk, "later", 0, &[], &["decisions.log:1"]);
}

#[test]
fn what_rules_had_no_part_in_has_nothing_to_be_judged_again() {
    let mut records = week();
    records[0] = Record { sub: None, reason: "token-expired".to_owned(), status: 401, ..records[0].clone() };
    let desk = Desk::with(RULES, &records);
    explain(
        &desk,
        "id-0000",
        1,
        &[],
        &["DENY  401  token-expired", "there is nothing to say: it was no decision of the rules"],
    );
}
