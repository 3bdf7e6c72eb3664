//! Conditions as they are written: a name, three words, or a table of `all`, `any` or `not`.

use super::super::diagnostic::{Diagnostic, Diagnostics, Span, code};
use super::super::raw::{Entry, Node, Raw, Text};
use super::Draft;
use crate::fact::{Literal, Source, Type};
use crate::policy::{Condition, Leaf, Named, Operand, Operator};

mod size;

/// Deepest nesting of `all`, `any` and `not`.
const DEPTH_MAX: usize = 16;

/// Reads `[when]`: every name first, so that conditions may refer to later ones, but never in a circle.
pub(super) fn when(draft: &mut Draft<'_>, entry: Option<&Entry>, diagnostics: &mut Diagnostics) {
    let Some(table) = entry.and_then(|entry| entry.value.table(diagnostics)) else { return };
    for own in &table.entries {
        let plain = own.key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        if !plain || own.key.is_empty() {
            let message = format!("`{}` is no name for a condition", own.key);
            diagnostics.push(
                Diagnostic::error(code::BAD_VALUE, message).at(own.span, "letters, digits, `-` and `_`"),
            );
        }
        // Until it is read, a condition is one that never holds.
        let place = draft.place(own.span);
        let index = draft.conditions.len();
        draft.conditions.push(Named {
            name: own.key.as_str().into(),
            condition: Condition::Any(Vec::new()),
            place,
        });
        draft.condition_names.insert(own.key.as_str().into(), index);
    }
    for (index, own) in table.entries.iter().enumerate() {
        if let Some(condition) = read(draft, &own.value, Polarity::Plain, 0, diagnostics)
            && let Some(slot) = draft.conditions.get_mut(index)
        {
            slot.condition = condition;
        }
    }
    size::judge(draft, &table.entries, diagnostics);
    for (index, own) in table.entries.iter().enumerate() {
        let stated =
            draft.conditions.get(index).and_then(|named| negated_stated(draft, &named.condition, false));
        if let Some(fact) = stated
            && !diagnostics.iter().any(|d| d.code == code::CLIENT_STATED)
        {
            refuse_negated(draft, own.span, fact, diagnostics);
        }
    }
}

/// A fact that the client states and that the condition negates, through names too.
fn negated_stated(draft: &Draft<'_>, condition: &Condition, negated: bool) -> Option<usize> {
    match condition {
        Condition::Leaf(leaf) => {
            let negated = negated || leaf.operator == Operator::NotEqual;
            stated_by_client(draft, leaf).filter(|_| negated)
        }
        Condition::Named(index) if negated => {
            let mut stated = None;
            draft.conditions.get(*index)?.condition.leaves(&draft.conditions, &mut |leaf| {
                stated = stated.or(stated_by_client(draft, leaf));
            });
            stated
        }
        Condition::Named(_) => None,
        Condition::All(parts) | Condition::Any(parts) => {
            parts.iter().find_map(|part| negated_stated(draft, part, negated))
        }
        Condition::Not(part) => negated_stated(draft, part, true),
    }
}

/// A condition that stands in the place `place_name`: the index of the one it names, or of its own.
pub(super) fn in_place(
    draft: &mut Draft<'_>,
    node: &Node,
    place_name: &str,
    diagnostics: &mut Diagnostics,
) -> Option<usize> {
    let condition = read(draft, node, Polarity::Plain, 0, diagnostics)?;
    if let Some(fact) = negated_stated(draft, &condition, false)
        && !diagnostics.iter().any(|d| d.code == code::CLIENT_STATED)
    {
        refuse_negated(draft, node.span, fact, diagnostics);
    }
    if let Condition::Named(index) = condition {
        return Some(index);
    }
    size::judge_one(draft, node, &condition, diagnostics)?;
    let place = draft.place(node.span);
    draft.conditions.push(Named { name: place_name.into(), condition, place });
    Some(draft.conditions.len() - 1)
}

/// The index of a condition that a grant names.
pub(super) fn by_name(
    draft: &Draft<'_>,
    text: Text<'_>,
    name: &str,
    diagnostics: &mut Diagnostics,
) -> Option<usize> {
    let found = draft.condition_names.get(name).copied();
    if found.is_none() {
        let span = if name.is_empty() { text.inner() } else { text.part(name) };
        let mut diagnostic =
            Diagnostic::error(code::UNKNOWN_CONDITION, format!("unknown condition `{name}`"))
                .at(span, "not declared in [when]");
        if !diagnostics.is_crowded() {
            diagnostic = diagnostic.nearest(span, name, draft.condition_names.keys().map(|key| &**key));
        }
        diagnostics.push(diagnostic);
    }
    found
}

/// Whether a part is negated on its way up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Polarity {
    Plain,
    Negated,
}

