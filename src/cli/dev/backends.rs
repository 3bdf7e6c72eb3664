//! The demo applications: small servers on the loopback that answer from a [`Store`] and say what they were sent.
//!
//! Under `_received` stands what arrived: method, path and the headers that the gateway made, so that a reader sees
//! what an application behind it learns about its caller. Tokens are never repeated.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use super::desk_socket::{self, DeskSocket};
use super::store::{Ask, Caller, Store};
use crate::headers;

/// Longest body that a demo application reads.
const BODY_MAX_BYTES: usize = 64 * 1024;
/// Connections that a demo application serves at once.
const CONNECTIONS_MAX: usize = 512;

/// A running demo application.
#[derive(Clone, Debug)]
pub(super) struct Backend {
    /// The application's name: that of its upstream.
    pub name: String,
    /// Where it listens: a free port of the loopback.
    pub address: SocketAddr,
}

/// Starts every demo application on the current runtime; they end with it. A question of the gateway's own is answered
/// only with `secret`, as an application would have it: what it tells there, it tells no caller.
pub(super) async fn start(secret: &str) -> io::Result<Vec<Backend>> {
    let bearer: Arc<str> = format!("Bearer {secret}").into();
    let mut backends = Vec::new();
    for (name, store) in Store::demo()? {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (store, desk) = (Arc::new(Mutex::new(store)), DeskSocket::default());
        let app = App { store, bearer: bearer.clone(), desk };
        tokio::spawn(serve(listener, app));
        backends.push(Backend { name, address });
    }
    Ok(backends)
}

/// One application, as its connections share it.
#[derive(Clone, Debug)]
struct App {
    store: Arc<Mutex<Store>>,
    /// What the gateway shows when it asks on its own account.
    bearer: Arc<str>,
    /// AgentDesk's socket; nobody asks the others for one.
    desk: DeskSocket,
}

async fn serve(listener: TcpListener, app: App) {
    let room = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
    while let Ok(place) = room.clone().acquire_owned().await {
        // A connection that can't be accepted is the caller's trouble; the next one may be well.
        let Ok((stream, _)) = listener.accept().await else { continue };
        let app = app.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(app.clone(), request));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades()
                .await;
            drop(place);
        });
    }
}

async fn answer(app: App, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if desk_socket::is_for(&request) {
        return Ok(app.desk.answer(request).await);
    }
    let (head, body) = request.into_parts();
    let shown = head.headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
    if head.headers.contains_key(headers::LOOKUP) && shown != Some(app.bearer.as_bytes()) {
        return Ok(json_response(StatusCode::UNAUTHORIZED, &json!({ "error": "who asks?" })));
    }
    let sent = match Limited::new(body, BODY_MAX_BYTES).collect().await {
        Ok(body) => serde_json::from_slice(&body.to_bytes()).unwrap_or(Value::Null),
        Err(_) => return Ok(json_response(StatusCode::PAYLOAD_TOO_LARGE, &json!({ "error": "too large" }))),
    };
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let path: Vec<String> =
        head.uri.path().split('/').filter(|segment| !segment.is_empty()).map(decoded).collect();
    let pairs = head.uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let query: Vec<_> = pairs.map(|(key, value)| (decoded(key), decoded(value))).collect();
    let said = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let ask = Ask {
        method: head.method.as_str(),
        path: &path,
        query: &query,
        caller: Caller {
            tenant: said("x-gatewarden-tenant"),
            subject: said("x-gatewarden-subject"),
            view: said("x-view"),
        },
        sent: &sent,
    };
    // The lock is held for the walk alone; a poisoned one still holds a whole tree.
    let answer = match app.store.lock() {
        Ok(mut store) => store.answer(ask),
        Err(poisoned) => poisoned.into_inner().answer(ask),
    };
    let mut body = answer.body;
    body.insert(
        "_received".to_owned(),
        json!({
            "method": head.method.as_str(),
            "path": head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str),
            "headers": told(&head.headers),
        }),
    );
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Ok(json_response(status, &Value::Object(body)))
}

/// The headers that a gateway makes.
fn told(headers: &HeaderMap) -> Map<String, Value> {
    headers
        .iter()
        .filter(|(name, _)| {
            let name = name.as_str();
            let made = ["x-gatewarden-", "x-forwarded-"].iter().any(|prefix| name.starts_with(prefix));
            made || ["x-request-id", "x-view"].contains(&name)
        })
        .map(|(name, value)| (name.to_string(), json!(String::from_utf8_lossy(value.as_bytes()))))
        .collect()
}

fn json_response(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(format!("{body:#}\n"))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
