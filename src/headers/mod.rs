//! What is stripped from a message on its way through, and what is made anew, in both directions.
//!
//! A request is cleaned *before* it is judged, so that rules see exactly the headers that the upstream will see.
//! Hop-by-hop fields (RFC 9110 §7.6.1), names that only a proxy may say, and names with an underscore (which CGI-like
//! servers can't tell from a hyphen) never pass. Message lengths are never copied: each side frames its own.
//! What the gateway asserts about the caller is added elsewhere, after the decision.

pub mod cors;
mod origin;
mod trailers;

use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Version};

use crate::request::Malformed;

pub use origin::{Origin, Peer};
pub use trailers::{announced, clean_trailers};

/// `X-Forwarded-For`.
pub const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `X-Forwarded-Proto`.
pub const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// `X-Forwarded-Host`.
pub const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// `X-Request-Id`.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// `X-Gatewarden-Subject`.
pub const SUBJECT: HeaderName = HeaderName::from_static("x-gatewarden-subject");
/// `X-Gatewarden-Tenant`.
pub const TENANT: HeaderName = HeaderName::from_static("x-gatewarden-tenant");
/// `X-Gatewarden-Roles`.
pub const ROLES: HeaderName = HeaderName::from_static("x-gatewarden-roles");
/// `X-Gatewarden-Permission`.
pub const PERMISSION: HeaderName = HeaderName::from_static("x-gatewarden-permission");

/// `X-Gatewarden-Lookup`: what the gateway itself asks of an app. A request that has it went in a circle.
pub const LOOKUP: HeaderName = HeaderName::from_static("x-gatewarden-lookup");

const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACE_STATE: HeaderName = HeaderName::from_static("tracestate");

/// Refuses a request whose body two servers could cut differently (RFC 9112 §6.1 and §6.3).
pub fn check_request_framing(version: Version, headers: &HeaderMap) -> Result<(), Malformed> {
    let lengths = headers.get_all(CONTENT_LENGTH).iter().count();
    let is_chunked = match read_coding(headers) {
        Coding::None => false,
        Coding::Chunked => true,
        Coding::Other => return Err(Malformed::Framing),
    };
    let fits = lengths == 0 || (lengths == 1 && !is_chunked);
    if fits && !(is_chunked && version != Version::HTTP_11) { Ok(()) } else { Err(Malformed::Framing) }
}

fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h HeaderValue>, Malformed> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() { Err(Malformed::HeaderAmbiguous) } else { Ok(first) }
}

enum Coding {
    None,
    Chunked,
    Other,
}

fn read_coding(headers: &HeaderMap) -> Coding {
    let mut values = headers.get_all(TRANSFER_ENCODING).iter();
    match (values.next(), values.next()) {
        (None, _) => Coding::None,
        (Some(value), None) if value.as_bytes().eq_ignore_ascii_case(b"chunked") => Coding::Chunked,
        _ => Coding::Other,
    }
}

/// Makes one `Cookie` line of the pieces that an HTTP/2 client may send (RFC 9113 §8.2.3): on HTTP/1.1 there is one, and
/// servers differ in which of several they take.
pub fn join_cookies(headers: &mut HeaderMap) {
    let mut pieces = headers.get_all(COOKIE).iter();
    if pieces.next().is_none() || pieces.next().is_none() {
        return;
    }
    let pieces: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(whole) = HeaderValue::from_bytes(&pieces.join(&b"; "[..])) {
        headers.insert(COOKIE, whole);
    }
}

/// Removes what may not pass to an upstream. What is left is what rules may read.
pub fn clean_request(headers: &mut HeaderMap) -> Result<(), Malformed> {
    remove_nominated(headers).map_err(|Unreadable| Malformed::ConnectionOptions)?;
    let mut has_trace = false;
    remove_where(headers, |name| {
        has_trace |= matches!(name, "traceparent" | "tracestate");
        is_hop_by_hop(name) || is_proxys_own(name)
    });
    if has_trace {
        let valid =
            matches!(one(headers, &TRACE_PARENT), Ok(Some(value)) if is_trace_parent(value.as_bytes()));
        if !valid {
            headers.remove(TRACE_PARENT);
            headers.remove(TRACE_STATE);
        }
    }
    Ok(())
}

/// An upstream's answer that can be read in two ways, or that the gateway didn't ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// Removes what may not pass to a client. The length stays: it says what was read, and the client's side holds it.
pub fn clean_response(headers: &mut HeaderMap) -> Result<(), Unreadable> {
    let lengths = headers.get_all(CONTENT_LENGTH).iter().count();
    match read_coding(headers) {
        Coding::None if lengths <= 1 => {}
        Coding::Chunked if lengths == 0 => {}
        _ => return Err(Unreadable),
    }
    remove_nominated(headers)?;
    remove_where(headers, |name| {
        name != "content-length" && (is_hop_by_hop(name) || name.starts_with("x-gatewarden-"))
    });
    Ok(())
}

