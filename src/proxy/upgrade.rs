//! Leaving HTTP behind: the opening of a WebSocket on both sides (RFC 6455 §4), each with a key of its own and without
//! extensions, and the plain tunnel for sockets whose opening alone is judged. A client of HTTP/2 opens one by an extended
//! CONNECT (RFC 8441), which is judged as the GET that it stands for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::ext::Protocol;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio_util::either::Either;

use super::connection::Client;
use super::forward::{Outbound, clean, make_ready, reject, tenant};
use super::patience::Watched;
use super::record::Recorder;
use super::socketio::{Ended, Place, Standing, supervise};
use super::tls::ClientIo;
use super::transform::Passing;
use crate::authorize::Permit;
use crate::headers;
use crate::rejection::Rejection;
use crate::snapshot::Snapshot;
use crate::socket::frame::{self, Boundary};
use crate::socket::handshake::{accept_key, is_key, key};
use crate::upstream::{Open, Outgoing, Pipe, Server, Switched, Upstream};

/// What both sides of an opening say.
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
/// The one version that there is.
const VERSION: HeaderValue = HeaderValue::from_static("13");
/// How long a client may take to be ready for what it asked for.
const SWITCH_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a tunnel that are on their way in one direction.
const TUNNEL_BYTES: usize = 2 * 1024;
/// How long a closing side is listened to.
const LINGER: Duration = Duration::from_secs(1);

/// A client's bytes once HTTP is left behind: its whole connection, or one stream of HTTP/2.
pub(super) type Left = Either<Watched<ClientIo>, TokioIo<Upgraded>>;
/// A client's stream that has left HTTP behind, and what was read of it already.
pub(super) type ClientStream = (Left, Bytes);

/// A client's wish to speak WebSocket, whose connection or stream can be had.
pub(super) struct Wish {
    way: Way,
    on: OnUpgrade,
}

/// How a client asks for a WebSocket.
enum Way {
    /// By HTTP/1.1, with a key to be answered.
    Key(HeaderValue),
    /// By a stream of HTTP/2.
    Stream,
}

/// Marks a request that came as an extended CONNECT.
#[derive(Clone, Copy)]
struct Extended;

/// Makes an extended CONNECT for a WebSocket the GET that opens one, and says whether it was one. Any other CONNECT stays
/// what it is, and is refused.
pub(super) fn is_extended<B>(request: &mut Request<B>) -> bool {
    if *request.method() != Method::CONNECT || request.version() != Version::HTTP_2 {
        return false;
    }
    let is_socket = request.extensions().get::<Protocol>().is_some_and(|own| own.as_str() == "websocket");
    let mut versions = request.headers().get_all(SEC_WEBSOCKET_VERSION).iter();
    if !is_socket || (versions.next(), versions.next()) != (Some(&VERSION), None) {
        return false;
    }
    *request.method_mut() = Method::GET;
    request.extensions_mut().insert(Extended);
    true
}

