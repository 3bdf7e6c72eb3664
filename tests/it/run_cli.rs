//! `gatewarden run` from its first line to its exit code.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::process::{FREE_PORTS, Files, Process, RULES, ask};
use crate::support::{Client, Upstream, eventually};

const NOWHERE: &str = "127.0.0.1:1";

fn nowhere() -> SocketAddr {
    NOWHERE.parse().unwrap()
}

#[test]
fn every_mistake_is_shown_and_nothing_starts() {
    let files = Files::new(nowhere(), "drian = \"5s\"");
    files.write("rules/desk.toml", &RULES.replace("[\"customers\"]", "[\"custmers\"]"));
    let (code, stdout, stderr) = files.ended(&[]);
    assert_eq!((code, &*stdout), (3, ""), "{stderr}");
    for part in ["did you mean `drain`?", "did you mean `customers`?", "desk.toml:", "nothing was started"] {
        assert!(stderr.contains(part), "{part} not in\n{stderr}");
    }
    assert!(!stderr.contains("listening"), "{stderr}");
}

#[test]
fn without_rules_there_is_no_gateway() {
    let files = Files::new(nowhere(), "rules = \"nowhere\"");
    let (code, _, stderr) = files.ended(&[]);
    assert_eq!(code, 4, "{stderr}");
    assert!(stderr.contains("GW9001"), "{stderr}");
}

#[test]
fn operators_endpoints_are_never_bound_to_the_network() {
    let (code, _, stderr) = Files::new(nowhere(), "admin.address = \"0.0.0.0:0\"").ended(&[]);
    assert_eq!(code, 3, "{stderr}");
}

#[test]
fn an_address_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for key in ["listen", "admin", "metrics"] {
        let mut keys = vec![format!("{key}.address = \"{address}\"")];
        keys.extend(
            ["listen", "admin"]
                .iter()
                .filter(|own| **own != key)
                .map(|own| format!("{own}.address = \"127.0.0.1:0\"")),
        );
        let (code, stdout, stderr) = Files::new(nowhere(), &keys.join("\n")).ended(&[]);
        assert_eq!((code, &*stdout), (4, ""), "{stderr}");
        let (named, said) = (format!("can't listen on {address}"), format!("[{key}] address"));
        assert!(stderr.contains(&named) && stderr.contains(&said), "{stderr}");
        assert!(!stderr.contains("ready"), "{stderr}");
    }
}

