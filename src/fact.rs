//! The typed values that conditions compare, and the sources that they come from.
//!
//! A fact is absent, or has exactly the type that its app declared for it; anything else is absent too, so that
//! a condition over it is unknown and grants nothing. Nothing here compares: operators are `policy::condition`'s.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use jiff::civil;
use serde_json::Value as Json;

use crate::json::Pointer;
use crate::request::is_plain_segment;
use crate::zone::Zone;

/// A fact's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// Text, compared byte for byte.
    String,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Int,
    /// A set of strings; its order and repetitions mean nothing.
    Set,
    /// An IP address.
    Ip,
    /// IP networks.
    Nets,
    /// A point in time: seconds since 1970 (RFC 7519's NumericDate), or RFC 3339 text.
    Time,
    /// A place in a hierarchy: `tenant`, `tenant/group`, `tenant/group/team`.
    Node,
}

impl Type {
    /// Every type.
    pub const ALL: [Self; 8] =
        [Self::String, Self::Bool, Self::Int, Self::Set, Self::Ip, Self::Nets, Self::Time, Self::Node];
    /// The words of the grammar.
    pub const NAMES: [&'static str; 8] = ["string", "bool", "int", "set", "ip", "nets", "time", "node"];

    /// Reads a type's word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "string" => Self::String,
            "bool" => Self::Bool,
            "int" => Self::Int,
            "set" => Self::Set,
            "ip" => Self::Ip,
            "nets" => Self::Nets,
            "time" => Self::Time,
            "node" => Self::Node,
            _ => return None,
        })
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::String => "string",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Set => "set",
            Self::Ip => "ip",
            Self::Nets => "nets",
            Self::Time => "time",
            Self::Node => "node",
        })
    }
}

/// A value that stands in a file: a literal operand, a default or a tenant's setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Literal {
    /// Text; a node is text too.
    Text(Box<str>),
    /// A boolean.
    Bool(bool),
    /// A number.
    Int(i64),
    /// A sorted set without repetitions.
    Set(Box<[Box<str>]>),
    /// An address.
    Ip(IpAddr),
    /// Networks.
    Nets(Box<[IpNet]>),
    /// What a point in time is compared with.
    Time(Mark),
}

/// What a point in time is compared with, as files write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// `'2027-01-31T08:00:00Z'`: that very moment.
    Instant(jiff::Timestamp),
    /// `'2027-01-31'`: a day of the tenant's calendar.
    Day(civil::Date),
    /// `'08:00'`: a time of the tenant's day, whichever day it is.
    Clock(civil::Time),
}

impl Mark {
    /// Reads a mark.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b':'));
        match text.len() {
            5 if digits(text) && text.contains(':') => text.parse().ok().map(Self::Clock),
            10 if digits(text) => text.parse().ok().map(Self::Day),
            11.. => text.parse().ok().map(Self::Instant),
            _ => None,
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instant(instant) => write!(f, "{instant}"),
            Self::Day(day) => write!(f, "{day}"),
            Self::Clock(clock) => write!(f, "{}", clock.strftime("%H:%M")),
        }
    }
}

