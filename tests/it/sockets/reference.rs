//! The packet reader against the reference: `decodeString` of socket.io-parser 4, word for word. What ours takes, it
//! reads the same; it takes more.

use gatewarden::socket::packet::{Kind, Packet, read_event};
use proptest::prelude::*;

/// What the reference makes of a packet, its JSON unread.
#[derive(Debug, PartialEq)]
struct Read {
    kind: u32,
    attachments: Option<f64>,
    namespace: String,
    id: Option<f64>,
    data: String,
}

/// `Number(text)`, where that is a number.
fn number(text: &str) -> Option<f64> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Some(0.0);
    }
    let is_plain = trimmed.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    is_plain.then(|| trimmed.parse().ok()).flatten()
}

fn reference(text: &str) -> Option<Read> {
    let letters: Vec<char> = text.chars().collect();
    let at = |index: usize| letters.get(index).map(ToString::to_string).unwrap_or_default();
    let part = |from: usize, to: usize| letters.iter().take(to).skip(from).collect::<String>();
    let mut i = 0;
    let kind = number(&at(0)).filter(|kind| (0.0..=6.0).contains(kind) && kind.fract() == 0.0)? as u32;
    let mut attachments = None;
    if kind == 5 || kind == 6 {
        let start = i + 1;
        i += 1;
        while at(i) != "-" && i != letters.len() {
            i += 1;
        }
        attachments = Some(number(&part(start, i))?);
        if at(i) != "-" {
            return None;
        }
    }
    let mut namespace = "/".to_owned();
    if at(i + 1) == "/" {
        let start = i + 1;
        i += 1;
        while at(i) != "," && i != letters.len() {
            i += 1;
        }
        namespace = part(start, i);
    }
    let mut id = None;
    let next = at(i + 1);
    if !next.is_empty() && number(&next).is_some() {
        let start = i + 1;
        loop {
            i += 1;
            if i == letters.len() {
                break;
            }
            if number(&at(i)).is_none() {
                i -= 1;
                break;
            }
        }
        id = number(&part(start, i + 1));
    }
    i += 1;
    Some(Read { kind, attachments, namespace, id, data: part(i, letters.len()) })
}

#[track_caller]
fn agree(text: &str) -> bool {
    let Ok(own) = Packet::read(text) else { return false };
    let kind = match (own.kind, own.attachments) {
        (Kind::Connect, _) => 0,
        (Kind::Disconnect, _) => 1,
        (Kind::Event, 0) => 2,
        (Kind::Ack, 0) => 3,
        (Kind::ConnectError, _) => 4,
        (Kind::Event, _) => 5,
        (Kind::Ack, _) => 6,
    };
    let own = Read {
        kind,
        attachments: (own.attachments > 0).then_some(f64::from(own.attachments)),
        namespace: own.namespace.to_owned(),
        id: own.id.map(|id| id.parse().unwrap()),
        data: own.data.to_owned(),
    };
    assert_eq!(reference(text), Some(own), "{text:?}");
    true
}

#[test]
fn the_seeds_are_read_as_the_reference_reads_them() {
    for seed in [
        "0",
        "0{\"token\":\"1\"}",
        "0/admin,",
        "0/admin",
        "1",
        "1/admin,",
        "2[\"a\"]",
        "2/admin,[\"a\"]",
        "212[\"a\",1]",
        "2/admin,456[\"a\"]",
        "3456[]",
        "3/admin,456[]",
        "4{\"message\":\"no\"}",
        "51-[\"a\",{\"_placeholder\":true,\"num\":0}]",
        "52-/admin,456[\"a\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]",
        "61-/admin,456[{\"_placeholder\":true,\"num\":0}]",
    ] {
        assert!(agree(seed), "{seed}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_taken_is_read_as_the_reference_reads_it(
        text in "[0-7]([0-9]{0,2}-)?(/[a-z/,]{0,4},?)?[0-9 .e+-]{0,4}(\\[\"[a-z]\"[ ,0-9\\]]{0,3}|\\{\\}|[\\[\\]{}\", ]{0,3})?",
    ) {
        agree(&text);
    }

    #[test]
    fn an_event_that_is_taken_is_json_as_everyone_reads_it(text in "\\[?[ ]?\"?[a-z\\\\u0-9]{0,6}\"?(,[\\[\\]{}\"0-9a-z:,]{0,6})?\\]?") {
        if let Ok(event) = read_event(&text) {
            let whole: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&whole[0], &*event.name);
            let first: Option<serde_json::Value> = event.first.map(|first| serde_json::from_str(first).unwrap());
            prop_assert_eq!(whole.get(1), first.as_ref());
        }
    }
}
