//! A gateway that ends, and connections that wait for a request: whoever sent one is answered.

use std::io::Write;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use crate::support::{Client, Gateway, Upstream};

const ASK: &str = "GET /app/x HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_connection_that_waited_has_one_more_answer() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(upstream.address);
    let (mut used, mut fresh) = (gateway.client(), gateway.client());
    assert_eq!(used.ask(ASK).header("connection"), None);
    gateway.stop();
    for client in [&mut used, &mut fresh] {
        let response = client.ask(ASK);
        assert_eq!((response.status, response.header("connection")), (200, Some("close")));
        assert!(client.is_closed());
    }
    drop((used, fresh));
    gateway.join();
}

#[test]
fn a_head_that_came_in_two_pieces_is_answered() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(upstream.address);
    let mut client = gateway.client();
    assert_eq!(client.ask(ASK).status, 200);
    client.send("GET /app/x HTTP/1.1\r\n");
    // It is with the gateway when an answer to a later one is back.
    assert_eq!(gateway.client().ask(ASK).status, 200);
    gateway.stop();
    // Longer than a connection without a word is kept.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(client.ask("Host: a\r\n\r\n").status, 200);
}

#[test]
fn a_connection_that_nobody_uses_is_closed_and_not_reset() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(upstream.address);
    let mut client = gateway.client();
    assert_eq!(client.ask(ASK).status, 200);
    let began = Instant::now();
    gateway.stop();
    assert_eq!(client.read_more().unwrap(), 0, "its end, not an error");
    assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
    gateway.join();
}

/// What a client sends behind its last request must not take the answer away from it.
#[test]
fn an_answer_outlives_what_is_sent_after_the_last_request() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(upstream.address);
    let mut client: Client = gateway.client();
    gateway.stop();
    client.send(format!("{ASK}{}", ASK.repeat(20)));
    std::thread::sleep(Duration::from_millis(200));
    let _ = client.stream.write(ASK.as_bytes());
    let response = client.read(false).unwrap();
    assert_eq!((response.status, response.header("connection")), (200, Some("close")));
    assert!(matches!(client.read_more(), Ok(0)), "its end, not an error");
    let _ = client.stream.shutdown(Shutdown::Both);
    gateway.join();
}
