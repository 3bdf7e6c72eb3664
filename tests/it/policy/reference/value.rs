//! Typed values and what three words say of them, as DESIGN §4 has it: a value is known, unknown for good, or not told.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::Value as Json;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    String,
    Bool,
    Int,
    Set,
    Ip,
    Nets,
    Time,
    Node,
}

impl Kind {
    pub(super) fn word(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Val {
    Text(String),
    Bool(bool),
    Int(i64),
    Set(BTreeSet<String>),
    Ip(IpAddr),
    Nets(Vec<(IpAddr, u8)>),
    /// Seconds since 1970.
    Moment(i64),
    /// A day of the tenant's calendar: days since 1970.
    Day(i64),
    /// A minute of the tenant's day.
    Minute(i64),
}

/// What a source says of a fact.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Read {
    Known(Val),
    /// And no answer would change it.
    Unknown,
    /// The app that was asked gave no answer.
    Untold,
}

/// What a condition says: whether it holds, if that is known, and what it could come to if every app had answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Says {
    pub(super) now: Option<bool>,
    pub(super) may_hold: bool,
    pub(super) may_fail: bool,
    /// Whether something untold was read, be it beside something that is unknown for good.
    pub(super) untold: bool,
}

impl Says {
    pub(super) const UNKNOWN: Self = Self { now: None, may_hold: false, may_fail: false, untold: false };
    pub(super) const UNTOLD: Self = Self { now: None, may_hold: true, may_fail: true, untold: true };
    /// Nothing can make it hold, though not all of it was told.
    const IN_VAIN: Self = Self { now: None, may_hold: false, may_fail: false, untold: true };

    pub(super) fn known(holds: bool) -> Self {
        Self { now: Some(holds), may_hold: holds, may_fail: !holds, untold: false }
    }

    /// Whether it can't hold, and only a closer look than three values allow would tell before asking. Then asking, and
    /// calling it unanswered, is as good as denying it.
    pub(super) fn is_in_vain(self) -> bool {
        self.now.is_none() && !self.may_hold && self.untold
    }

    pub(super) fn holds(self) -> bool {
        self.now == Some(true)
    }

    pub(super) fn negated(self) -> Self {
        Self { now: self.now.map(|own| !own), may_hold: self.may_fail, may_fail: self.may_hold, ..self }
    }

    pub(super) fn all(parts: &[Self]) -> Self {
        let now = if parts.iter().any(|part| part.now == Some(false)) {
            Some(false)
        } else {
            parts.iter().map(|part| part.now).collect::<Option<Vec<_>>>().map(|_| true)
        };
        let may_hold = parts.iter().all(|part| part.may_hold);
        let may_fail = parts.iter().any(|part| part.may_fail);
        Self { now, may_hold, may_fail, untold: parts.iter().any(|part| part.untold) }
    }

    pub(super) fn any(parts: &[Self]) -> Self {
        let negated: Vec<_> = parts.iter().map(|part| part.negated()).collect();
        Self::all(&negated).negated()
    }
}

/// A JSON member as a value of a type; nothing where it has another.
pub(super) fn of_json(json: &Json, kind: Kind) -> Option<Val> {
    let text = json.as_str();
    Some(match kind {
        Kind::String => Val::Text(text?.into()),
        Kind::Bool => Val::Bool(json.as_bool()?),
        Kind::Int => Val::Int(json.as_i64()?),
        Kind::Set => match json {
            // One role, or one group, is often written without its brackets.
            Json::String(one) => Val::Set(BTreeSet::from([one.clone()])),
            Json::Array(all) => {
                Val::Set(all.iter().map(|own| own.as_str().map(str::to_owned)).collect::<Option<_>>()?)
            }
            _ => return None,
        },
        Kind::Time => match json {
            Json::Number(seconds) => Val::Moment(seconds.as_i64()?),
            _ => moment(text?)?,
        },
        Kind::Ip | Kind::Node => return of_text(text?, kind),
        Kind::Nets => return None,
    })
}

/// A piece of a request as a value of a type.
pub(super) fn of_text(text: &str, kind: Kind) -> Option<Val> {
    Some(match kind {
        Kind::String => Val::Text(text.into()),
        Kind::Bool => Val::Bool(match text {
            "true" => true,
            "false" => false,
            _ => return None,
        }),
        Kind::Int => Val::Int(text.parse().ok()?),
        Kind::Ip => Val::Ip(text.parse().ok()?),
        Kind::Time => moment(text)?,
        Kind::Node => {
            let parts: Vec<_> = text.split('/').collect();
            let is_node = (1..=3).contains(&parts.len()) && parts.iter().all(|part| !part.is_empty());
            Val::Text(is_node.then(|| text.to_owned())?)
        }
        Kind::Set | Kind::Nets => return None,
    })
}

/// `2027-01-15T08:00:00Z`, to the second and in UTC: the only form that the cases use.
fn moment(text: &str) -> Option<Val> {
    let (day, clock) = text.strip_suffix('Z')?.split_once('T')?;
    let clock: Vec<i64> = clock.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let [hour, minute, second] = clock[..] else { return None };
    Some(Val::Moment(days(day)? * 86_400 + hour * 3600 + minute * 60 + second))
}

