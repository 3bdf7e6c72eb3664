//! HTTP/2 requests that are none (RFC 9113 §8): no application sees anything of them, whatever it would make of them.

use crate::support::h2::{DATA, END_HEADERS, END_STREAM, H2, HEADERS, Outcome, block, head};
use crate::support::{Gateway, Upstream};

/// A good head with these fields in place of its own of the same names, or after them.
fn with<'f>(more: &[(&'f str, &'f str)]) -> Vec<(&'f str, &'f str)> {
    let mut fields = head("GET", "/app/x");
    for (name, value) in more {
        match fields.iter_mut().find(|(own, _)| own == name) {
            Some(own) => own.1 = value,
            None => fields.push((name, value)),
        }
    }
    fields
}

fn without(name: &str) -> Vec<(&str, &str)> {
    head("GET", "/app/x").into_iter().filter(|(own, _)| *own != name).collect()
}

fn after<'f>(mut fields: Vec<(&'f str, &'f str)>, more: &[(&'f str, &'f str)]) -> Vec<(&'f str, &'f str)> {
    fields.extend(more);
    fields
}

#[test]
fn malformed_requests_reach_nobody() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(upstream.address);
    let good = || head("GET", "/app/x");
    let mut heads = vec![
        without(":method"),
        without(":scheme"),
        without(":path"),
        without(":authority"),
        after(vec![("x-first", "1")], &good()),
        after(good(), &[("x-a", "1"), (":path", "/app/y")]),
        after(good(), &[(":status", "200")]),
        after(good(), &[(":unknown", "1")]),
        after(good(), &[(":protocol", "websocket")]),
        after(good(), &[(":", "1")]),
        after(good(), &[("host", "other.test")]),
        after(good(), &[("host", "gateway.test"), ("host", "gateway.test")]),
        after(good(), &[("host", "")]),
    ];
    for name in [":method", ":scheme", ":path", ":authority"] {
        heads.push(after(good(), &[(name, good().iter().find(|(own, _)| *own == name).unwrap().1)]));
        if name != ":scheme" {
            heads.push(with(&[(name, "")]));
        }
    }
    for path in [
        "app/x",
        "x/../app/x",
        "*",
        "http://gateway.test/app/x",
        "/app/x y",
        "/app/\0",
        "/app/x\r\nx: y",
        "/app/\u{e9}",
        "//",
        "?x",
        "#",
    ] {
        heads.push(with(&[(":path", path)]));
    }
    for authority in [
        "a b",
        "u@gateway.test",
        "gateway.test/app",
        "gateway.test:x",
        "gateway.test\r\n",
        "a,b",
        "[::1",
        "gateway.test?x",
        "..",
        "%67ateway.test",
    ] {
        heads.push(with(&[(":authority", authority)]));
    }
    for method in [
        "G ET",
        "GET /app/y HTTP/1.1\r\nx:",
        "",
        "GET\0",
        "get",
        "BREW",
        "TRACE",
        "CONNECT",
        "PRI",
        "G\u{c9}T",
    ] {
        heads.push(with(&[(":method", method)]));
    }
    heads.push(vec![(":method", "CONNECT"), (":authority", "gateway.test:80")]);
    heads.push(vec![
        (":method", "CONNECT"),
        (":authority", "gateway.test:80"),
        (":protocol", "websocket"),
        (":path", "/app/x"),
        (":scheme", "http"),
    ]);
    for field in [
        ("X-Upper", "1"),
        ("x-Upper", "1"),
        ("", "1"),
        ("x y", "1"),
        ("x:y", "1"),
        ("x\r\ny", "1"),
        ("x\0", "1"),
        ("x\u{e9}", "1"),
        ("x", "a\r\nx-gatewarden-subject: admin"),
        ("x", "a\nb"),
        ("x", "a\rb"),
        ("x", "a\0b"),
        ("connection", "close"),
        ("connection", "x-a"),
        ("proxy-connection", "close"),
        ("keep-alive", "5"),
        ("transfer-encoding", "chunked"),
        ("transfer-encoding", "identity"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
        ("te", "trailers, deflate"),
        ("content-length", "5"),
        ("content-length", "-1"),
        ("content-length", "0, 5"),
        ("content-length", "x"),
        ("authorization", "Bearer"),
        ("authorization", "Bearer a b"),
    ] {
        heads.push(after(good(), &[field]));
    }
    heads.push(after(good(), &[("content-length", "0"), ("content-length", "5")]));
    let mut wrong = Vec::new();
    let mut answered = std::collections::BTreeMap::<String, usize>::new();
    for fields in &heads {
        let mut client = H2::connect(gateway.address);
        client.ask(1, fields);
        let outcome = client.outcome(1);
        match &outcome {
            Outcome::Answer(400..500, _) | Outcome::Reset(1..) | Outcome::GoAway(1..) | Outcome::Closed => {}
            other => wrong.push(format!("{fields:?}: {other:?}")),
        }
        let kind = outcome.status().map_or_else(|| "ended".to_owned(), |status| status.to_string());
        *answered.entry(kind).or_default() += 1;
    }
    println!("{} heads: {answered:?}", heads.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(upstream.connections(), 0, "{:?}", upstream.heads());
    assert_eq!(gateway.request("GET /app/x", &[]).status, 200);
}

/// What a body says of its length and what comes.
#[test]
fn a_body_of_another_length_is_no_request() {
    for (announced, sent) in [("5", "hello, and more"), ("5", "hell"), ("0", "x"), ("5", "")] {
        let upstream = Upstream::echo();
        let gateway = Gateway::before(upstream.address);
        let mut client = H2::connect(gateway.address);
        let fields = after(head("POST", "/app/x"), &[("content-length", announced)]);
        client.frame(HEADERS, END_HEADERS, 1, &block(&fields));
        client.frame(DATA, END_STREAM, 1, sent.as_bytes());
        let outcome = client.outcome(1);
        assert_ne!(outcome.status(), Some(200), "{announced} {sent}: {outcome:?}");
        assert!(upstream.heads().len() <= 1, "{:?}", upstream.heads());
        assert_eq!(
            gateway.request("GET /app/next", &[]).text().lines().next(),
            Some("GET /app/next HTTP/1.1")
        );
    }
}

#[test]
fn what_comes_after_a_body_stays_here() {
    let gateway = Gateway::before(Upstream::echo().address);
    let mut client = H2::connect(gateway.address);
    client.frame(HEADERS, END_HEADERS, 1, &block(&head("POST", "/app/x")));
    client.frame(DATA, 0, 1, b"hello");
    // A pseudo-header is none here; the library drops it.
    let trailers = [
        (":path", "/app/evil"),
        ("x-gatewarden-subject", "admin"),
        ("x_gatewarden_subject", "admin"),
        ("content-length", "1"),
        ("host", "evil"),
        ("authorization", "Bearer x"),
    ];
    client.frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&trailers));
    let Outcome::Answer(status, body) = client.outcome(1) else { panic!("no answer") };
    let body = String::from_utf8(body).unwrap();
    assert_eq!(status, 200, "{body}");
    assert!(body.ends_with("\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), "{body}");
    assert!(!body.contains("admin") && !body.contains("evil"), "{body}");
}

#[test]
fn who_says_his_host_twice_says_it_alike() {
    let gateway = Gateway::before(Upstream::echo().address);
    let echoed = |fields: &[(&str, &str)]| {
        let mut client = H2::connect(gateway.address);
        client.ask(1, fields);
        match client.outcome(1) {
            Outcome::Answer(200, body) => String::from_utf8(body).unwrap(),
            other => panic!("{fields:?}: {other:?}"),
        }
    };
    let hosts = |text: &str| -> Vec<String> {
        text.lines()
            .filter(|line| line.to_ascii_lowercase().starts_with("host:"))
            .map(str::to_owned)
            .collect()
    };
    for host in ["gateway.test", "GATEWAY.TEST.:8080"] {
        let fields = after(head("GET", "/app/x"), &[("host", host)]);
        assert_eq!(hosts(&echoed(&fields)).len(), 1, "{fields:?}");
    }
    // A scheme is what the socket is, whatever it is said to be.
    for scheme in ["", "https", "ftp", "http://evil.test/app/y?", "1"] {
        let mut client = H2::connect(gateway.address);
        client.ask(1, &with(&[(":scheme", scheme)]));
        if let Outcome::Answer(200, body) = client.outcome(1) {
            let text = String::from_utf8(body).unwrap();
            assert!(text.starts_with("GET /app/x HTTP/1.1\r\n"), "{scheme}: {text}");
            assert!(
                text.contains("x-forwarded-proto: http\r\n") && !text.contains("evil"),
                "{scheme}: {text}"
            );
        }
    }
    // Pieces of a cookie become one line.
    let text = echoed(&after(head("GET", "/app/x"), &[("cookie", "a=1"), ("cookie", "b=2")]));
    assert!(text.contains("cookie: a=1; b=2\r\n"), "{text}");
    // Identity in any spelling.
    for name in [
        "x-gatewarden-subject",
        "x_gatewarden_subject",
        "x-gatewarden_roles",
        "x-forwarded-user",
        "x-original-url",
    ] {
        let text = echoed(&after(head("GET", "/app/x"), &[(name, "spoofed"), (name, "spoofed")]));
        assert!(!text.contains("spoofed"), "{name}: {text}");
    }
}
