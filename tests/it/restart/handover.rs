//! A new process in the place of the old one: when it takes over, when it doesn't, and what both know meanwhile.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::sync::{Mutex, mpsc};

use gatewarden::ledger;

use super::{Line, after};
use crate::process::{FREE_PORTS, Files, RULES, ask, signal};
use crate::support::{Client, Upstream, eventually};

const OPEN: &str = "GET /desk/open HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn the_new_process_has_every_listener_and_the_old_one_ends() {
    let upstream = Upstream::echo();
    let more = format!("{FREE_PORTS}metrics.address = \"127.0.0.1:0\"\n");
    let mut line = Line::start(Files::new(upstream.address, &more));
    let newest = line.replace(line.0.id());
    assert_eq!(line.0.end(), 0, "{}", line.0.log());
    assert_eq!(ask(line.0.address("callers"), "GET /desk/open", &[]).status, 200);
    assert_eq!(ask(line.0.address("operators"), "GET /readyz", &[]).text(), "ready\n");
    assert_eq!(ask(line.0.address("scrapers"), "GET /livez", &[]).status, 200);
    let log = line.0.log();
    let addresses: Vec<_> = log.lines().filter(|line| line.contains("listening for")).collect();
    assert_eq!(addresses.len(), 6, "{log}");
    for (old, new) in addresses.iter().zip(&addresses[3..]) {
        assert_eq!(after(old, "address="), after(new, "address="));
    }
    signal("TERM", newest);
    eventually("nobody listens", || TcpStream::connect(line.0.address("callers")).is_err());
}

#[test]
fn a_process_that_cant_start_changes_nothing() {
    let upstream = Upstream::echo();
    let line = Line::start(Files::new(upstream.address, FREE_PORTS));
    let mut client = Client::connect(line.0.address("callers"));
    assert_eq!(client.ask(OPEN).status, 200);
    line.0.files.write("rules/desk.toml", "app = ");
    line.0.signal("USR2");
    line.0.until("this one goes on serving");
    let log = line.0.log();
    assert!(log.contains("rules or configuration are invalid"), "{log}");
    assert_eq!(client.ask(OPEN).status, 200, "and on the same connection");
    line.0.files.write("rules/desk.toml", RULES);
    line.replace(line.0.id());
}

/// Files of a gateway whose issuer answers nobody, so that it takes a while to be ready.
fn slow(upstream: &Upstream) -> (Line, TcpListener) {
    let line = Line::start(Files::new(upstream.address, FREE_PORTS));
    let issuer = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/keys", issuer.local_addr().unwrap());
    let text = fs::read_to_string(line.0.files.path("gateway.toml")).unwrap();
    line.0.files.write("gateway.toml", &text.replace("keys.json", &url));
    line.0.until("rules applied");
    (line, issuer)
}

#[test]
fn there_is_one_new_process_at_a_time_and_it_goes_with_the_old_one() {
    let upstream = Upstream::echo();
    let (mut line, _issuer) = slow(&upstream);
    line.0.signal("USR2");
    line.0.until("starting a new process");
    line.0.signal("USR2");
    line.0.until("is being started already");
    assert_eq!(line.successors().len(), 1);
    line.0.signal("TERM");
    assert_eq!(line.0.end(), 0, "{}", line.0.log());
    let newest = line.successors()[0];
    eventually("its end", || !fs::exists(format!("/proc/{newest}")).unwrap());
}

#[test]
fn the_new_process_serves_when_the_old_one_dies_before() {
    let upstream = Upstream::echo();
    let (mut line, _issuer) = slow(&upstream);
    line.0.signal("USR2");
    line.0.until("starting a new process");
    let newest = line.successors()[0];
    eventually("the program to run", || {
        fs::read_to_string(format!("/proc/{newest}/comm")).unwrap().starts_with("gatewarden")
    });
    line.0.signal("KILL");
    line.0.gone();
    // Not refused and not reset: it waits until the new one accepts.
    assert_eq!(ask(line.0.address("callers"), "GET /desk/open", &[]).status, 200);
}

#[test]
fn a_listener_that_is_no_longer_asked_for_is_closed() {
    let upstream = Upstream::echo();
    let line = Line::start(Files::new(upstream.address, FREE_PORTS));
    let before = line.0.address("callers");
    let free = TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap();
    let text = fs::read_to_string(line.0.files.path("gateway.toml")).unwrap();
    line.0.files.write("gateway.toml", &text.replacen("127.0.0.1:0", &free.to_string(), 1));
    line.replace(line.0.id());
    assert!(line.0.log().contains("no longer asked for: closed"), "{}", line.0.log());
    assert_eq!(ask(free, "GET /desk/open", &[]).status, 200);
    eventually("the old address is closed", || TcpStream::connect(before).is_err());
}

