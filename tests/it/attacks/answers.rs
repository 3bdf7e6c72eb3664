//! Applications that answer what nobody should: the client gets the one answer that there is, or a refusal, or an answer that
//! is visibly cut; and whoever asks next gets his own.

use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use crate::support::{Gateway, Upstream};

/// What the client may get.
#[derive(Clone, Copy, Debug)]
enum Gets {
    /// This status and body, and nothing else.
    Whole(u16, &'static str),
    /// A refusal, or an answer that ends before it should.
    Nothing,
}

use Gets::{Nothing, Whole};

/// Answers `/app/odd` with these bytes and everything else with its own path, on connections that it never closes.
fn odd(answer: Vec<u8>) -> Upstream {
    Upstream::scripted(move |wire| {
        while let Some(head) = wire.read_head()? {
            wire.read_body(&head)?;
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            match path.as_str() {
                "/app/odd" => wire.write(&answer)?,
                _ => wire.write(
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len()).as_bytes(),
                )?,
            }
        }
        Ok(())
    })
}

fn run(method: &str, rows: &[(&str, Gets, Vec<u8>)]) {
    let mut wrong = Vec::new();
    for (name, gets, answer) in rows {
        let upstream = odd(answer.clone());
        let setup = Gateway::setup().upstream("app", &[upstream.address]);
        let gateway = setup.read_timeout(Duration::from_millis(300)).start();
        let mut client = gateway.client();
        // A connection that the odd answer comes on may be used by the next one.
        assert_eq!(client.request("GET /app/first", &[]).text(), "/app/first");
        client.send(format!("{method} /app/odd HTTP/1.1\r\nHost: gateway.test\r\n\r\n"));
        let got = client.read(method == "HEAD");
        let fine = match (&got, gets) {
            (Ok(response), Whole(status, body)) => response.status == *status && response.text() == *body,
            (Ok(response), Nothing) => [502, 504].contains(&response.status),
            (Err(_), Nothing) => true,
            (Err(_), Whole(..)) => false,
        };
        if !fine {
            wrong.push(format!("{name}: {got:?}"));
        }
        if got.is_ok() && !client.is_gone() {
            assert_eq!(client.request("GET /app/same", &[]).text(), "/app/same", "{name}");
        }
        for n in 0..8 {
            let path = format!("/app/next/{n}");
            assert_eq!(
                gateway.request(&format!("GET {path}"), &[]).text(),
                path,
                "{name} is somebody else's answer"
            );
        }
    }
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), rows.len());
}

#[test]
fn an_odd_answer_is_nobody_elses() {
    let mut rows: Vec<(&str, Gets, Vec<u8>)> = Vec::new();
    let mut row = |name, gets, answer: &[u8]| rows.push((name, gets, answer.to_vec()));
    row("an answer", Whole(200, "ok"), b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    row("more than an answer", Whole(200, "ok"), b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokay");
    row(
        "two answers",
        Whole(200, "ok"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    );
    row("two answers in chunks", Whole(200, "ok"), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    row("a body where none is", Whole(204, ""), b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil");
    row(
        "chunks where none are",
        Whole(204, ""),
        b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
    );
    row(
        "nothing new, and something",
        Whole(304, ""),
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil",
    );
    row("trailers", Whole(200, "ok"), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Gatewarden-Subject: evil\r\n\r\n");
    row("an early hint with more", Whole(200, "ok"), b"HTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    row("hints", Whole(200, "ok"), b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 199 Odd\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    row("less than an answer", Nothing, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    row("less than a chunk", Nothing, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhalf");
    row("chunks without end", Nothing, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n");
    row(
        "a switch",
        Nothing,
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    row(
        "a switch to nothing",
        Nothing,
        b"HTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    row("only a hint", Nothing, b"HTTP/1.1 100 Continue\r\n\r\n");
    for status in
        ["999 Odd", "600 Odd", "99 Odd", "000 Odd", "2000 OK", "+20 OK", "20", "abc OK", "-1 OK", "200OK"]
    {
        row("an odd status", Nothing, format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok").as_bytes());
    }
    for version in
        ["HTTP/2.0", "HTTP/0.9", "HTTP/1.2", "http/1.1", "HTTP/1.10", "ICY", " HTTP/1.1", "HTTP/1.1\0"]
    {
        row("an odd version", Nothing, format!("{version} 200 OK\r\nContent-Length: 2\r\n\r\nok").as_bytes());
    }
    for lines in [
        "Content-Length: 2\r\nContent-Length: 4",
        "Content-Length: +2",
        "Content-Length: 2,2",
        "Content-Length: 0x2",
        "Content-Length: -2",
        "Content-Length: 99999999999999999999",
        "Content-Length: 2\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: identity",
        "Content Length: 2",
        "Content-Length : 2",
        "Content-Length\0: 2",
        "X: a\0b",
        "X: a\rb",
        ": x",
        "X\u{e9}: y",
    ] {
        row(
            "an odd line",
            Nothing,
            format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n2\r\nok\r\n0\r\n\r\n").as_bytes(),
        );
    }
    for chunks in [
        "zz\r\nok\r\n0\r\n\r\n",
        "2\r\nokay\r\n0\r\n\r\n",
        "-2\r\nok\r\n0\r\n\r\n",
        "0x2\r\nok\r\n0\r\n\r\n",
        "10000000000000002\r\nok\r\n0\r\n\r\n",
        "2\nok\r\n0\r\n\r\n",
    ] {
        row(
            "an odd chunk",
            Nothing,
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}").as_bytes(),
        );
    }
    run("GET", &rows);
}

#[test]
fn a_head_has_no_body_whatever_the_upstream_sends() {
    run(
        "HEAD",
        &[
            ("a head", Whole(200, ""), b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n".to_vec()),
            (
                "a head with a body",
                Whole(200, ""),
                b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil".to_vec(),
            ),
            (
                "a head with chunks",
                Whole(200, ""),
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n".to_vec(),
            ),
        ],
    );
}

/// An answer that is there before anyone asked is nobody's.
#[test]
fn what_comes_unasked_is_no_answer() {
    let (said, heard) = mpsc::channel();
    let said = Mutex::new(said);
    let upstream = Upstream::scripted(move |wire| {
        while let Some(head) = wire.read_head()? {
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            wire.write(
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len()).as_bytes(),
            )?;
            // Some time after the answer, so that the connection is kept for the next request.
            std::thread::sleep(Duration::from_millis(20));
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")?;
            said.lock().unwrap().send(()).map_err(std::io::Error::other)?;
        }
        Ok(())
    });
    let gateway = Gateway::before(upstream.address);
    for n in 0..20 {
        let path = format!("/app/{n}");
        assert_eq!(gateway.request(&format!("GET {path}"), &[]).text(), path);
        heard.recv_timeout(crate::support::PATIENCE).unwrap();
    }
    assert_eq!(upstream.connections(), 20);
}

#[test]
fn hints_without_end_end() {
    let upstream = Upstream::scripted(|wire| {
        wire.read_head()?;
        loop {
            wire.write(&b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n".repeat(100))?;
        }
    });
    let setup = Gateway::setup().upstream("app", &[upstream.address]);
    let gateway = setup.read_timeout(Duration::from_millis(300)).start();
    let started = Instant::now();
    let status = gateway.request("GET /app/x", &[]).status;
    assert!([502, 504].contains(&status), "{status}");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}
