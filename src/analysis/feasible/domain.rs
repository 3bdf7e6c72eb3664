//! The values that a fact need be tried with, given the tests that read it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::fact::{Literal, Mark, Source, Type, Value};
use crate::policy::condition::compare;
use crate::policy::{App, Leaf, Operand, Operator, Truth};

/// Most members that sets are made of: every subset is tried.
const MEMBERS_MAX: usize = 10;
const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// One value of a fact.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cell {
    /// None that can be read.
    Absent,
    Text(Box<str>),
    Bool(bool),
    Int(i64),
    Set(Vec<Box<str>>),
    Ip(IpAddr),
    /// Where it lies among the moments, days and hours that it is compared with: even between them, odd on one.
    Time([usize; 3]),
}

/// What a test of the component says where facts have the values that `cell` tells.
pub(super) fn test<'c>(leaves: &[&Leaf], leaf: &Leaf, cell: &impl Fn(usize) -> Option<&'c Cell>) -> Truth {
    let left = cell(leaf.fact).unwrap_or(&Cell::Absent);
    if let (Cell::Time(places), Operand::Literal(Literal::Time(mark))) = (left, &leaf.operand) {
        return in_time(leaves, leaf, places, mark);
    }
    let right = match &leaf.operand {
        Operand::Fact(other) => cell(*other).and_then(value),
        Operand::Literal(literal) => Some(Value::of(literal)),
    };
    compare(leaf.operator, value(left).as_ref(), right.as_ref())
}

fn value(cell: &Cell) -> Option<Value<'_>> {
    Some(match cell {
        Cell::Absent | Cell::Time(_) => return None,
        Cell::Text(text) => Value::Text((&**text).into()),
        Cell::Bool(value) => Value::Bool(*value),
        Cell::Int(value) => Value::Int(*value),
        Cell::Set(members) => Value::Set(members),
        Cell::Ip(ip) => Value::Ip(*ip),
    })
}

/// The facts that tests read, each with every value that could make a difference. Nothing where that can't be counted out,
/// or where there are more than `most` combinations.
pub(super) fn of(app: &App, leaves: &[&Leaf], most: usize) -> Option<Vec<(usize, Vec<Cell>)>> {
    let mut facts: Vec<usize> = Vec::new();
    let mut texts: Vec<Box<str>> = Vec::new();
    let mut between = 0;
    for leaf in leaves {
        facts.push(leaf.fact);
        match &leaf.operand {
            Operand::Fact(other) => {
                is_countable(app, leaf.operator, leaf.fact, *other)?;
                facts.push(*other);
                between += 1;
            }
            Operand::Literal(Literal::Text(text)) => texts.push(text.clone()),
            Operand::Literal(Literal::Set(members)) => texts.extend(members.iter().cloned()),
            Operand::Literal(_) => {}
        }
    }
    facts.sort_unstable();
    facts.dedup();
    // As many values that nobody names as could be needed to be told apart, and to be shared.
    let fresh = if between == 0 { 1 } else { facts.len() + between };
    texts.extend((0..fresh).map(|number| format!("~{number}").into()));
    texts.sort();
    texts.dedup();
    let mut tried: usize = 1;
    let mut domains = Vec::new();
    for fact in facts {
        let cells = cells(app, fact, leaves, &texts)?;
        tried = tried.checked_mul(cells.len()).filter(|tried| *tried <= most)?;
        domains.push((fact, cells));
    }
    Some(domains)
}

/// Whether two facts are compared as values that are the same or not.
fn is_countable(app: &App, operator: Operator, left: usize, right: usize) -> Option<()> {
    let kind = |fact: usize| app.facts.get(fact).map(|own| own.kind);
    let plain = |kind: Type| matches!(kind, Type::String | Type::Bool | Type::Set);
    let is_same = matches!(
        operator,
        Operator::Equal | Operator::NotEqual | Operator::In | Operator::Has | Operator::Meets
    );
    (is_same && plain(kind(left)?) && plain(kind(right)?)).then_some(())
}

fn cells(app: &App, fact: usize, leaves: &[&Leaf], texts: &[Box<str>]) -> Option<Vec<Cell>> {
    let own = app.facts.get(fact)?;
    let literals = || {
        leaves.iter().filter(|leaf| leaf.fact == fact).filter_map(|leaf| match &leaf.operand {
            Operand::Literal(literal) => Some(literal),
            Operand::Fact(_) => None,
        })
    };
    let mut cells = match (own.kind, &own.source) {
        (_, Source::ClientWeekday) => WEEKDAYS.iter().map(|day| Cell::Text((*day).into())).collect(),
        (Type::String, _) => texts.iter().cloned().map(Cell::Text).collect(),
        (Type::Node, _) => nodes(texts),
        (Type::Bool, _) => vec![Cell::Bool(true), Cell::Bool(false)],
        (Type::Int, _) => integers(literals()),
        (Type::Set, _) => subsets(texts)?,
        (Type::Ip, _) => addresses(literals()),
        (Type::Time, _) => moments(leaves, fact),
        (Type::Nets, _) => return None,
    };
    if !matches!(own.source, Source::ClientIp | Source::ClientTime | Source::ClientWeekday) {
        cells.push(Cell::Absent);
    }
    cells.sort();
    cells.dedup();
    Some(cells)
}

