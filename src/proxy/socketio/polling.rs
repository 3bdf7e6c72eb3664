//! Long polling: packets of the client as bodies of requests, the application's as bodies of answers.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::response;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};

use super::gate::{End, Verdict};
use super::session::{CLOSE, News, Session, Waiting};
use super::sockets::Place;
use super::standing::Standing;
use super::watch::{Ended, supervise};
use crate::authorize::{Opening, Permit};
use crate::headers::Origin;
use crate::proxy::answering::Received;
use crate::proxy::forward::{Outbound, clean, make_ready, reject, tenant};
use crate::proxy::record::Recorder;
use crate::proxy::transform::Passing;
use crate::proxy::upgrade::Asking;
use crate::rejection::Rejection;
use crate::request::Malformed;
use crate::socket::engine::{self, Open, Packet};
use crate::socket::handshake::Fault;
use crate::upstream::{Answer, BodyLimits, Failure, Measure, Outgoing};

/// What a server answers to a body of packets.
const OK: &str = "ok";
/// The Engine.IO packet that says nothing.
const NOOP: &str = "6";
/// Longest answer that is read here, before anyone knows who the client is.
const OPENING_MAX_BYTES: usize = 64 * 1024;

/// `GET` without a session: one begins.
pub(super) async fn begin(
    asking: Asking<'_>,
    opening: &Opening,
    permit: Permit,
    outbound: Outbound,
    recorder: &mut Recorder,
) -> Result<Response<Passing>, Rejection> {
    let standing = Standing::new(&outbound, Some(opening), recorder)?;
    let place = Place::take(asking, standing.app(), outbound.origin.client)?;
    let tenant = tenant(asking.upstream, &permit);
    let request = ready(permit, (outbound.parts, outbound.origin), Outgoing::Empty, recorder)?;
    recorder.asked(asking.upstream.name());
    let (response, server) = asking.upstream.send_and_tell(request, tenant).await.map_err(reject)?;
    recorder.upstream_answered();
    let response = clean(response)?;
    if response.status() != StatusCode::OK {
        return Ok(response.map(Passing::AsItComes));
    }
    let (parts, text) = read(response).await?;
    let Some(Packet::Open(open)) = engine::split(&text).next().and_then(Packet::read) else {
        return Err(Rejection::UpstreamBroken);
    };
    let open = Open::read(open).ok_or(Rejection::UpstreamBroken)?;
    let session = Arc::new(Session::new(&open, standing, (&asking, server), &parts.headers, place));
    if !asking.client.plane.sockets.keep(&session) {
        return Err(Rejection::UpstreamBroken);
    }
    Ok(Response::from_parts(parts, shown(&session, text)))
}

/// `GET` in a session: the client waits for what there is.
pub(super) async fn take(
    asking: Asking<'_>,
    session: &Arc<Session>,
    permit: Permit,
    outbound: Outbound,
    recorder: &mut Recorder,
) -> Result<Response<Passing>, Rejection> {
    let mut taking = session.begin_taking().ok_or(Fault::Request)?;
    recorder.asked(asking.upstream.name());
    if session.wants_asking() {
        ask(asking, session, ready(permit, (outbound.parts, outbound.origin), Outgoing::Empty, recorder)?);
    }
    let mut over = Box::pin(supervise(asking.client, &session.standing));
    let news = loop {
        if let Some(news) = session.news() {
            break news;
        }
        tokio::select! {
            biased;
            ended = &mut over => {
                asking.client.plane.sockets.forget(session);
                match ended {
                    Ended::DRAINING => break News::Own(CLOSE.to_owned()),
                    ended => return Err(ended.rejection()),
                }
            }
            () = session.news.notified() => {}
        }
    };
    taking.is_answered = true;
    match news {
        News::Own(payload) => {
            if session.has_ended() {
                asking.client.plane.sockets.forget(session);
            }
            Ok(session.respond(payload))
        }
        News::Upstream(answer) => {
            let response = (*answer)?;
            recorder.upstream_answered();
            session.standing.heard();
            if response.status() != StatusCode::OK {
                asking.client.plane.sockets.forget(session);
                return Ok(response.map(Passing::AsItComes));
            }
            if session.standing.caller().is_some() {
                return Ok(response.map(Passing::AsItComes));
            }
            let (parts, text) = read(response).await?;
            Ok(Response::from_parts(parts, shown(session, text)))
        }
    }
}

/// Asks the application for what there is. It is asked once at a time, and not asked again because the client was
/// answered by the gateway: it takes a request that breaks off for the end of the session.
fn ask(asking: Asking<'_>, session: &Arc<Session>, request: Request<Outgoing>) {
    let upstream = asking.upstream.clone();
    let waiting = session.clone();
    let task = tokio::spawn(async move {
        let sent = upstream.send_to(&waiting.server, waiting.patience, request).await;
        waiting.answered(sent.map_err(reject).and_then(clean));
    });
    session.asked(Waiting(task));
}

