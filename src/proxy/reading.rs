//! A request's body that a rule reads: taken whole before the decision, and then forwarded byte for byte.

use bytes::Bytes;
use http::request::Parts;
use hyper::body::{Body as _, Incoming};
use serde_json::Value;

use super::forward::reject;
use crate::json::strict::{self, Strictness};
use crate::json::{Media, media};
use crate::plumbing::Limits;
use crate::rejection::Rejection;
use crate::request::Malformed;
use crate::upstream::{BodyLimits, Failure, Measure, Outgoing};

/// Reads a body to its end: its bytes, and what they say. No body says `null`, in which no fact is found. A body in
/// which an application could find something else than a rule does is refused: what isn't JSON, what JSON readers
/// understand differently, and steps to be done to another document.
pub(super) async fn json(
    parts: &Parts,
    body: Incoming,
    limits: &Limits,
) -> Result<(Bytes, Value), Rejection> {
    if body.is_end_stream() {
        return Ok((Bytes::new(), Value::Null));
    }
    if media(&parts.headers) != Some(Media::Document) {
        return Err(Rejection::UnsupportedBody);
    }
    let bytes = limits.rule_body_bytes.min(limits.body_bytes);
    let bounds = BodyLimits { bytes, timeout: limits.body_timeout, measure: Measure::Whole };
    let bytes = Outgoing::collect(body, bounds).await.map_err(Failure::Client).map_err(reject)?;
    if bytes.is_empty() {
        return Ok((bytes, Value::Null));
    }
    match strict::read(&bytes, Strictness::BODY) {
        // To an application that merges it in (RFC 7396), it says that everything is to go; here, that there is nothing.
        Ok(Value::Null) | Err(_) => Err(Malformed::Body.into()),
        Ok(value) => Ok((bytes, value)),
    }
}
