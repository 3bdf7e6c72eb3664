//! Socket.IO by long polling, and its way on to a WebSocket.

use std::thread;

use super::backend::Backend;
use super::client::{PATH, Polling, Socket};
use super::{desk, desk_with};
use crate::support::{Gateway, Upstream, eventually};

fn connected(gateway: &Gateway) -> Polling {
    Polling::connected(gateway, &[&gateway.token(&["user"])])
}

#[test]
fn packets_of_a_body_are_judged_one_by_one() {
    let backend = Backend::start();
    let gateway = desk(&backend);
    let mut session = connected(&gateway);
    let body = [
        r#"42["publishCimEvent",{"a":1}]"#,
        r#"42["deletePullModeRequest"]"#,
        r#"427["deletePullModeRequest"]"#,
        r#"451-["publishCimEvent",{"_placeholder":true,"num":0}]"#,
        "bAQID",
        r#"451-["deletePullModeRequest",{"_placeholder":true,"num":0}]"#,
        "bBAUG",
        "3",
    ];
    assert_eq!(session.post(&body.join("\u{1e}")).text(), "ok");
    let mut told = Vec::new();
    while told.len() < 5 {
        told.extend(session.get().text().split('\u{1e}').map(str::to_owned));
    }
    let of = |start: &str| told.iter().filter(|own| own.starts_with(start)).count();
    assert_eq!((of("42[\"errors\""), of("437[{\"error\""), of("42[\"onCimEvent\"")), (2, 1, 2), "{told:?}");
    assert_eq!(backend.packets()[1..], [body[0], body[3], body[4], body[7]]);
}

