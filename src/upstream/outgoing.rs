//! A request's body on its way to an upstream: bounded, never waited for longer than the limit, never collected.

use std::collections::VecDeque;
use std::error::Error;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::answer::Patience;
use super::measure::{Measure, Measured};

/// Why a request's body didn't arrive whole: the client's doing, not the upstream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// Longer than the limit.
    #[error("the request body is too large")]
    TooLarge,
    /// Too little arrived for too long.
    #[error("the request body stopped arriving")]
    TooSlow,
    /// Badly framed.
    #[error("the request body can't be read")]
    Broken,
    /// The client went away in the middle of it.
    #[error("the request body broke off")]
    Left,
}

impl BodyFault {
    fn of(error: &hyper::Error) -> Self {
        let kind = error.source().and_then(|source| source.downcast_ref::<io::Error>()).map(io::Error::kind);
        let is_gone = matches!(
            kind,
            Some(
                ErrorKind::UnexpectedEof
                    | ErrorKind::ConnectionReset
                    | ErrorKind::ConnectionAborted
                    | ErrorKind::BrokenPipe
            )
        );
        if is_gone || error.is_incomplete_message() || error.is_closed() { Self::Left } else { Self::Broken }
    }
}

/// What bounds a request's body.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Bytes.
    pub bytes: u64,
    /// Time for the next piece to arrive, and for the whole first message of a call.
    pub timeout: Duration,
    /// What the bytes are counted of.
    pub measure: Measure,
}

/// A request's body.
#[derive(Debug)]
pub enum Outgoing {
    /// None.
    Empty,
    /// Bytes that are all here.
    Whole(Bytes),
    /// As it arrives from the client; trailers are dropped.
    Stream(Box<Stream>),
}

/// A body as it arrives.
#[derive(Debug)]
pub struct Stream {
    /// What was taken from the client already, and came back.
    again: VecDeque<Bytes>,
    incoming: Incoming,
    measured: Measured,
    patience: Patience,
    /// None where the body may be as slow as it likes within its time.
    pace: Option<Pace>,
    /// The time for each next piece, of a call whose first message isn't there yet.
    silence: Option<Duration>,
    meter: Arc<Meter>,
}

/// Fewest bytes that must arrive in each [`BodyLimits::timeout`], so that a byte now and then isn't enough.
const PACE_BYTES: usize = 1024;

/// How fast a body arrives, by the time spent on waiting for it: an upstream that is slow to take it is not the
/// client's doing.
#[derive(Debug)]
struct Pace {
    limit: Duration,
    least: usize,
    waiting: Option<Instant>,
    waited: Duration,
    bytes: usize,
}

impl Pace {
    fn new(limit: Duration, least: usize) -> Self {
        Self { limit, least, waiting: None, waited: Duration::ZERO, bytes: 0 }
    }

    /// There is nothing yet.
    fn waits(&mut self, now: impl FnOnce() -> Instant) {
        if self.waiting.is_none() {
            self.waiting = Some(now());
        }
    }

    /// Whether the body keeps going fast enough, now that this many bytes arrived.
    fn keeps_up(&mut self, bytes: usize, now: impl FnOnce() -> Instant) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        let Some(since) = self.waiting.take() else { return true };
        self.waited += now().saturating_duration_since(since);
        if self.waited < self.limit {
            return true;
        }
        let enough = self.bytes >= self.least;
        (self.waited, self.bytes) = (Duration::ZERO, 0);
        enough
    }
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
        if limits.measure == Measure::Whole && incoming.size_hint().lower() > limits.bytes {
            return Err(BodyFault::TooLarge);
        }
        let (measured, patience) = (Measured::new(limits), Patience::new(limits.timeout));
        // No number of bytes makes up for a first message that doesn't come.
        let (least, silence) = match limits.measure {
            Measure::Whole => (PACE_BYTES, None),
            Measure::Messages { silence } => (usize::MAX, Some(silence)),
        };
        let pace = Some(Pace::new(limits.timeout, least));
        let (again, meter) = (VecDeque::new(), Arc::default());
        Ok(Self::Stream(Box::new(Stream { again, incoming, measured, patience, pace, silence, meter })))
    }

    /// Takes a client's body to its end, as patiently as it would be passed on.
    pub async fn collect(incoming: Incoming, limits: BodyLimits) -> Result<Bytes, BodyFault> {
        let mut body = Self::new(incoming, limits)?;
        let mut whole = Bytes::new();
        let mut pieces = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            if whole.is_empty() && pieces.is_empty() {
                whole = data;
            } else {
                pieces.extend_from_slice(&std::mem::take(&mut whole));
                pieces.extend_from_slice(&data);
            }
        }
        Ok(if pieces.is_empty() { whole } else { pieces.freeze() })
    }

    /// Whether there is no body.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// The body with these pieces, which were taken from it, at its front again.
    pub(super) fn again(self, pieces: Vec<Bytes>) -> Self {
        match self {
            Self::Empty => Self::Empty,
            Self::Whole(rest) => {
                let whole = pieces.into_iter().next().filter(|whole| !whole.is_empty());
                Self::Whole(whole.unwrap_or(rest))
            }
            Self::Stream(mut stream) => {
                stream.again = pieces.into_iter().chain(std::mem::take(&mut stream.again)).collect();
                Self::Stream(stream)
            }
        }
    }

    pub(super) fn meter(&self) -> Option<Arc<Meter>> {
        match self {
            Self::Empty | Self::Whole(_) => None,
            Self::Stream(stream) => Some(stream.meter.clone()),
        }
    }
}

