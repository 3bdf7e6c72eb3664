//! Tables in an operator's own words, and what `test` does beside running them: it filters, counts what was tried, watches,
//! and fails where nothing was run.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::root;

fn run(arguments: &[&str]) -> (i32, String, String) {
    let output: Output = Command::new(env!("CARGO_BIN_EXE_gatewarden"))
        .arg("test")
        .args(arguments)
        .env_remove("GATEWARDEN_CONFIG")
        .current_dir(root())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// A table of the desk's, in a place of its own.
fn table(place: &Path, text: &str) -> PathBuf {
    let path = place.join("people.toml");
    std::fs::write(&path, text).unwrap();
    path
}

const DESK: &str = r#"app = "agent-desk"
[who.ann]
roles = ["agent"]
[who.nobody]
anonymous = true
[ask]
list  = "GET /cim/customers"
state = "EMIT changeAgentState"
drop  = "DELETE /cim/customers/7"
[answers]
columns = ["ann", "nobody"]
list    = ["allow", "token-missing"]
state   = ["allow", "deny"]
drop    = "missing"
"#;

#[test]
fn answers_are_held_pair_by_pair() {
    let place = tempfile::tempdir().unwrap();
    let path = table(place.path(), DESK);
    let shown = path.to_str().unwrap();
    let (code, out, err) = run(&[shown]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("6 answers of 1 table checked: all obeyed"), "{out}");
    for (right, wrong, told) in [
        (
            "list    = [\"allow\"",
            "list    = [\"deny\"",
            "GET /cim/customers: expected deny, found allow (granted)",
        ),
        ("token-missing", "no-permission", "expected no-permission, found deny (token-missing)"),
        ("drop    = \"missing\"", "drop    = \"deny\"", "expected deny, found missing"),
        // What no table lists must be refused.
        ("list    = [\"allow\", \"token-missing\"]\n", "", "expected deny, found allow"),
        ("roles = [\"agent\"]", "roles = [\"admin\"]", "EMIT changeAgentState: expected allow, found deny"),
    ] {
        assert!(DESK.contains(right), "{right}");
        table(place.path(), &DESK.replacen(right, wrong, 1));
        let (code, out, err) = run(&[shown]);
        assert_eq!(code, 1, "{wrong}: {out}{err}");
        assert!(out.contains(told), "{told} not in\n{out}");
        assert!(out.contains(&format!("{shown}:")), "{out}");
    }
    let unchecked = DESK.replacen("list    = [\"allow\", \"token-missing\"]\n", "", 1);
    table(place.path(), &unchecked.replacen("[who.ann]", "unlisted = \"unchecked\"\n[who.ann]", 1));
    assert_eq!(run(&[shown]).0, 0);
}

#[test]
fn each_mistake_of_a_table_has_its_place() {
    let cases = [
        ("app = \"agent-desk\"", "app = \"agent-dsek\"", "agent-dsek", "did you mean `agent-desk`?"),
        ("roles = [\"agent\"]", "roles = [\"agnet\"]", "agnet", "did you mean `agent`?"),
        ("anonymous = true", "anonymus = true", "anonymus", "did you mean `anonymous`?"),
        (
            "\"EMIT changeAgentState\"",
            "\"changeAgentState\"",
            "changeAgentState\"",
            "`METHOD /path` or `EMIT event`",
        ),
        ("columns = [\"ann\"", "columns = [\"anne\"", "anne", "did you mean `ann`?"),
        ("list    = [", "lits    = [", "lits", "did you mean `list`?"),
        ("\"allow\", \"token", "\"alow\", \"token", "alow", "did you mean `allow`?"),
        ("[\"allow\", \"deny\"]", "[\"allow\"]", "[\"allow\"]", "1 answers for 2 columns"),
        ("[ask]\n", "[ask]\nwith = \"GET /x\"\n", "with", "can't be called `with`"),
        (
            "roles = [\"agent\"]",
            "roles = [\"agent\"]\nwith = { \"token.preferred-username\" = \"x\" }",
            "\"token.preferred-username",
            "did you mean `token.preferred_username`?",
        ),
        (
            "roles = [\"agent\"]",
            "roles = [\"agent\"]\nwith = { \"token.sub\" = 7 }",
            "7 }",
            "is an integer here, and string of the app",
        ),
        ("[who.ann]", "unlisted = \"alow\"\n[who.ann]", "alow", "\"deny\" or \"unchecked\""),
        ("anonymous = true", "time = \"noon\"", "noon", "2027-01-31T08:00:00Z"),
    ];
    let place = tempfile::tempdir().unwrap();
    for (right, wrong, token, told) in cases {
        let start = DESK.find(right).unwrap_or_else(|| panic!("no {right}"));
        let text = DESK.replacen(right, wrong, 1);
        let at = start + text[start..].find(token).unwrap();
        let line = text[..at].matches('\n').count() + 1;
        let column = text[..at].rsplit('\n').next().unwrap().chars().count() + 1;
        let path = table(place.path(), &text);
        let (code, out, err) = run(&[path.to_str().unwrap()]);
        assert_eq!(code, 3, "{wrong}: {out}{err}");
        let caret = format!("people.toml:{line}:{column}\n");
        assert!(err.contains(&caret) && err.contains(told), "{caret} or {told} not in\n{err}");
    }
}

#[test]
fn nothing_run_is_a_failure() {
    let place = tempfile::tempdir().unwrap();
    for arguments in [&["--filter", "role=nobody"][..], &["--filter", "app=agent-desk,file=calling"]] {
        let (code, out, err) = run(arguments);
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        assert!(err.contains("no test was run: no case is as the filter says"), "{err}");
    }
    let empty = table(place.path(), "app = \"admin\"\n");
    let (code, _, err) = run(&[empty.to_str().unwrap()]);
    assert!(code == 1 && err.contains("no test was run: the tables hold no case"), "{err}");
    let (code, _, err) = run(&["--filter", "rol=x"]);
    assert!(code == 2 && err.contains("did you mean `role`?"), "{err}");
}

#[test]
fn a_filter_leaves_the_rest_out() {
    let (code, out, err) = run(&["--filter", "role=agent,request=/cim/label", "--format", "json"]);
    assert_eq!(code, 0, "{err}");
    let some: Value = serde_json::from_str(&out).unwrap();
    let (_, out, _) = run(&["--format", "json"]);
    let all: Value = serde_json::from_str(&out).unwrap();
    assert!(some["tests"].as_u64().unwrap() > 3, "{some}");
    assert!(some["tests"].as_u64().unwrap() < all["tests"].as_u64().unwrap() / 10, "{some}");
    assert!(some["coverage"].is_null(), "of a part nothing is counted: {some}");
}

#[test]
fn what_no_case_tries_is_told() {
    let place = tempfile::tempdir().unwrap();
    let path = table(place.path(), DESK);
    let shown = path.to_str().unwrap();
    let (code, out, _) = run(&[shown, "--uncovered"]);
    assert_eq!(code, 0);
    assert!(!out.contains("agent state-change#view"), "it was tried:\n{out}");
    for untried in [
        "untried  grant    agent-desk: supervisor supervisor-dashboard#view  rules/agent-desk.toml:",
        "untried  require  calling: login refuses  rules/calling.toml:",
        "untried  narrow   calling: ours on GET /calling/calls  rules/calling.toml:",
        "untried  filter   connect: seen on GET /connect/t/{tenant}/apps",
        "untried  body     connect: POST /connect/t/{tenant}/members",
    ] {
        assert!(out.contains(untried), "{untried} not in\n{out}");
    }
    let (code, _, err) = run(&[shown, "--fail-under", "50%"]);
    assert!(code == 1 && err.contains("% was tried, and 50 % must be"), "{err}");
    let (code, out, err) = run(&["--fail-under", "95"]);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(run(&["--fail-under", "101"]).0, 2);
}

/// One case for each test, with its place; an attribute holds whatever a name holds.
#[test]
fn the_report_for_pipelines_names_every_test() {
    let place = tempfile::tempdir().unwrap();
    let text =
        DESK.replace("[who.ann]", "[who.\"<ann & \\u0007>\"]").replace("[\"ann\"", "[\"<ann & \\u0007>\"");
    let path = table(place.path(), &text.replace("token-missing", "missing"));
    let (code, out, _) = run(&["--format", "junit", path.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(out.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites"), "{out}");
    assert_eq!(out.matches("<testcase ").count(), 6, "{out}");
    assert_eq!(out.matches("<failure ").count(), 1, "{out}");
    assert!(out.contains("tests=\"6\" failures=\"1\""), "{out}");
    assert!(out.contains("name=\"&lt;ann &amp; \u{fffd}&gt;, list: GET /cim/customers\""), "{out}");
    assert!(out.contains("people.toml\" line=\"12\">"), "{out}");
}

/// Kills what it watches when it is dropped.
struct Watching(std::process::Child);

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn watching_runs_again_when_a_table_changes() {
    let place = tempfile::tempdir().unwrap();
    let (path, told) = (table(place.path(), DESK), place.path().join("out"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_gatewarden"));
    child
        .args(["test", "--watch", path.to_str().unwrap()])
        .env_remove("GATEWARDEN_CONFIG")
        .current_dir(root());
    let out = std::fs::File::create(&told).unwrap();
    let _child = Watching(child.stdout(out).stderr(Stdio::null()).spawn().unwrap());
    let until = |words: &str| {
        let end = Instant::now() + Duration::from_secs(30);
        while !std::fs::read_to_string(&told).unwrap().contains(words) {
            assert!(Instant::now() < end, "no {words} in\n{}", std::fs::read_to_string(&told).unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    until("6 answers of 1 table checked: all obeyed");
    table(place.path(), &DESK.replacen("\"allow\"", "\"deny\"", 1));
    until("6 answers of 1 table checked: 1 not obeyed");
    assert!(!std::fs::read_to_string(&told).unwrap().contains('\u{1b}'), "a file isn't cleared");
}

#[test]
fn the_table_that_the_readme_shows_is_obeyed() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let start = readme.find("# rules/tests/desk.toml").unwrap();
    let text = readme[start..].split("```").next().unwrap();
    let place = tempfile::tempdir().unwrap();
    let (code, out, err) = run(&[table(place.path(), text).to_str().unwrap()]);
    assert!(code == 0 && out.contains("4 answers of 1 table checked: all obeyed"), "{out}{err}");
}
