//! Whole messages: what passes unchanged, and what is refused before anyone else sees it.

use crate::support::{Client, Gateway, Upstream};

#[test]
fn a_request_and_its_answer_pass() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(upstream.address);
    let mut client = gateway.client();
    let response = client.ask(
        "POST /app/a%C3%A9/b/?q=1&q=2&r=%2F HTTP/1.1\r\nHost: Gateway.test:8443\r\nX-Custom: a b\r\n\
         Cookie: a=b\r\nContent-Length: 5\r\n\r\nhello",
    );
    assert_eq!(response.status, 200);
    let seen = response.text();
    assert!(seen.starts_with("POST /app/a%C3%A9/b/?q=1&q=2&r=%2F HTTP/1.1\r\n"), "{seen}");
    assert!(seen.ends_with("\r\n\r\nhello"), "{seen}");
    assert_eq!(response.echoed("host").as_deref(), Some("Gateway.test:8443"));
    assert_eq!(response.echoed("x-custom").as_deref(), Some("a b"));
    assert_eq!(response.echoed("cookie").as_deref(), Some("a=b"));
    assert_eq!(response.echoed("content-length").as_deref(), Some("5"));

    // The next one takes the same way, on both sides.
    assert_eq!(client.request("GET /app/next", &[]).status, 200);
    assert_eq!(upstream.connections(), 1);
    gateway.counts("gatewarden_requests_total", &["method=\"POST\"", "code=\"200\"", " 1"]);
}

#[test]
fn every_request_has_an_id_of_ours() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(upstream.address);
    let first = gateway.request("GET /app/x", &["X-Request-Id: mine"]);
    let second = gateway.request("GET /app/x", &[]);
    let id = |response: &crate::support::Response| response.header("x-request-id").unwrap().to_owned();
    assert_eq!(id(&first).len(), 36);
    assert_ne!(id(&first), id(&second));
    assert_eq!(first.echoed("x-request-id"), Some(id(&first)));

    let refused = gateway.request("GET /nowhere", &[]);
    assert_eq!(refused.status, 404);
    assert!(refused.text().contains(&id(&refused)), "{}", refused.text());
}

#[test]
fn a_refusal_is_a_problem_document() {
    let gateway = Gateway::before(Upstream::echo().address);
    let response = gateway.request("GET /nowhere", &[]);
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    let problem: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(problem["type"], "urn:gatewarden:no-such-operation");
    assert_eq!(problem["title"], "Not Found");
    assert_eq!(problem["status"], 404);
    assert_eq!(problem["detail"], "there is no such operation");

    let mut client = gateway.client();
    let head = client.request("HEAD /nowhere", &[]);
    assert_eq!(head.status, 404);
    assert!(head.header("content-length").is_some_and(|length| length != "0"));
    assert_eq!(client.request("GET /nowhere", &[]).status, 404, "nothing but the head was sent");
}

