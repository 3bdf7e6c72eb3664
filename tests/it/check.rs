//! `gatewarden check` as an operator and as machines see it: consequences, formats, what `--fix` dares.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

struct Set {
    place: tempfile::TempDir,
}

struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Set {
    /// A copy of the shipped files.
    fn new() -> Self {
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
        let set = Self { place };
        // Nobody answers there, whatever else runs on this machine.
        set.edit("gateway.toml", "address = \"127.0.0.1:9901\"", "address = \"127.0.0.1:1\"");
        set
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn edit(&self, name: &str, from: &str, to: &str) {
        let text = self.text(name);
        assert!(text.contains(from), "{name} has no {from}");
        fs::write(self.path(name), text.replacen(from, to, 1)).unwrap();
    }

    fn check(&self, arguments: &[&str]) -> Ran {
        let output = Command::new(env!("CARGO_BIN_EXE_gatewarden"))
            .arg("check")
            .args(arguments)
            .env_remove("GATEWARDEN_CONFIG")
            .current_dir(self.place.path())
            .output()
            .unwrap();
        Ran {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

#[test]
fn a_mistake_comes_with_its_consequence_and_its_page() {
    let set = Set::new();
    set.edit("rules/agent-desk.toml", "\"state-change\", \"subscribed", "\"state-chnge\", \"subscribed");
    let ran = set.check(&[]);
    assert_eq!(ran.code, 3);
    for words in [
        "1 mistake in 6 files; nothing was applied, and a running gateway keeps what it has",
        "`gatewarden explain GW2002` says more",
    ] {
        assert!(ran.err.contains(words), "{words} not in\n{}", ran.err);
    }
    assert_eq!(ran.out, "");
}

#[test]
fn warnings_are_mistakes_where_they_are_denied() {
    let set = Set::new();
    set.edit("rules/calling.toml", "home         = \"token.tid in tenant.ids\"", "home         = \"token.tid in tenant.ids\"\nnight        = { all = [\"client.time >= '20:00'\", \"client.time < '06:00'\"] }");
    let ran = set.check(&[]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("warning[GW3013]: condition `night` never holds"), "{}", ran.err);
    assert!(ran.err.contains("note[GW3015]: nothing rests on condition `night`"), "{}", ran.err);
    let ran = set.check(&["--deny", "warnings"]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(ran.err.contains("1 remark that `--deny` makes a mistake"), "{}", ran.err);
}

#[test]
fn what_is_for_reading_once_is_told_when_it_is_asked_for() {
    let set = Set::new();
    let ran = set.check(&[]);
    assert!(ran.err.contains("remarks for reading once"), "{}", ran.err);
    assert!(!ran.err.contains("GW4011"), "{}", ran.err);
    let ran = set.check(&["--all"]);
    assert!(ran.err.contains("note[GW4011]: no role is needed for"), "{}", ran.err);
    assert!(ran.err.matches("note[GW").count() > 20, "{}", ran.err);
}

#[test]
fn sarif_has_rules_with_help_and_results_with_regions() {
    let set = Set::new();
    set.edit("rules/agent-desk.toml", "\"state-change\", \"subscribed", "\"state-chnge\", \"subscribed");
    let ran = set.check(&["--format", "sarif"]);
    assert_eq!(ran.code, 3);
    let sarif: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    let run = &sarif["runs"][0];
    let results = run["results"].as_array().unwrap();
    let result = results.iter().find(|own| own["level"] == "error").unwrap();
    let rules = &run["tool"]["driver"]["rules"];
    assert_eq!((&result["ruleId"], &result["level"]), (&"GW2002".into(), &"error".into()));
    let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
    assert_eq!(
        (&rule["id"], &rule["shortDescription"]["text"]),
        (&"GW2002".into(), &"unknown resource".into())
    );
    assert!(rule["help"]["markdown"].as_str().unwrap().contains("```toml"));
    let at = &result["locations"][0]["physicalLocation"];
    assert_eq!(at["artifactLocation"]["uri"], "rules/agent-desk.toml");
    let line =
        set.text("rules/agent-desk.toml").lines().position(|line| line.contains("state-chnge")).unwrap();
    let text = set.text("rules/agent-desk.toml");
    let column = text.lines().nth(line).unwrap().find("state-chnge").unwrap();
    let region = &at["region"];
    assert_eq!(region["startLine"], line + 1);
    assert_eq!((&region["startColumn"], &region["endColumn"]), (&(column + 1).into(), &(column + 12).into()));
    // A result without a place has one all the same: code scanning takes no other.
    let nowhere = Set::new();
    fs::remove_dir_all(nowhere.path("rules")).unwrap();
    let ran = nowhere.check(&["--format", "sarif"]);
    let sarif: Value = serde_json::from_str(&ran.out).unwrap();
    let at = &sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
    assert_eq!((ran.code, &at["region"]["startLine"]), (4, &1.into()), "{sarif:#}");
}

#[test]
fn a_workflow_and_a_test_report_are_told_the_same() {
    let set = Set::new();
    set.edit("rules/agent-desk.toml", "\"state-change\", \"subscribed", "\"state-chnge\", \"subscribed");
    let ran = set.check(&["--format", "github"]);
    let line = ran.out.lines().find(|line| line.starts_with("::error ")).unwrap();
    assert!(line.starts_with("::error file=rules/agent-desk.toml,line="), "{line}");
    assert!(line.contains(",title=GW2002::unknown resource `state-chnge`"), "{line}");
    let ran = set.check(&["--format", "junit"]);
    for words in [
        "<testsuite name=\"gatewarden check\" tests=\"6\" failures=\"1\" errors=\"0\">",
        "<testcase classname=\"gatewarden.check\" name=\"rules/agent-desk.toml\">",
        "<failure type=\"GW2002\" message=\"unknown resource `state-chnge`\">",
    ] {
        assert!(ran.out.contains(words), "{words} not in\n{}", ran.out);
    }
}

#[test]
fn certificates_and_secrets_are_looked_at_where_they_are_named() {
    let set = Set::new();
    let tls =
        "address = \"127.0.0.1:8080\"\ntls = { certificate = \"certs/no.pem\", key = \"certs/no.key\" }";
    set.edit("gateway.toml", "address = \"127.0.0.1:8080\"", tls);
    let calling =
        "strip   = \"/calling\"\ncredential = { file = \"secrets/none\" }\ntls = { ca = \"certs/ca.pem\" }";
    set.edit("gateway.toml", "strip   = \"/calling\"", calling);
    let calling = "servers = [\"https://127.0.0.1:7001\", \"https://127.0.0.1:7002\"]";
    set.edit("gateway.toml", "servers = [\"http://127.0.0.1:7001\", \"http://127.0.0.1:7002\"]", calling);
    let ran = set.check(&["--format", "json"]);
    let said: Value = serde_json::from_str(&ran.out).unwrap();
    let text = set.text("gateway.toml");
    let under = |own: &Value| -> String {
        let at = |key: &str| usize::try_from(own["at"][key].as_u64().unwrap()).unwrap();
        text[at("start")..at("end")].trim_matches('"').to_owned()
    };
    let mut places: Vec<String> = said["diagnostics"].as_array().unwrap().iter().map(under).collect();
    places.sort();
    assert_eq!(places, ["certs/ca.pem", "certs/no.pem", "secrets/none"], "{said:#}");
    assert_eq!(ran.code, 4, "what can't be read is the machine's matter");
    assert_eq!(set.check(&["--offline"]).code, 0);
}

#[test]
fn only_what_cannot_let_anyone_do_more_is_mended() {
    let set = Set::new();
    set.edit("rules/agent-desk.toml", "\"agent GET /cim/customers\"", "\"agnet GET /cim/customers\"");
    let before = set.text("rules/agent-desk.toml");
    // The mistake is all that keeps the rest of the set back, whatever that gives.
    let ran = set.check(&["--fix"]);
    assert_eq!(ran.code, 3, "{}\n{}", ran.out, ran.err);
    assert!(ran.err.contains("no gateway runs") && ran.err.contains("+\"agent GET"), "{}", ran.err);
    assert_eq!(set.text("rules/agent-desk.toml"), before);

    // A grant is the operator's to make; beside it, what only refuses may be mended.
    set.edit("rules/agent-desk.toml", "\"state-change\", \"subscribed", "\"state-chnge\", \"subscribed");
    let before = set.text("rules/agent-desk.toml");
    let ran = set.check(&["--fix", "--dry-run"]);
    assert_eq!(ran.code, 3, "{}\n{}", ran.out, ran.err);
    assert!(ran.out.contains("-") && ran.out.contains("\"agent GET"), "{}", ran.out);
    assert!(ran.err.contains("1 edit would be written"), "{}", ran.err);
    assert_eq!(set.text("rules/agent-desk.toml"), before);
    let ran = set.check(&["--fix"]);
    assert!(ran.code == 3 && ran.err.contains("1 edit written"), "{}", ran.err);
    assert!(ran.err.contains("not mended: rules/agent-desk.toml:"), "{}", ran.err);
    assert_eq!(set.text("rules/agent-desk.toml"), before.replacen("agnet GET", "agent GET", 1));
}

#[test]
fn a_code_is_explained() {
    let ran =
        |code: &str| Command::new(env!("CARGO_BIN_EXE_gatewarden")).args(["explain", code]).output().unwrap();
    let output = ran("GW2002");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.starts_with("GW2002: unknown resource\n"), "{text}");
    assert!(text.contains("    view = [\"oders\"]"), "{text}");
    assert_eq!(ran("GW2999").status.code(), Some(2));
    let text = String::from_utf8(ran("GW6005").stdout).unwrap();
    assert!(text.starts_with("GW6005: A kind of policy that has no counterpart.\n"), "{text}");
}
