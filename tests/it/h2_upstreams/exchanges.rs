//! What passes, what is tried again, and what breaks off.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use gatewarden::json::Pattern;
use gatewarden::plumbing::Protocol;
use gatewarden::policy::obligation::Mask;
use h2::Reason;
use http::{HeaderMap, HeaderValue, Request, Response};

use crate::support::h2_upstream::{H2Upstream, Manner, connect, echo, read, run, speaking};
use crate::support::{Gateway, Upstream};

fn before(upstream: &H2Upstream) -> Gateway {
    let setup = Gateway::setup().upstream("app", &[upstream.address]);
    setup.alter(speaking(Protocol::Http2, None)).start()
}

#[test]
fn a_request_arrives_with_one_host() {
    let upstream = H2Upstream::start(Manner::default(), echo);
    let gateway = before(&upstream);
    let mut client = gateway.client();
    let line = "GET /app/x?a=b";
    let response = client.request(line, &["X-Customer: c", "X-Gatewarden-Subject: root", "TE: trailers"]);
    assert_eq!(response.status, 200);
    assert!(response.text().starts_with("GET http://gateway.test/app/x?a=b\n"), "{}", response.text());
    assert!(response.text().contains("\nx-customer: c\n"));
    for gone in ["\nhost:", "subject", "\nte:", "\nconnection:", "transfer-encoding"] {
        assert!(!response.text().contains(gone), "{gone}: {}", response.text());
    }
    let body = "x".repeat(300_000);
    let sized = format!("Content-Length: {}", body.len());
    let head = format!("POST /app/x HTTP/1.1\r\nHost: gateway.test\r\n{sized}\r\n\r\n");
    let response = client.ask(format!("{head}{body}"));
    assert!(response.text().contains("\ncontent-length: 300000\n") && response.text().ends_with(&body));
    client.send("POST /app/x HTTP/1.1\r\nHost: gateway.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    let response = client.ask("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    assert!(!response.text().contains("\ncontent-length:") && response.text().ends_with("\nabcde"));
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn what_doesnt_speak_it_never_sees_a_request() {
    let upstream = Upstream::echo();
    let setup = Gateway::setup().upstream("app", &[upstream.address]);
    let gateway = setup.alter(speaking(Protocol::Http2, None)).start();
    assert_eq!(gateway.request("GET /app/x", &[]).status, 503);
    gateway.counts("gatewarden_upstream_connect_failures_total", &["app", "protocol", " 1"]);
    assert!(upstream.heads().iter().all(|head| !head.contains("/app")));
}

#[test]
fn a_server_that_leaves_loses_nothing() {
    const EACH: usize = 20;
    let manner = Manner { leaves_after: Some(5), ..Manner::default() };
    let upstream = H2Upstream::start(manner, echo);
    let gateway = before(&upstream);
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                let mut client = gateway.client();
                for _ in 0..EACH {
                    assert_eq!(client.request("GET /app/x", &[]).status, 200);
                }
            });
        }
    });
    assert!(upstream.connections() >= 10 * EACH / 30, "it did leave: {}", upstream.connections());
}

