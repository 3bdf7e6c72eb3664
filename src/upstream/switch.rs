//! Asking a server to leave HTTP behind, on a connection of its own that nobody used before and nobody will use after.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use tokio::time::Instant as Moment;

use super::answer::{Answer, Lease};
use super::connect::{self, Use};
use super::exchange::{Failure, Lost, Patience};
use super::{Obstacle, Outgoing, Pipe, Server, Upstream};

/// What came of asking.
#[derive(Debug)]
pub enum Switched {
    /// The server switched.
    Yes(Box<Open>),
    /// It answered otherwise.
    No(Box<Response<Answer>>),
}

/// A connection that has left HTTP behind.
#[derive(Debug)]
pub struct Open {
    /// The head of the 101.
    pub response: Response<()>,
    /// The bytes.
    pub pipe: Pipe,
    /// Those that came already.
    pub read: Bytes,
    /// Whose they are.
    pub server: Arc<Server>,
}

impl Upstream {
    /// Asks `only` this server, or any, to switch protocols. The request says to which, and has no body.
    pub async fn switch(
        &self,
        only: Option<&Arc<Server>>,
        mut request: Request<Outgoing>,
        missed: impl Fn(Obstacle),
    ) -> Result<Switched, Failure> {
        let patience = Patience { piece: self.read_timeout, end: Moment::now() + self.total_timeout };
        let any = only.is_none().then(|| self.order());
        for server in only.into_iter().chain(any.into_iter().flatten()) {
            let opening = connect::open(&self.link, server, Use::Switch);
            let connection = match opening.await {
                Ok(connection) => connection,
                Err(obstacle) => {
                    server.not_reached(Instant::now());
                    missed(obstacle);
                    continue;
                }
            };
            server.reached();
            let mut lease = Lease::new(connection, server, 0);
            let Some(connection) = &mut lease.connection else { return Err(Failure::Broken) };
            let mut response = match Self::head(connection, request, None, patience).await {
                Ok(response) => response,
                Err(Lost::Unsent(unsent)) => {
                    request = *unsent;
                    continue;
                }
                Err(Lost::Hangup) => return Err(Failure::Broken),
                Err(Lost::Failed(failure)) => return Err(failure),
            };
            if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                let answer = |incoming| Answer::new(incoming, lease, None, patience);
                return Ok(Switched::No(Box::new(response.map(answer))));
            }
            let upgraded = hyper::upgrade::on(&mut response).await.map_err(|_| Failure::Broken)?;
            let (pipe, read) = Pipe::new(upgraded).ok_or(Failure::Broken)?;
            let response = response.map(drop);
            return Ok(Switched::Yes(Box::new(Open { response, pipe, read, server: server.clone() })));
        }
        Err(Failure::Unreachable)
    }
}
