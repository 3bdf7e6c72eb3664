//! Responses as they leave: an upstream's answer with our id on it, or a problem document (RFC 9457) of our own.

use std::fmt;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderValue, Method, Response, Version};
use serde::Serialize;

use super::body::Body;
use super::record::Recorder;
use super::taking::Taking;
use super::transform::Passing;
use crate::headers::REQUEST_ID;
use crate::outcome::Ending;
use crate::rejection::Rejection;
use crate::request::Malformed;

#[derive(Serialize)]
struct Problem<'p> {
    r#type: fmt::Arguments<'p>,
    title: &'p str,
    status: u16,
    detail: &'p str,
    request_id: &'p str,
    /// What Engine.IO calls it, where it is spoken.
    #[serde(flatten)]
    engine: Option<Engine>,
}

#[derive(Serialize)]
struct Engine {
    code: u8,
    message: String,
}

/// An upstream's answer, already cleaned.
pub(super) fn passed(
    response: Response<Passing>,
    mut recorder: Recorder,
    taking: Option<Taking>,
) -> Response<Body> {
    let (mut parts, passing) = response.into_parts();
    // The upstream's version says nothing about this side.
    parts.version = Version::default();
    parts.headers.insert(REQUEST_ID, recorder.request_id().clone());
    recorder.responded(parts.status);
    Response::from_parts(parts, Body::upstream(passing, recorder, taking))
}

/// A refusal.
pub(super) fn refused(
    rejection: &Rejection,
    mut recorder: Recorder,
    taking: Option<Taking>,
) -> Response<Body> {
    let status = rejection.status();
    written_down(rejection, &mut recorder);
    let problem = serde_json::to_vec(&Problem {
        r#type: format_args!("urn:gatewarden:{}", rejection.code()),
        title: status.canonical_reason().unwrap_or_default(),
        status: status.as_u16(),
        detail: &rejection.detail(),
        request_id: recorder.request_id_text(),
        engine: match rejection {
            Rejection::Socket(fault) => Some(Engine { code: fault.code(), message: fault.to_string() }),
            _ => None,
        },
    });
    let problem = Bytes::from(problem.unwrap_or_default());
    let is_head = recorder.method() == Some(&Method::HEAD);

    let mut response = Response::new(());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(problem.len()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REQUEST_ID, recorder.request_id().clone());
    if leaves_rest_unread(rejection) {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(challenge) = rejection.challenge().and_then(|text| HeaderValue::try_from(text.as_ref()).ok())
    {
        headers.insert(WWW_AUTHENTICATE, challenge);
    }
    if let Some(seconds) = rejection.retry_after_s() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Rejection::MethodNotAllowed { allow } = rejection {
        let methods: Vec<_> = allow.iter().map(Method::as_str).collect();
        if let Ok(methods) = HeaderValue::try_from(methods.join(", ")) {
            headers.insert(ALLOW, methods);
        }
    }
    let bytes = if is_head { Bytes::new() } else { problem };
    response.map(|()| Body::own(bytes, recorder, taking))
}

/// A refusal is recorded as what it is, however the caller is told.
pub(super) fn written_down(rejection: &Rejection, recorder: &mut Recorder) {
    match rejection {
        // Written down as one that left, which is what the recorder takes for granted until it is told otherwise.
        Rejection::ClientLeft => {}
        _ => {
            recorder.responded(rejection.status());
            recorder.ended(Ending::Own(rejection.reason()));
        }
    }
}

/// Whether it is unknown where the next request on this connection would begin.
fn leaves_rest_unread(rejection: &Rejection) -> bool {
    matches!(
        rejection,
        Rejection::Malformed(Malformed::Framing)
            | Rejection::BodyTooLarge
            | Rejection::ClientTooSlow
            | Rejection::ClientLeft
    )
}
