//! How an explanation is printed: one answer, or two beside each other with the first step that differs marked.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::answer::{Answer, Side};
use crate::analysis::closest::{Near, Standing, Verdict};
use crate::analysis::trace::{self, Step, Test};
use crate::policy::Truth;

/// One answer, for people.
pub(super) fn one(answer: &Answer) -> String {
    let mut text = String::new();
    // Writing to a String can't fail.
    let _ = writeln!(text, "{:<66} rules {}", headline(answer), answer.rules);
    if !answer.assumed.is_empty() {
        let _ = writeln!(text, "   taken for granted: {}", answer.assumed.join(", "));
    }
    steps(&mut text, &answer.steps);
    for sentence in answer.about_nearest().iter().chain(&answer.hints) {
        let _ = writeln!(text, "   {sentence}");
    }
    text
}

/// `DENY  403  no-permission`.
pub(super) fn headline(answer: &Answer) -> String {
    match answer.is_allowed() {
        true => format!("ALLOW  {}", answer.reason),
        false => format!("DENY  {}  {}", answer.status, answer.reason),
    }
}

pub(super) fn steps(text: &mut String, steps: &[Step]) {
    for (number, step) in (1..).zip(steps) {
        one_step(text, &format!("{number:>2} "), step);
    }
}

fn one_step(text: &mut String, margin: &str, step: &Step) {
    let place = step.place.as_ref().map(|place| format!("   {place}")).unwrap_or_default();
    let _ = writeln!(text, "{margin}{:<9} {}{place}", step.stage, step.text);
    for test in &step.tests {
        let _ = writeln!(text, "{:width$}{}", "", tested(test), width = margin.len() + 10);
    }
}

fn tested(test: &Test) -> String {
    let mark = match test.truth {
        Truth::Holds => "holds",
        Truth::Fails => "FAILS",
        Truth::Unknown => "UNKNOWN",
    };
    format!("{mark:<8} {}: {}    {}", test.condition, test.text, test.values)
}

/// Two answers, for people: what is the same once, what differs under each other, the first difference marked.
pub(super) fn beside(sides: &[Side<'_>; 2]) -> String {
    let mut text = String::new();
    let [first, second] = sides;
    for (mark, side) in ["A", "B"].iter().zip(sides) {
        let _ = match &side.answer {
            Ok(answer) => {
                writeln!(text, "{mark}  {:<63} {} (rules {})", headline(answer), side.name, answer.rules)
            }
            Err(why) => writeln!(text, "{mark}  can't be asked: {why}   {}", side.name),
        };
    }
    let (Ok(one), Ok(other)) = (&first.answer, &second.answer) else { return text };
    if !one.assumed.is_empty() {
        let _ = writeln!(text, "   taken for granted: {}", one.assumed.join(", "));
    }
    let mut has_differed = false;
    for (number, pair) in (1..).zip(pairs(&one.steps, &other.steps)) {
        match pair {
            (Some(one), Some(other)) if is_same(one, other) => {
                one_step(&mut text, &format!("  {number:>2}   "), one);
            }
            pair => {
                let arrow = if has_differed { ' ' } else { '>' };
                has_differed = true;
                for (mark, step) in [("A", pair.0), ("B", pair.1)] {
                    let margin = format!("{arrow} {number:>2} {mark} ");
                    match step {
                        Some(step) => one_step(&mut text, &margin, step),
                        None => {
                            let _ = writeln!(text, "{margin}-");
                        }
                    }
                }
            }
        }
    }
    if !has_differed {
        let _ = writeln!(text, "   both answer alike, step by step");
    }
    for (mark, answer) in [("A", one), ("B", other)] {
        for sentence in answer.about_nearest().iter().chain(&answer.hints) {
            let _ = writeln!(text, "{mark}  {sentence}");
        }
    }
    text
}

/// Steps of the same stage beside each other, in their order.
fn pairs<'s>(one: &'s [Step], other: &'s [Step]) -> Vec<(Option<&'s Step>, Option<&'s Step>)> {
    let mut pairs = Vec::new();
    let (mut left, mut right) = (one, other);
    loop {
        match (left.split_first(), right.split_first()) {
            (None, None) => return pairs,
            (Some((a, more)), Some((b, rest))) if a.stage == b.stage => {
                pairs.push((Some(a), Some(b)));
                (left, right) = (more, rest);
            }
            // What the one side comes to only later stands on the other side alone.
            (Some((a, _)), Some((b, rest))) if rest.iter().any(|own| own.stage == a.stage) => {
                pairs.push((None, Some(b)));
                right = rest;
            }
            (Some((a, more)), _) => {
                pairs.push((Some(a), None));
                left = more;
            }
            (None, Some((b, rest))) => {
                pairs.push((None, Some(b)));
                right = rest;
            }
        }
    }
}