#[test]
fn a_target_that_can_be_read_in_two_ways_goes_nowhere() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(upstream.address);
    for target in [
        "/app/../admin",
        "/app/./x",
        "/app//x",
        "//app/x",
        "/app/%2e%2e/x",
        "/app/%2Fx",
        "/app/%5cx",
        "/app/%25",
        "/app/%00",
        "/app/%61",
        "/app/x;y=1",
        "/app/x.",
        "/app/x%20",
        "/app/%zz",
        "/app/%",
        "/app/\\x",
        "/app/a%0ab",
        "/app/%c0%ae",
        "/app/%EF%BC%AF",
        "http://gateway.test/app/x",
        "https://other/app/x",
        "*",
        "/app/{x}",
        "/app/\"x\"",
        "/app/a|b",
        "/app/a^b",
        "/app/a`b",
        "/app/x%3f",
        "/app/x%23",
    ] {
        let mut client = gateway.client();
        let response = client.request(&format!("GET {target}"), &[]);
        assert_eq!(response.status, 400, "{target}");
    }
    for target in ["/app/\u{e9}", "/app/<x>", "app/x", "", "/app/\u{1}", "/app/x?a=\u{e9}", "/app/x y"] {
        let mut client = gateway.client();
        let response = client.ask(format!("GET {target} HTTP/1.1\r\nHost: gateway.test\r\n\r\n"));
        assert_eq!(response.status, 400, "{target}");
    }
    assert_eq!(gateway.request(&format!("GET /app/{}", "a".repeat(9000)), &[]).status, 414);
    assert_eq!(gateway.request(&format!("GET /app/x?{}", "a".repeat(9000)), &[]).status, 414);
    assert_eq!(gateway.request(&format!("GET /app{}", "/a".repeat(70)), &[]).status, 400);
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn a_host_is_one_plain_name() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(upstream.address);
    for hosts in [
        "",
        "Host: a\r\nHost: b\r\n",
        "Host: a\r\nHost: a\r\n",
        "Host: a b\r\n",
        "Host: u@a\r\n",
        "Host: a/b\r\n",
        "Host:\r\n",
    ] {
        let response = gateway.client().ask(format!("GET /app/x HTTP/1.1\r\n{hosts}\r\n"));
        assert_eq!(response.status, 400, "{hosts:?}");
    }
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn a_body_whose_end_is_in_doubt_goes_nowhere() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(upstream.address);
    for lines in [
        "Transfer-Encoding: ,chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: +3",
        "Content-Length: 3, 3",
        "Content-Length: -1",
        "Content-Length: 0x3",
        "Content-Length: 99999999999999999999",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        "Content-Length: 3\r\n Content-Length: 4",
    ] {
        let mut client = gateway.client();
        let response = client.ask(format!(
            "POST /app/x HTTP/1.1\r\nHost: gateway.test\r\n{lines}\r\n\r\n0\r\n\r\nGET /app/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        ));
        assert_eq!(response.status, 400, "{lines}");
    }
    let old = "POST /app/x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(gateway.client().ask(old).status, 400);
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn a_request_with_two_lengths_reaches_an_upstream_with_one() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(upstream.address);
    let mut client = gateway.client();
    client.send(
        "POST /app/x HTTP/1.1\r\nHost: a\r\nContent-Length: 33\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nabc\r\n0\r\n\r\nGET /app/second HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    let first = client.read(false).unwrap();
    assert!(first.status == 400 || first.echoed("content-length").is_none(), "{}", first.text());
    for head in upstream.heads() {
        let lengths = head.to_ascii_lowercase().matches("\r\ncontent-length").count();
        let codings = head.to_ascii_lowercase().matches("\r\ntransfer-encoding").count();
        assert!(lengths + codings <= 1, "{head}");
    }
}

#[test]
fn badly_cut_chunks_end_the_request() {
    for chunks in ["3\r\nabcX", "zz\r\nabc\r\n0\r\n\r\n", "ffffffffffffffffff\r\nabc\r\n", "3;a=\u{1}\"\r\n"]
    {
        let upstream = Upstream::scripted(|wire| {
            wire.read_head()?;
            wire.drain()?;
            Ok(())
        });
        let gateway = Gateway::before(upstream.address);
        let mut client = gateway.client();
        client.send("POST /app/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send(chunks);
        client.stream.shutdown(std::net::Shutdown::Write).unwrap();
        match client.read(false) {
            Ok(response) => assert_eq!(response.status, 400, "{chunks}"),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{chunks}"),
        }
        assert!(client.is_closed(), "{chunks}");
    }
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let gateway = Gateway::before(Upstream::echo().address);
    let mut client = gateway.client();
    let all: String = (0..100).map(|n| format!("GET /app/{n} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    client.send(all);
    for n in 0..100 {
        let response = client.read(false).unwrap();
        assert!(response.text().starts_with(&format!("GET /app/{n} ")), "{}", response.text());
    }
}

#[test]
fn several_workers_share_one_address() {
    let upstream = Upstream::echo();
    let gateway = Gateway::setup().upstream("app", &[upstream.address]).workers(3).start();
    std::thread::scope(|scope| {
        for n in 0..20 {
            let gateway = &gateway;
            scope.spawn(move || {
                let mut client = gateway.client();
                for m in 0..50 {
                    let response = client.request(&format!("GET /app/{n}/{m}"), &[]);
                    assert!(response.text().starts_with(&format!("GET /app/{n}/{m} ")));
                }
            });
        }
    });
    assert_eq!(upstream.heads().len(), 1000);
    assert!(upstream.connections() <= 20, "{} connections", upstream.connections());
}

#[test]
fn an_old_client_is_answered_and_let_go() {
    let gateway = Gateway::before(Upstream::echo().address);
    let mut client = gateway.client();
    let response = client.ask("GET /app/x HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!(response.status, 200);
    assert!(response.text().starts_with("GET /app/x HTTP/1.1"));
    assert!(client.is_closed());
}

#[test]
fn heads_have_no_bodies() {
    let gateway = Gateway::before(Upstream::echo().address);
    let mut client = gateway.client();
    let response = client.request("HEAD /app/x", &[]);
    assert_eq!(response.status, 200);
    assert!(response.header("content-length").is_some_and(|length| length != "0"), "{}", response.head);
    assert_eq!(client.request("GET /app/x", &[]).status, 200);
}

#[test]
fn too_much_of_a_head_is_refused() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(upstream.address);
    let many: Vec<_> = (0..101).map(|n| format!("X-{n}: v")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    assert_eq!(gateway.request("GET /app/x", &many).status, 431);
    let long = format!("X-Long: {}", "v".repeat(40_000));
    assert_eq!(gateway.request("GET /app/x", &[&long]).status, 431);
    gateway.counts("gatewarden_limit_hits_total{limit=\"head\"}", &[" 2"]);
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn a_second_gateway_on_the_address_fails_to_bind() {
    let gateway = Gateway::before(Upstream::echo().address);
    let second = gatewarden::proxy::Server::bind(gateway.address);
    assert_eq!(second.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
    let mut client = Client::connect(gateway.address);
    assert_eq!(client.request("GET /app/x", &[]).status, 200);
}

#[test]
fn http2_without_tls_is_spoken_to_who_begins_with_it() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(upstream.address);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        use http_body_util::{BodyExt, Full};
        use hyper_util::rt::{TokioExecutor, TokioIo};
        let stream = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        for _ in 0..3 {
            let request = http::Request::post("http://gateway.test/app/x?q=1")
                .header("x-gatewarden-subject", "admin")
                .body(Full::new(bytes::Bytes::from_static(b"hello")))
                .unwrap();
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.status(), 200);
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let seen = String::from_utf8(body.to_vec()).unwrap();
            assert!(seen.starts_with("POST /app/x?q=1 HTTP/1.1\r\n"), "{seen}");
            assert!(seen.contains("host: gateway.test\r\n"), "{seen}");
            assert!(seen.contains("content-length: 5\r\n"), "{seen}");
            assert!(!seen.contains("gatewarden"), "{seen}");
            assert!(seen.ends_with("hello"), "{seen}");
        }
        let bad = http::Request::get("http://gateway.test/app/../x").body(Full::default()).unwrap();
        assert_eq!(sender.send_request(bad).await.unwrap().status(), 400);
    });
    assert_eq!(upstream.connections(), 1);
}