impl Wish {
    /// Takes the wish out of a request's head, before that is cleaned.
    pub(super) fn take(parts: &mut Parts) -> Option<Self> {
        if parts.extensions.get::<Extended>().is_some() {
            return Some(Self { way: Way::Stream, on: parts.extensions.remove::<OnUpgrade>()? });
        }
        if !parts.headers.contains_key(UPGRADE) {
            return None;
        }
        let on = parts.extensions.remove::<OnUpgrade>()?;
        let headers = &parts.headers;
        let one = |name| {
            let mut values = headers.get_all(name).iter();
            values.next().filter(|_| values.next().is_none())
        };
        let is_meant = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"websocket");
        let key = one(SEC_WEBSOCKET_KEY).filter(|key| is_key(key.as_bytes()))?;
        let fits = parts.method == Method::GET
            && parts.version == Version::HTTP_11
            && one(UPGRADE).is_some_and(is_meant)
            && one(SEC_WEBSOCKET_VERSION) == Some(&VERSION)
            && names_upgrade(headers);
        fits.then(|| Self { way: Way::Key(key.clone()), on })
    }

    /// Whether it is for a stream of HTTP/2, where any success is a yes.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self.way, Way::Stream)
    }

    /// The client's stream, once it was told that it may.
    pub(super) async fn granted(self) -> Option<ClientStream> {
        let upgraded = tokio::time::timeout(SWITCH_TIMEOUT, self.on).await.ok()?.ok()?;
        match upgraded.downcast::<TokioIo<Watched<ClientIo>>>() {
            Ok(parts) => Some((Either::Left(parts.io.into_inner()), parts.read_buf)),
            Err(stream) => Some((Either::Right(TokioIo::new(stream)), Bytes::new())),
        }
    }

    /// Tells the client that it may.
    pub(super) fn grant(&self, head: Response<()>) -> Response<Passing> {
        let mut response = head.map(|()| Passing::Whole(None));
        let Way::Key(key) = &self.way else {
            *response.status_mut() = StatusCode::OK;
            response.headers_mut().remove(SEC_WEBSOCKET_ACCEPT);
            response.extensions_mut().insert(Granted);
            return response;
        };
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, WEBSOCKET);
        if let Ok(accept) = HeaderValue::try_from(accept_key(key.as_bytes())) {
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
        response
    }
}

/// Marks the answer that grants a stream of HTTP/2.
#[derive(Clone, Copy)]
struct Granted;

/// Whether an answer to an extended CONNECT would be taken for a WebSocket that isn't one: any success opens it, also that
/// of a path where there is no socket, or of an application that sends a page.
pub(super) fn is_misleading<B>(response: &Response<B>) -> bool {
    response.status().is_success() && response.extensions().get::<Granted>().is_none()
}

/// Whether `Connection` has the option `upgrade`.
fn names_upgrade(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(CONNECTION).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|option| option.trim().eq_ignore_ascii_case("upgrade"))
}

/// What is asked of this module and of `socketio`.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) client: &'a Arc<Client>,
    pub(super) snapshot: &'a Arc<Snapshot>,
    pub(super) upstream: &'a Arc<Upstream>,
}

/// What an application said to a WebSocket's opening.
pub(super) enum Opened {
    Yes(Box<Open>),
    /// Its own answer, such as a refusal.
    No(Box<Response<Passing>>),
}

/// Opens a WebSocket to the upstream, or to `only` this server of it.
pub(super) async fn open(
    asking: Asking<'_>,
    only: Option<&Arc<Server>>,
    permit: Permit,
    outbound: Outbound,
    recorder: &mut Recorder,
) -> Result<Opened, Rejection> {
    let Outbound { mut parts, origin, .. } = outbound;
    let tenant = tenant(asking.upstream, &permit);
    make_ready(&mut parts, permit, origin, recorder)?;
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| Rejection::Internal)?;
    let key = HeaderValue::try_from(key(random)).map_err(|_| Rejection::Internal)?;
    let accept = accept_key(key.as_bytes());
    parts.headers.remove(SEC_WEBSOCKET_EXTENSIONS);
    parts.headers.insert(SEC_WEBSOCKET_KEY, key);
    parts.headers.insert(SEC_WEBSOCKET_VERSION, VERSION);
    parts.headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    parts.headers.insert(UPGRADE, WEBSOCKET);

    let upstream = asking.upstream;
    recorder.asked(upstream.name());
    let request = Request::from_parts(parts, Outgoing::Empty);
    let switched = upstream.switch(only, tenant, request).await.map_err(reject)?;
    recorder.upstream_answered();
    match switched {
        Switched::Yes(mut open) => {
            let headers = open.response.headers_mut();
            let is_sound = headers.get(SEC_WEBSOCKET_ACCEPT).is_some_and(|own| *own == accept)
                && headers.get(UPGRADE).is_some_and(|own| own.as_bytes().eq_ignore_ascii_case(b"websocket"))
                && !headers.contains_key(SEC_WEBSOCKET_EXTENSIONS);
            if !is_sound || headers::clean_response(headers).is_err() {
                return Err(Rejection::UpstreamBroken);
            }
            Ok(Opened::Yes(open))
        }
        Switched::No(response) => Ok(Opened::No(Box::new(clean(*response)?.map(Passing::AsItComes)))),
    }
}

