//! What ends a socket: the token's end, the gateway's, silence.

use std::time::{Duration, Instant};

use super::backend::Backend;
use super::client::{Polling, Socket};
use super::{desk, setup};
use crate::support::eventually;

#[test]
fn a_socket_ends_with_its_token() {
    let backend = Backend::start();
    let gateway = setup(&[backend.address()], &["header"]).leeway(1).start();
    let short = gateway.token_for("ada", &["user"], 2);
    let started = Instant::now();
    let mut socket = Socket::connected(&gateway, &[&short]);
    let mut session = Polling::connected(&gateway, &[&short]);
    assert_eq!(socket.closed(), (4401, "token expired".to_owned()));
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
