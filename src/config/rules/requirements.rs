//! What must hold whatever the role: `[require]`, to which operations each requirement applies, and what the isolation of
//! tenants reaches. A requirement that could never hold on an operation is a mistake, told here.

use super::super::diagnostic::{Diagnostic, Diagnostics, Span, code};
use super::super::raw::{Entry, Fields, Node};
use super::reach::{self, Reach};
use super::{Draft, OnPattern, OperationDraft, Reached, RequirementDraft, conditions};
use crate::policy::{Requirement, StepUp, TenantRule};

/// Most operations that one message names.
const NAMED_MAX: usize = 12;

/// Reads `[require]`.
pub(super) fn read(draft: &mut Draft<'_>, entry: Option<&Entry>, diagnostics: &mut Diagnostics) {
    let Some(table) = entry.and_then(|entry| entry.value.table(diagnostics)) else { return };
    for own in &table.entries {
        let is_limited =
            own.value.as_table().is_some_and(|inner| inner.get("is").is_some() || inner.get("on").is_some());
        let (condition, on, step_up) = if is_limited {
            let Some(inner) = own.value.table(diagnostics) else { continue };
            let mut fields = Fields::new(inner);
            let is = fields.require("is", own.span, diagnostics);
            let on = fields.take("on").map(|node| patterns(draft, node, diagnostics)).unwrap_or_default();
            let step_up = fields.take("else").and_then(|node| step_up(node, diagnostics));
            fields.finish(diagnostics);
            (is, on, step_up)
        } else {
            (Some(&own.value), Vec::new(), None)
        };
        let condition = condition.and_then(|node| conditions::in_place(draft, node, &own.key, diagnostics));
        let Some(condition) = condition else { continue };
        let place = draft.place(own.span);
        let requirement = Requirement { name: own.key.as_str().into(), condition, step_up, place };
        draft.requirements.push(RequirementDraft { requirement, on, span: own.span });
    }
}

/// Reads `{ step-up = { acr = ["mfa"], entra = "c1" } }`.
fn step_up(node: &Node, diagnostics: &mut Diagnostics) -> Option<StepUp> {
    let mut outer = Fields::new(node.table(diagnostics)?);
    let inner = outer.require("step-up", node.span, diagnostics);
    outer.finish(diagnostics);
    let inner = inner?;
    let mut fields = Fields::new(inner.table(diagnostics)?);
    let acr = fields.take("acr").and_then(|node| node.texts(diagnostics)).unwrap_or_default();
    let entra = fields.take("entra").and_then(|node| node.text(diagnostics));
    fields.finish(diagnostics);
    // They stand in a quoted string of a header, where a value list is separated by blanks.
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/".contains(&b);
    for text in acr.iter().chain(&entra) {
        if text.value.is_empty() || !text.value.bytes().all(is_plain) {
            let message = "an authentication context is letters, digits and `-._~:/`";
            diagnostics.push(Diagnostic::error(code::BAD_VALUE, message).at(text.inner(), ""));
        }
    }
    if acr.is_empty() && entra.is_none() {
        diagnostics.push(
            Diagnostic::error(code::MISSING, "a step-up asks for nothing")
                .at(inner.span, "needs `acr` or `entra`"),
        );
    }
    Some(StepUp {
        acr: acr.iter().map(|text| text.value.into()).collect(),
        entra: entra.map(|text| text.value.into()),
    })
}

fn patterns(draft: &Draft<'_>, node: &Node, diagnostics: &mut Diagnostics) -> Vec<(OnPattern, Span)> {
    let texts = node.texts(diagnostics).unwrap_or_default();
    if texts.is_empty() {
        diagnostics.push(Diagnostic::error(code::BAD_VALUE, "`on` names no operation").at(node.span, ""));
    }
    let mut patterns = Vec::new();
    for text in texts {
        let parameter = text.value.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        match parameter {
            Some(name) => patterns.push((OnPattern::Parameter(name.into()), text.inner())),
            None if text.value == "EMIT *" => patterns.push((OnPattern::Events, text.inner())),
            None => {
                let route = draft.route(text, diagnostics);
                patterns.extend(
                    route.map(|(verb, template)| (OnPattern::Operation(verb, template), text.inner())),
                );
            }
        }
    }
    patterns
}

/// Which requirements each operation is under, but for the one that proves the tenant.
pub(super) fn apply(draft: &mut Draft<'_>, diagnostics: &mut Diagnostics) {
    check_patterns(draft, diagnostics);
    let proven_by = match &draft.tenant {
        Some(TenantRule::From { proven_by, .. }) => *proven_by,
        _ => None,
    };
    let isolation = draft.isolation.map(|(index, _)| index);
    let objects = isolated_by(draft);
    let applies = |index: usize, own: &RequirementDraft, operation: &OperationDraft| {
        let named = own.on.iter().any(|(pattern, _)| pattern.is_on(operation));
        if isolation == Some(index) {
            named || reaches(&objects, own.requirement.condition, operation)
        } else {
            named || own.on.is_empty()
        }
    };
    let requirements = |operation: &OperationDraft| -> Vec<usize> {
        if operation.reached == Reached::Public {
            return Vec::new();
        }
        let all = draft.requirements.iter().enumerate();
        let all = all.filter(|(index, own)| Some(*index) != proven_by && applies(*index, own, operation));
        all.map(|(index, _)| index).collect()
    };
    let applied: Vec<Vec<usize>> = draft.operations.iter().map(requirements).collect();
    for (operation, requirements) in draft.operations.iter_mut().zip(applied) {
        operation.requirements = requirements;
    }
    check_isolation(draft, diagnostics);
    check_reach(draft, proven_by, diagnostics);
}