impl Stream {
    /// Says how long a call's next piece may take: what is left of the time for the first message until that is there.
    fn go_on_waiting(&mut self, silence: Duration) {
        if self.measured.has_message() {
            (self.pace, self.silence) = (None, None);
            self.patience.allow(silence);
        } else if let Some(pace) = &self.pace {
            self.patience.allow(pace.limit.saturating_sub(pace.waited));
        }
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyFault>>> {
        if let Some(piece) = self.again.pop_front() {
            return Poll::Ready(Some(Ok(piece)));
        }
        loop {
            let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
                if let Some(pace) = &mut self.pace {
                    pace.waits(Instant::now);
                }
                ready!(self.patience.poll_lost(cx, None));
                return Poll::Ready(Some(Err(BodyFault::TooSlow)));
            };
            self.patience.renew();
            let data = match frame {
                None => None,
                Some(Err(error)) => return Poll::Ready(Some(Err(BodyFault::of(&error)))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => Some(data),
                    Err(_trailers) => continue,
                },
            };
            let is_last = data.is_none() || self.incoming.is_end_stream();
            if is_last {
                self.meter.finished.store(true, Ordering::Relaxed);
            }
            let Some(data) = data else { return Poll::Ready(None) };
            // The last piece has no next one to be late for.
            if let Some(pace) = &mut self.pace
                && !is_last
                && !pace.keeps_up(data.len(), Instant::now)
            {
                return Poll::Ready(Some(Err(BodyFault::TooSlow)));
            }
            let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
            self.measured.take(&data)?;
            if let Some(silence) = self.silence {
                self.go_on_waiting(silence);
            }
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
            Self::Whole(bytes) => {
                let bytes = Some(std::mem::take(bytes)).filter(|bytes| !bytes.is_empty());
                Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
            }
            Self::Stream(stream) => stream.poll_data(cx).map(|item| item.map(|data| data.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Stream(stream) => stream.again.is_empty() && stream.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(bytes) => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            Self::Stream(stream) if stream.again.is_empty() => stream.incoming.size_hint(),
            Self::Stream(stream) => {
                let again: usize = stream.again.iter().map(Bytes::len).sum();
                let again = u64::try_from(again).unwrap_or(u64::MAX);
                let rest = stream.incoming.size_hint();
                match rest.exact() {
                    Some(rest) => SizeHint::with_exact(rest.saturating_add(again)),
                    None => SizeHint::default(),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_now_and_then_is_too_slow() {
        let start = Instant::now();
        let after = |s| move || start + Duration::from_secs(s);
        let mut pace = Pace::new(Duration::from_secs(10), PACE_BYTES);
        pace.waits(after(0));
        assert!(pace.keeps_up(1, after(9)));
        pace.waits(after(9));
        assert!(!pace.keeps_up(1, after(19)));

        let mut pace = Pace::new(Duration::from_secs(10), PACE_BYTES);
        for s in 0..100 {
            pace.waits(after(s));
            assert!(pace.keeps_up(200, after(s + 1)), "{s}");
        }
    }

    #[test]
    fn time_that_an_upstream_takes_is_not_the_clients() {
        let start = Instant::now();
        let mut pace = Pace::new(Duration::from_secs(10), PACE_BYTES);
        for s in 0..10 {
            pace.waits(|| start + Duration::from_secs(100 * s));
            assert!(pace.keeps_up(1, || start + Duration::from_secs(100 * s) + Duration::from_millis(100)));
        }
    }
}
