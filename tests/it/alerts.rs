//! The shipped alerting rules: they fire when they should, and read only what is exported.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

const RULES: &str = include_str!("../../deploy/prometheus/gatewarden.rules.yml");
const TESTS: &str = include_str!("../../deploy/prometheus/gatewarden.test.yml");
/// Where every metric's name stands, once.
const METRICS: [&str; 2] =
    [include_str!("../../src/telemetry/metrics.rs"), include_str!("../../src/telemetry/lookups.rs")];

fn metric_names(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("gatewarden_"))
        .collect()
}

#[test]
fn every_metric_that_an_alert_reads_is_exported() {
    let exported: BTreeSet<_> = METRICS.into_iter().flat_map(metric_names).collect();
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
