//! Headers in both directions.

use crate::support::{Gateway, Upstream};

#[test]
fn hop_by_hop_headers_stay_on_their_hop() {
    let gateway = Gateway::before(Upstream::echo().address);
    let response = gateway.request(
        "GET /app/x",
        &[
            "Connection: keep-alive, X-One",
            "Connection: x-two",
            "X-One: 1",
            "X-Two: 2",
            "X-Two: 3",
            "Keep-Alive: 5",
            "TE: trailers",
            "Trailer: X-T",
            "Upgrade: websocket",
            "HTTP2-Settings: AA",
            "Proxy-Connection: close",
            "Proxy-Authorization: Basic YTpi",
            "X-Kept: yes",
        ],
    );
    assert_eq!(response.status, 200);
    assert_eq!(response.echoed("x-kept").as_deref(), Some("yes"));
    for gone in [
        "connection",
        "x-one",
        "x-two",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "http2-settings",
        "proxy-connection",
        "proxy-authorization",
    ] {
        assert_eq!(response.echoed(gone), None, "{gone}");
    }
}

#[test]
fn what_a_request_means_can_not_be_named_away() {
    let gateway = Gateway::before(Upstream::echo().address);
    let options = "Connection: host, authorization, x-forwarded-for, x-request-id, content-length";
    let token = gateway.token(&["user"]);
    let response = gateway.request("GET /app-guarded/x", &[options, &token]);
    assert_eq!(response.status, 200);
    assert_eq!(response.echoed("host").as_deref(), Some("gateway.test"));
    assert_eq!(response.echoed("authorization").as_deref(), token.strip_prefix("Authorization: "));
    assert_eq!(response.echoed("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(response.echoed("x-request-id").as_deref(), response.header("x-request-id"));
}

#[test]
fn unreadable_connection_options_are_refused() {
    let gateway = Gateway::before(Upstream::echo().address);
    assert_eq!(gateway.request("GET /app/x", &["Connection: a b"]).status, 400);
    assert_eq!(gateway.request("GET /app/x", &["Connection: x@y"]).status, 400);
}

#[test]
fn nobody_can_say_who_they_are_in_a_header() {
    let gateway = Gateway::before(Upstream::echo().address);
    for name in [
        "X-Gatewarden-Subject",
        "x-gatewarden-tenant",
        "X-GATEWARDEN-ROLES",
        "X_Gatewarden_Subject",
        "X-Gatewarden_Subject",
        "X-Gatewarden-Assertion",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Real-IP",
        "Forwarded",
        "True-Client-IP",
        "X-Client-IP",
        "X-HTTP-Method-Override",
        "X-Method-Override",
        "X-Envoy-Original-Path",
        "X-Accel-Redirect",
        "Content_Length",
        "Transfer_Encoding",
    ] {
        let response = gateway.request("GET /app/x", &[&format!("{name}: spoofed")]);
        assert_eq!(response.status, 200, "{name}");
        assert!(!response.text().contains("spoofed"), "{name} passed: {}", response.text());
    }
}

#[test]
fn the_upstream_is_told_who_is_calling() {
    let gateway = Gateway::before(Upstream::echo().address);
    let token = gateway.token(&["user", "stranger"]);
    // The second time the token is remembered; nothing else changes.
    for _ in 0..2 {
        let response = gateway.request("GET /app-guarded/x", &[&token, "X-Gatewarden-Subject: admin"]);
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(response.echoed("x-gatewarden-subject").as_deref(), Some("ada"));
        assert_eq!(response.echoed("x-gatewarden-tenant").as_deref(), Some("default"));
        assert_eq!(response.echoed("x-gatewarden-roles").as_deref(), Some("user"));
        assert_eq!(response.echoed("x-gatewarden-permission").as_deref(), Some("things#use"));
    }
    let public = gateway.request("GET /app/x", &[&token]);
    assert_eq!(public.status, 200);
    assert!(!public.text().to_ascii_lowercase().contains("\r\nauthorization:"), "{}", public.text());
    assert!(!public.text().contains("gatewarden"), "{}", public.text());
}

#[test]
fn who_may_not_is_told_so_and_the_upstream_isnt_asked() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(upstream.address);
    let nobody = gateway.request("GET /app-guarded/x", &[]);
    assert_eq!((nobody.status, nobody.header("www-authenticate")), (401, Some("Bearer")));
    let bad = format!("{}x", gateway.token(&["user"]));
    for path in ["/app-guarded/x", "/app/x"] {
        let response = gateway.request(&format!("GET {path}"), &[&bad]);
        assert_eq!(response.status, 401, "{path}");
        assert_eq!(response.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
    }
    let stranger = gateway.request("GET /app-guarded/x", &[&gateway.token(&["stranger"])]);
    assert_eq!(stranger.status, 403);
    assert_eq!(stranger.header("www-authenticate"), Some("Bearer error=\"insufficient_scope\""));
    let other = gateway.request("PATCH /app/x", &[]);
    assert_eq!((other.status, other.header("allow")), (405, Some("GET, HEAD, POST, PUT, DELETE")));
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn the_upstream_is_told_who_asked_and_for_what() {
    let gateway = Gateway::before(Upstream::echo().address);
    let lies = ["X-Forwarded-For: 9.9.9.9", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.test"];
    let response = gateway.request("GET /app/x", &lies);
    assert_eq!(response.echoed("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(response.echoed("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(response.echoed("x-forwarded-host").as_deref(), Some("gateway.test"));
}

#[test]
fn a_trusted_proxy_is_believed_and_added_to() {
    let upstream = Upstream::echo();
    let gateway = Gateway::setup().upstream("app", &[upstream.address]).trusting("127.0.0.0/8").start();
    let told = ["X-Forwarded-For: 9.9.9.9", "X-Forwarded-Proto: https", "X-Forwarded-Host: public.test"];
    let response = gateway.request("GET /app/x", &told);
    assert_eq!(response.echoed("x-forwarded-for").as_deref(), Some("9.9.9.9, 127.0.0.1"));
    assert_eq!(response.echoed("x-forwarded-proto").as_deref(), Some("https"));
    assert_eq!(response.echoed("x-forwarded-host").as_deref(), Some("public.test"));
    assert_eq!(gateway.request("GET /app/x", &["X-Forwarded-For: me"]).status, 400);
}

#[test]
fn a_trace_passes_if_it_is_one() {
    let gateway = Gateway::before(Upstream::echo().address);
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let response = gateway.request("GET /app/x", &[&format!("traceparent: {trace}"), "tracestate: a=b"]);
    assert_eq!(response.echoed("traceparent").as_deref(), Some(trace));
    assert_eq!(response.echoed("tracestate").as_deref(), Some("a=b"));
    let response = gateway.request("GET /app/x", &["traceparent: 00-mine", "tracestate: a=b"]);
    assert_eq!(response.echoed("traceparent"), None);
    assert_eq!(response.echoed("tracestate"), None);
}

#[test]
fn an_answers_hop_ends_at_the_gateway() {
    let upstream = Upstream::saying(
        b"HTTP/1.1 200 OK\r\nConnection: X-Hop, close\r\nConnection: x-other\r\nX-Hop: 1\r\nX-Other: 2\r\nKeep-Alive: 5\r\n\
          Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nX-Gatewarden-Subject: s\r\nX-Request-Id: theirs\r\nX-Kept: yes\r\n\
          Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok",
    );
    let gateway = Gateway::before(upstream.address);
    let mut client = gateway.client();
    let response = client.request("GET /app/x", &[]);
    assert_eq!((response.status, response.text()), (200, "ok"));
    assert_eq!(response.header("x-kept"), Some("yes"));
    assert_eq!(response.all("set-cookie"), ["a=1", "b=2"]);
    for gone in [
        "connection",
        "x-hop",
        "x-other",
        "keep-alive",
        "proxy-authenticate",
        "upgrade",
        "x-gatewarden-subject",
        "transfer-encoding",
    ] {
        assert_eq!(response.header(gone), None, "{gone}");
    }
    assert_ne!(response.header("x-request-id"), Some("theirs"));
    // The upstream closed its connection; the client's stays.
    assert_eq!(client.request("GET /app/x", &[]).status, 200);
}

#[test]
fn only_one_bearer_token_is_a_credential() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(upstream.address);
    for lines in [
        &["Authorization: Bearer a.b.c", "Authorization: Bearer d.e.f"][..],
        &["Authorization: Bearer"],
        &["Authorization: Bearer a b"],
    ] {
        assert_eq!(gateway.request("GET /app/x", lines).status, 400, "{lines:?}");
    }
    let foreign = gateway.request("GET /app/x", &["Authorization: Basic YTpi"]);
    assert_eq!(
        (foreign.status, foreign.header("www-authenticate")),
        (401, Some("Bearer error=\"invalid_token\""))
    );
    assert_eq!(upstream.connections(), 0);
}
