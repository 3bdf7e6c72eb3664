//! How connections and requests end: clients that leave, gateways that stop, limits on how many there may be.

use std::io::Write;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::h2::{H2, Outcome};
use crate::support::{Client, Gateway, Upstream, Wire, eventually};

/// An upstream that answers when it is told to.
fn held() -> (Upstream, mpsc::Sender<()>) {
    let (go, wait) = mpsc::channel();
    let wait = Arc::new(Mutex::new(wait));
    let upstream = Upstream::scripted(move |wire: &mut Wire| {
        while wire.read_head()?.is_some() {
            let told = wait.lock().unwrap().recv();
            told.map_err(std::io::Error::other)?;
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        }
        Ok(())
    });
    (upstream, go)
}

const ASK: &str = "GET /app/x HTTP/1.1\r\nHost: a\r\n\r\n";

/// A regression: it was written down as a malformed request.
#[test]
fn a_client_that_leaves_in_the_middle_of_its_request_is_written_down() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(upstream.address);
    let mut client = gateway.client();
    client.send("POST /app/x HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc");
    eventually("the request arrives", || upstream.connections() == 1);
    drop(client);
    gateway.counts("gatewarden_requests_total", &["code=\"499\"", " 1"]);
}

#[test]
fn a_client_that_leaves_is_written_down() {
    let (upstream, _go) = held();
    let gateway = Gateway::before(upstream.address);
    let mut client = gateway.client();
    client.send(ASK);
    eventually("the request arrives", || upstream.heads().len() == 1);
    drop(client);
    gateway.counts("gatewarden_requests_total", &["code=\"499\"", " 1"]);
}

#[test]
fn a_stopping_gateway_finishes_what_it_began() {
    let (upstream, go) = held();
    let gateway = Gateway::before(upstream.address);
    let mut idle = gateway.client();
    go.send(()).unwrap();
    assert_eq!(idle.ask(ASK).status, 200);
    let mut silent = gateway.client();
    let mut busy = gateway.client();
    busy.send(ASK);
    eventually("the request arrives", || upstream.heads().len() == 2);

    gateway.stop();
    assert!(idle.is_closed());
    assert!(silent.is_closed());
    eventually("nobody listens", || std::net::TcpStream::connect(gateway.address).is_err());
    go.send(()).unwrap();
    let response = busy.read(false).unwrap();
    assert_eq!((response.status, response.text()), (200, "ok"));
    assert_eq!(response.header("connection"), Some("close"));
    gateway.join();
}

#[test]
fn a_stopping_gateway_doesnt_wait_for_ever() {
    let (upstream, _go) = held();
    let setup = Gateway::setup().upstream("app", &[upstream.address]);
    let gateway = setup.drain(Duration::from_millis(100)).start();
    let mut client = gateway.client();
    client.send(ASK);
    eventually("the request arrives", || upstream.heads().len() == 1);
    gateway.stop();
    gateway.join();
    client.read(false).unwrap_err();
}

#[test]
fn more_requests_than_may_be_in_flight_are_turned_away() {
    let (upstream, go) = held();
    let setup = Gateway::setup().upstream("app", &[upstream.address]);
    let gateway = setup.limits(|limits| limits.requests = 1).start();
    let mut first = gateway.client();
    first.send(ASK);
    eventually("the request arrives", || upstream.heads().len() == 1);
    let mut second = gateway.client();
    let response = second.ask(ASK);
    assert_eq!(response.status, 503);
    assert!(response.text().contains("urn:gatewarden:overloaded"));
    assert!(response.header("retry-after").is_some());
    go.send(()).unwrap();
    assert_eq!(first.read(false).unwrap().status, 200);
    go.send(()).unwrap();
    eventually("there is room again", || second.ask(ASK).status == 200);
}

#[test]
fn more_connections_than_there_is_room_for_are_closed() {
    let upstream = Upstream::echo();
    let setup = Gateway::setup().upstream("app", &[upstream.address]);
    let gateway = setup.limits(|limits| limits.connections_per_client = 2).start();
    let mut kept: Vec<Client> = (0..2).map(|_| gateway.client()).collect();
    for client in &mut kept {
        assert_eq!(client.ask(ASK).status, 200);
    }
    assert!(gateway.client().is_closed());
    gateway.counts("gatewarden_limit_hits_total{limit=\"connections-per-client\"}", &[" 1"]);
    kept.pop();
    eventually("there is room again", || {
        let mut client = gateway.client();
        client.send(ASK);
        client.read(false).is_ok()
    });
}

#[test]
fn a_head_that_doesnt_arrive_in_time_ends_the_connection() {
    let setup = Gateway::setup().upstream("app", &[Upstream::echo().address]);
    let gateway = setup.limits(|limits| limits.head_timeout = Duration::from_millis(100)).start();
    for begun in ["", "P", "PRI * HTTP/2.0", "GET /app/x HTTP/1.1\r\nHost: a\r\n"] {
        let mut client = gateway.client();
        client.send(begun);
        assert!(client.is_closed(), "{begun}");
        // Bytes that come one by one make it no longer.
        let mut client = gateway.client();
        client.ask(ASK);
        let slowly = "GET / HTTP/1.1\r\nX-Slow: ".bytes().chain(std::iter::repeat_n(b'a', 1000));
        let is_cut = slowly.into_iter().any(|byte| {
            std::thread::sleep(Duration::from_millis(10));
            client.stream.write_all(&[byte]).is_err()
        });
        assert!(is_cut, "a slow head is read for ever");
    }
    gateway.counts("gatewarden_limit_hits_total{limit=\"head-timeout\"}", &[" 8"]);
}

