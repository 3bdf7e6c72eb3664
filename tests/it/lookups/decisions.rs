//! Look-ups in requests' decisions, through the gateway: what is asked, when, and what follows from each answer.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::support::{Client, Gateway, PATIENCE, Response, Upstream, Wire};

/// Whoever the app calls an owner may see things. Who holds no role is refused without a question, and so is who asks for
/// what the plan doesn't have.
const RULES: &str = r#"
app    = "app"
base   = "/app"
issuer = "test"
roles  = "token.roles"
tenant = { from = ["token.tid"] }
isolation = "upstream"
[facts.token]
roles = "set"
sub   = "string"
tid   = "string"
plan  = "string"
[facts.user]
get    = "/members/{token.sub}"
ttl    = "60s"
forget = ["PATCH /members/{user}"]
role   = { at = "/role", type = "string" }
[when]
owner   = "user.role = 'owner'"
planned = "token.plan = 'full'"
both    = { all = ["owner", "planned"] }
[socket]
path = "/feed"
kind = "websocket"
[resource.things]
view = ["GET /things"]
[resource.plans]
view = ["GET /plans"]
[resource.feed]
view = ["GET /feed"]
[resource.members]
edit = ["PATCH /members/{user}"]
[role.user]
view = ["things if owner", "plans if both", "feed if owner"]
edit = ["members"]
"#;

const TENANTS: &str = "[tenant.acme]\nids = [\"t-acme\"]\napps = [\"app\"]\n\
                       [tenant.globex]\nids = [\"t-globex\"]\napps = [\"app\"]\n";

/// An application with members: what it says of each, and what it does before it says it.
#[derive(Clone, Default)]
struct Members(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    answers: HashMap<String, Vec<u8>>,
    asked: Vec<String>,
    /// Whose answers are held back: those with targets that begin so.
    held: Option<&'static str>,
}

impl Members {
    fn say(&self, target: &str, answer: impl Into<Vec<u8>>) {
        self.0.0.lock().unwrap().answers.insert(target.to_owned(), answer.into());
    }

    fn is(&self, target: &str, body: Value) {
        self.say(target, saying("200 OK", &body.to_string()));
    }

    /// Look-ups so far: whom they were about, and for which tenant.
    fn asked(&self) -> Vec<String> {
        self.0.0.lock().unwrap().asked.clone()
    }

    fn hold(&self) {
        self.hold_those("");
    }

    fn hold_those(&self, targets: &'static str) {
        self.0.0.lock().unwrap().held = Some(targets);
    }

    fn release(&self) {
        self.0.0.lock().unwrap().held = None;
        self.0.1.notify_all();
    }

    fn serve(&self) -> Upstream {
        let own = self.clone();
        Upstream::scripted(move |wire| own.answer(wire))
    }

    fn answer(&self, wire: &mut Wire) -> io::Result<()> {
        while let Some(head) = wire.read_head()? {
            wire.read_body(&head)?;
            if let Some(key) = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")) {
                let accept = derive_accept_key(key.as_bytes());
                let switched =
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n";
                wire.write(format!("{switched}Sec-WebSocket-Accept: {accept}\r\n\r\n").as_bytes())?;
                return wire.drain().map(drop);
            }
            let head = head.to_ascii_lowercase();
            if !head.contains("\r\nx-gatewarden-lookup: ") {
                wire.write(&saying("200 OK", "{\"forwarded\":true}"))?;
                continue;
            }
            let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let tenant = head.lines().find_map(|line| line.strip_prefix("x-gatewarden-tenant: "));
            let (state, released) = &*self.0;
            let mut state = state.lock().unwrap();
            state.asked.push(format!("{} {target}", tenant.unwrap_or("nobody")));
            while state.held.is_some_and(|held| target.starts_with(held)) {
                state = released.wait(state).unwrap();
            }
            let answer = state.answers.get(&format!("{} {target}", tenant.unwrap_or_default())).cloned();
            let answer = answer.or_else(|| state.answers.get(&target).cloned());
            drop(state);
            wire.write(&answer.unwrap_or_else(|| saying("404 Not Found", "{}")))?;
        }
        Ok(())
    }
}

fn saying(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
        .into()
}

const ADA: &str = "/app/members/ada";

