//! HTTP/1 messages that two servers could cut differently: a table of bytes and what may become of them.

use std::io::Write;
use std::net::Shutdown;

use crate::support::{Client, Gateway, Upstream};

/// What may become of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum May {
    /// Nobody hears of it: a refusal, or the connection's end.
    Refuse,
    /// One request arrives, cut in the one way that leaves nothing over, or none does.
    Pass,
}

use May::{Pass, Refuse};

/// What follows, for whoever cuts short what comes first.
const NEXT: &str = "GET /app/smuggled HTTP/1.1\r\nHost: gateway.test\r\n\r\n";

/// Sends the bytes and closes that side; returns every status that came back.
fn statuses(gateway: &Gateway, bytes: &[u8]) -> Vec<u16> {
    let mut client = gateway.client();
    // It may be answered and closed before all is sent.
    let _ = client.stream.write_all(bytes);
    let _ = client.stream.shutdown(Shutdown::Write);
    let mut statuses = Vec::new();
    while let Ok(response) = client.read(bytes.starts_with(b"HEAD ")) {
        statuses.push(response.status);
    }
    statuses
}

/// Runs a table: each row's bytes get `NEXT` behind them, which is part of nothing unless the row says so.
fn run(rows: &[(&str, May, String)]) {
    let mut wrong = Vec::new();
    for (name, may, bytes) in rows {
        let upstream = Upstream::echo();
        let gateway = Gateway::before(upstream.address);
        let statuses = statuses(&gateway, bytes.as_bytes());
        let heads = upstream.heads();
        let first = heads.iter().filter(|head| !head.contains("/app/smuggled")).count();
        let smuggled = heads.len() - first;
        let fine = match may {
            Refuse => {
                heads.is_empty()
                    && statuses.iter().all(|status| (400..500).contains(status) || *status == 505)
            }
            // What is behind it may only arrive as a request of its own, after an answer to the first.
            Pass => first <= 1 && smuggled <= 1,
        };
        let framed = heads.iter().all(|head| {
            let head = head.to_ascii_lowercase();
            head.matches("\r\ncontent-length:").count() + head.matches("\r\ntransfer-encoding:").count() <= 1
                && head
                    .lines()
                    .all(|line| !line.contains('_') || line.starts_with("get ") || line.starts_with("post "))
                && head.matches("\r\nhost:").count() == 1
                && !head.contains("spoofed")
        });
        if !fine || !framed {
            wrong.push(format!("{name} ({may:?}): {statuses:?} {heads:#?}"));
        }
        assert_eq!(gateway.request("GET /app/after", &[]).status, 200, "{name}");
    }
    assert!(wrong.is_empty(), "{} of {}: {}", wrong.len(), rows.len(), wrong.join("\n"));
}

fn post(lines: &str, body: &str) -> String {
    format!("POST /app/x HTTP/1.1\r\nHost: gateway.test\r\n{lines}\r\n{body}{NEXT}")
}

