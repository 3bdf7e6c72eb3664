//! Request bodies that a rule reads: judged and forwarded are the same bytes, and what can be understood in two ways is
//! refused.

use std::time::Duration;

use gatewarden::json::Pattern;

use crate::support::gateway::Setup;
use crate::support::{Gateway, Response, Upstream};

/// A gateway that lets nothing but `role` and `note` stand in a guarded request's body.
fn judging(upstream: &Upstream) -> Setup {
    Gateway::setup().upstream("app", &[upstream.address]).compiled(|snapshot| {
        let only: Box<[Pattern]> = ["/role", "/note"].map(|text| Pattern::parse(text).unwrap()).into();
        for operation in &mut snapshot.apps.first_mut().unwrap().operations {
            operation.obligations.body_only = Some(only.clone());
        }
    })
}

fn head(gateway: &Gateway, lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    format!("POST /app-guarded/x HTTP/1.1\r\nHost: a\r\n{}\r\n{lines}\r\n", gateway.token(&["user"]))
}

fn post(gateway: &Gateway, media: &str, body: &[u8]) -> Response {
    let length = format!("Content-Length: {}", body.len());
    gateway
        .client()
        .ask([head(gateway, &[&format!("Content-Type: {media}"), &length]).as_bytes(), body].concat())
}

#[track_caller]
fn refused(response: &Response, status: u16, code: &str) {
    assert_eq!(response.status, status, "{}", response.text());
    assert!(response.text().contains(&format!("urn:gatewarden:{code}\"")), "{}", response.text());
}

#[test]
fn what_was_judged_is_forwarded_byte_for_byte() {
    let upstream = Upstream::echo();
    let gateway = judging(&upstream).start();
    for body in
        ["{\"role\" :\"\\u0061gent\",\r\n\t\"note\":{\"a\":[1.50e3,null]}}  ", "{}", " {\"role\":\"😀\"}\n"]
    {
        let whole = post(&gateway, "application/json", body.as_bytes());
        assert_eq!(whole.status, 200, "{}", whole.text());
        assert!(whole.text().ends_with(&format!("\r\n\r\n{body}")), "{}", whole.text());
        assert_eq!(whole.echoed("content-length"), Some(body.len().to_string()));

        let lines = ["Content-Type: application/json", "Transfer-Encoding: chunked"];
        let mut request = head(&gateway, &lines).into_bytes();
        body.bytes().for_each(|byte| request.extend([b"1\r\n", &[byte][..], b"\r\n"].concat()));
        request.extend(b"0\r\n\r\n");
        let pieces = gateway.client().ask(request);
        assert!(pieces.text().ends_with(&format!("\r\n\r\n{body}")), "{}", pieces.text());
        assert_eq!(pieces.echoed("content-length"), Some(body.len().to_string()));
        assert_eq!(pieces.echoed("transfer-encoding"), None);
    }
    for nothing in
        ["Content-Length: 0\r\n", "Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n"]
    {
        let end = if nothing.starts_with("T") { "0\r\n\r\n" } else { "" };
        let head = head(&gateway, &[nothing.trim_end()]);
        assert_eq!(gateway.client().ask(head + end).status, 200, "{nothing}");
    }
    assert_eq!(gateway.request("POST /app-guarded/x", &[&gateway.token(&["user"])]).status, 200);
}

