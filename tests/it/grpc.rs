//! gRPC: calls in both directions at once, with their status at the end; refusals as gRPC says them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use gatewarden::plumbing::{Calls, Protocol, UpstreamConfig};
use http::{HeaderMap, HeaderValue, Request, Response};

use crate::support::h2_upstream::{Asked, H2Upstream, Manner, Respond, connect, read, run, speaking};
use crate::support::upstream::nobody;
use crate::support::{Gateway, Upstream};

const RULES: &str = r#"
app = "app"
owns = ["/app.Greeter"]
issuer = "test"
roles = "token.roles"
tenant = "default"
[facts.token]
roles = "set"
[resource.greeting]
say = ["POST /app.Greeter/Hello", "POST /app.Greeter/Chat", "POST /app.Greeter/Slow"]
[resource.secret]
say = ["POST /app.Greeter/Secret"]
[role.user]
say = ["greeting"]
[role.boss]
say = ["greeting", "secret"]
"#;

fn before(upstream: std::net::SocketAddr) -> Gateway {
    let setup = Gateway::setup().upstream("app", &[upstream]).rules("app", RULES);
    setup.at("app", &["/app.Greeter"]).upstreams_as(called).alter(speaking(Protocol::Http2, None)).start()
}

fn called(upstream: &mut UpstreamConfig) {
    upstream.calls = Calls::Passed;
}

/// One message, as gRPC frames it.
fn message(text: &str) -> Bytes {
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    [&[0][..], &length, text.as_bytes()].concat().into()
}

fn call(gateway: &Gateway, method: &str, roles: Option<&[&str]>) -> Request<()> {
    let mut request = Request::post(format!("http://gateway.test/app.Greeter/{method}"))
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers")
        .header("grpc-timeout", "5S");
    if let Some(roles) = roles {
        let token = gateway.token(roles);
        request = request.header("authorization", token.strip_prefix("Authorization: ").unwrap());
    }
    request.body(()).unwrap()
}

/// Calls, and returns the head, the messages and the trailers.
async fn answer(gateway: &Gateway, request: Request<()>) -> (Response<()>, Vec<u8>, Option<HeaderMap>) {
    let mut sender = connect(gateway.address).await;
    let (answer, mut out) = sender.send_request(request, false).unwrap();
    let _ = out.send_data(message("ada"), true);
    let (parts, body) = answer.await.unwrap().into_parts();
    let (body, trailers) = read(body).await.unwrap();
    (Response::from_parts(parts, ()), body, trailers)
}

async fn greeter(request: Asked, mut respond: Respond) {
    let headers = request.headers();
    assert_eq!(headers["te"], "trailers");
    assert_eq!(headers["grpc-timeout"], "5S");
    assert_eq!(headers["x-gatewarden-subject"], "ada");
    let is_chat = request.uri().path().ends_with("/Chat");
    let mut head = Response::new(());
    head.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc+proto"));
    let mut out = respond.send_response(head, false).unwrap();
    let mut body = request.into_body();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    if is_chat {
        while let Some(Ok(data)) = body.data().await {
            out.send_data(data, false).unwrap();
        }
    } else {
        let (said, _) = read(body).await.unwrap();
        assert_eq!(said, message("ada"));
        out.send_data(message("hello"), false).unwrap();
        trailers.insert("grpc-status", HeaderValue::from_static("5"));
        trailers.insert("grpc-message", HeaderValue::from_static("nobody%20there"));
    }
    out.send_trailers(trailers).unwrap();
}

#[test]
fn a_call_ends_with_its_status() {
    let upstream = H2Upstream::start(Manner::default(), greeter);
    let gateway = before(upstream.address);
    run(async {
        let (head, body, trailers) = answer(&gateway, call(&gateway, "Hello", Some(&["user"]))).await;
        assert_eq!((head.status().as_u16(), body), (200, message("hello").to_vec()));
        let trailers = trailers.unwrap();
        assert_eq!(
            (&trailers["grpc-status"], &trailers["grpc-message"]),
            (&HeaderValue::from_static("5"), &HeaderValue::from_static("nobody%20there"))
        );
    });
}

#[test]
fn both_sides_talk_at_the_same_time() {
    let upstream = H2Upstream::start(Manner::default(), greeter);
    let gateway = before(upstream.address);
    run(async {
        let mut sender = connect(gateway.address).await;
        let (answer, mut out) = sender.send_request(call(&gateway, "Chat", Some(&["user"])), false).unwrap();
        // The head comes before anything was said.
        let mut body = answer.await.unwrap().into_body();
        for said in ["one", "two", "three"] {
            out.send_data(message(said), false).unwrap();
            let heard = body.data().await.unwrap().unwrap();
            let _ = body.flow_control().release_capacity(heard.len());
            assert_eq!(heard, message(said));
        }
        out.send_data(Bytes::new(), true).unwrap();
        assert!(body.data().await.is_none());
        assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
    });
}

