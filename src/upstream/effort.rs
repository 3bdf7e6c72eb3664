//! What is done so that a request is answered: which servers are tried, in which order, and what is sent a second time.
//!
//! Where nothing of a request left the gateway, the next server is tried, each at most once. Where it was sent and not
//! answered, it is sent again only if it asks for nothing but reading, a few times at most, and only while such requests
//! are a small part of all. What a server answered is never asked for twice.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};

use super::answer::Answer;
use super::choice::Choice;
use super::connect::{self, Use};
use super::exchange::{self, Again, Failure, From, Lost, Patience};
use super::gate::Retried;
use super::outgoing::Outgoing;
use super::pool;
use super::server::{Fault, Slot};
use super::{Server, Upstream};

/// How many connections a server may close before anything was sent on them.
const FRESH_TRIES: usize = 2;

type Sent<'u> = Result<(Response<Answer>, &'u Arc<Server>), Failure>;

impl Upstream {
    /// Sends a request and waits for the head of its answer. `tenant` stands for the acting tenant, if there is one.
    pub async fn send(
        &self,
        request: Request<Outgoing>,
        tenant: Option<u64>,
    ) -> Result<Response<Answer>, Failure> {
        self.try_all((self.choice(tenant), self.config.retries), self.config.read_timeout, request)
            .await
            .map(|(response, _)| response)
    }

    /// As [`Upstream::send`], and says which server answered.
    pub async fn send_and_tell(
        &self,
        request: Request<Outgoing>,
        tenant: Option<u64>,
    ) -> Result<(Response<Answer>, Arc<Server>), Failure> {
        let tries = (self.choice(tenant), self.config.retries);
        let sent = self.try_all(tries, self.config.read_timeout, request).await;
        sent.map(|(response, server)| (response, server.clone()))
    }

    /// Sends a request to this server and no other, which may take `patience` to answer if that is longer than usual. What
    /// was sent isn't sent again, whatever its method: who polls takes away what is there.
    pub async fn send_to(
        &self,
        server: &Arc<Server>,
        patience: Duration,
        request: Request<Outgoing>,
    ) -> Result<Response<Answer>, Failure> {
        let patience = self.config.read_timeout.max(patience);
        let tries = (Choice::Only(Some(server)), 0);
        self.try_all(tries, patience, request).await.map(|(response, _)| response)
    }

    async fn try_all<'u>(
        &'u self,
        (mut choice, repeats): (Choice<'u>, usize),
        piece: Duration,
        request: Request<Outgoing>,
    ) -> Sent<'u> {
        let server = choice.next().ok_or(Failure::Unreachable)?;
        let slot = self.enter(server).await?;
        let patience = self.patience(piece);
        let effort = Effort { upstream: self, choice, repeats, patience, resent: 0, refused_by: None };
        let Some(connection) = pool::take(server, &self.link) else {
            // Seldom needed and large: boxed, so that not every request is moved about with room for it.
            return Box::pin(effort.persist(server, Some(slot), request)).await;
        };
        let patience = effort.patience(&request);
        match self.exchange(slot, (connection, From::Pool), request, patience).await {
            Ok(response) => Ok((response, server)),
            Err(lost) => Box::pin(effort.go_on(server, lost)).await,
        }
    }
}

/// A request that wasn't answered at the first try.
struct Effort<'u> {
    upstream: &'u Upstream,
    choice: Choice<'u>,
    /// How often it may be sent again after it was sent.
    repeats: usize,
    patience: Patience,
    resent: usize,
    /// The server that refused it last.
    refused_by: Option<u64>,
}

impl<'u> Effort<'u> {
    /// How long this try may take: less than the whole where another server could be tried after it.
    fn patience(&self, request: &Request<Outgoing>) -> Patience {
        match self.upstream.config.try_timeout {
            Some(most)
                if self.resent < self.repeats && self.choice.has_more() && exchange::is_safe(request) =>
            {
                Patience { head: most.min(self.patience.head), ..self.patience }
            }
            _ => self.patience,
        }
    }

