//! What the gateway says on a Socket.IO connection on its own: to the app for the client, and to the client for itself.

use serde::Serialize;
use serde_json::{Map, Value};

use super::packet::Unreadable;
use crate::json::strict::{self, Names, Strictness};

/// The event by which an app's client is told of errors. AgentDesk's own is called so.
const ERRORS: &str = "errors";
/// Deepest nesting of a client's `auth`.
const AUTH_DEPTH_MAX: usize = 16;

/// Why an event was refused, as its sender is told: the members of a problem document (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem<'p> {
    /// `urn:gatewarden:…`
    pub r#type: String,
    /// The status that a request would have been answered.
    pub status: u16,
    /// The sentence.
    pub detail: &'p str,
    /// The event's name.
    pub event: &'p str,
    /// The id under which it is logged.
    pub request_id: &'p str,
}

/// The client's `auth` object, read strictly; empty where it sent none.
pub fn read_auth(data: &str) -> Result<Map<String, Value>, Unreadable> {
    if data.is_empty() {
        return Ok(Map::new());
    }
    let strictness = Strictness { depth: AUTH_DEPTH_MAX, names: Names::Exact };
    strict::object(data.as_bytes(), strictness).map_err(|_| Unreadable)
}

/// Engine.IO message: into a namespace, with this `auth`.
#[must_use]
pub fn connect(namespace: &str, auth: &Value) -> String {
    format!("40{}{auth}", prefix(namespace))
}

/// Engine.IO message: the namespace is closed to the client.
#[must_use]
pub fn connect_error(namespace: &str, message: &str) -> String {
    format!("44{}{}", prefix(namespace), serde_json::json!({ "message": message }))
}

/// Engine.IO message: an event was refused. It is the acknowledgement where one is awaited, else an event.
#[must_use]
pub fn refusal(namespace: &str, id: Option<&str>, problem: &Problem<'_>) -> String {
    let problem = serde_json::to_string(problem).unwrap_or_default();
    match id {
        Some(id) => format!("43{}{id}[{{\"error\":{problem}}}]", prefix(namespace)),
        None => format!("42{}[\"{ERRORS}\",{problem}]", prefix(namespace)),
    }
}

fn prefix(namespace: &str) -> String {
    if namespace == "/" { String::new() } else { format!("{namespace},") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::socket::packet::{Kind, Packet, read_event};

    fn problem() -> Problem<'static> {
        Problem {
            r#type: "urn:gatewarden:not-permitted".into(),
            status: 403,
            detail: "the caller may not do this",
            event: "close\"it",
            request_id: "7",
        }
    }

    #[test]
    fn what_is_said_can_be_read() {
        let said = refusal("/admin", None, &problem());
        let packet = Packet::read(said.strip_prefix('4').unwrap()).unwrap();
        let event = read_event(packet.data).unwrap();
        assert_eq!((packet.kind, packet.namespace, &*event.name), (Kind::Event, "/admin", "errors"));
        let told: Value = serde_json::from_str(event.first.unwrap()).unwrap();
        assert_eq!((&told["status"], &told["event"]), (&json!(403), &json!("close\"it")));

        let said = refusal("/", Some("12"), &problem());
        assert!(said.starts_with("4312[{\"error\":{"), "{said}");
        assert_eq!(connect_error("/", "no"), r#"44{"message":"no"}"#);
        assert_eq!(connect("/x", &json!({ "agent": "{}" })), r#"40/x,{"agent":"{}"}"#);
    }

    #[test]
    fn an_auth_that_can_be_read_in_two_ways_is_refused() {
        assert_eq!(read_auth("").unwrap().len(), 0);
        assert_eq!(read_auth(r#"{"token":"a"}"#).unwrap()["token"], "a");
        for bad in [r#"{"token":"a","token":"b"}"#, "[]", "null", "{", "{}{}"] {
            assert!(read_auth(bad).is_err(), "{bad}");
        }
    }
}