#[test]
fn a_body_of_refused_packets_alone_is_answered_here_even_while_the_client_waits() {
    let backend = Backend::start();
    let gateway = desk(&backend);
    let mut session = connected(&gateway);
    let mut waiting =
        Polling { sid: session.sid.clone(), headers: session.headers.clone(), client: gateway.client() };
    let asked = backend.heads().len();
    let waits = thread::spawn(move || (waiting.get().text().to_owned(), waiting));
    eventually("the poll waits at the backend", || backend.heads().len() == asked + 1);
    assert_eq!(session.post(r#"42["deletePullModeRequest"]"#).text(), "ok");
    let (told, mut waiting) = waits.join().unwrap();
    assert!(told.starts_with("42[\"errors\","), "{told}");
    // The poll that waits at the backend is the one whose answer the client is given next.
    backend.say("2");
    assert_eq!(waiting.get().text(), "2");
    assert_eq!(backend.heads().len(), asked + 1, "{:?}", backend.heads());
    assert_eq!(backend.packets().len(), 1);
}

/// The second once waited for a lock that its own thread held, and every worker that was asked so stood still for ever.
#[test]
fn a_second_poll_is_refused_and_takes_nothing_from_the_first() {
    let backend = Backend::start();
    let gateway = desk(&backend);
    let mut session = connected(&gateway);
    let mut waiting =
        Polling { sid: session.sid.clone(), headers: session.headers.clone(), client: gateway.client() };
    let asked = backend.heads().len();
    let waits = thread::spawn(move || (waiting.get().text().to_owned(), waiting));
    eventually("the poll waits at the backend", || backend.heads().len() == asked + 1);
    for _ in 0..8 {
        let mut second = gateway.client();
        let headers: Vec<&str> = session.headers.iter().map(String::as_str).collect();
        assert_eq!(second.request(&format!("GET {}", session.target()), &headers).status, 400);
    }
    backend.say("2");
    let (told, mut waiting) = waits.join().unwrap();
    assert_eq!(told, "2");
    assert_eq!(backend.heads().len(), asked + 1, "{:?}", backend.heads());
    backend.say("2");
    assert_eq!((waiting.get().text(), session.post("3").text()), ("2", "ok"));
}

#[test]
fn an_answer_of_the_gateways_own_can_be_read_by_the_page() {
    let backend = Backend::start();
    let gateway = desk(&backend);
    let mut session = connected(&gateway);
    let told = session.post(r#"42["deletePullModeRequest"]"#);
    assert_eq!(told.header("access-control-allow-origin"), Some("https://desk.test"));
    assert_eq!(told.header("content-type"), Some("text/plain; charset=UTF-8"));
}

#[test]
fn a_session_is_its_openers_alone() {
    let backend = Backend::start();
    let gateway = desk(&backend);
    let session = connected(&gateway);
    let asked = backend.heads().len();
    let bob = gateway.token_for("bob", &["user"], 300);
    for (headers, status) in [(&[][..], 401), (&[bob.as_str()], 400)] {
        for method in ["GET", "POST"] {
            let stolen = gateway.request(&format!("{method} {}", session.target()), headers);
            assert_eq!(stolen.status, status, "{}", stolen.text());
        }
        let target = format!("{PATH}?EIO=4&transport=websocket&sid={}", session.sid);
        assert_eq!(Socket::open(&gateway, &target, headers).err(), Some(status));
    }
    let unknown = gateway.request(&format!("GET {PATH}?EIO=4&transport=polling&sid=x"), &[&bob]);
    assert_eq!(unknown.status, 400);
    assert!(unknown.text().contains(r#""code":1,"message":"Session ID unknown""#), "{}", unknown.text());
    assert_eq!(backend.heads().len(), asked);
}

#[test]
fn requests_of_a_session_go_to_the_server_that_opened_it() {
    let backends = [Backend::start(), Backend::start(), Backend::start()];
    let addresses: Vec<_> = backends.iter().map(Backend::address).collect();
    let gateway = super::desk_before(&addresses, &["header"]);
    for _ in 0..6 {
        let mut session = connected(&gateway);
        for _ in 0..3 {
            assert_eq!(session.post(r#"421["publishCimEvent"]"#).text(), "ok");
            assert_eq!(session.get().text(), "431[true]");
        }
    }
    assert!(backends.iter().all(|backend| backend.packets().len() == 8), "each opened two");
}

#[test]
fn a_session_moves_on_to_a_websocket() {
    let backend = Backend::start();
    let gateway = desk(&backend);
    let mut session = connected(&gateway);
    let user = session.headers[0].clone();
    let target = format!("{PATH}?EIO=4&transport=websocket&sid={}", session.sid);
    let mut socket = Socket::open(&gateway, &target, &[&user]).unwrap();
    socket.say("2probe");
    assert_eq!(socket.text(), "3probe");
    assert_eq!(session.get().text(), "6");
    session.post(r#"42["deletePullModeRequest"]"#);
    socket.say("5");
    assert!(socket.text().starts_with("42[\"errors\","), "what waited goes along");
    socket.say(r#"42["deletePullModeRequest"]"#);
    assert!(socket.text().starts_with("42[\"errors\","));
    socket.say(r#"421["publishCimEvent"]"#);
    assert_eq!(socket.text(), "431[true]");
    assert_eq!(session.get().status, 400, "it no longer polls");
    assert_eq!(session.post(r#"42["publishCimEvent"]"#).status, 400);
    gateway.counts("gatewarden_sockets", &["app=\"app\"", " 1"]);
    drop(socket);
    gateway.counts("gatewarden_sockets", &["app=\"app\"", " 0"]);
}

#[test]
fn nothing_passes_on_a_connection_that_is_only_tried() {
    let backend = Backend::start();
    let gateway = desk(&backend);
    let session = connected(&gateway);
    let user = session.headers[0].clone();
    let target = format!("{PATH}?EIO=4&transport=websocket&sid={}", session.sid);
    let mut socket = Socket::open(&gateway, &target, &[&user]).unwrap();
    socket.say(r#"42["publishCimEvent"]"#);
    assert_eq!(socket.closed().0, 1002);
    assert_eq!(backend.packets().iter().filter(|own| own.contains("publish")).count(), 0);
}

#[test]
fn what_cant_be_read_ends_the_session() {
    let backend = Backend::start();
    let gateway = desk(&backend);
    for (body, status) in [
        ("", 400),
        ("7", 400),
        ("42", 400),
        ("42[\"a\"", 400),
        ("2", 400),
        ("0{}", 400),
        ("bAAAA", 400),
        ("40/admin,", 400),
        ("43[]", 400),
        ("44{}", 400),
        ("42[\"publishCimEvent\"]\u{1e}", 400),
        ("451-[\"publishCimEvent\"]\u{1e}42[\"publishCimEvent\"]", 400),
    ] {
        let mut session = connected(&gateway);
        let before = backend.packets().len();
        assert_eq!(session.post(body).status, status, "{body}");
        assert_eq!(backend.packets().len(), before, "{body}");
    }
    let mut session = connected(&gateway);
    let (target, user) = (session.target(), session.headers[0].clone());
    let packed = format!(
        "POST {target} HTTP/1.1\r\nHost: gateway.test\r\n{user}\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\n3"
    );
    assert_eq!(session.client.ask(packed).status, 400);
    let jsonp = format!("GET {target}&j=0");
    assert_eq!(session.client.request(&jsonp, &[&user]).status, 400);
    let put = format!("PUT {target}");
    assert_ne!(session.client.request(&put, &[&user]).status, 200);
}

#[test]
fn a_token_may_come_with_the_first_packet_of_a_session() {
    let backend = Backend::start();
    let gateway = desk_with(&backend, &["auth.token"]);
    let bearer = gateway.token(&["user"]);
    let token = bearer.strip_prefix("Authorization: Bearer ").unwrap();
    let mut session = Polling::open(&gateway, &[]);
    assert_eq!(session.post(&format!(r#"40{{"token":"{token}"}}"#)).text(), "ok");
    assert_eq!(session.get().text(), r#"40{"sid":"io"}"#);
    assert_eq!(session.post(r#"421["publishCimEvent"]"#).text(), "ok");
    assert_eq!(session.get().text(), "431[true]");

    let mut session = Polling::open(&gateway, &[]);
    assert_eq!(session.post(r#"40{"token":"a.b.c"}"#).text(), "ok");
    let told = session.get();
    assert!(told.text().starts_with("44{\"message\":"), "{}", told.text());
    assert!(told.text().ends_with("}\u{1e}1"), "{}", told.text());

    // Who was refused may not try another token on the same session, told of its end or not.
    let good = format!(r#"40{{"token":"{token}"}}"#);
    assert_eq!((session.post(&good).status, session.get().status), (400, 400));
    let mut session = Polling::open(&gateway, &[]);
    assert_eq!(session.post(r#"40{"token":"a.b.c"}"#).text(), "ok");
    assert_eq!(session.post(&good).status, 400);
    let target = format!("{PATH}?EIO=4&transport=websocket&sid={}", session.sid);
    let mut socket = Socket::open(&gateway, &target, &[]).unwrap();
    socket.say("5");
    assert_eq!(socket.closed().0, 1002);

    let mut session = Polling::open(&gateway, &[]);
    let before = backend.packets().len();
    assert_eq!(session.post(r#"42["publishCimEvent"]"#).status, 401);
    assert_eq!(backend.packets().len(), before);
    assert_eq!(session.get().status, 400);
}

/// A poll takes packets away. One whose connection broke off was once sent again, and they were lost.
#[test]
fn a_poll_that_breaks_off_is_not_sent_again() {
    const OPEN: &str =
        r#"0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":100000}"#;
    let upstream = Upstream::scripted(|wire| {
        wire.read_head()?;
        let length = OPEN.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n");
        wire.write(format!("{head}{OPEN}").as_bytes())?;
        // The poll is read, and its answer lost.
        wire.read_head().map(drop)
    });
    let gateway = super::desk_before(&[upstream.address], &["header"]);
    let mut session = Polling::open(&gateway, &[&gateway.token(&["user"])]);
    assert_eq!(session.get().status, 502);
    assert_eq!(upstream.heads().len(), 2, "{:?}", upstream.heads());
}