impl Literal {
    /// A set of any strings.
    #[must_use]
    pub fn set(mut items: Vec<Box<str>>) -> Self {
        items.sort();
        items.dedup();
        Self::Set(items.into())
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, items: &mut dyn Iterator<Item = String>| {
            write!(f, "[{}]", items.collect::<Vec<_>>().join(", "))
        };
        match self {
            Self::Text(text) => write!(f, "'{text}'"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Set(items) => list(f, &mut items.iter().map(|i| format!("'{i}'"))),
            Self::Ip(ip) => write!(f, "{ip}"),
            Self::Nets(nets) => list(f, &mut nets.iter().map(ToString::to_string)),
            Self::Time(mark) => write!(f, "'{mark}'"),
        }
    }
}

/// A value while a request is decided; it borrows from the request, the token or the files.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'r> {
    /// Text, or a node.
    Text(Cow<'r, str>),
    /// A boolean.
    Bool(bool),
    /// A number.
    Int(i64),
    /// A set from the files.
    Set(&'r [Box<str>]),
    /// A set from a claim: an array of strings.
    Claims(&'r [Json]),
    /// An address.
    Ip(IpAddr),
    /// Networks.
    Nets(&'r [IpNet]),
    /// A point in time, and the zone whose days and hours it is compared in.
    Time(Moment<'r>),
    /// What a point in time is compared with.
    Mark(Mark),
}

/// A point in time as a place on earth sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment<'r> {
    /// The point in time.
    pub at: jiff::Timestamp,
    /// The tenant's zone.
    pub zone: &'r Zone,
}

impl Moment<'_> {
    /// How it stands to a mark: before, at or after it.
    #[must_use]
    pub fn against(&self, mark: &Mark) -> Ordering {
        match mark {
            Mark::Instant(instant) => self.at.cmp(instant),
            Mark::Day(day) => self.zone.datetime(self.at).date().cmp(day),
            Mark::Clock(clock) => {
                let own = self.zone.datetime(self.at).time();
                (own.hour(), own.minute()).cmp(&(clock.hour(), clock.minute()))
            }
        }
    }

    /// The day of the week: `mon` to `sun`.
    #[must_use]
    pub fn weekday(&self) -> &'static str {
        use civil::Weekday::{Friday, Monday, Saturday, Sunday, Thursday, Tuesday, Wednesday};
        match self.zone.datetime(self.at).weekday() {
            Monday => "mon",
            Tuesday => "tue",
            Wednesday => "wed",
            Thursday => "thu",
            Friday => "fri",
            Saturday => "sat",
            Sunday => "sun",
        }
    }
}

impl<'r> Value<'r> {
    /// The value of a literal.
    #[must_use]
    pub fn of(literal: &'r Literal) -> Self {
        match literal {
            Literal::Text(text) => Self::Text(Cow::Borrowed(text)),
            Literal::Bool(value) => Self::Bool(*value),
            Literal::Int(value) => Self::Int(*value),
            Literal::Set(items) => Self::Set(items),
            Literal::Ip(ip) => Self::Ip(*ip),
            Literal::Nets(nets) => Self::Nets(nets),
            Literal::Time(mark) => Self::Mark(*mark),
        }
    }

    /// A claim as a value of type `kind`; a claim of another shape is no value.
    #[must_use]
    pub fn of_claim(claim: &'r Json, kind: Type) -> Option<Self> {
        Some(match (kind, claim) {
            (Type::String, Json::String(text)) => Self::Text(Cow::Borrowed(text)),
            (Type::Node, Json::String(text)) if is_node(text) => Self::Text(Cow::Borrowed(text)),
            (Type::Bool, Json::Bool(value)) => Self::Bool(*value),
            (Type::Int, Json::Number(number)) => Self::Int(number.as_i64()?),
            (Type::Set, Json::Array(items)) if items.iter().all(Json::is_string) => Self::Claims(items),
            (Type::Set, Json::String(_)) => Self::Claims(std::slice::from_ref(claim)),
            (Type::Ip, Json::String(text)) => Self::Ip(text.parse().ok()?),
            (Type::Time, Json::Number(seconds)) => {
                Self::Mark(Mark::Instant(jiff::Timestamp::from_second(seconds.as_i64()?).ok()?))
            }
            (Type::Time, Json::String(text)) => Self::Mark(Mark::Instant(text.parse().ok()?)),
            _ => return None,
        })
    }

    /// Text of a request as a value of type `kind`.
    #[must_use]
    pub fn of_text(text: Cow<'r, str>, kind: Type) -> Option<Self> {
        Some(match kind {
            Type::String => Self::Text(text),
            Type::Node if is_node(&text) => Self::Text(text),
            Type::Bool => Self::Bool(text.parse().ok()?),
            Type::Int => Self::Int(text.parse().ok()?),
            Type::Ip => Self::Ip(text.parse().ok()?),
            Type::Time => Self::Mark(Mark::Instant(text.parse().ok()?)),
            Type::Node | Type::Set | Type::Nets => return None,
        })
    }

    /// The value by itself, where it is one piece of text, a number, an address or a truth.
    #[must_use]
    pub fn plain(self) -> Option<Cow<'r, str>> {
        match self {
            Self::Text(text) => Some(text),
            Self::Bool(value) => Some(value.to_string().into()),
            Self::Int(value) => Some(value.to_string().into()),
            Self::Ip(value) => Some(value.to_string().into()),
            Self::Time(moment) => Some(moment.at.to_string().into()),
            Self::Mark(_) | Self::Set(_) | Self::Claims(_) | Self::Nets(_) => None,
        }
    }

    /// The value as JSON.
    #[must_use]
    pub fn to_json(&self) -> Json {
        match self {
            Self::Text(text) => Json::from(&**text),
            Self::Bool(value) => Json::from(*value),
            Self::Int(value) => Json::from(*value),
            Self::Set(items) => items.iter().map(|item| Json::from(&**item)).collect(),
            Self::Claims(items) => Json::Array(items.to_vec()),
            Self::Ip(ip) => Json::from(ip.to_string()),
            Self::Nets(nets) => nets.iter().map(|net| Json::from(net.to_string())).collect(),
            Self::Time(moment) => Json::from(moment.at.to_string()),
            Self::Mark(mark) => Json::from(mark.to_string()),
        }
    }

    /// The value, kept beyond the request.
    #[must_use]
    pub fn to_literal(&self) -> Option<Literal> {
        Some(match self {
            Self::Text(text) => Literal::Text((**text).into()),
            Self::Bool(value) => Literal::Bool(*value),
            Self::Int(value) => Literal::Int(*value),
            Self::Set(items) => Literal::Set((*items).into()),
            Self::Claims(items) => {
                Literal::set(items.iter().filter_map(Json::as_str).map(Into::into).collect())
            }
            Self::Ip(ip) => Literal::Ip(*ip),
            Self::Nets(nets) => Literal::Nets((*nets).into()),
            Self::Time(moment) => Literal::Time(Mark::Instant(moment.at)),
            Self::Mark(mark) => Literal::Time(*mark),
        })
    }

    /// The strings of a set.
    pub fn for_each_string(&self, mut visit: impl FnMut(&'r str)) {
        match self {
            Self::Set(items) => items.iter().for_each(|item| visit(item)),
            Self::Claims(items) => items.iter().filter_map(Json::as_str).for_each(visit),
            Self::Text(Cow::Borrowed(text)) => visit(text),
            Self::Text(Cow::Owned(_))
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Ip(_)
            | Self::Nets(_)
            | Self::Time(_)
            | Self::Mark(_) => {}
        }
    }

    /// Whether a set has a member.
    #[must_use]
    pub fn has(&self, wanted: &str) -> bool {
        match self {
            Self::Set(items) => items.binary_search_by(|item| (**item).cmp(wanted)).is_ok(),
            Self::Claims(items) => items.iter().any(|item| item.as_str() == Some(wanted)),
            _ => false,
        }
    }

    /// Whether it is a set without members.
    #[must_use]
    pub fn is_empty_set(&self) -> bool {
        match self {
            Self::Set(items) => items.is_empty(),
            Self::Claims(items) => items.is_empty(),
            Self::Nets(nets) => nets.is_empty(),
            _ => false,
        }
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "'{text}'"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Ip(ip) => write!(f, "{ip}"),
            Self::Time(moment) => write!(f, "{}", moment.at),
            Self::Mark(mark) => write!(f, "'{mark}'"),
            Self::Nets(nets) => {
                write!(f, "[{}]", nets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
            }
            Self::Set(_) | Self::Claims(_) => {
                let mut items = Vec::new();
                self.for_each_string(|item| items.push(format!("'{item}'")));
                write!(f, "[{}]", items.join(", "))
            }
        }
    }
}

/// One to three names separated by `/`: tenant, group, team. A name that an app could take for a step upwards (`..`), for
/// several names, or for one value of a list is none: whoever may go down could go up by it.
#[must_use]
pub fn is_node(text: &str) -> bool {
    let is_name = |part: &str| is_plain_segment(part) && !part.starts_with(' ') && !part.contains(',');
    text.len() <= 256 && text.matches('/').count() <= 2 && text.split('/').all(is_name)
}

/// Networks as files write them. Addresses are compared in their plain form, so that a network of IPv4 addresses
/// written as IPv6 ones would hold none; it is no network here.
#[must_use]
pub fn network(text: &str) -> Option<IpNet> {
    let mapped = |net: &IpNet| net.addr() != net.addr().to_canonical();
    text.parse().ok().filter(|net| !mapped(net))
}

/// Where a fact's value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A claim of the verified token, by its path.
    Token(Box<[Box<str>]>),
    /// A setting of the acting tenant, by name; `ids` are the ids that it is known by.
    Tenant(Box<str>),
    /// The client's address.
    ClientIp,
    /// What the client's certificate says.
    ClientCertificate(Certified),
    /// When the request came.
    ClientTime,
    /// The day of the tenant's week when the request came.
    ClientWeekday,
    /// A parameter of the operation's template.
    Path(Box<str>),
    /// A query parameter.
    Query(Box<str>),
    /// A header, in lower case.
    Header(Box<str>),
    /// A member of the request's JSON body, or of an event's first argument.
    Body(Pointer),
    /// What the app itself answers.
    LookUp {
        /// The look-up, by index.
        look_up: usize,
        /// Where in the answer.
        at: Pointer,
    },
}

/// What a client's certificate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Certified {
    /// Whom it names.
    Subject,
    /// Which one it is.
    Thumbprint,
}

