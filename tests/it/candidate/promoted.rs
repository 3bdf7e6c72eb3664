//! How a candidate becomes the live rules, or doesn't.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::{REMOTE, RULES, TENANTS, Trial, turned};
use crate::support::Client;

const VIEW: &str = "GET /desk/customers/7";

#[test]
fn it_becomes_what_is_live_under_traffic() {
    let trial = Trial::start("", |_| {});
    trial.try_out("desk.toml", &turned());
    trial.try_out("tenants.toml", &format!("{TENANTS}[tenant.third]\nids = [\"3\"]\napps = [\"desk\"]\n"));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let (token, boss) = (trial.token("1", &["agent"]), trial.token("1", &["boss"]));
            let mut client = Client::connect(trial.process.address("callers"));
            let mut seen = Vec::new();
            while !done.load(Ordering::Relaxed) {
                assert_eq!(client.request(VIEW, &[&boss]).status, 200);
                seen.push(client.request(VIEW, &[&token]).status);
            }
            seen
        });
        let (code, told) = trial.verb(&["promote"]);
        assert_eq!(code, 0, "{told}");
        assert!(told.contains("desk.toml is the candidate's") && told.contains(": revision 2 "), "{told}");
        done.store(true, Ordering::Relaxed);
        let seen = asking.join().unwrap();
        // Allowed until the moment, refused from then on.
        assert!(seen.is_sorted() && seen.iter().all(|status| matches!(status, 200 | 403)), "{seen:?}");
    });
    assert_eq!(trial.asks(&["agent"], VIEW), 403);
    assert_eq!(trial.rule(), turned());
    assert_eq!(fs::read_dir(trial.files().path("rules-next")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(trial.files().path("rules")).unwrap().count(), 2, "nothing is left over");
    assert_eq!(trial.candidate()["state"], "none");
    assert_eq!(trial.verb(&["promote"]).0, 1, "there is none any more");
}

#[test]
fn one_that_was_broken_off_is_told_until_it_is_ended() {
    let trial = Trial::start("", |files| {
        files.write("rules/.desk.toml.promoted", &turned());
        files.write("rules/.promoting", "desk.toml\n");
        let list = fs::File::options().write(true).open(files.path("rules/.promoting")).unwrap();
        list.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(60)).unwrap();
    });
    assert_eq!((trial.asks(&["agent"], VIEW), trial.rule()), (403, RULES.to_owned()));
    assert_eq!(trial.look()["rules"]["promoting"], json!(["desk.toml"]));
    assert!(trial.process.log().contains("a promotion was broken off"), "{}", trial.process.log());
    for verb in ["status", "check"] {
        let (_, told) = trial.verb(&[verb]);
        assert!(told.contains("`gatewarden promote` ends it"), "{verb}: {told}");
    }
    let (code, told) = trial.verb(&["promote"]);
    assert!(code == 0 && told.contains("broken off, and is ended now"), "{told}");
    assert_eq!((trial.rule(), &trial.look()["rules"]["promoting"]), (turned(), &json!([])));
}

#[test]
fn one_file_alone_can_be_promoted() {
    let trial = Trial::start("", |_| {});
    trial.try_out("desk.toml", &turned());
    trial.try_out("tenants.toml", &TENANTS.replace("bodgit", "badger"));
    assert_eq!(trial.verb(&["promote", "--file", "dusk.toml"]).0, 2);
    let (code, told) = trial.verb(&["promote", "--file", "desk.toml"]);
    assert_eq!(code, 0, "{told}");
    assert_eq!(trial.rule(), turned());
    let state = trial.candidate();
    assert_eq!((&state["state"], state["files"].as_array().unwrap().len()), (&"judged".into(), 1));
}

#[test]
fn what_does_not_compile_is_not_promoted() {
    let trial = Trial::start("", |_| {});
    trial.try_out("desk.toml", "app = 1\n");
    let (code, told) = trial.verb(&["promote"]);
    assert!(code == 3 && told.contains("nothing was promoted"), "{told}");
    assert_eq!(trial.rule(), RULES);
}

#[test]
fn what_was_sent_is_written_down() {
    let trial = Trial::start(REMOTE, |_| {});
    let files = json!({ "desk.toml": turned(), "tenants.toml": TENANTS.replace("bodgit", "badger") });
    assert_eq!(trial.sends("PUT /candidate", &json!({ "files": files })).status, 200);
    let hash = |trial: &Trial| trial.candidate()["hash"].as_str().unwrap()[..8].to_owned();
    // Nobody promotes by mistake what somebody else sent.
    let (code, told) = trial.verb(&["promote"]);
    assert!(code == 1 && told.contains(&format!("--sent {}", hash(&trial))), "{told}");
    let (code, told) = trial.verb(&["promote", "--sent", "00000000"]);
    assert!(code == 1 && told.contains("look at it first"), "{told}");
    trial.try_out("desk.toml", RULES);
    let (code, told) = trial.verb(&["promote", "--sent", &hash(&trial)]);
    assert!(code == 1 && told.contains("holds files too"), "{told}");
    assert_eq!(trial.rule(), RULES);
    fs::remove_dir_all(trial.files().path("rules-next")).unwrap();
    let (code, told) = trial.verb(&["promote", "--sent", &hash(&trial), "--file", "desk.toml"]);
    assert_eq!(code, 0, "{told}");
    assert_eq!((trial.rule(), trial.asks(&["agent"], VIEW)), (turned(), 403));
    let state = trial.candidate();
    assert_eq!((&state["from"], state["files"].as_array().unwrap().len()), (&"sent".into(), 1), "{state:#}");
    assert_eq!(trial.verb(&["promote", "--sent", &hash(&trial)]).0, 0);
    assert_eq!(trial.candidate()["state"], "none");
    assert_eq!(trial.verb(&["promote", "--sent", "00000000"]).0, 1, "nothing is sent any more");
}

