//! Engine.IO 4: packets of one letter and their text, and the payloads that long polling makes of several.

use serde::Deserialize;

/// What stands between the packets of a payload.
pub const SEPARATOR: char = '\u{1e}';
/// Longest session id that is remembered.
const SID_MAX_BYTES: usize = 128;

/// One packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'p> {
    /// `0`: the server's first.
    Open(&'p str),
    /// `1`
    Close,
    /// `2`
    Ping(&'p str),
    /// `3`
    Pong(&'p str),
    /// `4`: a Socket.IO packet.
    Message(&'p str),
    /// `5`
    Upgrade,
    /// `6`
    Noop,
    /// `b`: bytes, in base64.
    Bytes(&'p str),
}

impl<'p> Packet<'p> {
    /// Reads a packet; `None` where it is of no known type.
    #[must_use]
    pub fn read(text: &'p str) -> Option<Self> {
        let mut letters = text.chars();
        let (letter, rest) = (letters.next()?, letters.as_str());
        Some(match letter {
            '0' => Self::Open(rest),
            '1' if rest.is_empty() => Self::Close,
            '2' => Self::Ping(rest),
            '3' => Self::Pong(rest),
            '4' => Self::Message(rest),
            '5' if rest.is_empty() => Self::Upgrade,
            '6' if rest.is_empty() => Self::Noop,
            'b' => Self::Bytes(rest),
            _ => return None,
        })
    }
}

/// The packets of a payload.
pub fn split(payload: &str) -> impl Iterator<Item = &str> {
    payload.split(SEPARATOR)
}

/// Adds a packet to a payload.
pub fn append(payload: &mut String, packet: &str) {
    if !payload.is_empty() {
        payload.push(SEPARATOR);
    }
    payload.push_str(packet);
}

/// What a server says when a session begins.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Open {
    /// The session's id.
    pub sid: Box<str>,
    /// Milliseconds between two pings.
    #[serde(rename = "pingInterval")]
    pub ping_interval: u64,
    /// Milliseconds that an answer to a ping may take.
    #[serde(rename = "pingTimeout")]
    pub ping_timeout: u64,
}

impl Open {
    /// Reads the text of an open packet.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let open: Self = serde_json::from_str(text).ok()?;
        is_sid(&open.sid).then_some(open)
    }
}

/// Whether this may be a session's id.
#[must_use]
pub fn is_sid(text: &str) -> bool {
    (1..=SID_MAX_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_told_by_its_first_letter() {
        assert_eq!(Packet::read("2probe"), Some(Packet::Ping("probe")));
        assert_eq!(Packet::read("42[\"a\"]"), Some(Packet::Message("2[\"a\"]")));
        assert_eq!(Packet::read("bAQI="), Some(Packet::Bytes("AQI=")));
        assert_eq!(Packet::read("5"), Some(Packet::Upgrade));
        for unknown in ["", "7", "x", "é", "51", "1 ", " 4", "\u{feff}4", "6x"] {
            assert_eq!(Packet::read(unknown), None, "{unknown:?}");
        }
    }

    #[test]
    fn a_payload_is_cut_and_joined() {
        assert_eq!(split("2\u{1e}4a\u{1e}bAQ==").collect::<Vec<_>>(), ["2", "4a", "bAQ=="]);
        assert_eq!(split("a\u{1e}\u{1e}").collect::<Vec<_>>(), ["a", "", ""]);
        let mut payload = String::new();
        append(&mut payload, "2");
        append(&mut payload, "4a");
        assert_eq!(payload, "2\u{1e}4a");
    }

    #[test]
    fn a_session_has_an_id_that_can_be_kept() {
        let open = Open::read(r#"{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#).unwrap();
        assert_eq!(
            (&*open.sid, open.ping_interval, open.ping_timeout),
            ("lv_VI97HAXpY6yYWAAAC", 25_000, 20_000)
        );
        for bad in [
            "",
            "{}",
            r#"{"sid":"","pingInterval":1,"pingTimeout":1}"#,
            r#"{"sid":"a b","pingInterval":1,"pingTimeout":1}"#,
        ] {
            assert_eq!(Open::read(bad), None, "{bad}");
        }
        assert!(!is_sid(&"x".repeat(SID_MAX_BYTES + 1)));
    }
}
