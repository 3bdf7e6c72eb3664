//! One request and its answer: which server, which connection, how long, and what may be tried again.
//!
//! A request is sent a second time only where the first can't have been acted upon: it never left, or it asks for
//! nothing but reading and its connection turned out to be dead.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, Request, Response};
use tokio::time::{Instant as Moment, timeout_at};

use super::answer::{Answer, Lease, Source};
use super::connect::Use;
use super::connection::Connection;
use super::outgoing::{BodyFault, Meter, Outgoing};
use super::{Obstacle, Server, Upstream, connect, pool};

/// How often a server is asked that gives a request back.
const FRESH_TRIES: usize = 2;

/// Why there is no answer, or no end of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No server could be connected to.
    #[error("no server can be reached")]
    Unreachable,
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
    /// The answer's first piece, and each next one.
    pub(super) piece: Duration,
    /// All of it.
    pub(super) end: Moment,
}

/// An exchange that gave no answer.
pub(super) enum Lost {
    /// The request is back: nothing of it was sent.
    Unsent(Box<Request<Outgoing>>),
    /// The connection ended before an answer began.
    Hangup,
    /// Nothing to try again.
    Failed(Failure),
}

impl Upstream {
    /// Sends a request and waits for the head of its answer. `missed` is told of every server that can't be reached, and why.
    pub async fn send(
        &self,
        request: Request<Outgoing>,
        missed: impl Fn(Obstacle),
    ) -> Result<Response<Answer>, Failure> {
        self.send_among(self.order(), self.read_timeout, request, missed).await.map(|(response, _)| response)
    }

    /// As [`Upstream::send`], and says which server answered.
    pub async fn send_and_tell(
        &self,
        request: Request<Outgoing>,
        missed: impl Fn(Obstacle),
    ) -> Result<(Response<Answer>, Arc<Server>), Failure> {
        let sent = self.send_among(self.order(), self.read_timeout, request, missed).await;
        sent.map(|(response, server)| (response, server.clone()))
    }

    /// Sends a request to this server and no other, which may take `patience` to answer if that is longer than usual.
    pub async fn send_to(
        &self,
        server: &Arc<Server>,
        patience: Duration,
        request: Request<Outgoing>,
        missed: impl Fn(Obstacle),
    ) -> Result<Response<Answer>, Failure> {
        let patience = self.read_timeout.max(patience);
        let sent = self.send_among(std::iter::once(server), patience, request, missed).await;
        sent.map(|(response, _)| response)
    }

    async fn send_among<'s>(
        &self,
        servers: impl Iterator<Item = &'s Arc<Server>>,
        piece: Duration,
        mut request: Request<Outgoing>,
        missed: impl Fn(Obstacle),
    ) -> Result<(Response<Answer>, &'s Arc<Server>), Failure> {
        let patience = Patience { piece, end: Moment::now() + self.total_timeout };
        for server in servers {
            if let Some(connection) = pool::take(server, &self.link) {
                let spare = spare(&request);
                match self.exchange(server, connection, request, patience).await {
                    Ok(response) => return Ok((response, server)),
                    Err(Lost::Unsent(unsent)) => request = *unsent,
                    Err(Lost::Hangup) => match spare {
                        Some(spare) => request = spare,
                        None => return Err(Failure::Broken),
                    },
                    Err(Lost::Failed(failure)) => return Err(failure),
                }
            }
            // What a server refuses as one too many it may take a moment later.
            for _ in 0..FRESH_TRIES {
                // Seldom needed and large: boxed, so that not every request is moved about with room for it.
                let connection = match Box::pin(connect::open(&self.link, server, Use::Http)).await {
                    Ok(connection) => connection,
                    Err(obstacle) => {
                        server.not_reached(Instant::now());
                        missed(obstacle);
                        break;
                    }
                };
                server.reached();
                match self.exchange(server, connection, request, patience).await {
                    Ok(response) => return Ok((response, server)),
                    Err(Lost::Unsent(unsent)) => request = *unsent,
                    Err(Lost::Hangup) => return Err(Failure::Broken),
                    Err(Lost::Failed(failure)) => return Err(failure),
                }
            }
        }
        Err(Failure::Unreachable)
    }

    async fn exchange(
        &self,
        server: &Arc<Server>,
        connection: Connection,
        request: Request<Outgoing>,
        patience: Patience,
    ) -> Result<Response<Answer>, Lost> {
        let meter = request.body().meter();
        let mut lease = Lease::new(connection, server, self.idle_connections);
        let Some(connection) = &mut lease.connection else { return Err(Lost::Unsent(Box::new(request))) };
        let response = Self::head(connection, request, meter.as_deref(), patience).await?;
        Ok(response.map(|incoming| Answer::new(incoming, lease, meter, patience)))
    }

    /// The answer's head. While the request's body moves, the answer isn't late.
    pub(super) async fn head(
        connection: &mut Connection,
        request: Request<Outgoing>,
        meter: Option<&Meter>,
        patience: Patience,
    ) -> Result<Response<Source>, Lost> {
        let mut moved = 0;
        {
            let mut response = pin!(connection.send(request));
            loop {
                let until = patience.end.min(Moment::now() + patience.piece);
                match timeout_at(until, response.as_mut()).await {
                    Ok(outcome) => return outcome,
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
        connection.was_late();
        Err(Lost::Failed(Failure::Timeout))
    }
}

/// A copy to send again, of a request that asks for nothing but reading.
fn spare(request: &Request<Outgoing>) -> Option<Request<Outgoing>> {
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if !is_safe || !request.body().is_empty() {
        return None;
    }
    let mut copy = Request::new(Outgoing::Empty);
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    Some(copy)
}
