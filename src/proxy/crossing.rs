//! Requests of pages from other origins, where an app's file says what such pages may do: a browser that asks beforehand
//! is answered here, and every answer of an operation says who may read it, refusals included.

use std::sync::Arc;

use http::header::ORIGIN;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

use super::record::Recorder;
use super::transform::Passing;
use crate::authorize::{Evidence, Preflight};
use crate::headers::cors;
use crate::request::{CanonicalPath, RequestView, read_host};
use crate::route::{Match, Verb};
use crate::snapshot::{OperationRef, Snapshot};

/// A request whose answer says which pages may read it.
#[derive(Debug)]
pub(super) struct Crossing {
    snapshot: Arc<Snapshot>,
    origin: Option<HeaderValue>,
    /// Where it leads, for an answer that comes before it is judged.
    at: Option<OperationRef>,
}

impl Crossing {
    /// Nothing, unless some app says what pages may do.
    pub(super) fn of<B>(snapshot: &Arc<Snapshot>, request: &Request<B>) -> Option<Self> {
        if snapshot.cross_origin.is_empty() {
            return None;
        }
        let mut named = request.headers().get_all(ORIGIN).iter();
        let origin = named.next().filter(|_| named.next().is_none()).cloned();
        let at = origin.as_ref().and_then(|_| leads_to(snapshot, request));
        Some(Self { snapshot: snapshot.clone(), origin, at })
    }

    /// Says in the answer who may read it, by the app that judged it. An app that answers `OPTIONS` itself speaks for
    /// itself there.
    pub(super) fn mark(&self, judged: Option<OperationRef>, headers: &mut HeaderMap) {
        let found = judged.or(self.at).and_then(|at| self.snapshot.operation(at));
        let Some((app, operation)) = found else { return };
        if let Some(own) = app.cors.as_ref().filter(|_| operation.verb != Verb::Options) {
            cors::mark(headers, own, self.origin.as_ref());
        }
    }
}

/// The first operation that a request could be for.
fn leads_to<B>(snapshot: &Snapshot, request: &Request<B>) -> Option<OperationRef> {
    let host = read_host(request.version(), request.uri(), request.headers()).ok()?;
    let path = CanonicalPath::parse(request.uri().path()).ok()?;
    match snapshot.routes.find(&host, &path, Verb::of(request.method())) {
        Match::Operations(claims) => claims.first().copied(),
        Match::OtherMethods(_) | Match::Nothing => None,
    }
}

/// Answers a browser that asks beforehand, if that is what the request is and its page may know.
pub(super) fn beforehand(
    snapshot: &Snapshot,
    request: &RequestView<'_>,
    recorder: &mut Recorder,
) -> Option<Response<Passing>> {
    if *request.method != Method::OPTIONS {
        return None;
    }
    let asked = Preflight::read(snapshot, request)?;
    recorder.plane().metrics().preflight(asked.app(), asked.result());
    let Preflight::Allowed { app, route, cors, origin, methods } = asked else { return None };
    recorder.decided(Evidence { app: Some(app), route: Some(route), ..Evidence::default() });
    let mut response = Response::new(Passing::Whole(None));
    *response.status_mut() = StatusCode::NO_CONTENT;
    *response.headers_mut() = cors::told_beforehand(&cors, origin, &methods);
    Some(response)
}