/// Who stays connected to the process that ends is judged by the rules as they are.
#[test]
fn a_process_that_ends_obeys_what_the_rules_say_meanwhile() {
    let upstream = Upstream::echo();
    let line = Line::start(Files::new(upstream.address, FREE_PORTS));
    let mut client = Client::connect(line.0.address("callers"));
    assert_eq!(client.ask(OPEN).status, 200);
    line.replace(line.0.id());
    line.0.files.write("rules/desk.toml", &RULES.replace("\"GET /open\", ", ""));
    // Both read the files: the one that ends and the one that serves.
    eventually("both to apply the rules", || line.count("rules applied") == 4);
    let response = client.ask(OPEN);
    assert_eq!((response.status, response.header("connection")), (404, Some("close")), "{}", line.0.log());
}

/// The new process knows nothing of what was sent to the old one, which stops going by it.
#[test]
fn a_candidate_that_was_sent_is_dropped_with_a_word() {
    let upstream = Upstream::echo();
    let files = Files::new(upstream.address, FREE_PORTS);
    let gateway = std::fs::read_to_string(files.path("gateway.toml")).unwrap();
    files.write("gateway.toml", &format!("{gateway}[candidate]\nremote = true\n"));
    let line = Line::start(files);
    let body = r#"{"tenants":["acme"]}"#;
    let answer = Client::connect(line.0.address("operators")).ask(format!(
        "PUT /candidate/tenants HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert_eq!(answer.status, 200, "{}", answer.text());
    line.replace(line.0.id());
    eventually("a word of it", || line.count("are dropped: send them again") == 1);
}

/// A manager that stops a service signals every process of it, the one that drains already, too.
#[test]
fn the_first_signal_to_a_process_that_was_replaced_cuts_nothing_off() {
    let (asks, asked) = mpsc::channel();
    let (answer, answers) = mpsc::channel::<()>();
    let answers = Mutex::new(answers);
    let upstream = Upstream::scripted(move |wire| {
        wire.read_head()?;
        let _ = asks.send(());
        let _ = answers.lock().unwrap().recv();
        wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
    });
    let mut line = Line::start(Files::new(upstream.address, FREE_PORTS));
    let mut client = Client::connect(line.0.address("callers"));
    client.send(OPEN);
    asked.recv().unwrap();
    line.replace(line.0.id());
    line.0.signal("TERM");
    line.0.until("draining already");
    answer.send(()).unwrap();
    let response = client.read(false).unwrap();
    assert_eq!((response.status, response.text()), (200, "done"));
    assert_eq!(line.0.end(), 0, "{}", line.0.log());
}

/// And the second ends it.
#[test]
fn the_second_signal_to_a_process_that_was_replaced_ends_it() {
    let (asks, asked) = mpsc::channel();
    let upstream = Upstream::scripted(move |wire| {
        wire.read_head()?;
        let _ = asks.send(());
        wire.read_head().map(drop)
    });
    let mut line = Line::start(Files::new(upstream.address, &format!("drain = \"1h\"\n{FREE_PORTS}")));
    let mut client = Client::connect(line.0.address("callers"));
    client.send(OPEN);
    asked.recv().unwrap();
    line.replace(line.0.id());
    line.0.signal("TERM");
    line.0.until("draining already");
    line.0.signal("TERM");
    assert_eq!(line.0.end(), 1, "{}", line.0.log());
}

#[test]
fn seats_are_known_to_the_new_process_and_to_the_books() {
    let upstream = Upstream::echo();
    let (files, seats) = crate::seats::two_seats(&upstream);
    let line = Line::start(files);
    assert_eq!(seats.asks(&line.0, "ada"), 200);
    let newest = line.replace(line.0.id());
    assert_eq!(["eve", "zoe", "ada"].map(|who| seats.asks(&line.0, who)), [200, 403, 200]);
    signal("TERM", newest);
    let path = line.0.files.path("state/seats.json");
    let named = || ledger::read(&path).ok().and_then(|books| Some(books.first()?.current.named.len()));
    eventually("both to be written", || named() == Some(2));
}
