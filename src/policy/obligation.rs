//! Obligations: what an allow carries along. What they are, and what becomes of them for one caller; carrying them out
//! is for whoever forwards.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use serde_json::Value as Json;

use super::Facts;
use super::condition::{Condition, Leaf, Named, Operand, Truth, compare};
use super::grant::PermissionId;
use crate::fact::{Default, Literal, Mark, Moment, Source, Type, Value};
use crate::json::{Pattern, Pointer, Segment};
use crate::zone::Zone;

/// A condition that becomes a filter of a list's query, where no single object is named.
#[derive(Clone, Debug)]
pub struct Narrow {
    /// The condition that it stands for, by index.
    pub condition: usize,
    /// The query key that the app filters by.
    pub query: Box<str>,
    /// What it is filtered by: the other side of the condition.
    pub value: Operand,
    /// What of the client's own query survives.
    pub pass: Box<[Box<str>]>,
}

impl Narrow {
    /// What the app is to filter by, as its query spells it. Nothing, where it is unknown or empty.
    #[must_use]
    pub fn filter_value(&self, facts: &Facts<'_>) -> Option<String> {
        let value = match &self.value {
            Operand::Fact(index) => facts.get(*index)?,
            Operand::Literal(literal) => Value::of(literal),
        };
        value.plain().filter(|text| !text.is_empty()).map(std::borrow::Cow::into_owned)
    }
}

/// JSON fields that are hidden.
#[derive(Clone, Debug)]
pub struct Mask {
    /// Where they are in an answer.
    pub fields: Box<[Pattern]>,
    /// Whoever holds one of these permissions sees them; nobody does if there are none.
    pub unless: Box<[PermissionId]>,
}

/// Elements of an array that are dropped.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Where the array is in an answer.
    pub items: Pattern,
    /// The look-up, by index, whose facts are read from each element instead.
    pub of: usize,
    /// What must hold for an element to stay, by index.
    pub keep: usize,
}

/// A header whose value is a fact's on every guarded request.
#[derive(Clone, Debug)]
pub struct Inject {
    /// The header.
    pub header: HeaderName,
    /// The fact, by index.
    pub fact: usize,
}

/// When a permitted request needs a licence seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeatRule {
    /// Never.
    Free,
    /// Always.
    Always,
    /// Unless this condition, by index, is known not to hold.
    If(usize),
}

/// What an app is asked about itself.
#[derive(Clone, Debug)]
pub struct LookUp {
    /// The namespace of its facts.
    pub name: Arc<str>,
    /// The path on the upstream, what is stripped already gone.
    pub target: Box<[Piece]>,
    /// The upstream, by index.
    pub upstream: usize,
    /// How long an answer counts.
    pub ttl: Duration,
    /// How long to wait for one.
    pub timeout: Duration,
    /// Where it stands.
    pub place: Arc<str>,
}

/// A piece of a look-up's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// As it stands.
    Text(Box<str>),
    /// The value of a fact, by index, as one segment.
    Fact(usize),
}

/// What is left of a condition when everything is known but an array's element: a test of elements.
#[derive(Clone, PartialEq)]
pub enum Residue {
    /// The same for every element.
    Settled(Truth),
    /// A comparison of the element's own.
    Leaf(Box<ElementLeaf>),
    /// Every one of them.
    All(Vec<Residue>),
    /// At least one of them.
    Any(Vec<Residue>),
    /// Its opposite.
    Not(Box<Residue>),
}

/// A comparison with an element on at least one side.
#[derive(Clone, Debug, PartialEq)]
pub struct ElementLeaf {
    pub(super) leaf: Leaf,
    pub(super) left: Side,
    pub(super) right: Side,
}

/// One side of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Side {
    /// A member of the element, of this type; what stands for its absence, and whose days and hours a moment has.
    Element(Pointer, Type, Option<Literal>, Option<Zone>),
    /// A value that is known already, if it is.
    Value(Option<Literal>),
}

impl Residue {
    /// What is left of a condition when the facts of one look-up are read from an element, and all others are what
    /// they are now.
    #[must_use]
    pub fn of(condition: &Condition, named: &[Named], look_up: usize, facts: &Facts<'_>) -> Self {
        let parts =
            |parts: &[Condition]| parts.iter().map(|part| Self::of(part, named, look_up, facts)).collect();
        match condition {
            Condition::Named(index) => named
                .get(*index)
                .map_or(Self::Settled(Truth::Unknown), |own| Self::of(&own.condition, named, look_up, facts)),
            Condition::All(all) => Self::All(parts(all)),
            Condition::Any(any) => Self::Any(parts(any)),
            Condition::Not(part) => Self::Not(Box::new(Self::of(part, named, look_up, facts))),
            Condition::Leaf(leaf) => {
                let left = Side::of(leaf.fact, look_up, facts);
                let right = match &leaf.operand {
                    Operand::Literal(literal) => Side::Value(Some(literal.clone())),
                    Operand::Fact(other) => Side::of(*other, look_up, facts),
                };
                match (&left, &right) {
                    (Side::Value(_), Side::Value(_)) => Self::Settled(leaf.test(facts)),
                    _ => Self::Leaf(Box::new(ElementLeaf { leaf: leaf.clone(), left, right })),
                }
            }
        }
    }

