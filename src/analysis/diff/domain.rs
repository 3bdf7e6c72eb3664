//! What a variable may say, as far as it matters: every value that a rule names, one of each kind that it tells apart, one
//! that no rule knows, nothing, and something unreadable. Rules compare and compute nothing, so that no other value can
//! be answered otherwise than one of these.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use http::HeaderValue;
use jiff::civil::{Date, Time};
use serde_json::{Value as Json, json};

use super::world::{Known, Read, Term, Test, Var};
use crate::fact::{Literal, Mark, Type, is_node};
use crate::json::{Pattern, Segment};
use crate::zone::Zone;

/// Elements of which every set is looked at.
const ELEMENTS_MAX: usize = 8;

/// What the rules of one part of a table name.
#[derive(Debug, Default)]
pub(super) struct Pool {
    strings: Vec<String>,
    ints: BTreeSet<i64>,
    addresses: BTreeSet<IpAddr>,
    moments: BTreeSet<i64>,
    bodies: Vec<Json>,
}

/// Ids that a tenants file knows, by side.
pub(super) type Ids<'i> = &'i dyn Fn(Known) -> BTreeSet<String>;

impl Pool {
    /// Gathers what `tests` name. `apart` is how many variables may each say something that no rule knows.
    pub(super) fn of<'t>(tests: impl Iterator<Item = &'t Test> + Clone, apart: usize, ids: Ids<'_>) -> Self {
        let mut pool = Self::default();
        let mut sets: Vec<BTreeSet<String>> = Vec::new();
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
        pool.strings = representatives(&sets);
        let fresh = ["other", "another", "someone-else", "fourth"];
        let fresh =
            fresh.iter().map(ToString::to_string).filter(|own| !sets.iter().any(|set| set.contains(own)));
        pool.strings.extend(fresh.take(apart.clamp(1, 4)));
        pool.moments = moments(&marks);
        pool
    }

    /// Takes up the numbers and addresses of a test, and hands on its other constants.
    fn constants(&mut self, test: &Test, visit: &mut dyn FnMut(&Literal)) {
        let mut take = |literal: &Literal| match literal {
            Literal::Int(number) => {
                self.ints.extend([-2, -1, 0, 1, 2].map(|by| number.saturating_add(by)));
            }
            Literal::Ip(address) => self.addresses.extend(around(*address, *address)),
            Literal::Nets(nets) => {
                nets.iter().for_each(|net| self.addresses.extend(around(net.network(), net.broadcast())));
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
        if matches!(var, Var::Header(_)) {
            let can_be_sent = |own: &Json| own.as_str().is_some_and(|own| HeaderValue::from_str(own).is_ok());
            found.retain(|own| own.as_ref().is_none_or(can_be_sent));
        }
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
        self.ints.iter().copied().chain([0, 1, 2]).collect()
    }

    fn addresses(&self) -> BTreeSet<IpAddr> {
        let elsewhere = ["192.0.2.7", "2001:db8::7"].into_iter().filter_map(|own| own.parse().ok());
        self.addresses.iter().copied().chain(elsewhere).collect()
    }

    /// The named places of a hierarchy, what is above and below them, and a place elsewhere.
    fn nodes(&self) -> BTreeSet<String> {
        let mut nodes = BTreeSet::new();
        for text in self.strings.iter().filter(|own| is_node(own)) {
            nodes.insert(text.clone());
            nodes.insert(format!("{text}/below"));
            let mut above = text.as_str();
            while let Some((upper, _)) = above.rsplit_once('/') {
                nodes.insert(upper.to_owned());
                nodes.insert(format!("{upper}/beside"));
                above = upper;
            }
        }
        nodes.retain(|own| is_node(own));
        nodes
    }
}

/// Of strings that stand in the same sets one: no rule tells the others from it.
fn representatives(sets: &[BTreeSet<String>]) -> Vec<String> {
    let mut kinds: BTreeMap<Vec<usize>, &String> = BTreeMap::new();
    for text in sets.iter().flatten().collect::<BTreeSet<_>>() {
        let stands = (0..sets.len()).filter(|at| sets.get(*at).is_some_and(|set| set.contains(text)));
        kinds.entry(stands.collect()).or_insert(text);
    }
    kinds.into_values().cloned().collect()
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

/// The ends of a range of addresses, and what is just outside.
fn around(first: IpAddr, last: IpAddr) -> Vec<IpAddr> {
    let step = |address: IpAddr, up: bool| -> Option<IpAddr> {
        Some(match address {
            IpAddr::V4(own) => {
                let bits = u32::from(own);
                IpAddr::V4(if up { bits.checked_add(1)? } else { bits.checked_sub(1)? }.into())
            }
            IpAddr::V6(own) => {
                let bits = u128::from(own);
                IpAddr::V6(if up { bits.checked_add(1)? } else { bits.checked_sub(1)? }.into())
            }
        })
    };
    [Some(first), Some(last), step(first, false), step(last, true)].into_iter().flatten().collect()
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
fn moments(marks: &[(Mark, Zone)]) -> BTreeSet<i64> {
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
                found.extend([-1, 0, 1].map(|by| at.as_second().saturating_add(by)));
                around(zone.datetime(*at).date());
            }
        }
    }
    around(Date::constant(2026, 1, 8));
    for zone in zones {
        for date in &dates {
            for clock in &clocks {
                found.extend(zone.instant(date.to_datetime(*clock)).map(|at| at.as_second()));
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
