//! Label values that stay few: the first so many are told apart, the rest are `_other`, and that is counted.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// What values beyond the limit are folded into.
pub(super) const OTHER: &str = "_other";
/// The value of a label that doesn't apply.
pub(super) const NONE: &str = "_none";
/// The tenant of a request that proved none.
pub(super) const UNPROVEN: &str = "_unproven";
/// Longest value that is exported; names in the configuration are shorter.
const VALUE_MAX_BYTES: usize = 256;

/// The values that a label has had.
#[derive(Debug)]
pub(super) struct Bounded {
    pub(super) label: &'static str,
    most: usize,
    seen: Mutex<HashSet<Box<str>>>,
}

/// A label's value, and whether it lost its own name on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value<'v> {
    /// Its own.
    Own(Cow<'v, str>),
    /// Folded into [`OTHER`].
    Folded,
}

impl Value<'_> {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Own(value) => value,
            Self::Folded => OTHER,
        }
    }
}

impl Bounded {
    pub(super) fn new(label: &'static str, most: usize) -> Self {
        Self { label, most, seen: Mutex::default() }
    }

    /// The value to export for `value`; `absent` for none.
    pub(super) fn value<'v>(&self, value: Option<&'v str>, absent: &'static str) -> Value<'v> {
        let Some(value) = value else { return Value::Own(Cow::Borrowed(absent)) };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = value.len() <= VALUE_MAX_BYTES;
        if fits && (seen.contains(value) || (seen.len() < self.most && seen.insert(Box::from(value)))) {
            Value::Own(Cow::Borrowed(value))
        } else {
            Value::Folded
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_keep_their_names() {
        let bounded = Bounded::new("tenant", 2);
        for _ in 0..2 {
            assert_eq!(bounded.value(Some("a"), UNPROVEN).as_str(), "a");
            assert_eq!(bounded.value(Some("b"), UNPROVEN).as_str(), "b");
            assert_eq!(bounded.value(Some("c"), UNPROVEN), Value::Folded);
            assert_eq!(bounded.value(None, UNPROVEN).as_str(), UNPROVEN);
        }
        assert_eq!(Bounded::new("route", 9).value(Some(&"x".repeat(257)), NONE), Value::Folded);
    }
}
