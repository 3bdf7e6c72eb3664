//! Socket.IO behind the gateway: sessions over Engine.IO 4, by long polling or over a WebSocket, in which every event of
//! the client is judged like a request.
//!
//! `serve` tells what a request is about. `polling` answers requests of sessions, `bridge` carries frames; both show
//! each of the client's packets to the session's `gate`, which alone lets through. `standing` is who opened a socket and
//! how, and judges by the rules of now; `sockets` bounds and finds what is open, `watch` ends it when its time is over.

mod bridge;
mod gate;
mod polling;
mod session;
mod sockets;
mod standing;
mod watch;

use std::sync::Arc;

use http::header::ACCEPT_ENCODING;
use http::{HeaderValue, Method, Response};

use self::bridge::Mode;
use self::gate::Gate;
use self::session::Session;
pub(super) use self::sockets::{Place, Sockets};
pub(super) use self::standing::Standing;
pub(super) use self::watch::{Ended, supervise};
use super::forward::Outbound;
use super::record::Recorder;
use super::transform::Passing;
use super::upgrade::{self, Asking, Opened, Wish};
use crate::authorize::{Opening, Permit};
use crate::rejection::Rejection;
use crate::request::Query;
use crate::socket::handshake::{Fault, Handshake, Transport};
use crate::upstream::Open;

/// A permitted request on a Socket.IO path.
pub(super) struct Visit {
    pub(super) wish: Option<Wish>,
    pub(super) opening: Arc<Opening>,
    pub(super) permit: Permit,
    pub(super) outbound: Outbound,
}

/// Answers a request on a Socket.IO path.
pub(super) async fn serve(
    asking: Asking<'_>,
    visit: Visit,
    recorder: &mut Recorder,
) -> Result<Response<Passing>, Rejection> {
    let Visit { wish, opening, permit, mut outbound } = visit;
    let query = outbound.parts.uri.query().unwrap_or_default().to_owned();
    let asked = Handshake::read(Query::parse(&query)?)?;
    let session = match &asked.sid {
        Some(sid) => Some(session::find(asking, sid, recorder).await?),
        None => None,
    };
    // What is packed can't be read, and what is made here isn't packed.
    outbound.parts.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let method = outbound.parts.method.clone();
    match (asked.transport, session) {
        (Transport::WebSocket, session) => {
            let wish = wish.ok_or(Fault::Request)?;
            socket(asking, wish, (opening, session), (permit, outbound), recorder).await
        }
        (Transport::Polling, None) if method == Method::GET => {
            polling::begin(asking, &opening, permit, outbound, recorder).await
        }
        (Transport::Polling, None) => Err(Fault::Method.into()),
        (Transport::Polling, Some(session)) if method == Method::GET => {
            polling::take(asking, &session, permit, outbound, recorder).await
        }
        (Transport::Polling, Some(session)) if method == Method::POST => {
            polling::give(asking, &session, permit, outbound, recorder).await
        }
        (Transport::Polling, Some(_)) => Err(Fault::Request.into()),
    }
}

/// Opens a WebSocket for a new session, or for one that has polled so far.
async fn socket(
    asking: Asking<'_>,
    wish: Wish,
    (opening, session): (Arc<Opening>, Option<Arc<Session>>),
    (permit, outbound): (Permit, Outbound),
    recorder: &mut Recorder,
) -> Result<Response<Passing>, Rejection> {
    let (mode, gate, only) = match session {
        Some(session) => {
            let server = session.server.clone();
            (Mode::Polled(session), None, Some(server))
        }
        None => {
            let standing = Box::new(Standing::new(&outbound, Some(&opening), recorder)?);
            let place = Place::take(asking, standing.app(), outbound.origin.client)?;
            let gate = Box::new(Gate::new(asking.snapshot));
            (Mode::New { standing, _place: place }, Some(gate), None)
        }
    };
    let open = match upgrade::open(asking, only.as_ref(), permit, outbound, recorder).await? {
        Opened::Yes(open) => open,
        Opened::No(answer) => return Ok(*answer),
    };
    let Open { response, pipe, read, .. } = *open;
    let reply = wish.grant(response);
    let bridge = bridge::Bridge {
        client: asking.client.clone(),
        limits: asking.snapshot.gateway.limits.clone(),
        wish,
        far: (pipe, read),
        mode,
        gate,
    };
    tokio::spawn(bridge.run());
    Ok(reply)
}
