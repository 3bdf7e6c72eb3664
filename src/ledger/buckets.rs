//! The buckets of all rates: who has come how often. In memory alone, and bounded: after a restart all are full.
//!
//! A bucket that is full again is forgotten when room is needed. One that isn't is never forgotten for another's sake,
//! so that nobody gets a new one by making many come; whoever there is no room for shares one with all others like him.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::budget::{Bucket, BudgetClaim, Budgeted, Kind, Limit, Moment, Subject, Wait, Wanted};

/// Parts of a table, each with a lock of its own.
const SHARDS: usize = 16;
/// Most buckets of one part: what a hash table of 4096 places holds.
const SHARD_MAX: usize = 3500;
/// Most shared buckets in one part, beyond the others: there is one for each rate that some set of files had.
const SHARED_MAX: usize = 500;
/// How long to wait before looking again for buckets that have become full.
const SWEEP_EVERY: u64 = 1_000_000_000;

/// The buckets of one gateway.
#[derive(Debug)]
pub struct Buckets {
    began: Instant,
    hasher: RandomState,
    /// By kind, so that no flood of one kind takes another's room.
    tables: [Table; 3],
    shared: AtomicU64,
}

type Table = [Mutex<Shard>; SHARDS];

#[derive(Debug, Default)]
struct Shard {
    /// By the rate's id and whose bucket it is.
    buckets: HashMap<(u64, Subject), Bucket>,
    swept: Moment,
}

/// A token that was taken, to be put back if it was for nothing.
struct Taken<'w> {
    limit: &'w Limit,
    subject: Subject,
}

impl Default for Buckets {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            hasher: RandomState::new(),
            tables: Default::default(),
            shared: AtomicU64::new(0),
        }
    }
}

impl Buckets {
    /// Takes what a request costs: all of it, or nothing.
    pub fn spend(&self, claim: &BudgetClaim, now: Instant) -> Budgeted {
        let now = self.moment(now);
        let role = match self.one_of(&claim.roles, now) {
            Ok(taken) => taken,
            Err((limit, wait)) => return over(limit, wait),
        };
        let Some(wanted) = &claim.tenant else { return Budgeted::Within };
        match self.take(wanted, now) {
            Ok(_) => Budgeted::Within,
            Err(wait) => {
                role.into_iter().for_each(|taken| self.give_back(&taken));
                over(&wanted.limit, wait)
            }
        }
    }

    /// Takes one token, for a request that nothing is known of yet.
    pub fn arrive(&self, wanted: &Wanted, now: Instant) -> Budgeted {
        match self.take(wanted, self.moment(now)) {
            Ok(_) => Budgeted::Within,
            Err(wait) => over(&wanted.limit, wait),
        }
    }

    /// Puts back what a claim cost that was within its budget. Whose token it was doesn't matter: where it was one of
    /// several roles', the first gets it.
    pub fn refund(&self, claim: &BudgetClaim) {
        for wanted in claim.roles.first().into_iter().chain(&claim.tenant) {
            self.give_back(&Taken { limit: &wanted.limit, subject: wanted.subject.clone() });
        }
    }

