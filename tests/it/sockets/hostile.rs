//! Frames that no client library sends.

use std::io::{Read, Write};

use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use super::backend::Backend;
use super::client::{Polling, Socket};
use super::{desk, setup};
use crate::support::{Gateway, eventually};

fn connected(gateway: &Gateway) -> Socket {
    Socket::connected(gateway, &[&gateway.token(&["user"])])
}

#[test]
fn a_packet_that_cant_be_read_ends_the_socket_and_reaches_nobody() {
    let backend = Backend::start();
    let gateway = desk(&backend);
    for packet in [
        "",
        "7",
        "x",
        "0{}",
        "2",
        "5",
        "6",
        "2probe",
        "4",
        "49",
        "42",
        "42{}",
        "42[]",
        "42[1]",
        "42 [\"publishCimEvent\"]",
        "42[\"publishCimEvent\"",
        "42[\"publishCimEvent\"]]",
        "421 [\"publishCimEvent\"]",
        "45[\"publishCimEvent\"]",
        "450-[\"publishCimEvent\"]",
        "4599-[\"publishCimEvent\"]",
        "43[]",
        "431{}",
        "44{}",
        "40[]",
        "40{\"a\":1,\"a\":2}",
        "bAAAA",
        "41[]",
        "3aaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        // One message to most servers, and several to those that look for lengths or separators.
        "3\u{1e}42[\"a\"]",
        "3:20042[\"a\"]",
    ] {
        let mut socket = connected(&gateway);
        let before = backend.packets().len();
        socket.say(packet);
        assert_eq!(socket.closed().0, 1002, "{packet:?}");
        let passed: Vec<_> =
            backend.packets()[before..].iter().filter(|own| *own != "closed").cloned().collect();
        assert!(passed.is_empty(), "{packet:?}: {passed:?}");
    }
    let mut socket = connected(&gateway);
    socket.say_bytes(b"42[\"publishCimEvent\"]");
    assert_eq!(socket.closed().0, 1002);
}

#[test]
fn a_message_has_a_longest_length_in_one_frame_and_in_many() {
    let backend = Backend::start();
    let gateway =
        setup(&[backend.address()], &["header"]).limits(|own| own.socket_message_bytes = 4096).start();
    let long = format!("42[\"publishCimEvent\",\"{}\"]", "x".repeat(5000));
    let mut socket = connected(&gateway);
    socket.say(&long);
    assert_eq!(socket.closed().0, 1009);

    let mut socket = connected(&gateway);
    let piece = |bytes: &[u8], code, is_last| Message::Frame(Frame::message(bytes.to_vec(), code, is_last));
    socket.0.send(piece(b"421[\"publishCim", OpCode::Data(Data::Text), false)).unwrap();
    socket.0.send(piece(b"Event\"]", OpCode::Data(Data::Continue), true)).unwrap();
    assert_eq!(socket.text(), "431[true]", "pieces are one message");
    socket.0.send(piece(b"42[\"publishCimEvent\",\"", OpCode::Data(Data::Text), false)).unwrap();
    for _ in 0..6 {
        let _ = socket.0.send(piece(&[b'x'; 1000], OpCode::Data(Data::Continue), false));
    }
    assert!(socket.is_gone());
    assert!(!backend.packets().iter().any(|own| own.contains("xxx")));

    let mut session = Polling::connected(&gateway, &[&gateway.token(&["user"])]);
    assert_eq!(session.post(&long).status, 413);
}

#[test]
fn packets_have_a_pace() {
    let backend = Backend::start();
    let gateway =
        setup(&[backend.address()], &["header"]).limits(|own| own.socket_packets_per_second = 10).start();
    let mut socket = connected(&gateway);
    for number in 0..2000 {
        if socket.0.send(Message::text(format!("43{number}[]"))).is_err() {
            break;
        }
    }
    assert!(socket.is_gone());
    eventually("the backend is told", || backend.packets().contains(&"closed".to_owned()));
    let acknowledged = backend.packets().iter().filter(|own| own.starts_with("43")).count();
    assert!((50..300).contains(&acknowledged), "{acknowledged}");

    let mut session = Polling::connected(&gateway, &[&gateway.token(&["user"])]);
    let flood = vec![r#"42["deletePullModeRequest"]"#; 500].join("\u{1e}");
    assert_eq!(session.post(&flood).status, 400);
}

#[test]
fn frames_that_break_the_protocol_end_the_socket() {
    let backend = Backend::start();
    let gateway = desk(&backend);
    // Not masked; a reserved bit (as if something had been negotiated); a control frame that is too long.
    let long = [&b"\x89\xfe\x01\0\0\0\0\0"[..], &[0; 256]].concat();
    for frame in [&b"\x81\x0142"[..], b"\xc1\x82\0\0\0\x0042", &long] {
        let mut socket = connected(&gateway);
        let stream = socket.0.get_mut();
        stream.write_all(frame).unwrap();
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        assert_eq!(said.get(..4), Some(&[0x88, said[1], 0x03, 0xea][..]), "{said:?}");
    }
}
