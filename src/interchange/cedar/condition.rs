//! A condition as two Cedar expressions: that it is known to hold, and that it is known to fail. What is unknown is
//! neither, as in the three-valued logic that conditions have here.

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::fact::{Literal, Type};
use crate::policy::{App, Condition, Leaf, Operand, Operation, Operator};

/// A string of Cedar's.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The conditions of an app, and which tests were given to Cedar as values.
#[derive(Debug)]
pub(super) struct Conditions<'a> {
    app: &'a App,
    given: RefCell<BTreeSet<String>>,
}

impl<'a> Conditions<'a> {
    pub(super) fn new(app: &'a App) -> Self {
        Self { app, given: RefCell::default() }
    }

    /// Tests whose outcome stands in the context.
    pub(super) fn given(&self) -> Vec<String> {
        self.given.borrow().iter().cloned().collect()
    }

    /// Whether an operation makes a filter of a condition, or of one in it.
    pub(super) fn is_narrowed(&self, condition: usize, on: &Operation) -> bool {
        let is_own = |index: usize| on.obligations.narrows.iter().any(|own| own.condition == index);
        is_own(condition)
            || self.app.conditions.get(condition).is_some_and(|own| self.names(&own.condition, &is_own))
    }

    fn names(&self, condition: &Condition, is_own: &dyn Fn(usize) -> bool) -> bool {
        match condition {
            Condition::Leaf(_) => false,
            Condition::Named(index) => {
                let inner = self.app.conditions.get(*index);
                is_own(*index) || inner.is_some_and(|own| self.names(&own.condition, is_own))
            }
            Condition::All(parts) | Condition::Any(parts) => {
                parts.iter().any(|part| self.names(part, is_own))
            }
            Condition::Not(part) => self.names(part, is_own),
        }
    }

    /// That a condition is known to hold; on an operation that makes filters, these hold where their value is known.
    pub(super) fn holds(&self, condition: usize, on: Option<&Operation>) -> String {
        self.said(&Condition::Named(condition), true, on)
    }

    fn said(&self, condition: &Condition, wanted: bool, on: Option<&Operation>) -> String {
        let join = |parts: &[Condition], with: &str| {
            let parts: Vec<String> = parts.iter().map(|part| self.said(part, wanted, on)).collect();
            format!("({})", parts.join(with))
        };
        match (condition, wanted) {
            (Condition::Leaf(leaf), _) => {
                self.plain(leaf, wanted).unwrap_or_else(|| self.opaque(leaf, wanted))
            }
            (Condition::Named(index), _) => {
                let narrow =
                    on.and_then(|on| on.obligations.narrows.iter().find(|own| own.condition == *index));
                match (narrow, self.app.conditions.get(*index)) {
                    (Some(narrow), _) if wanted => self.filterable(&narrow.value),
                    (Some(_), _) | (None, None) => "false".to_owned(),
                    (None, Some(own)) => self.said(&own.condition, wanted, on),
                }
            }
            (Condition::All(parts) | Condition::Any(parts), _) if parts.is_empty() => {
                (matches!(condition, Condition::All(_)) == wanted).to_string()
            }
            (Condition::All(parts), true) | (Condition::Any(parts), false) => join(parts, " && "),
            (Condition::Any(parts), true) | (Condition::All(parts), false) => join(parts, " || "),
            (Condition::Not(part), _) => self.said(part, !wanted, on),
        }
    }

    /// That a filter's value is known, and not empty.
    fn filterable(&self, value: &Operand) -> String {
        let Operand::Fact(index) = value else { return "true".to_owned() };
        match self.app.facts.get(*index) {
            Some(fact) if matches!(fact.kind, Type::String | Type::Node) => {
                format!("({} && {} != \"\")", has(&fact.name), attribute(&fact.name))
            }
            Some(fact) => has(&fact.name),
            None => "false".to_owned(),
        }
    }

