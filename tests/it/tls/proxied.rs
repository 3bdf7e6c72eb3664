//! Balancers that say who their client is, by the PROXY protocol.

use std::net::TcpStream;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::NAME;
use crate::support::gateway::Setup;
use crate::support::{Authority, Client, Gateway, PATIENCE, Upstream};

const ASK: &str = "GET /app/x HTTP/1.1\r\nHost: gateway.test\r\n\r\n";

/// A header that names this client.
fn header(client: [u8; 4]) -> Vec<u8> {
    let signature = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c";
    [&signature[..], &client, &[127, 0, 0, 1, 0x12, 0x34, 0x1f, 0x90]].concat()
}

fn setup(upstream: &Upstream, nets: &'static str) -> Setup {
    let nets = nets.parse().unwrap();
    Gateway::setup()
        .upstream("app", &[upstream.address])
        .compiled(move |snapshot| snapshot.gateway.listen.proxy_protocol.push(nets))
}

#[test]
fn the_client_is_who_the_balancer_says() {
    let gateway = setup(&Upstream::echo(), "127.0.0.0/8").start();
    let mut client = gateway.client();
    // In pieces, and with the request right behind it.
    for piece in header([192, 0, 2, 7]).chunks(5) {
        client.send(piece);
    }
    let answer = client.request("GET /app/x", &["X-Forwarded-For: 6.6.6.6"]);
    assert_eq!(answer.echoed("x-forwarded-for").as_deref(), Some("192.0.2.7"));
    // One that looks whether anyone is here.
    let mut local = gateway.client();
    local.send(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
    assert_eq!(local.ask(ASK).echoed("x-forwarded-for").as_deref(), Some("127.0.0.1"));
}

#[test]
fn tls_begins_behind_it() {
    let authority = Authority::new();
    let tls = authority.presenting(&[&authority.issue(&[NAME])], None);
    let gateway = setup(&Upstream::echo(), "127.0.0.1/32").presenting(tls).start();
    let mut stream = TcpStream::connect(gateway.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    std::io::Write::write_all(&mut stream, &header([192, 0, 2, 7])).unwrap();
    let name = ServerName::try_from(NAME).unwrap();
    let session = ClientConnection::new(authority.client().config(), name).unwrap();
    let answer = Client::over(StreamOwned::new(session, stream)).ask(ASK);
    assert_eq!(answer.echoed("x-forwarded-for").as_deref(), Some("192.0.2.7"));
    assert_eq!(answer.echoed("x-forwarded-proto").as_deref(), Some("https"));
}

#[test]
fn who_must_begin_with_it_is_not_served_without() {
    let upstream = Upstream::echo();
    let gateway = setup(&upstream, "127.0.0.1/32")
        .limits(|limits| limits.head_timeout = Duration::from_millis(200))
        .start();
    for begun in [
        ASK.as_bytes(),
        b"PROXY TCP4 192.0.2.7 127.0.0.1 1 2\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x11\x11\0\0",
        b"\r\n\r\n\0",
        b"",
    ] {
        let mut client = gateway.client();
        client.send(begun);
        assert!(client.is_closed(), "{begun:?}");
    }
    gateway.counts("gatewarden_proxy_protocol_refused_total", &[" 5"]);
    gateway.counts("gatewarden_limit_hits_total{limit=\"head-timeout\"}", &[" 2"]);
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn from_anyone_else_it_is_no_http() {
    let gateway = setup(&Upstream::echo(), "10.0.0.0/8").start();
    let mut client = gateway.client();
    client.send(header([192, 0, 2, 7]));
    client.send(ASK);
    assert_eq!(client.read(false).unwrap().status, 400);
    assert_eq!(gateway.client().ask(ASK).echoed("x-forwarded-for").as_deref(), Some("127.0.0.1"));
}

#[test]
fn each_client_behind_it_has_its_own_share_of_connections() {
    let setup = setup(&Upstream::echo(), "127.0.0.1/32");
    let gateway = setup.limits(|limits| limits.connections_per_client = 1).start();
    let open = |last: u8| {
        let mut client = gateway.client();
        client.send(header([192, 0, 2, last]));
        client.send(ASK);
        let is_served = client.read(false).is_ok();
        (client, is_served)
    };
    let (first, is_served) = open(7);
    assert!(is_served && open(8).1 && !open(7).1);
    gateway.counts("gatewarden_limit_hits_total{limit=\"connections-per-client\"}", &[" 1"]);
    drop(first);
    crate::support::eventually("there is room again", || open(7).1);
}