impl Source {
    /// Whether the caller can state it as it likes.
    #[must_use]
    pub fn is_clients_word(&self) -> bool {
        matches!(self, Self::Query(_) | Self::Header(_) | Self::Body(_))
    }
}

/// A declared fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Its full name: `token.oid`.
    pub name: Box<str>,
    /// Where it comes from.
    pub source: Source,
    /// Its type.
    pub kind: Type,
    /// What it is where the source has nothing.
    pub default: Option<Default>,
}

/// What stands for an absent fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Default {
    /// A value.
    Literal(Literal),
    /// Another fact of the app, by index; that one has no default of this kind itself.
    Fact(usize),
}

#[cfg(test)]
mod tests {
    use super::is_node;

    #[test]
    fn a_node_is_names_that_lead_down_alone() {
        for text in ["acme", "acme/retail", "acme/retail/north west", "acme/R&D", "acme/Åse", "a.b/c"] {
            assert!(is_node(text), "{text}");
        }
        for text in [
            "",
            "/",
            "acme/",
            "/acme",
            "acme//x",
            "a/b/c/d",
            "..",
            "acme/..",
            "acme/.",
            "acme/../zenith",
            "acme/x.",
            "acme/ ",
            "acme/ x",
            "acme/%2e%2e",
            "acme/%2Fx",
            "acme\\..",
            "acme;x",
            "acme?x",
            "acme#x",
            "acme/x,acme",
            "acme/x\0",
            "acme/x\n",
            "acme/\u{202e}x",
            "acme/\u{ff0e}\u{ff0e}",
        ] {
            assert!(!is_node(text), "{text:?}");
        }
        assert!(is_node(&"x".repeat(256)) && !is_node(&"x".repeat(257)));
    }
}
