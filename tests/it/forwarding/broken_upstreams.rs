//! Upstreams that are away, slow, confused or gone in the middle.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::upstream::nobody;
use crate::support::{Gateway, Upstream};

#[test]
fn an_upstream_that_is_away_is_503() {
    let gateway = Gateway::before(nobody());
    let response = gateway.request("GET /app/x", &[]);
    assert_eq!(response.status, 503);
    assert_eq!(response.header("retry-after"), Some("1"));
    assert!(response.text().contains("urn:gatewarden:upstream-unreachable"));
    gateway.counts("gatewarden_upstream_connect_failures_total", &["app", "refused", " 1"]);
}

#[test]
fn what_was_meant_to_be_encrypted_never_leaves_in_the_clear() {
    let upstream = Upstream::echo();
    let gateway = Gateway::setup().upstream("app", &[upstream.address]).over_tls().start();
    assert_eq!(gateway.request("GET /app/x", &["X-Secret: s"]).status, 503);
    assert!(upstream.heads().is_empty());
}

#[test]
fn what_stands_in_the_way_of_an_upstream_is_told() {
    let plain = Upstream::scripted(|_| Ok(()));
    let gateway = Gateway::setup().upstream("app", &[plain.address]).over_tls().start();
    assert_eq!(gateway.request("GET /app/x", &[]).status, 503);
    gateway.counts("gatewarden_upstream_connect_failures_total", &["app", "tls", " 1"]);
}

#[test]
fn an_upstream_that_doesnt_answer_in_time_is_504() {
    let upstream = Upstream::scripted(|wire| {
        wire.read_head()?;
        wire.drain()?;
        Ok(())
    });
    let setup = Gateway::setup().upstream("app", &[upstream.address]);
    let gateway = setup.read_timeout(Duration::from_millis(100)).start();
    let mut client = gateway.client();
    let response = client.request("GET /app/x", &[]);
    assert_eq!(response.status, 504);
    assert!(response.text().contains("urn:gatewarden:upstream-timeout"));
    assert_eq!(client.request("GET /nowhere", &[]).status, 404, "the client's connection lives on");
}

#[test]
fn an_answer_that_stops_in_the_middle_breaks_off() {
    let upstream = Upstream::scripted(|wire| {
        wire.read_head()?;
        wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")?;
        wire.drain()?;
        Ok(())
    });
    let setup = Gateway::setup().upstream("app", &[upstream.address]);
    let gateway = setup.read_timeout(Duration::from_millis(100)).start();
    let mut client = gateway.client();
    client.send("GET /app/x HTTP/1.1\r\nHost: a\r\n\r\n");
    client.read(false).unwrap_err();
    gateway.counts("gatewarden_requests_total", &["code=\"200\"", " 1"]);
    gateway.counts("gatewarden_upstream_cut_answers_total{upstream=\"app\"}", &[" 1"]);
}

#[test]
fn what_isnt_an_answer_is_502() {
    let answers: [&'static [u8]; 16] = [
        b"garbage\r\n\r\n",
        b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nX: 1\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nBad Name: x\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: \x00\r\nContent-Length: 0\r\n\r\n",
    ];
    for answer in answers {
        let upstream = Upstream::saying(answer);
        let gateway = Gateway::before(upstream.address);
        let response = gateway.request("GET /app/x", &[]);
        assert_eq!(response.status, 502, "{:?}", String::from_utf8_lossy(answer));
        assert!(response.text().contains("urn:gatewarden:upstream-broken"));
        assert_eq!(upstream.connections(), 1, "a fresh connection's failure is final");
    }
    let huge = Upstream::scripted(|wire| {
        wire.read_head()?;
        wire.write(b"HTTP/1.1 200 OK\r\n")?;
        for _ in 0..80 {
            wire.write(format!("X-Long: {}\r\n", "v".repeat(1000)).as_bytes())?;
        }
        wire.write(b"\r\n")?;
        wire.drain().map(drop)
    });
    assert_eq!(Gateway::before(huge.address).request("GET /app/x", &[]).status, 502);
}

