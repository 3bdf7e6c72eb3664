//! Certificates that are exchanged while the gateway runs, and those that can't be used.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rcgen::date_time_ymd;
use rustls::HandshakeKind;

use super::NAME;
use crate::process::{FREE_PORTS, Files, Process};
use crate::support::tls::{Identity, connect};
use crate::support::{Authority, PATIENCE, Upstream, eventually};

const TLS: &str = "listen.tls = { certificate = \"certs/own.pem\", key = \"certs/own.key\" }\n";

fn files(upstream: &Upstream, tls: &str, own: &Identity) -> Files {
    let files = Files::new(upstream.address, &format!("{FREE_PORTS}{tls}"));
    std::fs::create_dir(files.path("certs")).unwrap();
    write(&files, own);
    files
}

/// As a deploy tool would: whole files, one after the other.
fn write(files: &Files, own: &Identity) {
    for (name, text) in [("own.pem", &own.certificate), ("own.key", &own.key)] {
        files.write(&format!("certs/new.{name}"), text);
        std::fs::rename(files.path(&format!("certs/new.{name}")), files.path(&format!("certs/{name}")))
            .unwrap();
    }
}

#[test]
fn a_certificate_is_exchanged_under_load_and_no_request_fails() {
    let (upstream, authority) = (Upstream::echo(), Authority::new());
    let until = |year| authority.issue_as(&[NAME], |params| params.not_after = date_time_ymd(year, 1, 1));
    let process = Process::start(files(&upstream, TLS, &until(2040)));
    let address = process.address("callers");
    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let presented = |config: Arc<_>| {
        let mut client = connect(config, address, NAME).unwrap();
        assert_eq!(client.request("GET /desk/open", &[]).status, 200);
        client.stream.conn.peer_certificates().unwrap()[0].clone()
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    // A handshake of its own, then some requests that stay on a connection of the former certificate.
                    let mut client = authority.client().connect(address, NAME).unwrap();
                    for _ in 0..5 {
                        assert_eq!(client.request("GET /desk/open", &[]).status, 200);
                        served.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let mut last = presented(authority.client().config());
        for year in [2041, 2042, 2043] {
            write(&process.files, &until(year));
            process.signal("HUP");
            let started = Instant::now();
            let new = loop {
                let new = presented(authority.client().config());
                if new != last {
                    break new;
                }
                assert!(
                    started.elapsed() < PATIENCE,
                    "the new certificate was never presented\n{}",
                    process.log()
                );
                std::thread::sleep(Duration::from_millis(5));
            };
            last = new;
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(served.load(Ordering::Relaxed) > 0);
    let ends = format!("{{certificate=\"certs/own.pem\"}} {}", 2_303_683_200_u64);
    eventually("the metric follows", || {
        process
            .admin("GET /metrics", &[])
            .text()
            .contains(&format!("gatewarden_certificate_expiry_timestamp_seconds{ends}"))
    });
    assert!(process.log().contains("certificates exchanged"), "{}", process.log());
}

#[test]
fn a_pair_that_does_not_fit_changes_nothing_until_it_is_mended() {
    let (upstream, authority) = (Upstream::echo(), Authority::new());
    let own = authority.issue(&[NAME]);
    let process = Process::start(files(&upstream, TLS, &own));
    let address = process.address("callers");
    process.files.write("certs/own.key", &authority.issue(&[NAME]).key);
    process.signal("HUP");
    process.until("isn't the key of its certificate");
    let rules = process.admin("GET /rules", &[]);
    assert!(rules.text().contains("own.key"), "{}", rules.text());
    assert_eq!(authority.client().connect(address, NAME).unwrap().request("GET /desk/open", &[]).status, 200);
    process.files.write("certs/own.key", &own.key);
    process.signal("HUP");
    process.until("the live rules stand on disk again");
    assert_eq!(authority.client().connect(address, NAME).unwrap().request("GET /desk/open", &[]).status, 200);
}

#[test]
fn what_can_not_be_presented_is_told_at_its_place() {
    let (upstream, authority) = (Upstream::echo(), Authority::new());
    let own = authority.issue(&[NAME]);
    let list = "listen.tls = { certificates = [{ certificate = \"certs/own.pem\", key = \"certs/own.key\" },\n\
                { certificate = \"certs/b.pem\", key = \"certs/b.key\" }] }\n";
    let refused = |change: &dyn Fn(&Files)| {
        let files = files(&upstream, list, &own);
        let second = authority.issue(&["b.test"]);
        files.write("certs/b.pem", &second.certificate);
        files.write("certs/b.key", &second.key);
        change(&files);
        let (code, _, stderr) = files.ended(&[]);
        assert_eq!(code, if stderr.contains("can't be read") { 4 } else { 3 }, "{stderr}");
        stderr
    };
    let other = authority.issue(&["c.test", NAME]);
    let told = refused(&|files| files.write("certs/b.key", &other.key));
    assert!(
        told.contains("b.key") && told.contains("isn't the key") && told.contains("gateway.toml:4:"),
        "{told}"
    );
    let told = refused(&|files| {
        files.write("certs/b.pem", &other.certificate);
        files.write("certs/b.key", &other.key);
    });
    assert!(told.contains("`gateway.test` is a name of another certificate too"), "{told}");
    let told = refused(&|files| files.write("certs/own.pem", "nothing"));
    assert!(told.contains("holds no certificate in PEM") && told.contains("gateway.toml:3:"), "{told}");
    let told = refused(&|files| files.write("certs/own.key", &own.certificate));
    assert!(told.contains("holds no private key in PEM"), "{told}");
    let told = refused(&|files| std::fs::remove_file(files.path("certs/b.pem")).unwrap());
    assert!(told.contains("can't be read: No such file"), "{told}");
}

#[test]
fn one_that_has_expired_is_presented_with_a_warning() {
    let (upstream, authority) = (Upstream::echo(), Authority::new());
    let own = authority.issue_as(&[NAME], |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let process = Process::start(files(&upstream, TLS, &own));
    assert!(process.log().contains("has expired"), "{}", process.log());
}

/// A session that began without a certificate of the caller's is no way around having to show one (CVE-2025-23419).
#[test]
fn a_session_is_not_resumed_where_callers_are_trusted_otherwise_than_when_it_began() {
    let (upstream, authority) = (Upstream::echo(), Authority::new());
    let with = |required: bool| {
        format!(
            "listen.tls = {{ certificate = \"certs/own.pem\", key = \"certs/own.key\", \
             clients = {{ ca = \"certs/ca.pem\", required = {required} }} }}\n"
        )
    };
    let set = files(&upstream, &with(false), &authority.issue(&[NAME]));
    set.write("certs/ca.pem", &authority.pem);
    let process = Process::start(set);
    let address = process.address("callers");
    let config = authority.client().config();
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let mut client = connect(config.clone(), address, NAME).unwrap();
        assert_eq!(client.request("GET /desk/open", &[]).status, 200);
        assert_eq!(client.stream.conn.handshake_kind(), Some(kind));
    }
    let gateway = std::fs::read_to_string(process.files.path("gateway.toml")).unwrap();
    process.files.write("gateway.toml", &gateway.replace(&with(false), &with(true)));
    process.signal("HUP");
    eventually("a handshake without a certificate is refused", || {
        let Ok(mut client) = connect(config.clone(), address, NAME) else { return true };
        client.stream.sock.set_read_timeout(Some(PATIENCE)).unwrap();
        let asked =
            std::io::Write::write_all(&mut client.stream, b"GET /desk/open HTTP/1.1\r\nHost: a\r\n\r\n");
        asked.is_err() || client.read(false).is_err()
    });
}