fn read(
    draft: &mut Draft<'_>,
    node: &Node,
    polarity: Polarity,
    depth: usize,
    diagnostics: &mut Diagnostics,
) -> Option<Condition> {
    if depth > DEPTH_MAX {
        diagnostics
            .push(Diagnostic::error(code::CONDITION, "conditions are nested too deep").at(node.span, ""));
        return None;
    }
    match &node.value {
        Raw::Text(..) => text(draft, node.as_text()?, polarity, diagnostics),
        Raw::Table(table) => match table.entries.as_slice() {
            [own] if own.key == "all" || own.key == "any" => {
                let parts = own.value.list(diagnostics)?;
                if parts.is_empty() {
                    let message = format!("`{}` of nothing", own.key);
                    diagnostics.push(Diagnostic::error(code::CONDITION, message).at(own.value.span, ""));
                    return None;
                }
                let read: Vec<_> =
                    parts.iter().map(|part| read(draft, part, polarity, depth + 1, diagnostics)).collect();
                let parts: Vec<_> = read.into_iter().collect::<Option<_>>()?;
                Some(if own.key == "all" { Condition::All(parts) } else { Condition::Any(parts) })
            }
            [own] if own.key == "not" => {
                let part = read(draft, &own.value, Polarity::Negated, depth + 1, diagnostics)?;
                Some(Condition::Not(Box::new(part)))
            }
            _ => {
                let message = "a condition is a table of exactly one of `all`, `any` and `not`";
                let mut diagnostic = Diagnostic::error(code::CONDITION, message).at(node.span, "");
                let odd = table.entries.iter().find(|own| !["all", "any", "not"].contains(&own.key.as_str()));
                if let Some(own) = odd {
                    diagnostic =
                        diagnostic.at(own.span, "").nearest(own.span, &own.key, ["all", "any", "not"]);
                }
                diagnostics.push(diagnostic);
                None
            }
        },
        _ => {
            let message =
                format!("a condition is a name, `fact op operand` or a table, not {}", node.type_name());
            diagnostics.push(Diagnostic::error(code::WRONG_TYPE, message).at(node.span, ""));
            None
        }
    }
}

fn text(
    draft: &mut Draft<'_>,
    text: Text<'_>,
    polarity: Polarity,
    diagnostics: &mut Diagnostics,
) -> Option<Condition> {
    let trimmed = text.value.trim();
    if !trimmed.contains(' ') {
        if trimmed.contains(['=', '<', '>', '\'', '\t']) {
            let message = "a test is three words with a blank between them: fact, operator, operand";
            diagnostics.push(Diagnostic::error(code::CONDITION, message).at(text.inner(), ""));
            return None;
        }
        let index = by_name(draft, text, trimmed, diagnostics)?;
        return Some(Condition::Named(index));
    }
    let (left, rest) = trimmed.split_once(' ')?;
    let (word, right) = rest.trim_start().split_once(' ').unwrap_or((rest.trim(), ""));
    let right = right.trim();
    if right.is_empty() {
        let message = "a test is three words: fact, operator, operand";
        diagnostics.push(Diagnostic::error(code::CONDITION, message).at(text.inner(), ""));
        return None;
    }
    let fact = known_fact(draft, text, left, diagnostics);
    let Some(operator) = Operator::parse(word) else {
        let span = text.part(word);
        // Whoever wrote `==` didn't mean the opposite.
        let meant = Operator::NAMES
            .into_iter()
            .filter(|name| if word == "==" { *name == "=" } else { *name != "!=" || word.contains('!') });
        let unknown = Diagnostic::error(code::CONDITION, format!("unknown operator `{word}`"));
        diagnostics.push(unknown.at(span, "").nearest(span, word, meant));
        return None;
    };
    let fact = fact?;
    let operand = operand(draft, text, (fact, operator), right, diagnostics)?;
    let negated = operator == Operator::NotEqual || polarity == Polarity::Negated;
    let leaf = Leaf { fact, operator, operand };
    if let Some(stated) = stated_by_client(draft, &leaf).filter(|_| negated) {
        let word = if stated == fact { left } else { right };
        refuse_negated(draft, text.part(word), stated, diagnostics);
    }
    Some(Condition::Leaf(leaf))
}

fn known_fact(
    draft: &mut Draft<'_>,
    text: Text<'_>,
    name: &str,
    diagnostics: &mut Diagnostics,
) -> Option<usize> {
    let found = draft.fact(name);
    let span = text.part(name);
    match found {
        Some(index) => draft.mention(index, span),
        None => {
            let known = draft.fact_names.keys().map(|key| &**key);
            let undeclared = [
                "client.ip",
                "client.time",
                "client.weekday",
                "client.certificate.subject",
                "client.certificate.thumbprint",
            ];
            diagnostics.push(
                Diagnostic::error(code::UNKNOWN_FACT, format!("unknown fact `{name}`"))
                    .at(span, "not declared in [facts]")
                    .nearest(span, name, known.chain(undeclared)),
            );
        }
    }
    found
}

