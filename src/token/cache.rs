//! Verified tokens, remembered so that a caller's next request costs a look-up and no signature check.
//!
//! The key is the whole token: nothing shorter decides. (The end of its signature is random enough to find the place;
//! hashing all of a token would cost more than everything else here.) Memory is bounded by two generations per shard: what is
//! used moves to the young one, and when that is full the old one is forgotten. A lock is held for one look-up, and
//! what is forgotten is freed after it is released. Only verified tokens get in, so a caller can't fill it with noise.

use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::VerifiedToken;
use crate::request::Timestamp;

const SHARDS: usize = 64;
/// How much of a token's end is hashed, in bytes: signature only, for every algorithm that is accepted.
const HASHED_BYTES: usize = 64;

/// How much may be remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// Tokens.
    pub entries: usize,
    /// Bytes, as far as they can be estimated from a token's length.
    pub bytes: usize,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self { entries: 50_000, bytes: 128 * 1024 * 1024 }
    }
}

/// A verified token and what its validity rests on.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) token: Arc<VerifiedToken>,
    /// Which issuer's configuration judged it.
    pub(super) stamp: u64,
    /// Which of the issuer's key sets it was verified with.
    pub(super) generation: u64,
    /// When it is over, leeway included.
    pub(super) dies: Timestamp,
}

struct Slot {
    raw: Box<[u8]>,
    entry: Entry,
}

type Slots = HashMap<u64, Slot, foldhash::fast::RandomState>;

#[derive(Default)]
struct Shard {
    young: Slots,
    young_bytes: usize,
    old: Slots,
}

impl Shard {
    /// Puts a slot among the young; returns what is forgotten for it.
    fn keep(&mut self, key: u64, slot: Slot, most: CacheLimits) -> Option<Slots> {
        self.young_bytes += cost(&slot.raw);
        self.young.insert(key, slot);
        if self.young.len() < most.entries && self.young_bytes < most.bytes {
            return None;
        }
        self.young_bytes = 0;
        Some(std::mem::replace(&mut self.old, std::mem::take(&mut self.young)))
    }
}

pub(super) struct Cache {
    /// Seeded at random, so that nobody can choose what collides.
    hasher: foldhash::quality::RandomState,
    shards: Box<[Mutex<Shard>]>,
    /// For one generation of one shard.
    most: CacheLimits,
}

impl Cache {
    pub(super) fn new(limits: CacheLimits) -> Self {
        let share = |total: usize| (total / (2 * SHARDS)).max(1);
        Self {
            hasher: foldhash::quality::RandomState::default(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            most: CacheLimits { entries: share(limits.entries), bytes: share(limits.bytes) },
        }
    }

    /// What is remembered of exactly this token.
    pub(super) fn get(&self, raw: &[u8]) -> Option<Entry> {
        let key = self.place_of(raw);
        let mut shard = self.shard(key)?;
        if let Some(slot) = shard.young.get(&key) {
            return (*slot.raw == *raw).then(|| slot.entry.clone());
        }
        // Used again: it outlives the old generation.
        let slot = shard.old.remove(&key).filter(|slot| *slot.raw == *raw)?;
        let entry = slot.entry.clone();
        let forgotten = shard.keep(key, slot, self.most);
        drop(shard);
        drop(forgotten);
        Some(entry)
    }

    /// Remembers a token.
    pub(super) fn put(&self, raw: &[u8], entry: Entry) {
        let key = self.place_of(raw);
        let slot = Slot { raw: raw.into(), entry };
        let Some(mut shard) = self.shard(key) else { return };
        let replaced = shard.old.remove(&key);
        let forgotten = shard.keep(key, slot, self.most);
        drop(shard);
        drop((replaced, forgotten));
    }

    /// How many tokens are remembered.
    pub(super) fn len(&self) -> usize {
        let lock = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.young.len() + shard.old.len()
        };
        self.shards.iter().map(lock).sum()
    }

    fn place_of(&self, bytes: &[u8]) -> u64 {
        let end = bytes.get(bytes.len().saturating_sub(HASHED_BYTES)..).unwrap_or(bytes);
        self.hasher.hash_one(end)
    }

    fn shard(&self, key: u64) -> Option<MutexGuard<'_, Shard>> {
        // The top bits: the table inside uses another hash of the key anyway.
        let index = usize::try_from(key >> 58).ok()?;
        let shard = self.shards.get(index)?;
        // Nothing panics while it holds the lock; if it did, a shard of a cache has no state to be torn.
        Some(shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("tokens", &self.len()).finish_non_exhaustive()
    }
}

/// The token itself, its claims (three quarters of it, and the tree around them), and the slot.
fn cost(raw: &[u8]) -> usize {
    raw.len() * 3 + 512
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::super::IssuerKind;
    use super::*;

    fn entry(generation: u64) -> Entry {
        let token = VerifiedToken::hypothetical("sso".into(), IssuerKind::Oidc, Map::new());
        Entry { token: Arc::new(token), stamp: 1, generation, dies: Timestamp(9) }
    }

    #[test]
    fn the_whole_token_is_the_key() {
        let cache = Cache::new(CacheLimits::default());
        cache.put(b"a.b.c", entry(1));
        assert!(cache.get(b"a.b.c").is_some());
        for other in ["a.b.d", "a.b.c.", "a.b.", "A.b.c", ""] {
            assert!(cache.get(other.as_bytes()).is_none(), "{other}");
        }
        let (mine, like_mine) = (format!("a{}", "s".repeat(64)), format!("b{}", "s".repeat(64)));
        cache.put(mine.as_bytes(), entry(1));
        assert!(cache.get(like_mine.as_bytes()).is_none(), "the same end is not the same token");
        cache.put(like_mine.as_bytes(), entry(1));
        assert!(cache.get(mine.as_bytes()).is_none() && cache.get(like_mine.as_bytes()).is_some());
        cache.put(b"a.b.c", entry(2));
        assert_eq!(cache.get(b"a.b.c").unwrap().generation, 2);
        assert_eq!(cache.len(), 2);
    }

    #[test]
    fn memory_is_bounded_and_what_is_used_stays() {
        let limits = CacheLimits { entries: 1280, bytes: usize::MAX };
        let cache = Cache::new(limits);
        cache.put(b"used", entry(1));
        for number in 0..20_000 {
            cache.put(number.to_string().as_bytes(), entry(1));
            assert!(cache.get(b"used").is_some(), "after {number}");
        }
        assert!(cache.len() <= limits.entries, "{}", cache.len());
        assert!(cache.get(b"0").is_none());
    }

    #[test]
    fn long_tokens_count_for_more() {
        let cache = Cache::new(CacheLimits { entries: usize::MAX, bytes: 1024 * 1024 });
        let long = "x".repeat(4000);
        for number in 0..2_000 {
            cache.put(format!("{long}{number}").as_bytes(), entry(1));
        }
        assert!(cache.len() * cost(long.as_bytes()) <= 2 * 1024 * 1024, "{}", cache.len());
    }
}
