//! What flows while both sides are still talking: leave to go on, events, and the rest of a refused request.

use std::sync::Mutex;
use std::sync::mpsc;

use crate::support::h2::{DATA, H2, HEADERS, head};
use crate::support::{Client, Gateway, PATIENCE, Upstream, Wire};

const EXPECTING: &str = "Content-Length: 5\r\nExpect: 100-continue\r\n";

fn post(path: &str, lines: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: gateway.test\r\n{lines}\r\n")
}

/// Who is refused before his body is asked for may leave it out: what he sends next is the body, a request or
/// nothing, but never a part of each.
#[test]
fn the_body_that_wasnt_asked_for_is_not_waited_for() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(upstream.address);
    for (path, status) in [("/nowhere", 404), ("/app-guarded/x", 401), ("/app/../x", 400)] {
        for after in [
            "",
            "hello",
            "GET /app/next HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
            "helloGET /app/next HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        ] {
            let mut client = gateway.client();
            client.send(post(path, EXPECTING));
            let refused = client.read_until(b"\r\n\r\n").unwrap();
            let refused = String::from_utf8(refused).unwrap();
            assert!(refused.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {refused}");
            let closes = refused.to_ascii_lowercase().contains("connection: close");
            let reached = upstream.heads().len();
            use std::io::Write;
            let _ = client.stream.write_all(after.as_bytes());
            let _ = client.stream.shutdown(std::net::Shutdown::Write);
            while client.read_more().is_ok_and(|more| more > 0) {}
            let next = upstream.heads().len() - reached;
            // Either it says that it closes, or what follows the body that was announced is the next request.
            assert!(
                next == 0 || (!closes && after.starts_with("hello")),
                "{path} {after:?}: {:?}",
                upstream.heads()
            );
        }
    }
}

#[test]
fn leave_to_go_on_is_given_when_the_application_will_read() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(upstream.address);
    let token = gateway.token(&["user"]);
    let mut client = gateway.client();
    client.send(post("/app-guarded/x", &format!("{token}\r\n{EXPECTING}")));
    assert!(client.read_until(b"\r\n\r\n").unwrap().starts_with(b"HTTP/1.1 100 "));
    client.send("hello");
    let response = client.read(false).unwrap();
    assert!(response.text().ends_with("\r\n\r\nhello"), "{}", response.text());
    // The connection goes on.
    assert_eq!(client.request("GET /app/x", &[]).status, 200);
    // Who doesn't wait for leave isn't made to.
    let mut client = gateway.client();
    client.send(post("/app/x", EXPECTING) + "hello");
    assert!(client.read(false).unwrap().text().ends_with("\r\n\r\nhello"));
    // An old client knows of no such thing.
    let mut client = gateway.client();
    client.send("POST /app/x HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello");
    let first = String::from_utf8(client.read_until(b"\r\n").unwrap()).unwrap();
    assert!(first.ends_with(" 200 OK\r\n"), "{first}");
    assert!(upstream.heads().iter().all(|head| !head.to_ascii_lowercase().contains("\r\nexpect:")));
}

/// An application that sends one event and the next only when it is told that the first arrived.
fn events(framing: &'static str) -> (Upstream, mpsc::Sender<()>) {
    let (arrived, told) = mpsc::channel::<()>();
    let told = Mutex::new(told);
    let upstream = Upstream::scripted(move |wire: &mut Wire| {
        wire.read_head()?;
        let event = |text: &str| match framing {
            "chunked" => format!("{:x}\r\n{text}\r\n", text.len()),
            _ => text.to_owned(),
        };
        let lines =
            if framing == "chunked" { "Transfer-Encoding: chunked\r\n" } else { "Connection: close\r\n" };
        wire.write(format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{lines}\r\n").as_bytes())?;
        for n in 1..=3 {
            wire.write(event(&format!("data: {n}\n\n")).as_bytes())?;
            told.lock().unwrap().recv_timeout(PATIENCE).map_err(std::io::Error::other)?;
        }
        if framing == "chunked" { wire.write(b"0\r\n\r\n") } else { wire.close() }
    });
    (upstream, arrived)
}

#[test]
fn events_arrive_while_their_stream_is_open() {
    for framing in ["chunked", "until the end"] {
        let (upstream, arrived) = events(framing);
        let gateway = Gateway::before(upstream.address);
        let mut client: Client = gateway.client();
        client.send("GET /app/events HTTP/1.1\r\nHost: gateway.test\r\nAccept: text/event-stream\r\n\r\n");
        let head = String::from_utf8(client.read_until(b"\r\n\r\n").unwrap()).unwrap().to_ascii_lowercase();
        assert!(head.contains("content-type: text/event-stream\r\n"), "{head}");
        for n in 1..=3 {
            let seen = client.read_until(b"\n\n").unwrap();
            assert!(String::from_utf8(seen).unwrap().ends_with(&format!("data: {n}\n\n")), "{framing}");
            arrived.send(()).unwrap();
        }
        assert!(client.read_until(b"0\r\n\r\n").is_ok(), "{framing}");
    }
}

#[test]
fn events_arrive_over_http2_while_their_stream_is_open() {
    let (upstream, arrived) = events("chunked");
    let gateway = Gateway::before(upstream.address);
    let mut client = H2::connect(gateway.address);
    client.ask(1, &head("GET", "/app/events"));
    let mut next = || loop {
        let frame = client.read().unwrap();
        if matches!(frame.kind, HEADERS | DATA) {
            return frame;
        }
    };
    assert_eq!(next().kind, HEADERS);
    for n in 1..=3 {
        assert_eq!(next().payload, format!("data: {n}\n\n").into_bytes());
        arrived.send(()).unwrap();
    }
}
