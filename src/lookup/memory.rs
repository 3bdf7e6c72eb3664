//! What apps answered, for as long as it may be used, and the questions that are on their way.
//!
//! An answer is remembered under its whole key and dies at its time, at a `forget`, or when there is no room: the oldest
//! half of a shard goes first, and being used doesn't make an answer younger, so that a hit changes nothing. A lock is
//! held for one look into a map, never while anything waits, and what is dropped is freed after it is released.
//!
//! `forget` takes no lock and searches nothing. It moves a number that was written down when the question was asked; an
//! answer or a flight with another number is not there. The numbers are few, so one may stand for two namespaces:
//! then a little too much is forgotten, never too little.

use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::watch;

use crate::policy::lookup::{Forget, LookUpKey, LookedUp, NoAnswer};
use crate::telemetry::Hits;

const SHARDS: usize = 16;
const STAMPS: usize = 4096;
/// Longest time for which "there is no such thing" is believed: whoever makes one shouldn't have to wait for it.
const NOTHING_MAX: Duration = Duration::from_secs(2);
/// How long a failing app is left alone: shorter than the `Retry-After` that its callers are given, so that each of
/// their attempts is one.
const FAILURE: Duration = Duration::from_millis(500);
/// Memory for the largest answer that is remembered; a larger one is asked for each time.
const WEIGHT_MAX: usize = 1024 * 1024;

/// How much may be remembered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) entries: usize,
    pub(super) bytes: usize,
}

/// Answers and flights.
pub(super) struct Memory {
    /// Seeded at random, so that nobody can choose what collides.
    hasher: foldhash::quality::RandomState,
    shards: Box<[Mutex<Shard>]>,
    stamps: Box<[AtomicU64]>,
    /// For one generation of one shard.
    most: Room,
}

struct Slot {
    key: LookUpKey,
    answer: LookedUp,
    stamp: u64,
    dies: Instant,
    hits: Hits,
}

type Slots = HashMap<u64, Slot, foldhash::fast::RandomState>;

#[derive(Default)]
struct Shard {
    young: Slots,
    young_bytes: usize,
    old: Slots,
    flights: HashMap<LookUpKey, Arc<Flight>>,
}

/// A question on its way.
#[derive(Debug)]
pub(super) struct Flight {
    stamp: u64,
    answer: watch::Sender<Option<LookedUp>>,
}

/// Where an asker hears the answer.
pub(super) type Awaited = watch::Receiver<Option<LookedUp>>;

/// What an asker finds.
pub(super) enum Joined {
    /// The answer.
    Known(LookedUp, Hits),
    /// The question, asked by someone else.
    Shared(Awaited),
    /// Nothing: the question is the asker's to ask, and everyone's to hear.
    First(Awaited, Landing),
}

