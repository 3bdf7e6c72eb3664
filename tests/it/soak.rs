//! What only shows after a while: memory under churn, floods again and again, and slow clients by the hundred. `make soak` runs
//! these and every other test whose name begins like them; each prints one line. `SOAK_MINUTES` is how long memory is watched.

use std::io::Write;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use gatewarden::token::signer::Signer;
use serde_json::json;

use crate::process::{FREE_PORTS, Files, Process};
use crate::support::h2::{H2, head};
use crate::support::{Client, Gateway, Upstream};

const RULES: &str = r#"
app = "desk"
base = "/desk"
issuer = "sso"
roles = "token.roles"
tenant = { from = ["header.x-customer", "token.tenant"], proven-by = "mine" }
isolation = "upstream"
public = ["GET /open/{name}"]
[facts.token]
roles = "set"
tenant = "string"
[when]
mine = "token.tenant in tenant.ids"
[require]
mine = "mine"
[resource.thing]
view = ["GET /things/{id}"]
[role.reader]
only = "mine"
view = ["thing"]
"#;
const TENANTS: u64 = 2_000;
const WORKERS: u64 = 4;
/// Tokens that are remembered at most, and what is sent before memory is looked at.
const WARM: u64 = 15_000;

fn watched() -> Duration {
    let minutes = std::env::var("SOAK_MINUTES").ok().and_then(|text| text.parse().ok()).unwrap_or(1.0);
    Duration::from_secs_f64(minutes * 60.0)
}

fn resident_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn gateway(upstream: &Upstream, keys: &Signer) -> Process {
    let files = Files::new(upstream.address, FREE_PORTS);
    files.write("keys.json", &keys.jwks());
    files.write("rules/desk.toml", RULES);
    let rows = (0..TENANTS).map(|n| format!("[tenant.t{n}]\nids = [\"id-{n}\"]\napps = [\"desk\"]\n"));
    files.write("rules/tenants.toml", &rows.collect::<String>());
    let gateway = std::fs::read_to_string(files.path("gateway.toml")).unwrap();
    files.write("gateway.toml", &gateway.replace("jwks = ", "algorithms = [\"EdDSA\"]\njwks = "));
    Process::start(files)
}

/// One connection with a handful of requests, none of which was ever sent before.
fn churn(process: &Process, keys: &Signer, turn: u64) -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let tenant = turn % TENANTS;
    let claims = json!({
        "iss": "https://sso.example", "aud": "desk", "sub": format!("someone-{turn}"), "exp": now + 300,
        "tenant": format!("id-{tenant}"), "roles": ["reader"],
    });
    let token = format!("Authorization: Bearer {}", keys.sign(&claims).unwrap());
    let address = process.address("callers");
    if turn.is_multiple_of(16) {
        let mut client = H2::connect(address);
        let path = format!("/desk/open/{turn}");
        client.ask(1, &head("GET", &path));
        assert_eq!(client.outcome(1).status(), Some(200));
        return 1;
    }
    let mut client = Client::connect(address);
    let mut ask = |line: &str, more: &str, status: u16| {
        let seen = client.ask(format!("{line} HTTP/1.1\r\nHost: h{turn}.example\r\n{more}\r\n\r\n")).status;
        assert_eq!(seen, status, "{line} {more}");
    };
    ask(&format!("GET /desk/things/{turn}"), &token, 200);
    ask(&format!("GET /desk/things/{turn}-again"), &format!("{token}\r\nX-Customer: id-{tenant}"), 200);
    ask(&format!("GET /desk/things/{turn}"), &format!("{token}\r\nX-Customer: nobody-{turn}"), 403);
    ask(&format!("GET /desk/things/{turn}"), &format!("Authorization: Bearer a{turn}.b.c"), 401);
    ask(&format!("GET /desk/open/{turn}"), &format!("X-Header-{turn}: {turn}"), 200);
    ask(&format!("GET /nowhere/{turn}"), "X: y", 404);
    ask(&format!("M{turn} /desk/things/{turn}"), "X: y", 405);
    7
}