/// The path parameters by which the isolating requirement finds the object that is asked for.
fn isolated_by(draft: &Draft<'_>) -> Vec<Box<str>> {
    let own = draft.isolation.and_then(|(index, _)| draft.requirements.get(index));
    own.map(|own| reach::parameters(draft, own.requirement.condition)).unwrap_or_default()
}

/// Whether an operation names an object, or lists some and is filtered by the condition.
fn reaches(objects: &[Box<str>], condition: usize, operation: &OperationDraft) -> bool {
    let parameters = operation.template.parameters();
    parameters.iter().any(|(name, _)| objects.contains(name))
        || operation.obligations.narrows.iter().any(|own| own.condition == condition)
}

/// What isolates the tenants must reach something; what it doesn't reach is told.
fn check_isolation(draft: &Draft<'_>, diagnostics: &mut Diagnostics) {
    let Some((index, span)) = draft.isolation else { return };
    let Some(own) = draft.requirements.get(index) else { return };
    let name = &own.requirement.name;
    let guarded = || draft.operations.iter().filter(|own| own.reached == Reached::Guarded);
    let is_under = |operation: &&OperationDraft| operation.requirements.contains(&index);
    if guarded().next().is_some() && !guarded().any(|own| is_under(&own)) {
        let message = format!("`{name}` isolates nothing: no operation names the object that it reads");
        diagnostics.push(
            Diagnostic::error(code::ISOLATION, message)
                .at(span, "no operation is under it")
                .help("it reads an object by a parameter of the path; `isolation = \"upstream\"` leaves tenants to the app"),
        );
        return;
    }
    let beyond: Vec<String> = guarded().filter(|own| !is_under(own)).map(|own| draft.written(own)).collect();
    if !beyond.is_empty() {
        let message = format!("`{name}` doesn't reach {}", listed(&beyond));
        diagnostics.push(
            Diagnostic::note(code::ISOLATION, message)
                .at(span, "these name no object of the tenant's that it could read")
                .help("there the app itself keeps tenants apart, by the tenant header that it is given"),
        );
    }
}

/// Names as a sentence has them; of many only the first.
pub(super) fn listed(names: &[String]) -> String {
    let shown: Vec<_> = names.iter().take(NAMED_MAX).map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(NAMED_MAX);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{more}", shown.join(", "))
}

/// What a requirement is limited to must be there.
fn check_patterns(draft: &Draft<'_>, diagnostics: &mut Diagnostics) {
    for own in &draft.requirements {
        for (pattern, span) in &own.on {
            if !draft.operations.iter().any(|operation| pattern.is_on(operation)) {
                let name = &own.requirement.name;
                let message = format!("requirement `{name}` names an operation that the file doesn't have");
                diagnostics.push(Diagnostic::error(code::UNKNOWN_OPERATION, message).at(*span, ""));
            }
        }
    }
}

/// A requirement that rests on an object refuses everyone where the operation names none.
fn check_reach(draft: &Draft<'_>, proven_by: Option<usize>, diagnostics: &mut Diagnostics) {
    for (index, own) in draft.requirements.iter().enumerate() {
        let condition = own.requirement.condition;
        if !reach::is_of_an_object(draft, condition) {
            continue;
        }
        let is_under = |operation: &&OperationDraft| {
            operation.reached != Reached::Public
                && (operation.requirements.contains(&index) || proven_by == Some(index))
        };
        let refused: Vec<&OperationDraft> = draft
            .operations
            .iter()
            .filter(is_under)
            .filter(|operation| !Reach::of(draft, operation).outlook(condition).holds)
            .collect();
        let Some(first) = refused.first() else { continue };
        let names: Vec<String> = refused.iter().map(|own| draft.written(own)).collect();
        let message = format!("requirement `{}` refuses everyone {}", own.requirement.name, listed(&names));
        diagnostics.push(
            Diagnostic::error(code::UNREACHABLE, message)
                .at(own.span, "it rests on an object that isn't named there")
                .also(first.span, "refused to everyone")
                .help(advice(draft, condition)),
        );
    }
}

fn advice(draft: &Draft<'_>, condition: usize) -> String {
    let on: Vec<_> =
        reach::parameters(draft, condition).iter().map(|name| format!("\"{{{name}}}\"")).collect();
    if on.is_empty() {
        "limit it with `on` to the operations that have a body".to_owned()
    } else {
        format!("limit it with `on = [{}]`, and make it a filter of lists with [narrow]", on.join(", "))
    }
}