#[test]
fn a_refused_stream_is_asked_again() {
    let seen = Arc::<AtomicUsize>::default();
    let counter = seen.clone();
    let upstream = H2Upstream::start(Manner::default(), move |request, mut respond| {
        let is_first = counter.fetch_add(1, Ordering::SeqCst) % 2 == 0;
        async move {
            if is_first {
                // What was sent already is sent again.
                respond.send_reset(Reason::REFUSED_STREAM);
            } else {
                echo(request, respond).await;
            }
        }
    });
    let gateway = before(&upstream);
    let mut client = gateway.client();
    assert_eq!(client.request("GET /app/x", &[]).status, 200);
    let response = client.ask("POST /app/x HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(response.status, 200);
    assert!(response.text().ends_with("\nhello"), "{}", response.text());
    assert_eq!(seen.load(Ordering::SeqCst), 4);
}

/// Refusals once cost nothing: twice at every server and once more, uncounted, and the server kept its share.
#[test]
fn a_server_that_refuses_everything_is_asked_little_and_left_alone() {
    let seen = Arc::<AtomicUsize>::default();
    let start = || {
        let counter = seen.clone();
        H2Upstream::start(Manner::default(), move |_, mut respond| {
            counter.fetch_add(1, Ordering::SeqCst);
            async move { respond.send_reset(Reason::REFUSED_STREAM) }
        })
    };
    let all = [(); 4].map(|()| start());
    let setup = Gateway::setup().upstream("app", &all.each_ref().map(|own| own.address));
    let gateway = setup.alter(speaking(Protocol::Http2, None)).start();
    let mut client = gateway.client();
    for _ in 0..10 {
        assert_eq!(client.request("GET /app/x", &[]).status, 503);
    }
    assert_eq!(seen.load(Ordering::SeqCst), 30, "each once, and two times more");
    gateway.counts("gatewarden_upstream_retries_total", &["failed", " 10"]);
    gateway.counts("gatewarden_upstream_server_ejections_total", &[" 1"]);
}

#[test]
fn a_reset_in_the_middle_is_no_end() {
    for reason in [Reason::CANCEL, Reason::NO_ERROR, Reason::INTERNAL_ERROR] {
        let upstream = H2Upstream::start(Manner::default(), move |_, mut respond| async move {
            let mut out = respond.send_response(Response::new(()), false).unwrap();
            out.send_data("half".into(), false).unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            out.send_reset(reason);
        });
        let gateway = before(&upstream);
        let mut client = gateway.client();
        client.send("GET /app/x HTTP/1.1\r\nHost: gateway.test\r\n\r\n");
        client.read(false).expect_err("the half is not the whole");
        gateway.counts("gatewarden_upstream_cut_answers_total{upstream=\"app\"}", &[" 1"]);
        run(async {
            let mut sender = connect(gateway.address).await;
            let request = Request::get("http://gateway.test/app/x").body(()).unwrap();
            let (answer, _) = sender.send_request(request, true).unwrap();
            read(answer.await.unwrap().into_body()).await.unwrap_err();
        });
    }
}

#[test]
fn trailers_pass_to_who_can_take_them() {
    let upstream = H2Upstream::start(Manner::default(), |_, mut respond| async move {
        let mut head = Response::new(());
        head.headers_mut().insert("trailer", HeaderValue::from_static("x-checksum, set-cookie"));
        let mut out = respond.send_response(head, false).unwrap();
        out.send_data("body".into(), false).unwrap();
        let mut trailers = HeaderMap::new();
        for name in ["x-checksum", "set-cookie", "x-gatewarden-subject", "authorization"] {
            trailers.insert(name, HeaderValue::from_static("v"));
        }
        out.send_trailers(trailers).unwrap();
    });
    let gateway = before(&upstream);
    run(async {
        let mut sender = connect(gateway.address).await;
        let request = Request::get("http://gateway.test/app/x").body(()).unwrap();
        let (answer, _) = sender.send_request(request, true).unwrap();
        let (body, trailers) = read(answer.await.unwrap().into_body()).await.unwrap();
        assert_eq!(body, b"body");
        let names: Vec<_> = trailers.unwrap().keys().map(ToString::to_string).collect();
        assert_eq!(names, ["x-checksum"]);
    });
    let mut client = gateway.client();
    client.send("GET /app/x HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: te\r\n\r\n");
    let whole = client.read_until(b"\r\nx-checksum: v\r\n\r\n").unwrap();
    let whole = String::from_utf8(whole).unwrap();
    assert!(whole.contains("\r\ntrailer: x-checksum\r\n") && !whole.contains("set-cookie"), "{whole}");
    let response = client.request("GET /app/x", &[]);
    assert_eq!((response.header("trailer"), response.text()), (None, "body"), "it asked for none");
}

#[test]
fn events_come_as_they_are_sent() {
    let upstream = H2Upstream::start(Manner::default(), |mut request, mut respond| async move {
        let mut out = respond.send_response(Response::new(()), false).unwrap();
        out.send_data("data: 1\n\n".into(), false).unwrap();
        // The second is sent when the client has had the first.
        let data: Bytes = request.body_mut().data().await.unwrap().unwrap();
        assert_eq!(&data[..], b"seen");
        out.send_data("data: 2\n\n".into(), true).unwrap();
    });
    let gateway = before(&upstream);
    run(async {
        let mut sender = connect(gateway.address).await;
        let request = Request::post("http://gateway.test/app/x").body(()).unwrap();
        let (answer, mut out) = sender.send_request(request, false).unwrap();
        let mut body = answer.await.unwrap().into_body();
        assert_eq!(&body.data().await.unwrap().unwrap()[..], b"data: 1\n\n");
        out.send_data("seen".into(), true).unwrap();
        assert_eq!(&body.data().await.unwrap().unwrap()[..], b"data: 2\n\n");
        assert!(body.data().await.is_none());
    });
}

#[test]
fn nothing_comes_after_an_answer_that_is_edited() {
    for pieces in [1, 2000] {
        let upstream = H2Upstream::start(Manner::default(), move |_, mut respond| async move {
            let mut head = Response::new(());
            head.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
            head.headers_mut().insert("trailer", HeaderValue::from_static("x-secret"));
            let mut out = respond.send_response(head, false).unwrap();
            let long = "x".repeat(40 * pieces);
            out.send_data(format!("{{\"secret\":\"s\",\"long\":\"{long}\"}}").into(), false).unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("x-secret", HeaderValue::from_static("s"));
            out.send_trailers(trailers).unwrap();
        });
        let setup = Gateway::setup().upstream("app", &[upstream.address]);
        let masked = setup.compiled(|snapshot| {
            for operation in &mut snapshot.apps.first_mut().unwrap().operations {
                let fields = [Pattern::parse("/secret").unwrap()].into();
                operation.obligations.masks = [Mask { fields, unless: [].into() }].into();
            }
        });
        let gateway = masked.alter(speaking(Protocol::Http2, None)).start();
        run(async {
            let mut sender = connect(gateway.address).await;
            let token = gateway.token(&["user"]);
            let request = Request::get("http://gateway.test/app-guarded/x")
                .header("authorization", token.strip_prefix("Authorization: ").unwrap());
            let (answer, _) = sender.send_request(request.body(()).unwrap(), true).unwrap();
            let answer = answer.await.unwrap();
            assert_eq!((answer.status().as_u16(), answer.headers().get("trailer")), (200, None));
            let (body, trailers) = read(answer.into_body()).await.unwrap();
            assert!(!body.is_empty() && !body.windows(3).any(|own| own == b"\"s\""));
            assert_eq!(trailers, None);
        });
    }
}
