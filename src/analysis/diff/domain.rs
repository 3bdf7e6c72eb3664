//! What a variable may say, as far as it matters: every value that a rule names, one of each kind that it tells apart, one
//! that no rule knows, nothing, and something unreadable. Rules compare and compute nothing, so that no other value can
//! be answered otherwise than one of these. Where variables are compared with each other there are as many of each kind as
//! there are variables, so that all of them can be different, or stand in any order.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use http::HeaderValue;
use jiff::civil::{Date, Time};
use serde_json::{Value as Json, json};

use super::apart::{APART_MAX, Apart};
use super::world::{Known, Read, Term, Test, Var};
use crate::fact::{Literal, Mark, Type, is_node};
use crate::json::{Pattern, Segment};
use crate::zone::Zone;

/// Elements of which every set is looked at.
const ELEMENTS_MAX: usize = 8;

/// Members of a kind that are tried before it is taken that none of them can be said in some place.
const TRIES_MAX: usize = 256;

/// What the rules of one part of a table name.
#[derive(Debug, Default)]
pub(super) struct Pool {
    apart: Apart,
    strings: Vec<String>,
    ints: BTreeSet<i64>,
    addresses: BTreeSet<IpAddr>,
    moments: BTreeSet<i64>,
    bodies: Vec<Json>,
}

/// Ids that a tenants file knows, by side.
pub(super) type Ids<'i> = &'i dyn Fn(Known) -> BTreeSet<String>;

