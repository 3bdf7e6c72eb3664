//! TLS towards callers: what is presented, what is refused before it is HTTP, and certificates that are exchanged.

mod clients;
mod exchange;
mod proxied;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use gatewarden::plumbing::Presence;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConnection, HandshakeKind};

use crate::support::tls::connect;
use crate::support::{Authority, Client, Gateway, PATIENCE, Upstream};

const NAME: &str = "gateway.test";

/// A gateway over TLS before an echoing application, and who signed its certificate.
fn secured(upstream: &Upstream) -> (Gateway, Authority) {
    let authority = Authority::new();
    let own = authority.issue(&[NAME]);
    let tls = authority.presenting(&[&own], None);
    (Gateway::setup().upstream("app", &[upstream.address]).presenting(tls).start(), authority)
}

#[test]
fn both_versions_are_spoken_and_the_application_learns_of_it() {
    let (gateway, authority) = secured(&Upstream::echo());
    for version in [&TLS12, &TLS13] {
        let mut caller = authority.client();
        caller.versions = vec![version];
        for alpn in [&[b"http/1.1" as &[u8]][..], &[]] {
            caller.alpn = alpn;
            let mut client = caller.connect(gateway.address, NAME).unwrap();
            let answer = client.request("GET /app/x", &["X-Forwarded-Proto: http"]);
            assert_eq!(answer.status, 200);
            assert_eq!(answer.echoed("x-forwarded-proto").as_deref(), Some("https"));
            // The connection stays, and so does its framing.
            let answer =
                client.ask("POST /app/x HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 5\r\n\r\nhello");
            assert!(answer.text().ends_with("hello"));
            assert_eq!(client.request("GET /app-guarded/x", &[]).status, 401);
            assert_eq!(client.request("GET /app/../x", &[]).status, 400);
        }
    }
}

#[test]
fn http2_is_agreed_on_in_the_handshake() {
    let (gateway, authority) = secured(&Upstream::echo());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut caller = authority.client();
        caller.alpn = &[b"h2", b"http/1.1"];
        let stream = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(caller.config());
        let stream = connector.connect(ServerName::try_from(NAME).unwrap(), stream).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.unwrap();
        let ended = tokio::spawn(connection);
        let ask = |path: &str| {
            let body = Full::new(bytes::Bytes::from_static(b"hello"));
            http::Request::post(format!("https://{NAME}{path}")).body(body).unwrap()
        };
        let answer = sender.send_request(ask("/app/x")).await.unwrap();
        assert_eq!(answer.status(), 200);
        let seen = answer.into_body().collect().await.unwrap().to_bytes();
        let seen = String::from_utf8(seen.to_vec()).unwrap();
        assert!(seen.contains("x-forwarded-proto: https\r\n") && seen.ends_with("hello"), "{seen}");
        assert_eq!(sender.send_request(ask("/app-guarded/x")).await.unwrap().status(), 401);
        assert_eq!(sender.send_request(ask("/app/../x")).await.unwrap().status(), 400);
        // What drains says so, and closes.
        gateway.stop();
        ended.await.unwrap().unwrap();
    });
    gateway.join();
}

#[test]
fn the_certificate_is_the_one_for_the_name_that_is_asked_for() {
    let authority = Authority::new();
    let [first, one, many] = [&["first.test"][..], &["one.test", "a.many.test"], &["*.many.test"]]
        .map(|names| authority.issue(names));
    let tls = authority.presenting(&[&first, &one, &many], None);
    let gateway = Gateway::setup().upstream("app", &[Upstream::echo().address]).presenting(tls).start();
    for (asked, presented) in [
        ("first.test", "first.test"),
        ("one.test", "one.test"),
        ("a.many.test", "a.many.test"),
        ("b.many.test", "*.many.test"),
    ] {
        let client = authority.client().connect(gateway.address, asked).unwrap();
        assert!(client.was_presented(presented), "{asked}");
    }
    // Nobody's name: the first, which the client then finds not to fit.
    assert!(authority.client().connect(gateway.address, "b.a.many.test").is_err());
    gateway.counts("gatewarden_tls_handshake_failures_total", &["\"alert\"", " 1"]);
}