/// A gateway before the members.
struct House {
    members: Members,
    gateway: Gateway,
    _app: Upstream,
}

impl House {
    fn new() -> Self {
        let members = Members::default();
        let app = members.serve();
        let gateway = Gateway::setup().upstream("app", &[app.address]);
        let gateway = gateway.rules("app", RULES).tenants(TENANTS).workers(2).start();
        Self { members, gateway, _app: app }
    }

    fn token(&self, claims: &Value) -> String {
        let mut all = json!({ "roles": ["user"], "tid": "t-acme", "plan": "full" });
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        self.gateway.token_saying(&all)
    }

    /// What a request of someone with these claims is answered.
    #[track_caller]
    fn request(&self, line: &str, claims: &Value) -> Response {
        self.gateway.request(line, &[&self.token(claims)])
    }

    #[track_caller]
    fn view(&self) -> u16 {
        self.request("GET /app/things", &json!({})).status
    }

    /// A socket that someone with these claims opened.
    #[track_caller]
    fn feed(&self, claims: &Value) -> Client {
        let token = self.token(claims);
        let mut socket = self.gateway.client();
        socket.send(format!(
            "GET /app/feed HTTP/1.1\r\nHost: gateway.test\r\n{token}\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ));
        let head = String::from_utf8(socket.read_until(b"\r\n\r\n").unwrap()).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        socket
    }

    fn counted(&self, result: &str) {
        let result = format!("result=\"{result}\"");
        self.gateway.counts("gatewarden_lookups_total", &["app=\"app\"", "namespace=\"user\"", &result]);
    }
}

#[test]
fn an_answer_decides_and_is_remembered() {
    let house = House::new();
    house.members.is(ADA, json!({ "role": "owner" }));
    for _ in 0..3 {
        assert_eq!(house.view(), 200);
    }
    assert_eq!(house.members.asked(), ["acme /app/members/ada"]);
    house.counted("found");
    house.counted("hit");
}

#[test]
fn what_the_application_denies_is_denied() {
    for answer in [
        saying("200 OK", "{\"role\":\"guest\"}"),
        saying("200 OK", "{\"role\":7}"),
        saying("200 OK", "{\"role\":[\"owner\"]}"),
        saying("200 OK", "{\"role\":{\"owner\":true}}"),
        saying("200 OK", "{\"role\":null}"),
        saying("200 OK", "{}"),
        saying("200 OK", "[]"),
        saying("200 OK", "\"owner\""),
        saying("404 Not Found", "{\"role\":\"owner\"}"),
    ] {
        let house = House::new();
        let shown = String::from_utf8_lossy(&answer).into_owned();
        house.members.say(ADA, answer);
        assert_eq!(house.view(), 403, "{shown}");
    }
}

#[test]
fn without_an_answer_the_caller_is_told_to_come_again() {
    let ten_megabytes = format!("{{\"role\":\"owner\",\"pad\":\"{}\"}}", "x".repeat(10 << 20));
    for (answer, word) in [
        (saying("500 Oh No", "{\"role\":\"owner\"}"), "status"),
        (saying("403 Forbidden", "{\"role\":\"owner\"}"), "not-allowed"),
        (saying("302 Found", "{\"role\":\"owner\"}"), "status"),
        (saying("200 OK", "{\"role\":\"guest\",\"role\":\"owner\"}"), "unreadable"),
        (saying("200 OK", "{\"role\":\"owner\""), "unreadable"),
        (saying("200 OK", &ten_megabytes), "too-large"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"role\":\"owner\"}".to_vec(), "unreadable"),
    ] {
        let house = House::new();
        house.members.say(ADA, answer);
        let response = house.request("GET /app/things", &json!({}));
        assert_eq!((response.status, response.header("retry-after")), (503, Some("1")), "{word}");
        assert!(response.text().contains("decision-unavailable"), "{}", response.text());
        house.counted(word);
    }
}

#[test]
fn an_application_that_hangs_holds_nobody_for_long() {
    let house = House::new();
    house.members.hold();
    let began = Instant::now();
    let response = house.request("GET /app/things", &json!({}));
    assert_eq!((response.status, response.header("retry-after")), (503, Some("1")));
    assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
    house.counted("timeout");
    house.members.release();
}

#[test]
fn most_denials_ask_nothing() {
    let house = House::new();
    house.members.is(ADA, json!({ "role": "owner" }));
    // No role, another plan, no operation, no tenant, no token.
    assert_eq!(house.request("GET /app/things", &json!({ "roles": [] })).status, 403);
    assert_eq!(house.request("GET /app/plans", &json!({ "plan": "small" })).status, 403);
    assert_eq!(house.request("GET /app/nothing", &json!({})).status, 404);
    assert_eq!(house.request("GET /app/things", &json!({ "tid": "t-nobody" })).status, 403);
    assert_eq!(house.gateway.request("GET /app/things", &[]).status, 401);
    assert!(house.members.asked().is_empty(), "{:?}", house.members.asked());
    // Nor does an allow that needs none.
    assert_eq!(house.request("PATCH /app/members/bob", &json!({})).status, 200);
    assert!(house.members.asked().is_empty(), "{:?}", house.members.asked());
    assert_eq!(house.request("GET /app/plans", &json!({})).status, 200);
    assert_eq!(house.members.asked().len(), 1);
}

#[test]
fn a_subject_that_cant_be_spelled_is_not_asked_about() {
    let house = House::new();
    for subject in ["..", "a/b", "%2e%2e", "a\u{7f}b"] {
        assert_eq!(house.request("GET /app/things", &json!({ "sub": subject })).status, 403, "{subject:?}");
    }
    assert!(house.members.asked().is_empty(), "{:?}", house.members.asked());
}

#[test]
fn an_answer_about_one_tenant_is_never_used_for_another() {
    let house = House::new();
    house.members.is("acme /app/members/ada", json!({ "role": "owner" }));
    house.members.is("globex /app/members/ada", json!({ "role": "guest" }));
    for _ in 0..2 {
        assert_eq!(house.request("GET /app/things", &json!({ "tid": "t-acme" })).status, 200);
        assert_eq!(house.request("GET /app/things", &json!({ "tid": "t-globex" })).status, 403);
    }
    assert_eq!(house.members.asked(), ["acme /app/members/ada", "globex /app/members/ada"]);
}

#[test]
fn a_write_takes_the_role_away_at_once() {
    let house = House::new();
    house.members.is(ADA, json!({ "role": "owner" }));
    assert_eq!(house.view(), 200);
    house.members.is(ADA, json!({ "role": "guest" }));
    assert_eq!(house.view(), 200, "remembered");
    assert_eq!(house.request("PATCH /app/members/ada", &json!({})).status, 200);
    assert_eq!(house.view(), 403);
}

#[test]
fn a_write_takes_an_open_socket_away() {
    let house = House::new();
    house.members.is(ADA, json!({ "role": "owner" }));
    let _socket = house.feed(&json!({}));
    house.gateway.counts("gatewarden_sockets", &[" 1"]);
    // A write that leaves the role as it is leaves the socket too.
    assert_eq!(house.request("PATCH /app/members/bob", &json!({})).status, 200);
    crate::support::eventually("the second question", || house.members.asked().len() == 2);
    house.gateway.counts("gatewarden_sockets", &[" 1"]);
    house.members.is(ADA, json!({ "role": "guest" }));
    assert_eq!(house.request("PATCH /app/members/ada", &json!({})).status, 200);
    house.gateway.counts("gatewarden_sockets", &[" 0"]);
}

/// Every socket once asked at the same time: requests found no turn at the application any more, and sockets whose own
/// didn't come soon enough were closed.
#[test]
fn sockets_that_are_judged_again_leave_room_for_requests() {
    const CROWD: usize = 80;
    let house = House::new();
    let open = |number| {
        let who = format!("crowd-{number}");
        house.members.is(&format!("/app/members/{who}"), json!({ "role": "owner" }));
        house.feed(&json!({ "sub": who }))
    };
    let _sockets: Vec<Client> = (0..CROWD).map(open).collect();
    house.members.is(ADA, json!({ "role": "owner" }));
    house.members.hold_those("/app/members/crowd-");
    assert_eq!(house.request("PATCH /app/members/bob", &json!({})).status, 200);
    crate::support::eventually("some ask", || house.members.asked().len() >= CROWD + 32);
    assert_eq!(house.view(), 200);
    house.members.release();
    crate::support::eventually("all asked", || house.members.asked().len() == 2 * CROWD + 1);
    house.gateway.counts("gatewarden_sockets", &[" 80"]);
}

#[test]
fn a_write_that_is_refused_or_is_another_tenants_takes_nothing_away() {
    let house = House::new();
    house.members.is(ADA, json!({ "role": "owner" }));
    assert_eq!(house.view(), 200);
    assert_eq!(house.request("PATCH /app/members/ada", &json!({ "roles": [] })).status, 403);
    assert_eq!(house.view(), 200);
    assert_eq!(house.members.asked().len(), 1);
}

#[test]
fn a_hundred_callers_at_once_are_one_question() {
    let house = House::new();
    house.members.is(ADA, json!({ "role": "owner" }));
    house.members.hold();
    let token = house.token(&json!({}));
    thread::scope(|scope| {
        let callers: Vec<_> = (0..100)
            .map(|_| scope.spawn(|| house.gateway.request("GET /app/things", &[&token]).status))
            .collect();
        house.gateway.counts("gatewarden_requests_in_flight", &[" 100"]);
        house.members.release();
        for caller in callers {
            assert_eq!(caller.join().unwrap(), 200);
        }
    });
    assert_eq!(house.members.asked().len(), 1);
    house.counted("shared");
}

#[test]
fn a_client_that_leaves_strands_nobody() {
    let house = House::new();
    house.members.is(ADA, json!({ "role": "owner" }));
    house.members.hold();
    let token = house.token(&json!({}));
    let send = || -> Client {
        let mut client = house.gateway.client();
        client.send(format!("GET /app/things HTTP/1.1\r\nHost: gateway.test\r\n{token}\r\n\r\n"));
        client
    };
    let leaver = send();
    crate::support::eventually("the question", || house.members.asked().len() == 1);
    let mut stayer = send();
    house.gateway.counts("gatewarden_lookups_total", &["result=\"shared\""]);
    drop(leaver);
    house.gateway.counts("gatewarden_requests_in_flight", &[" 1"]);
    house.members.release();
    assert_eq!(stayer.read(false).unwrap().status, 200);
    assert_eq!(house.members.asked().len(), 1);
}

#[test]
fn a_question_that_comes_back_is_refused() {
    let house = House::new();
    for headers in [
        &["X-Gatewarden-Lookup: 1"][..],
        &["X-Gatewarden-Lookup:"],
        &["Connection: x-gatewarden-lookup", "x-gatewarden-lookup: 1"],
    ] {
        let mut lines = vec![house.token(&json!({}))];
        lines.extend(headers.iter().map(|line| (*line).to_owned()));
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let response = house.gateway.request("GET /app/things", &lines);
        assert_eq!(response.status, 508, "{headers:?}");
        assert!(response.text().contains("loop-detected"), "{}", response.text());
    }
    assert!(house.members.asked().is_empty());
}

/// An application whose server is the gateway again, as after a mistake in `servers`.
fn mirror(gateway: Arc<OnceLock<SocketAddr>>) -> Upstream {
    Upstream::scripted(move |wire| {
        while let Some(head) = wire.read_head()? {
            let mut through = TcpStream::connect(gateway.get().unwrap())?;
            through.write_all(head.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes())?;
            let mut answer = Vec::new();
            through.read_to_end(&mut answer)?;
            wire.write(&answer)?;
        }
        Ok(())
    })
}

#[test]
fn a_circle_ends_at_its_first_turn() {
    let address = Arc::new(OnceLock::new());
    let app = mirror(address.clone());
    let gateway =
        Gateway::setup().upstream("app", &[app.address]).rules("app", RULES).tenants(TENANTS).start();
    address.set(gateway.address).unwrap();
    let token = gateway.token_saying(&json!({ "roles": ["user"], "tid": "t-acme", "plan": "full" }));
    let response = gateway.request("GET /app/things", &[&token]);
    assert_eq!((response.status, response.header("retry-after")), (503, Some("1")));
    gateway.counts("gatewarden_lookups_total", &["result=\"loop\""]);
    assert_eq!(app.heads().len(), 1);
}
