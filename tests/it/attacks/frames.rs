//! HTTP/2 as RFC 9113 forbids it, frame by frame. What is wrong with a connection ends it; what is wrong with a stream ends
//! at least that; no application sees any of it.

use crate::support::h2::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, H2, HEADERS, Outcome, PADDED, PING, PREFACE,
    PRIORITISED, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, block, head,
};
use crate::support::{Client, Gateway, Upstream};

/// Something that a client does after it opened its connection.
type Act = fn(&mut H2);

fn good(client: &mut H2, stream: u32) {
    client.ask(stream, &head("GET", "/app/x"));
}

/// A head whose stream stays open.
fn begin(client: &mut H2, stream: u32) {
    client.frame(HEADERS, END_HEADERS, stream, &block(&head("POST", "/app/x")));
}

fn setting(name: u16, value: u32) -> Vec<u8> {
    [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

/// What ends the connection. Which of the codes is said (RFC 9113 §7) is the library's choice.
const CONNECTION_ERRORS: &[(&str, Act)] = &[
    ("settings on a stream", |c| c.frame(SETTINGS, 0, 1, &[])),
    ("settings of five bytes", |c| c.frame(SETTINGS, 0, 0, &[0; 5])),
    ("settings acknowledged with something", |c| c.frame(SETTINGS, ACK, 0, &[0; 6])),
    ("push that is neither on nor off", |c| c.frame(SETTINGS, 0, 0, &setting(2, 2))),
    ("a window over 2^31", |c| c.frame(SETTINGS, 0, 0, &setting(4, 1 << 31))),
    ("frames smaller than allowed", |c| c.frame(SETTINGS, 0, 0, &setting(5, 16_383))),
    ("frames larger than allowed", |c| c.frame(SETTINGS, 0, 0, &setting(5, 1 << 24))),
    ("a ping on a stream", |c| c.frame(PING, 0, 1, &[0; 8])),
    ("a ping of seven bytes", |c| c.frame(PING, 0, 0, &[0; 7])),
    ("data on no stream", |c| c.frame(DATA, END_STREAM, 0, b"x")),
    ("data on a stream that wasn't opened", |c| c.frame(DATA, END_STREAM, 1, b"x")),
    ("a head on no stream", |c| good(c, 0)),
    ("a head on an even stream", |c| good(c, 2)),
    ("a head on a stream that was passed by", |c| {
        begin(c, 5);
        good(c, 3);
    }),
    ("a reset of no stream", |c| c.frame(RST_STREAM, 0, 0, &[0; 4])),
    ("a reset of a stream that wasn't opened", |c| c.frame(RST_STREAM, 0, 1, &[0; 4])),
    ("a reset of three bytes", |c| {
        begin(c, 1);
        c.frame(RST_STREAM, 0, 1, &[0; 3]);
    }),
    ("a priority of no stream", |c| c.frame(PRIORITY, 0, 0, &[0, 0, 0, 3, 1])),
    ("a window for nothing", |c| c.frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
    ("a window of three bytes", |c| c.frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1])),
    ("a window on a stream that wasn't opened", |c| c.frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])),
    ("more window than there is", |c| c.frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes())),
    ("a farewell on a stream", |c| c.frame(GOAWAY, 0, 1, &[0; 8])),
    ("a client's promise", |c| {
        begin(c, 1);
        c.frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2][..], &block(&head("GET", "/app/x"))].concat());
    }),
    ("the rest of no head", |c| c.frame(CONTINUATION, END_HEADERS, 1, &block(&head("GET", "/app/x")))),
    ("the rest of another stream's head", |c| {
        c.frame(HEADERS, END_STREAM, 1, &block(&head("GET", "/app/x")));
        c.frame(CONTINUATION, END_HEADERS, 3, &[]);
    }),
    ("something in the middle of a head", |c| {
        c.frame(HEADERS, END_STREAM, 1, &block(&head("GET", "/app/x")));
        c.frame(PING, 0, 0, &[0; 8]);
        c.frame(CONTINUATION, END_HEADERS, 1, &[]);
    }),
    ("something unknown in the middle of a head", |c| {
        c.frame(HEADERS, END_STREAM, 1, &block(&head("GET", "/app/x")));
        c.frame(0xbb, 0, 0, &[0; 8]);
        c.frame(CONTINUATION, END_HEADERS, 1, &[]);
    }),
    ("a head that is all padding", |c| {
        let padded = [&[255][..], &block(&head("GET", "/app/x"))].concat();
        c.frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, &padded);
    }),
    ("data that is all padding", |c| {
        begin(c, 1);
        c.frame(DATA, END_STREAM | PADDED, 1, &[9, 1, 2]);
    }),
    ("a frame that is too large", |c| {
        begin(c, 1);
        c.frame(DATA, END_STREAM, 1, &[0; 16_385]);
    }),
    ("a header of no table", |c| c.frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff, 0xff, 0x7f])),
    ("a header of number 0", |c| c.frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x80])),
    ("a table larger than allowed", |c| {
        let block = [&[0x3f, 0xe2, 0xff, 0x7f][..], &block(&head("GET", "/app/x"))].concat();
        c.frame(HEADERS, END_HEADERS | END_STREAM, 1, &block);
    }),
    ("a header cut off", |c| c.frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0, 5, b'a', b'b'])),
    ("a text that ends in no letter", |c| {
        c.frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0, 1, b'a', 0x81, 0x00]);
    }),
    ("a length without end", |c| {
        c.frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            1,
            &[0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        );
    }),
];

