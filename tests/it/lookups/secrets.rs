//! The credential that look-ups show, in the gateway as operators run it.

use std::net::SocketAddr;

use crate::process::{FREE_PORTS, Files, Process};

fn nowhere() -> SocketAddr {
    "127.0.0.1:1".parse().unwrap()
}

/// Files whose one upstream has this credential.
fn with(credential: &str) -> Files {
    let files = Files::new(nowhere(), FREE_PORTS);
    write_gateway(&files, credential);
    files
}

fn write_gateway(files: &Files, credential: &str) {
    let text = std::fs::read_to_string(files.path("gateway.toml")).unwrap();
    let kept: String =
        text.lines().filter(|line| !line.starts_with("credential")).map(|line| format!("{line}\n")).collect();
    files.write("gateway.toml", &format!("{kept}credential = {credential}\n"));
}

#[test]
fn without_its_secret_nothing_starts() {
    let (code, _, stderr) = with("{ file = \"calling.key\" }").ended(&[]);
    assert_eq!(code, 4, "{stderr}");
    for part in ["GW9001", "upstream `desk`", "calling.key`", "nothing was started"] {
        assert!(stderr.contains(part), "{part} not in\n{stderr}");
    }
    let (code, _, stderr) = with("{ env = \"GATEWARDEN_TEST_UNSET\" }").ended(&[]);
    assert_eq!(code, 4, "{stderr}");
    assert!(stderr.contains("environment variable `GATEWARDEN_TEST_UNSET`"), "{stderr}");
    // The rules can be checked where no secret is.
    let (code, _, stderr) = with("{ file = \"calling.key\" }").ended(&["--check-only"]);
    assert_eq!(code, 0, "{stderr}");
}

#[test]
fn a_set_whose_secret_is_missing_waits_for_it() {
    let files = with("{ file = \"one.key\" }");
    files.write("one.key", "hunter2\n");
    let process = Process::start(files);
    write_gateway(&process.files, "{ file = \"two.key\" }");
    process.until("rules rejected");
    process.files.write("two.key", "hunter3\n");
    process.until("rev=2 hash=");
    assert!(!process.log().contains("hunter"), "{}", process.log());
}
