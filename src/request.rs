//! The one reading of a request: what a rule may see, parsed once, before anything is decided.
//!
//! A request that two parsers could read differently is refused here with 400 instead of being
//! normalised, so that what is judged is byte for byte what an upstream receives. Nothing in this
//! module knows about rules, tokens or sockets.

mod query;

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, Method, Uri, Version};
use percent_encoding::percent_decode_str;
use unicode_normalization::UnicodeNormalization;

pub use query::Query;

/// Longest request target that is read, in bytes; longer ones are refused with 414.
pub const TARGET_MAX_BYTES: usize = 8 * 1024;
/// Deepest path that is read, in segments.
pub const SEGMENTS_MAX: usize = 64;
/// Longest bearer token that is looked at, in bytes.
pub const TOKEN_MAX_BYTES: usize = 8 * 1024;

/// A moment, in whole seconds since the Unix epoch. The pure half is always told the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

/// Why a request can't be read in exactly one way. Every variant is a 400, but for the size ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The target is longer than [`TARGET_MAX_BYTES`].
    #[error("the request target is too long")]
    TargetTooLong,
    /// The target isn't an absolute path (RFC 9112 §3.2.1).
    #[error("the request target is not an absolute path")]
    NotOriginForm,
    /// A byte that doesn't belong in a path (RFC 3986 §3.3), `;` and `\` included.
    #[error("the path holds a character that servers read differently")]
    PathCharacter,
    /// `//`.
    #[error("the path holds an empty segment")]
    EmptySegment,
    /// `.` or `..`, or a segment that ends in a dot or a space.
    #[error("the path holds a dot segment, or a segment that ends in a dot or a space")]
    DotSegment,
    /// A `%XX` that isn't hexadecimal, or that hides a character which must not be hidden.
    #[error("the path holds a percent-encoding that servers read differently")]
    PathEncoding,
    /// Decoded text that isn't UTF-8, changes under NFKC, or can't be seen.
    #[error("the path holds text that servers read differently")]
    PathText,
    /// More than [`SEGMENTS_MAX`] segments.
    #[error("the path is too deep")]
    TooDeep,
    /// A control, blank, `#` or non-ASCII byte in the query.
    #[error("the query holds a character that servers read differently")]
    QueryCharacter,
    /// A query key that a rule reads occurs twice, in another spelling, or as an array.
    #[error("a query parameter that decides is given more than once, or in another spelling")]
    QueryAmbiguous,
    /// The query names a method: some servers take that one, another than the one that is judged.
    #[error("the query names a method")]
    QueryMethod,
    /// No host, two hosts, two that differ, or one that isn't a plain name or address.
    #[error("the host is missing, repeated or malformed")]
    Host,
    /// A header that a rule reads occurs twice or isn't visible ASCII.
    #[error("a header that decides is given more than once, or is not plain text")]
    HeaderAmbiguous,
    /// Two `Authorization` headers, or a `Bearer` without one well-formed token (RFC 6750 §2.1).
    #[error("the Authorization header is repeated or malformed")]
    Authorization,
    /// `Transfer-Encoding` other than one `chunked`, or two message lengths (RFC 9112 §6.1).
    #[error("the length of the body can be read in two ways")]
    Framing,
    /// A body that a rule reads, of JSON that can't be read in exactly one way.
    #[error("the body is no JSON that can be read in one way only")]
    Body,
    /// `Upgrade` or `Connection` that can't be parsed.
    #[error("the connection options can't be read")]
    ConnectionOptions,
}

impl Malformed {
    /// The word for logs and metrics.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::TargetTooLong => "target-too-long",
            Self::NotOriginForm => "target-form",
            Self::PathCharacter => "path-character",
            Self::EmptySegment => "path-empty-segment",
            Self::DotSegment => "path-dot-segment",
            Self::PathEncoding => "path-encoding",
            Self::PathText => "path-text",
            Self::TooDeep => "path-depth",
            Self::QueryCharacter => "query-character",
            Self::QueryAmbiguous => "query-ambiguous",
            Self::QueryMethod => "query-method",
            Self::Host => "host",
            Self::HeaderAmbiguous => "header-ambiguous",
            Self::Authorization => "authorization",
            Self::Framing => "framing",
            Self::Body => "body",
            Self::ConnectionOptions => "connection-options",
        }
    }
}

