//! Many streams over one connection: none is in another's way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use gatewarden::plumbing::Protocol;
use h2::Reason;
use http::{Request, Response};
use tokio::sync::Barrier;

use crate::support::h2_upstream::{H2Upstream, Manner, connect, echo, read, run, speaking};
use crate::support::{Gateway, eventually};

fn before(upstream: &H2Upstream) -> Gateway {
    let setup = Gateway::setup().upstream("app", &[upstream.address]);
    setup.alter(speaking(Protocol::Http2, None)).start()
}

fn get() -> Request<()> {
    Request::get("http://gateway.test/app/x").body(()).unwrap()
}

/// So many requests at the same time, each answered when all of them have arrived.
fn meet(count: usize, manner: Manner) -> usize {
    let together = Arc::new(Barrier::new(count));
    let upstream = H2Upstream::start(manner, move |request, respond| {
        let together = together.clone();
        async move {
            together.wait().await;
            echo(request, respond).await;
        }
    });
    let gateway = before(&upstream);
    run(async {
        let sender = connect(gateway.address).await;
        let asked = (0..count).map(|_| {
            let mut sender = sender.clone();
            async move {
                let (answer, _) = sender.send_request(get(), true).unwrap();
                let answer = answer.await.unwrap();
                assert_eq!(answer.status(), 200);
                read(answer.into_body()).await.unwrap();
            }
        });
        join_all(asked).await;
    });
    upstream.connections()
}

#[test]
fn a_hundred_requests_share_one_connection() {
    assert_eq!(meet(100, Manner::default()), 1);
}

#[test]
fn a_server_that_takes_few_gets_more_connections() {
    let few = Manner { streams: Some(4), ..Manner::default() };
    let opened = meet(20, few);
    assert!((5..=20).contains(&opened), "{opened}");
}

/// Whoever was late for eight connections in a row was once told that there is no server.
#[test]
fn a_burst_to_a_server_that_takes_one_at_a_time_is_answered() {
    let one = Manner { streams: Some(1), ..Manner::default() };
    // Now and then one is opened for all of them after they have helped themselves.
    let opened = meet(20, one);
    assert!((20..=40).contains(&opened), "{opened}");
}

#[test]
fn who_leaves_ends_his_own_stream() {
    let (reset, others) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let (told, counter) = (reset.clone(), others.clone());
    let upstream = H2Upstream::start(Manner::default(), move |request, mut respond| {
        let (told, counter) = (told.clone(), counter.clone());
        async move {
            if request.uri().path() == "/app/other" {
                counter.fetch_add(1, Ordering::SeqCst);
                return echo(request, respond).await;
            }
            let mut out = respond.send_response(Response::new(()), false).unwrap();
            out.send_data("first".into(), false).unwrap();
            let reason = std::future::poll_fn(|cx| out.poll_reset(cx)).await.unwrap();
            assert_eq!(reason, Reason::CANCEL);
            told.store(true, Ordering::SeqCst);
        }
    });
    let gateway = before(&upstream);
    run(async {
        let mut sender = connect(gateway.address).await;
        // One whose request is whole, and one that still sends.
        for is_whole in [true, false] {
            let request = Request::post("http://gateway.test/app/x").body(()).unwrap();
            let (answer, mut out) = sender.send_request(request, is_whole).unwrap();
            let mut body = answer.await.unwrap().into_body();
            assert_eq!(&body.data().await.unwrap().unwrap()[..], b"first");
            out.send_reset(Reason::CANCEL);
            let request = Request::get("http://gateway.test/app/other").body(()).unwrap();
            let (answer, _) = sender.send_request(request, true).unwrap();
            assert_eq!(answer.await.unwrap().status(), 200);
            while !reset.swap(false, Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    });
    assert_eq!((others.load(Ordering::SeqCst), upstream.connections()), (2, 1));
}

#[test]
fn who_breaks_off_his_upload_breaks_off_the_request() {
    let broken = Arc::<AtomicBool>::default();
    let told = broken.clone();
    let upstream = H2Upstream::start(Manner::default(), move |request, _respond| {
        let told = told.clone();
        async move {
            read(request.into_body()).await.unwrap_err();
            told.store(true, Ordering::SeqCst);
        }
    });
    let gateway = before(&upstream);
    let mut client = gateway.client();
    client.send("POST /app/x HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 10\r\n\r\nhalf");
    eventually("the request has arrived", || upstream.connections() == 1);
    drop(client);
    eventually("the upstream's stream is reset", || broken.load(Ordering::SeqCst));
}

#[test]
fn who_takes_nothing_is_held_little_for_and_is_in_nobodys_way() {
    const PIECE: usize = 16 * 1024;
    let sent = Arc::<AtomicUsize>::default();
    let counter = sent.clone();
    let upstream = H2Upstream::start(Manner::default(), move |request, mut respond| {
        let counter = counter.clone();
        async move {
            if request.uri().path() == "/app/other" {
                return echo(request, respond).await;
            }
            let mut out = respond.send_response(Response::new(()), false).unwrap();
            loop {
                out.reserve_capacity(PIECE);
                let room = std::future::poll_fn(|cx| out.poll_capacity(cx)).await;
                let Some(Ok(room)) = room else { return };
                counter.fetch_add(room, Ordering::SeqCst);
                out.send_data(Bytes::from(vec![b'x'; room]), false).unwrap();
            }
        }
    });
    let gateway = before(&upstream);
    run(async {
        let mut sender = connect(gateway.address).await;
        let mut held = Vec::new();
        for _ in 0..20 {
            let (answer, _) = sender.send_request(get(), true).unwrap();
            held.push(answer.await.unwrap().into_body());
        }
        // Until nothing moves any more.
        let mut before = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let now = sent.load(Ordering::SeqCst);
            if now == before && now > 0 {
                break;
            }
            before = now;
        }
        let each = before / held.len();
        assert!(each <= 384 * 1024, "{each} bytes for each client that takes nothing");
        let mut other = connect(gateway.address).await;
        let request = Request::get("http://gateway.test/app/other").body(()).unwrap();
        let (answer, _) = other.send_request(request, true).unwrap();
        assert_eq!(answer.await.unwrap().status(), 200);
    });
    assert_eq!(upstream.connections(), 1);
}
