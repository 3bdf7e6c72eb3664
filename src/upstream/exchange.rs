//! One request and its answer: which connection, how long, and what becomes of it. What may be tried again, and where,
//! is `effort`'s.

use std::pin::pin;
use std::time::{Duration, Instant};

use http::{Method, Request, Response, StatusCode};
use tokio::time::{Instant as Moment, timeout_at};

use super::answer::{Answer, Lease, Source};
use super::connection::Connection;
use super::outgoing::{BodyFault, Meter, Outgoing};
use super::server::{Fault, Slot};
use super::{Server, Upstream};

/// Why there is no answer, or no end of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No server could be connected to.
    #[error("no server can be reached")]
    Unreachable,
    /// Too many requests are with its servers already.
    #[error("the servers have enough to do")]
    Overloaded,
    /// A server took too long.
    #[error("the server took too long")]
    Timeout,
    /// A server closed the connection, or sent something that isn't HTTP.
    #[error("the server's answer broke off or can't be understood")]
    Broken,
    /// The request's own body failed.
    #[error(transparent)]
    Client(#[from] BodyFault),
}

/// How long an exchange may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// The answer's first piece: less than for the next ones where the request could be sent elsewhere after it.
    pub(super) head: Duration,
    /// Each next one.
    pub(super) piece: Duration,
    /// All of it.
    pub(super) end: Moment,
}

/// A request once more.
pub(super) type Again = Option<Box<Request<Outgoing>>>;

/// Why a connection gave no answer.
pub(super) enum Lost {
    /// The request is back: nothing of it was sent.
    Unsent(Box<Request<Outgoing>>),
    /// The request is back: the server took it and refused it unread.
    Refused(Box<Request<Outgoing>>),
    /// The connection ended before an answer began.
    Hangup {
        /// The request once more, if sending it twice does no harm.
        again: Again,
    },
    /// No answer began in time.
    Late {
        /// The request once more, if sending it twice does no harm.
        again: Again,
    },
    /// Nothing to try again.
    Failed(Failure),
}

impl Lost {
    pub(super) fn failure(&self) -> Failure {
        match self {
            Self::Unsent(_) | Self::Refused(_) => Failure::Unreachable,
            Self::Hangup { .. } => Failure::Broken,
            Self::Late { .. } => Failure::Timeout,
            Self::Failed(failure) => *failure,
        }
    }
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// It was used before, and may have been closed since.
    Pool,
    /// It was just opened.
    Fresh,
}

impl Upstream {
    /// How long an exchange may take that begins now.
    pub(super) fn patience(&self, piece: Duration) -> Patience {
        Patience { head: piece, piece, end: Moment::now() + self.config.total_timeout }
    }

    /// Something went wrong with a server just now.
    #[cold]
    pub(super) fn failed(&self, server: &Server, fault: Fault) {
        server.failed(fault, &self.servers, Instant::now());
    }

    pub(super) async fn exchange(
        &self,
        slot: Slot,
        (connection, from): (Connection, From),
        request: Request<Outgoing>,
        patience: Patience,
    ) -> Result<Response<Answer>, Lost> {
        let meter = request.body().meter();
        let mut lease = Lease::new(connection, slot, self.idle_connections);
        let Lease { connection: Some(connection), slot, .. } = &mut lease else {
            return Err(Lost::Unsent(Box::new(request)));
        };
        let lost = match Self::head(connection, request, meter.as_deref(), patience).await {
            Ok(response) => {
                if is_failure(response.status()) {
                    self.failed(&slot.server, Fault::Answer);
                } else {
                    slot.server.answered();
                }
                return Ok(response.map(|incoming| Answer::new(incoming, lease, meter, patience)));
            }
            Err(lost) => lost,
        };
        match &lost {
            Lost::Unsent(_) | Lost::Failed(Failure::Client(_)) => {}
            // A server may close a connection that it has no use for: that says nothing of it.
            Lost::Hangup { .. } if from == From::Pool => {}
            Lost::Refused(_) | Lost::Hangup { .. } | Lost::Late { .. } | Lost::Failed(_) => {
                self.failed(&slot.server, Fault::Answer);
            }
        }
        Err(lost)
    }

    /// The answer's head. While the request's body moves, the answer isn't late.
    pub(super) async fn head(
        connection: &mut Connection,
        request: Request<Outgoing>,
        meter: Option<&Meter>,
        patience: Patience,
    ) -> Result<Response<Source>, Lost> {
        // Cut short only what can be sent elsewhere then.
        let is_short = patience.head < patience.piece;
        let mut written = if is_short { connection.written() } else { None };
        let mut wait = if written.is_some() { patience.head } else { patience.piece };
        let mut moved = 0;
        {
            let mut response = pin!(connection.send(request));
            loop {
                let until = patience.end.min(Moment::now() + wait);
                match timeout_at(until, response.as_mut()).await {
                    Ok(outcome) => return outcome,
                    Err(_elapsed) if written.take().is_some_and(|written| !written.is_whole()) => {
                        wait = patience.piece.saturating_sub(patience.head);
                    }
                    Err(_elapsed) => {
                        let now_moved = meter.map_or(0, Meter::moved);
                        if now_moved == moved || until == patience.end {
                            break;
                        }
                        moved = now_moved;
                    }
                }
            }
        }
        Err(Lost::Late { again: connection.was_late() })
    }
}

/// Whether a request asks for nothing but reading, so that asking twice does no harm.
pub(super) fn is_safe(request: &Request<Outgoing>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) && request.body().is_empty()
}

/// A request once more, if asking twice does no harm.
pub(super) fn again(request: Request<Outgoing>) -> Again {
    is_safe(&request).then(|| Box::new(request))
}

/// Whether a server says that it can't.
pub(super) fn is_failure(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}
