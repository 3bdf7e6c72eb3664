//! A request's body on its way to an upstream: bounded, never waited for longer than the limit, never collected.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::answer::Patience;

/// Why a request's body didn't arrive whole: the client's doing, not the upstream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// Longer than the limit.
    #[error("the request body is too large")]
    TooLarge,
    /// Nothing arrived for too long.
    #[error("the request body stopped arriving")]
    TooSlow,
    /// Badly framed, or broken off.
    #[error("the request body broke off")]
    Broken,
}

/// What bounds a request's body.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Bytes.
    pub bytes: u64,
    /// Time for the next piece to arrive.
    pub timeout: Duration,
}

/// A request's body.
#[derive(Debug)]
pub enum Outgoing {
    /// None.
    Empty,
    /// As it arrives from the client; trailers are dropped.
    Stream(Box<Stream>),
}

/// A body as it arrives.
#[derive(Debug)]
pub struct Stream {
    incoming: Incoming,
    left: u64,
    patience: Patience,
    meter: Arc<Meter>,
}

/// What the other side of an exchange may know of the body while hyper owns it.
#[derive(Debug, Default)]
pub(super) struct Meter {
    moved: AtomicU64,
    finished: AtomicBool,
}

impl Meter {
    pub(super) fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }
    pub(super) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Relaxed)
    }
}

impl Outgoing {
    /// Takes a client's body. One that announces more than the limit is refused before a byte is read.
    pub fn new(incoming: Incoming, limits: BodyLimits) -> Result<Self, BodyFault> {
        if incoming.is_end_stream() {
            return Ok(Self::Empty);
        }
        if incoming.size_hint().lower() > limits.bytes {
            return Err(BodyFault::TooLarge);
        }
        let (left, patience) = (limits.bytes, Patience::new(limits.timeout));
        Ok(Self::Stream(Box::new(Stream { incoming, left, patience, meter: Arc::default() })))
    }

    /// Whether there is no body.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    pub(super) fn meter(&self) -> Option<Arc<Meter>> {
        match self {
            Self::Empty => None,
            Self::Stream(stream) => Some(stream.meter.clone()),
        }
    }
}

impl Stream {
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyFault>>> {
        loop {
            let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
                ready!(self.patience.poll_lost(cx, None));
                return Poll::Ready(Some(Err(BodyFault::TooSlow)));
            };
            self.patience.renew();
            let data = match frame {
                None => None,
                Some(Err(_)) => return Poll::Ready(Some(Err(BodyFault::Broken))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => Some(data),
                    Err(_trailers) => continue,
                },
            };
            if data.is_none() || self.incoming.is_end_stream() {
                self.meter.finished.store(true, Ordering::Relaxed);
            }
            let Some(data) = data else { return Poll::Ready(None) };
            let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
            let Some(left) = self.left.checked_sub(length) else {
                return Poll::Ready(Some(Err(BodyFault::TooLarge)));
            };
            self.left = left;
            self.meter.moved.fetch_add(length, Ordering::Relaxed);
            return Poll::Ready(Some(Ok(data)));
        }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Stream(stream) => stream.poll_data(cx).map(|item| item.map(|data| data.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Stream(stream) => stream.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Stream(stream) => stream.incoming.size_hint(),
        }
    }
}