    /// A test that is given: its outcome is known, and is this.
    fn opaque(&self, leaf: &Leaf, wanted: bool) -> String {
        let fact = |index: usize| self.app.facts.get(index).map_or("?", |fact| &*fact.name);
        let right = match &leaf.operand {
            Operand::Fact(index) => fact(*index).to_owned(),
            Operand::Literal(literal) => literal.to_string(),
        };
        let name = format!("{} {} {right}", fact(leaf.fact), leaf.operator);
        let not = if wanted { "" } else { "!" };
        let text = format!("({} && {not}{})", has(&name), attribute(&name));
        self.given.borrow_mut().insert(name);
        text
    }

    /// A test that Cedar can do; nothing if it can't.
    fn plain(&self, leaf: &Leaf, wanted: bool) -> Option<String> {
        let fact = self.app.facts.get(leaf.fact)?;
        let (own, mut known) = (attribute(&fact.name), vec![has(&fact.name)]);
        let (right, right_known) = match &leaf.operand {
            Operand::Fact(index) => {
                let other = self.app.facts.get(*index)?;
                if matches!(other.kind, Type::Nets | Type::Time) {
                    return None;
                }
                (attribute(&other.name), Some(has(&other.name)))
            }
            Operand::Literal(Literal::Set(items)) if items.is_empty() => return Some((!wanted).to_string()),
            Operand::Literal(literal) => (self::literal(literal)?, None),
        };
        known.extend(right_known.clone());
        let test = test(leaf, fact.kind, &own, &right)?;
        if wanted {
            return Some(format!("({} && {test})", known.join(" && ")));
        }
        // Against an empty set these fail, whatever the other side.
        let mut ways = vec![format!("({} && !({test}))", known.join(" && "))];
        if matches!(leaf.operator, Operator::In | Operator::Meets) {
            ways.extend(right_known.map(|known| format!("({known} && {right}.isEmpty())")));
        }
        if leaf.operator == Operator::Meets {
            ways.push(format!("({} && {own}.isEmpty())", has(&fact.name)));
        }
        Some(format!("({})", ways.join(" || ")))
    }
}

/// The comparison of two values that are known.
fn test(leaf: &Leaf, kind: Type, own: &str, right: &str) -> Option<String> {
    let is_number = kind == Type::Int;
    Some(match leaf.operator {
        Operator::Equal if kind != Type::Time => format!("{own} == {right}"),
        Operator::NotEqual if kind != Type::Time => format!("{own} != {right}"),
        Operator::In => format!("{right}.contains({own})"),
        Operator::Has => format!("{own}.contains({right})"),
        Operator::Meets => format!("{own}.containsAny({right})"),
        Operator::Less if is_number => format!("{own} < {right}"),
        Operator::AtMost if is_number => format!("{own} <= {right}"),
        Operator::More if is_number => format!("{own} > {right}"),
        Operator::AtLeast if is_number => format!("{own} >= {right}"),
        Operator::Under => match &leaf.operand {
            Operand::Literal(Literal::Text(above)) => {
                let pattern = quoted(&format!("{above}/")).replace('*', "\\*");
                format!("({own} == {right} || {own} like {}*\")", pattern.strip_suffix('"')?)
            }
            _ => return None,
        },
        Operator::Within => match &leaf.operand {
            Operand::Literal(Literal::Nets(nets)) if !nets.is_empty() => {
                let within = nets.iter().map(|net| format!("{own}.isInRange(ip(\"{net}\"))"));
                format!("({})", within.collect::<Vec<_>>().join(" || "))
            }
            _ => return None,
        },
        _ => return None,
    })
}

fn has(name: &str) -> String {
    format!("context has {}", quoted(name))
}

fn attribute(name: &str) -> String {
    format!("context[{}]", quoted(name))
}

fn literal(literal: &Literal) -> Option<String> {
    Some(match literal {
        Literal::Text(text) => quoted(text),
        Literal::Bool(value) => value.to_string(),
        Literal::Int(value) => value.to_string(),
        Literal::Set(items) => {
            format!("[{}]", items.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(", "))
        }
        Literal::Ip(ip) => format!("ip(\"{}\")", ip.to_canonical()),
        // Written where they are tested.
        Literal::Nets(_) => String::new(),
        Literal::Time(_) => return None,
    })
}
