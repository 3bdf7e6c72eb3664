//! Permit + request → an upstream's answer. Without a permit there is no way in here.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version};
use http_body::Body as _;

use super::answering::Received;
use super::dialect::Dialect;
use super::record::Recorder;
use super::transform::{self, Passing};
use crate::authorize::{Permit, TokenHandling};
use crate::balance;
use crate::headers::{self, Origin};
use crate::lookup::Forgetting;
use crate::plumbing::{Calls, Limits};
use crate::rejection::Rejection;
use crate::request::Malformed;
use crate::upstream::{Answer, BodyFault, BodyLimits, Failure, Measure, Outgoing, Upstream};

/// A request on its way out.
pub(super) struct Outbound {
    pub(super) parts: Parts,
    pub(super) body: Received,
    pub(super) origin: Origin,
    pub(super) dialect: Dialect,
}

/// Sends the request to the upstream that the permit names, and hands on the answer.
pub(super) async fn forward(
    upstream: &Arc<Upstream>,
    limits: &Limits,
    mut permit: Permit,
    outbound: Outbound,
    recorder: &mut Recorder,
) -> Result<Response<Passing>, Rejection> {
    let Outbound { mut parts, body, origin, dialect } = outbound;
    let bounds = bounds(upstream, limits, dialect)?;
    let body = match body {
        Received::Unread(body) => Outgoing::new(body, bounds).map_err(Failure::Client).map_err(reject)?,
        Received::Read(bytes) if bytes.is_empty() => Outgoing::Empty,
        Received::Read(bytes) => Outgoing::Whole(bytes),
        Received::Gone => return Err(Rejection::Internal),
    };
    // hyper sends no body of unknown length for a method that seldom has one, unless it is told to.
    if !body.is_empty() && body.size_hint().exact().is_none() {
        parts.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let edits = permit.edits().cloned();
    let stale = permit.take_forgets();
    let tenant = tenant(upstream, &permit);
    make_ready(&mut parts, permit, origin, recorder)?;
    if edits.is_some() {
        transform::prepare(&mut parts.headers);
    }
    if dialect == Dialect::Grpc {
        parts.headers.insert(TE, HeaderValue::from_static("trailers"));
    }

    recorder.asked(upstream.name());
    let forgetting = (!stale.is_empty()).then(|| Forgetting::new(recorder.plane().lookups().clone(), stale));
    let response = upstream.send(Request::from_parts(parts, body), tenant).await.map_err(reject)?;
    if let Some(write) = forgetting {
        write.answered();
    }
    recorder.upstream_answered();
    let announced = match dialect {
        Dialect::Plain => None,
        Dialect::Trailers | Dialect::Grpc => headers::announced(response.headers()),
    };
    let mut response = clean(response)?;
    if let Some(edits) = edits {
        return transform::carry_out(response, &edits).await;
    }
    if let Some(names) = announced {
        response.headers_mut().insert(TRAILER, names);
    }
    Ok(response.map(Passing::AsItComes))
}

/// What bounds the request's body. After its first message a call may be silent for as long as it may last, and each of its
/// messages may be as long as another request's body: only where the operator says that there are calls, for that a request
/// is one is the caller's word.
fn bounds(upstream: &Upstream, limits: &Limits, dialect: Dialect) -> Result<BodyLimits, Rejection> {
    let (bytes, timeout) = (limits.body_bytes, limits.body_timeout);
    if dialect != Dialect::Grpc {
        return Ok(BodyLimits { bytes, timeout, measure: Measure::Whole });
    }
    match upstream.calls() {
        Calls::Refused => Err(Rejection::NoGrpc),
        Calls::Passed => {
            let silence = upstream.total_timeout();
            Ok(BodyLimits { bytes, timeout, measure: Measure::Messages { silence } })
        }
    }
}

/// Stands for the acting tenant where servers are chosen by it; none on a public operation.
pub(super) fn tenant(upstream: &Upstream, permit: &Permit) -> Option<u64> {
    let identity = permit.identity().filter(|_| upstream.balances_by_tenant())?;
    Some(balance::stable(identity.tenant.as_bytes()))
}

/// Makes a head what the upstream is to receive.
pub(super) fn make_ready(
    parts: &mut Parts,
    permit: Permit,
    origin: Origin,
    recorder: &Recorder,
) -> Result<(), Rejection> {
    parts.uri = target(&parts.uri, permit.target())?;
    dress(&mut parts.headers, permit, origin, recorder.request_id());
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    Ok(())
}

/// Makes an answer's head fit to be passed on.
pub(super) fn clean(mut response: Response<Answer>) -> Result<Response<Answer>, Rejection> {
    // Nobody asked to switch protocols, and there is no class of statuses from 600 up.
    let is_odd = response.status() == StatusCode::SWITCHING_PROTOCOLS || response.status().as_u16() >= 600;
    if is_odd || headers::clean_response(response.headers_mut()).is_err() {
        return Err(Rejection::UpstreamBroken);
    }
    Ok(response)
}

/// Says who is calling and for whom, over whatever the client said.
fn dress(headers: &mut HeaderMap, permit: Permit, origin: Origin, id: &HeaderValue) {
    if permit.authorization() == TokenHandling::Strip {
        headers.remove(AUTHORIZATION);
    }
    for name in permit.removed() {
        headers.remove(name);
    }
    origin.write(headers);
    headers.insert(headers::REQUEST_ID, id.clone());
    let (supplied, identity) = permit.into_told();
    for (name, value) in supplied {
        headers.insert(name, value);
    }
    if let Some(who) = identity {
        headers.insert(headers::SUBJECT, who.subject);
        headers.insert(headers::TENANT, who.tenant);
        headers.insert(headers::ROLES, who.roles);
        headers.insert(headers::PERMISSION, who.permission);
    }
}

/// The permit's target; the client's own bytes where nothing was cut off.
fn target(asked: &Uri, permitted: &str) -> Result<Uri, Rejection> {
    let target = match asked.path_and_query() {
        Some(asked) if asked.as_str() == permitted => asked.clone(),
        _ => PathAndQuery::from_maybe_shared(Bytes::copy_from_slice(permitted.as_bytes()))
            .map_err(|_| Rejection::Internal)?,
    };
    Ok(Uri::from(target))
}

pub(super) fn reject(failure: Failure) -> Rejection {
    match failure {
        Failure::Unreachable => Rejection::UpstreamUnreachable,
        Failure::Overloaded => Rejection::UpstreamOverloaded,
        Failure::Timeout => Rejection::UpstreamTimeout,
        Failure::Broken => Rejection::UpstreamBroken,
        Failure::Client(BodyFault::TooLarge) => Rejection::BodyTooLarge,
        Failure::Client(BodyFault::TooSlow) => Rejection::ClientTooSlow,
        Failure::Client(BodyFault::Left) => Rejection::ClientLeft,
        Failure::Client(BodyFault::Broken) => Rejection::Malformed(Malformed::Framing),
    }
}
