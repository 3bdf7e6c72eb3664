//! Days and hours in rules: they are the tenant's, wherever the gateway and whoever asks may be.

use std::process::Command;

use crate::process::Files;

const RULES: &str = r#"
app    = "desk"
base   = "/desk"
issuer = "sso"
roles  = "token.roles"
tenant = "acme"
[facts.token]
roles = "set"
[when]
open     = "client.time < '18:00'"
weekday  = "client.weekday in ['mon','tue','wed','thu','fri']"
[resource.customers]
view   = ["GET /customers/{id}"]
manage = ["POST /customers/{id}"]
close  = ["DELETE /customers/{id}"]
[role.agent]
view   = ["customers if open"]
manage = ["customers until 2026-11-20"]
close  = ["customers if weekday"]
"#;

fn files(zone: &str) -> Files {
    let files = Files::new("127.0.0.1:1".parse().unwrap(), "");
    files.write("rules/desk.toml", RULES);
    files.write(
        "rules/tenants.toml",
        &format!("[tenant.acme]\ntime-zone = \"{zone}\"\nids = [\"1\"]\napps = [\"desk\"]\n"),
    );
    files
}

fn gatewarden(files: &Files, verb: &str, method: &str, time: Option<&str>) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatewarden"));
    command.args([verb, "--role", "agent", "--config"]).arg(files.path("gateway.toml"));
    command.args(time.map(|time| format!("--with=client.time={time}"))).args([method, "/desk/customers/7"]);
    let output = command.env_remove("GATEWARDEN_CONFIG").output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn hours_days_and_ends_are_the_tenants() {
    for (zone, method, last, first_not) in [
        ("UTC", "GET", "2026-11-20T17:59:59Z", "2026-11-20T18:00:00Z"),
        ("Europe/Berlin", "GET", "2026-11-20T16:59:59Z", "2026-11-20T17:00:00Z"),
        ("Europe/Berlin", "GET", "2026-07-20T15:59:59Z", "2026-07-20T16:00:00Z"),
        ("Asia/Kathmandu", "GET", "2026-11-20T12:14:59Z", "2026-11-20T12:15:00Z"),
        ("UTC", "POST", "2026-11-20T23:59:59Z", "2026-11-21T00:00:00Z"),
        ("Europe/Berlin", "POST", "2026-11-20T22:59:59Z", "2026-11-20T23:00:00Z"),
        ("America/New_York", "POST", "2026-11-21T04:59:59Z", "2026-11-21T05:00:00Z"),
        ("Pacific/Auckland", "DELETE", "2026-11-20T10:59:59Z", "2026-11-20T11:00:00Z"),
    ] {
        let files = files(zone);
        let exits = [last, first_not].map(|time| gatewarden(&files, "can", method, Some(time)).0);
        assert_eq!(exits, [0, 1], "{method} in {zone}");
    }
}

#[test]
fn an_explanation_shows_the_time_that_was_compared() {
    let files = files("Europe/Berlin");
    let (_, text) = gatewarden(&files, "explain", "GET", Some("2026-11-21T16:30:00Z"));
    assert!(text.contains("sat 2026-11-21 17:30 Europe/Berlin < '18:00'"), "{text}");
    let (_, text) = gatewarden(&files, "explain", "GET", None);
    assert!(text.contains("taken for granted: client.time = now"), "{text}");
}
