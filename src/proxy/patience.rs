//! How long a client's connection may say nothing, begin a request without ending it, or take nothing of an answer.
//!
//! hyper knows one time for waiting and reading alike. Here they are told apart: [`Watched`] sees the first byte of a
//! request, and [`Clock`] is the timer that hyper asks. Both share one timer per connection, which is touched when a
//! time has passed, not at every request.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time;

/// The times of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// For a request's head, from its first byte.
    pub(super) head: Duration,
    /// Without a request; and without taking any of an answer.
    pub(super) idle: Duration,
}

/// What the stream and the timer of a connection share.
#[derive(Debug)]
struct Shared {
    times: Times,
    /// Whether the next byte would be the first of a request.
    is_between: AtomicBool,
    waiting: Mutex<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    since: Instant,
    first_byte: Option<Instant>,
    sleep: Option<Pin<Box<time::Sleep>>>,
}

impl Shared {
    fn poll_over(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let due = match waiting.first_byte {
            Some(first) => first + self.times.head,
            None => waiting.since + self.times.idle,
        };
        let due = time::Instant::from_std(due);
        let sleep = waiting.sleep.get_or_insert_with(|| Box::pin(time::sleep_until(due)));
        // An earlier request's timer that is still running is left alone; it only wakes us to look.
        if sleep.deadline() > due {
            sleep.as_mut().reset(due);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if time::Instant::now() >= due {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(due);
        }
    }
}

/// The timer that hyper asks while it waits for a request.
#[derive(Clone, Debug)]
pub(super) struct Clock(Arc<Shared>);

impl Clock {
    /// What hyper is told: the longest time that any wait may take.
    pub(super) fn longest(&self) -> Duration {
        self.0.times.idle.max(self.0.times.head)
    }

    /// Since when the connection waits for a request, if it does.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        let waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.is_between.load(Ordering::Relaxed).then_some(waiting.since)
    }

    /// Whether the request that was waited for last had begun.
    pub(super) fn had_begun(&self) -> bool {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).first_byte.is_some()
    }

    /// hyper begins to wait for a request.
    fn begin(&self, deadline: Instant) {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.since = deadline.checked_sub(self.longest()).unwrap_or(deadline);
        waiting.first_byte = None;
        self.0.is_between.store(true, Ordering::Relaxed);
    }
}

impl Timer for Clock {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        self.begin(deadline);
        Box::pin(Wait(self.0.clone()))
    }

    fn reset(&self, _wait: &mut Pin<Box<dyn Sleep>>, deadline: Instant) {
        self.begin(deadline);
    }
}

/// One wait for a request. hyper drops it when it has the head.
struct Wait(Arc<Shared>);

impl Sleep for Wait {}

impl Future for Wait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_over(cx)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.0.is_between.store(false, Ordering::Relaxed);
    }
}

/// How long a client has taken nothing; no time at all while it takes what it is given.
type Stall = Option<Pin<Box<time::Sleep>>>;

/// A client's stream.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    shared: Arc<Shared>,
    stalled: Stall,
    /// What was written may still stand in a buffer of TLS.
    unflushed: Stall,
    /// Set when nothing more is sent: how long the client may take to close its side.
    linger: Option<Pin<Box<time::Sleep>>>,
}

/// What a client still sends after the end is read and thrown away, for this long.
const LINGER: Duration = Duration::from_secs(1);

/// A stream under watch, and its clock.
pub(super) fn watch<S>(stream: S, times: Times) -> (Watched<S>, Clock) {
    let waiting = Mutex::new(Waiting { since: Instant::now(), first_byte: None, sleep: None });
    let shared = Arc::new(Shared { times, is_between: AtomicBool::new(false), waiting });
    (Watched { stream, shared: shared.clone(), stalled: None, unflushed: None, linger: None }, Clock(shared))
}

/// A client that takes nothing is given up, so that it can't hold an answer and its upstream for ever.
fn unless_stalled<T>(
    stall: &mut Stall,
    idle: Duration,
    polled: Poll<io::Result<T>>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<T>> {
    if polled.is_ready() {
        *stall = None;
        return polled;
    }
    let sleep = stall.get_or_insert_with(|| Box::pin(time::sleep(idle)));
    ready!(sleep.as_mut().poll(cx));
    Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before && self.shared.is_between.swap(false, Ordering::Relaxed) {
            let mut waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.first_byte = Some(Instant::now());
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Watched<S> {
    /// Ends our side, then waits for the client's: closing while something is unread would reset the connection, and a
    /// reset takes with it what the client has not read yet of the last answer.
    fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            let polled = Pin::new(&mut self.stream).poll_shutdown(cx);
            ready!(unless_stalled(&mut self.unflushed, self.shared.times.idle, polled, cx))?;
        }
        let linger = self.linger.get_or_insert_with(|| Box::pin(time::sleep(LINGER)));
        let mut bin = [0; 4096];
        loop {
            let mut bin = ReadBuf::new(&mut bin);
            match Pin::new(&mut self.stream).poll_read(cx, &mut bin) {
                Poll::Ready(Ok(())) if !bin.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return linger.as_mut().poll(cx).map(Ok),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let own = &mut *self;
        let polled = Pin::new(&mut own.stream).poll_write(cx, bytes);
        unless_stalled(&mut own.stalled, own.shared.times.idle, polled, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let own = &mut *self;
        let polled = Pin::new(&mut own.stream).poll_write_vectored(cx, bytes);
        unless_stalled(&mut own.stalled, own.shared.times.idle, polled, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let own = &mut *self;
        let polled = Pin::new(&mut own.stream).poll_flush(cx);
        unless_stalled(&mut own.unflushed, own.shared.times.idle, polled, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_farewell(cx)
    }
}
