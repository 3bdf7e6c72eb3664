//! What a message's headers say about its body: is it JSON that can be read as it comes?

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

/// A body of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// A document whose members are what they are called.
    Document,
    /// Steps to be done to some document (RFC 6902): what it is about is not its own members.
    Patch,
}

/// Reads `Content-Type` and `Content-Encoding`. What isn't JSON in UTF-8, is compressed or is said twice is none.
#[must_use]
pub fn media(headers: &HeaderMap) -> Option<Media> {
    let is_identity = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"identity");
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(only), None) = (types.next(), types.next()) else { return None };
    if !headers.get_all(CONTENT_ENCODING).iter().all(is_identity) {
        return None;
    }
    let text = only.to_str().ok()?.to_ascii_lowercase();
    let mut pieces = text.split(';').map(str::trim);
    let media = media_type(pieces.next()?)?;
    // Pieces of a quoted value pass for parameters too, which can only refuse more.
    pieces.all(is_harmless).then_some(media)
}

fn media_type(text: &str) -> Option<Media> {
    let is_token = |text: &str| {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
        !text.is_empty() && text.bytes().all(is_plain)
    };
    let (group, name) = text.split_once('/')?;
    if !is_token(group) || !is_token(name) {
        return None;
    }
    match name.strip_suffix("+json") {
        Some(name) if name.starts_with("json-patch") => Some(Media::Patch),
        Some(_) => Some(Media::Document),
        None => (group == "application" && name == "json").then_some(Media::Document),
    }
}

fn is_harmless(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return parameter.is_empty() };
    name.trim() != "charset" || matches!(value.trim().trim_matches('"'), "utf-8" | "utf8")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[(&'static str, &'static str)]) -> Option<Media> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        media(&headers)
    }

    #[test]
    fn json_is_what_says_so() {
        for text in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
            "application/json ; charset=utf8; profile=x",
            "application/problem+json",
            "application/vnd.api+json;",
        ] {
            assert_eq!(of(&[("content-type", text)]), Some(Media::Document), "{text}");
        }
        assert_eq!(of(&[("content-type", "application/json-patch+json")]), Some(Media::Patch));
        let identity = [("content-type", "application/json"), ("content-encoding", "Identity")];
        assert_eq!(of(&identity), Some(Media::Document));
    }

    #[test]
    fn nothing_else_is() {
        for text in [
            "",
            "json",
            "text/html",
            "text/plain",
            "text/json",
            "application/jsonp",
            "application/json-seq",
            "application/x-ndjson",
            "application/json, text/html",
            "application/json text/html",
            "application/json; charset=utf-16",
            "application/json; charset=utf-8; charset=utf-16",
            "application/json; charset",
            "application/json; a=\"; charset=utf-16\"",
            "/+json",
            "multipart/byteranges; boundary=+json",
        ] {
            assert_eq!(of(&[("content-type", text)]), None, "{text}");
        }
        assert_eq!(of(&[]), None);
        let json = ("content-type", "application/json");
        assert_eq!(of(&[json, json]), None);
        for coding in ["gzip", "identity, gzip", ""] {
            assert_eq!(of(&[json, ("content-encoding", coding)]), None, "{coding}");
        }
        assert_eq!(of(&[json, ("content-encoding", "identity"), ("content-encoding", "br")]), None);
    }
}
