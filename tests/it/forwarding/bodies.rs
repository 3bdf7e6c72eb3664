//! Bodies: streamed, bounded, and never collected.

use std::io::{Read, Write};
use std::time::Duration;

use crate::support::{Gateway, Upstream, eventually};

const MIB: usize = 1024 * 1024;

/// Resident memory of this process, which holds the gateway, in MiB.
pub(super) fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() / 1024
}

#[test]
fn large_bodies_pass_in_little_memory() {
    const SIZE: usize = 256 * MIB;
    let upstream = Upstream::scripted(|wire| {
        wire.read_head()?;
        let mut chunk = vec![0; 256 * 1024];
        let mut left = SIZE - wire.take_buffered();
        while left > 0 {
            left -= wire.stream.read(&mut chunk)?;
        }
        wire.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes())?;
        for _ in 0..SIZE / chunk.len() {
            wire.write(&chunk)?;
        }
        Ok(())
    });
    let setup = Gateway::setup().upstream("app", &[upstream.address]);
    let gateway = setup.limits(|limits| limits.body_bytes = 1 << 30).start();
    let mut client = gateway.client();
    let before = resident();
    client.send(format!("POST /app/x HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n"));
    let chunk = vec![0; 256 * 1024];
    let mut most = before;
    for n in 0..SIZE / chunk.len() {
        client.send(&chunk);
        if n % 64 == 0 {
            most = most.max(resident());
        }
    }
    let head = String::from_utf8(client.read_until(b"\r\n\r\n").unwrap()).unwrap();
    assert!(head.contains(&format!("{SIZE}")), "{head}");
    let mut left = SIZE - client.take_buffered();
    let mut chunk = vec![0; 256 * 1024];
    for n in 0.. {
        if left == 0 {
            break;
        }
        left -= client.stream.read(&mut chunk).unwrap();
        if n % 64 == 0 {
            most = most.max(resident());
        }
    }
    assert!(most < before + 64, "memory grew from {before} to {most} MiB");
}

#[test]
fn an_upstream_that_doesnt_read_holds_the_client_back() {
    let upstream = Upstream::scripted(|wire| {
        wire.read_head()?;
        std::thread::park();
        Ok(())
    });
    let setup = Gateway::setup().upstream("app", &[upstream.address]);
    let gateway = setup.limits(|limits| limits.body_bytes = 1 << 30).start();
    let mut client = gateway.client();
    client.send("POST /app/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n");
    client.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let chunk = vec![0; MIB];
    let mut taken = 0;
    while let Ok(length) = client.stream.write(&chunk) {
        taken += length;
        assert!(taken < 64 * MIB, "the gateway takes whatever comes");
    }
}

#[test]
fn a_chunked_body_arrives_chunked_whatever_the_method() {
    let gateway = Gateway::before(Upstream::echo().address);
    for method in ["POST", "PUT", "GET", "DELETE"] {
        let response = gateway.client().ask(format!(
            "{method} /app/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n0\r\nX-Trailer: t\r\n\r\n"
        ));
        assert_eq!(response.status, 200, "{method}");
        assert_eq!(response.echoed("transfer-encoding").as_deref(), Some("chunked"), "{method}");
        assert!(response.text().ends_with("\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), "{method}: {}", response.text());
    }
}

#[test]
fn a_body_over_the_limit_is_refused() {
    let upstream = Upstream::echo();
    let setup = Gateway::setup().upstream("app", &[upstream.address]);
    let gateway = setup.limits(|limits| limits.body_bytes = 4).start();
    let fits = "POST /app/x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd";
    assert_eq!(gateway.client().ask(fits).status, 200);
    let announced = "POST /app/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde";
    assert_eq!(gateway.client().ask(announced).status, 413);
    assert_eq!(upstream.heads().len(), 1, "what is announced too large isn't begun");
    let chunked = "POST /app/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    assert_eq!(gateway.client().ask(chunked).status, 413);
}

#[test]
fn a_body_that_stops_arriving_is_408() {
    let setup = Gateway::setup().upstream("app", &[Upstream::echo().address]);
    let gateway = setup.limits(|limits| limits.body_timeout = Duration::from_millis(100)).start();
    let mut client = gateway.client();
    let response = client.ask("POST /app/x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    assert_eq!(response.status, 408);
    assert!(client.is_closed());
}

#[test]
fn a_slow_body_that_moves_is_not_a_late_answer() {
    let setup = Gateway::setup().upstream("app", &[Upstream::echo().address]);
    let gateway = setup.read_timeout(Duration::from_millis(400)).start();
    let mut client = gateway.client();
    client.send("POST /app/x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
    for byte in b"0123456789" {
        std::thread::sleep(Duration::from_millis(100));
        client.send([*byte]);
    }
    let response = client.read(false).unwrap();
    assert!(response.text().ends_with("0123456789"));
}

#[test]
fn nobody_is_asked_to_go_on_before_they_may() {
    let gateway = Gateway::before(Upstream::echo().address);
    let mut client = gateway.client();
    client.send("POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert!(client.read_until(b"\r\n").unwrap().starts_with(b"HTTP/1.1 404"));

    let mut client = gateway.client();
    client.send("POST /app/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert!(client.read_until(b"\r\n\r\n").unwrap().starts_with(b"HTTP/1.1 100"));
    client.send("hello");
    let response = client.read(false).unwrap();
    assert!(response.text().ends_with("hello"));
    assert_eq!(response.echoed("expect"), None);
}

#[test]
fn an_answer_before_the_bodys_end_is_passed_and_its_connection_dropped() {
    let upstream = Upstream::scripted(|wire| {
        wire.read_head()?;
        wire.write(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")?;
        wire.drain()?;
        Ok(())
    });
    let gateway = Gateway::before(upstream.address);
    for n in 1..=3 {
        let mut client = gateway.client();
        client.send("POST /app/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nGET /app/smuggled HTTP/1.1\r\n\r\n");
        let response = client.read(false).unwrap();
        assert_eq!((response.status, response.text()), (403, "no"));
        eventually("a connection of its own", || upstream.connections() == n);
    }
    assert!(upstream.heads().iter().all(|head| head.starts_with("POST ")));
}
