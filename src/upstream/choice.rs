//! Which server a request goes to, and whether it may go there yet: the effects' side of `balance`.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::time::{Instant as Moment, timeout_at};

use super::gate::Waiting;
use super::server::{Server, Slot};
use super::{Failure, Upstream};
use crate::balance::Turn;

/// The servers that a request may try, one after the other.
pub(super) enum Choice<'u> {
    /// This one, if it wasn't tried.
    Only(Option<&'u Arc<Server>>),
    /// All of an upstream's.
    Among(&'u Upstream, Turn),
}

impl<'u> Choice<'u> {
    /// Whether there is a next one.
    pub(super) fn has_more(&self) -> bool {
        match self {
            Self::Only(server) => server.is_some(),
            Self::Among(upstream, turn) => turn.has_more(upstream.servers.len()),
        }
    }

    /// The next one.
    pub(super) fn next(&mut self) -> Option<&'u Arc<Server>> {
        match self {
            Self::Only(server) => server.take(),
            Self::Among(upstream, turn) => {
                let servers = &upstream.servers;
                let now = servers.iter().any(|server| server.is_marked()).then(Instant::now);
                let look =
                    |index: usize| servers.get(index).map(|server| server.standing(now)).unwrap_or_default();
                turn.next(servers.len(), look).and_then(|index| servers.get(index))
            }
        }
    }
}

impl Upstream {
    /// The servers in the order in which a request of this tenant's should try them.
    pub(super) fn choice(&self, tenant: Option<u64>) -> Choice<'_> {
        match &self.servers[..] {
            [] => Choice::Only(None),
            [only] => Choice::Only(Some(only)),
            _ => {
                let ticket = self.ticket.fetch_add(1, Ordering::Relaxed);
                Choice::Among(self, Turn::new(self.config.balance, ticket, tenant))
            }
        }
    }

    /// Lets a request go to `server`, at once or when fewer are in flight.
    pub(super) async fn enter(&self, server: &Arc<Server>) -> Result<Slot, Failure> {
        // Nobody overtakes those who wait.
        if self.gate.waiting.load(Ordering::Relaxed) == 0
            && let Some(slot) = self.try_enter(server)
        {
            return Ok(slot);
        }
        Box::pin(self.wait(server)).await
    }

    fn try_enter(&self, server: &Arc<Server>) -> Option<Slot> {
        let others = match self.servers.len() {
            1 => 0,
            _ => self.servers.iter().filter(|own| own.id != server.id).map(|own| own.in_flight()).sum(),
        };
        Slot::take(server, self.config.in_flight.saturating_sub(others))
    }

    async fn wait(&self, server: &Arc<Server>) -> Result<Slot, Failure> {
        let overloaded = || {
            self.gate.overloads.fetch_add(1, Ordering::Relaxed);
            Failure::Overloaded
        };
        let place = Waiting::take(&self.gate, self.config.pending).ok_or_else(overloaded)?;
        let until = Moment::now() + self.config.pending_timeout;
        loop {
            // First in the queue, then one more look: a request that ends in between wakes us.
            let mut freed = pin!(self.gate.freed.notified());
            freed.as_mut().enable();
            if let Some(slot) = self.try_enter(server) {
                drop(place);
                return Ok(slot);
            }
            timeout_at(until, freed).await.map_err(|_| overloaded())?;
        }
    }
}
