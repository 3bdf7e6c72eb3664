//! HTTP on one accepted connection: which version it speaks, how long it may take, and how it ends.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::either::Either;

use super::body::Body;
use super::ending;
use super::handle::handle;
use super::patience::{Clock, Times, watch};
use super::plane::{Plane, Seat};
use super::preamble::{self, Said};
use super::server::Phase;
use super::taking::Waiting;
use super::tls::{self, Spoken};
use super::upgrade;
use crate::headers::Peer;
use crate::plumbing::Limits;
use crate::telemetry::Limit;

/// What a client that speaks HTTP/2 without asking first begins with (RFC 9113 §3.4).
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Header lines that hyper takes without allocating for them.
const HEADERS_FREE: usize = 100;
/// Smallest read buffer that hyper takes.
const BUFFER_MIN: usize = 8 * 1024;
/// Largest read buffer, for request bodies.
const BUFFER_MAX: usize = 64 * 1024;
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
const PENDING_RESETS: usize = 20;
const LOCAL_RESETS: usize = 1024;

/// One client connection, as its requests see it.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) plane: Arc<Plane>,
    pub(super) peer: Peer,
    pub(super) scheme: &'static str,
    /// The answers that wait for the client, on HTTP/2.
    pub(super) waiting: Option<Arc<Waiting>>,
    /// Whether the gateway drains. A socket lives on when its connection has left HTTP behind, and watches for itself.
    pub(super) phase: watch::Receiver<Phase>,
    served: AtomicU64,
    _seat: Seat,
    /// Held as long as the connection is open, whatever is spoken on it.
    _open: mpsc::Sender<()>,
}

/// A connection that was let in.
pub(super) struct Arrival {
    pub(super) stream: TcpStream,
    pub(super) opening: Opening,
    /// What it is presented, where TLS is spoken.
    pub(super) tls: Option<Arc<ServerConfig>>,
    pub(super) plane: Arc<Plane>,
    pub(super) peer: Peer,
    pub(super) seat: Seat,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) open: mpsc::Sender<()>,
}

/// What a connection begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// The caller's own bytes.
    Direct,
    /// A balancer's word about who the caller is.
    Proxied,
}

/// Reads who is behind a balancer, and counts the connection as that one's.
async fn introduced(mut arrival: Arrival, limits: &Limits) -> Option<Arrival> {
    let metrics = arrival.plane.metrics();
    match timeout(limits.head_timeout, preamble::read(&mut arrival.stream)).await {
        Ok(Ok(Said::Socket)) => Some(arrival),
        Ok(Ok(Said::Client(address))) => {
            arrival.peer = Peer::new(address);
            arrival.seat.becomes(&arrival.peer).then_some(arrival)
        }
        Ok(Err(_)) => {
            metrics.proxy_protocol_refused();
            None
        }
        Err(_) => {
            metrics.limit_hit(Limit::HeadTimeout);
            metrics.proxy_protocol_refused();
            None
        }
    }
}

