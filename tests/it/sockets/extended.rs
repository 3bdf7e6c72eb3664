//! WebSockets over HTTP/2 (RFC 8441): an extended CONNECT is judged as the GET that opens one, and nothing else is.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, Method, Request, Response, Version};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::ext::Protocol;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::tunnel::{TARGET, echo, gateway};
use crate::support::{Gateway, Upstream};

type Body = http_body_util::combinators::BoxBody<Bytes, Infallible>;

/// A connection of HTTP/2 on which one answer came already, and so the gateway's settings.
async fn connect(gateway: &Gateway) -> SendRequest<Body> {
    let stream = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let first = Request::get("http://gateway.test/nowhere").body(Empty::new().boxed()).unwrap();
    assert_eq!(sender.send_request(first).await.unwrap().status(), 404);
    sender
}

async fn ask(
    sender: &mut SendRequest<Body>,
    protocol: Option<&'static str>,
    target: &str,
    headers: &[&str],
) -> Response<Incoming> {
    let mut request = Request::new(Empty::new().boxed());
    *request.method_mut() = Method::CONNECT;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = match protocol {
        Some(_) => format!("http://gateway.test{target}").parse().unwrap(),
        None => "gateway.test:80".parse().unwrap(),
    };
    request.extensions_mut().extend(
        protocol
            .map(|name| {
                let mut extensions = http::Extensions::new();
                extensions.insert(Protocol::from_static(name));
                extensions
            })
            .unwrap_or_default(),
    );
    for line in headers {
        let (name, value) = line.split_once(": ").unwrap();
        let name = http::HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes()).unwrap();
        request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
    }
    sender.send_request(request).await.unwrap()
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

const VERSION: &str = "Sec-WebSocket-Version: 13";

#[test]
fn messages_pass_both_ways_beside_other_requests() {
    let upstream = echo();
    let gateway = gateway(&upstream);
    let user = gateway.token(&["user"]);
    run(async {
        let mut sender = connect(&gateway).await;
        let mut sockets = Vec::new();
        for _ in 0..2 {
            let response = ask(&mut sender, Some("websocket"), TARGET, &[VERSION, &user]).await;
            assert_eq!(response.status(), 200);
            assert!(!response.headers().contains_key("sec-websocket-accept"));
            let stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
            sockets.push(WebSocketStream::from_raw_socket(stream, Role::Client, None).await);
        }
        for length in [0, 1, 70_000, 1_000_000] {
            for socket in &mut sockets {
                let message = Message::binary(vec![7; length]);
                socket.send(message.clone()).await.unwrap();
                assert_eq!(socket.next().await.unwrap().unwrap(), message);
            }
        }
        gateway.counts("gatewarden_sockets", &[" 2"]);
        let plain = Request::get("http://gateway.test/app/x").body(Empty::new().boxed()).unwrap();
        assert_eq!(sender.send_request(plain).await.unwrap().status(), 426);
        drop(sockets);
    });
    gateway.counts("gatewarden_sockets", &[" 0"]);
    let head = &upstream.heads()[0];
    assert!(head.starts_with(&format!("GET {TARGET} HTTP/1.1\r\n")), "{head}");
    gateway.counts("gatewarden_requests_total", &["method=\"GET\"", "code=\"200\"", " 2"]);
}

#[test]
fn the_opening_is_judged_and_nothing_else_is_opened() {
    let upstream = echo();
    let gateway = gateway(&upstream);
    let (user, nobody) = (gateway.token(&["user"]), gateway.token(&["nobody"]));
    run(async {
        let mut sender = connect(&gateway).await;
        for (protocol, target, headers, status) in [
            (Some("websocket"), TARGET, &[VERSION][..], 401),
            (Some("websocket"), TARGET, &[VERSION, &nobody], 403),
            (Some("websocket"), "/app-guarded/../x", &[VERSION, &user], 400),
            (Some("websocket"), "/nowhere", &[VERSION, &user], 404),
            // There is no socket there, whatever the application would say.
            (Some("websocket"), "/app/x", &[VERSION], 404),
            (Some("websocket"), TARGET, &[&user], 405),
            (Some("websocket"), TARGET, &["Sec-WebSocket-Version: 8", &user], 405),
            (Some("connect-udp"), TARGET, &[VERSION, &user], 405),
        ] {
            let answer = ask(&mut sender, protocol, target, headers).await;
            assert_eq!(answer.status(), status, "{protocol:?} {target} {headers:?}");
        }
        let plain = ask(&mut sender, None, "", &[&user]).await;
        assert!(plain.status().is_client_error(), "{}", plain.status());
    });
    assert!(upstream.heads().is_empty(), "{:?}", upstream.heads());
}

#[test]
fn an_answer_that_is_no_socket_opens_none() {
    let upstream = Upstream::saying(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage");
    let gateway = gateway(&upstream);
    let user = gateway.token(&["user"]);
    run(async {
        let mut sender = connect(&gateway).await;
        let answer = ask(&mut sender, Some("websocket"), TARGET, &[VERSION, &user]).await;
        assert_eq!(answer.status(), 502);
    });
}