/// Every option of every `Connection` line names a field for this hop only. The fields that carry the request's
/// meaning can't be named away: neither what frames it nor what it is judged by. The lines themselves go too.
fn remove_nominated(headers: &mut HeaderMap) -> Result<(), Unreadable> {
    if !headers.contains_key(CONNECTION) {
        return Ok(());
    }
    let mut nominated = Vec::new();
    for line in headers.get_all(CONNECTION) {
        let line = line.to_str().map_err(|_| Unreadable)?;
        for option in line.split(',').map(str::trim).filter(|option| !option.is_empty()) {
            // Nearly every line there is: they speak of the connection itself, and what is named like one of them goes anyway.
            if ["keep-alive", "close", "upgrade"].iter().any(|own| option.eq_ignore_ascii_case(own)) {
                continue;
            }
            let name = HeaderName::from_bytes(option.as_bytes()).map_err(|_| Unreadable)?;
            if !is_protected(name.as_str()) {
                nominated.push(name);
            }
        }
    }
    headers.remove(CONNECTION);
    for name in nominated {
        headers.remove(name);
    }
    Ok(())
}

fn is_protected(name: &str) -> bool {
    matches!(name, "host" | "authorization" | "content-length" | "transfer-encoding" | "x-request-id")
}

fn remove_where(headers: &mut HeaderMap, mut doomed: impl FnMut(&str) -> bool) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| doomed(name.as_str())).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "close"
            | "connection"
            | "content-length"
            | "expect"
            | "http2-settings"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "x-request-id"
    )
}

/// Names that apps believe because only a proxy should send them, and names that some servers read as another's twin.
fn is_proxys_own(name: &str) -> bool {
    const PREFIXES: [&str; 8] = [
        "forwarded",
        "gatewarden-",
        "original-",
        "rewrite-",
        "envoy-",
        "http-method",
        "method-override",
        "accel-",
    ];
    match name.strip_prefix("x-") {
        Some(rest) if PREFIXES.iter().any(|prefix| rest.starts_with(prefix)) => return true,
        _ => {}
    }
    matches!(name, "forwarded" | "x-real-ip" | "client-ip" | "cf-connecting-ip")
        || is_about_certificates(name)
        || name.ends_with("-client-ip")
        || name.contains('_')
}

/// Names under which proxies tell of the client's certificate (RFC 9440, and what was there before).
fn is_about_certificates(name: &str) -> bool {
    let bare = name.strip_prefix("x-").unwrap_or(name);
    ["client-cert", "ssl-", "tls-client-", "amzn-mtls-", "arr-clientcert", "forwarded-tls-"]
        .iter()
        .any(|prefix| bare.starts_with(prefix))
}

/// Whether rules may set a header towards an app: none that frames or routes the message, says who calls, or is the
/// gateway's own to make.
#[must_use]
pub fn may_be_set(name: &HeaderName) -> bool {
    let name = name.as_str();
    !is_hop_by_hop(name)
        && !is_proxys_own(name)
        && !is_protected(name)
        && !name.starts_with("x-forwarded-")
        && !matches!(name, "traceparent" | "tracestate" | "cookie" | "range" | "accept-encoding")
        && !name.starts_with("content-")
        && !name.starts_with("if-")
        && !name.starts_with("sec-")
}

