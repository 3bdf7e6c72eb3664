//! A candidate that answers for some tenants: only theirs, only where it sees the same tenant, and nothing is spent twice.

use serde_json::{Value, json};

use super::{REMOTE, RULES, TENANTS, Trial, turned};
use crate::process::ask;
use crate::support::eventually;

const VIEW: &str = "GET /desk/customers/7";
const EDIT: &str = "PUT /desk/customers/7";

#[test]
fn its_answers_count_for_the_tenants_that_try_it_and_for_nobody_else() {
    let trial = Trial::start(REMOTE, |_| {});
    trial.try_out("desk.toml", &turned());
    let both = |tenant: &str| [VIEW, EDIT].map(|line| trial.asks_as(tenant, &["agent"], line));
    assert_eq!((both("1"), both("2")), ([200, 403], [200, 403]));
    trial.cell("allow", "deny", 2);
    let (code, told) = trial.verb(&["canary", "--tenant", "acme"]);
    assert!(code == 0 && told.contains("it answers the requests of acme"), "{told}");
    assert_eq!((both("1"), both("2")), ([403, 200], [200, 403]));
    // What it answers isn't compared with itself; the others' requests still are.
    trial.cell("allow", "deny", 3);
    let said = trial.candidate();
    assert_eq!((&said["decisions"]["answered"], &said["tenants"]), (&2.into(), &json!(["acme"])));
    trial.counts("gatewarden_canary_decisions_total{app=\"desk\",effect=\"deny\",tenant=\"acme\"} 1");
    trial.counts("gatewarden_canary_decisions_total{app=\"desk\",effect=\"allow\",tenant=\"acme\"} 1");
    // A mistake in it gives everyone back to the live rules, and mending it doesn't.
    trial.try_out("desk.toml", "nonsense");
    assert_eq!(both("1"), [200, 403]);
    trial.try_out("desk.toml", &turned());
    assert_eq!(both("1"), [403, 200]);
    assert_eq!(trial.verb(&["canary", "--off"]).0, 0);
    assert_eq!(both("1"), [200, 403]);
    let (code, told) = trial.verb(&["canary", "--tenant", "amce"]);
    assert!(code == 2 && told.contains("there is no tenant `amce`") && told.contains("acme"), "{told}");
    assert_eq!(trial.candidate()["tenants"], json!([]), "nothing was named");
    assert_eq!(trial.verb(&["canary"]).0, 2);
}

#[test]
fn gateway_toml_names_who_tries_it() {
    let trial = Trial::start("[candidate]\nremote = true\ntenants = [\"bodgit\"]\n", |files| {
        std::fs::create_dir(files.path("rules-next")).unwrap();
        files.write("rules-next/desk.toml", &turned());
    });
    eventually("the candidate answers", || trial.candidate()["state"] == "judged");
    assert_eq!((trial.asks_as("1", &["agent"], VIEW), trial.asks_as("2", &["agent"], VIEW)), (200, 403));
    assert_eq!(trial.verb(&["canary", "--off"]).0, 0);
    assert_eq!(trial.asks_as("2", &["agent"], VIEW), 200);
    assert_eq!(trial.verb(&["canary", "--configured"]).0, 0);
    assert_eq!(trial.asks_as("2", &["agent"], VIEW), 403);
}

#[test]
fn the_live_answer_stands_where_it_sees_another_tenant() {
    let trial = Trial::start(REMOTE, |_| {});
    assert_eq!(trial.verb(&["canary", "--tenant", "acme"]).0, 0);
    // Everyone acts for bodgit, and every agent may edit.
    let other = turned()
        .replace("{ from = [\"token.tid\"] }", "\"bodgit\"")
        .replace("isolation = \"upstream\"\n", "");
    trial.try_out("desk.toml", &other);
    assert_eq!(trial.candidate()["state"], "judged", "{}", trial.candidate());
    assert_eq!((trial.asks(&["agent"], VIEW), trial.asks(&["agent"], EDIT)), (200, 403));
    // An operation that it doesn't have is refused to those who try it.
    trial.try_out(
        "desk.toml",
        &RULES.replace("edit = [\"PUT /customers/{id}\"]", "edit = [\"POST /customers/{id}\"]"),
    );
    assert_eq!((trial.asks(&["boss"], EDIT), trial.asks_as("2", &["boss"], EDIT)), (405, 200));
    // One that only it has is nobody's yet: without an operation there is no tenant.
    assert_eq!(trial.asks(&["boss"], "POST /desk/customers/7"), 405);
    assert_eq!(ask(trial.process.address("callers"), "GET /desk/open", &[]).status, 200);
}

#[test]
fn a_seat_is_taken_once_and_by_whoever_answers() {
    let seats = TENANTS.replace("ids = [\"1\"]", "ids = [\"1\"]\nseats = { named = 1, over = \"refuse\" }");
    let rules = RULES.replace(
        "view = [\"GET /customers/{id}\"]",
        "view = { seat = true, operations = [\"GET /customers/{id}\"] }",
    );
    let trial = Trial::start(REMOTE, |files| {
        files.write("rules/tenants.toml", &seats);
        files.write("rules/desk.toml", &rules);
    });
    let taken = || -> Value {
        let shown: Value = serde_json::from_slice(&trial.process.admin("GET /seats", &[]).body).unwrap();
        shown["rows"].clone()
    };
    // The live rules would take a seat and let in; the candidate refuses, and nothing was taken.
    trial.try_out("desk.toml", &rules.replace("[role.agent]\nview", "[role.agent]\nedit"));
    assert_eq!(trial.verb(&["canary", "--tenant", "acme"]).0, 0);
    assert_eq!(trial.asks(&["agent"], VIEW), 403);
    assert_eq!(taken(), json!([]));
    // The other way round it is taken, once.
    assert_eq!((trial.asks(&["boss"], VIEW), trial.asks(&["boss"], VIEW)), (200, 200));
    assert_eq!(taken()[0]["named"]["used"], 1);
}

