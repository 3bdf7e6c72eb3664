//! JSON bodies: what in them is meant ([`Pointer`], [`Pattern`]), and how they are read without two readers ever
//! understanding them differently ([`strict`]).
//!
//! Whose body it is, and what follows from what stands in it, is decided elsewhere. Nothing here waits or sends.

pub mod edit;
mod media;
mod pattern;
mod pointer;
pub mod strict;

pub use edit::{Editor, Edits, Filter, Keep, Unreadable};
pub use media::{Media, media};
pub use pattern::{Pattern, Segment};
pub use pointer::{Pointer, PointerError};

/// A member's name without its case, so that names compare equal here where they do for any reader that doesn't look
/// at case: by way of capitals, because some small letters share one (`ſ` and `s`).
#[must_use]
pub fn caseless(name: &str) -> String {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::caseless;

    #[test]
    fn names_that_some_reader_takes_for_one_are_one() {
        for (a, b) in [
            ("role", "ROLE"),
            ("straße", "STRASSE"),
            ("\u{212a}ey", "key"),
            ("ſecret", "secret"),
            ("É", "é"),
            ("Σ", "ς"),
        ] {
            assert_eq!(caseless(a), caseless(b), "{a} {b}");
        }
        assert_ne!(caseless("role"), caseless("roles"));
        assert_ne!(caseless("é"), caseless("e"));
    }
}
