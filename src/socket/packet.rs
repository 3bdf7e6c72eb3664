//! Socket.IO packets (protocol 5), read strictly: `type [attachments "-"] [namespace ","] [id] [JSON]`.
//!
//! The reference parser takes more than this, such as a blank for a digit of an acknowledgement's id. What no client
//! library writes is refused here, so that nothing is judged as one packet and read by the app as another.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{Error, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Most attachments of one packet.
pub const ATTACHMENTS_MAX: u8 = 10;
/// Most digits of an acknowledgement's id: what JavaScript counts without loss.
const ID_MAX_DIGITS: usize = 15;
/// Longest name of an event.
const NAME_MAX_BYTES: usize = 256;

/// The packet can't be read, or could be read in two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the packet can't be read")]
pub struct Unreadable;

/// One packet; its data unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'p> {
    /// What it is.
    pub kind: Kind,
    /// How many binary messages belong to it and follow.
    pub attachments: u8,
    /// The namespace; `/` where none is written.
    pub namespace: &'p str,
    /// The acknowledgement's id, in digits.
    pub id: Option<&'p str>,
    /// The JSON, perhaps empty.
    pub data: &'p str,
}

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `0`: into a namespace, perhaps with `auth`.
    Connect,
    /// `1`: out of it.
    Disconnect,
    /// `2`, and with attachments `5`.
    Event,
    /// `3`, and with attachments `6`.
    Ack,
    /// `4`: only a server says it.
    ConnectError,
}

impl<'p> Packet<'p> {
    /// Reads the text of an Engine.IO message.
    pub fn read(text: &'p str) -> Result<Self, Unreadable> {
        let mut letters = text.chars();
        let (kind, is_binary) = match letters.next().ok_or(Unreadable)? {
            '0' => (Kind::Connect, false),
            '1' => (Kind::Disconnect, false),
            '2' => (Kind::Event, false),
            '3' => (Kind::Ack, false),
            '4' => (Kind::ConnectError, false),
            '5' => (Kind::Event, true),
            '6' => (Kind::Ack, true),
            _ => return Err(Unreadable),
        };
        let mut rest = letters.as_str();
        let attachments = match is_binary {
            true => {
                let (count, after) = rest.split_once('-').ok_or(Unreadable)?;
                rest = after;
                read_count(count)?
            }
            false => 0,
        };
        let mut namespace = "/";
        if rest.starts_with('/') {
            (namespace, rest) = rest.split_once(',').unwrap_or((rest, ""));
        }
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (id, data) = rest.split_at_checked(digits).ok_or(Unreadable)?;
        let id = (!id.is_empty()).then_some(id);
        let packet = Self { kind, attachments, namespace, id, data };
        if digits <= ID_MAX_DIGITS && packet.is_whole() { Ok(packet) } else { Err(Unreadable) }
    }

    /// Whether it has what its kind has, and nothing else.
    fn is_whole(&self) -> bool {
        let first = self.data.chars().next();
        match self.kind {
            Kind::Connect => self.id.is_none() && matches!(first, None | Some('{')),
            Kind::Disconnect => self.id.is_none() && first.is_none(),
            Kind::Event => first == Some('['),
            Kind::Ack => self.id.is_some() && first == Some('['),
            Kind::ConnectError => self.id.is_none() && matches!(first, None | Some('{' | '"')),
        }
    }
}

/// A count in its one spelling, from 1 to the most.
fn read_count(text: &str) -> Result<u8, Unreadable> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    let count: u8 = text.parse().map_err(|_| Unreadable)?;
    if is_plain && count <= ATTACHMENTS_MAX { Ok(count) } else { Err(Unreadable) }
}

/// An event's data: its name, decoded, and its first argument as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'e> {
    /// The name.
    pub name: Cow<'e, str>,
    /// The first argument's JSON.
    pub first: Option<&'e str>,
}

/// Reads the data of an event: a JSON array that begins with a name. The arguments are checked to be JSON, and not built.
pub fn read_event(data: &str) -> Result<Event<'_>, Unreadable> {
    let mut reader = serde_json::Deserializer::from_str(data);
    let event = reader.deserialize_seq(EventReader).map_err(|_| Unreadable)?;
    reader.end().map_err(|_| Unreadable)?;
    if event.name.len() <= NAME_MAX_BYTES { Ok(event) } else { Err(Unreadable) }
}

