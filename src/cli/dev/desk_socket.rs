//! The socket of the demo AgentDesk: Socket.IO by polling and over a WebSocket. It takes everyone in, acknowledges what
//! wants to be acknowledged, and echoes each event as `onCimEvent`, so that one sees which events came through.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::header::{CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use uuid::Uuid;

use crate::socket::engine;
use crate::socket::handshake::accept_key;
use crate::socket::packet::{Kind, Packet, read_event};

/// Where AgentDesk has its socket.
const PATH: &str = "/agent-manager/socket.io";
/// Sessions that are kept at once.
const SESSIONS_MAX: usize = 256;
/// Longest body of packets.
const BODY_MAX_BYTES: usize = 1024 * 1024;
/// What waits for one client.
const QUEUE_MAX: usize = 256;
const PING_INTERVAL: Duration = Duration::from_secs(25);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// The sessions of the demo's socket.
#[derive(Clone, Debug, Default)]
pub(super) struct DeskSocket(Arc<Mutex<HashMap<String, Arc<Session>>>>);

#[derive(Debug)]
struct Session {
    queue: Mutex<VecDeque<String>>,
    news: Notify,
    seen: Mutex<Instant>,
}

/// Whether a request is for the socket.
pub(super) fn is_for(request: &Request<Incoming>) -> bool {
    request.uri().path().strip_prefix(PATH).is_some_and(|rest| matches!(rest, "" | "/"))
}

impl DeskSocket {
    /// Answers a request of Engine.IO's.
    pub(super) async fn answer(&self, mut request: Request<Incoming>) -> Response<Full<Bytes>> {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let said = |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
        let session = said("sid").map(|sid| (sid, self.sessions().get(sid).cloned()));
        match (said("transport"), session, request.method()) {
            (_, Some((_, None)), _) => refused(),
            (Some("websocket"), known, _) => {
                let known = known.and_then(|(sid, session)| Some((sid.to_owned(), session?)));
                self.switch(&mut request, known)
            }
            (_, None, &Method::GET) => self.open().map_or_else(refused, |(_, _, open)| text(open)),
            (_, Some((_, Some(session))), &Method::GET) => text(session.poll().await),
            (_, Some((sid, Some(session))), &Method::POST) => {
                let body = Limited::new(request.into_body(), BODY_MAX_BYTES).collect().await;
                let body = body.map(|body| body.to_bytes()).unwrap_or_default();
                for packet in engine::split(&String::from_utf8_lossy(&body)) {
                    if packet == "1" {
                        self.sessions().remove(sid);
                    }
                    answers(packet).into_iter().for_each(|answer| session.say(answer));
                }
                text("ok".to_owned())
            }
            _ => refused(),
        }
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new session, and what its client is told.
    fn open(&self) -> Option<(String, Arc<Session>, String)> {
        let mut sessions = self.sessions();
        sessions.retain(|_, session| session.is_alive());
        if sessions.len() >= SESSIONS_MAX {
            return None;
        }
        let sid = Uuid::new_v4().simple().to_string();
        let open = json!({
            "sid": sid, "upgrades": ["websocket"], "maxPayload": BODY_MAX_BYTES,
            "pingInterval": PING_INTERVAL.as_millis(), "pingTimeout": PING_TIMEOUT.as_millis(),
        });
        let session = Arc::new(Session {
            queue: Mutex::default(),
            news: Notify::new(),
            seen: Mutex::new(Instant::now()),
        });
        sessions.insert(sid.clone(), session.clone());
        Some((sid, session, format!("0{open}")))
    }

    fn switch(
        &self,
        request: &mut Request<Incoming>,
        known: Option<(String, Arc<Session>)>,
    ) -> Response<Full<Bytes>> {
        let (Some(key), is_new) = (request.headers().get(SEC_WEBSOCKET_KEY), known.is_none()) else {
            return refused();
        };
        let accept = HeaderValue::try_from(accept_key(key.as_bytes()));
        let begun = known.map(|(sid, session)| (sid, session, String::new())).or_else(|| self.open());
        let (Ok(accept), Some((sid, session, open))) = (accept, begun) else { return refused() };
        if is_new {
            session.say(open);
        }
        let (on, own) = (hyper::upgrade::on(request), self.clone());
        tokio::spawn(async move {
            if let Ok(upgraded) = on.await {
                let socket =
                    WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
                talk(socket, &session, is_new).await;
            }
            own.sessions().remove(&sid);
        });
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        response.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accept);
        response
    }
}