/// What the variables of a part are restricted to: each may say a text, or not.
pub(super) type CanSay<'c> = &'c [&'c dyn Fn(&str) -> bool];

impl Pool {
    /// Gathers what `tests` name, and `more`, which variables say that no rule names.
    pub(super) fn of<'t>(
        tests: impl Iterator<Item = &'t Test> + Clone,
        more: &[String],
        ids: Ids<'_>,
        can_say: CanSay<'_>,
    ) -> Self {
        let mut pool = Self { apart: Apart::of(tests.clone()), ..Self::default() };
        let mut sets: Vec<BTreeSet<String>> = more.iter().map(|own| BTreeSet::from([own.clone()])).collect();
        let mut marks: Vec<(Mark, Zone)> = Vec::new();
        for test in tests {
            let zone = zone(test);
            pool.constants(test, &mut |literal| match literal {
                Literal::Text(text) => sets.push(BTreeSet::from([text.to_string()])),
                Literal::Set(items) => sets.push(items.iter().map(ToString::to_string).collect()),
                Literal::Time(mark) => marks.push((*mark, zone.clone())),
                _ => {}
            });
            match test {
                Test::Acts(_, own) => sets.push(own.iter().map(ToString::to_string).collect()),
                Test::Known(_, side) => sets.push(ids(*side)),
                _ => {}
            }
        }
        let apart = pool.apart.texts;
        let mut strings = representatives(&sets, apart, can_say);
        if pool.apart.hierarchy {
            // Members of a list lie in different places.
            strings.extend(sets.iter().flatten().filter(|own| is_node(own)).cloned());
        }
        if pool.apart.plain {
            strings.insert(String::new());
        }
        let named = ["other", "another", "someone-else", "fourth"].map(str::to_owned).into_iter();
        let fresh: Vec<String> = named
            .chain((5..).map(|at| format!("other-{at}")))
            .filter(|own| !sets.iter().any(|set| set.contains(own)))
            .take(TRIES_MAX.min(apart + 16))
            .collect();
        strings.extend(sayable(fresh.iter(), apart, can_say));
        pool.strings = strings.into_iter().collect();
        pool.moments = moments(&marks, pool.apart.times);
        pool
    }

    /// Takes up the numbers and addresses of a test, and hands on its other constants.
    fn constants(&mut self, test: &Test, visit: &mut dyn FnMut(&Literal)) {
        let mut take = |literal: &Literal| match literal {
            Literal::Int(number) => {
                let reach = self.apart.reach();
                self.ints.extend((-reach..=reach).map(|by| number.saturating_add(by)));
            }
            Literal::Ip(address) => {
                let apart = self.apart.addresses;
                self.addresses.extend(around(*address, *address, apart));
            }
            Literal::Nets(nets) => {
                let ends = nets.iter().map(|net| (net.network(), net.broadcast()));
                ends.for_each(|(first, last)| {
                    self.addresses.extend(around(first, last, self.apart.addresses));
                });
            }
            other => visit(other),
        };
        let mut of = |term: &Term| {
            if let Term::Const(Some(literal)) = term {
                take(literal);
            }
            term.each_read(&mut |read| {
                if let Some(Term::Const(Some(literal))) = &read.default {
                    take(literal);
                }
            });
        };
        match test {
            Test::Compare(_, left, right) => {
                of(left);
                of(right);
            }
            Test::Plain(term) | Test::Known(term, _) => of(term),
            Test::Acts(sources, _) => sources.iter().for_each(of),
            Test::Only(allowed) => self.bodies.extend(allowed.iter().map(sample)),
        }
    }

    /// What a variable may say that is read in these ways. `None` is nothing.
    pub(super) fn candidates(&self, var: &Var, reads: &[&Read]) -> Vec<Option<Json>> {
        let mut found: Vec<Option<Json>> = Vec::new();
        for read in reads {
            found.extend(self.of_kind(var, read).into_iter().map(Some));
        }
        match var {
            Var::Now | Var::Address | Var::Segment(..) => {}
            Var::MoreBody => {
                found.push(None);
                found.extend(self.bodies.iter().cloned().map(Some));
                found.push(Some(json!({ "unnamed-field": 1 })));
            }
            Var::Claim(path) if matches!(&**path, [only] if **only == *"sub") => {}
            Var::Claim(_) | Var::Body(_) | Var::Answer(..) => found.extend([None, Some(json!({}))]),
            Var::Header(_) | Var::Query(_) | Var::Certificate(_) => {
                found.push(None);
                if reads.iter().any(|read| read.kind != Type::String) {
                    found.push(Some(json!("?")));
                }
            }
        }
        let can_be_sent = |own: &Json| own.as_str().is_none_or(|own| can_be_sent(var, own));
        found.retain(|own| own.as_ref().is_none_or(can_be_sent));
        let mut seen: Vec<Option<Json>> = Vec::new();
        found.retain(|own| {
            let new = !seen.contains(own);
            if new {
                seen.push(own.clone());
            }
            new
        });
        found
    }

    fn of_kind(&self, var: &Var, read: &Read) -> Vec<Json> {
        if *var == Var::Now {
            return self.moments.iter().map(|at| json!(at)).collect();
        }
        let text = matches!(var, Var::Header(_) | Var::Query(_) | Var::Segment(..));
        let spelled = |value: Json| if text { Json::String(value.to_string()) } else { value };
        match read.kind {
            Type::String if self.apart.hierarchy => {
                let nodes = self.nodes();
                self.strings.iter().chain(&nodes).map(|own| json!(own)).collect()
            }
            Type::String => self.strings.iter().map(|own| json!(own)).collect(),
            Type::Node => self.nodes().into_iter().map(Json::String).collect(),
            Type::Bool => [true, false].into_iter().map(|own| spelled(json!(own))).collect(),
            Type::Int => self.numbers().into_iter().map(|own| spelled(json!(own))).collect(),
            Type::Ip => self.addresses().into_iter().map(|own| json!(own.to_string())).collect(),
            Type::Time => {
                let at = |at: &i64| jiff::Timestamp::from_second(*at).ok();
                self.moments.iter().filter_map(at).map(|own| json!(own.to_string())).collect()
            }
            Type::Set if text => Vec::new(),
            Type::Set => subsets(&self.strings),
            Type::Nets => Vec::new(),
        }
    }

    fn numbers(&self) -> BTreeSet<i64> {
        let reach = self.apart.reach();
        self.ints.iter().copied().chain(-reach..=reach).collect()
    }

    fn addresses(&self) -> BTreeSet<IpAddr> {
        let elsewhere = ["192.0.2.7", "2001:db8::7"].into_iter().filter_map(|own| own.parse().ok());
        let elsewhere = elsewhere.flat_map(|own| around(own, own, self.apart.addresses));
        self.addresses.iter().copied().chain(elsewhere).collect()
    }

    /// The named places of a hierarchy, what is above, and below each of them as many places beside and below each other
    /// as could be told apart.
    fn nodes(&self) -> BTreeSet<String> {
        let apart = self.apart.nodes;
        let mut places: BTreeSet<String> = BTreeSet::new();
        for text in self.strings.iter().filter(|own| is_node(own)) {
            let mut above = text.as_str();
            places.insert(text.clone());
            while let Some((upper, _)) = above.rsplit_once('/') {
                places.insert(upper.to_owned());
                above = upper;
            }
        }
        let is_named = |name: &String| self.strings.iter().any(|own| own.split('/').any(|part| part == name));
        let names = (0..).map(|at| if at == 0 { "below".to_owned() } else { format!("below-{at}") });
        let names: Vec<String> = names.filter(|own| !is_named(own)).take(apart).collect();
        let mut level: Vec<String> = places.iter().cloned().collect();
        for _ in 0..apart.min(NODE_DEPTH_MAX) {
            let deeper = |own: &String| {
                names
                    .iter()
                    .map(|name| format!("{own}/{name}"))
                    .filter(|own| is_node(own))
                    .collect::<Vec<_>>()
            };
            level = level.iter().flat_map(deeper).collect();
            places.extend(level.iter().cloned());
        }
        places.retain(|own| is_node(own));
        places
    }
}