#[test]
fn waiting_for_a_request_is_not_reading_it_slowly() {
    let setup = Gateway::setup().upstream("app", &[Upstream::echo().address]);
    let gateway = setup
        .limits(|limits| {
            limits.head_timeout = Duration::from_millis(100);
            limits.idle_timeout = Duration::from_millis(600);
        })
        .start();
    let mut client = gateway.client();
    for _ in 0..3 {
        assert_eq!(client.ask(ASK).status, 200);
        std::thread::sleep(Duration::from_millis(300));
    }
    assert!(client.is_closed(), "idle for too long");
    gateway.counts("gatewarden_limit_hits_total{limit=\"idle-timeout\"}", &[" 1"]);
}

/// A client that answered pings kept its connection for ever.
#[test]
fn a_client_of_http2_without_requests_is_let_go() {
    let setup = Gateway::setup().upstream("app", &[Upstream::echo().address]);
    let gateway = setup.limits(|limits| limits.idle_timeout = Duration::from_millis(300)).start();
    let mut client = H2::connect(gateway.address);
    // Whoever answers pings.
    assert_eq!(client.outcome(1), Outcome::Closed);
    gateway.counts("gatewarden_limit_hits_total{limit=\"idle-timeout\"}", &[" 1"]);
}

#[test]
fn a_client_that_takes_nothing_is_given_up() {
    let upstream = Upstream::scripted(|wire: &mut Wire| {
        wire.read_head()?;
        wire.write(b"HTTP/1.1 200 OK\r\n\r\n")?;
        while wire.write(&[0; 65536]).is_ok() {}
        Ok(())
    });
    let setup = Gateway::setup().upstream("app", &[upstream.address]);
    let gateway = setup.limits(|limits| limits.idle_timeout = Duration::from_millis(200)).start();
    let mut client = gateway.client();
    client.send(ASK);
    gateway.counts("gatewarden_requests_total", &["code=\"200\"", " 1"]);
    gateway.counts("gatewarden_limit_hits_total{limit=\"idle-timeout\"}", &[" 1"]);
}

#[test]
fn a_connection_has_its_share_of_requests() {
    let setup = Gateway::setup().upstream("app", &[Upstream::echo().address]);
    let gateway = setup.limits(|limits| limits.requests_per_connection = 3).start();
    let mut client = gateway.client();
    for _ in 0..2 {
        assert_eq!(client.ask(ASK).header("connection"), None);
    }
    assert_eq!(client.ask(ASK).header("connection"), Some("close"));
    assert!(client.is_closed());
    gateway.counts("gatewarden_limit_hits_total{limit=\"requests-per-connection\"}", &[" 1"]);
}

#[test]
fn a_refusal_that_is_ready_at_once_says_that_it_is_the_last() {
    let setup = Gateway::setup().upstream("app", &[Upstream::echo().address]);
    let gateway = setup.limits(|limits| limits.requests_per_connection = 2).start();
    let mut client = gateway.client();
    let ask = "GET /nowhere HTTP/1.1\r\nhost: a\r\n\r\n";
    assert_eq!(client.ask(ask).header("connection"), None);
    assert_eq!(client.ask(ask).header("connection"), Some("close"));
    assert!(client.is_closed());
}

#[test]
fn a_stream_whose_window_stays_shut_is_given_up() {
    let setup = Gateway::setup().upstream("app", &[Upstream::echo().address]);
    let gateway = setup.limits(|limits| limits.idle_timeout = Duration::from_millis(100)).start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        use hyper_util::rt::{TokioExecutor, TokioIo};
        let stream = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
        let mut client = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        client.initial_stream_window_size(0);
        let (mut sender, connection) = client.handshake(TokioIo::new(stream)).await.unwrap();
        let ended = tokio::spawn(connection);
        let request = http::Request::get("http://a/app/x").body(String::new()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 200);
        tokio::time::timeout(crate::support::PATIENCE, ended)
            .await
            .expect("the connection ends")
            .unwrap()
            .ok();
    });
    gateway.counts("gatewarden_requests_total", &["code=\"200\"", " 1"]);
}

#[test]
fn idle_connections_to_an_upstream_are_closed_in_time() {
    let (closed, was_closed) = mpsc::channel();
    let closed = Mutex::new(closed);
    let upstream = Upstream::scripted(move |wire: &mut Wire| {
        wire.read_head()?;
        wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        wire.drain()?;
        closed.lock().unwrap().send(()).map_err(std::io::Error::other)
    });
    let setup = Gateway::setup().upstream("app", &[upstream.address]);
    let gateway = setup.limits(|limits| limits.upstream_idle_timeout = Duration::from_millis(10)).start();
    assert_eq!(gateway.request("GET /app/x", &[]).status, 200);
    was_closed.recv_timeout(crate::support::PATIENCE).unwrap();
}