#[test]
fn check_only_says_whether_all_is_in_order() {
    let files = Files::new(nowhere(), FREE_PORTS);
    let (code, stdout, stderr) = files.ended(&["--check-only"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.starts_with("ok: 3 files") && stderr.is_empty(), "{stdout}{stderr}");
    files.write("rules/desk.toml", "app = ");
    assert_eq!(files.ended(&["--check-only"]).0, 3);
}

#[test]
fn a_hangup_reads_the_files_again() {
    let process = Process::start(Files::new(nowhere(), FREE_PORTS));
    process.files.write("rules/desk.toml", "app = ");
    process.until("rules rejected");
    // What was refused already is told again only to someone who asks.
    process.signal("HUP");
    process.until("trigger=\"signal\"");
    process.files.write("rules/desk.toml", RULES);
    process.until("stand on disk again");
    // Who signals has no other answer than the log, also where nothing changed.
    process.signal("HUP");
    process.until("rules unchanged");
}

/// An application that answers once it is told to, and says when it was asked.
struct Slow {
    upstream: Upstream,
    asked: mpsc::Receiver<()>,
    answer: mpsc::Sender<()>,
}

impl Slow {
    fn start() -> Self {
        let (asks, asked) = mpsc::channel();
        let (answer, answers) = mpsc::channel::<()>();
        let answers = std::sync::Mutex::new(answers);
        let upstream = Upstream::scripted(move |wire| {
            wire.read_head()?;
            let _ = asks.send(());
            let _ = answers.lock().unwrap().recv();
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
        });
        Self { upstream, asked, answer }
    }

    /// A gateway with a request in flight.
    fn in_flight(&self, more: &str) -> (Process, Client) {
        let process = Process::start(Files::new(self.upstream.address, &format!("{more}\n{FREE_PORTS}")));
        let mut client = Client::connect(process.address("callers"));
        client.send("GET /desk/open HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.asked.recv().unwrap();
        (process, client)
    }
}

#[test]
fn the_first_signal_lets_requests_in_flight_end() {
    for signal in ["TERM", "INT"] {
        let slow = Slow::start();
        let (mut process, mut client) = slow.in_flight("");
        process.signal(signal);
        process.until("draining");
        let ready = process.admin("GET /readyz", &[]);
        assert_eq!((ready.status, ready.text()), (503, "draining\n"));
        let address = process.address("callers");
        eventually("no new connections", || TcpStream::connect(address).is_err());
        slow.answer.send(()).unwrap();
        let response = client.read(false).unwrap();
        assert_eq!((response.status, response.text()), (200, "done"));
        assert_eq!(process.end(), 0, "{}", process.log());
    }
}

#[test]
fn a_drain_ends_when_its_time_is_over() {
    let slow = Slow::start();
    let (mut process, mut client) = slow.in_flight("drain = \"300ms\"");
    process.signal("TERM");
    assert_eq!(process.end(), 1, "{}", process.log());
    assert!(process.log().contains("cut off"), "{}", process.log());
    assert!(client.read(false).is_err());
}

#[test]
fn who_asked_for_nothing_is_not_cut_off() {
    let upstream = Upstream::echo();
    let more = format!("drain = \"300ms\"\nlisten.workers = 1\n{FREE_PORTS}");
    let mut process = Process::start(Files::new(upstream.address, &more));
    let address = process.address("callers");
    let mut silent = Client::connect(address);
    // Half a head keeps a connection for longer than the drain.
    silent.send("GET /desk/open HTTP/1.1\r\n");
    assert_eq!(ask(address, "GET /desk/open", &[]).status, 200);
    process.signal("TERM");
    assert_eq!(process.end(), 0, "{}", process.log());
    process.until("drained");
    assert!(!process.log().contains("cut off"), "{}", process.log());
}

#[test]
fn the_second_signal_ends_it_at_once() {
    let slow = Slow::start();
    let (mut process, _client) = slow.in_flight("drain = \"1h\"");
    process.signal("TERM");
    process.until("draining");
    let began = Instant::now();
    process.signal("TERM");
    assert_eq!(process.end(), 1, "{}", process.log());
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn operators_see_what_is_live_and_reload_it() {
    let process = Process::start(Files::new(nowhere(), FREE_PORTS));
    let rules = || -> serde_json::Value {
        let response = process.admin("GET /rules", &[]);
        assert_eq!(response.header("content-type"), Some("application/json"));
        serde_json::from_str(response.text()).unwrap()
    };
    let first = rules();
    assert_eq!((&first["state"], &first["revision"]), (&"live".into(), &1.into()));
    assert_eq!(first["files"].as_array().unwrap().len(), 3);
    assert_eq!(process.admin("POST /reload", &[]).status, 200);
    process.files.write("rules/desk.toml", &RULES.replace("[\"customers\"]", "[\"custmers\"]"));
    let refused = process.admin("POST /reload", &[]);
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("did you mean `customers`?"), "{}", refused.text());
    let rejected = rules();
    assert_eq!((&rejected["state"], &rejected["hash"]), (&"rejected".into(), &first["hash"]));
    assert!(rejected["last_error"]["rendered"].as_str().unwrap().contains("custmers"));
    assert_eq!(process.admin("GET /readyz", &[]).status, 200, "the last good rules are enforced");
    let verbose = process.admin("GET /readyz?verbose", &[]);
    assert!(
        verbose.text().contains("rejected") && verbose.text().contains("keys of sso"),
        "{}",
        verbose.text()
    );
}

#[test]
fn no_web_page_reaches_the_operators_listener() {
    let process = Process::start(Files::new(nowhere(), FREE_PORTS));
    let rebound = process.admin("GET /rules", &["Host: rebound.example:9901"]);
    assert_eq!(rebound.status, 403);
    assert_eq!(process.admin("GET /rules", &["Host: localhost.rebound.example"]).status, 403);
    for header in [
        "Origin: https://evil.example",
        "Origin: null",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
    ] {
        assert_eq!(process.admin("POST /reload", &[header]).status, 403, "{header}");
    }
    assert_eq!(process.admin("GET /reload", &[]).status, 405);
    assert_eq!(process.admin("POST /rules", &[]).status, 405);
    assert_eq!(process.admin("GET /nothing", &[]).status, 404);
}

#[test]
fn scrapers_have_a_listener_that_shows_no_rules() {
    let more = format!("{FREE_PORTS}metrics.address = \"127.0.0.1:0\"\n");
    let process = Process::start(Files::new(nowhere(), &more));
    let address = process.address("scrapers");
    for (line, status) in [
        ("GET /metrics", 200),
        ("GET /livez", 200),
        ("GET /readyz", 200),
        ("HEAD /livez", 200),
        ("GET /rules", 404),
        ("POST /reload", 404),
        ("GET /", 404),
        ("POST /metrics", 405),
    ] {
        assert_eq!(ask(address, line, &["Host: scraped.example"]).status, status, "{line}");
    }
}

#[test]
fn log_lines_are_json_if_asked_for() {
    let more = format!("{FREE_PORTS}telemetry.log = \"json\"\n");
    let process = Process::start(Files::new(nowhere(), &more));
    for line in process.log().lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(value["level"].is_string() && value["message"].is_string(), "{line}");
    }
}

/// A gateway that has no keys yet would tell every caller to try again, so nobody is sent to it.
#[test]
fn it_is_ready_once_the_issuers_were_asked_for_keys() {
    let issuer = TcpListener::bind("127.0.0.1:0").unwrap();
    let files = Files::new(nowhere(), FREE_PORTS);
    let text = std::fs::read_to_string(files.path("gateway.toml")).unwrap();
    let url = format!("http://{}/keys", issuer.local_addr().unwrap());
    files.write("gateway.toml", &text.replace("keys.json", &url));
    let process = Process::begin(files);
    let (asked, _) = issuer.accept().unwrap();
    assert_eq!(process.admin("GET /readyz", &[]).status, 503);
    assert_eq!(process.admin("GET /livez", &[]).status, 200);
    // It hangs up: asked for, not got. Others' callers can be served, and this issuer's are told to try again.
    drop((asked, issuer));
    process.until("ready");
    assert_eq!(process.admin("GET /readyz", &[]).status, 200);
}

/// A load balancer needs to see that it shouldn't send any more before there is nobody to send to.
#[test]
fn callers_are_let_in_for_a_while_after_it_said_that_it_ends() {
    let upstream = Upstream::echo();
    let more = format!("drain-delay = \"1s\"\n{FREE_PORTS}");
    let mut process = Process::start(Files::new(upstream.address, &more));
    process.signal("TERM");
    process.until("callers are still let in");
    assert_eq!(process.admin("GET /readyz", &[]).status, 503);
    let mut client = Client::connect(process.address("callers"));
    assert_eq!(client.ask("GET /desk/open HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 200);
    drop(client);
    assert_eq!(process.end(), 0, "{}", process.log());
}