/// `POST` in a session: packets of the client.
pub(super) async fn give(
    asking: Asking<'_>,
    session: &Arc<Session>,
    permit: Permit,
    outbound: Outbound,
    recorder: &mut Recorder,
) -> Result<Response<Passing>, Rejection> {
    let limits = &asking.snapshot.gateway.limits;
    let Outbound { mut parts, body, origin, .. } = outbound;
    let mut held = session.gate().ok_or(Fault::Request)?;
    // What is packed, or in another alphabet, could be read otherwise by the application.
    if parts.headers.contains_key(CONTENT_ENCODING) {
        return Err(Fault::Request.into());
    }
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain;charset=UTF-8"));
    let bytes = u64::try_from(limits.socket_message_bytes).unwrap_or(u64::MAX);
    let bounds = BodyLimits { bytes, timeout: limits.body_timeout, measure: Measure::Whole };
    let body = match body {
        Received::Unread(body) => {
            Outgoing::collect(body, bounds).await.map_err(Failure::Client).map_err(reject)?
        }
        Received::Read(bytes) => bytes,
        Received::Gone => return Err(Rejection::Internal),
    };
    let text = std::str::from_utf8(&body).map_err(|_| Rejection::Malformed(Malformed::Framing))?;

    let Some(gate) = held.gate.as_mut() else { return Err(Rejection::Internal) };
    let plane = &asking.client.plane;
    let mut kept = String::with_capacity(text.len());
    for packet in engine::split(text) {
        let reply = match gate.text(plane, &session.standing, packet).await {
            Ok(Verdict::Pass) => {
                engine::append(&mut kept, packet);
                None
            }
            Ok(Verdict::Replace(packet)) => {
                engine::append(&mut kept, &packet);
                None
            }
            Ok(Verdict::Drop(reply)) => reply,
            Ok(Verdict::Undeclared(_)) => return Err(Fault::Request.into()),
            Err(End { reply, ended }) => return finish(asking, session, reply, ended),
        };
        if reply.is_some_and(|reply| !session.tell(&reply)) {
            return finish(asking, session, None, Ended::TOO_MANY);
        }
    }
    if kept.is_empty() {
        return Ok(session.respond(OK.to_owned()));
    }
    let is_close = kept.ends_with(CLOSE) && engine::split(&kept).last() == Some(CLOSE);
    let request = ready(permit, (parts, origin), Outgoing::Whole(kept.into()), recorder)?;
    recorder.asked(asking.upstream.name());
    let sent = asking.upstream.send_to(&session.server, session.patience, request).await;
    recorder.upstream_answered();
    let response = sent.map_err(reject).and_then(clean)?;
    if is_close || response.status() != StatusCode::OK {
        plane.sockets.forget(session);
    }
    Ok(response.map(Passing::AsItComes))
}

/// The session ends by the gateway. Where the client is told why, that and the end are the next thing that it takes.
fn finish(
    asking: Asking<'_>,
    session: &Arc<Session>,
    reply: Option<String>,
    ended: Ended,
) -> Result<Response<Passing>, Rejection> {
    match reply {
        Some(reply) => {
            session.tell(&reply);
            session.end();
            Ok(session.respond(OK.to_owned()))
        }
        None => {
            asking.client.plane.sockets.forget(session);
            Err(ended.rejection())
        }
    }
}

fn ready(
    permit: Permit,
    (mut parts, origin): (Parts, Origin),
    body: Outgoing,
    recorder: &Recorder,
) -> Result<Request<Outgoing>, Rejection> {
    make_ready(&mut parts, permit, origin, recorder)?;
    Ok(Request::from_parts(parts, body))
}

/// Reads a short answer whole.
async fn read(response: Response<Answer>) -> Result<(response::Parts, String), Rejection> {
    let (mut parts, body) = response.into_parts();
    let body = Limited::new(body, OPENING_MAX_BYTES).collect().await;
    let body = body.map_err(|_| Rejection::UpstreamBroken)?.to_bytes();
    parts.headers.remove(CONTENT_LENGTH);
    Ok((parts, String::from_utf8(body.into()).map_err(|_| Rejection::UpstreamBroken)?))
}

/// What a client may see of an answer: all of it, once it is known who it is.
fn shown(session: &Session, text: String) -> Passing {
    if session.standing.caller().is_some() {
        return Passing::Whole(Some(text.into()));
    }
    let mut payload = String::new();
    for packet in engine::split(&text).filter(|packet| is_for_anyone(packet)) {
        engine::append(&mut payload, packet);
    }
    let payload = if payload.is_empty() { Bytes::from_static(NOOP.as_bytes()) } else { payload.into() };
    Passing::Whole(Some(payload))
}

/// Whether a packet of the application's says nothing but that there is a session.
pub(super) fn is_for_anyone(packet: &str) -> bool {
    use Packet::{Close, Noop, Open, Ping};
    matches!(Packet::read(packet), Some(Open(_) | Ping(_) | Close | Noop))
}