/// The nodes that are named, one below each, and those above them.
fn nodes(texts: &[Box<str>]) -> Vec<Cell> {
    let mut nodes: Vec<Cell> = Vec::new();
    for text in texts {
        nodes.push(Cell::Text(format!("{text}/~").into()));
        let ends = text.match_indices('/').map(|(at, _)| at).chain([text.len()]);
        nodes.extend(ends.filter_map(|end| text.get(..end)).map(|above| Cell::Text(above.into())));
    }
    nodes
}

fn integers<'l>(literals: impl Iterator<Item = &'l Literal>) -> Vec<Cell> {
    let mut found = vec![Cell::Int(0)];
    for literal in literals {
        if let Literal::Int(value) = literal {
            found.extend([value.saturating_sub(1), *value, value.saturating_add(1)].map(Cell::Int));
        }
    }
    found
}

fn subsets(texts: &[Box<str>]) -> Option<Vec<Cell>> {
    if texts.len() > MEMBERS_MAX {
        return None;
    }
    let subset = |bits: u32| {
        let members = texts.iter().enumerate().filter(|(index, _)| bits >> index & 1 == 1);
        Cell::Set(members.map(|(_, text)| text.clone()).collect())
    };
    Some((0..1u32 << texts.len()).map(subset).collect())
}

/// An address of every region that the networks cut: their first and last, and those beside them.
fn addresses<'l>(literals: impl Iterator<Item = &'l Literal>) -> Vec<Cell> {
    let mut found: Vec<IpAddr> = vec![
        Ipv4Addr::UNSPECIFIED.into(),
        Ipv4Addr::BROADCAST.into(),
        Ipv6Addr::UNSPECIFIED.into(),
        Ipv6Addr::from(u128::MAX).into(),
    ];
    for literal in literals {
        let (single, nets): (Option<IpNet>, &[IpNet]) = match literal {
            Literal::Ip(ip) => (Some(IpNet::from(*ip)), &[]),
            Literal::Nets(nets) => (None, nets),
            _ => (None, &[]),
        };
        for net in single.iter().chain(nets) {
            let (first, last) = (net.network(), net.broadcast());
            found.extend([first, last, beside(first, false), beside(last, true)]);
        }
    }
    found.into_iter().map(Cell::Ip).collect()
}

/// The next address, or the one before.
fn beside(ip: IpAddr, after: bool) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let bits = u32::from(ip);
            Ipv4Addr::from(if after { bits.saturating_add(1) } else { bits.saturating_sub(1) }).into()
        }
        IpAddr::V6(ip) => {
            let bits = u128::from(ip);
            Ipv6Addr::from(if after { bits.saturating_add(1) } else { bits.saturating_sub(1) }).into()
        }
    }
}

/// The marks of a kind that a fact is compared with, in order.
fn marks(leaves: &[&Leaf], fact: usize, kind: usize) -> Vec<Mark> {
    let mut found: Vec<Mark> = Vec::new();
    for leaf in leaves.iter().filter(|leaf| leaf.fact == fact) {
        if let Operand::Literal(Literal::Time(mark)) = &leaf.operand
            && kind_of(mark) == kind
            && !found.contains(mark)
        {
            found.push(*mark);
        }
    }
    found.sort_by(|a, b| match (a, b) {
        (Mark::Instant(a), Mark::Instant(b)) => a.cmp(b),
        (Mark::Day(a), Mark::Day(b)) => a.cmp(b),
        (Mark::Clock(a), Mark::Clock(b)) => a.cmp(b),
        _ => std::cmp::Ordering::Equal,
    });
    found
}

fn kind_of(mark: &Mark) -> usize {
    match mark {
        Mark::Instant(_) => 0,
        Mark::Day(_) => 1,
        Mark::Clock(_) => 2,
    }
}

/// Days, hours and moments are taken for independent of each other: where the tenant is isn't known.
fn moments(leaves: &[&Leaf], fact: usize) -> Vec<Cell> {
    let places = |kind: usize| 0..=2 * marks(leaves, fact, kind).len();
    let mut found = Vec::new();
    for instant in places(0) {
        for day in places(1) {
            found.extend(places(2).map(|clock| Cell::Time([instant, day, clock])));
        }
    }
    found
}

fn in_time(leaves: &[&Leaf], leaf: &Leaf, places: &[usize; 3], mark: &Mark) -> Truth {
    let kind = kind_of(mark);
    let on = marks(leaves, leaf.fact, kind).iter().position(|own| own == mark).map(|index| 2 * index + 1);
    let (Some(on), Some(place)) = (on, places.get(kind)) else { return Truth::Unknown };
    let holds = match leaf.operator {
        Operator::Equal => *place == on,
        Operator::NotEqual => *place != on,
        Operator::Less => *place < on,
        Operator::AtMost => *place <= on,
        Operator::More => *place > on,
        Operator::AtLeast => *place >= on,
        _ => return Truth::Unknown,
    };
    if holds { Truth::Holds } else { Truth::Fails }
}