#[test]
fn lengths_are_said_once_and_plainly() {
    let length = |value: &str| post(&format!("Content-Length: {value}\r\n"), "abc");
    let coding = |value: &str| post(&format!("Transfer-Encoding: {value}\r\n"), "3\r\nabc\r\n0\r\n\r\n");
    let mut rows = vec![
        ("a plain length", Pass, length("3")),
        ("a plain coding", Pass, coding("chunked")),
        ("blanks around a length", Pass, length(" 3 ")),
        ("zeros before a length", Pass, length("0003")),
        (
            "a length with a coding",
            Pass,
            post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
        ),
        (
            "a coding with a length",
            Pass,
            post("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "3\r\nabc\r\n0\r\n\r\n"),
        ),
        ("a length without a body", Pass, post("Content-Length: 0\r\n", "")),
        ("no length", Pass, post("", "")),
        ("two lengths alike, which are one", Pass, post("Content-Length: 3\r\nContent-Length: 3\r\n", "abc")),
        ("two lengths", Refuse, post("Content-Length: 3\r\nContent-Length: 0\r\n", "abc")),
        ("two lengths the other way", Refuse, post("Content-Length: 0\r\nContent-Length: 3\r\n", "abc")),
        (
            "a coding over two lines",
            Refuse,
            post("Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ),
        ("a coding in a folded line", Refuse, post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n")),
        ("a coding behind a fold", Refuse, post("X: y\r\n Transfer-Encoding: chunked\r\n", "0\r\n\r\n")),
        (
            "a coding of an old client",
            Refuse,
            format!(
                "POST /app/x HTTP/1.0\r\nHost: gateway.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{NEXT}"
            ),
        ),
        (
            "a coding and a length of an old client",
            Refuse,
            format!(
                "POST /app/x HTTP/1.0\r\nHost: gateway.test\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n{NEXT}"
            ),
        ),
        ("a twin of a length", Pass, post("Content_Length: 30\r\nContent-Length: 3\r\n", "abc")),
        ("a twin of a coding", Pass, post("Transfer_Encoding: chunked\r\nContent-Length: 3\r\n", "abc")),
        ("a length named away", Pass, post("Connection: content-length\r\nContent-Length: 3\r\n", "abc")),
        (
            "a coding named away",
            Pass,
            post("Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
        ),
    ];
    for value in [
        "+3",
        "-3",
        "3,3",
        "3, 0",
        "0x3",
        "3 3",
        "3;",
        "3.0",
        "",
        "99999999999999999999999",
        "\u{b}3",
        "3\u{c}",
        "३",
        "1e1",
        "\"3\"",
    ] {
        rows.push(("an odd length", Refuse, length(value)));
    }
    for value in [
        "chunked, chunked",
        "chunked,",
        ",chunked",
        "identity",
        "identity, chunked",
        "chunked, identity",
        "gzip",
        "gzip, chunked",
        "chunked;q=1",
        "xchunked",
        "chunkedx",
        "chunke",
        "\"chunked\"",
        "chunked\u{b}",
        "\u{b}chunked",
        "chunked\u{0}",
        "c hunked",
        "chu\u{212a}ed",
        "",
    ] {
        rows.push(("an odd coding", Refuse, coding(value)));
    }
    for name in [
        "Transfer-Encoding ",
        " Transfer-Encoding",
        "Transfer-Encoding\t",
        "Transfer\u{0}-Encoding",
        "Transfer-Encodin\u{e7}",
        "Transfer-\rEncoding",
    ] {
        rows.push(("an odd name", Refuse, post(&format!("{name}: chunked\r\n"), "0\r\n\r\n")));
    }
    run(&rows);
}

#[test]
fn chunks_are_cut_in_one_way() {
    let chunks = |body: &str| post("Transfer-Encoding: chunked\r\n", body);
    let mut rows = vec![
        ("an extension", Pass, chunks("3;a=b\r\nabc\r\n0\r\n\r\n")),
        ("an extension in quotes", Pass, chunks("3;a=\"b\"\r\nabc\r\n0\r\n\r\n")),
        ("a trailer", Pass, chunks("3\r\nabc\r\n0\r\nX-Trailer: spoofed\r\n\r\n")),
        (
            "a trailer that says who",
            Pass,
            chunks("3\r\nabc\r\n0\r\nX-Gatewarden-Subject: spoofed\r\nContent-Length: 9\r\n\r\n"),
        ),
        ("zeros", Pass, chunks("0003\r\nabc\r\n000\r\n\r\n")),
        ("a blank behind a size", Pass, chunks("3 \r\nabc\r\n0\r\n\r\n")),
    ];
    // The head may have gone out when these are found: the request never ends well, and nothing behind it is one.
    for body in [
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabc0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "3_0\r\nabc\r\n0\r\n\r\n",
        "\r\n3\r\nabc\r\n0\r\n\r\n",
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
        "3;a=\"\n\"\r\nabc\r\n0\r\n\r\n",
        "3;\nabc\r\n0\r\n\r\n",
        "3\rabc\r\n0\r\n\r\n",
        "\u{0}3\r\nabc\r\n0\r\n\r\n",
        "g\r\nabc\r\n0\r\n\r\n",
        ";3\r\nabc\r\n0\r\n\r\n",
        "3 3\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc\r\n0\r\n\n",
        "3\r\nabc\r\n0\r\nbad line\r\n\r\n",
        "3\r\nabc\r\n0\r\n folded: x\r\n\r\n",
    ] {
        rows.push(("an odd chunk", Pass, chunks(body)));
    }
    let long = format!("3;{}\r\nabc\r\n0\r\n\r\n", "a".repeat(40_000));
    rows.push(("an extension without end", Pass, chunks(&long)));
    let trailers = format!("3\r\nabc\r\n0\r\n{}\r\n", "X-T: t\r\n".repeat(5_000));
    rows.push(("trailers without end", Pass, chunks(&trailers)));
    run(&rows);
}

#[test]
fn lines_end_in_one_way() {
    let get = |line: &str| format!("GET /app/x HTTP/1.1\r\nHost: gateway.test\r\n{line}\r\n\r\n{NEXT}");
    let mut rows = vec![
        ("lines that end in a feed", Pass, format!("GET /app/x HTTP/1.1\nHost: gateway.test\n\n{NEXT}")),
        (
            "a line that ends in a feed",
            Pass,
            format!("GET /app/x HTTP/1.1\r\nHost: gateway.test\nX: y\r\n\r\n{NEXT}"),
        ),
        (
            "empty lines before a request",
            Pass,
            format!("\r\n\r\nGET /app/x HTTP/1.1\r\nHost: gateway.test\r\n\r\n{NEXT}"),
        ),
        ("an empty value", Pass, get("X:")),
        ("a tab in a value", Pass, get("X: a\tb")),
    ];
    for line in [
        "X: a\rb",
        "X: a\u{0}b",
        "X: a\u{1}b",
        "X: a\u{7f}b",
        "X\u{0}: a",
        "X y: a",
        "X : a",
        ": a",
        "X",
        "X: a\r\n folded",
        "X: a\r\n\tfolded",
        "\tX: a",
        "X(: a",
        "X{}: a",
        "X\": a",
        "X/: a",
        "X@: a",
        "X\u{e9}: a",
        "\rX: a",
    ] {
        rows.push(("an odd line", Refuse, get(line)));
    }
    for line in [
        "GET  /app/x HTTP/1.1",
        "GET /app/x  HTTP/1.1",
        "GET /app/x HTTP/1.1 ",
        " GET /app/x HTTP/1.1",
        "GET\t/app/x\tHTTP/1.1",
        "GET /app/x HTTP/1.2",
        "GET /app/x HTTP/2.0",
        "GET /app/x HTTP/0.9",
        "GET /app/x HTTP/1.10",
        "GET /app/x http/1.1",
        "GET /app/x HTTP/ 1.1",
        "GET /app/x",
        "GET /app/x HTTPS/1.1",
        "GET /app/x HTTP/1.1\u{0}",
        "GET /app/x\u{0} HTTP/1.1",
        "GET /app/x\rHTTP/1.1",
        "GET\u{a0}/app/x HTTP/1.1",
        "G\u{0}T /app/x HTTP/1.1",
        "GET /app/x /app/y HTTP/1.1",
        "GET /app/x HTTP/1.1 HTTP/1.1",
        "/app/x HTTP/1.1",
    ] {
        rows.push(("an odd request line", Refuse, format!("{line}\r\nHost: gateway.test\r\n\r\n{NEXT}")));
    }
    run(&rows);
}

#[test]
fn methods_are_those_on_a_list_and_hosts_are_one_name() {
    let mut rows = Vec::new();
    for method in [
        "get", "Get", "GETT", "TRACE", "TRACK", "CONNECT", "DEBUG", "PROPFIND", "BREW", "X", "GET,POST",
        "M-SEARCH", "PRI", "OPTIONS", "PATCH",
    ] {
        rows.push((
            "a method that isn't there",
            Refuse,
            format!("{method} /app/x HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n\r\n"),
        ));
    }
    for line in [
        "CONNECT gateway.test:80",
        "CONNECT /app/x",
        "CONNECT http://gateway.test/app/x",
        "OPTIONS *",
        "TRACE /app/x",
        "GET *",
        "GET gateway.test:80",
        "GET //gateway.test/app/x",
        "GET http://gateway.test/app/x",
        "GET http:/app/x",
        "GET file:///app/x",
    ] {
        rows.push((
            "a target that isn't a path",
            Refuse,
            format!("{line} HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 60\r\n\r\n{NEXT}"),
        ));
    }
    for host in [
        "", "a b", "a,b", "a/b", "a?b", "a#b", "a@b", "a\\b", "a:b", "a:", "a:80:80", "a:99999", "a:-1",
        ":80", "..", ".a", "a..", "[::1", "::1", "[::1]x", "[a]", "%61", "a%00", "\u{e9}", "a\tb", "a;b",
        "{a}", "a'b", "*",
    ] {
        let may = if host == "a:" { Pass } else { Refuse };
        rows.push(("an odd host", may, format!("GET /app/x HTTP/1.1\r\nHost: {host}\r\n\r\n")));
    }
    for hosts in [
        "",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nhost: b\r\n",
        "Host : a\r\n",
        "Host\t: a\r\n",
        " Host: a\r\n",
        "Host: a\r\n b\r\n",
        "X-Host: a\r\n",
        "Ho_st: a\r\n",
    ] {
        rows.push(("hosts", Refuse, format!("GET /app/x HTTP/1.1\r\n{hosts}\r\n")));
        rows.push(("hosts of an old client", Refuse, format!("GET /app/x HTTP/1.0\r\n{hosts}\r\n")));
    }
    run(&rows);
}

#[test]
fn bytes_behind_an_answer_or_an_upgrade_are_no_tunnel() {
    let get = |lines: &str| format!("GET /app/x HTTP/1.1\r\nHost: gateway.test\r\n{lines}\r\n{NEXT}");
    run(&[
        (
            "a socket where none is",
            Pass,
            get(
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n",
            ),
        ),
        (
            "another HTTP",
            Pass,
            get(
                "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
            ),
        ),
        ("several upgrades", Pass, get("Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n")),
        ("TLS", Pass, get("Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n")),
        (
            "an upgrade with a body",
            Pass,
            post("Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n", "abc"),
        ),
        (
            "a refused request with a body",
            Refuse,
            format!(
                "POST /nowhere HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: {}\r\n\r\n{NEXT}",
                NEXT.len()
            ),
        ),
        (
            "a refused request with chunks",
            Refuse,
            format!(
                "POST /nowhere HTTP/1.1\r\nHost: gateway.test\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{NEXT}\r\n0\r\n\r\n",
                NEXT.len()
            ),
        ),
    ]);
}

/// A refused request's body is not the next request, whether it is all there or not.
#[test]
fn the_body_of_a_refused_request_is_never_a_request() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(upstream.address);
    for announced in [NEXT.len() + 1, 100_000, 9_000_000, NEXT.len()] {
        let mut client = Client::connect(gateway.address);
        client.send(format!(
            "POST /nowhere HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: {announced}\r\n\r\n{NEXT}"
        ));
        assert_eq!(client.read(false).unwrap().status, 404);
        let _ = client.stream.write_all(NEXT.as_bytes());
        let _ = client.stream.shutdown(Shutdown::Write);
        let mut rest = 0;
        while client.read(false).is_ok() {
            rest += 1;
        }
        assert!(rest <= 1, "{announced}");
        // Only what stood behind the whole body was a request; whether its answer was still wanted is the client's haste.
        let most = usize::from(announced == NEXT.len());
        let seen = upstream.heads();
        assert!((rest.min(most)..=most).contains(&seen.len()), "{announced}: {seen:?}");
        assert!(seen.iter().all(|head| head.starts_with("GET /app/smuggled")), "{seen:?}");
    }
}