#[test]
#[ignore = "long"]
fn soak_memory_stays_flat() {
    let upstream = Upstream::scripted(|wire| {
        while wire.read_head()?.is_some() {
            wire.forget();
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        }
        Ok(())
    });
    let keys = Signer::from_seed(&[7; 32], "soak").unwrap();
    let process = gateway(&upstream, &keys);
    let (turns, requests, stop) = (AtomicU64::new(1), AtomicU64::new(0), AtomicBool::new(false));
    let mut samples = Vec::new();
    let mut length = Duration::ZERO;
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let turn = turns.fetch_add(1, Ordering::Relaxed);
                    requests.fetch_add(churn(&process, &keys, turn), Ordering::Relaxed);
                }
            });
        }
        while turns.load(Ordering::Relaxed) < WARM {
            std::thread::sleep(Duration::from_millis(50));
        }
        let began = Instant::now();
        while began.elapsed() < watched() {
            samples.push(resident_kib(process.id()));
            std::thread::sleep(watched() / 200);
        }
        length = began.elapsed();
        stop.store(true, Ordering::Relaxed);
    });
    let mean = |part: &[u64]| part.iter().sum::<u64>() / u64::try_from(part.len()).unwrap();
    let tenth = samples.len() / 10;
    let (first, middle, last) = (
        mean(&samples[..tenth]),
        mean(&samples[tenth * 5..tenth * 6]),
        mean(&samples[samples.len() - tenth..]),
    );
    let line = format!(
        "soak: memory: {} requests with {} tokens, hosts and paths and {TENANTS} tenants on as many connections in {:.1} minutes: \
         resident {first} KiB at first, {middle} half-way, {last} at last",
        requests.load(Ordering::Relaxed),
        turns.load(Ordering::Relaxed),
        length.as_secs_f64() / 60.0
    );
    println!("{line}");
    assert!(last <= middle + middle / 20 + 1024, "{line}: {samples:?}");
}

/// The floods of a short test, again and again, at one gateway.
#[test]
#[ignore = "long"]
fn soak_floods_leave_nothing_behind() {
    let rounds = 60;
    let upstream = crate::attacks::floods::silent();
    let gateway = Gateway::before(upstream.address);
    let mut samples = Vec::new();
    for _ in 0..rounds {
        crate::attacks::floods::round(&gateway);
        samples.push(resident_kib(std::process::id()));
    }
    let (middle, last) = (samples[rounds / 2], samples[rounds - 1]);
    let line = format!(
        "soak: floods: {rounds} rounds, resident {} KiB at first, {middle} half-way, {last} at last",
        samples[0]
    );
    println!("{line}");
    assert!(last <= middle + middle / 20 + 1024, "{line}: {samples:?}");
}

/// Hundreds of clients that send a byte now and then; everybody else is served meanwhile.
#[test]
#[ignore = "long"]
fn soak_slow_clients_are_let_go() {
    let upstream = Upstream::echo();
    let setup = Gateway::setup().upstream("app", &[upstream.address]);
    let gateway = setup.limits(|limits| limits.connections_per_client = 5_000).start();
    let mut slow: Vec<Client> = (0..1_000).map(|_| gateway.client()).collect();
    for client in &mut slow {
        client.send("GET /app/x HTTP/1.1\r\nHost: a\r\nX-Slow: ");
    }
    let (began, mut worst, mut served) = (Instant::now(), Duration::ZERO, 0);
    while !slow.is_empty() {
        assert!(began.elapsed() < Duration::from_secs(60), "{} are still there", slow.len());
        for client in &mut slow {
            let _ = client.stream.write_all(b"x");
        }
        slow.retain_mut(|client| !client.is_gone() && client.take_buffered() == 0);
        let asked = Instant::now();
        assert_eq!(gateway.request("GET /app/other", &[]).status, 200);
        (worst, served) = (worst.max(asked.elapsed()), served + 1);
        std::thread::sleep(Duration::from_millis(200));
    }
    println!(
        "soak: slow heads: 1000 clients let go after {:.0} s, {served} others served meanwhile, the slowest in {} ms",
        began.elapsed().as_secs_f64(),
        worst.as_millis()
    );
}

#[test]
#[ignore = "long"]
fn soak_slowhttptest_finds_the_service_available() {
    let upstream = Upstream::echo();
    let setup = Gateway::setup().upstream("app", &[upstream.address]);
    let gateway = setup.limits(|limits| limits.connections_per_client = 5_000).start();
    for (mode, name) in [("-H", "headers"), ("-B", "bodies"), ("-X", "reads")] {
        let url = format!("http://{}/app/x", gateway.address);
        let mut command = Command::new("slowhttptest");
        command
            .args([mode, "-c", "500", "-i", "5", "-r", "200", "-x", "24", "-p", "3", "-l", "25", "-u", &url]);
        let Ok(output) = command.output() else {
            println!("soak: slowhttptest isn't installed");
            return;
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // In colours, which are no part of it.
        let plain: String =
            text.split('\u{1b}').map(|part| part.split_once('m').map_or(part, |(_, rest)| rest)).collect();
        let last = |what: &str| {
            plain.lines().rev().find_map(|line| Some(line.split_once(what)?.1.trim().to_owned()))
        };
        let (available, end) = (last("service available:"), last("Exit status:"));
        println!("soak: slowhttptest {name}: service available: {available:?}, ended: {end:?}");
        assert_eq!(available.as_deref(), Some("YES"), "{plain}");
        assert_eq!(gateway.request("GET /app/other", &[]).status, 200);
    }
}