impl Session {
    fn is_alive(&self) -> bool {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.elapsed() < PING_INTERVAL + PING_TIMEOUT
    }

    fn say(&self, packet: String) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.len() < QUEUE_MAX {
            queue.push_back(packet);
        }
        drop(queue);
        self.news.notify_one();
    }

    fn take(&self) -> Vec<String> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }

    /// What there is, or a ping when nothing comes.
    async fn poll(&self) -> String {
        let mut payload = String::new();
        let _ = tokio::time::timeout(PING_INTERVAL, async {
            while payload.is_empty() {
                self.take().iter().for_each(|packet| engine::append(&mut payload, packet));
                if payload.is_empty() {
                    self.news.notified().await;
                }
            }
        })
        .await;
        if payload.is_empty() { "2".to_owned() } else { payload }
    }
}

/// Speaks with a client over a WebSocket, to its end. One that polled so far tries it first.
async fn talk(
    mut socket: WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>,
    session: &Session,
    mut is_on: bool,
) {
    loop {
        if is_on {
            for packet in session.take() {
                if socket.send(Message::text(packet)).await.is_err() {
                    return;
                }
            }
        }
        let message = tokio::select! {
            message = socket.next() => message,
            () = session.news.notified(), if is_on => continue,
            () = tokio::time::sleep(PING_INTERVAL) => {
                session.say("2".to_owned());
                continue;
            }
        };
        match message {
            Some(Ok(Message::Text(packet))) if packet.as_str() == "2probe" => {
                if socket.send(Message::text("3probe")).await.is_err() {
                    return;
                }
                // Lets the poll that waits go.
                session.say("6".to_owned());
            }
            Some(Ok(Message::Text(packet))) if packet.as_str() == "5" => is_on = true,
            Some(Ok(Message::Text(packet))) => {
                answers(packet.as_str()).into_iter().for_each(|answer| session.say(answer));
            }
            Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => {}
            _ => return,
        }
    }
}

/// What is answered to a packet.
fn answers(packet: &str) -> Vec<String> {
    let Some(engine::Packet::Message(message)) = engine::Packet::read(packet) else { return Vec::new() };
    let Ok(packet) = Packet::read(message) else { return Vec::new() };
    match packet.kind {
        Kind::Connect => vec![format!("40{}", json!({ "sid": Uuid::new_v4().simple().to_string() }))],
        Kind::Event => {
            let Ok(event) = read_event(packet.data) else { return Vec::new() };
            let first: Value =
                event.first.and_then(|first| serde_json::from_str(first).ok()).unwrap_or_default();
            let echo = json!(["onCimEvent", { "name": event.name, "data": first }]);
            let acknowledged = packet.id.map(|id| format!("43{id}[true]"));
            acknowledged.into_iter().chain([format!("42{echo}")]).collect()
        }
        _ => Vec::new(),
    }
}

fn text(payload: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(payload)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
    response
}

fn refused() -> Response<Full<Bytes>> {
    let mut response = text(r#"{"code":1,"message":"Session ID unknown"}"#.to_owned());
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_acknowledged_and_echoed() {
        assert_eq!(
            answers(r#"427["topicSubscription",{"a":1}]"#),
            ["437[true]", r#"42["onCimEvent",{"data":{"a":1},"name":"topicSubscription"}]"#]
        );
        assert!(answers("40")[0].starts_with("40{\"sid\":"));
        assert!(answers("3").is_empty() && answers("42").is_empty() && answers("x").is_empty());
    }
}
