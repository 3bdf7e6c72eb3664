//! What is protected: resources with their scopes, features with their routes, and what is public.

use std::collections::{HashMap, HashSet};

use super::super::diagnostic::{Diagnostic, Diagnostics, Span, code};
use super::super::raw::{Entry, Fields, Node, Raw, Table, Text};
use super::{Draft, Reached, ResourceDraft, conditions};
use crate::policy::obligation::SeatRule;
use crate::policy::{Permission, PermissionId};
use crate::spelling;

/// The one scope of a feature of a `[matrix]`.
pub(super) const USE: &str = "use";
/// Scopes of one resource share a word of this many bits.
const SCOPES_MAX: usize = 64;

/// Reads `[resource.*]`.
pub(super) fn read(draft: &mut Draft<'_>, entry: Option<&Entry>, diagnostics: &mut Diagnostics) {
    let Some(table) = entry.and_then(|entry| entry.value.table(diagnostics)) else { return };
    for own in &table.entries {
        let Some(inner) = own.value.table(diagnostics) else { continue };
        check_name(&own.key, own.span, diagnostics);
        let reserved = inner.get("reserved").and_then(|entry| entry.value.bool(diagnostics)).unwrap_or(false);
        let scopes: Vec<&Entry> = inner.entries.iter().filter(|scope| scope.key != "reserved").collect();
        if scopes.is_empty() {
            let message = format!("resource `{}` has no scope", own.key);
            diagnostics.push(Diagnostic::error(code::MISSING, message).at(own.span, ""));
        }
        let names: Vec<(&str, Span)> = scopes.iter().map(|scope| (scope.key.as_str(), scope.span)).collect();
        let ids = declare(draft, &own.key, own.span, reserved, &names, diagnostics);
        for (scope, id) in scopes.iter().zip(ids) {
            operations(draft, &scope.value, id, diagnostics);
        }
    }
}

/// Reads what `[matrix]` rows and `[routes]` say of features.
pub(super) fn features(
    draft: &mut Draft<'_>,
    matrix: Option<&Entry>,
    routes: Option<&Entry>,
    diagnostics: &mut Diagnostics,
) {
    let rows = matrix.and_then(|entry| entry.value.table(diagnostics));
    let lines = routes.and_then(|entry| entry.value.table(diagnostics));
    let empty = Table::default();
    let (rows, lines) = match (rows, lines) {
        (None, None) => return,
        (rows, lines) => (rows.unwrap_or(&empty), lines.unwrap_or(&empty)),
    };
    let by_name: HashMap<&str, &Entry> = lines.entries.iter().map(|line| (&*line.key, line)).collect();
    let named: HashSet<&str> = rows.entries.iter().map(|row| &*row.key).collect();
    for row in rows.entries.iter().filter(|row| row.key != "columns") {
        let Some(line) = by_name.get(&*row.key) else {
            let message = format!("`{}` has no line in [routes]", row.key);
            diagnostics.push(
                Diagnostic::error(code::MATRIX, message).at(row.span, "which operations is it?").nearest(
                    row.span,
                    &row.key,
                    lines.entries.iter().map(|line| line.key.as_str()),
                ),
            );
            continue;
        };
        draft.features.push(row.key.as_str().into());
        let ids = declare(draft, &row.key, row.span, false, &[(USE, row.span)], diagnostics);
        for id in ids {
            operations(draft, &line.value, id, diagnostics);
        }
    }
    for line in lines.entries.iter().filter(|line| !named.contains(&*line.key)) {
        let message = format!("`{}` has no row in [matrix]", line.key);
        diagnostics.push(Diagnostic::error(code::MATRIX, message).at(line.span, "who has it?").nearest(
            line.span,
            &line.key,
            rows.entries.iter().map(|row| row.key.as_str()),
        ));
    }
}

/// Reads `public` and `public-login`.
pub(super) fn public(draft: &mut Draft<'_>, fields: &mut Fields<'_>, diagnostics: &mut Diagnostics) {
    for key in ["public", "public-login"] {
        let texts = fields.take(key).and_then(|node| node.texts(diagnostics)).unwrap_or_default();
        for text in texts {
            let Some(index) = draft.operation(text, diagnostics) else { continue };
            let Some(operation) = draft.operations.get_mut(index) else { continue };
            let already = match operation.reached {
                Reached::Public => Some("public twice"),
                Reached::Socket => Some("the socket's own, whose events have roles"),
                Reached::Guarded if operation.template.is_event() => Some("an event, whose sender is known"),
                Reached::Guarded if operation.permissions.is_empty() => None,
                Reached::Guarded => Some("public and in a resource"),
            };
            if let Some(already) = already {
                let message = format!("`{}` is {already}", text.value);
                diagnostics.push(
                    Diagnostic::error(code::DUPLICATE, message)
                        .at(text.inner(), "public is without any role")
                        .also(operation.span, "named here"),
                );
            }
            operation.reached = Reached::Public;
        }
    }
    check_public(draft, diagnostics);
}