/// A path that can be read in one way only: the bytes as they came, and its decoded segments.
///
/// One trailing slash is allowed and makes no segment, so `/x` and `/x/` are decided alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalPath<'r> {
    raw: &'r str,
    segments: Vec<Cow<'r, str>>,
}

impl<'r> CanonicalPath<'r> {
    /// Reads a raw path. What any common server could read as another path is refused.
    pub fn parse(raw: &'r str) -> Result<Self, Malformed> {
        if raw.len() > TARGET_MAX_BYTES {
            return Err(Malformed::TargetTooLong);
        }
        let Some(rest) = raw.strip_prefix('/') else { return Err(Malformed::NotOriginForm) };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.is_empty() {
            return if raw == "/" {
                Ok(Self { raw, segments: Vec::new() })
            } else {
                Err(Malformed::EmptySegment)
            };
        }
        let mut segments = Vec::with_capacity(8);
        for segment in rest.split('/') {
            if segments.len() == SEGMENTS_MAX {
                return Err(Malformed::TooDeep);
            }
            segments.push(read_segment(segment)?);
        }
        Ok(Self { raw, segments })
    }

    /// The bytes as the client sent them, which are the bytes that are forwarded.
    #[must_use]
    pub fn raw(&self) -> &'r str {
        self.raw
    }

    /// The decoded segments, without an empty one for a trailing slash.
    #[must_use]
    pub fn segments(&self) -> &[Cow<'r, str>] {
        &self.segments
    }
}

fn read_segment(raw: &str) -> Result<Cow<'_, str>, Malformed> {
    if raw.is_empty() {
        return Err(Malformed::EmptySegment);
    }
    let mut encoded = false;
    for byte in raw.bytes() {
        match byte {
            b'%' => encoded = true,
            _ if is_path_byte(byte) => {}
            _ => return Err(Malformed::PathCharacter),
        }
    }
    if !encoded {
        return if raw.ends_with('.') { Err(Malformed::DotSegment) } else { Ok(Cow::Borrowed(raw)) };
    }
    check_escapes(raw)?;
    let decoded = percent_decode_str(raw).decode_utf8().map_err(|_| Malformed::PathText)?;
    if decoded.ends_with(['.', ' ']) {
        return Err(Malformed::DotSegment);
    }
    if decoded.chars().any(is_unseen) || !decoded.nfkc().eq(decoded.chars()) {
        return Err(Malformed::PathText);
    }
    Ok(decoded)
}

/// Whether text is what one decoded segment may say: nothing that some server reads as several, as none or as another.
#[must_use]
pub fn is_plain_segment(text: &str) -> bool {
    !text.is_empty()
        && !text.ends_with(['.', ' '])
        && !text.contains(['/', '\\', '%', ';', '?', '#'])
        && !text.chars().any(is_unseen)
        && text.nfkc().eq(text.chars())
}

/// `pchar` of RFC 3986 without `%` and without `;`, which servlet containers cut off.
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&byte)
}

fn check_escapes(raw: &str) -> Result<(), Malformed> {
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            continue;
        }
        let (Some(high), Some(low)) = (bytes.next().and_then(hex), bytes.next().and_then(hex)) else {
            return Err(Malformed::PathEncoding);
        };
        let hidden = high << 4 | low;
        let must_not_hide =
            hidden.is_ascii_alphanumeric() || b"-._~/\\%;?#".contains(&hidden) || hidden.is_ascii_control();
        if must_not_hide {
            return Err(Malformed::PathEncoding);
        }
    }
    Ok(())
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Controls, format characters and other code points that a reader of a log can't see.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// A host name or address literal in lower case, without port and without a trailing dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(String);

