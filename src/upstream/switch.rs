//! Asking a server to leave HTTP behind, on a connection of its own that nobody used before and nobody will use after.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};

use super::answer::{Answer, Lease};
use super::choice::Choice;
use super::connect::{self, Use};
use super::exchange::{Failure, Lost, is_failure};
use super::pipe::pipe;
use super::server::Fault;
use super::{Outgoing, Pipe, Server, Upstream};

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
    /// Asks `only` this server, or any for this tenant, to switch protocols. The request says to which, and has no body.
    pub async fn switch(
        &self,
        only: Option<&Arc<Server>>,
        tenant: Option<u64>,
        mut request: Request<Outgoing>,
    ) -> Result<Switched, Failure> {
        let patience = self.patience(self.config.read_timeout);
        let mut choice = only.map_or_else(|| self.choice(tenant), |only| Choice::Only(Some(only)));
        while let Some(server) = choice.next() {
            let slot = self.enter(server).await?;
            let opening = connect::open(&self.link, server, Use::Switch);
            let Ok(connection) = opening.await else {
                self.failed(server, Fault::Unreachable);
                continue;
            };
            let mut lease = Lease::new(connection, slot, 0);
            let Some(connection) = &mut lease.connection else { return Err(Failure::Broken) };
            let mut response = match Self::head(connection, request, None, patience).await {
                Ok(response) => response,
                Err(Lost::Unsent(unsent)) => {
                    request = *unsent;
                    continue;
                }
                Err(lost) => {
                    self.failed(server, Fault::Answer);
                    return Err(lost.failure());
                }
            };
            if is_failure(response.status()) {
                self.failed(server, Fault::Answer);
            } else {
                server.answered();
            }
            if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                let answer = |incoming| Answer::new(incoming, lease, None, patience);
                return Ok(Switched::No(Box::new(response.map(answer))));
            }
            let upgraded = hyper::upgrade::on(&mut response).await.map_err(|_| Failure::Broken)?;
            let (pipe, read) = pipe(upgraded).ok_or(Failure::Broken)?;
            let response = response.map(drop);
            return Ok(Switched::Yes(Box::new(Open { response, pipe, read, server: server.clone() })));
        }
        Err(Failure::Unreachable)
    }
}