#[test]
fn what_is_no_tls_is_never_served() {
    let upstream = Upstream::echo();
    let (gateway, _) = secured(&upstream);
    for bytes in
        [&b"GET /app/x HTTP/1.1\r\nHost: gateway.test\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    {
        let mut stream = TcpStream::connect(gateway.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        // Nothing, or an alert.
        assert!(answer.len() <= 7 && answer.first().is_none_or(|first| *first == 21), "{answer:?}");
    }
    gateway.counts("gatewarden_tls_handshake_failures_total", &["not-tls", " 2"]);
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn a_handshake_takes_no_longer_than_it_may() {
    let authority = Authority::new();
    let tls = authority.presenting(&[&authority.issue(&[NAME])], None);
    let gateway = Gateway::setup()
        .upstream("app", &[Upstream::echo().address])
        .presenting(tls)
        .limits(|limits| limits.handshake_timeout = Duration::from_millis(100))
        .start();
    let mut silent = Client::connect(gateway.address);
    assert!(silent.is_closed());
    gateway.counts("gatewarden_limit_hits_total", &["\"handshake-timeout\"", " 1"]);
    gateway.counts("gatewarden_tls_handshake_failures_total", &["\"timeout\"", " 1"]);
}

#[test]
fn no_more_handshakes_are_under_way_than_there_may_be() {
    let authority = Authority::new();
    let tls = authority.presenting(&[&authority.issue(&[NAME])], None);
    let gateway = Gateway::setup()
        .upstream("app", &[Upstream::echo().address])
        .presenting(tls)
        .limits(|limits| limits.handshakes = 1)
        .start();
    // The first is accepted first: one worker takes them in turn.
    let silent = Client::connect(gateway.address);
    assert!(Client::connect(gateway.address).is_closed());
    gateway.counts("gatewarden_limit_hits_total", &["\"handshakes\"", " 1"]);
    drop(silent);
    gateway.counts("gatewarden_tls_handshake_failures_total", &["\"left\"", " 1"]);
    assert_eq!(
        authority.client().connect(gateway.address, NAME).unwrap().request("GET /app/x", &[]).status,
        200
    );
}

/// Every record in pieces of one byte, and each sent for itself.
#[test]
fn a_client_hello_in_the_smallest_pieces_is_understood_and_asked_for_its_certificate() {
    let authority = Authority::new();
    let tls = authority.presenting(&[&authority.issue(&[NAME])], Some(Presence::Required));
    let gateway = Gateway::setup().upstream("app", &[Upstream::echo().address]).presenting(tls).start();
    for own in [Some(authority.issue(&["client"])), None] {
        let is_known = own.is_some();
        let mut caller = authority.client();
        caller.own = own;
        let name = ServerName::try_from(NAME).unwrap();
        let mut session = ClientConnection::new(caller.config(), name).unwrap();
        let mut stream = TcpStream::connect(gateway.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut hello = Vec::new();
        session.write_tls(&mut hello).unwrap();
        for byte in &hello[5..] {
            for piece in [22, 3, 1, 0, 1, *byte] {
                stream.write_all(&[piece]).unwrap();
            }
        }
        while session.is_handshaking() {
            session.complete_io(&mut stream).unwrap();
        }
        let mut client = Client::over(rustls::StreamOwned::new(session, stream));
        client.stream.write_all(b"GET /app/x HTTP/1.1\r\nHost: gateway.test\r\n\r\n").unwrap();
        assert_eq!(client.read(false).is_ok(), is_known);
    }
    gateway.counts("gatewarden_tls_handshake_failures_total", &["no-certificate", " 1"]);
}

#[test]
fn a_session_is_resumed() {
    let (gateway, authority) = secured(&Upstream::echo());
    for version in [&TLS12, &TLS13] {
        let mut caller = authority.client();
        caller.versions = vec![version];
        let config = caller.config();
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut client = connect(config.clone(), gateway.address, NAME).unwrap();
            assert_eq!(client.request("GET /app/x", &[]).status, 200);
            assert_eq!(client.stream.conn.handshake_kind(), Some(expected));
        }
    }
}

/// HTTP/2 was waited for without end after a handshake that agreed on it, also while the gateway drained.
#[test]
fn who_agrees_on_http2_and_says_nothing_is_let_go() {
    let upstream = Upstream::echo();
    let authority = Authority::new();
    let own = authority.issue(&[NAME]);
    let setup = Gateway::setup().upstream("app", &[upstream.address]);
    let setup = setup.presenting(authority.presenting(&[&own], None)).limits(|limits| {
        limits.idle_timeout = Duration::from_millis(200);
        limits.head_timeout = Duration::from_millis(200);
    });
    let gateway = setup.start();
    let mut caller = authority.client();
    caller.alpn = &[b"h2"];
    let mut silent = caller.connect(gateway.address, NAME).unwrap();
    let mut hesitant = caller.connect(gateway.address, NAME).unwrap();
    hesitant.stream.write_all(b"PRI * HTTP/2.0").unwrap();
    for client in [&mut silent, &mut hesitant] {
        let mut rest = Vec::new();
        let end = client.stream.read_to_end(&mut rest);
        assert!(!end.is_err_and(|why| why.kind() == std::io::ErrorKind::WouldBlock), "it is kept");
    }
    gateway.counts("gatewarden_limit_hits_total{limit=\"idle-timeout\"}", &[" "]);
}
