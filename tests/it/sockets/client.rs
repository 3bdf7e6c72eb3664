//! Clients of a socket: frames as they are, and polling requests.

use std::io;
use std::net::TcpStream;

use tokio_tungstenite::tungstenite::client::client_with_config;
use tokio_tungstenite::tungstenite::http::Request;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, HandshakeError, Message, WebSocket};

use crate::support::{Client, Gateway, PATIENCE, Response};

/// Where the tests' socket is.
pub(super) const PATH: &str = "/app-guarded/socket.io/";

/// A WebSocket through the gateway.
pub(super) struct Socket(pub(super) WebSocket<TcpStream>);

impl Socket {
    /// Opens one with these header lines.
    pub(super) fn open(gateway: &Gateway, target: &str, headers: &[&str]) -> Result<Self, u16> {
        let stream = TcpStream::connect(gateway.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut request = Request::get(format!("ws://gateway.test{target}"))
            .header("Host", "gateway.test")
            .header("Connection", "keep-alive, Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits");
        for line in headers {
            let (name, value) = line.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        match client_with_config(request.body(()).unwrap(), stream, None) {
            Ok((socket, response)) => {
                assert!(!response.headers().contains_key("sec-websocket-extensions"));
                Ok(Self(socket))
            }
            Err(HandshakeError::Failure(Error::Http(response))) => Err(response.status().as_u16()),
            Err(other) => panic!("{other:?}"),
        }
    }

    /// Opens a Socket.IO connection, to its open packet.
    #[track_caller]
    pub(super) fn io(gateway: &Gateway, headers: &[&str]) -> Self {
        let mut socket = Self::open(gateway, &format!("{PATH}?EIO=4&transport=websocket"), headers).unwrap();
        assert!(socket.text().starts_with("0{\"sid\":"));
        socket
    }

    /// Opens one and connects to `/`.
    #[track_caller]
    pub(super) fn connected(gateway: &Gateway, headers: &[&str]) -> Self {
        let mut socket = Self::io(gateway, headers);
        socket.say("40");
        assert_eq!(socket.text(), r#"40{"sid":"io"}"#);
        socket
    }

    #[track_caller]
    pub(super) fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).unwrap();
    }

    #[track_caller]
    pub(super) fn say_bytes(&mut self, bytes: &[u8]) {
        self.0.send(Message::binary(bytes.to_vec())).unwrap();
    }

    /// The next text.
    #[track_caller]
    pub(super) fn text(&mut self) -> String {
        match self.0.read().unwrap() {
            Message::Text(text) => text.as_str().to_owned(),
            other => panic!("no text: {other:?}"),
        }
    }

    /// The close frame, after whatever else is said.
    #[track_caller]
    pub(super) fn closed(&mut self) -> (u16, String) {
        loop {
            match self.0.read() {
                Ok(Message::Close(Some(CloseFrame { code, reason }))) => {
                    return (code.into(), reason.as_str().to_owned());
                }
                Ok(Message::Close(None)) => return (1005, String::new()),
                Ok(_) => {}
                Err(error) => panic!("no close frame: {error}"),
            }
        }
    }

    /// Whether the connection is gone, with or without a frame that says so.
    pub(super) fn is_gone(&mut self) -> bool {
        loop {
            match self.0.read() {
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => return true,
            }
        }
    }
}

/// A session that polls through the gateway.
pub(super) struct Polling {
    pub(super) sid: String,
    pub(super) headers: Vec<String>,
    pub(super) client: Client,
}

impl Polling {
    /// Opens a session.
    #[track_caller]
    pub(super) fn open(gateway: &Gateway, headers: &[&str]) -> Self {
        let mut client = gateway.client();
        let opened = client.request(&format!("GET {PATH}?EIO=4&transport=polling"), headers);
        assert_eq!(opened.status, 200, "{}", opened.text());
        let sid = opened.text().split('"').nth(3).unwrap().to_owned();
        Self { sid, headers: headers.iter().map(ToString::to_string).collect(), client }
    }

    /// Opens one and connects to `/`.
    #[track_caller]
    pub(super) fn connected(gateway: &Gateway, headers: &[&str]) -> Self {
        let mut session = Self::open(gateway, headers);
        assert_eq!(session.post("40").text(), "ok");
        assert_eq!(session.get().text(), r#"40{"sid":"io"}"#);
        session
    }

    pub(super) fn target(&self) -> String {
        format!("{PATH}?EIO=4&transport=polling&sid={}", self.sid)
    }

    #[track_caller]
    pub(super) fn get(&mut self) -> Response {
        let line = format!("GET {}", self.target());
        let headers: Vec<&str> = self.headers.iter().map(String::as_str).collect();
        self.client.request(&line, &headers)
    }

    #[track_caller]
    pub(super) fn post(&mut self, payload: &str) -> Response {
        let lines: String = self.headers.iter().map(|line| format!("{line}\r\n")).collect();
        let (target, length) = (self.target(), payload.len());
        self.client.ask(format!(
            "POST {target} HTTP/1.1\r\nHost: gateway.test\r\nContent-Type: text/plain;charset=UTF-8\r\n\
             Content-Length: {length}\r\n{lines}\r\n{payload}"
        ))
    }
}
