//! A place in a JSON document (RFC 6901), and what stands there.

use std::fmt;

use serde_json::Value;

use super::caseless;
use super::strict::Ambiguous;

/// Most segments that a pointer or a pattern has: no deeper than any document that is read.
pub(super) const SEGMENTS_MAX: usize = super::strict::BODY_DEPTH_MAX;

/// A place in a document: member names and indices, from the outside in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pointer {
    segments: Box<[Box<str>]>,
}

/// The text is not a pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointerError {
    /// It doesn't begin with `/`.
    #[error("a JSON pointer begins with `/`")]
    NoSlash,
    /// A `~` that is neither `~0` nor `~1`.
    #[error("in a JSON pointer `~` is written `~0` and `/` in a name `~1`; no other `~` has a meaning")]
    Escape,
    /// More segments than any document that is read is deep.
    #[error("the JSON pointer is deeper than any document that is read")]
    TooDeep,
}

impl Pointer {
    /// Reads `/member/0/member`. The whole document is not written, it is [`Pointer::root`].
    pub fn parse(text: &str) -> Result<Self, PointerError> {
        let segments = split(text)?.into_iter().map(String::into_boxed_str).collect();
        Ok(Self { segments })
    }

    /// The whole document.
    #[must_use]
    pub fn root() -> Self {
        Self { segments: Box::default() }
    }

    /// The segments, unescaped.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = &str> {
        self.segments.iter().map(|segment| &**segment)
    }

    /// What stands there, if anything does.
    #[must_use]
    pub fn find<'v>(&self, document: &'v Value) -> Option<&'v Value> {
        self.segments().try_fold(document, step)
    }

    /// What stands there, for a document that the reader behind us may read without regard to case: a member that is
    /// meant for all but its case is refused, so that it can't pass for an absent one here and be read there. A place in
    /// what has no places, such as text where an object should be, is refused too: nothing is absent from it.
    pub fn read<'v>(&self, document: &'v Value) -> Result<Option<&'v Value>, Ambiguous> {
        let mut value = document;
        for (depth, segment) in self.segments().enumerate() {
            match step(value, segment) {
                Some(inner) => value = inner,
                None => return if lacks(value, segment, depth) { Ok(None) } else { Err(Ambiguous) },
            }
        }
        Ok(Some(value))
    }
}

/// Whether a value could have something at a segment, and hasn't. A document that is `null` is none at all.
fn lacks(value: &Value, segment: &str, depth: usize) -> bool {
    match value {
        Value::Object(members) => {
            let folded = caseless(segment);
            !members.keys().any(|name| caseless(name) == folded)
        }
        Value::Array(_) => index(segment).is_some(),
        Value::Null => depth > 0,
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn step<'v>(value: &'v Value, segment: &str) -> Option<&'v Value> {
    match value {
        Value::Object(members) => members.get(segment),
        Value::Array(items) => items.get(index(segment)?),
        _ => None,
    }
}

/// A segment as an index, which is written in one way only.
fn index(segment: &str) -> Option<usize> {
    let is_plain = segment == "0" || !segment.starts_with('0');
    let is_number = is_plain && segment.bytes().all(|b| b.is_ascii_digit());
    if is_number { segment.parse().ok() } else { None }
}

/// The segments of a pointer's text, unescaped.
pub(super) fn split(text: &str) -> Result<Vec<String>, PointerError> {
    let rest = text.strip_prefix('/').ok_or(PointerError::NoSlash)?;
    let segments: Vec<_> = rest.split('/').map(unescape).collect::<Result<_, _>>()?;
    if segments.len() > SEGMENTS_MAX { Err(PointerError::TooDeep) } else { Ok(segments) }
}

fn unescape(segment: &str) -> Result<String, PointerError> {
    let mut pieces = segment.split('~');
    let mut name = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (escaped, rest) = match piece.strip_prefix('0') {
            Some(rest) => ('~', rest),
            None => ('/', piece.strip_prefix('1').ok_or(PointerError::Escape)?),
        };
        name.push(escaped);
        name.push_str(rest);
    }
    Ok(name)
}

/// Writes one segment with the slash before it.
pub(super) fn write_segment(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    write!(f, "/{}", name.replace('~', "~0").replace('/', "~1"))
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.segments().try_for_each(|segment| write_segment(f, segment))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pointer(text: &str) -> Pointer {
        Pointer::parse(text).unwrap()
    }

    /// The example of RFC 6901 §5, and what it leaves out.
    #[test]
    fn what_stands_at_a_place() {
        let document = json!({
            "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, " ": 7, "m~n": 8, "~1": 9, "deep": {"er": [[5]]}
        });
        for (text, value) in [
            ("/foo", json!(["bar", "baz"])),
            ("/foo/0", json!("bar")),
            ("/", json!(0)),
            ("/a~1b", json!(1)),
            ("/c%d", json!(2)),
            ("/ ", json!(7)),
            ("/m~0n", json!(8)),
            ("/~01", json!(9)),
            ("/deep/er/0/0", json!(5)),
        ] {
            assert_eq!(pointer(text).find(&document), Some(&value), "{text}");
            assert_eq!(pointer(text).read(&document), Ok(Some(&value)), "{text}");
            assert_eq!(pointer(text).to_string(), text);
        }
        for text in ["/foo/2", "/foo/00", "/foo/-", "/foo/+1", "/foo/", "/foo/0/x", "/none", "//", "/deep/0"]
        {
            assert_eq!(pointer(text).find(&document), None, "{text}");
        }
        assert_eq!(Pointer::root().find(&document), Some(&document));
        assert_eq!(Pointer::root().to_string(), "");
    }

    #[test]
    fn a_member_that_differs_in_case_is_not_an_absent_one() {
        let document = json!({"Role": "admin", "user": {"STRASSE": 1}, "plain": 1});
        assert_eq!(pointer("/role").read(&document), Err(Ambiguous));
        assert_eq!(pointer("/user/straße").read(&document), Err(Ambiguous));
        assert_eq!(pointer("/other").read(&document), Ok(None));
        assert_eq!(pointer("/role").find(&document), None);
    }

    #[test]
    fn nothing_is_absent_from_what_has_no_members() {
        let document = json!({"plain": "x", "none": null, "list": [1], "flag": false});
        for text in ["/plain/role", "/flag/role", "/list/role", "/list/0/role"] {
            assert_eq!(pointer(text).read(&document), Err(Ambiguous), "{text}");
        }
        for text in ["/none/role", "/none/role/name", "/list/7", "/other/role"] {
            assert_eq!(pointer(text).read(&document), Ok(None), "{text}");
        }
        for document in [json!(null), json!("x"), json!(["x"]), json!(7)] {
            assert_eq!(pointer("/role").read(&document), Err(Ambiguous), "{document}");
        }
    }

    #[test]
    fn what_is_no_pointer() {
        for text in ["", "role", "#/role"] {
            assert_eq!(Pointer::parse(text), Err(PointerError::NoSlash), "{text}");
        }
        for text in ["/~", "/a~2", "/a~", "/~~0"] {
            assert_eq!(Pointer::parse(text), Err(PointerError::Escape), "{text}");
        }
        assert_eq!(Pointer::parse(&"/a".repeat(SEGMENTS_MAX + 1)), Err(PointerError::TooDeep));
        assert!(Pointer::parse(&"/a".repeat(SEGMENTS_MAX)).is_ok());
    }
}
