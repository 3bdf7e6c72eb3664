//! An upstream's answer on its way to the client. A connection of its own is kept for the next request only when the
//! answer was read to its last byte and the request was sent to its last; any other end closes it. On a shared one,
//! any other end resets the stream.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant as Moment, Sleep};

use super::connection::Connection;
use super::outgoing::Meter;
use super::server::Slot;
use super::upload::Uploading;
use super::{Failure, exchange, pool};
use crate::headers;

/// Waits for the next piece of a body, and not longer than it should. Costs nothing while pieces arrive in time.
#[derive(Debug)]
pub(super) struct Patience {
    limit: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
}

impl Patience {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, sleep: None, is_waiting: false }
    }

    /// A piece arrived.
    pub(super) fn renew(&mut self) {
        self.is_waiting = false;
    }

    /// The next piece has this much time.
    pub(super) fn allow(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// Ready when nothing arrived for the limit, or at `end`.
    pub(super) fn poll_lost(&mut self, cx: &mut Context<'_>, end: Option<Moment>) -> Poll<()> {
        let limit = self.limit;
        let until = || {
            let until = Moment::now() + limit;
            end.map_or(until, |end| until.min(end))
        };
        let sleep = match &mut self.sleep {
            Some(sleep) => {
                if !self.is_waiting {
                    sleep.as_mut().reset(until());
                }
                sleep
            }
            None => self.sleep.insert(Box::pin(tokio::time::sleep_until(until()))),
        };
        self.is_waiting = true;
        sleep.as_mut().poll(cx)
    }
}

/// A connection in use, counted at its server.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) connection: Option<Connection>,
    pub(super) slot: Slot,
    keep: usize,
}

impl Lease {
    pub(super) fn new(connection: Connection, slot: Slot, keep: usize) -> Self {
        Self { connection: Some(connection), slot, keep }
    }

    fn give_back(mut self) {
        match self.connection.take() {
            Some(Connection::Own(connection)) => pool::give(&self.slot.server, connection, self.keep),
            // It never left the pool.
            Some(Connection::Shared(_)) | None => {}
        }
    }
}

/// Where an answer's body comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// A connection of its own.
    Own(Incoming),
    /// A stream of a shared one.
    Stream(Stream),
}

/// An answer's body on a stream of an HTTP/2 connection.
#[derive(Debug)]
pub(super) struct Stream {
    incoming: RecvStream,
    /// What is left of the length that was announced, if one was.
    left: Option<u64>,
    is_over: bool,
    /// Ends with the answer.
    _uploading: Uploading,
}

impl Stream {
    pub(super) fn new(incoming: RecvStream, left: Option<u64>, uploading: Uploading) -> Self {
        let is_over = incoming.is_end_stream();
        Self { incoming, left, is_over, _uploading: uploading }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        match ready!(self.incoming.poll_data(cx)) {
            Some(Ok(data)) => {
                // What the client takes, the server may send again.
                let _ = self.incoming.flow_control().release_capacity(data.len());
                let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
                self.left = self.left.map(|left| left.saturating_sub(length));
                self.is_over = self.incoming.is_end_stream();
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            // A reset is never an end, whatever reason it gives.
            Some(Err(_)) => Poll::Ready(Some(Err(Failure::Broken))),
            None => {
                let trailers = ready!(self.incoming.poll_trailers(cx));
                self.is_over = true;
                match trailers {
                    Ok(trailers) => Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers)))),
                    Err(_) => Poll::Ready(Some(Err(Failure::Broken))),
                }
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_over {
            SizeHint::with_exact(0)
        } else {
            self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
        }
    }
}

impl Source {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        match self {
            Self::Own(incoming) => Pin::new(incoming)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(|_| Failure::Broken))),
            Self::Stream(stream) => stream.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(incoming) => incoming.is_end_stream(),
            Self::Stream(stream) => stream.is_over,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(incoming) => incoming.size_hint(),
            Self::Stream(stream) => stream.size_hint(),
        }
    }
}

/// The body of an upstream's answer.
#[derive(Debug)]
pub struct Answer {
    incoming: Source,
    lease: Option<Lease>,
    request: Option<Arc<Meter>>,
    patience: Patience,
    end: Moment,
}

impl Answer {
    pub(super) fn new(
        incoming: Source,
        lease: Lease,
        request: Option<Arc<Meter>>,
        patience: exchange::Patience,
    ) -> Self {
        let (patience, end) = (Patience::new(patience.piece), patience.end);
        let mut answer = Self { incoming, lease: Some(lease), request, patience, end };
        if answer.incoming.is_end_stream() {
            answer.finish();
        }
        answer
    }

    fn finish(&mut self) {
        let is_sent = self.request.as_ref().is_none_or(|meter| meter.is_finished());
        match self.lease.take() {
            Some(lease) if is_sent => lease.give_back(),
            // A connection with the rest of an answered request on it is no good to anyone.
            _ => {}
        }
    }
}

/// Trailers without what may not stand there; nothing if none are left.
fn clean(frame: Frame<Bytes>) -> Option<Frame<Bytes>> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            headers::clean_trailers(&mut trailers);
            (!trailers.is_empty()).then(|| Frame::trailers(trailers))
        }
        Err(data) => Some(data),
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let answer = self.get_mut();
        let Poll::Ready(frame) = answer.incoming.poll_frame(cx) else {
            ready!(answer.patience.poll_lost(cx, Some(answer.end)));
            answer.lease = None;
            return Poll::Ready(Some(Err(Failure::Timeout)));
        };
        answer.patience.renew();
        // However slowly the client takes it, the exchange has an end.
        if Moment::now() >= answer.end {
            answer.lease = None;
            return Poll::Ready(Some(Err(Failure::Timeout)));
        }
        match &frame {
            Some(Ok(frame)) if frame.is_data() && !answer.incoming.is_end_stream() => {}
            Some(Err(_)) => answer.lease = None,
            // Nothing comes after trailers.
            Some(Ok(_)) | None => answer.finish(),
        }
        Poll::Ready(frame.and_then(|frame| frame.map(clean).transpose()))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
