//! The same through a gateway's sockets: what an upstream received, against what the client sent and what any reading
//! makes of it.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use super::decided::Rules;
use super::readings::ways_in;
use super::targets::target;
use super::{gateway, path_of};
use crate::support::h2::{H2, Outcome, head};
use crate::support::{Client, Gateway, Upstream};

/// What became of one target: the status, if there was one, and the target that the upstream received.
struct Seen {
    status: Option<u16>,
    received: Option<String>,
}

/// How a request is put on the wire.
type Ask = fn(&Gateway, &str, &str, &mut Option<Open>) -> Seen;

/// A connection that is still good.
enum Open {
    Http1(Client),
    Http2(H2, u32),
}

fn over_http1(gateway: &Gateway, target: &str, token: &str, open: &mut Option<Open>) -> Seen {
    let mut client = match open.take() {
        Some(Open::Http1(client)) => client,
        _ => gateway.client(),
    };
    client.send(format!("GET {target} HTTP/1.1\r\nHost: gateway.test\r\n{token}\r\n\r\n"));
    let Ok(response) = client.read(false) else { return Seen { status: None, received: None } };
    let received = (response.status == 200).then(|| received(response.text()));
    // Whatever isn't plain may have left something behind.
    if response.status == 200 {
        *open = Some(Open::Http1(client));
    }
    Seen { status: Some(response.status), received }
}

fn over_http2(gateway: &Gateway, target: &str, token: &str, open: &mut Option<Open>) -> Seen {
    let (mut client, stream) = match open.take() {
        Some(Open::Http2(client, last)) if last < 400 => (client, last + 2),
        _ => (H2::connect(gateway.address), 1),
    };
    let mut fields = head("GET", target);
    fields.push(("authorization", token.strip_prefix("Authorization: ").unwrap()));
    client.ask(stream, &fields);
    let seen = match client.outcome(stream) {
        Outcome::Answer(status, body) => {
            let received = (status == 200).then(|| received(std::str::from_utf8(&body).unwrap()));
            Seen { status: Some(status), received }
        }
        Outcome::Reset(_) => Seen { status: None, received: None },
        Outcome::GoAway(_) | Outcome::Closed | Outcome::Silence => {
            return Seen { status: None, received: None };
        }
    };
    *open = Some(Open::Http2(client, stream));
    seen
}

/// The target in the request line that the upstream says it received.
fn received(head: &str) -> String {
    let line = head.split("\r\n").next().unwrap();
    line.strip_prefix("GET ").and_then(|line| line.strip_suffix(" HTTP/1.1")).unwrap().to_owned()
}

/// Sends so many targets, and says how many reached the upstream.
fn hold(cases: usize, ask: Ask) -> usize {
    let upstream = Upstream::echo();
    let (gateway, rules) = (gateway(&upstream), Rules::new());
    let (token, supposed) = (gateway.token(&["user"]), rules.token("user"));
    let (mut runner, mut open, mut passed) = (TestRunner::deterministic(), None, 0);
    for _ in 0..cases {
        let target = target().new_tree(&mut runner).unwrap().current();
        let seen = ask(&gateway, &target, &token, &mut open);
        let mut decided = rules.forwarded(&target, &supposed);
        // What follows a `#` is nobody's: it is dropped before anything is judged, if it can be read at all.
        if seen.received.is_none() && target.contains('#') {
            decided = None;
        }
        assert_eq!(seen.received, decided, "{target:?}: {:?}", seen.status);
        if let Some(received) = seen.received {
            passed += 1;
            let ways = ways_in(path_of(&received).as_bytes());
            assert!(ways.is_empty(), "{target:?} arrived as {received:?}, which leads in: {ways:?}");
        } else {
            let expected = matches!(seen.status, None | Some(400 | 403 | 404 | 405 | 414));
            assert!(expected, "{target:?}: {:?}", seen.status);
        }
    }
    assert_eq!(upstream.heads().len(), passed, "the upstream saw what nobody was answered");
    passed
}

#[test]
fn what_an_upstream_receives_is_what_was_decided() {
    let passed = hold(600, over_http1);
    assert!(passed > 30, "{passed}");
}

#[test]
fn what_an_upstream_receives_of_http2_is_what_was_decided() {
    let passed = hold(600, over_http2);
    assert!(passed > 30, "{passed}");
}

#[test]
#[ignore = "long"]
fn soak_what_upstreams_receive_is_what_was_decided() {
    let (cases, passed) = (60_000, hold(60_000, over_http1) + hold(60_000, over_http2));
    println!(
        "soak: differential on the wire: {} requests, {passed} reached the upstream, 0 astray",
        2 * cases
    );
}
