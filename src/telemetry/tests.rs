//! What scrapers read.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method};

use super::*;
use crate::outcome::{Effect, Ending, Evidence, Outcome, Verdict};
use crate::plumbing::{Limits, Scheme, ServerAddress, UpstreamConfig};
use crate::request::Timestamp;
use crate::token::KeyStatus;
use crate::upstream::Upstreams;

fn name(text: impl Into<String>) -> Option<Arc<str>> {
    Some(Arc::from(text.into()))
}

fn outcome() -> Outcome {
    Outcome {
        request_id: HeaderValue::from_static("r"),
        method: Some(Method::GET),
        status: 200,
        ending: Ending::Answered,
        evidence: Evidence {
            app: name("desk"),
            route: name("/desk/customers/{id}"),
            tenant: name("acme"),
            issuer: name("sso"),
            verdict: Some(Verdict { effect: Effect::Allow, reason: "grant" }),
            ..Evidence::default()
        },
        total: Duration::from_millis(3),
        deciding: Duration::from_micros(4),
        upstream: Some(Duration::from_millis(2)),
        upstream_name: name("desk"),
        bytes_sent: 5,
        revision: 1,
    }
}

#[track_caller]
fn has(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|l| l == *line), "{line} not in\n{text}");
    }
}

/// Lines that are series, without the buckets of histograms.
fn series(text: &str) -> usize {
    text.lines().filter(|line| !line.starts_with('#') && !line.contains("_bucket{")).count()
}

#[test]
fn one_request_is_counted_where_it_belongs() {
    let metrics = Metrics::new(Mode::Run).unwrap();
    metrics.observe(&outcome());
    metrics.observe(&outcome());
    let mut refused = Outcome { status: 401, ending: Ending::Own("expired"), ..outcome() };
    refused.evidence = Evidence { issuer: name("sso"), ..Evidence::default() };
    (refused.upstream, refused.upstream_name) = (None, None);
    metrics.observe(&refused);
    let text = metrics.render();
    has(
        &text,
        &[
            "gatewarden_requests_total{app=\"desk\",code=\"200\",method=\"GET\",route=\"/desk/customers/{id}\",tenant=\"acme\"} 2",
            "gatewarden_requests_total{app=\"_none\",code=\"401\",method=\"GET\",route=\"_none\",tenant=\"_unproven\"} 1",
            "gatewarden_tenant_request_seconds_sum{app=\"desk\",tenant=\"acme\"} 0.006",
            "gatewarden_tenant_request_seconds_count{app=\"desk\",tenant=\"acme\"} 2",
            "gatewarden_request_duration_seconds_count{route=\"/desk/customers/{id}\"} 2",
            "gatewarden_decisions_total{app=\"desk\",effect=\"allow\",reason=\"grant\",tenant=\"acme\"} 2",
            "gatewarden_decision_duration_seconds_bucket{le=\"0.000005\"} 2",
            "gatewarden_decision_duration_seconds_count 2",
            "gatewarden_auth_failures_total{issuer=\"sso\",reason=\"expired\"} 1",
            "gatewarden_upstream_requests_total{code=\"200\",upstream=\"desk\"} 2",
            "gatewarden_upstream_duration_seconds_count{upstream=\"desk\"} 2",
            "gatewarden_dev_mode 0",
        ],
    );
}

#[test]
fn reloads_and_keys_show_their_last_state() {
    let metrics = Metrics::new(Mode::Dev).unwrap();
    metrics.config_applied(Trigger::Start, "aa", Timestamp(5), &[("roles", 3)]);
    metrics.config_rejected(Trigger::Watch);
    let keys = |failures, at| KeyStatus { last_success: Some(Timestamp(at)), failures, keys: 2 };
    metrics.show_keys(&[("gone".into(), keys(9, 6)), ("sso".into(), keys(3, 6))]);
    metrics.show_keys(&[("sso".into(), keys(1, 7))]);
    has(
        &metrics.render(),
        &[
            "gatewarden_config_reloads_total{result=\"applied\",trigger=\"start\"} 1",
            "gatewarden_config_reloads_total{result=\"rejected\",trigger=\"watch\"} 1",
            "gatewarden_config_reloads_total{result=\"rejected\",trigger=\"signal\"} 0",
            "gatewarden_config_last_reload_successful 0",
            "gatewarden_config_last_reload_success_timestamp_seconds 5",
            "gatewarden_config_info{hash=\"aa\"} 1",
            "gatewarden_rules_loaded{kind=\"roles\"} 3",
            "gatewarden_jwks_keys{issuer=\"sso\"} 2",
            "gatewarden_jwks_refresh_failures_total{issuer=\"sso\"} 1",
            "gatewarden_dev_mode 1",
        ],
    );
    metrics.config_applied(Trigger::Poll, "bb", Timestamp(8), &[]);
    let text = metrics.render();
    has(&text, &["gatewarden_config_last_reload_successful 1", "gatewarden_config_info{hash=\"bb\"} 1"]);
    assert!(!text.contains("\"aa\"") && !text.contains("\"gone\""), "{text}");
}