#[test]
fn what_is_wrong_with_a_connection_ends_it() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(upstream.address);
    let mut wrong = Vec::new();
    for (name, act) in CONNECTION_ERRORS {
        let mut client = H2::connect(gateway.address);
        act(&mut client);
        client.frame(PING, 0, 0, &[7; 8]);
        if client.outcome(u32::MAX).is_connection_error() {
            client.end();
        } else {
            wrong.push(*name);
        }
        let reached = upstream.heads();
        assert!(
            reached.iter().all(|head| head.starts_with("POST /app/x HTTP/1.1\r\n")),
            "{name}: {reached:?}"
        );
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(gateway.request("GET /app/x", &[]).status, 200);
}

/// What ends a stream; it may end the connection.
const STREAM_ERRORS: &[(&str, Act)] = &[
    ("data after the end", |c| {
        good(c, 1);
        c.frame(DATA, END_STREAM, 1, b"more");
    }),
    ("a head after the end", |c| {
        good(c, 1);
        good(c, 1);
    }),
    ("a priority of four bytes", |c| {
        begin(c, 1);
        c.frame(PRIORITY, 0, 1, &[0; 4]);
    }),
    ("a stream that waits for itself", |c| {
        let block = [&[0, 0, 0, 1, 16][..], &block(&head("GET", "/app/x"))].concat();
        c.frame(HEADERS, END_HEADERS | END_STREAM | PRIORITISED, 1, &block);
    }),
    ("a window for nothing on a stream", |c| {
        begin(c, 1);
        c.frame(WINDOW_UPDATE, 0, 1, &[0; 4]);
    }),
    ("more window than there is on a stream", |c| {
        begin(c, 1);
        c.frame(WINDOW_UPDATE, 0, 1, &0x7fff_ffff_u32.to_be_bytes());
    }),
    ("trailers that don't end", |c| {
        begin(c, 1);
        c.frame(DATA, 0, 1, b"x");
        c.frame(HEADERS, END_HEADERS, 1, &block(&[("x-trailer", "t")]));
    }),
];

#[test]
fn what_is_wrong_with_a_stream_ends_it() {
    let mut wrong = Vec::new();
    for (name, act) in STREAM_ERRORS {
        // It answers nobody, so that nothing is over before the mistake is made.
        let upstream = Upstream::scripted(|wire| {
            wire.read_head()?;
            wire.drain().map(drop)
        });
        let gateway = Gateway::before(upstream.address);
        let mut client = H2::connect(gateway.address);
        client.stream.set_read_timeout(Some(std::time::Duration::from_secs(2))).unwrap();
        act(&mut client);
        match client.outcome(1) {
            Outcome::Reset(1..) | Outcome::GoAway(1..) | Outcome::Closed | Outcome::Answer(400, _) => {}
            other => wrong.push((*name, other)),
        }
        assert!(upstream.heads().iter().all(|head| !head.contains("/app/y")), "{name}");
        assert!(upstream.heads().len() <= 1, "{name}: {:?}", upstream.heads());
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn what_nobody_knows_is_passed_by() {
    let gateway = Gateway::before(Upstream::echo().address);
    let mut client = H2::with_settings(gateway.address, &[(1, 0), (0xffff, 7), (0x0a0a, u32::MAX)]);
    client.frame(0xbb, 0xff, 0, &[0; 100]);
    client.frame(0xbb, 0xff, 7, &[]);
    client.frame(PING, 0xfe, 0, &[1; 8]);
    client.frame(PRIORITY, 0, 9, &[0, 0, 0, 7, 1]);
    client.frame(WINDOW_UPDATE, 0xff, 0, &[0x80, 0, 0, 1]);
    client.frame(HEADERS, END_HEADERS | END_STREAM | 0x40, 1, &block(&head("GET", "/app/x")));
    assert_eq!(client.outcome(1).status(), Some(200));
    // A head in many pieces, padded and prioritised.
    let mut whole = block(&head("GET", "/app/pieces"));
    let rest = whole.split_off(3);
    let first = [&[4, 0, 0, 0, 0, 16][..], &whole, &[0; 4]].concat();
    client.frame(HEADERS, END_STREAM | PADDED | PRIORITISED, 3, &first);
    for piece in rest.chunks(40) {
        client.frame(CONTINUATION, 0, 3, piece);
    }
    client.frame(CONTINUATION, END_HEADERS, 3, &[]);
    match client.outcome(3) {
        Outcome::Answer(200, body) => assert!(body.starts_with(b"GET /app/pieces HTTP/1.1\r\n")),
        other => panic!("{other:?}"),
    }
    assert!(client.is_alive());
}

#[test]
fn who_begins_wrongly_is_not_spoken_to() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(upstream.address);
    let mut client = H2::silent(gateway.address);
    client.send(&[PREFACE, b"GET /app/x HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
    client.end();
    for preface in [
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\rX",
        "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        "PRI * HTTP/1.1\r\nHost: a\r\n\r\n",
        "PRI /app/x HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let mut client = Client::connect(gateway.address);
        client.send(preface);
        client.stream.shutdown(std::net::Shutdown::Write).unwrap();
        let refused = client.read(false).map(|response| response.status);
        assert!(matches!(refused, Err(_) | Ok(400 | 405 | 505)), "{preface:?}: {refused:?}");
    }
    assert_eq!(upstream.connections(), 0);
}