/// `version-traceid-parentid-flags` of W3C Trace Context §3.2, without the forbidden all-zero ids.
fn is_trace_parent(value: &[u8]) -> bool {
    let mut fields = value.split(|byte| *byte == b'-');
    let mut field = |length: usize| {
        let field = fields.next()?;
        let is_hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
        (field.len() == length && field.iter().all(is_hex)).then_some(field)
    };
    let (version, trace, parent, flags) = (field(2), field(32), field(16), field(2));
    let is_set = |field: Option<&[u8]>| field.is_some_and(|field| field.iter().any(|byte| *byte != b'0'));
    version == Some(b"00") && is_set(trace) && is_set(parent) && flags.is_some() && fields.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        map
    }

    #[track_caller]
    fn left(lines: &[(&str, &str)]) -> Vec<String> {
        let mut map = headers(lines);
        clean_request(&mut map).unwrap();
        let mut names: Vec<_> = map.keys().map(ToString::to_string).collect();
        names.sort();
        names
    }

    #[test]
    fn every_option_of_every_connection_line_goes() {
        let lines = [
            ("connection", "close, X-One"),
            ("connection", "x-two,,"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("x-two", "3"),
        ];
        assert!(left(&lines).is_empty());
    }

    #[test]
    fn what_a_request_is_judged_by_is_not_named_away() {
        let lines = [("connection", "host, authorization"), ("host", "h"), ("authorization", "Bearer t")];
        assert_eq!(left(&lines), ["authorization", "host"]);
    }

    #[test]
    fn unreadable_connection_options_are_refused() {
        for line in ["a b", "é", "x@y", "\"q\""] {
            let mut map = HeaderMap::new();
            map.append(CONNECTION, HeaderValue::from_bytes(line.as_bytes()).unwrap());
            assert_eq!(clean_request(&mut map), Err(Malformed::ConnectionOptions), "{line}");
        }
    }

    #[test]
    fn names_that_only_a_proxy_may_say_go() {
        for name in [
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-prefix",
            "x-real-ip",
            "true-client-ip",
            "x-client-ip",
            "x-gatewarden-subject",
            "x-gatewarden-anything",
            "x_gatewarden_subject",
            "x-gatewarden_roles",
            "x-original-url",
            "x-rewrite-url",
            "x-envoy-original-path",
            "x-http-method-override",
            "x-http-method",
            "x-method-override",
            "x-accel-redirect",
            "content_length",
            "x-customer_id",
            "te",
            "trailer",
            "upgrade",
            "http2-settings",
            "proxy-authorization",
            "proxy-connection",
            "keep-alive",
            "expect",
            "x-request-id",
        ] {
            assert_eq!(left(&[(name, "v"), ("accept", "*/*")]), ["accept"], "{name}");
        }
        assert_eq!(
            left(&[("x-customer", "c"), ("x-forward", "f"), ("cookie", "a=b")]),
            ["cookie", "x-customer", "x-forward"]
        );
    }

    #[test]
    fn cookie_pieces_become_one_line() {
        let mut map = headers(&[("cookie", "a=1"), ("cookie", "b=2; c=3"), ("x", "y")]);
        join_cookies(&mut map);
        assert_eq!(map.get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2; c=3"]);
        join_cookies(&mut map);
        assert_eq!(map["cookie"], "a=1; b=2; c=3");
    }

    #[test]
    fn only_a_valid_trace_passes() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(left(&[("traceparent", good), ("tracestate", "a=b")]), ["traceparent", "tracestate"]);
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        ] {
            assert!(left(&[("traceparent", bad), ("tracestate", "a=b")]).is_empty(), "{bad}");
        }
        assert!(left(&[("traceparent", good), ("traceparent", good)]).is_empty());
        assert!(left(&[("tracestate", "a=b")]).is_empty());
    }

    #[test]
    fn a_body_has_one_length() {
        let check = |version, lines: &[_]| check_request_framing(version, &headers(lines)).is_ok();
        assert!(check(Version::HTTP_11, &[]));
        assert!(check(Version::HTTP_11, &[("content-length", "3")]));
        assert!(check(Version::HTTP_11, &[("transfer-encoding", "Chunked")]));
        assert!(!check(Version::HTTP_10, &[("transfer-encoding", "chunked")]));
        assert!(!check(Version::HTTP_11, &[("content-length", "3"), ("content-length", "3")]));
        assert!(!check(Version::HTTP_11, &[("content-length", "3"), ("transfer-encoding", "chunked")]));
        for odd in
            [",chunked", "gzip, chunked", "chunked, chunked", "xchunked", "identity", "chunked;a=b", ""]
        {
            assert!(!check(Version::HTTP_11, &[("transfer-encoding", odd)]), "{odd}");
        }
        assert!(!check(
            Version::HTTP_11,
            &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")]
        ));
    }

    #[test]
    fn an_answer_keeps_its_length_and_loses_its_hop() {
        let mut map = headers(&[
            ("content-length", "3"),
            ("connection", "x-hop, content-length"),
            ("x-hop", "1"),
            ("keep-alive", "5"),
            ("x-gatewarden-subject", "s"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("www-authenticate", "Basic"),
        ]);
        clean_response(&mut map).unwrap();
        assert_eq!(map.keys_len(), 3);
        assert_eq!(map.get_all("set-cookie").iter().count(), 2);
        for bad in [
            &[("transfer-encoding", "chunked"), ("content-length", "3")][..],
            &[("transfer-encoding", "xchunked")],
            &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
            &[("connection", "a b")],
        ] {
            assert_eq!(clean_response(&mut headers(bad)), Err(Unreadable), "{bad:?}");
        }
    }
}
