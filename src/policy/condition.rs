//! Named tests over facts. A leaf compares one fact with one operand; `all`, `any` and `not` combine. The logic is
//! three-valued (Kleene): what can't be known stays unknown through `not`, and only *holds* ever grants.

use std::cmp::Ordering;
use std::fmt;

use super::Facts;
use crate::fact::{Literal, Mark, Type, Value};

/// What a condition says of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Truth {
    /// Known to be so.
    Holds,
    /// Known not to be so.
    Fails,
    /// A fact is absent or unreadable.
    Unknown,
}

impl Truth {
    fn of(value: bool) -> Self {
        if value { Self::Holds } else { Self::Fails }
    }

    /// Kleene's `not`.
    #[must_use]
    pub fn negate(self) -> Self {
        match self {
            Self::Holds => Self::Fails,
            Self::Fails => Self::Holds,
            Self::Unknown => Self::Unknown,
        }
    }

    /// Kleene's `and`.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Fails, _) | (_, Self::Fails) => Self::Fails,
            (Self::Holds, Self::Holds) => Self::Holds,
            _ => Self::Unknown,
        }
    }

    /// Kleene's `or`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        self.negate().and(other.negate()).negate()
    }
}

/// How a leaf compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `in`: the fact is a member of the operand.
    In,
    /// `has`: the fact has the operand as a member.
    Has,
    /// `meets`: two sets share a member.
    Meets,
    /// `under`: a node is the operand or below it.
    Under,
    /// `within`: an address is in one of the networks.
    Within,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `>=`
    AtLeast,
}

impl Operator {
    /// The words of the grammar.
    pub const NAMES: [&'static str; 11] =
        ["=", "!=", "in", "has", "meets", "under", "within", "<", "<=", ">", ">="];

    /// Reads an operator's word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "=" => Self::Equal,
            "!=" => Self::NotEqual,
            "in" => Self::In,
            "has" => Self::Has,
            "meets" => Self::Meets,
            "under" => Self::Under,
            "within" => Self::Within,
            "<" => Self::Less,
            "<=" => Self::AtMost,
            ">" => Self::More,
            ">=" => Self::AtLeast,
            _ => return None,
        })
    }

    /// Whether it can compare a fact of one type with an operand of another.
    #[must_use]
    pub fn fits(self, left: Type, right: Type) -> bool {
        match self {
            Self::Equal | Self::NotEqual => left == right && !matches!(left, Type::Set | Type::Nets),
            Self::In => matches!(left, Type::String | Type::Node) && right == Type::Set,
            Self::Has => left == Type::Set && matches!(right, Type::String | Type::Node),
            Self::Meets => (left, right) == (Type::Set, Type::Set),
            Self::Under => (left, right) == (Type::Node, Type::Node),
            Self::Within => (left, right) == (Type::Ip, Type::Nets),
            Self::Less | Self::AtMost | Self::More | Self::AtLeast => {
                left == right && matches!(left, Type::Int | Type::Time)
            }
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::In => "in",
            Self::Has => "has",
            Self::Meets => "meets",
            Self::Under => "under",
            Self::Within => "within",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::More => ">",
            Self::AtLeast => ">=",
        })
    }
}

/// The right side of a leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    /// Another fact, by index.
    Fact(usize),
    /// A value of the file.
    Literal(Literal),
}

/// `fact op operand`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The fact, by index.
    pub fact: usize,
    /// The comparison.
    pub operator: Operator,
    /// What it is compared with.
    pub operand: Operand,
}

/// A test over facts. References go to conditions declared in the same app and never in a circle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// One comparison.
    Leaf(Leaf),
    /// A named condition, by index.
    Named(usize),
    /// Every one of them.
    All(Vec<Condition>),
    /// At least one of them.
    Any(Vec<Condition>),
    /// Its opposite; unknown stays unknown.
    Not(Box<Condition>),
}

impl Leaf {
    /// Compares. Against an empty set `in` and `meets` fail, whatever the other side.
    #[must_use]
    pub fn test(&self, facts: &Facts<'_>) -> Truth {
        let right = match &self.operand {
            Operand::Fact(index) => facts.get(*index),
            Operand::Literal(literal) => Some(Value::of(literal)),
        };
        // What fails whatever the other side is leaves that side unread: it may be one that must be asked for.
        if is_over_empty(self.operator, right.as_ref()) {
            return Truth::Fails;
        }
        compare(self.operator, facts.get(self.fact).as_ref(), right.as_ref())
    }
}

fn is_over_empty(operator: Operator, right: Option<&Value<'_>>) -> bool {
    matches!(operator, Operator::In | Operator::Meets) && right.is_some_and(Value::is_empty_set)
}

/// What a comparison says of two values, either of which may be unknown.
pub(crate) fn compare(operator: Operator, left: Option<&Value<'_>>, right: Option<&Value<'_>>) -> Truth {
    let is_empty = operator == Operator::Meets && left.is_some_and(Value::is_empty_set);
    if is_empty || is_over_empty(operator, right) {
        return Truth::Fails;
    }
    let (Some(left), Some(right)) = (left, right) else { return Truth::Unknown };
    known(operator, left, right).map_or(Truth::Unknown, Truth::of)
}