fn operand(
    draft: &mut Draft<'_>,
    text: Text<'_>,
    (fact, operator): (usize, Operator),
    right: &str,
    diagnostics: &mut Diagnostics,
) -> Option<Operand> {
    let kind = draft.facts.get(fact)?.kind;
    let is_literal =
        right.starts_with(['\'', '[']) || matches!(right, "true" | "false") || right.parse::<i64>().is_ok();
    if !is_literal {
        let index = known_fact(draft, text, right, diagnostics)?;
        let other = draft.facts.get(index)?.kind;
        if !operator.fits(kind, other) {
            report_types(
                draft,
                text,
                (fact, operator),
                &format!("`{right}` is {}", article(other)),
                diagnostics,
            );
            return None;
        }
        return Some(Operand::Fact(index));
    }
    let wanted: Vec<Type> = Type::ALL.into_iter().filter(|right| operator.fits(kind, *right)).collect();
    let Some(wanted) = wanted.into_iter().find_map(|wanted| literal(right, wanted)) else {
        report_types(
            draft,
            text,
            (fact, operator),
            &format!("it can't be compared with `{right}`"),
            diagnostics,
        );
        return None;
    };
    check_weekday(draft, text, (fact, right), &wanted, diagnostics);
    Some(Operand::Literal(wanted))
}

/// A day that no week has would never come, and under `not` always be.
fn check_weekday(
    draft: &Draft<'_>,
    text: Text<'_>,
    (fact, written): (usize, &str),
    operand: &Literal,
    diagnostics: &mut Diagnostics,
) {
    const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    if draft.facts.get(fact).is_none_or(|fact| fact.source != Source::ClientWeekday) {
        return;
    }
    let days = match operand {
        Literal::Text(day) => std::slice::from_ref(day),
        Literal::Set(days) => days,
        _ => &[],
    };
    for day in days.iter().filter(|day| !DAYS.contains(&&***day)) {
        let message = format!("`{day}` is no day of the week");
        diagnostics.push(
            Diagnostic::error(code::BAD_VALUE, message)
                .at(text.part(written), "")
                .help(format!("a day is one of {}", DAYS.join(", "))),
        );
    }
}

fn report_types(
    draft: &Draft<'_>,
    text: Text<'_>,
    (fact, operator): (usize, Operator),
    why: &str,
    diagnostics: &mut Diagnostics,
) {
    let Some(fact) = draft.facts.get(fact) else { return };
    let message = format!("`{}` is {}: {why} by `{operator}`", fact.name, article(fact.kind));
    diagnostics
        .push(Diagnostic::error(code::TYPES, message).at(text.inner(), "types that can't be compared"));
}

fn article(kind: Type) -> String {
    format!("{} {kind}", if matches!(kind, Type::Int | Type::Ip) { "an" } else { "a" })
}

/// A literal operand as a value of a type: `'text'`, `['a', 'b']`, `true`, `7`.
pub(super) fn literal(text: &str, kind: Type) -> Option<Literal> {
    let quoted = |text: &str| -> Option<String> {
        let inner = text.trim().strip_prefix('\'')?.strip_suffix('\'')?;
        (!inner.contains('\'')).then(|| inner.to_owned())
    };
    let list = || -> Option<Vec<String>> {
        let mut rest = text.strip_prefix('[')?.strip_suffix(']')?.trim();
        let mut items = Vec::new();
        while !rest.is_empty() {
            let (item, more) = rest.strip_prefix('\'')?.split_once('\'')?;
            items.push(item.to_owned());
            rest = match more.trim_start() {
                "" => "",
                more => Some(more.strip_prefix(',')?.trim_start()).filter(|more| !more.is_empty())?,
            };
        }
        Some(items)
    };
    Some(match kind {
        Type::String => Literal::Text(quoted(text)?.into()),
        Type::Node => Literal::Text(quoted(text).filter(|text| crate::fact::is_node(text))?.into()),
        Type::Bool => Literal::Bool(text.parse().ok()?),
        Type::Int => Literal::Int(text.parse().ok()?),
        Type::Set => Literal::set(list()?.into_iter().map(Into::into).collect()),
        Type::Ip => Literal::Ip(quoted(text)?.parse().ok()?),
        Type::Nets => {
            let nets: Option<Vec<_>> = list()?.iter().map(|net| crate::fact::network(net)).collect();
            Literal::Nets(nets?.into())
        }
        Type::Time => Literal::Time(crate::fact::Mark::parse(&quoted(text)?)?),
    })
}

/// A fact of a comparison, on either side of it, that the client states.
fn stated_by_client(draft: &Draft<'_>, leaf: &Leaf) -> Option<usize> {
    let other = match leaf.operand {
        Operand::Fact(other) => Some(other),
        Operand::Literal(_) => None,
    };
    let is_stated = |fact: &usize| draft.facts.get(*fact).is_some_and(|own| own.source.is_clients_word());
    [Some(leaf.fact), other].into_iter().flatten().find(is_stated)
}

fn refuse_negated(draft: &Draft<'_>, span: Span, fact: usize, diagnostics: &mut Diagnostics) {
    let Some(fact) = draft.facts.get(fact) else { return };
    let message =
        format!("`{}` is the client's own word, so a test may not rest on what it isn't", fact.name);
    diagnostics.push(
        Diagnostic::error(code::CLIENT_STATED, message)
            .at(span, "an app may read another spelling as the value that is meant to be kept out")
            .help("enumerate what is allowed with `in`"),
    );
}