impl Memory {
    pub(super) fn new(room: Room) -> Arc<Self> {
        let share = |total: usize| (total / (2 * SHARDS)).max(1);
        Arc::new(Self {
            hasher: foldhash::quality::RandomState::default(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            stamps: (0..STAMPS).map(|_| AtomicU64::new(0)).collect(),
            most: Room { entries: share(room.entries), bytes: share(room.bytes) },
        })
    }

    /// The answer, if it is known and still good. Waits for nothing and allocates nothing.
    pub(super) fn get(&self, key: &LookUpKey, now: Instant) -> Option<LookedUp> {
        let place = self.hasher.hash_one(key);
        let stamp = self.stamp(key);
        let (answer, hits) = self.shard(place)?.get(place, key, stamp, now)?;
        hits.count();
        Some(answer)
    }

    /// Takes part in the question, whoever asks it.
    pub(super) fn join(self: &Arc<Self>, key: &LookUpKey, now: Instant) -> Option<Joined> {
        let place = self.hasher.hash_one(key);
        let stamp = self.stamp(key);
        let mut shard = self.shard(place)?;
        if let Some((answer, hits)) = shard.get(place, key, stamp, now) {
            return Some(Joined::Known(answer, hits));
        }
        // One that took off before a write has another number, and is left to those who joined it then.
        if let Some(flight) = shard.flights.get(key).filter(|flight| flight.stamp == stamp) {
            return Some(Joined::Shared(flight.answer.subscribe()));
        }
        let (answer, awaited) = watch::channel(None);
        let flight = Arc::new(Flight { stamp, answer });
        shard.flights.insert(key.clone(), flight.clone());
        drop(shard);
        let landing = Landing { memory: self.clone(), key: key.clone(), flight, asked: now };
        Some(Joined::First(awaited, landing))
    }

    /// Nothing that was asked before this is used after it.
    pub(super) fn forget(&self, forget: &Forget) {
        if let Some(stamp) = self.stamp_of(&forget.app, &forget.tenant, &forget.namespace) {
            stamp.fetch_add(1, Ordering::SeqCst);
        }
        if let Some(stamp) = self.stamp_of(&forget.app, "", "") {
            stamp.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Moves with everything that is forgotten of an app.
    pub(super) fn written(&self, app: &str) -> u64 {
        self.stamp_of(app, "", "").map_or(0, |stamp| stamp.load(Ordering::SeqCst))
    }

    /// Answers in memory, dead ones included, and flights.
    pub(super) fn len(&self) -> (usize, usize) {
        let lock = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            (shard.young.len() + shard.old.len(), shard.flights.len())
        };
        self.shards.iter().map(lock).fold((0, 0), |(a, b), (c, d)| (a + c, b + d))
    }

    fn stamp(&self, key: &LookUpKey) -> u64 {
        let stamp = self.stamp_of(&key.app, &key.tenant, &key.namespace);
        stamp.map_or(0, |stamp| stamp.load(Ordering::SeqCst))
    }

    fn stamp_of(&self, app: &str, tenant: &str, namespace: &str) -> Option<&AtomicU64> {
        let place = self.hasher.hash_one((app, tenant, namespace));
        self.stamps.get(usize::try_from(place % STAMPS as u64).ok()?)
    }

    fn shard(&self, place: u64) -> Option<MutexGuard<'_, Shard>> {
        let shard = self.shards.get(usize::try_from(place >> 60).ok()?)?;
        // Nothing panics while it holds the lock; if it did, there would be no state to be torn.
        Some(shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (answers, flights) = self.len();
        f.debug_struct("Memory").field("answers", &answers).field("flights", &flights).finish_non_exhaustive()
    }
}

impl Shard {
    fn get(&self, place: u64, key: &LookUpKey, stamp: u64, now: Instant) -> Option<(LookedUp, Hits)> {
        let slot = self.young.get(&place).or_else(|| self.old.get(&place))?;
        let is_good = slot.stamp == stamp && now < slot.dies && slot.key == *key;
        is_good.then(|| (slot.answer.clone(), slot.hits.clone()))
    }

    /// Puts a slot among the young; returns what is dropped for it.
    fn keep(&mut self, place: u64, slot: Slot, weight: usize, most: Room) -> (Option<Slot>, Slots) {
        self.young_bytes += weight;
        let replaced = self.young.insert(place, slot);
        if self.young.len() < most.entries && self.young_bytes < most.bytes {
            return (replaced, Slots::default());
        }
        self.young_bytes = 0;
        (replaced, std::mem::replace(&mut self.old, std::mem::take(&mut self.young)))
    }
}

/// The duty to answer everyone who waits. Dropped without an answer, whatever the reason, it lets them know.
#[derive(Debug)]
pub(super) struct Landing {
    memory: Arc<Memory>,
    key: LookUpKey,
    flight: Arc<Flight>,
    asked: Instant,
}

impl Landing {
    /// Hands the answer to all who wait, and remembers it. It is as old as its question: who answers slowly may speak of
    /// what was.
    pub(super) fn land(self, answer: LookedUp, ttl: Duration, hits: Hits, now: Instant) {
        let dies = match &answer {
            LookedUp::Found(_) => self.asked + ttl,
            LookedUp::Nothing => self.asked + ttl.min(NOTHING_MAX),
            // Nobody knows whether this one would be answered: it wasn't asked.
            LookedUp::Unavailable(NoAnswer::Unaskable) => now,
            LookedUp::Unavailable(_) => now + FAILURE,
        };
        let weight = weight(&self.key, &answer);
        let key = self.key.clone();
        let place = self.memory.hasher.hash_one(&key);
        // One from before a write is of no use, and may not take the place of one from after it.
        let is_current = self.memory.stamp(&key) == self.flight.stamp;
        if is_current && now < dies && weight <= WEIGHT_MAX {
            let slot = Slot { key, answer: answer.clone(), stamp: self.flight.stamp, dies, hits };
            let dropped =
                self.memory.shard(place).map(|mut own| own.keep(place, slot, weight, self.memory.most));
            drop(dropped);
        }
        self.flight.answer.send_replace(Some(answer));
    }

    /// Waits until nobody waits for the answer any more, and takes the question back; askers who came in the last moment
    /// are waited for too.
    pub(super) async fn abandoned(&self) {
        loop {
            self.flight.answer.closed().await;
            let Some(mut shard) = self.memory.shard(self.memory.hasher.hash_one(&self.key)) else { return };
            if self.flight.answer.receiver_count() == 0 {
                self.leave(&mut shard);
                return;
            }
        }
    }

    fn leave(&self, shard: &mut Shard) {
        // A later flight of the same question stays.
        if shard.flights.get(&self.key).is_some_and(|own| Arc::ptr_eq(own, &self.flight)) {
            shard.flights.remove(&self.key);
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        if let Some(mut shard) = self.memory.shard(self.memory.hasher.hash_one(&self.key)) {
            self.leave(&mut shard);
        }
    }
}

/// About how many bytes an answer takes in memory, which is more than it took on the wire.
fn weight(key: &LookUpKey, answer: &LookedUp) -> usize {
    let own = size_of::<Slot>() * 2 + key.target.len();
    match answer {
        LookedUp::Found(value) => own + weight_of(value),
        LookedUp::Nothing | LookedUp::Unavailable(_) => own,
    }
}

/// Follows nesting, which whoever read the value has bounded.
fn weight_of(value: &Value) -> usize {
    /// A node of the map that holds up to eleven members, at least half full but for the only one.
    const NODE: usize = 11 * (size_of::<String>() + size_of::<Value>()) + 32;
    let inner = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight_of).sum(),
        Value::Object(members) => {
            let nodes = members.len().div_ceil(5) * NODE;
            members.iter().map(|(name, value)| name.len() + weight_of(value)).sum::<usize>() + nodes
        }
    };
    size_of::<Value>() + inner
}

#[cfg(test)]
mod tests;
