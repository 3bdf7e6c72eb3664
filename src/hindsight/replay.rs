//! A log put to rules: which of its decisions would change, in groups that a person can read, with how many people and
//! tenants each concerns. Two halves of a log can be put apart and added up.

use std::collections::{BTreeMap, HashMap};

use super::again::{Again, Change, Now, again};
use super::{Met, person, tenant};
use crate::policy::Operation;
use crate::record::{Effect, Record, Unreplayable};
use crate::snapshot::Snapshot;

/// Groups that are told apart; decisions beyond are counted together.
const GROUPS_MAX: usize = 10_000;
/// Decisions that each group names.
const SAMPLES: usize = 3;
/// Reasons, and rule sets, that are told apart.
const WORDS_MAX: usize = 256;

/// What became of a log.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    /// Records that were read.
    pub records: u64,
    /// The requests that they stand for.
    pub requests: u64,
    /// Requests that are answered alike.
    pub alike: u64,
    /// Requests that no rule was asked about, by the reason that they were refused for.
    pub before_rules: BTreeMap<String, u64>,
    /// Requests that can't be put to rules again, by why.
    pub unreplayable: BTreeMap<String, u64>,
    /// Records that stand for more than themselves.
    pub sampled: u64,
    /// Records that the log lost.
    pub dropped: u64,
    /// The rules that decided: revision, hash, and how many records.
    pub decided_by: BTreeMap<(u64, String), u64>,
    /// When the first was decided, and the last.
    pub period: Option<(String, String)>,
    /// Requests in groups beyond what is told apart, by whether they widen and narrow.
    pub beyond: u64,
    groups: HashMap<Key, Group, foldhash::fast::FixedState>,
}

/// Decisions that changed in the same way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// How.
    pub kind: Kind,
    /// The app.
    pub app: String,
    /// The permission, or the route where none decided.
    pub what: String,
    /// The caller's roles, by name.
    pub roles: Vec<String>,
    /// The reasons: then, and now.
    pub reasons: (String, String),
    /// What is held back: then, and now; where that is what changed.
    pub obligations: (Vec<String>, Vec<String>),
}

/// How decisions changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// So.
    Changed(Change),
    /// It can't be known: the record doesn't hold these facts. Whether it was denied then.
    Unknown(Vec<Box<str>>, Denied),
}

/// What the record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Denied {
    /// It was denied.
    Then,
    /// It was allowed.
    Not,
}

/// How many changed in the same way.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// Requests.
    pub requests: u64,
    /// People.
    pub people: Met,
    /// Tenants.
    pub tenants: Met,
    /// Some of their decisions' ids, the first ones.
    pub samples: Vec<String>,
    /// Where the rule stood that decided, and where the one stands that would.
    pub rules: (Option<String>, Option<String>),
}

impl Denied {
    fn of(record: &Record) -> Self {
        if record.effect == Effect::Deny { Self::Then } else { Self::Not }
    }
}

/// Whether what can't be put to rules again is no matter of these rules: a rate, which they may hold at another number
/// all the same, or a body that is looked at as it was.
fn is_no_matter(why: &Unreplayable, record: &Record, snapshot: &Snapshot) -> bool {
    match why {
        Unreplayable::NoDecision { .. } | Unreplayable::Spent { .. } => true,
        _ if *record.rules.hash == *snapshot.hash => true,
        Unreplayable::Fields => {
            let app = record.app.as_deref().and_then(|name| snapshot.app(name));
            let is_it = |own: &&Operation| {
                Some(&*own.route) == record.route.as_deref()
                    && Some(own.verb.as_str()) == record.method.as_deref()
            };
            let own = app.and_then(|app| app.operations.iter().find(is_it));
            own.is_some_and(|own| own.obligations.body_only.is_some())
        }
        Unreplayable::Path | Unreplayable::Head(_) | Unreplayable::Fact(_) => false,
    }
}

/// What a record lacks to be put to rules.
fn lacking(why: &Unreplayable) -> Box<str> {
    match why {
        Unreplayable::Fields => "the body's fields".into(),
        Unreplayable::Path => "the path".into(),
        Unreplayable::Head(what) => (*what).into(),
        Unreplayable::Fact(name) => name.as_str().into(),
        Unreplayable::NoDecision { reason } | Unreplayable::Spent { reason } => reason.as_str().into(),
    }
}

impl Kind {
    /// Whether someone may more than before, or it can't be shown that nobody may.
    #[must_use]
    pub fn widens(&self) -> bool {
        match self {
            Self::Changed(change) => change.widens(),
            Self::Unknown(_, denied) => *denied == Denied::Then,
        }
    }

    /// Whether someone may less than before, or it can't be shown that nobody does.
    #[must_use]
    pub fn narrows(&self) -> bool {
        match self {
            Self::Changed(change) => change.narrows(),
            Self::Unknown(_, denied) => *denied == Denied::Not,
        }
    }
}