/// Whether two steps say the same; where a rule stands is no difference in what it says.
fn is_same(one: &Step, other: &Step) -> bool {
    one.stage == other.stage && one.text == other.text && one.tests == other.tests
}

/// One answer, for a program.
pub(super) fn machine(answer: &Answer) -> String {
    let mut document = value(answer);
    if let Value::Object(members) = &mut document {
        members.insert("schema".to_owned(), "gatewarden.explain/1".into());
    }
    format!("{document:#}")
}

/// Two answers, for a program.
pub(super) fn machine_beside(sides: &[Side<'_>; 2]) -> String {
    let side = |own: &Side<'_>| match &own.answer {
        Ok(answer) => json!({ "name": own.name, "answer": value(answer) }),
        Err(why) => json!({ "name": own.name, "unasked": why }),
    };
    let [one, other] = sides;
    let first = match (&one.answer, &other.answer) {
        (Ok(one), Ok(other)) => {
            let all = pairs(&one.steps, &other.steps);
            let differs = |pair: &(Option<&Step>, Option<&Step>)| match pair {
                (Some(one), Some(other)) => !is_same(one, other),
                _ => true,
            };
            all.iter().position(differs).map(|at| at + 1)
        }
        _ => None,
    };
    let sides: Vec<Value> = sides.iter().map(side).collect();
    let document = json!({
        "schema": "gatewarden.explain/1", "sides": sides, "first_difference": first,
    });
    format!("{document:#}")
}

/// The steps, for a program.
pub(super) fn step(step: &Step) -> Value {
    let tests: Vec<_> = step
        .tests
        .iter()
        .map(|test| {
            json!({
                "condition": test.condition, "test": test.text, "values": test.values,
                "truth": trace::word(test.truth),
            })
        })
        .collect();
    json!({ "stage": step.stage, "text": step.text, "place": step.place.as_deref(), "tests": tests })
}

/// An answer, for a program.
pub(super) fn value(answer: &Answer) -> Value {
    let near = |own: &Near| {
        let (is_allowed, reason, tests) = match &own.verdict {
            Verdict::Allowed => (true, None, Vec::new()),
            Verdict::Refused(reason, tests) => (false, Some(reason), tests.iter().map(tested).collect()),
        };
        json!({
            "role": &*own.role, "held": own.held == Standing::Held, "if": own.under,
            "allowed": is_allowed, "reason": reason, "against": tests,
        })
    };
    let nearest: Option<Vec<Value>> = answer.nearest.as_ref().map(|all| all.iter().map(near).collect());
    let others: Vec<String> = answer.about_nearest().into_iter().chain(answer.hints.clone()).collect();
    json!({
        "effect": if answer.is_allowed() { "allow" } else { "deny" },
        "status": answer.status,
        "reason": answer.reason,
        "rules": answer.rules,
        "assumed": answer.assumed,
        "steps": answer.steps.iter().map(step).collect::<Vec<_>>(),
        "nearest": nearest,
        "others": (!others.is_empty()).then(|| others.join("\n   ")),
    })
}
