//! Answers that are edited: what is hidden stays hidden, and what can't be read isn't passed on.

use std::fmt::Write as _;
use std::io::{self, Read};

use gatewarden::fact::{Fact, Literal, Source, Type};
use gatewarden::json::{Pattern, Pointer};
use gatewarden::policy::obligation::{Filter, Mask};
use gatewarden::policy::{Condition, Leaf, Named, Operand, Operator};
use gatewarden::snapshot::Snapshot;
use serde_json::{Value, json};

use super::bodies::resident;
use crate::support::gateway::Setup;
use crate::support::{Gateway, Response, Upstream, Wire};

/// Hides these fields in every guarded answer, and keeps those `items` alone that are `own`.
fn edit(snapshot: &mut Snapshot, fields: &[&str], items: Option<&str>) {
    let app = snapshot.apps.first_mut().unwrap();
    let own = Fact {
        name: "item.own".into(),
        source: Source::LookUp { look_up: 0, at: Pointer::parse("/own").unwrap() },
        kind: Type::Bool,
        default: None,
    };
    let leaf = Leaf {
        fact: app.facts.len(),
        operator: Operator::Equal,
        operand: Operand::Literal(Literal::Bool(true)),
    };
    let named = Named { name: "own".into(), condition: Condition::Leaf(leaf), place: "here".into() };
    let filter = |items| Filter { items, of: 0, keep: app.conditions.len() };
    let filters: Vec<_> = items.map(|items| filter(pattern(items))).into_iter().collect();
    let mask = Mask { fields: fields.iter().map(|field| pattern(field)).collect(), unless: [].into() };
    app.facts = [&app.facts[..], &[own]].concat().into();
    app.conditions = [&app.conditions[..], &[named]].concat().into();
    for operation in &mut app.operations {
        operation.obligations.masks = [mask.clone()].into();
        operation.obligations.filters = filters.clone().into();
    }
}

fn pattern(text: &str) -> Pattern {
    if text.is_empty() { Pattern::root() } else { Pattern::parse(text).unwrap() }
}

fn editing(upstream: &Upstream, fields: &'static [&str], items: Option<&'static str>) -> Setup {
    let setup = Gateway::setup().upstream("app", &[upstream.address]);
    setup.compiled(move |snapshot| edit(snapshot, fields, items))
}

fn get(gateway: &Gateway) -> Response {
    gateway.request("GET /app-guarded/x", &[&gateway.token(&["user"])])
}

/// Answers every request with these bytes, and closes.
fn saying(answer: Vec<u8>) -> Upstream {
    Upstream::scripted(move |wire| {
        wire.read_head()?;
        wire.write(&answer)
    })
}

fn json_answer(body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
        .into()
}

