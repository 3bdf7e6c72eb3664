//! The query of an Engine.IO request, and the key of a WebSocket's opening (RFC 6455 §4).

use std::borrow::Cow;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::engine::is_sid;
use crate::request::{Malformed, Query};

/// What an Engine.IO request is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake<'r> {
    /// How packets travel.
    pub transport: Transport,
    /// The session, unless one is to begin.
    pub sid: Option<Cow<'r, str>>,
}

/// How packets travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// As bodies of requests and answers.
    Polling,
    /// As frames.
    WebSocket,
}

/// Why it isn't one, as Engine.IO says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Neither `polling` nor `websocket`.
    #[error("Transport unknown")]
    Transport,
    /// No session, or somebody else's.
    #[error("Session ID unknown")]
    Session,
    /// A session can't be begun so.
    #[error("Bad handshake method")]
    Method,
    /// Anything else.
    #[error("Bad request")]
    Request,
    /// Not Engine.IO 4.
    #[error("Unsupported protocol version")]
    Version,
}

impl Fault {
    /// The number that Engine.IO gives it.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Transport => 0,
            Self::Session => 1,
            Self::Method => 2,
            Self::Request => 3,
            Self::Version => 5,
        }
    }
}

impl From<Malformed> for Fault {
    fn from(_: Malformed) -> Self {
        Self::Request
    }
}

impl<'r> Handshake<'r> {
    /// Reads the query. Each key that the app reads occurs once.
    pub fn read(query: Query<'r>) -> Result<Self, Fault> {
        if query.get("EIO")?.as_deref() != Some("4") {
            return Err(Fault::Version);
        }
        // JSONP: the answers are scripts, and what is sent is a form.
        if query.get("j")?.is_some() {
            return Err(Fault::Request);
        }
        let transport = match query.get("transport")?.as_deref() {
            Some("polling") => Transport::Polling,
            Some("websocket") => Transport::WebSocket,
            _ => return Err(Fault::Transport),
        };
        let sid = query.get("sid")?;
        if sid.as_deref().is_some_and(|sid| !is_sid(sid)) {
            return Err(Fault::Session);
        }
        Ok(Self { transport, sid })
    }
}

/// What a server answers to a `Sec-WebSocket-Key`.
#[must_use]
pub fn accept_key(key: &[u8]) -> String {
    const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID].concat()))
}

/// A `Sec-WebSocket-Key` of sixteen bytes.
#[must_use]
pub fn key(random: [u8; 16]) -> String {
    STANDARD.encode(random)
}

/// Whether this is a `Sec-WebSocket-Key`.
#[must_use]
pub fn is_key(key: &[u8]) -> bool {
    STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Handshake<'_>, Fault> {
        Handshake::read(Query::parse(query).unwrap())
    }

    #[test]
    fn a_handshake_is_of_version_four_and_says_each_thing_once() {
        let begun = read("EIO=4&transport=polling&t=abc").unwrap();
        assert_eq!(begun, Handshake { transport: Transport::Polling, sid: None });
        assert_eq!(read("sid=x&transport=websocket&EIO=4").unwrap().sid.as_deref(), Some("x"));
        for (query, fault) in [
            ("EIO=3&transport=polling", Fault::Version),
            ("transport=polling", Fault::Version),
            ("EIO=4&EIO=3&transport=polling", Fault::Request),
            ("EIO=4&eio=3&transport=polling", Fault::Request),
            ("EIO=4&transport=flashsocket", Fault::Transport),
            ("EIO=4", Fault::Transport),
            ("EIO=4&transport=polling&transport=websocket", Fault::Request),
            ("EIO=4&transport=polling&sid=a&sid=b", Fault::Request),
            ("EIO=4&transport=polling&%73id=a&sid=b", Fault::Request),
            ("EIO=4&transport=polling&sid=", Fault::Session),
            ("EIO=4&transport=polling&sid=a%20b", Fault::Session),
            ("EIO=4&transport=polling&j=0", Fault::Request),
        ] {
            assert_eq!(read(query), Err(fault), "{query}");
        }
    }

    #[test]
    fn the_key_is_answered_as_the_standard_says() {
        assert_eq!(accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(is_key(key([7; 16]).as_bytes()) && !is_key(b"x") && !is_key(b"AAAA"));
    }
}
