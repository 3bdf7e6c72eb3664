//! One question to an app: how it is put, and what counts as an answer to it.
//!
//! The app is asked with the gateway's own credential, never with the caller's, and is believed in nothing: neither in
//! the length of what it says, nor in its kind, nor that it ends.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT,
};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;

use crate::headers;
use crate::json::strict::{self, Names, Strictness};
use crate::policy::lookup::{LookedUp, NoAnswer};
use crate::request::{CanonicalPath, TARGET_MAX_BYTES};
use crate::upstream::{Answer, Failure, Outgoing, Upstream};

/// Longest answer that is read.
const ANSWER_MAX_BYTES: usize = 64 * 1024;
/// Deepest nesting in it.
const DEPTH_MAX: usize = 32;

/// The question as it goes out; none if it can't.
pub(super) fn request(
    upstream: &Upstream,
    target: &str,
    more: &[(HeaderName, HeaderValue)],
) -> Option<Request<Outgoing>> {
    let (path, _) = target.split_once('?').unwrap_or((target, ""));
    if target.len() > TARGET_MAX_BYTES || CanonicalPath::parse(path).is_err() {
        return None;
    }
    let target = PathAndQuery::from_maybe_shared(Bytes::copy_from_slice(target.as_bytes())).ok()?;
    let mut request = Request::new(Outgoing::Empty);
    *request.uri_mut() = Uri::from(target);
    let own = request.headers_mut();
    for (name, value) in more {
        own.insert(name.clone(), value.clone());
    }
    // After the others: no rule names these away.
    own.insert(HOST, host(upstream)?);
    own.insert(ACCEPT, HeaderValue::from_static("application/json"));
    own.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    own.insert(USER_AGENT, HeaderValue::from_static("gatewarden"));
    own.insert(headers::LOOKUP, HeaderValue::from_static("1"));
    match upstream.credential() {
        Some(credential) => own.insert(AUTHORIZATION, credential.header()?),
        None => own.remove(AUTHORIZATION),
    };
    Some(request)
}

/// The first server's name stands for all of them: which one answers is the balancing's.
fn host(upstream: &Upstream) -> Option<HeaderValue> {
    HeaderValue::try_from(upstream.servers().first()?.address().to_string()).ok()
}

/// Asks. Takes as long as the app does; whoever waits knows how long that may be.
pub(super) async fn ask(upstream: &Upstream, request: Request<Outgoing>) -> LookedUp {
    match upstream.send(request, None).await {
        Ok(response) => read(response).await.unwrap_or_else(LookedUp::Unavailable),
        Err(failure) => LookedUp::Unavailable(no_answer(failure)),
    }
}

fn no_answer(failure: Failure) -> NoAnswer {
    match failure {
        Failure::Unreachable | Failure::Overloaded => NoAnswer::Unreachable,
        Failure::Timeout => NoAnswer::Timeout,
        Failure::Broken | Failure::Client(_) => NoAnswer::Broken,
    }
}

async fn read(response: Response<Answer>) -> Result<LookedUp, NoAnswer> {
    let (mut parts, answer) = response.into_parts();
    match parts.status {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            // Read, so that its connection can be used again; what it says is of no interest.
            let _ = body(&parts.headers, answer).await;
            return Ok(LookedUp::Nothing);
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(NoAnswer::NotAllowed),
        StatusCode::LOOP_DETECTED => return Err(NoAnswer::Loop),
        _ => return Err(NoAnswer::Status),
    }
    let is_announced_longer =
        announced(&parts.headers).is_some_and(|length| length > ANSWER_MAX_BYTES as u64);
    headers::clean_response(&mut parts.headers).map_err(|_| NoAnswer::Broken)?;
    if is_announced_longer {
        return Err(NoAnswer::TooLarge);
    }
    if !is_plain_json(&parts.headers) {
        return Err(NoAnswer::Unreadable);
    }
    let bytes = body(&parts.headers, answer).await?;
    let strictness = Strictness { depth: DEPTH_MAX, names: Names::Exact };
    let value = strict::read(&bytes, strictness).map_err(|_| NoAnswer::Unreadable)?;
    Ok(LookedUp::Found(Arc::new(value)))
}

/// The whole body, if it isn't too long.
async fn body(headers: &HeaderMap, mut answer: Answer) -> Result<BytesMut, NoAnswer> {
    let announced = announced(headers).and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    if announced > ANSWER_MAX_BYTES {
        return Err(NoAnswer::TooLarge);
    }
    let mut whole = BytesMut::with_capacity(announced);
    while let Some(frame) = answer.frame().await {
        let Ok(data) = frame.map_err(no_answer)?.into_data() else { continue };
        if whole.len() + data.len() > ANSWER_MAX_BYTES {
            return Err(NoAnswer::TooLarge);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole)
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether the app says of itself that this is JSON, in UTF-8 and not packed.
fn is_plain_json(headers: &HeaderMap) -> bool {
    let mut kinds = headers.get_all(CONTENT_TYPE).iter();
    let (Some(kind), None) = (kinds.next(), kinds.next()) else { return false };
    let Ok(kind) = kind.to_str() else { return false };
    let mut parts = kind.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let is_json = essence == "application/json"
        || essence.strip_prefix("application/").is_some_and(|rest| rest.ends_with("+json"));
    let is_utf8 = parts.all(|part| match part.split_once('=') {
        Some((name, value)) if name.eq_ignore_ascii_case("charset") => {
            let value = value.trim_matches('"');
            value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("us-ascii")
        }
        _ => true,
    });
    let is_plain = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    is_json && is_utf8 && is_plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lines: &[(&'static str, &'static str)], expected: bool) {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        assert_eq!(is_plain_json(&headers), expected, "{lines:?}");
    }

    #[test]
    fn an_answer_says_that_it_is_json() {
        check(&[("content-type", "application/json")], true);
        check(&[("content-type", "Application/JSON; charset=UTF-8")], true);
        check(&[("content-type", "application/vnd.api+json;version=1")], true);
        check(&[("content-type", "application/json"), ("content-encoding", "identity")], true);
        for kind in
            ["text/html", "text/json", "application/jsonx", "application/json; charset=utf-16", "", "+json"]
        {
            check(&[("content-type", kind)], false);
        }
        check(&[], false);
        check(&[("content-type", "application/json"), ("content-encoding", "gzip")], false);
        check(&[("content-type", "application/json"), ("content-type", "text/html")], false);
    }
}
