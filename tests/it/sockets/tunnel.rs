//! Plain WebSockets: the opening is judged, and then bytes pass.

use std::io::{Read, Write};
use std::time::Duration;

use gatewarden::json::Pattern;
use gatewarden::policy::obligation::Mask;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket};

use super::client::Socket;
use crate::support::{Gateway, Upstream, Wire};

pub(super) const TARGET: &str = "/app-guarded/feed?room=1";

/// A WebSocket server that echoes.
pub(super) fn echo() -> Upstream {
    Upstream::scripted(|wire: &mut Wire| {
        let Some(head) = wire.read_head()? else { return Ok(()) };
        let line = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: "));
        let is_meant = head.to_ascii_lowercase().contains("\r\nupgrade: websocket\r\n");
        let Some(key) = line.filter(|_| is_meant) else {
            return wire.write(b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n");
        };
        let accept = derive_accept_key(key.as_bytes());
        wire.write(
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\
                 Sec-WebSocket-Accept: {accept}\r\n\r\n"
            )
            .as_bytes(),
        )?;
        let mut socket = WebSocket::from_raw_socket(wire.stream.try_clone()?, Role::Server, None);
        while let Ok(message) = socket.read() {
            if message.is_text() || message.is_binary() {
                socket.send(message).map_err(std::io::Error::other)?;
            }
        }
        Ok(())
    })
}

pub(super) fn gateway(upstream: &Upstream) -> Gateway {
    Gateway::setup()
        .upstream("app", &[upstream.address])
        .socket("path = \"/app-guarded/{rest...}\"\nkind = \"websocket\"")
        .limits(|limits| limits.idle_timeout = Duration::from_millis(200))
        .start()
}

#[test]
fn messages_of_any_length_pass_both_ways() {
    let upstream = echo();
    let gateway = gateway(&upstream);
    let user = gateway.token(&["user"]);
    let mut socket = Socket::open(&gateway, TARGET, &[&user]).unwrap();
    for length in [0, 1, 200, 70_000, 3_000_000] {
        let message = Message::binary(vec![7; length]);
        socket.0.send(message.clone()).unwrap();
        assert_eq!(socket.0.read().unwrap(), message);
    }
    gateway.counts("gatewarden_sockets", &[" 1"]);
    // Quiet for longer than a connection without a request may be.
    std::thread::sleep(Duration::from_millis(600));
    socket.say("still there");
    assert_eq!(socket.text(), "still there");
    drop(socket);
    gateway.counts("gatewarden_sockets", &[" 0"]);
}

#[test]
fn the_opening_is_judged_and_what_is_none_is_a_request() {
    let upstream = echo();
    let gateway = gateway(&upstream);
    assert_eq!(Socket::open(&gateway, TARGET, &[]).err(), Some(401));
    assert_eq!(Socket::open(&gateway, TARGET, &[&gateway.token(&["nobody"])]).err(), Some(403));
    assert!(upstream.heads().is_empty());
    let plain = gateway.request(&format!("GET {TARGET}"), &[&gateway.token(&["user"])]);
    assert_eq!(plain.status, 426);
    // Where no socket is declared, nobody is asked to leave HTTP behind.
    assert_eq!(Socket::open(&gateway, "/app/open", &[]).err(), Some(426));
    assert!(!upstream.heads().iter().any(|head| head.to_ascii_lowercase().contains("\r\nupgrade:")));
}

/// Masks once were for answers alone, and a tunnel on the same route passed whatever they hide.
#[test]
fn what_would_have_to_be_edited_is_no_tunnel() {
    let upstream = echo();
    let gateway = Gateway::setup()
        .upstream("app", &[upstream.address])
        .socket("path = \"/app-guarded/{rest...}\"\nkind = \"websocket\"")
        .compiled(|snapshot| {
            let fields = [Pattern::parse("/secret").unwrap()];
            for operation in &mut snapshot.apps.first_mut().unwrap().operations {
                let mask = Mask { fields: fields.clone().into(), unless: [].into() };
                operation.obligations.masks = [mask].into();
            }
        })
        .start();
    assert_eq!(Socket::open(&gateway, TARGET, &[&gateway.token(&["user"])]).err(), Some(502));
    assert!(upstream.heads().is_empty());
}

#[test]
fn a_server_that_doesnt_know_the_key_is_not_believed() {
    let upstream = Upstream::scripted(|wire: &mut Wire| {
        wire.read_head()?;
        wire.write(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
              Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        )
    });
    let gateway = gateway(&upstream);
    assert_eq!(Socket::open(&gateway, TARGET, &[&gateway.token(&["user"])]).err(), Some(502));
}

#[test]
fn a_tunnel_ends_when_either_side_does() {
    let upstream = Upstream::scripted(|wire: &mut Wire| {
        let head = wire.read_head()?.unwrap();
        let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap();
        let accept = derive_accept_key(key.as_bytes());
        let head = format!(
            "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        wire.write(&[head.as_bytes(), b"\x81\x02hi"].concat())?;
        let mut byte = [0];
        wire.stream.read_exact(&mut byte)?;
        wire.stream.flush()
    });
    let gateway = gateway(&upstream);
    let mut socket = Socket::open(&gateway, TARGET, &[&gateway.token(&["user"])]).unwrap();
    assert_eq!(socket.text(), "hi", "bytes that came with the head aren't lost");
    socket.say("x");
    assert!(socket.is_gone());
    gateway.counts("gatewarden_sockets", &[" 0"]);
}

/// An opening that was answered at all once counted as a good answer.
#[test]
fn a_server_that_fails_openings_is_left_alone() {
    let bad = Upstream::scripted(|wire: &mut Wire| {
        wire.read_head()?;
        wire.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
    });
    let good = echo();
    let gateway = Gateway::setup()
        .upstream("app", &[bad.address, good.address])
        .socket("path = \"/app-guarded/{rest...}\"\nkind = \"websocket\"")
        .start();
    let token = gateway.token(&["user"]);
    let opened = (0..10).filter(|_| Socket::open(&gateway, TARGET, &[&token]).is_ok()).count();
    assert_eq!(opened, 5, "in turn, and five failures in a row are enough");
    let server = format!("server=\"{}\"", bad.address);
    gateway.counts("gatewarden_upstream_server_ejections_total", &[&server, " 1"]);
}