/// A literal takes paths from a public parameter: were the file cut off before it, they would be public, too.
fn check_public(draft: &Draft<'_>, diagnostics: &mut Diagnostics) {
    let (public, guarded): (Vec<_>, Vec<_>) =
        draft.operations.iter().partition(|own| own.reached == Reached::Public);
    for own in public {
        let Some(taken) = guarded.iter().find(|other| other.template.takes_from(&own.template)) else {
            continue;
        };
        let message = format!("`{}` takes paths from what is public", taken.template);
        diagnostics.push(
            Diagnostic::error(code::OVERLAP, message)
                .at(own.span, "public, whatever stands in the place of the parameter")
                .also(taken.span, "a literal there: without this line, its paths would be public")
                .help("a file that is cut off in the middle must never open more than the whole one"),
        );
    }
}

fn check_name(name: &str, span: Span, diagnostics: &mut Diagnostics) {
    let trimmed = name.trim() == name && !name.is_empty();
    let confusing = name.starts_with('!')
        || name == "*"
        || name.contains(['#', ','])
        || name.contains(" if ")
        || name.contains(" until ");
    if !trimmed || confusing || name.chars().any(char::is_control) {
        let message = format!("`{name}` can't be told from the rest of a term");
        diagnostics.push(Diagnostic::error(code::BAD_VALUE, message).at(span, "choose a plain name"));
    }
}

fn declare(
    draft: &mut Draft<'_>,
    resource: &str,
    span: Span,
    reserved: bool,
    scopes: &[(&str, Span)],
    diagnostics: &mut Diagnostics,
) -> Vec<PermissionId> {
    if let Some(other) = draft.resource(resource) {
        diagnostics.push(
            Diagnostic::error(code::DUPLICATE, format!("`{resource}` is declared twice"))
                .at(span, "again here")
                .also(other.span, "first here"),
        );
        return Vec::new();
    }
    if scopes.len() > SCOPES_MAX {
        let message = format!("`{resource}` has more than {SCOPES_MAX} scopes");
        diagnostics.push(Diagnostic::error(code::BAD_VALUE, message).at(span, ""));
        return Vec::new();
    }
    let next = draft.permissions.last().map_or((0, 0), |(last, _)| (last.word, usize::from(last.bit) + 1));
    let (word, bit) = if next.1 + scopes.len() > SCOPES_MAX { (next.0.saturating_add(1), 0) } else { next };
    let mut ids = Vec::new();
    for (offset, (scope, scope_span)) in scopes.iter().enumerate() {
        let id = PermissionId { word, bit: u8::try_from(bit + offset).unwrap_or(u8::MAX) };
        let name = format!("{resource}#{scope}");
        let permission = Permission {
            resource: resource.into(),
            scope: (*scope).into(),
            header: spelling::alone(&name),
            name: name.into(),
            reserved,
            seat: SeatRule::Free,
            place: draft.place(*scope_span),
        };
        draft.permissions.push((id, permission));
        ids.push(id);
    }
    let scopes = scopes.iter().zip(&ids).map(|((scope, _), id)| ((*scope).into(), *id)).collect();
    draft.resource_names.insert(resource.into(), draft.resources.len());
    draft.resources.push(ResourceDraft { name: resource.into(), span, reserved, scopes });
    ids
}

fn operations(draft: &mut Draft<'_>, node: &Node, id: PermissionId, diagnostics: &mut Diagnostics) {
    let node = match node.as_table() {
        None => node,
        Some(table) => {
            // Both keys must be there, so that no cut can leave operations without the seat that they need.
            let mut fields = Fields::new(table);
            let seat = fields.require("seat", node.span, diagnostics);
            let operations = fields.require("operations", node.span, diagnostics);
            fields.finish(diagnostics);
            let seat = seat.and_then(|own| seat_rule(draft, own, diagnostics));
            if let (Some(seat), Some((_, own))) =
                (seat, draft.permissions.iter_mut().find(|(own, _)| *own == id))
            {
                own.seat = seat;
            }
            let Some(operations) = operations else { return };
            operations
        }
    };
    let mut seen: HashMap<usize, Text<'_>> = HashMap::new();
    for text in node.texts(diagnostics).unwrap_or_default() {
        let Some(index) = draft.operation(text, diagnostics) else { continue };
        if let Some(first) = seen.insert(index, text) {
            diagnostics.push(
                Diagnostic::error(code::DUPLICATE, format!("`{}` stands twice in one scope", text.value))
                    .at(text.inner(), "again here")
                    .also(first.inner(), "first here"),
            );
            continue;
        }
        let Some(operation) = draft.operations.get_mut(index) else { continue };
        if operation.reached == Reached::Socket {
            let message = format!("`{}` is the socket's own path", text.value);
            diagnostics.push(
                Diagnostic::error(code::SOCKET, message)
                    .at(text.inner(), "who may open the socket follows from who may send its events")
                    .also(operation.span, "the socket"),
            );
        } else {
            operation.permissions.push(id);
        }
    }
}

/// Reads `seat = true`, or the condition under which a seat is needed.
fn seat_rule(draft: &Draft<'_>, node: &Node, diagnostics: &mut Diagnostics) -> Option<SeatRule> {
    match &node.value {
        Raw::Bool(true) => Some(SeatRule::Always),
        Raw::Bool(false) => Some(SeatRule::Free),
        Raw::Text(name, _) => {
            let text = node.as_text()?;
            conditions::by_name(draft, text, name, diagnostics).map(SeatRule::If)
        }
        _ => {
            let message =
                format!("`seat` is true, false or the name of a condition, not {}", node.type_name());
            diagnostics.push(Diagnostic::error(code::WRONG_TYPE, message).at(node.span, ""));
            None
        }
    }
}