#[test]
fn gauges_fall_when_their_guards_go() {
    let metrics = Metrics::new(Mode::Run).unwrap();
    let (connection, request) = (metrics.connection(), metrics.request());
    has(&metrics.render(), &["gatewarden_connections 1", "gatewarden_requests_in_flight 1"]);
    drop((connection, request));
    has(&metrics.render(), &["gatewarden_connections 0", "gatewarden_requests_in_flight 0"]);
}

#[test]
fn labels_that_multiply_stay_bounded_and_the_loss_is_counted() {
    let metrics = Metrics::new(Mode::Run).unwrap();
    for i in 0..5_000_u32 {
        let mut hostile = outcome();
        hostile.evidence.tenant = name(format!("tenant-{i}"));
        hostile.evidence.route = name(format!("/r/{}", i % 1500));
        hostile.status = u16::try_from(i % 1000).unwrap();
        metrics.observe(&hostile);
    }
    let text = metrics.render();
    assert!(series(&text) < 10_000 + 6_000, "{}", series(&text));
    let tenants = text.lines().filter(|l| l.starts_with("gatewarden_tenant_request_seconds_count")).count();
    assert_eq!(tenants, 201);
    has(&text, &["gatewarden_label_overflow_total{label=\"tenant\"} 4800"]);
    let total: u64 = text
        .lines()
        .filter(|line| line.starts_with("gatewarden_requests_total"))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum();
    assert_eq!(total, 5_000, "no request may be lost");
}

#[test]
fn names_that_look_alike_run_together_are_told_apart() {
    let metrics = Metrics::new(Mode::Run).unwrap();
    for (tenant, app) in [("a", "bc"), ("ab", "c")] {
        let mut one = outcome();
        (one.evidence.tenant, one.evidence.app) = (name(tenant), name(app));
        metrics.observe(&one);
    }
    has(
        &metrics.render(),
        &[
            "gatewarden_tenant_request_seconds_count{app=\"bc\",tenant=\"a\"} 1",
            "gatewarden_tenant_request_seconds_count{app=\"c\",tenant=\"ab\"} 1",
        ],
    );
}

#[test]
fn counting_from_many_threads_loses_nothing() {
    let metrics = Metrics::new(Mode::Run).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for i in 0..1000_u16 {
                    metrics.observe(&Outcome { status: 200 + i % 7, ..outcome() });
                }
            });
        }
    });
    has(&metrics.render(), &["gatewarden_tenant_request_seconds_count{app=\"desk\",tenant=\"acme\"} 4000"]);
}

#[test]
fn promtool_has_nothing_to_say() {
    let metrics = Metrics::new(Mode::Run).unwrap();
    let mut odd = outcome();
    odd.evidence.tenant = name("quote \" back \\ line \n end");
    metrics.observe(&odd);
    metrics.observe(&Outcome { status: 401, ending: Ending::Own("expired"), ..outcome() });
    metrics.config_applied(Trigger::Start, "aa", Timestamp(5), &[("roles", 3)]);
    metrics.show_keys(&[("sso".into(), KeyStatus { last_success: None, failures: 1, keys: 0 })]);
    let address = ServerAddress { scheme: Scheme::Http, host: "::1".into(), port: 7 };
    let upstreams = [UpstreamConfig::new("desk".into(), vec![address])];
    let upstreams = Upstreams::build(upstreams.iter(), &Limits::default(), None);
    metrics.show_upstreams(&upstreams, std::time::Instant::now());
    let text = metrics.render();
    check_syntax(&text);
    let spawned = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = spawned else { return };
    std::io::Write::write_all(&mut promtool.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let result = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&result.stderr);
    assert!(result.status.success() && said.is_empty(), "{said}\n{text}");
}

/// Where there is no promtool: every series has a help, a type and one line.
fn check_syntax(text: &str) {
    let mut described = std::collections::HashSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ").or(line.strip_prefix("# TYPE ")) {
            described.insert(rest.split(' ').next().unwrap());
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let family = series.split('{').next().unwrap();
        let stem = ["_bucket", "_sum", "_count"].iter().find_map(|end| family.strip_suffix(end));
        assert!(described.contains(family) || stem.is_some_and(|stem| described.contains(stem)), "{line}");
    }
}
