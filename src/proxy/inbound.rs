//! Raw request → what may be judged: framing checked, origin read, everything removed that an upstream won't see.

use http::header::HOST;
use http::request::Parts;
use http::{HeaderValue, Version};

use super::connection::Client;
use crate::headers::{self, Origin};
use crate::rejection::Rejection;
use crate::request::{Malformed, TARGET_MAX_BYTES};
use crate::snapshot::Snapshot;

/// Makes the head of a request fit to be judged.
pub(super) fn receive(parts: &mut Parts, client: &Client, snapshot: &Snapshot) -> Result<Origin, Rejection> {
    // Whoever sent it: a look-up that led to a look-up would have no end.
    if parts.headers.contains_key(headers::LOOKUP) {
        return Err(Rejection::Loop);
    }
    headers::check_request_framing(parts.version, &parts.headers)?;
    let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > TARGET_MAX_BYTES {
        return Err(Malformed::TargetTooLong.into());
    }
    // HTTP/2 names the host in the target; rules and upstream read it in the header.
    if let Some(authority) = parts.uri.authority()
        && !parts.headers.contains_key(HOST)
    {
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| Malformed::Host)?;
        parts.headers.insert(HOST, host);
    }
    let trusted = &snapshot.gateway.trusted_proxies;
    let origin = Origin::read(&client.peer, &parts.headers, trusted, client.scheme)?;
    if parts.version == Version::HTTP_2 {
        headers::join_cookies(&mut parts.headers);
    }
    headers::clean_request(&mut parts.headers)?;
    Ok(origin)
}
