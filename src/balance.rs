//! Which server of an upstream comes next, how much of its share one gets that failed, and how often a request may be
//! sent again. Pure: whoever asks brings a ticket, what is known of the servers, and the time.

mod budget;
mod health;
mod hash;

use std::time::Duration;

use crate::plumbing::{Balance, UpstreamConfig};

pub use budget::Budget;
pub use hash::{mix, stable};
pub use health::{Checked, FAILURES_IN_ROW, Mark, Share, may_eject};

/// Requests that a server may have in flight before a tenant's requests are spread over others too.
const BOUND_LEAST: usize = 16;

/// What is known of one server when it may be its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What it is called, as a number that every gateway makes of it.
    pub key: u64,
    /// Its requests in flight.
    pub load: usize,
    /// How much it is given.
    pub share: Share,
}

impl Default for Standing {
    fn default() -> Self {
        Self { key: 0, load: 0, share: Share::ALL }
    }
}

/// One request's choice of servers: each at most once.
#[derive(Clone, Debug)]
pub struct Turn {
    balance: Balance,
    ticket: u64,
    tenant: Option<u64>,
    tried: u64,
}

impl Turn {
    /// A choice among servers. `ticket` counts the upstream's requests, `tenant` stands for the acting tenant.
    #[must_use]
    pub fn new(balance: Balance, ticket: u64, tenant: Option<u64>) -> Self {
        Self { balance, ticket, tenant, tried: 0 }
    }

    /// Whether one of `servers` wasn't tried.
    #[must_use]
    pub fn has_more(&self, servers: usize) -> bool {
        usize::try_from(self.tried.count_ones()).is_ok_and(|tried| tried < servers)
    }

    /// The server to try next, of `servers`: one in good order if there is any, else any, because a server that failed
    /// lately is still better than no answer.
    pub fn next(&mut self, servers: usize, look: impl Fn(usize) -> Standing) -> Option<usize> {
        let (mut left, mut fit, mut admitted) = (0_u64, 0_u64, 0_u64);
        for index in 0..servers.min(UpstreamConfig::SERVERS_MAX) {
            let bit = 1 << index;
            if self.tried & bit != 0 {
                continue;
            }
            left |= bit;
            let share = look(index).share;
            if share > Share::NONE {
                fit |= bit;
            }
            if share.admits(mix(self.ticket ^ (index as u64) << 32)) {
                admitted |= bit;
            }
        }
        let candidates = [admitted, fit, left].into_iter().find(|mask| *mask != 0)?;
        let picked = match (self.balance, self.tenant) {
            (Balance::LeastRequests, _) => least(candidates, mix(self.ticket), &look),
            (Balance::Tenant, Some(tenant)) => of_tenant(candidates, tenant, &look),
            (Balance::RoundRobin | Balance::Tenant, _) => in_turn(candidates, self.ticket),
        }?;
        self.tried |= 1 << picked;
        Some(picked)
    }
}

/// A time up to a fifth shorter, so that what began together doesn't end together.
#[must_use]
pub fn jittered(time: Duration, random: u64) -> Duration {
    let part = u32::try_from(random % 1024).unwrap_or(0);
    time.saturating_sub(time / 5 * part / 1024)
}

/// The indices in a mask.
fn each(mask: u64) -> impl Iterator<Item = usize> {
    (0..UpstreamConfig::SERVERS_MAX).filter(move |index| (mask >> index) & 1 == 1)
}

/// Those that can be had share what those that can't would have had.
fn in_turn(candidates: u64, ticket: u64) -> Option<usize> {
    let count = u64::from(candidates.count_ones()).max(1);
    each(candidates).nth(usize::try_from(ticket % count).unwrap_or(0))
}

/// Power of two choices: nearly as even as looking at all, and gateways that know only their own requests don't all
/// run to the same server.
fn least(candidates: u64, random: u64, look: &impl Fn(usize) -> Standing) -> Option<usize> {
    let count = u64::from(candidates.count_ones());
    let first = random % count.max(1);
    let one = in_turn(candidates, first)?;
    if count < 2 {
        return Some(one);
    }
    let step = 1 + (random >> 32) % (count - 1);
    let other = in_turn(candidates, first + step)?;
    Some(if look(other).load < look(one).load { other } else { one })
}

/// Rendezvous hashing: the server that draws highest for this tenant; without it the next highest, so that a server that
/// goes moves its own tenants only, and spreads them over all. One that has far more than its part is passed over.
fn of_tenant(candidates: u64, tenant: u64, look: &impl Fn(usize) -> Standing) -> Option<usize> {
    let count = usize::try_from(candidates.count_ones()).unwrap_or(1).max(1);
    let total: usize = each(candidates).map(|index| look(index).load).sum();
    let bound = (total.saturating_add(1).saturating_mul(5) / 4).div_ceil(count).max(BOUND_LEAST);
    let drawn = |index: &usize| mix(tenant ^ look(*index).key);
    let free = each(candidates).filter(|index| look(*index).load < bound).max_by_key(drawn);
    free.or_else(|| each(candidates).max_by_key(drawn))
}

#[cfg(test)]
mod tests;
