//! What is asked of an app itself, and what it may answer: values only. Which facts a namespace has and when they are
//! needed stands with the conditions; whoever carries the question to the app, and remembers its answer, has effects.

use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::request::CanonicalPath;

/// One question to an app, already spelled out. Two that are equal have one answer: nothing else that is sent along
/// may differ between them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LookUpKey {
    /// The rules that ask: a question of other rules is another question, whatever it looks like.
    pub revision: u64,
    /// The app whose rules ask.
    pub app: Arc<str>,
    /// The acting tenant's name: an answer about one customer is never used for another.
    pub tenant: Arc<str>,
    /// The namespace of the facts that the answer holds.
    pub namespace: Arc<str>,
    /// The upstream's index in the snapshot of that revision.
    pub upstream: usize,
    /// Path on the upstream, every value in its place, prefix already stripped.
    pub target: Box<str>,
}

/// What came of asking.
#[derive(Clone, Debug, PartialEq)]
pub enum LookedUp {
    /// The app's answer. Whether its members are what the rules say they are is the reader's to see.
    Found(Arc<Value>),
    /// There is no such thing.
    Nothing,
    /// There is no answer, so nothing is known.
    Unavailable(NoAnswer),
}

/// Why a look-up has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoAnswer {
    /// It took too long, waiting for a turn included.
    Timeout,
    /// No server of the upstream can be reached.
    Unreachable,
    /// The answer broke off, or isn't HTTP.
    Broken,
    /// The answer is longer than a look-up's may be.
    TooLarge,
    /// The answer isn't JSON, or JSON that can be read in two ways, or too deep.
    Unreadable,
    /// The app doesn't let the gateway ask.
    NotAllowed,
    /// The question came back to the gateway.
    Loop,
    /// Another status than the one of an answer.
    Status,
    /// The question can't be sent.
    Unaskable,
}

impl NoAnswer {
    /// Every one of them.
    pub const ALL: [Self; 9] = [
        Self::Timeout,
        Self::Unreachable,
        Self::Broken,
        Self::TooLarge,
        Self::Unreadable,
        Self::NotAllowed,
        Self::Loop,
        Self::Status,
        Self::Unaskable,
    ];

    /// The word for metrics and evidence.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Broken => "broken",
            Self::TooLarge => "too-large",
            Self::Unreadable => "unreadable",
            Self::NotAllowed => "not-allowed",
            Self::Loop => "loop",
            Self::Status => "status",
            Self::Unaskable => "unaskable",
        }
    }
}

/// What a write makes stale: every answer of one namespace, for one tenant of one app, by whatever rules it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Forget {
    /// The app.
    pub app: Arc<str>,
    /// The acting tenant's name.
    pub tenant: Arc<str>,
    /// The namespace.
    pub namespace: Arc<str>,
}

/// Longest value that may stand in a question.
const SEGMENT_MAX_BYTES: usize = 256;
/// Only what stands for itself in every reading of a path.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Spells a value as one segment of a question's path. What would be refused in a caller's own path (a slash, `..`, `%`,
/// a control, nothing at all), because servers differ in what they make of it, can't be asked: it is unknown.
#[must_use]
pub fn segment(value: &str) -> Option<String> {
    if value.is_empty() || value.len() > SEGMENT_MAX_BYTES {
        return None;
    }
    let mut path = String::with_capacity(value.len() + 1);
    path.push('/');
    path.extend(utf8_percent_encode(value, ENCODED));
    let is_the_value = match CanonicalPath::parse(&path).ok()?.segments() {
        [only] => only == value,
        _ => false,
    };
    path.remove(0);
    is_the_value.then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_one_segment() {
        for (value, spelled) in [
            ("7", "7"),
            ("a-b_c.d~e", "a-b_c.d~e"),
            ("auth0|5f", "auth0%7C5f"),
            ("ada@example.org", "ada%40example.org"),
            ("a b", "a%20b"),
            ("1+1", "1%2B1"),
            ("Åse", "%C3%85se"),
            ("...a", "...a"),
        ] {
            assert_eq!(segment(value).as_deref(), Some(spelled), "{value}");
        }
        assert_eq!(segment(&"x".repeat(256)).map(|text| text.len()), Some(256));
    }

    #[test]
    fn what_servers_read_differently_is_not_asked() {
        for value in [
            "",
            ".",
            "..",
            "a.",
            "a ",
            "/",
            "a/b",
            "../a",
            "a\\b",
            "%2e%2e",
            "%2F",
            "50%",
            "a;b",
            "a?b",
            "a#b",
            "a\0b",
            "a\nb",
            "a\u{7f}",
            "a\u{200b}",
            "ﬁ",
        ] {
            assert_eq!(segment(value), None, "{value:?}");
        }
        assert_eq!(segment(&"x".repeat(257)), None);
    }
}