#[test]
fn a_directory_that_cannot_be_written_is_told_and_stays() {
    let trial = Trial::start("", |_| {});
    trial.try_out("desk.toml", &turned());
    let rules = trial.files().path("rules");
    fs::set_permissions(&rules, fs::Permissions::from_mode(0o555)).unwrap();
    let is_bound = fs::write(rules.join("probe"), "").is_err();
    let (code, told) = trial.verb(&["promote"]);
    fs::set_permissions(&rules, fs::Permissions::from_mode(0o755)).unwrap();
    // Nothing is read-only to root.
    if is_bound {
        assert!(code == 4 && told.contains("can't be changed, and nothing was"), "{told}");
        assert_eq!(trial.rule(), RULES);
    }
}

#[test]
fn a_discarded_one_is_read_no_more_and_not_lost() {
    let trial = Trial::start(REMOTE, |_| {});
    assert_eq!(trial.verb(&["discard"]).0, 1);
    trial.try_out("desk.toml", &turned());
    let (code, told) = trial.verb(&["discard"]);
    assert!(code == 0 && told.contains("desk.toml.discarded"), "{told}");
    assert_eq!(trial.candidate()["state"], "none");
    let kept = trial.files().path("rules-next/desk.toml.discarded");
    assert_eq!(fs::read_to_string(&kept).unwrap(), turned());
    trial.try_out("desk.toml", RULES);
    let (code, told) = trial.verb(&["discard"]);
    assert!(code == 0 && told.contains("desk.toml.discarded.2"), "{told}");
    assert_eq!(fs::read_to_string(&kept).unwrap(), turned(), "the older one stays");
    assert_eq!(trial.sends("PUT /candidate", &json!({ "files": { "desk.toml": turned() } })).status, 200);
    let (code, told) = trial.verb(&["discard"]);
    assert!(code == 0 && told.contains("discarded"), "{told}");
    assert_eq!((trial.candidate()["state"].clone(), trial.rule()), ("none".into(), RULES.to_owned()));
}

#[test]
fn the_verb_shows_what_would_change() {
    let trial = Trial::start("", |_| {});
    assert_eq!(trial.verb(&["candidate"]), (1, "there is no candidate\n".to_owned()));
    trial.try_out("desk.toml", &turned());
    let (code, told) = trial.verb(&["candidate"]);
    assert!(code == 0 && told.contains("no decision was compared yet"), "{told}");
    trial.asks(&["agent"], VIEW);
    trial.asks(&["agent"], "PUT /desk/customers/7");
    trial.cell("allow", "deny", 1);
    trial.cell("deny", "allow", 1);
    let (code, told) = trial.verb(&["candidate"]);
    assert_eq!(code, 0);
    for part in [
        "2 requests would change",
        "allow -> deny  desk GET /desk/customers/{id}  as agent",
        "deny -> allow  desk PUT /desk/customers/{id}  as agent",
        "it answers nobody",
    ] {
        assert!(told.contains(part), "{part} not in\n{told}");
    }
    let (code, told) = trial.verb(&["candidate", "--format", "json"]);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, &told["schema"]), (0, &"gatewarden.candidate/1".into()));
}

#[test]
fn what_it_changes_is_shown_and_may_stand_against_it() {
    let trial = Trial::start("", |_| {});
    trial.try_out("desk.toml", &turned());
    let (code, told) = trial.verb(&["promote", "--fail-on", "widen"]);
    assert!(code == 1 && told.contains("nothing was promoted"), "{told}");
    assert!(told.contains("gains") && told.contains("PUT /desk/customers/{id}"), "{told}");
    assert_eq!(trial.rule(), RULES);
    let (code, told) = trial.verb(&["diff", "live", "candidate"]);
    assert!(code == 0 && told.contains("candidate on top of live (revision 1)"), "{told}");
    let (code, told) = trial.verb(&["candidate"]);
    assert!(code == 0 && told.contains("1 gained, 1 lost"), "{told}");
    // Nobody may do more by this one.
    trial.try_out("desk.toml", &RULES.replace("[role.agent]\nview = [\"customers\"]\n", ""));
    let (code, told) = trial.verb(&["promote", "--fail-on", "widen"]);
    assert!(code == 0 && told.contains("loses"), "{told}");
    assert_eq!(trial.verb(&["diff", "live", "candidate"]).0, 4, "there is none any more");
}

#[test]
fn a_stranger_at_the_gateways_port_is_not_taken_for_it() {
    let trial = Trial::start("", |_| {});
    trial.try_out("desk.toml", &turned());
    let text = fs::read_to_string(trial.files().path("gateway.toml")).unwrap();
    let stranger = format!("admin.address = \"{}\"", trial._upstream.address);
    trial.files().write("verbs.toml", &text.replace("admin.address = \"127.0.0.1:0\"", &stranger));
    for verb in [&["promote"][..], &["reload"], &["status"], &["candidate"], &["canary", "--tenant", "acme"]]
    {
        let (code, told) = trial.verb(verb);
        assert!(code == 4 && told.contains("is no gateway"), "{verb:?} {code}: {told}");
    }
    assert_eq!(trial.rule(), RULES, "nothing was moved");
}
