//! What may stand after an answer. A recipient may merge trailers into the head, so nothing passes there that frames or
//! routes a message, says who calls, sets state, or tells how the body is to be read (RFC 9110 §6.5.1).

use http::header::TRAILER;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{is_hop_by_hop, is_protected, is_proxys_own, remove_where};

/// Removes what may not stand in an answer's trailers.
pub fn clean_trailers(trailers: &mut HeaderMap) {
    remove_where(trailers, |name| !may_trail(name));
}

/// The names of trailers that an answer announces and that may stand there: as much of `Trailer` as may pass.
#[must_use]
pub fn announced(headers: &HeaderMap) -> Option<HeaderValue> {
    let lines = headers.get_all(TRAILER).iter().filter_map(|line| line.to_str().ok());
    let names = lines.flat_map(|line| line.split(',')).map(str::trim);
    let names = names.filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok());
    let names: Vec<HeaderName> = names.filter(|name| may_trail(name.as_str())).collect();
    let names: Vec<&str> = names.iter().map(HeaderName::as_str).collect();
    if names.is_empty() { None } else { HeaderValue::try_from(names.join(", ")).ok() }
}

fn may_trail(name: &str) -> bool {
    !is_hop_by_hop(name)
        && !is_proxys_own(name)
        && !is_protected(name)
        && !is_of_the_head(name)
        && !["content-", "access-control-", "cross-origin-", "sec-", "if-", "x-forwarded-"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

/// What says whose an answer is, how long it may be kept, where to go next, or what a browser may do with it.
fn is_of_the_head(name: &str) -> bool {
    matches!(
        name,
        "age"
            | "alt-svc"
            | "authentication-info"
            | "cache-control"
            | "clear-site-data"
            | "cookie"
            | "date"
            | "etag"
            | "expires"
            | "last-modified"
            | "link"
            | "location"
            | "max-forwards"
            | "pragma"
            | "range"
            | "accept-ranges"
            | "referrer-policy"
            | "refresh"
            | "retry-after"
            | "server"
            | "set-cookie"
            | "strict-transport-security"
            | "vary"
            | "via"
            | "warning"
            | "www-authenticate"
            | "x-content-type-options"
            | "x-frame-options"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_into_a_head_never_trails() {
        let mut trailers = HeaderMap::new();
        let kept = ["grpc-status", "grpc-message", "grpc-status-details-bin", "server-timing", "x-checksum"];
        let gone = [
            "content-length",
            "transfer-encoding",
            "host",
            "authorization",
            "set-cookie",
            "www-authenticate",
            "proxy-authenticate",
            "x-gatewarden-subject",
            "x-request-id",
            "x-forwarded-for",
            "cache-control",
            "content-type",
            "content-encoding",
            "location",
            "trailer",
            "te",
            "connection",
            "access-control-allow-origin",
            "x_y",
        ];
        for name in kept.into_iter().chain(gone) {
            trailers.insert(HeaderName::from_static(name), HeaderValue::from_static("v"));
        }
        clean_trailers(&mut trailers);
        let mut left: Vec<_> = trailers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(
            left,
            ["grpc-message", "grpc-status", "grpc-status-details-bin", "server-timing", "x-checksum"]
        );
    }

    #[test]
    fn an_announcement_names_what_may_come() {
        let mut headers = HeaderMap::new();
        assert_eq!(announced(&headers), None);
        headers.append(TRAILER, HeaderValue::from_static("Set-Cookie, X-Checksum"));
        headers.append(TRAILER, HeaderValue::from_static("a b, Server-Timing"));
        assert_eq!(announced(&headers).unwrap(), "x-checksum, server-timing");
    }
}