fn known(operator: Operator, left: &Value<'_>, right: &Value<'_>) -> Option<bool> {
    use Operator::{AtLeast, AtMost, Equal, Has, In, Less, Meets, More, NotEqual, Under, Within};
    Some(match (operator, left, right) {
        (Equal, ..) => equal(left, right)?,
        (NotEqual, ..) => !equal(left, right)?,
        (In, Value::Text(member), set) | (Has, set, Value::Text(member)) => set.has(member),
        (Meets, ..) => {
            let mut met = false;
            left.for_each_string(|member| met |= right.has(member));
            met
        }
        (Under, Value::Text(below), Value::Text(above)) => {
            below.strip_prefix(&**above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
        (Within, Value::Ip(ip), Value::Nets(nets)) => {
            let ip = ip.to_canonical();
            nets.iter().any(|net| net.contains(&ip))
        }
        (Less, Value::Int(left), Value::Int(right)) => left < right,
        (AtMost, Value::Int(left), Value::Int(right)) => left <= right,
        (More, Value::Int(left), Value::Int(right)) => left > right,
        (AtLeast, Value::Int(left), Value::Int(right)) => left >= right,
        (Less, ..) => in_time(left, right)?.is_lt(),
        (AtMost, ..) => in_time(left, right)?.is_le(),
        (More, ..) => in_time(left, right)?.is_gt(),
        (AtLeast, ..) => in_time(left, right)?.is_ge(),
        _ => return None,
    })
}

/// How two points in time stand to each other, if one of them knows whose day it is or both are moments.
fn in_time(left: &Value<'_>, right: &Value<'_>) -> Option<Ordering> {
    Some(match (left, right) {
        (Value::Time(left), Value::Time(right)) => left.at.cmp(&right.at),
        (Value::Time(left), Value::Mark(right)) => left.against(right),
        (Value::Mark(left), Value::Time(right)) => right.against(left).reverse(),
        (Value::Mark(Mark::Instant(left)), Value::Mark(Mark::Instant(right))) => left.cmp(right),
        _ => return None,
    })
}

fn equal(left: &Value<'_>, right: &Value<'_>) -> Option<bool> {
    Some(match (left, right) {
        (Value::Text(left), Value::Text(right)) => left == right,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::Int(left), Value::Int(right)) => left == right,
        (Value::Ip(left), Value::Ip(right)) => left.to_canonical() == right.to_canonical(),
        _ => in_time(left, right)?.is_eq(),
    })
}

/// Who says what the parts of a condition are: facts, or a row of a truth table.
pub trait Tester {
    /// What a comparison says.
    fn leaf(&mut self, leaf: &Leaf) -> Truth;

    /// What stands in the place of a named condition, if something does.
    fn instead_of(&mut self, _named: usize) -> Option<Truth> {
        None
    }
}

impl<F: FnMut(&Leaf) -> Truth> Tester for F {
    fn leaf(&mut self, leaf: &Leaf) -> Truth {
        self(leaf)
    }
}

impl Condition {
    /// What it says, as `tester` says of its parts.
    pub fn truth(&self, named: &[Named], tester: &mut dyn Tester) -> Truth {
        match self {
            Self::Leaf(own) => tester.leaf(own),
            Self::Named(index) => tester.instead_of(*index).unwrap_or_else(|| {
                named.get(*index).map_or(Truth::Unknown, |own| own.condition.truth(named, tester))
            }),
            Self::All(parts) => {
                let mut truth = Truth::Holds;
                for part in parts {
                    truth = truth.and(part.truth(named, tester));
                    if truth == Truth::Fails {
                        break;
                    }
                }
                truth
            }
            Self::Any(parts) => {
                let mut truth = Truth::Fails;
                for part in parts {
                    truth = truth.or(part.truth(named, tester));
                    if truth == Truth::Holds {
                        break;
                    }
                }
                truth
            }
            Self::Not(part) => part.truth(named, tester).negate(),
        }
    }

    /// Visits every leaf, through names too.
    pub fn leaves<'c>(&'c self, named: &'c [Named], visit: &mut dyn FnMut(&'c Leaf)) {
        match self {
            Self::Leaf(leaf) => visit(leaf),
            Self::Named(index) => {
                if let Some(other) = named.get(*index) {
                    other.condition.leaves(named, visit);
                }
            }
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.leaves(named, visit)),
            Self::Not(part) => part.leaves(named, visit),
        }
    }
}

/// A condition and what it is called.
#[derive(Clone, Debug)]
pub struct Named {
    /// Its name; a condition written in place of one has the name of its place.
    pub name: Box<str>,
    /// What it tests.
    pub condition: Condition,
    /// Where it stands: `rules/calling.toml:41`.
    pub place: std::sync::Arc<str>,
}