/// Opens a WebSocket and carries its bytes both ways, unread.
pub(super) async fn tunnel(
    asking: Asking<'_>,
    wish: Wish,
    permit: Permit,
    outbound: Outbound,
    recorder: &mut Recorder,
) -> Result<Response<Passing>, Rejection> {
    // No file says so; what is unread can't be edited.
    if permit.edits().is_some() {
        return Err(Rejection::AnswerWithheld);
    }
    let standing = Standing::new(&outbound, None, recorder)?;
    let place = Place::take(asking, standing.app(), outbound.origin.client)?;
    let open = match open(asking, None, permit, outbound, recorder).await? {
        Opened::Yes(open) => open,
        // It would open what isn't there.
        Opened::No(answer) if wish.is_stream() && answer.status().is_success() => {
            return Err(Rejection::UpstreamBroken);
        }
        Opened::No(answer) => return Ok(*answer),
    };
    let Open { response, pipe, read, .. } = *open;
    let reply = wish.grant(response);
    let client = asking.client.clone();
    tokio::spawn(async move {
        if let Some(stream) = wish.granted().await {
            carry(client, standing, stream, (pipe, read)).await;
        }
        drop(place);
    });
    Ok(reply)
}

async fn carry(
    client: Arc<Client>,
    standing: Standing,
    (near, near_read): ClientStream,
    (far, far_read): (Pipe, Bytes),
) {
    let (near_in, mut near_out) = tokio::io::split(near);
    let (far_in, mut far_out) = tokio::io::split(far);
    let mut boundary = Boundary::default();
    let idle = client.plane.load().gateway.limits.idle_timeout;
    let end = {
        let mut nowhere = Boundary::default();
        tokio::select! {
            biased;
            end = supervise(&client, &standing) => Some(end),
            () = pump(near_in, near_read, &mut far_out, &mut nowhere, idle) => None,
            () = pump(far_in, far_read, &mut near_out, &mut boundary, idle) => None,
        }
    };
    let _ = tokio::time::timeout(LINGER, async {
        // Between two frames of the server's one more can be said. In the middle of one, nothing can.
        if let Some(Ended { code, reason }) = end.filter(|_| boundary.is_between()) {
            let _ = near_out.write_all(&frame::close(code, reason)).await;
        }
        let _ = tokio::join!(near_out.shutdown(), far_out.shutdown());
    })
    .await;
}

/// Carries one direction to its end, or until its taker took nothing for `idle`. The boundary is told of every byte that was written, at once: this may be ended at
/// any time.
async fn pump<R, W>(
    mut from: ReadHalf<R>,
    read: Bytes,
    to: &mut WriteHalf<W>,
    boundary: &mut Boundary,
    idle: Duration,
) where
    R: tokio::io::AsyncRead,
    W: tokio::io::AsyncWrite,
{
    if !pass(&read, to, boundary, idle).await {
        return;
    }
    // It holds on to the whole buffer that it was read into.
    drop(read);
    let mut buffer = [0; TUNNEL_BYTES];
    loop {
        let Ok(length @ 1..) = from.read(&mut buffer).await else { return };
        if !pass(buffer.get(..length).unwrap_or_default(), to, boundary, idle).await {
            return;
        }
    }
}

/// Writes it all, or as much as can be.
async fn pass<W: tokio::io::AsyncWrite>(
    mut piece: &[u8],
    to: &mut WriteHalf<W>,
    boundary: &mut Boundary,
    idle: Duration,
) -> bool {
    while !piece.is_empty() {
        let Ok(Ok(length @ 1..)) = tokio::time::timeout(idle, to.write(piece)).await else { return false };
        let (written, rest) = piece.split_at_checked(length).unwrap_or((piece, &[]));
        boundary.passed(written);
        piece = rest;
    }
    true
}