    /// How many buckets there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tables.iter().flatten().map(|shard| lock(shard).buckets.len()).sum()
    }

    /// Whether nobody has come yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How often somebody had no bucket of his own.
    #[must_use]
    pub fn shared(&self) -> u64 {
        self.shared.load(Ordering::Relaxed)
    }

    fn moment(&self, now: Instant) -> Moment {
        let since = now.saturating_duration_since(self.began).as_nanos();
        Moment(u64::try_from(since).unwrap_or(u64::MAX))
    }

    /// The first of these that has a token gives it, else it is the one that has one soonest; nothing is asked for where
    /// none is named.
    fn one_of<'w>(&self, roles: &'w [Wanted], now: Moment) -> Result<Option<Taken<'w>>, (&'w Limit, Wait)> {
        let mut shortest: Option<(&Limit, Wait)> = None;
        for wanted in roles {
            match self.take(wanted, now) {
                Ok(taken) => return Ok(Some(taken)),
                Err(wait) if shortest.is_none_or(|(_, own)| wait < own) => {
                    shortest = Some((&*wanted.limit, wait));
                }
                Err(_) => {}
            }
        }
        shortest.map_or(Ok(None), Err)
    }

    fn take<'w>(&self, wanted: &'w Wanted, now: Moment) -> Result<Taken<'w>, Wait> {
        let limit = &*wanted.limit;
        let own = self.take_from(limit, wanted.subject.clone(), now);
        own.unwrap_or_else(|| {
            self.shared.fetch_add(1, Ordering::Relaxed);
            // Only where there were more rates than anyone writes has even this no room.
            self.take_from(limit, Subject::Others, now).unwrap_or(Err(Wait::LONG))
        })
    }

    /// Takes a token of this bucket; nothing if it has none and there is no room for it.
    fn take_from<'w>(
        &self,
        limit: &'w Limit,
        subject: Subject,
        now: Moment,
    ) -> Option<Result<Taken<'w>, Wait>> {
        let key = (limit.id, subject);
        let mut shard = lock(self.shard(limit.kind, &key)?);
        let found = shard.buckets.get_mut(&key);
        if let Some(bucket) = found {
            return Some(bucket.take(limit.rate, now).map(|()| Taken { limit, subject: key.1 }));
        }
        if !shard.has_room(&key.1, now) {
            return None;
        }
        let mut bucket = Bucket::default();
        let taken = bucket.take(limit.rate, now);
        shard.buckets.insert(key.clone(), bucket);
        Some(taken.map(|()| Taken { limit, subject: key.1 }))
    }

    fn give_back(&self, taken: &Taken<'_>) {
        let key = (taken.limit.id, taken.subject.clone());
        let Some(shard) = self.shard(taken.limit.kind, &key) else { return };
        // One that was forgotten meanwhile was full.
        if let Some(bucket) = lock(shard).buckets.get_mut(&key) {
            bucket.give_back(taken.limit.rate);
        }
    }

    fn shard(&self, kind: Kind, key: &(u64, Subject)) -> Option<&Mutex<Shard>> {
        let table = match kind {
            Kind::Address => self.tables.first(),
            Kind::Tenant => self.tables.get(1),
            Kind::Role => self.tables.get(2),
        };
        let at = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).ok()?;
        table?.get(at)
    }
}

impl Shard {
    /// Whether there is room for one more, perhaps after the full ones are forgotten.
    fn has_room(&mut self, subject: &Subject, now: Moment) -> bool {
        let most = match subject {
            Subject::Others => SHARD_MAX + SHARED_MAX,
            _ => SHARD_MAX,
        };
        if self.buckets.len() >= most && now.0.saturating_sub(self.swept.0) >= SWEEP_EVERY {
            self.swept = now;
            self.buckets.retain(|_, bucket| !bucket.is_full(now));
        }
        self.buckets.len() < most
    }
}

fn over(limit: &Limit, wait: Wait) -> Budgeted {
    Budgeted::Over { kind: limit.kind, wait_s: wait.seconds(), place: limit.place.clone() }
}

