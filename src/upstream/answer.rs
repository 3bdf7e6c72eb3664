//! An upstream's answer on its way to the client. Its connection is kept for the next request only when the answer
//! was read to its last byte and the request was sent to its last; any other end closes it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant as Moment, Sleep};

use super::outgoing::Meter;
use super::pool::{self, Connection};
use super::{Failure, Server, exchange};

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
    server: Arc<Server>,
    keep: usize,
}

impl Lease {
    pub(super) fn new(connection: Connection, server: &Arc<Server>, keep: usize) -> Self {
        server.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { connection: Some(connection), server: server.clone(), keep }
    }

    fn give_back(mut self) {
        if let Some(connection) = self.connection.take() {
            pool::give(&self.server, connection, self.keep, Instant::now());
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.server.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an upstream's answer.
#[derive(Debug)]
pub struct Answer {
    incoming: Incoming,
    lease: Option<Lease>,
    request: Option<Arc<Meter>>,
    patience: Patience,
    end: Moment,
}

impl Answer {
    pub(super) fn new(
        incoming: Incoming,
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

impl Body for Answer {
    type Data = Bytes;
    type Error = Failure;

    /// Data only: the trailers of an answer are dropped.
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let answer = self.get_mut();
        loop {
            let Poll::Ready(frame) = Pin::new(&mut answer.incoming).poll_frame(cx) else {
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
            let data = match frame {
                None => None,
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => Some(data),
                    Err(_trailers) => continue,
                },
                Some(Err(_)) => {
                    answer.lease = None;
                    return Poll::Ready(Some(Err(Failure::Broken)));
                }
            };
            if data.is_none() || answer.incoming.is_end_stream() {
                answer.finish();
            }
            return Poll::Ready(data.map(|data| Ok(Frame::data(data))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
