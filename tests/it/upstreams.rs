//! Servers that die, freeze, come back or have too much to do, seen by the gateway's callers.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use gatewarden::plumbing::{Balance, HealthCheck};
use serde_json::json;

use crate::support::{Gateway, Upstream, Wire, eventually};

/// An application that can be killed and started again at its address.
struct Mortal {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    is_dead: Arc<AtomicBool>,
}

impl Mortal {
    fn start(at: Option<SocketAddr>) -> Self {
        let listener = TcpListener::bind(at.unwrap_or(([127, 0, 0, 1], 0).into())).unwrap();
        let address = listener.local_addr().unwrap();
        let mortal = Self { address, asked: Arc::default(), open: Arc::default(), is_dead: Arc::default() };
        let (asked, open, is_dead) = (mortal.asked.clone(), mortal.open.clone(), mortal.is_dead.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                if is_dead.load(Ordering::SeqCst) {
                    return;
                }
                let mut stream = stream.unwrap();
                open.lock().unwrap().push(stream.try_clone().unwrap());
                let asked = asked.clone();
                thread::spawn(move || {
                    let mut bytes = [0; 4096];
                    // The test's requests come in one piece.
                    while stream.read(&mut bytes).is_ok_and(|length| length > 0) {
                        asked.fetch_add(1, Ordering::SeqCst);
                        if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() {
                            return;
                        }
                    }
                });
            }
        });
        mortal
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn kill(&self) {
        self.is_dead.store(true, Ordering::SeqCst);
        // The listener notices, and is closed by that.
        let _ = TcpStream::connect(self.address);
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Answers with its name, once the script let it.
fn named(name: &'static str) -> Upstream {
    Upstream::scripted(move |wire| {
        while wire.read_head()?.is_some() {
            say(wire, name)?;
        }
        Ok(())
    })
}

fn say(wire: &mut Wire, text: &str) -> io::Result<()> {
    let length = text.len();
    wire.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{text}").as_bytes())
}

/// Reads requests and answers none.
fn frozen() -> Upstream {
    Upstream::scripted(|wire| wire.drain().map(drop))
}

#[test]
fn a_server_that_is_killed_costs_no_reader_anything_and_gets_its_share_back() {
    let (one, two) = (Mortal::start(None), Mortal::start(None));
    let gateway = Gateway::setup().upstream("app", &[one.address, two.address]).start();
    let mut client = gateway.client();
    let mut ask = |times: usize| {
        for _ in 0..times {
            assert_eq!(client.request("GET /app/x", &[]).status, 200);
        }
    };
    ask(20);
    assert_eq!((one.asked(), two.asked()), (10, 10));
    one.kill();
    ask(40);
    assert_eq!(two.asked(), 50);
    gateway.counts(
        "gatewarden_upstream_server_ejections_total",
        &[&format!("server=\"{}\"", one.address), " 1"],
    );
    let one = Mortal::start(Some(one.address));
    eventually("the server that came back to be asked", || {
        assert_eq!(gateway.request("GET /app/x", &[]).status, 200);
        one.asked() > 0
    });
}

#[test]
fn a_server_that_says_nothing_is_left_for_another() {
    let (cold, well) = (frozen(), named("well"));
    let setup = Gateway::setup().upstream("app", &[cold.address, well.address]);
    let gateway = setup.upstreams_as(|own| own.try_timeout = Some(Duration::from_millis(100))).start();
    for _ in 0..20 {
        assert_eq!(gateway.request("GET /app/x", &[]).text(), "well");
    }
    assert!((5..12).contains(&cold.connections()), "five in a row say enough: {}", cold.connections());
    gateway.counts("gatewarden_upstream_retries_total", &["answered", " 5"]);
}

#[test]
fn what_may_have_been_acted_upon_is_not_sent_again() {
    let both = [(); 2].map(|()| Upstream::scripted(|wire| wire.read_head().map(drop)));
    let setup = Gateway::setup().upstream("app", &both.each_ref().map(|own| own.address));
    let gateway = setup.start();
    for line in ["POST /app/x", "PUT /app/x", "DELETE /app/x"] {
        assert_eq!(gateway.request(line, &["Content-Length: 0"]).status, 502);
    }
    let sent =
        |verb: &str| both.iter().flat_map(Upstream::heads).filter(|head| head.starts_with(verb)).count();
    assert_eq!(["POST", "PUT", "DELETE"].map(sent), [1, 1, 1]);
    assert_eq!(gateway.request("GET /app/x", &[]).status, 502);
    assert_eq!(sent("GET"), 2, "reading may be tried elsewhere");
}

#[test]
fn retries_are_a_small_part_of_all_requests() {
    let both = [(); 2].map(|()| Upstream::scripted(|wire| wire.read_head().map(drop)));
    let setup = Gateway::setup().upstream("app", &both.each_ref().map(|own| own.address));
    let gateway = setup.start();
    let mut client = gateway.client();
    let began = Instant::now();
    for _ in 0..200 {
        assert_eq!(client.request("GET /app/x", &[]).status, 502);
    }
    let retried = both.iter().map(|own| own.heads().len()).sum::<usize>() - 200;
    // What was saved up, a fifth of what was sent, and ten in each second.
    let most = 100 + 60 + 10 * (usize::try_from(began.elapsed().as_secs()).unwrap() + 1);
    assert!((100..=most).contains(&retried), "{retried} of at most {most}");
    gateway.counts("gatewarden_upstream_retries_total", &["over-budget"]);
}

/// An application that answers when it is told to.
fn held() -> (Upstream, Arc<AtomicBool>) {
    let is_free = Arc::<AtomicBool>::default();
    let told = is_free.clone();
    let upstream = Upstream::scripted(move |wire| {
        while wire.read_head()?.is_some() {
            eventually("the application is told to answer", || told.load(Ordering::SeqCst));
            say(wire, "at last")?;
        }
        Ok(())
    });
    (upstream, is_free)
}

#[test]
fn an_upstream_is_given_no_more_than_it_may_have_and_few_wait() {
    let (upstream, is_free) = held();
    let gateway = Gateway::setup()
        .upstream("app", &[upstream.address])
        .upstreams_as(|own| {
            (own.in_flight, own.pending, own.pending_timeout) = (1, 1, Duration::from_secs(20));
        })
        .start();
    let get = "GET /app/x HTTP/1.1\r\nHost: a\r\n\r\n";
    let (mut first, mut second) = (gateway.client(), gateway.client());
    first.send(get);
    eventually("the first is there", || upstream.heads().len() == 1);
    second.send(get);
    gateway.counts("gatewarden_upstream_pending", &["app", " 1"]);
    let third = gateway.request("GET /app/x", &[]);
    assert_eq!((third.status, third.header("retry-after")), (503, Some("1")));
    assert!(third.text().contains("urn:gatewarden:upstream-overloaded"));
    gateway.counts("gatewarden_limit_hits_total{limit=\"upstream-in-flight\"}", &[" 1"]);
    assert_eq!(upstream.heads().len(), 1);
    is_free.store(true, Ordering::SeqCst);
    assert_eq!(first.read(false).unwrap().text(), "at last");
    assert_eq!(second.read(false).unwrap().text(), "at last");
    gateway.counts("gatewarden_upstream_server_in_flight", &[" 0"]);
}

#[test]
fn whoever_waits_in_vain_is_told() {
    let (upstream, is_free) = held();
    let setup = Gateway::setup().upstream("app", &[upstream.address]);
    let setup =
        setup.upstreams_as(|own| (own.in_flight, own.pending_timeout) = (1, Duration::from_millis(30)));
    let gateway = setup.start();
    let mut first = gateway.client();
    first.send("GET /app/x HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the first is there", || upstream.heads().len() == 1);
    assert_eq!(gateway.request("GET /app/x", &[]).status, 503);
    gateway.counts("gatewarden_upstream_overloads_total", &["app", " 1"]);
    is_free.store(true, Ordering::SeqCst);
    assert_eq!(first.read(false).unwrap().status, 200);
}

#[test]
fn a_server_that_fails_its_health_check_gets_nothing_until_it_passes() {
    let is_ill = Arc::new(AtomicBool::new(true));
    let told = is_ill.clone();
    let ill = Upstream::scripted(move |wire| {
        while let Some(head) = wire.read_head()? {
            if head.starts_with("GET /health?deep ") && told.load(Ordering::SeqCst) {
                wire.write(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")?;
            } else {
                say(wire, "ill")?;
            }
        }
        Ok(())
    });
    let well = named("well");
    let every = Duration::from_millis(50);
    let check = HealthCheck {
        path: "/health?deep".into(),
        every,
        timeout: Duration::from_secs(5),
        expect: 200,
        healthy: 1,
        unhealthy: 2,
    };
    let setup = Gateway::setup().upstream("app", &[ill.address, well.address]);
    let gateway = setup.upstreams_as(move |own| own.health = Some(check.clone())).tended().start();
    let server = format!("server=\"{}\"", ill.address);
    gateway.counts("gatewarden_upstream_server_healthy", &[&server, " 0"]);
    for _ in 0..10 {
        assert_eq!(gateway.request("GET /app/x", &[]).text(), "well");
    }
    is_ill.store(false, Ordering::SeqCst);
    gateway.counts("gatewarden_upstream_server_healthy", &[&server, " 1"]);
    eventually("the server to be asked again", || gateway.request("GET /app/x", &[]).text() == "ill");
}

#[test]
fn a_tenants_requests_go_to_one_server() {
    const RULES: &str = r#"
app       = "app"
owns      = ["/app", "/app-guarded"]
issuer    = "test"
roles     = "token.roles"
tenant    = { from = ["token.tid"] }
isolation = "upstream"
[facts.token]
roles = "set"
tid   = "string"
[resource.things]
use = ["GET /app/{rest...}"]
[role.user]
use = ["things"]
"#;
    let servers = ["one", "two", "three"].map(named);
    let tenants: String =
        (0..30).map(|i| format!("[tenant.t{i}]\nids = [\"t{i}\"]\napps = [\"app\"]\n")).collect();
    let gateway = Gateway::setup()
        .upstream("app", &servers.each_ref().map(|own| own.address))
        .rules("app", RULES)
        .tenants(&tenants)
        .upstreams_as(|own| own.balance = Balance::Tenant)
        .start();
    let mut homes = std::collections::HashSet::new();
    for tenant in 0..30 {
        let token = gateway.token_saying(&json!({ "roles": ["user"], "tid": format!("t{tenant}") }));
        let mut client = gateway.client();
        let home = client.request("GET /app/x", &[&token]).text().to_owned();
        for _ in 0..3 {
            assert_eq!(client.request("GET /app/y", &[&token]).text(), home);
        }
        homes.insert(home);
    }
    assert_eq!(homes.len(), 3, "tenants are spread");
}

#[test]
fn a_connection_serves_until_it_is_old() {
    let upstream = named("app");
    let setup = Gateway::setup().upstream("app", &[upstream.address]);
    let gateway = setup.upstreams_as(|own| own.connection_age = Duration::from_nanos(1)).start();
    let mut client = gateway.client();
    for _ in 0..3 {
        assert_eq!(client.request("GET /app/x", &[]).status, 200);
    }
    assert_eq!(upstream.connections(), 3);
    gateway.counts("gatewarden_upstream_server_connections_opened_total", &[" 3"]);
}

#[test]
fn a_server_may_have_a_name() {
    let upstream = named("app");
    let setup = Gateway::setup().upstream("app", &[upstream.address]);
    let gateway = setup.upstreams_as(|own| own.servers[0].host = "localhost".into()).tended().start();
    let mut client = gateway.client();
    for _ in 0..3 {
        assert_eq!(client.request("GET /app/x", &[]).text(), "app");
    }
    assert_eq!(upstream.connections(), 1);
}

/// Says its name, but takes its time.
fn slow(name: &'static str) -> Upstream {
    Upstream::scripted(move |wire| {
        while wire.read_head()?.is_some() {
            thread::sleep(Duration::from_millis(800));
            say(wire, name)?;
        }
        Ok(())
    })
}

/// Time for a try once ended the last one, too, and slow answers came from nobody.
#[test]
fn the_last_server_has_all_the_time_there_is() {
    let (one, two) = (slow("slow"), slow("slow"));
    for servers in [&[one.address][..], &[one.address, two.address]] {
        let setup = Gateway::setup().upstream("app", servers);
        let gateway = setup.upstreams_as(|own| own.try_timeout = Some(Duration::from_millis(200))).start();
        for _ in 0..2 {
            assert_eq!(gateway.request("GET /app/x", &[]).text(), "slow");
        }
    }
    eventually("of two, the first to be left for the second", || {
        one.heads().len() + two.heads().len() == 2 + 4
    });
}

#[test]
fn what_is_too_long_to_be_sent_again_has_all_the_time_there_is() {
    let (one, two) = (slow("slow"), slow("slow"));
    let setup = Gateway::setup().upstream("app", &[one.address, two.address]);
    let gateway = setup.upstreams_as(|own| own.try_timeout = Some(Duration::from_millis(200))).start();
    let long = format!("X-Long: {}", "x".repeat(20 * 1024));
    assert_eq!(gateway.request("GET /app/x", &[&long]).text(), "slow");
    assert_eq!(one.heads().len() + two.heads().len(), 1);
}