/// A bucket is never left half changed.
fn lock(shard: &Mutex<Shard>) -> std::sync::MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::budget::{Per, Rate};

    fn limit(kind: Kind, name: &str, count: u32, burst: u32) -> Arc<Limit> {
        let rate = Rate::new(count, Per::Second, burst).unwrap();
        Arc::new(Limit::new("desk", kind, name, rate, "x".into()))
    }

    fn from(limit: &Arc<Limit>, number: u32) -> Wanted {
        let address = IpAddr::V4(Ipv4Addr::from_bits(number));
        Wanted { limit: limit.clone(), subject: Subject::of_address(address) }
    }

    fn of(limit: &Arc<Limit>, tenant: &str) -> Wanted {
        Wanted { limit: limit.clone(), subject: Subject::Tenant(tenant.into()) }
    }

    fn refused(kind: Kind, wait_s: u32) -> Budgeted {
        Budgeted::Over { kind, wait_s, place: "x".into() }
    }

    /// It once was the file's first role, whichever the caller held.
    #[test]
    fn the_rate_that_is_named_is_the_one_that_has_room_soonest() {
        let (buckets, now) = (Buckets::default(), Instant::now());
        let role = |name: &str, per: Per| {
            let rate = Rate::new(1, per, 1).unwrap();
            Arc::new(Limit::new("desk", Kind::Role, name, rate, name.into()))
        };
        let (slow, quick) = (role("slow", Per::Hour), role("quick", Per::Minute));
        for both in [[&slow, &quick], [&quick, &slow]] {
            let subject = Subject::Tenant(both[0].place.clone());
            let wanted = |limit: &&Arc<Limit>| Wanted { limit: (*limit).clone(), subject: subject.clone() };
            let claim = BudgetClaim { tenant: None, roles: both.iter().map(wanted).collect() };
            for _ in both {
                assert_eq!(buckets.spend(&claim, now), Budgeted::Within);
            }
            let over = Budgeted::Over { kind: Kind::Role, wait_s: 60, place: "quick".into() };
            assert_eq!(buckets.spend(&claim, now), over);
        }
    }

    #[test]
    fn all_that_a_claim_costs_or_nothing() {
        let (buckets, now) = (Buckets::default(), Instant::now());
        let (role, tenant) = (limit(Kind::Role, "agent", 1, 5), limit(Kind::Tenant, "", 1, 2));
        let claim = BudgetClaim { tenant: Some(of(&tenant, "acme")), roles: vec![of(&role, "ada")] };
        for _ in 0..2 {
            assert_eq!(buckets.spend(&claim, now), Budgeted::Within);
        }
        for _ in 0..9 {
            assert_eq!(buckets.spend(&claim, now), refused(Kind::Tenant, 1));
        }
        let of_role = BudgetClaim { tenant: None, ..claim.clone() };
        for _ in 0..3 {
            assert_eq!(buckets.spend(&of_role, now), Budgeted::Within, "the refusals cost nothing");
        }
        assert_eq!(buckets.spend(&of_role, now), refused(Kind::Role, 1));
        let later = now + Duration::from_secs(1);
        assert_eq!(buckets.spend(&claim, later), Budgeted::Within);
        assert!(matches!(buckets.spend(&claim, later), Budgeted::Over { kind: Kind::Role, .. }));
        buckets.refund(&claim);
        assert_eq!(buckets.spend(&claim, later), Budgeted::Within);
        assert_eq!(buckets.spend(&claim, now), refused(Kind::Role, 2), "the past");
    }

    #[test]
    fn one_role_with_a_token_suffices() {
        let (buckets, now) = (Buckets::default(), Instant::now());
        let (agent, boss) = (limit(Kind::Role, "agent", 1, 2), limit(Kind::Role, "boss", 1, 3));
        let claim = BudgetClaim { tenant: None, roles: vec![of(&agent, "ada"), of(&boss, "ada")] };
        let within = (0..9).filter(|_| buckets.spend(&claim, now) == Budgeted::Within).count();
        assert_eq!(within, 5);
    }

    /// However many come: memory is bounded, nobody's empty bucket is forgotten, and those without one share.
    #[test]
    fn a_flood_of_addresses_neither_grows_nor_resets() {
        let (buckets, now) = (Buckets::default(), Instant::now());
        let (address, tenant) = (limit(Kind::Address, "", 1, 1), limit(Kind::Tenant, "", 1, 1));
        assert_eq!(buckets.arrive(&from(&address, 0), now), Budgeted::Within);
        let flood = |now| {
            (1..120_000).filter(|own| buckets.arrive(&from(&address, *own), now) == Budgeted::Within).count()
        };
        let let_in = flood(now);
        assert!(let_in < SHARDS * (SHARD_MAX + 1), "{let_in}");
        assert!(buckets.len() <= SHARDS * SHARD_MAX + 1, "{}", buckets.len());
        assert!(buckets.shared() > 60_000);
        assert_eq!(buckets.arrive(&from(&address, 0), now), refused(Kind::Address, 1));
        assert_eq!(buckets.arrive(&of(&tenant, "acme"), now), Budgeted::Within, "another kind has its room");
        // Those who came first have their tokens back by then, and make room.
        let later = now + Duration::from_secs(2);
        let again = flood(later);
        assert!(again > SHARDS * SHARD_MAX / 2 && again < SHARDS * (SHARD_MAX + 1), "{again}");
        assert!(buckets.len() <= SHARDS * SHARD_MAX + 2, "{}", buckets.len());
    }
}