#[test]
fn what_is_hidden_is_hidden_and_the_rest_passes() {
    let body =
        r#"{"items": [{"own": true, "secret": "S3CRET"}, {"own": false, "n": 1}, {"n": 2}], "secret": 1}"#;
    let upstream = Upstream::scripted(move |wire| {
        while wire.read_head()?.is_some() {
            let length = body.len();
            wire.write(
                format!(
                    "HTTP/1.1 201 Created\r\nContent-Type: application/vnd.x+json; charset=UTF-8\r\n\
                     Content-Length: {length}\r\nETag: \"1\"\r\nLast-Modified: Sat, 01 Jan 2000 00:00:00 GMT\r\n\
                     Content-MD5: x\r\nDigest: x\r\nContent-Digest: x\r\nRepr-Digest: x\r\nAccept-Ranges: bytes\r\n\
                     Cache-Control: public, max-age=600\r\nCDN-Cache-Control: public\r\nX-Other: kept\r\n\r\n{body}"
                )
                .as_bytes(),
            )?;
        }
        Ok(())
    });
    let gateway = editing(&upstream, &["/items/*/secret"], Some("/items")).start();
    let asked = [
        &*gateway.token(&["user"]),
        "Accept-Encoding: gzip, br",
        "Range: bytes=0-9",
        "If-Range: \"1\"",
        "If-None-Match: \"1\"",
        "If-Modified-Since: Sat, 01 Jan 2000 00:00:00 GMT",
        "A-IM: vcdiff",
    ];
    let response = gateway.request("GET /app-guarded/x", &asked);
    assert_eq!(response.status, 201);
    assert_eq!(response.text(), r#"{"items": [{"own": true, "secret": "********"}], "secret": 1}"#);
    assert_eq!(response.header("content-length"), Some(response.body.len().to_string().as_str()));
    for gone in
        ["etag", "last-modified", "content-md5", "digest", "content-digest", "repr-digest", "accept-ranges"]
    {
        assert_eq!(response.header(gone), None, "{gone}");
    }
    assert_eq!(response.header("cdn-cache-control"), None);
    assert_eq!(response.header("cache-control"), Some("private, no-store"));
    assert_eq!(response.header("x-other"), Some("kept"));

    let head = upstream.heads().remove(0).to_ascii_lowercase();
    assert!(head.contains("\r\naccept-encoding: identity\r\n"), "{head}");
    for gone in ["\r\nrange:", "\r\nif-", "\r\na-im:", "gzip"] {
        assert!(!head.contains(gone), "{head}");
    }
    // The answer was read to its end, so its connection serves the next request.
    get(&gateway);
    assert_eq!(upstream.connections(), 1);

    // What no mask is about passes as it came.
    let response = gateway.request("GET /app/x", &["Range: bytes=0-9"]);
    assert_eq!(response.text(), body);
    assert_eq!(response.header("etag"), Some("\"1\""));
}

#[test]
fn an_answer_that_cant_be_read_is_withheld() {
    let typed = |head: &str, body: &str| {
        format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    };
    let sound = r#"{"secret":"S3CRET"}"#;
    let json = "200 OK\r\nContent-Type: application/json";
    let mut answers = vec![
        typed("206 Partial Content\r\nContent-Type: application/json\r\nContent-Range: bytes 0-9/10", sound),
        typed("226 IM Used\r\nContent-Type: application/json\r\nIM: vcdiff", sound),
        typed("200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip", sound),
        typed("200 OK\r\nContent-Type: application/json\r\nContent-Encoding: identity, br", sound),
        typed("200 OK\r\nContent-Type: text/html", sound),
        typed("200 OK\r\nContent-Type: application/json; charset=utf-16", sound),
        typed("200 OK\r\nContent-Type: application/json\r\nContent-Type: application/json", sound),
        typed("200 OK", sound),
        typed("404 Not Found\r\nContent-Type: text/plain", "no S3CRET here"),
        typed("500 Oops\r\nContent-Type: application/json", "S3CRET"),
        typed("302 Found\r\nContent-Type: text/html\r\nLocation: /", "to S3CRET"),
    ];
    for body in [
        r#"{"secret":"S3CRET"#,
        r#"{"secret":"S3CRET"}{}"#,
        r#"{"a":"S3CRET","secret":NaN}"#,
        r#"{"a":"S3CRET","secret":"\ud800"}"#,
        r#"{"a":"S3CRET",'secret':1}"#,
        "\u{feff}{\"a\":\"S3CRET\"}",
        "S3CRET",
        " ",
        "<S3CRET/>",
    ] {
        answers.push(typed(json, body));
    }
    answers.push(typed(json, &format!("{{\"a\":\"S3CRET\",\"b\":{}", "[".repeat(50_000))));
    answers.push([typed(json, "      "), b"{\"a\":\"S3CRET\"}".to_vec()].concat());
    let mut latin = typed(json, r#"{"a":"S3CRETxx"}"#);
    let at = latin.len() - 3;
    latin[at] = 0xe9;
    answers.push(latin);
    for answer in answers {
        let shown = String::from_utf8_lossy(&answer).into_owned();
        let upstream = saying(answer);
        let gateway = editing(&upstream, &["/secret"], None).start();
        let response = get(&gateway);
        assert_eq!(response.status, 502, "{shown}");
        let problem: Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(problem["type"], "urn:gatewarden:answer-withheld", "{shown}");
        assert!(!response.head.contains("S3CRET") && !response.text().contains("S3CRET"), "{shown}");
        gateway.counts("gatewarden_requests_total", &["code=\"502\""]);
    }
}

#[test]
fn a_list_that_is_none_is_withheld() {
    for body in
        [r#"{"items":{"a":"S3CRET"}}"#, r#"{"items":"S3CRET"}"#, r#"{"items":[{"own":true,"Own":"S3CRET"}]}"#]
    {
        let upstream = saying(json_answer(body));
        let response = get(&editing(&upstream, &[], Some("/items")).start());
        assert_eq!(response.status, 502, "{body}");
    }
    // Half a megabyte is more than one element may be.
    let long = format!("{{\"items\":[{{\"own\":true}},\"{}\"]}}", "x".repeat(512 * 1024));
    let upstream = saying(json_answer(&long));
    let gateway = editing(&upstream, &[], Some("/items")).start();
    let mut client = gateway.client();
    client.send(format!("GET /app-guarded/x HTTP/1.1\r\nHost: a\r\n{}\r\n\r\n", gateway.token(&["user"])));
    assert!(client.read(false).is_err());
    gateway.counts("gatewarden_upstream_cut_answers_total", &["upstream=\"app\"", " 1"]);
}

/// The filter of a list that the application answers in another shape than the rules know must not be none.
#[test]
fn a_list_that_is_elsewhere_is_withheld() {
    let long = format!("{{\"data\":[\"{}\"]}}", "x".repeat(128 * 1024));
    for body in [
        r#"[{"own":false,"x":"S3CRET"}]"#,
        r#"{"data":[{"own":false}]}"#,
        r#"{"page":{"items":[{"own":false}]}}"#,
        r#"{}"#,
        r#""S3CRET""#,
        &long,
    ] {
        let response = get(&editing(&saying(json_answer(body)), &[], Some("/items")).start());
        assert_eq!(response.status, 502, "{body:.80}");
        assert!(!response.text().contains("S3CRET"), "{body:.80}");
    }
    for (items, body) in [
        ("/items", r#"{"next":null,"Items":[]}"#),
        ("/groups/*/items", r#"{"groups":[]}"#),
        ("/groups/*/items", r#"{"groups":[{"items":[]}]}"#),
        ("/*/items", r#"{}"#),
        ("", r#"[]"#),
    ] {
        let response = get(&editing(&saying(json_answer(body)), &[], Some(items)).start());
        assert_eq!((response.status, response.text()), (200, body), "{items}");
    }
    let answer = "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"error\":\"\"}";
    assert_eq!(get(&editing(&saying(answer.into()), &[], Some("/items")).start()).status, 404);
}

#[test]
fn errors_that_can_be_read_pass_edited() {
    for status in ["404 Not Found", "422 Unprocessable", "500 Oops"] {
        let body = r#"{"error":{"secret":"S3CRET","code":7}}"#;
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let response = get(&editing(&saying(answer.into()), &["/*/secret"], None).start());
        assert!(status.starts_with(&response.status.to_string()));
        assert_eq!(response.text(), r#"{"error":{"secret":"********","code":7}}"#);
    }
}

#[test]
fn what_has_no_body_passes_without_what_would_tell_of_one() {
    for (line, answer, status) in [
        ("GET", "204 No Content\r\nETag: \"1\"", 204),
        ("GET", "304 Not Modified\r\nETag: \"1\"\r\nContent-Length: 77", 304),
        ("GET", "200 OK\r\nETag: \"1\"\r\nContent-Type: text/html\r\nContent-Length: 0", 200),
        ("HEAD", "200 OK\r\nETag: \"1\"\r\nContent-Type: application/json\r\nContent-Length: 77", 200),
        (
            "GET",
            "200 OK\r\nETag: \"1\"\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n0",
            200,
        ),
    ] {
        let upstream = saying(format!("HTTP/1.1 {answer}\r\n\r\n").into());
        let gateway = editing(&upstream, &["/secret"], None).start();
        let response = gateway.request(&format!("{line} /app-guarded/x"), &[&gateway.token(&["user"])]);
        assert_eq!(response.status, status, "{answer}");
        assert_eq!(response.header("etag"), None, "{answer}");
        assert_eq!(response.body, b"", "{answer}");
        let length = (line == "GET" && status == 200).then_some("0");
        assert_eq!(response.header("content-length"), length, "{line} {answer}");
    }
}

/// Names, escapes and characters of several bytes cut wherever they can be.
#[test]
fn pieces_dont_matter() {
    let body = r#"{"a":"é😀","s\u0065cret":{"x":"S3CRET é"},"list":[1.5e3,null],"SECRET":"S3CRET"}"#;
    let upstream = Upstream::scripted(move |wire| {
        wire.read_head()?;
        wire.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        )?;
        body.bytes().try_for_each(|byte| wire.write(&[b"1\r\n", &[byte][..], b"\r\n"].concat()))?;
        wire.write(b"0\r\nX-Trailer: S3CRET\r\n\r\n")
    });
    let response = get(&editing(&upstream, &["/secret"], None).start());
    assert_eq!(
        response.text(),
        r#"{"a":"é😀","s\u0065cret":"********","list":[1.5e3,null],"SECRET":"********"}"#
    );
    assert!(response.header("content-length").is_some());
}

fn record(number: usize) -> String {
    let mut text = String::new();
    write!(
        text,
        "{{\"own\":{},\"n\":{number},\"secret\":\"S3CRET\",\"text\":\"{}\"}}",
        number.is_multiple_of(2),
        "x".repeat(400)
    )
    .unwrap();
    text
}

/// `count` records of about half a kilobyte, as they are made; then these bytes.
fn listing(wire: &mut Wire, count: usize, end: &str) -> io::Result<()> {
    wire.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n[")?;
    for start in (0..count).step_by(100) {
        let records: Vec<_> = (start..(start + 100).min(count)).map(record).collect();
        wire.write(if start > 0 { b"," } else { b"" })?;
        wire.write(records.join(",").as_bytes())?;
    }
    wire.write(end.as_bytes())
}

#[test]
fn a_long_answer_is_edited_as_it_streams() {
    let upstream = Upstream::scripted(|wire| {
        wire.read_head()?;
        listing(wire, 1000, "]")
    });
    let response = get(&editing(&upstream, &["/*/secret"], Some("")).start());
    assert_eq!((response.status, response.header("content-length")), (200, None));
    let records: Vec<Value> = serde_json::from_slice(&response.body).unwrap();
    let numbers: Vec<_> = records.iter().map(|record| record["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..1000).step_by(2).collect::<Vec<_>>());
    assert!(records.iter().all(|record| record["secret"] == json!("********")));
}

#[test]
fn a_fault_in_the_middle_ends_the_answer_there() {
    for end in [r#",{"own":true,"secret":tru}]"#, r#",{"own":true,"n":1"#, "],\"S3CRET\""] {
        let upstream = Upstream::scripted(move |wire| {
            wire.read_head()?;
            listing(wire, 1000, end)
        });
        let gateway = editing(&upstream, &["/*/secret"], Some("")).start();
        let mut client = gateway.client();
        client
            .send(format!("GET /app-guarded/x HTTP/1.1\r\nHost: a\r\n{}\r\n\r\n", gateway.token(&["user"])));
        let mut got = Vec::new();
        client.stream.read_to_end(&mut got).unwrap();
        let got = String::from_utf8(got).unwrap();
        assert!(got.starts_with("HTTP/1.1 200") && got.len() > 64 * 1024, "{}", got.len());
        assert!(!got.ends_with("0\r\n\r\n") && !got.contains("S3CRET"), "{end}");
        gateway.counts("gatewarden_upstream_cut_answers_total", &["upstream=\"app\"", " 1"]);
    }
}

#[test]
fn an_upstream_that_breaks_off_early_is_the_upstreams_fault() {
    let upstream = saying(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{\"a\":".to_vec(),
    );
    let response = get(&editing(&upstream, &["/secret"], None).start());
    assert_eq!(response.status, 502);
    assert!(response.text().contains("upstream-broken"), "{}", response.text());
}

#[test]
fn a_long_answer_is_edited_in_little_memory() {
    const COUNT: usize = 100_000;
    let upstream = Upstream::scripted(|wire| {
        wire.read_head()?;
        listing(wire, COUNT, "]")
    });
    let gateway = editing(&upstream, &["/*/secret"], Some("")).start();
    let before = resident();
    let mut client = gateway.client();
    client.send(format!("GET /app-guarded/x HTTP/1.1\r\nHost: a\r\n{}\r\n\r\n", gateway.token(&["user"])));
    let (mut chunk, mut total, mut most) = (vec![0; 256 * 1024], 0, before);
    let mut end = Vec::new();
    loop {
        let length = client.stream.read(&mut chunk).unwrap();
        total += length;
        most = most.max(resident());
        end = [&end, &chunk[..length]].concat();
        end.drain(..end.len().saturating_sub(16));
        if length == 0 || end.ends_with(b"0\r\n\r\n") {
            break;
        }
    }
    assert!(end.ends_with(b"]\r\n0\r\n\r\n"), "{}", String::from_utf8_lossy(&end));
    assert!(total > COUNT / 2 * 400, "{total}");
    assert!(most < before + 64, "memory grew from {before} to {most} MiB");
}
