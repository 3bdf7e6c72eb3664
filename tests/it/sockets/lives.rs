//! What ends a socket: the token's end, the gateway's, silence.

use std::time::{Duration, Instant};

use gatewarden::token::signer::Signer;
use serde_json::json;
use tokio_tungstenite::tungstenite::client::client_with_config;

use super::backend::Backend;
use super::client::{Polling, Socket};
use super::{desk, setup};
use crate::process::{FREE_PORTS, Files, Process, RULES};
use crate::support::eventually;

#[test]
fn a_socket_ends_with_its_token() {
    let backend = Backend::start();
    let gateway = setup(&[backend.address()], &["header"]).leeway(1).start();
    let short = gateway.token_for("ada", &["user"], 2);
    let started = Instant::now();
    let mut socket = Socket::connected(&gateway, &[&short]);
    let mut session = Polling::connected(&gateway, &[&short]);
    let mut waiting = Polling::connected(&gateway, &[&short]);
    // Its poll waits at the backend, for longer than the token is good.
    let waits = std::thread::spawn(move || waiting.get().status);
    assert_eq!(socket.closed(), (4401, "token expired".to_owned()));
    assert_eq!(waits.join().unwrap(), 401);
    assert!(started.elapsed() >= Duration::from_millis(1900), "{:?}", started.elapsed());
    eventually("the session ends too", || session.post("3").status == 401);
    eventually("the backend is told", || backend.packets().contains(&"closed".to_owned()));
}

#[test]
fn a_draining_gateway_says_goodbye() {
    let backend = Backend::start();
    let gateway = desk(&backend);
    let user = gateway.token(&["user"]);
    let mut socket = Socket::connected(&gateway, &[&user]);
    let mut session = Polling::connected(&gateway, &[&user]);
    let waits = std::thread::spawn(move || session.get().text().to_owned());
    eventually("the poll waits", || {
        backend.heads().iter().filter(|head| head.contains("&sid=")).count() >= 3
    });
    let started = Instant::now();
    gateway.stop();
    assert_eq!(socket.closed().0, 1001);
    assert_eq!(waits.join().unwrap(), "1");
    gateway.join();
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "sockets don't hold a drain: {:?}",
        started.elapsed()
    );
}

#[test]
fn a_client_that_goes_takes_its_place_with_it() {
    let backend = Backend::start();
    let gateway = setup(&[backend.address()], &["header"]).limits(|own| own.sockets = 1).start();
    let user = gateway.token(&["user"]);
    let socket = Socket::connected(&gateway, &[&user]);
    let target = format!("{}?EIO=4&transport=websocket", super::client::PATH);
    assert_eq!(Socket::open(&gateway, &target, &[&user]).err(), Some(503));
    assert_eq!(
        gateway.request(&format!("GET {}?EIO=4&transport=polling", super::client::PATH), &[&user]).status,
        503
    );
    drop(socket);
    eventually("there is room again", || Socket::open(&gateway, &target, &[&user]).is_ok());
}

#[test]
fn a_socket_ends_when_its_opening_is_no_longer_permitted_and_events_are_judged_by_the_rules_of_now() {
    let backend = Backend::start();
    let keys = Signer::from_seed(&[7; 32], "test").unwrap();
    let files = Files::new(backend.address(), FREE_PORTS);
    let text = std::fs::read_to_string(files.path("gateway.toml")).unwrap();
    files.write("gateway.toml", &text.replace("jwks =", "algorithms = [\"EdDSA\"]\njwks ="));
    files.write("keys.json", &keys.jwks());
    let rules = |agents: &str, namespaces: &str| {
        let socket = format!(
            "[socket]\npath = \"/socket.io\"\nnamespaces = [{namespaces}]\n[resource.customers]\n\
             tell = [\"EMIT a\"]\nask = [\"EMIT b\"]"
        );
        let rules = RULES.replace("[resource.customers]", &socket);
        rules.replace("view = [\"customers\"]", agents)
    };
    let (both, one) = (r#""/", "/side""#, r#""/""#);
    files.write("rules/desk.toml", &rules("tell = [\"customers\"]", both));
    let gateway = Process::start(files);
    let exp = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 300;
    let claims = json!({ "iss": "https://sso.example", "aud": "desk", "sub": "ada", "roles": ["agent"], "iat": exp - 300, "exp": exp });
    let token = keys.sign(&claims).unwrap();
    let address = gateway.address("callers");
    let stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    let request = tokio_tungstenite::tungstenite::http::Request::get(
        "ws://gateway.test/desk/socket.io/?EIO=4&transport=websocket",
    )
    .header("Host", "gateway.test")
    .header("Connection", "Upgrade")
    .header("Upgrade", "websocket")
    .header("Sec-WebSocket-Version", "13")
    .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
    .header("Authorization", format!("Bearer {token}"));
    let mut socket = Socket(client_with_config(request.body(()).unwrap(), stream, None).unwrap().0);
    assert!(socket.text().starts_with('0'));
    socket.say("40");
    assert_eq!(socket.text(), r#"40{"sid":"io"}"#);
    let passes = |socket: &mut Socket, event: &str| {
        socket.say(&format!(r#"421["{event}"]"#));
        socket.text() == "431[true]"
    };
    assert!(passes(&mut socket, "a") && !passes(&mut socket, "b"));
    gateway.files.write("rules/desk.toml", &rules("ask = [\"customers\"]", both));
    eventually("the new rules hold on the open socket", || passes(&mut socket, "b"));
    assert!(!passes(&mut socket, "a"));
    let mut joins = || {
        socket.say("40/side,");
        socket.text() == r#"40/side,{"sid":"io"}"#
    };
    assert!(joins());
    gateway.files.write("rules/desk.toml", &rules("ask = [\"customers\"]", one));
    eventually("a namespace that is no longer declared is closed on the open socket", || !joins());
    gateway.files.write("rules/desk.toml", &rules("view = [\"customers\"]", one));
    assert_eq!(socket.closed(), (4403, "no longer permitted".to_owned()));
}
