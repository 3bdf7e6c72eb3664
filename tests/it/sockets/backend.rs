//! A small Engine.IO 4 and Socket.IO 5 server, by long polling and over WebSockets. It takes connections, answers
//! acknowledgements, echoes events as `onCimEvent`, and remembers every packet that reached it.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Message, WebSocket};

use crate::support::{Upstream, Wire, eventually};

/// The backend, and what it saw.
pub(super) struct Backend {
    upstream: Upstream,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    sessions: Mutex<HashMap<String, Session>>,
    news: Condvar,
    packets: Mutex<Vec<String>>,
    opened: Mutex<usize>,
    /// Backends give out different ids.
    id: usize,
}

#[derive(Default)]
struct Session {
    queue: VecDeque<String>,
    /// Attachments that are still to come.
    attachments: usize,
    is_upgraded: bool,
}

impl Backend {
    pub(super) fn start() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let state = Arc::new(State { id, ..State::default() });
        let shared = state.clone();
        Self { upstream: Upstream::scripted(move |wire| shared.serve(wire)), state }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.upstream.address
    }

    /// The heads of all requests so far.
    pub(super) fn heads(&self) -> Vec<String> {
        self.upstream.heads()
    }

    /// Every packet that reached it, binary ones as `<n>`.
    pub(super) fn packets(&self) -> Vec<String> {
        self.state.packets.lock().unwrap().clone()
    }

    /// Waits for a packet to reach it.
    #[track_caller]
    pub(super) fn saw(&self, packet: &str) {
        eventually(packet, || self.packets().iter().any(|own| own == packet));
    }

    /// Says something to every session that polls.
    pub(super) fn say(&self, packet: &str) {
        for session in self.state.sessions.lock().unwrap().values_mut() {
            session.queue.push_back(packet.to_owned());
        }
        self.state.news.notify_all();
    }
}

fn query<'h>(head: &'h str, key: &str) -> Option<&'h str> {
    let target = head.split(' ').nth(1)?;
    let (_, query) = target.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

impl State {
    fn serve(&self, wire: &mut Wire) -> io::Result<()> {
        while let Some(head) = wire.read_head()? {
            if query(&head, "transport") == Some("websocket") {
                return self.socket(wire, &head);
            }
            let answer = match (head.split(' ').next(), query(&head, "sid")) {
                (Some("GET"), None) => Some(self.open()),
                (Some("GET"), Some(sid)) => self.poll(sid),
                (Some("POST"), Some(sid)) => {
                    let body = wire.read_body(&head)?;
                    self.post(sid, std::str::from_utf8(&body).unwrap())
                }
                _ => None,
            };
            let (status, text) = match answer {
                Some(text) => ("200 OK", text),
                None => ("400 Bad Request", r#"{"code":1,"message":"Session ID unknown"}"#.to_owned()),
            };
            let length = text.len();
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=UTF-8\r\n\
                 Access-Control-Allow-Origin: https://desk.test\r\nContent-Length: {length}\r\n\r\n"
            );
            wire.write(format!("{head}{text}").as_bytes())?;
        }
        Ok(())
    }

    fn open(&self) -> String {
        let mut opened = self.opened.lock().unwrap();
        *opened += 1;
        let sid = format!("session-{}-{opened}", self.id);
        self.sessions.lock().unwrap().insert(sid.clone(), Session::default());
        format!(
            r#"0{{"sid":"{sid}","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}}"#
        )
    }

    fn poll(&self, sid: &str) -> Option<String> {
        let mut sessions = self.sessions.lock().unwrap();
        loop {
            let session = sessions.get_mut(sid)?;
            if !session.queue.is_empty() {
                let packets: Vec<String> = session.queue.drain(..).collect();
                return Some(packets.join("\u{1e}"));
            }
            let (held, timeout) = self.news.wait_timeout(sessions, Duration::from_secs(20)).unwrap();
            sessions = held;
            if timeout.timed_out() {
                return Some("6".to_owned());
            }
        }
    }