/// Names that a node can have below another.
const NODE_DEPTH_MAX: usize = 3;

/// Whether a request can have this text there at all.
pub(super) fn can_be_sent(var: &Var, text: &str) -> bool {
    !matches!(var, Var::Header(_)) || (is_plain(text) && text.trim() == text)
}

/// Whether a text can stand in a query or a header by itself.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && HeaderValue::from_str(text).is_ok()
}

/// The first few texts that each variable can say.
fn sayable<'t>(
    texts: impl Iterator<Item = &'t String> + Clone,
    apart: usize,
    can_say: CanSay<'_>,
) -> BTreeSet<String> {
    let mut found: BTreeSet<String> = texts.clone().take(apart).cloned().collect();
    let ways: [&dyn Fn(&str) -> bool; 2] = [&is_plain, &|own| !is_plain(own)];
    for can_say in can_say.iter().chain(&ways) {
        found.extend(texts.clone().take(TRIES_MAX).filter(|own| can_say(own)).take(apart).cloned());
    }
    found
}

/// Of strings that stand in the same sets so many as variables can tell apart: no rule tells the others from them.
fn representatives(sets: &[BTreeSet<String>], apart: usize, can_say: CanSay<'_>) -> BTreeSet<String> {
    let mut kinds: BTreeMap<Vec<usize>, Vec<&String>> = BTreeMap::new();
    for text in sets.iter().flatten().collect::<BTreeSet<_>>() {
        let stands = (0..sets.len()).filter(|at| sets.get(*at).is_some_and(|set| set.contains(text)));
        kinds.entry(stands.collect()).or_default().push(text);
    }
    kinds.into_values().flat_map(|own| sayable(own.into_iter(), apart, can_say)).collect()
}

/// Every set of a few elements; of many those that some rule could tell apart by one element or two.
fn subsets(elements: &[String]) -> Vec<Json> {
    let set = |keep: &dyn Fn(usize) -> bool| -> Json {
        elements.iter().enumerate().filter(|(at, _)| keep(*at)).map(|(_, own)| json!(own)).collect()
    };
    let count = elements.len();
    if count <= ELEMENTS_MAX {
        return (0..1usize << count).map(|mask| set(&|at| mask >> at & 1 == 1)).collect();
    }
    let mut found = vec![set(&|_| false), set(&|_| true)];
    for one in 0..count {
        found.push(set(&|at| at != one));
        found.extend((one..count).map(|other| set(&|at| at == one || at == other)));
    }
    found
}

