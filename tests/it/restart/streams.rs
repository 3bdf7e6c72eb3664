//! Restarts under HTTP/2: what was begun ends, and what is refused was told so before it was sent.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::time::timeout;

use super::Line;
use crate::process::{FREE_PORTS, Files};
use crate::support::{PATIENCE, Upstream};

const CONNECTIONS: usize = 4;
const STREAMS: usize = 4;

type Sender = SendRequest<Empty<Bytes>>;

#[derive(Debug, Default)]
struct Tally {
    sent: u64,
    succeeded: u64,
    /// Not sent, and said to be so: the client's to send elsewhere.
    unsent: u64,
    failed: Vec<String>,
    hung: u64,
}

async fn connect(address: SocketAddr) -> Sender {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    sender
}

/// One stream after another, on a connection that others use too.
async fn ask(mut sender: Sender, address: SocketAddr, name: String, stop: Arc<AtomicBool>) -> Tally {
    let mut tally = Tally::default();
    while !stop.load(Ordering::Relaxed) {
        if sender.ready().await.is_err() {
            sender = connect(address).await;
            continue;
        }
        let uri = format!("http://a/desk/open/{name}-{}", tally.sent);
        let request = Request::get(&uri).body(Empty::new()).unwrap();
        tally.sent += 1;
        let answered = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            Ok::<_, hyper::Error>((status, body))
        };
        match timeout(PATIENCE, answered).await {
            Ok(Ok((status, body))) => {
                let text = String::from_utf8_lossy(&body);
                assert!(status == 200 && text.contains(&uri["http://a".len()..]), "{status} {text}");
                tally.succeeded += 1;
            }
            Ok(Err(why)) if why.is_canceled() => tally.unsent += 1,
            Ok(Err(why)) => tally.failed.push(why.to_string()),
            Err(_) => tally.hung += 1,
        }
    }
    tally
}

#[test]
fn no_stream_is_lost_when_a_gateway_is_replaced() {
    let upstream = Upstream::echo();
    let line = Line::start(Files::new(upstream.address, FREE_PORTS));
    let address = line.0.address("callers");
    let stop = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let clients: Vec<_> = (0..CONNECTIONS)
        .flat_map(|connection| {
            let sender = runtime.block_on(connect(address));
            let ask = |stream| ask(sender.clone(), address, format!("c{connection}s{stream}"), stop.clone());
            (0..STREAMS).map(|stream| runtime.spawn(ask(stream))).collect::<Vec<_>>()
        })
        .collect();
    let mut newest = line.0.id();
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(300));
        newest = line.replace(newest);
    }
    std::thread::sleep(Duration::from_millis(300));
    stop.store(true, Ordering::Relaxed);
    let mut all = Tally::default();
    for client in clients {
        let own = runtime.block_on(client).unwrap();
        all.sent += own.sent;
        all.succeeded += own.succeeded;
        all.unsent += own.unsent;
        all.failed.extend(own.failed);
        all.hung += own.hung;
    }
    println!("2 restarts under {CONNECTIONS} connections of {STREAMS} streams: {all:?}");
    assert!(all.failed.is_empty() && all.hung == 0, "{all:?}\n{}", line.0.log());
    assert_eq!(all.sent, all.succeeded + all.unsent);
    assert!(all.succeeded > 100, "{all:?}");
}