#[test]
fn a_call_may_be_silent_for_longer_than_a_body() {
    let upstream = H2Upstream::start(Manner::default(), greeter);
    let setup = Gateway::setup().upstream("app", &[upstream.address]).rules("app", RULES);
    let setup = setup.at("app", &["/app.Greeter"]).limits(|limits| {
        limits.body_timeout = Duration::from_millis(50);
        limits.body_bytes = 100;
    });
    let gateway = setup.upstreams_as(called).alter(speaking(Protocol::Http2, None)).start();
    run(async {
        let mut sender = connect(gateway.address).await;
        let (answer, mut out) = sender.send_request(call(&gateway, "Chat", Some(&["user"])), false).unwrap();
        out.send_data(message("first"), false).unwrap();
        let mut body = answer.await.unwrap().into_body();
        assert!(body.data().await.unwrap().is_ok());
        // Many messages may be longer than one.
        for _ in 0..3 {
            out.send_data(message(&"x".repeat(60)), false).unwrap();
            assert!(body.data().await.unwrap().is_ok());
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        out.send_data(message(&"x".repeat(101)), false).unwrap();
        while let Some(Ok(_)) = body.data().await {}
        assert!(body.trailers().await.is_err(), "one that is too long ends the call");
    });
}

#[test]
fn refusals_are_statuses() {
    let upstream = H2Upstream::start(Manner::default(), |_, mut respond: Respond| async move {
        let _held = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
    });
    let setup = Gateway::setup().upstream("app", &[upstream.address]).rules("app", RULES);
    let setup = setup.at("app", &["/app.Greeter"]).read_timeout(Duration::from_millis(100));
    let gateway = setup.upstreams_as(called).alter(speaking(Protocol::Http2, None)).start();
    let refused = |method: &str, roles: Option<&[&str]>| {
        run(async {
            let (head, body, trailers) = answer(&gateway, call(&gateway, method, roles)).await;
            assert_eq!((head.status().as_u16(), body.len(), trailers), (200, 0, None));
            assert_eq!(head.headers()["content-type"], "application/grpc");
            assert!(head.headers().contains_key("x-request-id"));
            let message = head.headers()["grpc-message"].to_str().unwrap().to_owned();
            (head.headers()["grpc-status"].to_str().unwrap().to_owned(), message)
        })
    };
    assert_eq!(refused("Hello", None), ("16".to_owned(), "a bearer token is needed".to_owned()));
    assert_eq!(refused("Secret", Some(&["user"])).0, "7");
    assert_eq!(refused("Unknown", Some(&["user"])).0, "12");
    assert_eq!(refused("Slow", Some(&["user"])).0, "4");
    // What is counted is what happened.
    for code in ["401", "403", "404", "504"] {
        gateway.counts("gatewarden_requests_total", &[&format!("code=\"{code}\""), " 1"]);
    }
    let gateway = before(nobody());
    run(async {
        let (head, ..) = answer(&gateway, call(&gateway, "Hello", Some(&["user"]))).await;
        assert_eq!(head.headers()["grpc-status"], "14");
        let mut web = call(&gateway, "Hello", None);
        web.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc-web"));
        assert_eq!(answer(&gateway, web).await.0.status(), 401, "that is another protocol");
    });
}

#[test]
fn an_application_that_doesnt_speak_it_is_not_asked() {
    let upstream = Upstream::echo();
    let setup = Gateway::setup().upstream("app", &[upstream.address]).rules("app", RULES);
    let gateway = setup.at("app", &["/app.Greeter"]).start();
    run(async {
        let (head, ..) = answer(&gateway, call(&gateway, "Hello", Some(&["user"]))).await;
        assert_eq!(head.headers()["grpc-status"], "12");
    });
    assert!(upstream.heads().is_empty());
}

/// A gateway before an application on HTTP/2 that nobody said is called, and that takes what it is sent.
fn before_no_calls() -> (H2Upstream, Gateway) {
    let upstream = H2Upstream::start(Manner::default(), |request: Asked, mut respond: Respond| async move {
        let _ = read(request.into_body()).await;
        let _ = respond.send_response(Response::new(()), true);
    });
    let setup = Gateway::setup().upstream("app", &[upstream.address]).rules("app", RULES);
    let setup = setup.at("app", &["/app.Greeter"]).limits(|limits| {
        limits.body_timeout = Duration::from_millis(100);
        limits.body_bytes = 100;
    });
    let gateway = setup.alter(speaking(Protocol::Http2, None)).start();
    (upstream, gateway)
}

/// The caller alone says that a request is a call: that once switched off the limits of any application on HTTP/2.
#[test]
fn a_content_type_alone_lifts_no_limit() {
    let (upstream, gateway) = before_no_calls();
    run(async {
        let (head, ..) = answer(&gateway, call(&gateway, "Hello", Some(&["user"]))).await;
        assert_eq!(head.headers()["grpc-status"], "12");
        assert_eq!(upstream.connections(), 0, "nobody said that it takes calls");
    });
}

#[test]
fn two_content_types_are_no_call() {
    let (_upstream, gateway) = before_no_calls();
    run(async {
        for first in ["application/grpc", "application/json"] {
            let mut request = call(&gateway, "Hello", Some(&["user"]));
            request.headers_mut().insert("content-type", HeaderValue::from_static(first));
            request.headers_mut().append("content-type", HeaderValue::from_static("application/grpc"));
            let mut sender = connect(gateway.address).await;
            let (answer, mut out) = sender.send_request(request, false).unwrap();
            for _ in 0..3 {
                let _ = out.send_data(message(&"x".repeat(60)), false);
            }
            assert_eq!(answer.await.unwrap().status(), 413, "many messages are one body");
        }
    });
}

#[test]
fn the_first_message_of_a_call_is_waited_for_as_long_as_a_body() {
    let upstream = H2Upstream::start(Manner::default(), |request: Asked, mut respond: Respond| async move {
        let _ = read(request.into_body()).await;
        let _ = respond.send_response(Response::new(()), true);
    });
    let setup = Gateway::setup().upstream("app", &[upstream.address]).rules("app", RULES);
    let setup = setup.at("app", &["/app.Greeter"]).upstreams_as(called);
    let setup = setup.limits(|limits| limits.body_timeout = Duration::from_millis(200));
    let gateway = setup.alter(speaking(Protocol::Http2, None)).start();
    run(async {
        for drips in [false, true] {
            let mut sender = connect(gateway.address).await;
            let (mut answer, mut out) =
                sender.send_request(call(&gateway, "Hello", Some(&["user"])), false).unwrap();
            let _ = out.send_data(message(&"x".repeat(10_000)).slice(..5), false);
            let head = loop {
                match tokio::time::timeout(Duration::from_millis(20), &mut answer).await {
                    Ok(head) => break head.unwrap(),
                    Err(_) if drips => drop(out.send_data(Bytes::from_static(b"x"), false)),
                    Err(_) => {}
                }
            };
            assert_eq!(head.headers()["grpc-status"], "4", "a piece now and then is no message");
        }
    });
}

#[test]
fn a_call_over_a_rate_is_told_that_too_much_is_asked() {
    let upstream = H2Upstream::start(Manner::default(), greeter);
    let rules = RULES.replace("[resource.greeting]", "[limit]\ntenant = \"1/h\"\n[resource.greeting]");
    let setup = Gateway::setup().upstream("app", &[upstream.address]).rules("app", &rules);
    let setup = setup.at("app", &["/app.Greeter"]).upstreams_as(called);
    let gateway = setup.alter(speaking(Protocol::Http2, None)).start();
    run(async {
        let (_, body, trailers) = answer(&gateway, call(&gateway, "Hello", Some(&["user"]))).await;
        assert_eq!((body, trailers.is_some()), (message("hello").to_vec(), true));
        let (head, body, _) = answer(&gateway, call(&gateway, "Hello", Some(&["user"]))).await;
        assert_eq!((head.status().as_u16(), body.len()), (200, 0));
        assert_eq!(head.headers()["grpc-status"], "8");
        assert_eq!(head.headers()["grpc-message"], "too many requests; try again later");
    });
    gateway.counts("gatewarden_requests_total", &["code=\"429\"", " 1"]);
}

#[test]
fn who_hangs_up_ends_the_call() {
    let ended = Arc::<AtomicBool>::default();
    let told = ended.clone();
    let upstream = H2Upstream::start(Manner::default(), move |request, respond| {
        let told = told.clone();
        async move {
            let mut respond = respond;
            let _out = respond.send_response(Response::new(()), false).unwrap();
            read(request.into_body()).await.unwrap_err();
            told.store(true, Ordering::SeqCst);
        }
    });
    let gateway = before(upstream.address);
    run(async {
        let mut sender = connect(gateway.address).await;
        let (answer, out) = sender.send_request(call(&gateway, "Chat", Some(&["user"])), false).unwrap();
        let body = answer.await.unwrap().into_body();
        drop((out, body));
        while !ended.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}