    /// Whether an element stays: only what is known to hold does.
    #[must_use]
    pub fn keeps(&self, element: &Json) -> bool {
        self.test(element) == Truth::Holds
    }

    fn test(&self, element: &Json) -> Truth {
        match self {
            Self::Settled(truth) => *truth,
            Self::Leaf(leaf) => leaf.test(element),
            Self::All(parts) => parts.iter().fold(Truth::Holds, |truth, part| truth.and(part.test(element))),
            Self::Any(parts) => parts.iter().fold(Truth::Fails, |truth, part| truth.or(part.test(element))),
            Self::Not(part) => part.test(element).negate(),
        }
    }
}

impl fmt::Debug for Residue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settled(truth) => write!(f, "{truth:?}"),
            Self::Leaf(leaf) => write!(f, "{:?} {} {:?}", leaf.left, leaf.leaf.operator, leaf.right),
            Self::All(parts) => f.debug_tuple("All").field(parts).finish(),
            Self::Any(parts) => f.debug_tuple("Any").field(parts).finish(),
            Self::Not(part) => f.debug_tuple("Not").field(part).finish(),
        }
    }
}

impl ElementLeaf {
    fn test(&self, element: &Json) -> Truth {
        let (left, right) = (self.left.value(element), self.right.value(element));
        compare(self.leaf.operator, left.as_ref(), right.as_ref())
    }
}

impl Side {
    fn of(fact: usize, look_up: usize, facts: &Facts<'_>) -> Self {
        let declared = facts.declared.get(fact);
        match declared.map(|own| (&own.source, own)) {
            Some((Source::LookUp { look_up: own, at }, fact)) if *own == look_up => {
                let default = match &fact.default {
                    Some(Default::Literal(literal)) => Some(literal.clone()),
                    Some(Default::Fact(other)) => match Self::of(*other, look_up, facts) {
                        Self::Value(value) => value,
                        Self::Element(..) => None,
                    },
                    None => None,
                };
                Self::Element(at.clone(), fact.kind, default, facts.tenant.map(|own| own.zone().clone()))
            }
            _ => Self::Value(facts.get(fact).and_then(|value| value.to_literal())),
        }
    }

    fn value<'v>(&'v self, element: &'v Json) -> Option<Value<'v>> {
        match self {
            Self::Value(literal) => literal.as_ref().map(Value::of),
            // As of a look-up's own answer: a member in another spelling isn't an absent one.
            Self::Element(at, kind, default, zone) => match at.read(element) {
                Err(_) => None,
                Ok(None | Some(Json::Null)) => default.as_ref().map(Value::of),
                Ok(Some(member)) => match (Value::of_claim(member, *kind), zone) {
                    (Some(Value::Mark(Mark::Instant(at))), Some(zone)) => {
                        Some(Value::Time(Moment { at, zone }))
                    }
                    (value, _) => value,
                },
            },
        }
    }
}

/// Whether a body has no other field than these: every value in it is one that a pattern names, or stands below one.
#[must_use]
pub fn has_only(body: &Json, allowed: &[Pattern]) -> bool {
    let allowed: Vec<&[Segment]> = allowed.iter().map(Pattern::segments).collect();
    body.is_null() || body.is_object() && covers(body, &allowed)
}

/// `allowed` are the rests of those patterns that lead here.
fn covers(value: &Json, allowed: &[&[Segment]]) -> bool {
    if allowed.iter().any(|rest| rest.is_empty()) {
        return true;
    }
    let covered = |name: &str, inner: &Json| {
        let below = allowed.iter().filter_map(|own| match own.split_first()? {
            (Segment::Any, rest) => Some(rest),
            (Segment::Named(wanted), rest) => (**wanted == *name).then_some(rest),
        });
        let below: Vec<&[Segment]> = below.collect();
        !below.is_empty() && covers(inner, &below)
    };
    match value {
        Json::Object(members) => members.iter().all(|(name, inner)| covered(name, inner)),
        Json::Array(items) => {
            items.iter().enumerate().all(|(index, inner)| covered(&index.to_string(), inner))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn only(body: &Json, allowed: &[&str]) -> bool {
        let allowed: Vec<_> = allowed.iter().map(|text| Pattern::parse(text).unwrap()).collect();
        has_only(body, &allowed)
    }

    #[test]
    fn a_body_has_no_field_that_is_not_named() {
        assert!(only(&json!({"role": "x"}), &["/role"]));
        assert!(only(&json!({"role": {"any": ["thing"]}}), &["/role"]));
        assert!(only(&json!({}), &["/role"]));
        assert!(only(&Json::Null, &["/role"]));
        assert!(only(&json!({"items": [{"name": 1}, {"name": 2}]}), &["/items/*/name"]));
        for body in [
            json!({"role": "x", "node": "y"}),
            json!({"Role": "x"}),
            json!({"role ": "x"}),
            json!({"x": {}}),
            json!({"x": []}),
            json!([{"role": "x"}]),
            json!("role"),
        ] {
            assert!(!only(&body, &["/role"]), "{body}");
        }
        assert!(!only(&json!({"items": [{"name": 1, "owner": 2}]}), &["/items/*/name"]));
        assert!(!only(&json!({"items": "all"}), &["/items/*/name"]));
    }
}