#[test]
fn with_any_candidate_live_answers_are_the_same() {
    let trial = Trial::start(REMOTE, |_| {});
    let answers = || -> Vec<u16> {
        let mut answers = Vec::new();
        for tenant in ["1", "2", "3"] {
            for roles in [&["agent"][..], &["boss"], &["agent", "boss"], &[]] {
                for line in
                    [VIEW, EDIT, "GET /desk/owners/7", "GET /desk/open", "DELETE /desk/customers/7", "GET /x"]
                {
                    answers.push(trial.asks_as(tenant, roles, line));
                }
            }
        }
        answers
    };
    let live = answers();
    assert!([200, 403, 404, 405].iter().all(|status| live.contains(status)), "{live:?}");
    for candidate in [
        turned(),
        RULES.replace("[role.agent]", "[role.anyone]").replace("view = [\"customers\"]", "view = [\"*\"]"),
        RULES.replace("view = [\"customers\"]", "view = [\"customers if own\"]"),
        RULES.replace("[role.agent]\nview = [\"customers\"]\n", ""),
        RULES.replace("base      = \"/desk\"", "base      = \"/desk/other\""),
        "nonsense".to_owned(),
    ] {
        trial.try_out("desk.toml", &candidate);
        assert_eq!(answers(), live, "{candidate}");
    }
}

#[test]
fn what_the_live_rules_want_on_record_is_on_record_whoever_answers() {
    let trial = Trial::start("[decisions]\nfile = \"/dev/full\"\n[candidate]\nremote = true\n", |files| {
        let audit = "[audit]\nrequired = [\"GET /customers/{id}\"]\n[resource.customers]";
        files.write("rules/desk.toml", &RULES.replace("[resource.customers]", audit));
    });
    trial.try_out("desk.toml", RULES);
    assert_eq!(trial.verb(&["canary", "--tenant", "acme"]).0, 0);
    eventually("it is known that nothing can be written", || trial.asks_as("2", &["agent"], VIEW) == 503);
    assert_eq!(trial.asks_as("1", &["agent"], VIEW), 503, "the candidate says nothing of a record");
    assert_eq!(trial.asks_as("1", &["boss"], EDIT), 200);
}

#[test]
fn the_decision_log_says_which_rules_answered() {
    let trial =
        Trial::start("[decisions]\nfile = \"decisions.ndjson\"\n[candidate]\nremote = true\n", |_| {});
    trial.try_out("desk.toml", &turned());
    assert_eq!(trial.verb(&["canary", "--tenant", "acme"]).0, 0);
    assert_eq!((trial.asks_as("1", &["agent"], VIEW), trial.asks_as("2", &["agent"], VIEW)), (403, 200));
    let live = trial.look()["rules"]["hash"].clone();
    let candidate = trial.candidate()["hash"].clone();
    let mut records = Vec::new();
    eventually("both are written", || {
        let text = std::fs::read_to_string(trial.files().path("decisions.ndjson")).unwrap_or_default();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        records = lines.filter(|own| own["schema"] == "gatewarden.decision/1").collect();
        records.len() == 2
    });
    let of = |tenant: &str| records.iter().find(|own| own["tenant"] == tenant).unwrap();
    assert_eq!((&of("acme")["rules"]["hash"], &of("bodgit")["rules"]["hash"]), (&candidate, &live));
    assert!(of("acme")["rule"].as_str().unwrap().contains("rules-next/desk.toml"), "{:#}", of("acme"));
}

#[test]
fn nobody_but_the_files_says_who_tries_it_unless_they_let_it() {
    let trial = Trial::start("[decisions]\nfile = \"decisions.ndjson\"\n", |_| {});
    let sent = trial.sends("PUT /candidate", &json!({ "files": { "desk.toml": turned() } }));
    assert!(sent.status == 403 && sent.text().contains("`remote = true`"), "{}", sent.text());
    trial.try_out("desk.toml", &turned());
    let (code, told) = trial.verb(&["canary", "--tenant", "acme"]);
    assert!(code == 4 && told.contains("`[candidate]`"), "{told}");
    assert_eq!((trial.asks(&["agent"], VIEW), trial.asks(&["agent"], EDIT)), (200, 403));
    let gateway = std::fs::read_to_string(trial.files().path("gateway.toml")).unwrap();
    trial.files().write("gateway.toml", &format!("{gateway}[candidate]\nremote = true\n"));
    trial.look();
    for names in [json!(["x".repeat(201)]), json!(vec!["x"; 1_001])] {
        assert_eq!(trial.sends("PUT /candidate/tenants", &json!({ "tenants": names })).status, 400);
    }
    assert_eq!(trial.verb(&["canary", "--tenant", "acme"]).0, 0);
    assert_eq!(trial.asks(&["agent"], VIEW), 403);
    // Taken back, it takes back what it let in.
    trial.files().write("gateway.toml", &gateway);
    trial.look();
    assert_eq!((trial.asks(&["agent"], VIEW), &trial.candidate()["tenants"]), (200, &json!([])));
    // Everything of it is on record, with what it would do.
    eventually("all is written", || {
        let text = std::fs::read_to_string(trial.files().path("decisions.ndjson")).unwrap_or_default();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let told: Vec<_> = lines.filter(|own| own["result"] == "candidate").collect();
        let with = |own: &&Value| own["tenants"] == json!(["acme"]) && own["diff"]["gains"] == 1;
        told.iter().any(|own| with(&own)) && told.last().is_some_and(|own| own["tenants"] == json!([]))
    });
}
