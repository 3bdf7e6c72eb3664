//! Restarts under load: every request of every connection is answered, by one process or the other.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Line;
use crate::process::{FREE_PORTS, Files};
use crate::support::{Client, Response, Upstream};

const CONNECTIONS: usize = 32;
const RESTARTS: usize = 3;

/// What came of the requests of one connection.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    sent: u64,
    succeeded: u64,
    failed: u64,
    hung: u64,
    wrong: u64,
    connections: u64,
}

impl Tally {
    fn and(self, other: &Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            succeeded: self.succeeded + other.succeeded,
            failed: self.failed + other.failed,
            hung: self.hung + other.hung,
            wrong: self.wrong + other.wrong,
            connections: self.connections + other.connections,
        }
    }
}

/// Every third sends a body; every fourth waits before the next, so that some connections are idle at any time.
fn request(client: &mut Client, own: usize, number: u64) -> io::Result<Response> {
    let name = format!("c{own}n{number}");
    let head = if number.is_multiple_of(3) {
        format!(
            "POST /desk/open/{name} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{}",
            "x".repeat(1000)
        )
    } else {
        format!("GET /desk/open/{name} HTTP/1.1\r\nHost: a\r\n\r\n")
    };
    io::Write::write_all(&mut client.stream, head.as_bytes())?;
    client.read(false)
}

/// One client that keeps its connection as long as it may.
fn ask_on(address: SocketAddr, own: usize, stop: &AtomicBool) -> Tally {
    let mut tally = Tally::default();
    let mut kept: Option<Client> = None;
    while !stop.load(Ordering::Relaxed) {
        tally.sent += 1;
        let mut client = kept.take().unwrap_or_else(|| {
            tally.connections += 1;
            Client::connect(address)
        });
        match request(&mut client, own, tally.sent) {
            Ok(response) => {
                let is_right = response.status == 200
                    && response.text().contains(&format!("/desk/open/c{own}n{} ", tally.sent));
                if is_right {
                    tally.succeeded += 1
                } else {
                    tally.wrong += 1
                }
                if response.header("connection") != Some("close") {
                    kept = Some(client);
                }
            }
            Err(why) if matches!(why.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                tally.hung += 1;
            }
            Err(_) => tally.failed += 1,
        }
        if tally.sent.is_multiple_of(4) {
            std::thread::sleep(Duration::from_millis(own as u64 * 4));
        }
    }
    tally
}

#[test]
fn no_request_is_lost_when_a_gateway_is_replaced_three_times() {
    let upstream = Upstream::echo();
    let files = Files::new(upstream.address, FREE_PORTS);
    let rules = crate::process::RULES.replace("\"GET /open\"", "\"POST /open/{name}\", \"GET /open\"");
    files.write("rules/desk.toml", &rules);
    let line = Line::start(files);
    let address = line.0.address("callers");
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|own| {
            let stop = stop.clone();
            std::thread::spawn(move || ask_on(address, own, &stop))
        })
        .collect();
    let mut newest = line.0.id();
    for _ in 0..RESTARTS {
        std::thread::sleep(Duration::from_millis(300));
        newest = line.replace(newest);
    }
    std::thread::sleep(Duration::from_millis(300));
    stop.store(true, Ordering::Relaxed);
    let tallies: Vec<Tally> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    let all = tallies.iter().fold(Tally::default(), Tally::and);
    println!("{RESTARTS} restarts under {CONNECTIONS} connections: {all:?}");
    assert_eq!((all.failed, all.hung, all.wrong), (0, 0, 0), "{all:?}\n{}", line.0.log());
    assert_eq!(all.succeeded, all.sent);
    assert!(all.connections as usize >= CONNECTIONS * 2, "nobody was told to come again: {all:?}");
}