impl Host {
    /// Reads `name[:port]` or `[v6][:port]`.
    pub fn parse(authority: &str) -> Result<Self, Malformed> {
        let (name, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']').ok_or(Malformed::Host)?;
                address.parse::<std::net::Ipv6Addr>().map_err(|_| Malformed::Host)?;
                (format!("[{}]", address.to_ascii_lowercase()), port)
            }
            None => {
                let end = authority.find(':').unwrap_or(authority.len());
                let (name, port) = authority.split_at(end);
                let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
                let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
                if name.is_empty()
                    || name.len() > 253
                    || name.starts_with('.')
                    || name.ends_with('.')
                    || !plain
                {
                    return Err(Malformed::Host);
                }
                (name, port)
            }
        };
        let port_fits = match port.strip_prefix(':') {
            Some(digits) => digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok(),
            None => port.is_empty(),
        };
        if port_fits { Ok(Self(name)) } else { Err(Malformed::Host) }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the caller showed to prove who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential<'r> {
    /// No `Authorization` header.
    Absent,
    /// What stands after `Authorization: Bearer`, unverified and unread: [`token68`] says whether it could be a token.
    Bearer(&'r [u8]),
    /// A credential of another scheme, which nobody here can judge, and which is never passed on unjudged.
    Foreign,
}

impl<'r> Credential<'r> {
    /// Reads the one `Authorization` header.
    pub fn read(headers: &'r HeaderMap) -> Result<Self, Malformed> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let Some(value) = values.next() else { return Ok(Self::Absent) };
        if values.next().is_some() {
            return Err(Malformed::Authorization);
        }
        let bytes = value.as_bytes();
        let space = bytes.iter().position(|byte| *byte == b' ');
        let (scheme, token) = bytes.split_at(space.unwrap_or(bytes.len()));
        if !scheme.is_ascii() {
            return Err(Malformed::Authorization);
        }
        if !scheme.eq_ignore_ascii_case(b"bearer") {
            return Ok(Self::Foreign);
        }
        // A token that was seen before is found by its bytes; only a new one is worth being read.
        match token.split_first() {
            Some((_space, token)) if !token.is_empty() => Ok(Self::Bearer(token)),
            _ => Err(Malformed::Authorization),
        }
    }
}

/// Reads a bearer token's text (RFC 6750 §2.1); anything else in its place can be read in two ways.
pub fn token68(token: &[u8]) -> Result<&str, Malformed> {
    let is_token68 =
        |b: u8| b.is_ascii_alphabetic() | matches!(b, b'-'..=b'9') | matches!(b, b'_' | b'~' | b'+' | b'=');
    let is_plain = token.iter().all(|byte| is_token68(*byte));
    let text = std::str::from_utf8(token).map_err(|_| Malformed::Authorization)?;
    if is_plain && !text.is_empty() { Ok(text) } else { Err(Malformed::Authorization) }
}

/// A request in its one reading.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'r> {
    /// The method, from a closed list once a route is found.
    pub method: &'r Method,
    /// The host asked for.
    pub host: &'r Host,
    /// The path.
    pub path: &'r CanonicalPath<'r>,
    /// The query.
    pub query: Query<'r>,
    /// The headers as they came.
    pub headers: &'r HeaderMap,
    /// The client: the socket's peer, or what a trusted proxy says of it.
    pub client: IpAddr,
    /// The certificate that the client presented, if it did and one was asked for.
    pub certificate: Option<&'r ClientCertificate>,
}

/// A certificate that a client presented and that an authority of the operator's choice has signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Whom it names, as RFC 4514 writes it; none where that can't be written.
    pub subject: Option<Box<str>>,
    /// SHA-256 of the certificate in base64url, as `x5t#S256` writes it (RFC 8705 §3.1).
    pub thumbprint: Option<Box<str>>,
}

/// Reads the host from the request's authority and `Host` header, which must agree.
pub fn read_host(version: Version, uri: &Uri, headers: &HeaderMap) -> Result<Host, Malformed> {
    let mut values = headers.get_all(HOST).iter();
    let header = values.next();
    if values.next().is_some() {
        return Err(Malformed::Host);
    }
    let header = match header {
        Some(value) => Some(value.to_str().map_err(|_| Malformed::Host)?),
        None => None,
    };
    match (version >= Version::HTTP_2, uri.authority(), header) {
        (true, Some(authority), None) => Host::parse(authority.as_str()),
        (true, Some(authority), Some(header)) => {
            let (authority, header) = (Host::parse(authority.as_str())?, Host::parse(header)?);
            if authority == header { Ok(authority) } else { Err(Malformed::Host) }
        }
        (false, Some(_), _) => Err(Malformed::NotOriginForm),
        (_, None, Some(header)) => Host::parse(header),
        (_, None, None) => Err(Malformed::Host),
    }
}