impl Replay {
    /// Puts one record to the rules.
    pub fn put(&mut self, record: &Record, snapshot: &Snapshot) {
        let weight = self.note(record);
        let (kind, now) = match again(record, snapshot) {
            Again::Alike => {
                self.alike += weight;
                return;
            }
            Again::Apart(Unreplayable::NoDecision { reason }) => {
                tally(&mut self.before_rules, reason, weight);
                return;
            }
            Again::Apart(why) if is_no_matter(&why, record, snapshot) => {
                tally(&mut self.unreplayable, why.to_string(), weight);
                return;
            }
            Again::Apart(why) => {
                (Kind::Unknown(vec![lacking(&why)], Denied::of(record)), Box::new(Now::nothing()))
            }
            Again::Otherwise(now, change) => (Kind::Changed(change), now),
            Again::Unknown(now, missing) => (Kind::Unknown(missing, Denied::of(record)), now),
        };
        let key = key(kind, record, &now);
        if self.groups.len() >= GROUPS_MAX && !self.groups.contains_key(&key) {
            self.beyond += weight;
            return;
        }
        let rules = (record.rule.clone(), now.record.rule.clone());
        let group = self.groups.entry(key).or_insert_with(|| Group { rules, ..Group::default() });
        group.requests += weight;
        person(record).into_iter().for_each(|own| group.people.note(own));
        tenant(record).into_iter().for_each(|own| group.tenants.note(own));
        group.sample(&record.decision_id);
    }

    /// Counts a record, and says for how many requests it stands.
    fn note(&mut self, record: &Record) -> u64 {
        let weight = record.sampled.max(1);
        self.records += 1;
        self.requests += weight;
        self.sampled += u64::from(weight > 1);
        self.dropped += record.dropped_before;
        tally(&mut self.decided_by, (record.rules.revision, record.rules.hash.clone()), 1);
        self.during(&record.ts, &record.ts);
        weight
    }

    /// Moments of one form follow each other like their texts.
    fn during(&mut self, first: &str, last: &str) {
        match &mut self.period {
            None => self.period = Some((first.to_owned(), last.to_owned())),
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

    /// Adds what became of another part of the log.
    pub fn add(&mut self, other: Self) {
        self.records += other.records;
        self.requests += other.requests;
        self.alike += other.alike;
        self.sampled += other.sampled;
        self.dropped += other.dropped;
        self.beyond += other.beyond;
        other.before_rules.into_iter().for_each(|(own, count)| tally(&mut self.before_rules, own, count));
        other.unreplayable.into_iter().for_each(|(own, count)| tally(&mut self.unreplayable, own, count));
        other.decided_by.into_iter().for_each(|(own, count)| tally(&mut self.decided_by, own, count));
        if let Some((first, last)) = &other.period {
            self.during(first, last);
        }
        for (key, group) in other.groups {
            if self.groups.len() >= GROUPS_MAX && !self.groups.contains_key(&key) {
                self.beyond += group.requests;
                continue;
            }
            self.groups.entry(key).or_default().join(group);
        }
    }

    /// What changed: first what widens, then what narrows, then the rest; the most frequent first.
    #[must_use]
    pub fn groups(&self) -> Vec<(&Key, &Group)> {
        let mut all: Vec<_> = self.groups.iter().collect();
        let rank = |kind: &Kind| match kind {
            Kind::Changed(change) => (0, *change),
            Kind::Unknown(..) => (1, Change::Reason),
        };
        all.sort_by(|(a, one), (b, other)| {
            rank(&a.kind).cmp(&rank(&b.kind)).then(other.requests.cmp(&one.requests)).then(a.cmp(b))
        });
        all
    }

    /// How many requests some kinds of change concern.
    pub fn count(&self, is_wanted: impl Fn(&Kind) -> bool) -> u64 {
        self.groups.iter().filter(|(key, _)| is_wanted(&key.kind)).map(|(_, group)| group.requests).sum()
    }
}

impl Group {
    /// The ids of a log begin with the moment, so that the least are the first.
    fn sample(&mut self, id: &str) {
        let at = self.samples.partition_point(|own| own.as_str() < id);
        if at < SAMPLES && self.samples.get(at).is_none_or(|own| own != id) {
            self.samples.insert(at, id.to_owned());
            self.samples.truncate(SAMPLES);
        }
    }

    fn join(&mut self, other: Self) {
        self.requests += other.requests;
        self.people.join(other.people);
        self.tenants.join(other.tenants);
        other.samples.iter().for_each(|id| self.sample(id));
        if self.rules == (None, None) {
            self.rules = other.rules;
        }
    }
}

/// Counts, as long as there is room to tell apart.
fn tally<K: Ord>(counts: &mut BTreeMap<K, u64>, key: K, more: u64) {
    if counts.len() < WORDS_MAX || counts.contains_key(&key) {
        *counts.entry(key).or_default() += more;
    }
}

/// What a group is told apart by, in the place of obligations.
fn named(own: &Option<String>) -> Vec<String> {
    vec![own.clone().unwrap_or_else(|| "none".to_owned())]
}

fn key(kind: Kind, record: &Record, now: &Now) -> Key {
    let own = &now.record;
    let of_either = |one: &Option<String>, other: &Option<String>| one.clone().or_else(|| other.clone());
    let route = || {
        let method = record.method.as_deref().unwrap_or("?");
        let route = record.event.as_deref().or(record.route.as_deref()).or(own.route.as_deref());
        format!("{method} {}", route.unwrap_or("(no operation)"))
    };
    let (then, will) = match kind {
        Kind::Changed(Change::Wider | Change::Narrower) => {
            (record.obligations.clone(), own.obligations.clone())
        }
        Kind::Changed(Change::Tenant) => (named(&record.tenant), named(&own.tenant)),
        Kind::Changed(Change::Upstream) => (named(&record.upstream), named(&own.upstream)),
        _ => Default::default(),
    };
    Key {
        kind,
        app: of_either(&own.app, &record.app).unwrap_or_default(),
        what: of_either(&own.permission, &record.permission).unwrap_or_else(route),
        roles: record.roles.clone(),
        reasons: (record.reason.clone(), now.reason.to_owned()),
        obligations: (then, will),
    }
}
