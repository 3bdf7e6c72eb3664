//! An HTTP/2 connection to a server: many exchanges at the same time, each on a stream of its own.
//!
//! It takes exchanges until the server says that it will go away, an answer on it was late, or it is old. What it was
//! given and the server didn't act upon (it refused the stream, or left before it) comes back to be sent elsewhere.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{self, Connection, SendRequest};
use h2::{Ping, PingPong, Reason};
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use http_body::Body as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

use super::Outgoing;
use super::answer::{Source, Stream};
use super::connect::Mark;
use super::exchange::{self, Failure, Lost};
use super::upload::{Upload, Uploading};
use crate::plumbing::{Scheme, ServerAddress};

/// Streams that are open at once, if the server takes as many.
const STREAMS_MAX: usize = 100;
/// What a server may send of one answer that its client doesn't take.
const STREAM_WINDOW: u32 = 128 * 1024;
/// Room for all of them: clients that don't take theirs are nothing to the others.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * 100;
/// What is kept of one request's body until the server takes it.
const SEND_BUFFER: usize = 64 * 1024;
/// How often a server with open streams is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(10);
/// How long it may take to say so.
const PING_PATIENCE: Duration = Duration::from_secs(10);

/// An HTTP/2 connection. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Line {
    sender: SendRequest<Bytes>,
    scheme: Scheme,
    authority: Option<Authority>,
    mark: Mark,
    peer: SocketAddr,
    until: Instant,
    streams: Arc<AtomicUsize>,
    is_used: AtomicBool,
    is_retired: AtomicBool,
    driver: JoinHandle<()>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Line {
    /// Begins HTTP/2 on an open socket, and waits until the server has said how many streams it takes: what doesn't speak
    /// HTTP/2 is found out before a request is on it, and no request is refused for being one too many.
    pub(super) async fn open<S>(
        socket: S,
        address: &ServerAddress,
        head_bytes: usize,
        (mark, peer, until): (Mark, SocketAddr, Instant),
    ) -> io::Result<Arc<Self>>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let handshake = client::Builder::new()
            .initial_max_send_streams(0)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(head_bytes).unwrap_or(u32::MAX))
            .max_send_buffer_size(SEND_BUFFER)
            .enable_push(false)
            .handshake(socket);
        let (sender, mut connection) = handshake.await.map_err(io::Error::other)?;
        poll_fn(|cx| match pin!(&mut connection).poll(cx) {
            Poll::Ready(ended) => Poll::Ready(Err(ended.err().map_or_else(left, io::Error::other))),
            Poll::Pending if connection.max_concurrent_send_streams() > 0 => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        })
        .await?;
        let streams = Arc::<AtomicUsize>::default();
        let driver = tokio::spawn(drive(connection, streams.clone()));
        Ok(Arc::new(Self {
            sender,
            scheme: address.scheme,
            authority: Authority::try_from(address.to_string()).ok(),
            mark,
            peer,
            until,
            streams,
            is_used: AtomicBool::new(true),
            is_retired: AtomicBool::new(false),
            driver,
        }))
    }

    /// What it was opened by.
    pub(super) fn mark(&self) -> Mark {
        self.mark
    }

    /// Whom it leads to.
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// When it has served long enough: names lead elsewhere, certificates change.
    pub(super) fn until(&self) -> Instant {
        self.until
    }

    /// Whether it takes exchanges, once there is room.
    pub(super) fn is_open(&self) -> bool {
        !self.is_retired.load(Ordering::Relaxed) && !self.driver.is_finished()
    }

    /// Whether an exchange was on it since this was asked last.
    pub(super) fn was_used(&self) -> bool {
        self.is_used.swap(false, Ordering::Relaxed) || self.streams.load(Ordering::Relaxed) > 0
    }

    /// A share, if there is room for one.
    pub(super) fn share_if_room(self: &Arc<Self>) -> Option<Share> {
        let most = STREAMS_MAX.min(self.sender.current_max_send_streams());
        (self.is_open() && self.streams.load(Ordering::Relaxed) < most).then(|| self.share())
    }

    /// A share.
    pub(super) fn share(self: &Arc<Self>) -> Share {
        self.streams.fetch_add(1, Ordering::Relaxed);
        self.is_used.store(true, Ordering::Relaxed);
        Share { line: self.clone() }
    }

    /// The request's head as HTTP/2 has it: where it goes stands in the target, and nowhere else.
    fn head(&self, mut parts: Parts, body: &Outgoing) -> Result<Request<()>, Failure> {
        let authority = match parts.headers.remove(HOST) {
            Some(host) => Authority::try_from(host.as_bytes()).ok(),
            None => self.authority.clone(),
        };
        let mut target = parts.uri.into_parts();
        target.authority = Some(authority.ok_or(Failure::Broken)?);
        target.scheme = Some(match self.scheme {
            Scheme::Http => http::uri::Scheme::HTTP,
            Scheme::Https => http::uri::Scheme::HTTPS,
        });
        parts.uri = Uri::from_parts(target).map_err(|_| Failure::Broken)?;
        parts.headers.remove(TRANSFER_ENCODING);
        announce_length(&mut parts.headers, &parts.method, body);
        parts.version = http::Version::HTTP_2;
        Ok(Request::from_parts(parts, ()))
    }
}