/// Whether [`subsets`] leaves some out.
pub(super) fn is_partial(pool: &Pool, reads: &[&Read]) -> bool {
    pool.strings.len() > ELEMENTS_MAX && reads.iter().any(|read| read.kind == Type::Set)
}

/// The ends of a range of addresses, and a few on either side of each.
fn around(first: IpAddr, last: IpAddr, apart: usize) -> Vec<IpAddr> {
    let by = u32::try_from(apart).unwrap_or(u32::MAX);
    let step = |address: IpAddr, by: u32, up: bool| -> Option<IpAddr> {
        Some(match address {
            IpAddr::V4(own) => {
                let bits = u32::from(own);
                IpAddr::V4(if up { bits.checked_add(by)? } else { bits.checked_sub(by)? }.into())
            }
            IpAddr::V6(own) => {
                let (bits, by) = (u128::from(own), u128::from(by));
                IpAddr::V6(if up { bits.checked_add(by)? } else { bits.checked_sub(by)? }.into())
            }
        })
    };
    let near = |own: IpAddr| (0..=by).flat_map(move |by| [step(own, by, true), step(own, by, false)]);
    near(first).chain(near(last)).flatten().collect()
}

fn zone(test: &Test) -> Zone {
    let mut found = Zone::utc();
    test.each_read(&mut |read| {
        if read.weekday || read.kind == Type::Time {
            found = read.zone.clone();
        }
    });
    found
}

/// Moments before, at and after every mark, on every day of the week, as clocks show them in the marks' zones.
fn moments(marks: &[(Mark, Zone)], apart: usize) -> BTreeSet<i64> {
    let apart = i64::try_from(apart).unwrap_or(i64::MAX).min(APART_MAX);
    let mut found = BTreeSet::new();
    let mut zones: Vec<&Zone> = Vec::new();
    for (_, zone) in marks {
        if !zones.contains(&zone) {
            zones.push(zone);
        }
    }
    let utc = Zone::utc();
    if zones.is_empty() {
        zones.push(&utc);
    }
    let mut dates = BTreeSet::new();
    let mut clocks = BTreeSet::from([Time::midnight(), Time::constant(12, 0, 0, 0)]);
    let mut around = |date: Date| {
        let days = (-8..=8).filter_map(|days| date.checked_add(jiff::Span::new().days(days)).ok());
        dates.extend(days);
    };
    for (mark, zone) in marks {
        match mark {
            Mark::Day(date) => around(*date),
            Mark::Clock(clock) => {
                let minute = jiff::Span::new().minutes(1);
                clocks.extend(
                    [Some(*clock), clock.checked_add(minute).ok(), clock.checked_sub(minute).ok()]
                        .into_iter()
                        .flatten(),
                );
            }
            Mark::Instant(at) => {
                found.extend((-apart..=apart).map(|by| at.as_second().saturating_add(by)));
                around(zone.datetime(*at).date());
            }
        }
    }
    around(Date::constant(2026, 1, 8));
    for zone in zones {
        for date in &dates {
            for clock in &clocks {
                let at = zone.instant(date.to_datetime(*clock)).map(|at| at.as_second());
                found.extend(at.into_iter().flat_map(|at| (0..apart).map(move |by| at.saturating_add(by))));
            }
        }
    }
    found.retain(|at| *at >= 0);
    found
}

/// A body that has what a pattern names.
fn sample(pattern: &Pattern) -> Json {
    pattern.segments().iter().rev().fold(json!("x"), |inner, segment| {
        let name = match segment {
            Segment::Any => "0",
            Segment::Named(name) => name,
        };
        json!({ name: inner })
    })
}