    /// After a connection from the pool gave no answer.
    async fn go_on(mut self, server: &'u Arc<Server>, lost: Lost) -> Sent<'u> {
        let failure = lost.failure();
        let (server, request) = match lost {
            // It was closed in the meantime, most likely: the same server, over a new connection.
            Lost::Unsent(request) => (server, request),
            Lost::Refused(request) => self.after_refusal(server, request)?,
            Lost::Hangup { again } => (server, self.again(again, failure)?),
            Lost::Late { again } => self.elsewhere(again, failure)?,
            Lost::Failed(failure) => return Err(failure),
        };
        self.persist(server, None, *request).await
    }

    /// Tries servers, each over a new connection, until one answers or nothing may be tried any more.
    async fn persist(
        mut self,
        mut server: &'u Arc<Server>,
        mut slot: Option<Slot>,
        mut request: Request<Outgoing>,
    ) -> Sent<'u> {
        loop {
            let entered = match slot.take() {
                Some(slot) => slot,
                None => self.enter_again(server).await?,
            };
            match self.once(server, entered, request).await {
                Ok(response) => {
                    if self.resent > 0 {
                        self.upstream.gate.retried(Retried::Answered);
                    }
                    return Ok((response, server));
                }
                Err(Lost::Unsent(unsent)) => {
                    request = *unsent;
                    server = self.choice.next().ok_or_else(|| self.failed(Failure::Unreachable))?;
                }
                Err(Lost::Refused(refused)) => {
                    let (next, refused) = self.after_refusal(server, refused)?;
                    (server, request) = (next, *refused);
                }
                Err(Lost::Hangup { again }) => {
                    let (next, again) = self.elsewhere(again, Failure::Broken)?;
                    (server, request) = (next, *again);
                }
                Err(Lost::Late { again }) => {
                    let (next, again) = self.elsewhere(again, Failure::Timeout)?;
                    (server, request) = (next, *again);
                }
                Err(Lost::Failed(failure)) => return Err(self.failed(failure)),
            }
        }
    }

    /// One server over new connections: one that it closes before anything was sent says little.
    async fn once(
        &self,
        server: &Arc<Server>,
        slot: Slot,
        mut request: Request<Outgoing>,
    ) -> Result<Response<Answer>, Lost> {
        let mut slot = Some(slot);
        for _ in 0..FRESH_TRIES {
            let entered = match slot.take() {
                Some(slot) => slot,
                None => self.enter_again(server).await.map_err(Lost::Failed)?,
            };
            let Ok(connection) = connect::open(&self.upstream.link, server, Use::Http).await else {
                self.upstream.failed(server, Fault::Unreachable);
                break;
            };
            let patience = self.patience(&request);
            match self.upstream.exchange(entered, (connection, From::Fresh), request, patience).await {
                Err(Lost::Unsent(unsent)) => request = *unsent,
                ended => return ended,
            }
        }
        Err(Lost::Unsent(Box::new(request)))
    }

    async fn enter_again(&self, server: &Arc<Server>) -> Result<Slot, Failure> {
        let slot = self.upstream.enter(server).await?;
        self.upstream.gate.tried_again();
        Ok(slot)
    }

    /// A server that refused a request may have room a moment later, once. Though nothing was done with the request, this
    /// pays as what is sent again does: one that refuses everything isn't given many times the load.
    fn after_refusal(
        &mut self,
        server: &'u Arc<Server>,
        request: Box<Request<Outgoing>>,
    ) -> Result<(&'u Arc<Server>, Box<Request<Outgoing>>), Failure> {
        let is_second = self.refused_by.replace(server.id) == Some(server.id);
        let next = if is_second { self.choice.next() } else { Some(server) };
        let next = next.ok_or_else(|| self.failed(Failure::Unreachable))?;
        self.pay(self.upstream.config.retries, Failure::Unreachable)?;
        Ok((next, request))
    }

    /// The request once more, for another server, if it may be sent again and there is one.
    fn elsewhere(
        &mut self,
        again: Again,
        failure: Failure,
    ) -> Result<(&'u Arc<Server>, Box<Request<Outgoing>>), Failure> {
        let next = if again.is_some() { self.choice.next() } else { None };
        let server = next.ok_or_else(|| self.failed(failure))?;
        Ok((server, self.again(again, failure)?))
    }

    /// The request once more, if it may be sent again.
    fn again(&mut self, again: Again, failure: Failure) -> Result<Box<Request<Outgoing>>, Failure> {
        let again = again.ok_or_else(|| self.failed(failure))?;
        self.pay(self.repeats, failure)?;
        Ok(again)
    }

    /// Pays for sending a request again, which is done so often `at_most`.
    fn pay(&mut self, at_most: usize, failure: Failure) -> Result<(), Failure> {
        let upstream = self.upstream;
        let tries = || upstream.servers.iter().map(|server| server.requests()).sum();
        if self.resent >= at_most || !upstream.gate.pay(tries()) {
            return Err(self.failed(failure));
        }
        self.resent += 1;
        Ok(())
    }

    /// Nothing more is tried.
    fn failed(&self, failure: Failure) -> Failure {
        if self.resent > 0 {
            self.upstream.gate.retried(Retried::Failed);
        }
        failure
    }
}
