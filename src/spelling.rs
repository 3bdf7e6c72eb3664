//! How a name is written in a header that the gateway makes: percent-encoded, so that it is always a valid value and
//! always one value. Names that are known when the files are read are written once, then.

use std::borrow::Cow;

use http::HeaderValue;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// Everything that isn't plain visible ASCII, and the escape itself.
pub const ESCAPED: &AsciiSet = &CONTROLS.add(b'%').add(b' ').add(b'"');
/// The same, in a list with commas.
const LISTED: &AsciiSet = &ESCAPED.add(b',');

/// A name as a header's whole value.
#[must_use]
pub fn alone(name: &str) -> HeaderValue {
    spelled(name, ESCAPED)
}

/// A name as one of a header's values, between commas.
#[must_use]
pub fn listed(name: &str) -> HeaderValue {
    spelled(name, LISTED)
}

fn spelled(name: &str, escaped: &'static AsciiSet) -> HeaderValue {
    HeaderValue::try_from(Cow::from(utf8_percent_encode(name, escaped)).as_ref())
        .unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_is_one_valid_value() {
        assert_eq!(alone("ada"), "ada");
        assert_eq!(alone("Åda \"x\", 5%\r\n"), "%C3%85da%20%22x%22,%205%25%0D%0A");
        assert_eq!(listed("a,b"), "a%2Cb");
        assert_eq!(alone(""), "");
    }
}