    fn post(&self, sid: &str, payload: &str) -> Option<String> {
        let mut sessions = self.sessions.lock().unwrap();
        for packet in payload.split('\u{1e}') {
            let answers = self.packet(sessions.get_mut(sid)?, packet);
            sessions.get_mut(sid)?.queue.extend(answers);
            if packet == "1" {
                sessions.remove(sid);
            }
        }
        self.news.notify_all();
        Some("ok".to_owned())
    }

    /// What is answered to a packet.
    fn packet(&self, session: &mut Session, packet: &str) -> Vec<String> {
        self.packets.lock().unwrap().push(packet.to_owned());
        if packet.starts_with('b') {
            session.attachments = session.attachments.checked_sub(1).expect("an attachment of nothing");
            return Vec::new();
        }
        assert_eq!(session.attachments, 0, "text before the attachments: {packet}");
        let Some(message) = packet.strip_prefix('4') else { return Vec::new() };
        if let Some(rest) = message.strip_prefix('0') {
            let namespace = rest.split_once(',').map_or("", |(namespace, _)| namespace);
            let namespace = if rest.starts_with('/') { namespace } else { "" };
            let comma = if namespace.is_empty() { "" } else { "," };
            return vec![format!(r#"40{namespace}{comma}{{"sid":"io"}}"#)];
        }
        let rest = match message.split_at(1) {
            ("2", rest) => rest,
            ("5", rest) => {
                let (count, rest) = rest.split_once('-').unwrap();
                session.attachments = count.parse().unwrap();
                rest
            }
            _ => return Vec::new(),
        };
        let data = rest.find('[').unwrap();
        match &rest[..data] {
            "" => vec![format!(r#"42["onCimEvent",{}]"#, &rest[data..])],
            id => vec![format!("43{id}[true]")],
        }
    }

    fn socket(&self, wire: &mut Wire, head: &str) -> io::Result<()> {
        let accept = derive_accept_key(header(head, "sec-websocket-key").unwrap().as_bytes());
        assert_eq!(header(head, "sec-websocket-extensions"), None, "an extension was offered");
        wire.write(
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {accept}\r\n\r\n"
            )
            .as_bytes(),
        )?;
        let mut socket = WebSocket::from_raw_socket(wire.stream.try_clone()?, Role::Server, None);
        let say = |socket: &mut WebSocket<_>, text: String| {
            socket.send(Message::text(text)).map_err(io::Error::other)
        };
        let known = query(head, "sid").map(str::to_owned);
        let sid = match &known {
            Some(sid) => sid.clone(),
            None => {
                let open = self.open();
                let sid = open.split('"').nth(3).unwrap().to_owned();
                say(&mut socket, open)?;
                sid
            }
        };
        let mut is_on = known.is_none();
        loop {
            let message = socket.read().map_err(io::Error::other)?;
            let mut sessions = self.sessions.lock().unwrap();
            let Some(session) = sessions.get_mut(&sid) else { return Ok(()) };
            let answers = match message {
                Message::Text(text) if text.as_str() == "2probe" => {
                    session.queue.push_back("6".to_owned());
                    self.news.notify_all();
                    vec!["3probe".to_owned()]
                }
                Message::Text(text) if text.as_str() == "5" => {
                    (is_on, session.is_upgraded) = (true, true);
                    session.queue.drain(..).collect()
                }
                Message::Text(text) => {
                    assert!(is_on, "a packet before the upgrade: {text}");
                    self.packet(session, text.as_str())
                }
                Message::Binary(bytes) => self.packet(session, &format!("b<{}>", bytes.len())),
                Message::Close(_) => {
                    self.packets.lock().unwrap().push("closed".to_owned());
                    return Ok(());
                }
                _ => Vec::new(),
            };
            drop(sessions);
            for answer in answers {
                say(&mut socket, answer)?;
            }
        }
    }
}