/// Serves a connection to its end.
pub(super) async fn serve(arrival: Arrival, limits: &Limits) {
    let arrival = match arrival.opening {
        Opening::Direct => Some(arrival),
        Opening::Proxied => Box::pin(introduced(arrival, limits)).await,
    };
    let Some(arrival) = arrival else { return };
    let Arrival { stream, tls, plane, peer, seat, phase, open, .. } = arrival;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let spoken = match tls {
        None => in_the_clear(stream, &plane, limits, phase.clone()).await,
        // Boxed: it is large, and soon over.
        Some(config) => Box::pin(tls::shake(&plane, stream, config, limits)).await,
    };
    let Some(Spoken { io, protocol, certificate }) = spoken else { return };
    let waiting = matches!(protocol, Protocol::Http2).then(Arc::<Waiting>::default);
    let served = AtomicU64::new(0);
    let client = Arc::new(Client {
        plane,
        peer: peer.presenting(certificate),
        scheme,
        waiting: waiting.clone(),
        phase: phase.clone(),
        served,
        _seat: seat,
        _open: open,
    });
    let counted = client.clone();
    let most = limits.requests_per_connection;
    let service = service_fn(move |request| answer(client.clone(), request, protocol, most));
    let times = Times { head: limits.head_timeout, idle: limits.idle_timeout };
    let (stream, clock) = watch(io, times);
    let io = TokioIo::new(stream);
    let is_used_up = || counted.served.load(Ordering::Relaxed) >= most;
    match protocol {
        Protocol::Http1 => {
            let told = once_draining(phase.clone(), unused(phase, clock.clone()));
            let connection = pin!(http1(limits, clock.clone()).serve_connection(io, service).with_upgrades());
            let leave = http1::UpgradeableConnection::graceful_shutdown;
            let end = drive(connection, leave, is_used_up, told).await;
            ending::count(counted.plane.metrics(), end, || clock.had_begun());
        }
        Protocol::Http2 => {
            let connection = pin!(http2(limits).serve_connection(io, service));
            let waiting = waiting.unwrap_or_default();
            let quiet = Quiet { client: &counted, waiting: &waiting };
            let told = quiet.unneeded(phase.clone(), limits.idle_timeout);
            let driven = drive(connection, http2::Connection::graceful_shutdown, is_used_up, told);
            let metrics = counted.plane.metrics();
            tokio::select! {
                biased;
                end = driven => ending::count(metrics, end, || false),
                () = waiting.stalled(limits.idle_timeout) => metrics.limit_hit(Limit::IdleTimeout),
                () = quiet.deserted(phase, &times) => metrics.limit_hit(Limit::IdleTimeout),
            }
        }
    }
}

/// Answers one request of a connection, which may have so many.
async fn answer(
    client: Arc<Client>,
    mut request: Request<Incoming>,
    protocol: Protocol,
    most: u64,
) -> Result<Response<Body>, Infallible> {
    let number = client.served.fetch_add(1, Ordering::Relaxed) + 1;
    if number == most {
        client.plane.metrics().limit_hit(Limit::RequestsPerConnection);
    }
    let is_extended = matches!(protocol, Protocol::Http2) && upgrade::is_extended(&mut request);
    let mut response = handle(client.clone(), request).await?;
    if is_extended && upgrade::is_misleading(&response) {
        *response.status_mut() = StatusCode::BAD_GATEWAY;
    }
    // It says itself that nothing more is taken, so that no request is on its way to a closed connection.
    let is_last = number >= most || is_draining(&client.phase);
    let is_switch = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if is_last && !is_switch && matches!(protocol, Protocol::Http1) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// How HTTP is spoken.
#[derive(Clone, Copy)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// Waits for a client that speaks without TLS to say what it speaks.
async fn in_the_clear(
    stream: TcpStream,
    plane: &Plane,
    limits: &Limits,
    phase: watch::Receiver<Phase>,
) -> Option<Spoken> {
    let protocol = tokio::select! {
        biased;
        protocol = timeout(limits.head_timeout, read_protocol(&stream)) => protocol,
        () = silent(phase) => return None,
    };
    if protocol.is_err() {
        plane.metrics().limit_hit(Limit::HeadTimeout);
    }
    let Ok(Ok(protocol)) = protocol else { return None };
    Some(Spoken { io: Either::Left(stream), protocol, certificate: None })
}

/// Looks at the first bytes without taking them.
async fn read_protocol(stream: &TcpStream) -> std::io::Result<Protocol> {
    /// How long to wait for the rest of a preface that came in pieces, at first and at most.
    const PIECE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));
    let mut pause = PIECE.0;
    let mut first = [0; H2_PREFACE.len()];
    loop {
        let length = stream.peek(&mut first).await?;
        let seen = first.get(..length).unwrap_or_default();
        if seen == H2_PREFACE {
            return Ok(Protocol::Http2);
        }
        if seen.is_empty() || !H2_PREFACE.starts_with(seen) {
            return Ok(Protocol::Http1);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PIECE.1);
    }
}

fn http1(limits: &Limits, clock: Clock) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .header_read_timeout(clock.longest())
        .timer(clock)
        .max_header_size(limits.head_bytes)
        .max_buf_size(limits.head_bytes.clamp(BUFFER_MIN, BUFFER_MAX.max(limits.head_bytes)));
    if limits.headers != HEADERS_FREE {
        builder.max_headers(limits.headers);
    }
    builder
}

fn http2(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.h2_streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(LOCAL_RESETS)
        .enable_connect_protocol()
        .keep_alive_interval(limits.idle_timeout)
        .keep_alive_timeout(limits.head_timeout);
    builder
}

