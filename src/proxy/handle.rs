//! A request's life, from its head to the response's head. [`handle`] always ends in a response with the record on
//! board; [`serve`] may fail at any step.

use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use http::{HeaderName, HeaderValue, Request, Response};
use hyper::body::Incoming;

use super::answering::{Answering, Instead, Readable, Received, now};
use super::body::Body;
use super::connection::Client;
use super::crossing::{self, Crossing};
use super::dialect::{Dialect, refused_call};
use super::forward::{Outbound, forward};
use super::record::Recorder;
use super::socketio::Visit;
use super::taking::Taking;
use super::transform::Passing;
use super::upgrade::{Asking, Wish};
use super::{inbound, respond, socketio, upgrade};
use crate::authorize::{Upgrade, authorize, instead};
use crate::rejection::Rejection;
use crate::request::{CanonicalPath, Credential, Query, RequestView, read_host};
use crate::snapshot::Snapshot;
use crate::token::DevTokens;

/// What a gateway that takes development tokens says with every answer.
const MODE: HeaderName = HeaderName::from_static("x-gatewarden-mode");

/// Answers one request, whatever happens.
pub(super) async fn handle(
    client: Arc<Client>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let (snapshot, mark) = client.plane.load_marked();
    let revision = snapshot.revision;
    let slot = client.plane.enter(snapshot.gateway.limits.requests);
    let mut recorder = Recorder::new(slot, request.method());
    recorder.judged_by(revision);
    recorder.marked(mark);
    let dev_tokens = snapshot.verifier.dev_tokens();
    let crossing = Crossing::of(&snapshot, &request);
    let dialect = Dialect::of(&request);
    let result = unwinding(pin!(serve(&client, snapshot, (request, dialect), &mut recorder))).await;
    if result.is_err() {
        recorder.keep_refusal();
    }
    let taking = client.waiting.as_ref().map(|waiting| Taking::new(waiting.clone()));
    // What pages may do is said by the live rules, by whose numbers a candidate's operation would be another one.
    let is_theirs = crossing.is_some() && recorder.revision() == revision;
    let judged = recorder.evidence().judged.as_ref().filter(|_| is_theirs).map(|own| own.operation);
    let mut response = match result {
        Ok(response) => respond::passed(response, recorder, taking),
        Err(rejection) if dialect == Dialect::Grpc => refused_call(&rejection, recorder, taking),
        Err(rejection) => respond::refused(&rejection, recorder, taking),
    };
    if let Some(crossing) = crossing {
        crossing.mark(judged, response.headers_mut());
    }
    if dev_tokens == DevTokens::Accepted {
        response.headers_mut().insert(MODE, HeaderValue::from_static("dev"));
    }
    Ok(response)
}

/// A fault of ours ends one request, not its neighbours on the connection.
async fn unwinding<T>(
    mut work: Pin<&mut impl Future<Output = Result<T, Rejection>>>,
) -> Result<T, Rejection> {
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx)));
        polled.unwrap_or(Poll::Ready(Err(Rejection::Internal)))
    })
    .await
}

async fn serve(
    client: &Arc<Client>,
    snapshot: Arc<Snapshot>,
    (request, dialect): (Request<Incoming>, Dialect),
    recorder: &mut Recorder,
) -> Result<Response<Passing>, Rejection> {
    if recorder.is_over_capacity() {
        return Err(Rejection::Overloaded);
    }
    let upstreams = client.plane.upstreams(&snapshot);
    let (mut parts, body) = request.into_parts();
    let wish = Wish::take(&mut parts);
    let origin = inbound::receive(&mut parts, client, &snapshot)?;
    let mut body = Received::Unread(body);
    let permit = {
        let host = read_host(parts.version, &parts.uri, &parts.headers)?;
        let view = RequestView {
            method: &parts.method,
            host: &host,
            path: &CanonicalPath::parse(parts.uri.path())?,
            query: Query::parse(parts.uri.query().unwrap_or_default())?,
            headers: &parts.headers,
            client: origin.client,
            certificate: origin.certificate.as_deref(),
        };
        if let Some(answer) = crossing::beforehand(&snapshot, &view, recorder) {
            return Ok(answer);
        }
        let credential = Credential::read(view.headers)?;
        let ruling = authorize(&snapshot, &view, credential, now());
        let answering = Answering { plane: &client.plane, upstreams: &upstreams, snapshot: &snapshot };
        let readable = Readable { parts: &parts, limits: &snapshot.gateway.limits, body: &mut body };
        let other: Instead<'_> = &|rules, caller, body| instead(rules, &view, caller, body, now());
        let settled = answering.settle(ruling, &view, Some(readable), other).await;
        recorder.compared((&snapshot, &view), None, &settled);
        let kept = recorder.keep(&snapshot, (&view, None), &settled);
        recorder.decided(settled.evidence);
        let permit = settled.ruled?;
        kept?;
        permit
    };
    let upstream = upstreams.get(permit.upstream()).ok_or(Rejection::Internal)?;
    let outbound = Outbound { parts, body, origin, dialect };
    let asking = Asking { client, snapshot: &snapshot, upstream };
    // What is no plain request is seldom and large: boxed, so that not every request is moved about with room for it.
    match (permit.upgrade().clone(), wish) {
        (Upgrade::SocketIo(opening), wish) => {
            let visit = Visit { wish, opening, permit, outbound };
            Box::pin(socketio::serve(asking, visit, recorder)).await
        }
        (Upgrade::WebSocket, Some(wish)) => {
            Box::pin(upgrade::tunnel(asking, wish, permit, outbound, recorder)).await
        }
        // A page is no answer to an extended CONNECT.
        (Upgrade::None, Some(wish)) if wish.is_stream() => Err(Rejection::NoRoute),
        (Upgrade::WebSocket | Upgrade::None, _) => {
            forward(upstream, &snapshot.gateway.limits, permit, outbound, recorder).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_ends_the_request_with_a_refusal() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let faulty = async {
            tokio::task::yield_now().await;
            panic!("a fault");
        };
        let result: Result<(), Rejection> = runtime.block_on(async { unwinding(pin!(faulty)).await });
        assert_eq!(result, Err(Rejection::Internal));
        let sound = async { Ok::<_, Rejection>(7) };
        assert_eq!(runtime.block_on(async { unwinding(pin!(sound)).await }), Ok(7));
    }
}
