//! Where a candidate comes from, and what is told of it.

use std::fs;

use serde_json::json;

use super::{REMOTE, RULES, TENANTS, Trial, turned};
use crate::support::eventually;

const VIEW: &str = "GET /desk/customers/7";

#[test]
fn a_mistake_in_it_is_told_and_touches_nothing_that_is_live() {
    let trial = Trial::start("", |_| {});
    trial.try_out("desk.toml", &RULES.replace("view = [\"customers\"]", "view = [\"custmers\"]"));
    let rules = trial.look()["rules"].clone();
    assert_eq!((&rules["state"], &rules["candidate"]["state"]), (&"live".into(), &"rejected".into()));
    let told = rules["candidate"]["last_error"]["rendered"].as_str().unwrap();
    assert!(told.contains("did you mean `customers`?") && told.contains("rules-next/desk.toml"), "{told}");
    assert_eq!((trial.asks(&["agent"], VIEW), &rules["last_error"]), (200, &json!(null)));
    trial.counts("gatewarden_candidate{state=\"rejected\"} 1");
    trial.counts("gatewarden_config_last_reload_successful 1");
    assert!(trial.process.log().contains("candidate rules rejected"), "{}", trial.process.log());
    let (code, told) = trial.verb(&["candidate"]);
    assert!(
        code == 3 && told.contains("did you mean `customers`?") && told.contains("isn't concerned"),
        "{told}"
    );
    // Mended, broken, taken away.
    trial.try_out("desk.toml", &turned());
    let rules = trial.look()["rules"].clone();
    assert_eq!((&rules["state"], &rules["candidate"]["state"]), (&"candidate".into(), &"judged".into()));
    assert_eq!(rules["candidate"]["last_error"], json!(null));
    trial.try_out("desk.toml", "nonsense");
    assert_eq!(trial.candidate()["state"], "rejected");
    fs::remove_dir_all(trial.files().path("rules-next")).unwrap();
    assert_eq!(trial.look()["rules"]["candidate"]["state"], "none");
    trial.counts("gatewarden_candidate{state=\"none\"} 1");
}

#[test]
fn it_is_found_without_being_told_of() {
    let trial = Trial::start("", |_| {});
    fs::create_dir(trial.files().path("rules-next")).unwrap();
    trial.files().write("rules-next/desk.toml", &turned());
    eventually("the candidate is found", || trial.candidate()["state"] == "judged");
    trial.files().write("rules-next/desk.toml", RULES);
    eventually("it is what is live", || trial.candidate()["state"] == "same");
}

#[test]
fn it_stands_on_top_of_what_is_live() {
    let trial = Trial::start("[candidate]\nrules = \"trial\"\n", |files| {
        fs::create_dir(files.path("trial")).unwrap();
        // One file alone: the tenants are the live set's.
        files.write("trial/desk.toml", &turned());
        files.write("trial/notes.md", "no rules");
    });
    eventually("the candidate is found", || trial.candidate()["state"] == "judged");
    let first = trial.candidate();
    assert_eq!(first["files"].as_array().unwrap().len(), 1, "{first:#}");
    // The live set changes: the candidate is compiled anew on top of it, and counts from the start.
    assert_eq!(trial.asks(&["agent"], VIEW), 200);
    trial.cell("allow", "deny", 1);
    trial.files().write("rules/tenants.toml", &TENANTS.replace("[tenant.bodgit]", "[tenant.other]"));
    trial.look();
    let second = trial.candidate();
    assert_eq!((&second["state"], &second["over"]), (&"judged".into(), &2.into()));
    assert_ne!(first["hash"], second["hash"]);
    assert_eq!(second["decisions"]["changes"], 0);
    // It may need what the live set no longer has.
    trial.files().write("rules/tenants.toml", "[tenant.acme]\nids = [\"1\"]\napps = [\"dsk\"]\n");
    trial.look();
    assert_eq!(trial.candidate()["state"], "judged", "what was refused is nobody's ground");
}

#[test]
fn it_can_be_sent_and_taken_back() {
    let trial = Trial::start(REMOTE, |_| {});
    let sent = json!({ "files": { "desk.toml": turned() } });
    let answer = trial.sends("PUT /candidate", &sent);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let state = trial.candidate();
    assert_eq!((&state["state"], &state["from"]), (&"judged".into(), &"sent".into()));
    assert_eq!(trial.asks(&["agent"], VIEW), 200);
    trial.cell("allow", "deny", 1);
    // It counts before what stands in the directory.
    trial.try_out("desk.toml", RULES);
    assert_eq!(trial.candidate()["from"], "sent");
    let broken = trial.sends("PUT /candidate", &json!({ "files": { "desk.toml": "nonsense" } }));
    assert_eq!(broken.status, 422);
    assert!(broken.text().contains("candidate/desk.toml"), "{}", broken.text());
    assert_eq!(trial.sends("DELETE /candidate", &json!({})).status, 200);
    let state = trial.candidate();
    assert_eq!((&state["state"], &state["from"]), (&"same".into(), &"directory".into()));
}

#[test]
fn what_is_no_candidate_is_refused() {
    let trial = Trial::start(REMOTE, |_| {});
    for document in [
        json!({}),
        json!([]),
        json!({ "files": {} }),
        json!({ "files": { "../desk.toml": "" } }),
        json!({ "files": { "gateway.txt": "" } }),
        json!({ "files": { "desk.toml": 1 } }),
        json!({ "files": { "desk.toml": "" }, "more": 1 }),
    ] {
        assert_eq!(trial.sends("PUT /candidate", &document).status, 400, "{document}");
    }
    assert_eq!(trial.candidate()["state"], "none");
    let page = trial.process.admin("DELETE /candidate", &["Origin: https://evil.example"]);
    assert_eq!(page.status, 403);
    let untyped = trial.process.admin("PUT /candidate", &["Content-Length: 0"]);
    assert_eq!(untyped.status, 415);
    assert_eq!(trial.process.admin("POST /candidate", &[]).status, 405);
    assert_eq!(trial.process.admin("GET /candidates", &[]).status, 404);
    let foreign = trial.process.admin("GET /candidate", &["Host: rebound.example"]);
    assert_eq!(foreign.status, 403);
}

#[test]
fn a_mistake_in_where_it_stands_is_told() {
    for (line, told) in [
        ("rules = \"rules\"", "another directory than that of the live rules"),
        ("rules = \"\"", "another directory"),
        ("tenants = \"acme\"", "expected an array"),
        ("remote = 1", "expected true or false"),
        ("ruls = \"x\"", "did you mean `rules`?"),
    ] {
        let files = crate::process::Files::new("127.0.0.1:1".parse().unwrap(), crate::process::FREE_PORTS);
        let gateway = fs::read_to_string(files.path("gateway.toml")).unwrap();
        files.write("gateway.toml", &format!("{gateway}[candidate]\n{line}\n"));
        let (code, _, text) = files.ended(&["--check-only"]);
        assert!(code == 3 && text.contains(told), "{line}: {text}");
    }
}