/// Whether this is a JSON array, as an acknowledgement's data must be.
#[must_use]
pub fn is_array(data: &str) -> bool {
    data.starts_with('[') && serde_json::from_str::<IgnoredAny>(data).is_ok()
}

struct EventReader;

impl<'de> Visitor<'de> for EventReader {
    type Value = Event<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array that begins with a name")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Event<'de>, A::Error> {
        let name: Name<'de> = access.next_element()?.ok_or_else(|| A::Error::custom("no name"))?;
        let first: Option<&'de RawValue> = access.next_element()?;
        while access.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Event { name: name.0, first: first.map(RawValue::get) })
    }
}

/// A string that stays where it is unless it is escaped.
struct Name<'de>(Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Name<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn read(text: &str) -> Packet<'_> {
        Packet::read(text).unwrap()
    }

    #[test]
    fn every_part_is_found() {
        let plain = read(r#"2["a",{}]"#);
        assert_eq!(
            plain,
            Packet { kind: Kind::Event, attachments: 0, namespace: "/", id: None, data: r#"["a",{}]"# }
        );
        let all = read(r#"52-/admin,13["a",{"_placeholder":true,"num":0}]"#);
        assert_eq!(
            (all.kind, all.attachments, all.namespace, all.id),
            (Kind::Event, 2, "/admin", Some("13"))
        );
        assert_eq!(all.data, r#"["a",{"_placeholder":true,"num":0}]"#);
        assert_eq!(read("0").data, "");
        assert_eq!(read("0/admin").namespace, "/admin");
        assert_eq!(read(r#"0/admin,{"token":"x"}"#).data, r#"{"token":"x"}"#);
        assert_eq!(read("1/admin,").kind, Kind::Disconnect);
        assert_eq!(read("37[]").id, Some("7"));
        assert_eq!(read("61-7[1]").kind, Kind::Ack);
        assert_eq!(read("2/,[\"a\"]").namespace, "/");
    }

    #[test]
    fn what_a_server_could_read_otherwise_is_refused() {
        for text in [
            "",
            "7[\"a\"]",
            "é",
            "2",
            "2 [\"a\"]",
            "21 [\"a\"]",
            "2\n[\"a\"]",
            "2-1[\"a\"]",
            "2{\"a\":1}",
            "2\"a\"",
            "3[]",
            "31{}",
            "0[]",
            "05{}",
            "0\"x\"",
            "1x",
            "15",
            "5[\"a\"]",
            "5-[\"a\"]",
            "50-[\"a\"]",
            "501-[\"a\"]",
            "5+1-[\"a\"]",
            "5 1-[\"a\"]",
            "51e1-[\"a\"]",
            "511-[\"a\"]",
            "5300-[\"a\"]",
            "2/admin[\"a\"]",
            "21234567890123456[\"a\"]",
            "2１[\"a\"]",
        ] {
            assert_eq!(Packet::read(text), Err(Unreadable), "{text:?}");
        }
    }

    #[test]
    fn an_event_has_a_name_and_arguments() {
        let event = read_event(r#"["topicSubscription", {"a":[1,2]} ,3]"#).unwrap();
        assert_eq!((&*event.name, event.first), ("topicSubscription", Some(r#"{"a":[1,2]}"#)));
        assert!(matches!(event.name, Cow::Borrowed(_)));
        assert_eq!(read_event(r#"["change\u0041gentState"]"#).unwrap().name, "changeAgentState");
        assert_eq!(read_event(r#"["a"]  "#).unwrap().first, None);
        for bad in [
            "[]",
            "[1]",
            "[null]",
            "[\"a\"",
            "[\"a\",]",
            "[\"a\"]x",
            "[\"a\",{]",
            "[\"a\",\"\u{1e}\"]",
            "[\"\\ud800\"]",
            "{}",
            "\"a\"",
        ] {
            assert_eq!(read_event(bad), Err(Unreadable), "{bad}");
        }
        assert_eq!(read_event(&format!("[\"{}\"]", "x".repeat(300))), Err(Unreadable));
    }

    #[test]
    fn deep_arguments_are_passed_over_without_a_stack() {
        let deep = format!("[\"a\",{}{}]", "[".repeat(100_000), "]".repeat(100_000));
        assert!(read_event(&deep).is_ok());
        assert!(is_array("[1,2]") && !is_array("[1,2") && !is_array("{}"));
    }
}
