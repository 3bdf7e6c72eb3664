//! What a period of a log says of the rules: which grants nobody used, the least that would have sufficed, which conditions
//! never stood against anyone, and what people asked for in vain, again and again. For a human to read: nothing here is
//! ever applied, and a period says nothing of what comes after it.

mod conclude;
mod findings;

use std::collections::HashMap;
use std::hash::Hash;

pub use self::findings::{Denied, Findings, Held, Needed, OfRole, Repaired, Unused, Used, Why};
use super::{Met, person};
use crate::record::{Effect, Record};

/// Ways of use that are told apart, of each kind.
const KINDS_MAX: usize = 50_000;
/// Denials that recur: at least so many requests.
const RECURS: u64 = 3;

type Counts<K> = HashMap<K, Count, foldhash::fast::FixedState>;

/// What is counted of a period, to be concluded from with a snapshot at hand. Two parts can be added up.
#[derive(Clone, Debug, Default)]
pub struct Period {
    /// Records in it.
    pub records: u64,
    /// The requests that they stand for.
    pub requests: u64,
    /// When the first was decided, and the last.
    pub between: Option<(String, String)>,
    /// Records that stand for more than themselves.
    pub sampled: u64,
    /// Records that the log lost.
    pub dropped: u64,
    /// Ways of use beyond what is told apart.
    pub beyond: u64,
    /// Records by the hash of the rules that decided.
    pub decided_by: HashMap<String, u64>,
    roles: Counts<(String, String)>,
    allowed: Counts<Allowed>,
    refused: Counts<Refused>,
}

/// How often, and by how many people.
#[derive(Clone, Debug, Default)]
pub struct Count {
    /// Requests.
    pub requests: u64,
    /// People.
    pub people: Met,
}

impl Count {
    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.people.join(other.people);
    }
}

/// A grant in use.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Allowed {
    app: String,
    role: String,
    permission: String,
    /// `GET /calls/{call}`, `EMIT close`.
    operation: String,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Refused {
    app: String,
    operation: String,
    roles: Vec<String>,
    reason: String,
    /// The role whose grant came nearest, and what it was of.
    nearest: Option<(String, String)>,
    condition: Option<String>,
}

/// Moments, as records write them; both may be left open.
#[derive(Clone, Debug, Default)]
pub struct Bounds {
    /// The first that counts.
    pub since: Option<String>,
    /// The first that doesn't any more.
    pub until: Option<String>,
}

impl Bounds {
    /// Whether a record was made in between. Moments of one form follow each other like their texts.
    #[must_use]
    pub fn hold(&self, record: &Record) -> bool {
        self.since.as_ref().is_none_or(|since| *since <= record.ts)
            && self.until.as_ref().is_none_or(|until| record.ts < *until)
    }
}

impl Period {
    /// Counts a record.
    pub fn put(&mut self, record: &Record) {
        let weight = record.sampled.max(1);
        self.records += 1;
        self.requests += weight;
        self.sampled += u64::from(weight > 1);
        self.dropped += record.dropped_before;
        self.during(&record.ts, &record.ts);
        if self.decided_by.len() < KINDS_MAX {
            *self.decided_by.entry(record.rules.hash.clone()).or_default() += 1;
        }
        let Some(app) = &record.app else { return };
        let who = person(record);
        for role in &record.roles {
            note(&mut self.roles, (app.clone(), role.clone()), (weight, who), &mut self.beyond);
        }
        let Some(operation) = operation(record) else { return };
        let nearest = record.role.clone().zip(record.permission.clone());
        match (record.effect, nearest) {
            (Effect::Allow, Some((role, permission))) => {
                let key = Allowed { app: app.clone(), role, permission, operation };
                note(&mut self.allowed, key, (weight, who), &mut self.beyond);
            }
            (Effect::Allow, None) => {}
            (Effect::Deny, nearest) => {
                let key = Refused {
                    app: app.clone(),
                    operation,
                    roles: record.roles.clone(),
                    reason: record.reason.clone(),
                    nearest,
                    condition: record.condition.clone(),
                };
                note(&mut self.refused, key, (weight, who), &mut self.beyond);
            }
        }
    }

    fn during(&mut self, first: &str, last: &str) {
        match &mut self.between {
            None => self.between = Some((first.to_owned(), last.to_owned())),
            Some((begin, end)) => {
                if first < begin.as_str() {
                    first.clone_into(begin);
                }
                if last > end.as_str() {
                    last.clone_into(end);
                }
            }
        }
    }

    /// Adds another part of the period.
    pub fn add(&mut self, other: Self) {
        self.records += other.records;
        self.requests += other.requests;
        self.sampled += other.sampled;
        self.dropped += other.dropped;
        self.beyond += other.beyond;
        if let Some((first, last)) = &other.between {
            self.during(first, last);
        }
        for (hash, records) in other.decided_by {
            *self.decided_by.entry(hash).or_default() += records;
        }
        join(&mut self.roles, other.roles, &mut self.beyond);
        join(&mut self.allowed, other.allowed, &mut self.beyond);
        join(&mut self.refused, other.refused, &mut self.beyond);
    }
}

fn note<K: Eq + Hash>(counts: &mut Counts<K>, key: K, (weight, who): (u64, Option<u64>), beyond: &mut u64) {
    if counts.len() >= KINDS_MAX && !counts.contains_key(&key) {
        *beyond += weight;
        return;
    }
    let count = counts.entry(key).or_default();
    count.requests += weight;
    who.into_iter().for_each(|one| count.people.note(one));
}

fn join<K: Eq + Hash>(counts: &mut Counts<K>, other: Counts<K>, beyond: &mut u64) {
    for (key, count) in other {
        if counts.len() >= KINDS_MAX && !counts.contains_key(&key) {
            *beyond += count.requests;
        } else {
            counts.entry(key).or_default().add(count);
        }
    }
}

/// The operation as rule files write it; `HEAD` is judged as `GET`.
fn operation(record: &Record) -> Option<String> {
    let method = record.method.as_deref()?;
    let method = if method == "HEAD" { "GET" } else { method };
    let what = record.event.as_deref().or(record.route.as_deref())?;
    Some(format!("{method} {what}"))
}
