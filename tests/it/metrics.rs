//! `/metrics` of a gateway that strangers talk to.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::process::{FREE_PORTS, Files, Process};
use crate::support::{Client, Upstream, eventually};

/// The text's series, without their values.
fn series(text: &str) -> BTreeSet<&str> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit(' ').nth(1)).collect()
}

fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
    line.unwrap_or_else(|| panic!("{series} not in\n{text}")).rsplit(' ').next().unwrap().parse().unwrap()
}

fn scrape(process: &Process) -> String {
    let response = process.admin("GET /metrics", &[]);
    assert_eq!(response.header("content-type"), Some("text/plain; version=0.0.4"));
    response.text().to_owned()
}

#[test]
fn strangers_make_no_series() {
    let upstream = Upstream::echo();
    let process = Process::start(Files::new(upstream.address, FREE_PORTS));
    let hostile = |from: u32, to: u32| {
        let mut client = Client::connect(process.address("callers"));
        for i in from..to {
            let answers = [
                client.ask(format!("GET /desk/open/{i} HTTP/1.1\r\nHost: h{i}.example\r\n\r\n")),
                client.ask(format!("GET /nowhere/{i} HTTP/1.1\r\nHost: h{i}.example\r\n\r\n")),
                client.ask(format!("M{i} /desk/customers/{i} HTTP/1.1\r\nHost: localhost\r\n\r\n")),
                client.ask(format!(
                    "GET /desk/customers/{i} HTTP/1.1\r\nHost: localhost\r\nX-Customer: t{i}\r\n\
                     Authorization: Bearer a{i}.b{i}.c{i}\r\n\r\n"
                )),
            ];
            assert_eq!(answers.map(|answer| answer.status / 100), [2, 4, 4, 4]);
        }
    };
    hostile(0, 10);
    let open = "gatewarden_requests_total{app=\"desk\",code=\"200\",method=\"GET\",route=\"/desk/open/{name}\",\
                tenant=\"_unproven\"}";
    let counted = |n: f64| {
        let text = scrape(&process);
        text.contains(open) && (value(&text, open) - n).abs() < 0.5
    };
    eventually("the first requests to be counted", || counted(10.0));
    let before = scrape(&process);
    hostile(10, 500);
    eventually("all requests to be counted", || counted(500.0));
    let after = scrape(&process);
    assert_eq!(series(&before), series(&after), "a caller's choice became a series");
    for word in ["example", "t499", "nowhere", "M499"] {
        assert!(!after.contains(word), "{word} in\n{after}");
    }
    promtool(&after);
}

#[test]
fn an_application_that_is_down_is_told_from_a_gateway_that_refuses() {
    let process = Process::start(Files::new("127.0.0.1:1".parse().unwrap(), FREE_PORTS));
    let mut client = Client::connect(process.address("callers"));
    let answer = client.ask("GET /desk/open HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(answer.status, 503);
    let failed = "gatewarden_upstream_connect_failures_total{reason=\"refused\",upstream=\"desk\"}";
    eventually("the failure to be counted", || scrape(&process).contains(failed));
    let text = scrape(&process);
    assert!(value(&text, failed) >= 1.0);
    assert_eq!(value(&text, "gatewarden_upstream_requests_total{code=\"_none\",upstream=\"desk\"}"), 1.0);
}

/// Runs only where promtool is.
pub(crate) fn promtool(text: &str) {
    let spawned = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn();
    let Ok(mut promtool) = spawned else { return };
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let result = promtool.wait_with_output().unwrap();
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
}
