//! What a change does, as an operator asks: two directories, a page for a comment, exit codes.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{FREE_PORTS, Files, Process, RULES};

/// The shipped configuration in a directory of its own, and beside it a changed one.
struct Sets {
    _place: tempfile::TempDir,
    old: PathBuf,
    new: PathBuf,
}

fn copy(into: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::create_dir_all(into.join("rules")).unwrap();
    std::fs::copy(root.join("gateway.toml"), into.join("gateway.toml")).unwrap();
    for entry in std::fs::read_dir(root.join("rules")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, into.join("rules").join(path.file_name().unwrap())).unwrap();
        }
    }
}

impl Sets {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let (old, new) = (place.path().join("old"), place.path().join("new"));
        copy(&old);
        copy(&new);
        Self { _place: place, old, new }
    }

    /// Changes a file of the new set.
    #[track_caller]
    fn change(&self, file: &str, from: &str, to: &str) {
        let path = self.new.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no {from:?}");
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
    }

    fn diff(&self, more: &[&str]) -> (i32, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_gatewarden"))
            .args(["diff", self.old.to_str().unwrap(), self.new.to_str().unwrap()])
            .args(more)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), text)
    }

    #[track_caller]
    fn says(&self, more: &[&str], code: i32, words: &[&str]) -> String {
        let (exit, text) = self.diff(more);
        assert_eq!(exit, code, "{text}");
        for word in words {
            assert!(text.contains(word), "no {word:?} in\n{text}");
        }
        assert!(!text.contains("not confirmed"), "{text}");
        text
    }
}

#[test]
fn another_text_of_the_same_meaning_is_no_difference() {
    let sets = Sets::new();
    sets.change("rules/calling.toml", "app    = ", "# moved down\n\napp    = ");
    sets.change(
        "rules/calling.toml",
        "may-call     = { any = [\"by-keyfax\", \"by-portal\"] }",
        "may-call     = { not = { all = [{ not = \"by-portal\" }, { not = \"by-keyfax\" }] } }",
    );
    sets.says(&["--fail-on", "any"], 0, &["nothing is different"]);
}

#[test]
fn a_gain_is_told_in_the_words_of_the_file() {
    let sets = Sets::new();
    sets.change(
        "rules/calling.toml",
        "[\"create-call if may-call\", \"about\"]",
        "[\"create-call\", \"about\"]",
    );
    sets.change(
        "rules/calling.toml",
        "\"Customer Users POST /calls\"                   = \"if caller, may-call\"",
        "",
    );
    let words = [
        "Customer Users gains create-call#use (POST /calling/calls), unless token.client in tenant.keyfax-clients",
        "was refused (not-permitted), is allowed",
        "calling.toml:133",
        "it widens: 1 gained, 0 lost",
    ];
    sets.says(&["--fail-on", "widen"], 1, &words);
    sets.says(&["--fail-on", "narrow"], 0, &[]);
    sets.says(&["--format", "md"], 0, &["| calling | Customer Users | gains |"]);
    let (_, json) = sets.diff(&["--format", "json"]);
    let said: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(said["schema"], "gatewarden.diff/1");
    assert_eq!((&said["widens"], &said["access"][0]["confirmed"]), (&true.into(), &true.into()), "{json}");
}

#[test]
fn a_mistake_is_told_with_the_side_that_it_is_on() {
    let sets = Sets::new();
    sets.change("rules/calling.toml", "[\"create-call if may-call\"", "[\"create-call if may-cal\"");
    let (exit, text) = sets.diff(&[]);
    assert_eq!(exit, 3, "{text}");
    assert!(text.contains("GW2001") && text.contains("new`"), "{text}");
}

/// A verb that asks the running gateway, which hears operators at a port that its own file doesn't tell.
fn asked(process: &Process, arguments: &[&str]) -> (i32, String) {
    let text = std::fs::read_to_string(process.files.path("gateway.toml")).unwrap();
    let told = text.replace(
        "admin.address = \"127.0.0.1:0\"",
        &format!("admin.address = \"{}\"", process.address("operators")),
    );
    process.files.write("asked.toml", &told);
    let config = process.files.path("asked.toml");
    let output = Command::new(env!("CARGO_BIN_EXE_gatewarden"))
        .args(arguments)
        .args(["--config", config.to_str().unwrap()])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), text)
}

#[test]
fn a_running_gateway_is_asked_compared_and_reloaded() {
    let process = Process::start(Files::new("127.0.0.1:1".parse().unwrap(), FREE_PORTS));
    let has = |arguments: &[&str], code: i32, words: &[&str]| {
        let (exit, text) = asked(&process, arguments);
        assert_eq!(exit, code, "{arguments:?}: {text}");
        words.iter().for_each(|word| assert!(text.contains(word), "{arguments:?}: no {word:?} in\n{text}"));
    };
    let disk = process.files.path("gateway.toml");
    let disk = disk.to_str().unwrap();
    has(&["status"], 0, &["live      revision 1"]);
    has(&["diff", "live", disk], 0, &["live (revision 1)", "nothing is different"]);
    process.files.write(
        "rules/desk.toml",
        &RULES.replace("\"GET /customers/{id}\"", "\"GET /customers/{id}\", \"DELETE /customers/{id}\""),
    );
    // What is live stays what it was, whatever stands on disk; unless the poll was faster than this test.
    has(&["reload"], 0, &["revision 2"]);
    process.until("what the change does");
    has(&["status"], 0, &["revision 2", "did       it widens: 1 gained, 0 lost"]);
    process.files.write("rules/desk.toml", &RULES.replace("view = [\"customers\"]", "view = [\"customrs\"]"));
    has(&["reload"], 3, &["GW2002", "did you mean `customers`?", "nothing was applied; revision 2"]);
    has(&["status"], 1, &["rejected", "1 mistake", "GW2002"]);
}