/// Days from 1970 to a date, counted one by one.
pub(super) fn days(date: &str) -> Option<i64> {
    let parts: Vec<i64> = date.split('-').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let [year, month, day] = parts[..] else { return None };
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let years: i64 = (1970..year).map(|own| if leap(own) { 366 } else { 365 }).sum();
    let months: i64 = lengths.iter().take(usize::try_from(month - 1).ok()?).sum();
    Some(years + months + day - 1)
}

/// A literal as it stands in a test.
pub(super) fn of_literal(text: &str, kind: Kind) -> Val {
    let inner = text.trim_matches('\'');
    let list = || -> Vec<&str> {
        let items = text.trim_matches(['[', ']']).split(", ").map(|item| item.trim_matches('\''));
        items.filter(|item| !item.is_empty()).collect()
    };
    match kind {
        Kind::Set => Val::Set(list().into_iter().map(str::to_owned).collect()),
        Kind::Nets => Val::Nets(list().into_iter().map(net).collect()),
        Kind::Time if inner.len() == 5 => {
            let (hour, minute) = inner.split_once(':').unwrap();
            Val::Minute(hour.parse::<i64>().unwrap() * 60 + minute.parse::<i64>().unwrap())
        }
        Kind::Time if inner.len() == 10 => Val::Day(days(inner).unwrap()),
        _ => of_text(inner, kind).unwrap(),
    }
}

fn net(text: &str) -> (IpAddr, u8) {
    let (address, bits) = text.split_once('/').unwrap();
    (address.parse().unwrap(), bits.parse().unwrap())
}

fn bits(address: IpAddr) -> Vec<bool> {
    let bytes = match address {
        IpAddr::V4(own) => own.octets().to_vec(),
        IpAddr::V6(own) => own.octets().to_vec(),
    };
    bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).collect()
}

fn is_in(address: IpAddr, (network, length): (IpAddr, u8)) -> bool {
    let (own, other) = (bits(address.to_canonical()), bits(network));
    own.len() == other.len() && own[..usize::from(length)] == other[..usize::from(length)]
}

/// `left op right`, where `zone` is how far the tenant's clocks are ahead of UTC, in seconds.
pub(super) fn compare(operator: &str, left: &Read, right: &Read, zone: i64) -> Says {
    let is_empty = |read: &Read| match read {
        Read::Known(Val::Set(own)) => own.is_empty(),
        Read::Known(Val::Nets(own)) => own.is_empty(),
        _ => false,
    };
    let fails_whatever = match operator {
        "in" => is_empty(right),
        "meets" => is_empty(left) || is_empty(right),
        _ => false,
    };
    if fails_whatever {
        return Says::known(false);
    }
    match (left, right) {
        (Read::Known(left), Read::Known(right)) => {
            known(operator, left, right, zone).map_or(Says::UNKNOWN, Says::known)
        }
        (Read::Unknown, Read::Untold) | (Read::Untold, Read::Unknown) => Says::IN_VAIN,
        (Read::Unknown, _) | (_, Read::Unknown) => Says::UNKNOWN,
        _ => Says::UNTOLD,
    }
}

fn known(operator: &str, left: &Val, right: &Val, zone: i64) -> Option<bool> {
    Some(match (operator, left, right) {
        ("in", Val::Text(one), Val::Set(all)) | ("has", Val::Set(all), Val::Text(one)) => all.contains(one),
        ("meets", Val::Set(left), Val::Set(right)) => left.iter().any(|own| right.contains(own)),
        ("under", Val::Text(below), Val::Text(above)) => {
            let (below, above): (Vec<_>, Vec<_>) = (below.split('/').collect(), above.split('/').collect());
            below.len() >= above.len() && below[..above.len()] == above[..]
        }
        ("within", Val::Ip(address), Val::Nets(all)) => all.iter().any(|net| is_in(*address, *net)),
        ("!=", ..) => !known("=", left, right, zone)?,
        ("=", Val::Text(left), Val::Text(right)) => left == right,
        ("=", Val::Bool(left), Val::Bool(right)) => left == right,
        ("=", Val::Ip(left), Val::Ip(right)) => left.to_canonical() == right.to_canonical(),
        _ => {
            let (left, right) = numbers(left, right, zone)?;
            match operator {
                "=" => left == right,
                "<" => left < right,
                "<=" => left <= right,
                ">" => left > right,
                ">=" => left >= right,
                _ => return None,
            }
        }
    })
}

/// Two values as numbers of one measure.
fn numbers(left: &Val, right: &Val, zone: i64) -> Option<(i64, i64)> {
    let day = |at: i64| (at + zone).div_euclid(86_400);
    let minute = |at: i64| (at + zone).rem_euclid(86_400) / 60;
    Some(match (left, right) {
        (Val::Int(left), Val::Int(right)) | (Val::Moment(left), Val::Moment(right)) => (*left, *right),
        (Val::Moment(left), Val::Day(right)) => (day(*left), *right),
        (Val::Day(left), Val::Moment(right)) => (*left, day(*right)),
        (Val::Moment(left), Val::Minute(right)) => (minute(*left), *right),
        (Val::Minute(left), Val::Moment(right)) => (*left, minute(*right)),
        _ => return None,
    })
}

/// The day of the week at a moment.
pub(super) fn weekday(at: i64, zone: i64) -> &'static str {
    // 1970 began on a Thursday.
    ["thu", "fri", "sat", "sun", "mon", "tue", "wed"]
        [usize::try_from((at + zone).div_euclid(86_400).rem_euclid(7)).unwrap()]
}