#[test]
fn a_body_that_can_be_understood_in_two_ways_is_refused() {
    let upstream = Upstream::echo();
    let gateway = judging(&upstream).start();
    for body in [
        &br#"{"role":"user","role":"admin"}"#[..],
        br#"{"role":"user","Role":"admin"}"#,
        br#"{"role":"user","\u0072ole":"admin"}"#,
        br#"{"role":"user","note":{"a":1,"A":2}}"#,
        br#"{"role":"user"}{"role":"admin"}"#,
        br#"{"role":"user"} x"#,
        br#"{"role":NaN}"#,
        br#"{"role":1e999}"#,
        br#"{"role":"\ud800"}"#,
        br#"{"role":"user""#,
        br#"{'role':"user"}"#,
        br#"{"role":"user",}"#,
        b"{\"role\":\"\xff\"}",
        b"{\"role\":\"a\nb\"}",
        b"\xef\xbb\xbf{}",
        b"{\0\"\0r\0",
        b" ",
        b"null",
    ] {
        refused(&post(&gateway, "application/json", body), 400, "malformed-request");
    }
    let deep = [b"{\"note\":".repeat(70), b"1".to_vec(), b"}".repeat(70)].concat();
    refused(&post(&gateway, "application/json", &deep), 400, "malformed-request");
    let bottomless = b"[".repeat(60_000);
    refused(&post(&gateway, "application/json", &bottomless), 400, "malformed-request");
    assert_eq!(upstream.heads().len(), 0);
}

#[test]
fn a_field_that_isnt_permitted_is_refused() {
    let upstream = Upstream::echo();
    let gateway = judging(&upstream).start();
    for body in [r#"{"role":"user","owner":"me"}"#, r#"{"Role":"admin"}"#, r#"[{"role":"user"}]"#, "7"] {
        let response = post(&gateway, "application/json", body.as_bytes());
        assert_eq!(response.status, 403, "{body}");
    }
    assert_eq!(upstream.heads().len(), 0);
}

#[test]
fn a_body_that_isnt_json_is_refused() {
    let upstream = Upstream::echo();
    let gateway = judging(&upstream).start();
    for media in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-16",
        "application/json-patch+json",
        "application/json, text/plain",
        "application/json\r\nContent-Type: application/json",
        "application/json\r\nContent-Encoding: gzip",
    ] {
        refused(&post(&gateway, media, br#"{"role":"user"}"#), 415, "unsupported-body");
    }
    assert_eq!(upstream.heads().len(), 0);
    // What no rule reads may be anything.
    let anything =
        "POST /app/x HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nabc";
    assert!(gateway.client().ask(anything).text().ends_with("abc"));
}

#[test]
fn a_body_that_a_rule_reads_has_a_bound_of_its_own() {
    let upstream = Upstream::echo();
    let setup = judging(&upstream).limits(|limits| limits.rule_body_bytes = 1000);
    let gateway = setup.start();
    let body = |length: usize| format!("{{\"note\":\"{}\"}}", "x".repeat(length - 11));
    let fits = post(&gateway, "application/json", body(1000).as_bytes());
    assert_eq!(fits.status, 200, "{}", fits.text());

    // Announced, it is refused before a byte of it is read.
    let media = "Content-Type: application/json";
    let announced = gateway.client().ask(head(&gateway, &[media, "Content-Length: 1001"]));
    refused(&announced, 413, "body-too-large");
    let chunked = head(&gateway, &[media, "Transfer-Encoding: chunked"]);
    let chunked = gateway.client().ask(format!("{chunked}3e9\r\n{}\r\n0\r\n\r\n", body(1001)));
    refused(&chunked, 413, "body-too-large");
    assert_eq!(upstream.heads().len(), 1);
    // Other bodies have the usual bound.
    let other = format!("POST /app/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n{}", body(1001));
    assert_eq!(gateway.client().ask(other).status, 200);
}

#[test]
fn a_body_that_doesnt_arrive_is_not_waited_for() {
    let upstream = Upstream::echo();
    let setup = judging(&upstream).limits(|limits| limits.body_timeout = Duration::from_millis(200));
    let gateway = setup.start();
    let beginning = head(&gateway, &["Content-Type: application/json", "Content-Length: 50"]) + "{\"role\":";
    let mut client = gateway.client();
    let late = client.ask(&beginning);
    refused(&late, 408, "request-timeout");
    assert!(client.is_closed());

    let mut client = gateway.client();
    client.send(&beginning);
    client.stream.shutdown(std::net::Shutdown::Both).unwrap();
    gateway.counts("gatewarden_requests_total", &["code=\"499\"", " 1"]);
    assert_eq!(upstream.heads().len(), 0);
}