/// A server may want to know how long a body is before it takes it.
fn announce_length(headers: &mut HeaderMap, method: &Method, body: &Outgoing) {
    let has_meaning = !matches!(*method, Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS);
    match body.size_hint().exact() {
        Some(length) if length > 0 || has_meaning => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        _ => {}
    }
}

/// The length of an answer, if it says one. That it holds it is the connection's to see.
fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn left() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

/// Moves bytes until the connection ends, or a server that has something to do doesn't say that it is there.
async fn drive<S>(mut connection: Connection<S>, streams: Arc<AtomicUsize>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let pings = connection.ping_pong();
    tokio::select! {
        biased;
        _ = connection => {}
        () = gone(pings, &streams) => {}
    }
}

async fn gone(pings: Option<PingPong>, streams: &AtomicUsize) {
    let Some(mut pings) = pings else { return std::future::pending().await };
    loop {
        tokio::time::sleep(PING_EVERY).await;
        // One without streams is closed when it has been idle for long enough.
        if streams.load(Ordering::Relaxed) == 0 {
            continue;
        }
        match tokio::time::timeout(PING_PATIENCE, pings.ping(Ping::opaque())).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

/// One exchange's part of a connection.
#[derive(Debug)]
pub(super) struct Share {
    line: Arc<Line>,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.line.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Share {
    /// Nothing new goes onto this connection.
    pub(super) fn retire(&self) {
        self.line.is_retired.store(true, Ordering::Relaxed);
    }

    /// Sends a request and waits for the head of its answer. Dropping this resets the stream, and no other.
    pub(super) async fn send(&self, request: Request<Outgoing>) -> Result<Response<Source>, Lost> {
        let mut sender = self.line.sender.clone();
        if poll_fn(|cx| sender.poll_ready(cx)).await.is_err() {
            self.retire();
            return Err(Lost::Unsent(Box::new(request)));
        }
        let (parts, body) = request.into_parts();
        let spare = parts.clone();
        let head = self.line.head(parts, &body).map_err(Lost::Failed)?;
        let (mut answer, out) = match sender.send_request(head, body.is_end_stream()) {
            Ok(begun) => begun,
            Err(error) if error.is_go_away() || error.is_io() => {
                self.retire();
                return Err(Lost::Unsent(Box::new(Request::from_parts(spare, body))));
            }
            Err(_) => return Err(Lost::Failed(Failure::Broken)),
        };
        drop(sender);
        let mut upload = Upload::new(body, out);
        let answered = poll_fn(|cx| {
            if let Poll::Ready(Err(fault)) = upload.poll(cx) {
                return Poll::Ready(Err(Failure::Client(fault)));
            }
            pin!(&mut answer).poll(cx).map(Ok)
        });
        match answered.await.map_err(Lost::Failed)? {
            Ok(response) => {
                let uploading = Uploading::after(upload, self.line.clone());
                let left = announced(response.headers());
                Ok(response.map(|incoming| Source::Stream(Stream::new(incoming, left, uploading))))
            }
            Err(error) => Err(self.lost(&error, spare, upload)),
        }
    }

    fn lost(&self, error: &h2::Error, spare: Parts, upload: Upload) -> Lost {
        let is_whole = error.is_reset();
        if !is_whole {
            self.retire();
        }
        let is_refused = is_whole && error.is_remote() && error.reason() == Some(Reason::REFUSED_STREAM);
        let is_unread = is_refused || error.is_remote() && !is_whole;
        match upload.take_back() {
            Some(body) if is_refused => Lost::Refused(Box::new(Request::from_parts(spare, body))),
            Some(body) if is_unread => Lost::Unsent(Box::new(Request::from_parts(spare, body))),
            // A client's body that is gone can't be sent again; without one there is nothing to miss.
            Some(Outgoing::Empty) if error.is_io() => {
                Lost::Hangup { again: exchange::again(Request::from_parts(spare, Outgoing::Empty)) }
            }
            _ if is_unread || error.is_io() => Lost::Hangup { again: None },
            _ => Lost::Failed(Failure::Broken),
        }
    }
}
