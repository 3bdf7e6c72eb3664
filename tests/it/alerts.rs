//! The shipped alerting rules: they fire when they should, and read only what is exported.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

const RULES: &str = include_str!("../../deploy/prometheus/gatewarden.rules.yml");
const TESTS: &str = include_str!("../../deploy/prometheus/gatewarden.test.yml");

/// The files where metrics are named.
fn metrics() -> String {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/telemetry");
    let files = std::fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|path| !path.ends_with("tests.rs"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect()
}

fn metric_names(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("gatewarden_"))
        .collect()
}

#[test]
fn every_metric_that_an_alert_reads_is_exported() {
    let metrics = metrics();
    let exported = metric_names(&metrics);
    let read = metric_names(RULES);
    assert!(read.len() > 5, "{read:?}");
    let missing: Vec<_> = read.difference(&exported).collect();
    assert!(missing.is_empty(), "not exported: {missing:?}");
}

#[test]
fn every_alert_has_a_test() {
    for line in RULES.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(TESTS.contains(&format!("alertname: {line}\n")), "{line} has no test");
    }
}

/// Runs only where promtool is; CI installs it.
#[test]
fn promtool_accepts_the_rules_and_their_tests() {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus");
    for arguments in [["check", "rules", "gatewarden.rules.yml"], ["test", "rules", "gatewarden.test.yml"]] {
        match Command::new("promtool").args(arguments).current_dir(&place).output() {
            Ok(done) => assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                println!("skipped: promtool isn't installed");
            }
            Err(error) => panic!("promtool: {error}"),
        }
    }
}