#[test]
fn an_answer_cut_short_never_looks_whole() {
    let answers: [&'static [u8]; 3] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
    ];
    for answer in answers {
        let gateway = Gateway::before(Upstream::saying(answer).address);
        let mut client = gateway.client();
        client.send("GET /app/x HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(client.read(false).is_err(), "{:?}", String::from_utf8_lossy(answer));
        gateway.counts("gatewarden_requests_total", &["code=\"200\"", " 1"]);
        gateway.counts("gatewarden_upstream_cut_answers_total{upstream=\"app\"}", &[" 1"]);
    }
}

#[test]
fn an_answer_that_ends_with_its_connection_is_whole() {
    let gateway = Gateway::before(Upstream::saying(b"HTTP/1.1 200 OK\r\n\r\nall of it").address);
    let mut client = gateway.client();
    assert_eq!(client.request("GET /app/x", &[]).text(), "all of it");
    assert_eq!(client.request("GET /app/x", &[]).text(), "all of it");
}

#[test]
fn a_connection_that_died_while_idle_is_not_the_clients_problem() {
    // Every connection answers once and is then closed without a word.
    let upstream = Upstream::saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let gateway = Gateway::before(upstream.address);
    let mut client = gateway.client();
    for _ in 0..50 {
        let response = client.request("GET /app/x", &[]);
        assert_eq!((response.status, response.text()), (200, "ok"));
    }
    assert_eq!(upstream.connections(), 50);
}

#[test]
fn what_was_sent_and_may_act_is_never_sent_twice() {
    // The second request on a connection is read, and then nothing but silence comes.
    let upstream = Upstream::scripted(|wire| {
        wire.read_head()?;
        wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        wire.read_head()?;
        wire.close()
    });
    let gateway = Gateway::before(upstream.address);
    let mut client = gateway.client();
    assert_eq!(client.request("GET /app/1", &[]).status, 200);
    let response = client.ask("POST /app/2 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(response.status, 502);
    assert_eq!(upstream.heads().len(), 2);
    // Reading is another matter.
    assert_eq!(client.request("GET /app/3", &[]).status, 200);
    assert_eq!(client.request("GET /app/4", &[]).status, 200);
    let asked: Vec<_> = upstream.heads().iter().map(|head| head[..11].to_owned()).collect();
    assert_eq!(asked, ["GET /app/1 ", "POST /app/2", "GET /app/3 ", "GET /app/4 ", "GET /app/4 "]);
}

#[test]
fn another_server_stands_in_for_one_that_is_away() {
    let (one, two) = (Upstream::echo(), Upstream::echo());
    let servers = [one.address, nobody(), two.address];
    let gateway = Gateway::setup().upstream("app", &servers).start();
    for _ in 0..30 {
        assert_eq!(gateway.request("GET /app/x", &[]).status, 200);
        let body = "POST /app/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
        assert!(gateway.client().ask(body).text().ends_with("hello"));
    }
    let (one, two) = (one.heads().len(), two.heads().len());
    assert_eq!(one + two, 60);
    assert!(one > 10 && two > 10, "{one} and {two}");
}

#[test]
fn interim_answers_are_not_the_answer() {
    let upstream = Upstream::saying(
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let response = Gateway::before(upstream.address).request("GET /app/x", &[]);
    assert_eq!((response.status, response.text()), (200, "ok"));
}

#[test]
fn a_chatty_upstreams_rest_is_not_the_next_answer() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let upstream = Upstream::scripted(|wire| {
        while wire.read_head()?.is_some() {
            ASKED.fetch_add(1, Ordering::SeqCst);
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")?;
        }
        Ok(())
    });
    let gateway = Gateway::before(upstream.address);
    for _ in 0..20 {
        let mut client = gateway.client();
        assert_eq!(client.request("GET /app/x", &[]).text(), "ok");
    }
    assert_eq!(ASKED.load(Ordering::SeqCst), 20);
}