fn is_draining(phase: &watch::Receiver<Phase>) -> bool {
    // Cheaper than to look at the phase, which only ever changes once.
    !matches!(phase.has_changed(), Ok(false))
}

/// How long a connection may wait for a request, once the gateway drains.
async fn drained(mut phase: watch::Receiver<Phase>) -> Duration {
    phase.wait_for(|phase| phase.is_draining()).await.map_or(Duration::ZERO, |phase| phase.idle())
}

/// Ends when a connection on which nothing was said yet needn't be kept any longer.
async fn silent(phase: watch::Receiver<Phase>) {
    let idle = drained(phase).await;
    tokio::time::sleep(idle).await;
}

/// Ends when the gateway drains and the connection has waited for a request long enough. Until then a request may be
/// on its way that its client couldn't know not to send; its answer tells.
async fn unused(phase: watch::Receiver<Phase>, clock: Clock) {
    let idle = drained(phase).await;
    let began = Instant::now();
    loop {
        let waited = clock.waits_since().map(|since| since.max(began).elapsed());
        match waited {
            Some(waited) if waited >= idle => return,
            Some(waited) => tokio::time::sleep(idle - waited).await,
            None => tokio::time::sleep(idle / 4 + Duration::from_millis(5)).await,
        }
    }
}

/// Asks what only ends when the gateway drains no more often than it takes to be woken by it: a connection is polled often.
async fn once_draining(phase: watch::Receiver<Phase>, told: impl Future<Output = ()>) {
    let (mut told, mut is_watching) = (pin!(told), false);
    poll_fn(|cx| {
        if is_watching && !is_draining(&phase) {
            return Poll::Pending;
        }
        is_watching = true;
        told.as_mut().poll(cx)
    })
    .await;
}

/// An HTTP/2 connection, as far as its requests tell whether anyone needs it. hyper asks whether the client is there, not
/// whether it wants anything; and before the client's preface it doesn't even ask.
struct Quiet<'c> {
    client: &'c Arc<Client>,
    waiting: &'c Arc<Waiting>,
}

impl Quiet<'_> {
    /// Ends when the connection should take nothing more: the gateway drains, or no request was under way for `idle`.
    async fn unneeded(&self, phase: watch::Receiver<Phase>, idle: Duration) {
        tokio::select! {
            _ = drained(phase) => {}
            () = self.lasts(idle) => self.client.plane.metrics().limit_hit(Limit::IdleTimeout),
        }
    }

    /// Ends when the client was told to leave and didn't, though no request is under way.
    async fn deserted(&self, phase: watch::Receiver<Phase>, times: &Times) {
        let drains = async {
            drained(phase).await;
            self.lasts(times.head).await;
        };
        tokio::select! {
            () = drains => {}
            () = self.lasts(times.idle + times.head) => {}
        }
    }

    /// Ends when no request was under way for so long, at most twice as late.
    async fn lasts(&self, time: Duration) {
        let mut served = self.client.served.load(Ordering::Relaxed);
        loop {
            tokio::time::sleep(time).await;
            let now = self.client.served.load(Ordering::Relaxed);
            if now == served && !self.is_busy() {
                return;
            }
            served = now;
        }
    }

    /// Whether a request, a body or a socket holds on to the connection, beside the two of `serve` itself.
    fn is_busy(&self) -> bool {
        Arc::strong_count(self.client) > 2 || Arc::strong_count(self.waiting) > 2
    }
}

/// Polls a connection to its end. When it is `told`, or it had its share of requests, it takes no new ones.
async fn drive<C: Future>(
    mut connection: Pin<&mut C>,
    leave: impl Fn(Pin<&mut C>),
    is_used_up: impl Fn() -> bool,
    told: impl Future<Output = ()>,
) -> C::Output {
    let mut told = pin!(told);
    let mut is_told = false;
    poll_fn(|cx| {
        // First what has arrived: a request that is here is answered.
        let polled = connection.as_mut().poll(cx);
        // Told while the last request is on its way, so that its answer says that it is the last.
        if polled.is_pending() && !is_told && (is_used_up() || told.as_mut().poll(cx).is_ready()) {
            is_told = true;
            leave(connection.as_mut());
            return connection.as_mut().poll(cx);
        }
        polled
    })
    .await
}