/// Reads a header that decides: absent, or exactly one line of visible text.
pub fn read_header<'r>(headers: &'r HeaderMap, name: &str) -> Result<Option<&'r str>, Malformed> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Malformed::HeaderAmbiguous);
    }
    value.to_str().map(|text| Some(text.trim())).map_err(|_| Malformed::HeaderAmbiguous)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(raw: &str, why: Malformed) {
        assert_eq!(CanonicalPath::parse(raw).unwrap_err(), why, "{raw}");
    }

    #[test]
    fn a_plain_path_is_its_segments() {
        let path = CanonicalPath::parse("/cim/customers/5b%C3%A9/").unwrap();
        assert_eq!(path.segments(), ["cim", "customers", "5bé"]);
        assert_eq!(path.raw(), "/cim/customers/5b%C3%A9/");
        assert!(CanonicalPath::parse("/").unwrap().segments().is_empty());
        assert_eq!(CanonicalPath::parse("/a:b@c/x%40y%3A").unwrap().segments(), ["a:b@c", "x@y:"]);
    }

    #[test]
    fn what_two_servers_read_differently_is_refused() {
        for raw in ["/a/../b", "/a/./b", "/..", "/a/.../b", "/a./b", "/a%20"] {
            refused(raw, Malformed::DotSegment);
        }
        for raw in ["//", "//a", "/a//b", "/a//"] {
            refused(raw, Malformed::EmptySegment);
        }
        for raw in ["/a;b", "/a\\b", "/a\"b", "/a{b", "/a|b", "/a b", "/a\u{e9}", "/a#b", "/a?b"] {
            refused(raw, Malformed::PathCharacter);
        }
        for raw in
            ["/%2e%2e", "/%2Fb", "/%5c", "/%25", "/%61", "/%00", "/%0d", "/%3b", "/%3F", "/%zz", "/%", "/%4"]
        {
            refused(raw, Malformed::PathEncoding);
        }
        for raw in ["/%ff", "/%EF%BC%AF", "/a%E2%80%8Bb", "/%C2%85", "/%EF%AC%81"] {
            refused(raw, Malformed::PathText);
        }
        for raw in ["", "a", "*", "http://x/"] {
            refused(raw, Malformed::NotOriginForm);
        }
        refused(&"/a".repeat(65), Malformed::TooDeep);
        refused(&format!("/{}", "a".repeat(TARGET_MAX_BYTES)), Malformed::TargetTooLong);
    }

    #[test]
    fn hosts_are_one_spelling() {
        assert_eq!(Host::parse("API.Example.:8443").unwrap().as_str(), "api.example");
        assert_eq!(Host::parse("[::1]:80").unwrap().as_str(), "[::1]");
        for bad in ["", "a b", "u@h", "h/p", "a,b", "h:x", "h:99999", "[::1", ".h", "h..", "h#"] {
            assert!(Host::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_one_bearer_token_is_a_credential() {
        let read = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(AUTHORIZATION, line.parse().unwrap());
            }
            match Credential::read(&headers)? {
                Credential::Bearer(token) => token68(token).map(|token| token == "a.b.c"),
                _ => Ok(false),
            }
        };
        assert_eq!(read(&["Bearer a.b.c"]), Ok(true));
        assert_eq!(read(&[]), Ok(false));
        for bad in [
            &["Bearer a.b.c", "Bearer d"][..],
            &["Bearer"],
            &["Bearer "],
            &["Bearer  a"],
            &["Bearer a b"],
            &["é"],
        ] {
            assert_eq!(read(bad), Err(Malformed::Authorization));
        }
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, "Basic YTpi".parse().unwrap());
        assert_eq!(Credential::read(&headers), Ok(Credential::Foreign));
    }
}
