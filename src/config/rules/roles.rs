//! Who is granted what: role tables, the cells of a `[matrix]`, and the readings that explain both.

use super::super::diagnostic::{Diagnostic, Diagnostics, Span, code};
use super::super::raw::{Entry, Fields, Node, Table, Text};
use super::resources::USE;
use super::{Draft, conditions, until};
use crate::fact::Source;
use crate::policy::{Grant, PermissionId, Role, TenantRule, Term};
use crate::spelling;
use crate::token::IssuerKind;

/// The role of every verified principal that `require` lets in.
pub(super) const ANYONE: &str = "anyone";

struct RoleDraft {
    name: Box<str>,
    span: Span,
    claims: Vec<Box<str>>,
    only: Option<usize>,
    grants: Vec<Grant>,
}

/// Reads `[role.*]` and the columns and cells of `[matrix]`.
pub(super) fn read(
    draft: &mut Draft<'_>,
    entry: Option<&Entry>,
    matrix: Option<&Entry>,
    diagnostics: &mut Diagnostics,
) {
    let mut roles: Vec<RoleDraft> = Vec::new();
    let matrix_table = matrix.and_then(|entry| entry.value.as_table());
    let columns = columns(matrix, diagnostics);
    let table = entry.and_then(|entry| entry.value.table(diagnostics));
    for own in table.map_or(&[][..], |table| &table.entries) {
        check_column_order(own, matrix, &columns, diagnostics);
        roles.extend(role(draft, own, diagnostics));
    }
    for column in &columns {
        if !roles.iter().any(|role| *role.name == *column.value) {
            let claims = vec![column.value.into()];
            roles.push(RoleDraft {
                name: column.value.into(),
                span: column.inner(),
                claims,
                only: None,
                grants: Vec::new(),
            });
        }
    }
    if let Some(table) = matrix_table {
        cells(draft, table, &columns, &mut roles, diagnostics);
        // A matrix's columns come first and in its order, so that tables read like the document's.
        let rank = |role: &RoleDraft| {
            columns.iter().position(|own| *own.value == *role.name).unwrap_or(columns.len())
        };
        roles.sort_by_key(rank);
    }
    check_words(&roles, diagnostics);
    check_only(draft, &roles, diagnostics);
    check_claims(&roles, diagnostics);
    draft.roles = roles.into_iter().map(|role| finish(draft, role)).collect();
}

fn columns<'n>(matrix: Option<&'n Entry>, diagnostics: &mut Diagnostics) -> Vec<Text<'n>> {
    let Some(entry) = matrix else { return Vec::new() };
    let Some(table) = entry.value.as_table() else { return Vec::new() };
    let Some(columns) = table.get("columns") else {
        diagnostics
            .push(Diagnostic::error(code::MISSING, "`columns` is missing").at(entry.span, "which roles?"));
        return Vec::new();
    };
    let texts = columns.value.texts(diagnostics).unwrap_or_default();
    for (index, text) in texts.iter().enumerate() {
        if let Some(first) = texts.iter().take(index).find(|other| other.value == text.value) {
            diagnostics.push(
                Diagnostic::error(code::DUPLICATE, format!("column `{}` stands twice", text.value))
                    .at(text.inner(), "again here")
                    .also(first.inner(), "first here"),
            );
        }
    }
    texts
}

/// What limits a column's grants stands before them: cut off after the matrix, the grants would be unlimited.
fn check_column_order(
    own: &Entry,
    matrix: Option<&Entry>,
    columns: &[Text<'_>],
    diagnostics: &mut Diagnostics,
) {
    let Some(matrix) = matrix else { return };
    if !columns.iter().any(|column| column.value == own.key) {
        return;
    }
    let limits = own.value.as_table().map_or(&[][..], |table| &table.entries).iter();
    let limits = limits.filter(|limit| matches!(limit.key.as_str(), "claim" | "only"));
    for limit in limits.filter(|limit| limit.span > matrix.span) {
        let message = format!("`{}` of a matrix column stands before [matrix]", limit.key);
        super::report_order(limit.span, matrix.span, &message, diagnostics);
    }
}

fn role(draft: &mut Draft<'_>, entry: &Entry, diagnostics: &mut Diagnostics) -> Option<RoleDraft> {
    let table = entry.value.table(diagnostics)?;
    let first_scope = table.entries.iter().find(|own| !matches!(own.key.as_str(), "claim" | "only"));
    for late in table.entries.iter().filter(|own| matches!(own.key.as_str(), "claim" | "only")) {
        if let Some(scope) = first_scope
            && late.span > scope.span
        {
            let message = format!("`{}` stands before the role's first scope", late.key);
            super::report_order(late.span, scope.span, &message, diagnostics);
        }
    }
    let claims = match table.get("claim") {
        _ if entry.key == ANYONE => {
            if let Some(claim) = table.get("claim") {
                let message = "`anyone` is every verified principal, so no claim makes it";
                diagnostics.push(Diagnostic::error(code::BAD_VALUE, message).at(claim.span, ""));
            }
            Vec::new()
        }
        None => vec![entry.key.as_str().into()],
        Some(claim) => strings(&claim.value, diagnostics),
    };
    let only = table.get("only").and_then(|only| {
        let place = format!("{} only", entry.key);
        conditions::in_place(draft, &only.value, &place, diagnostics)
    });
    let mut grants = Vec::new();
    for scope in table.entries.iter().filter(|own| !matches!(own.key.as_str(), "claim" | "only")) {
        if !draft.permissions.iter().any(|(_, own)| *own.scope == *scope.key) {
            let mut names: Vec<&str> = draft.permissions.iter().map(|(_, own)| &*own.scope).collect();
            names.extend(["claim", "only"]);
            diagnostics.push(
                Diagnostic::error(code::UNKNOWN_SCOPE, format!("no resource has a scope `{}`", scope.key))
                    .at(scope.span, "")
                    .nearest(scope.span, &scope.key, names),
            );
            continue;
        }
        terms(draft, scope, only, &mut grants, diagnostics);
    }
    Some(RoleDraft { name: entry.key.as_str().into(), span: entry.span, claims, only, grants })
}

fn strings(node: &Node, diagnostics: &mut Diagnostics) -> Vec<Box<str>> {
    let texts = match node.as_text() {
        Some(text) => vec![text],
        None => node.texts(diagnostics).unwrap_or_default(),
    };
    if texts.is_empty() {
        diagnostics.push(Diagnostic::error(code::BAD_VALUE, "no string means this role").at(node.span, ""));
    }
    texts.iter().map(|text| text.value.into()).collect()
}

/// One scope's list of terms. `!name` wins in its list.
fn terms(
    draft: &mut Draft<'_>,
    scope: &Entry,
    only: Option<usize>,
    grants: &mut Vec<Grant>,
    diagnostics: &mut Diagnostics,
) {
    let texts = scope.value.texts(diagnostics).unwrap_or_default();
    let mut excluded = Vec::new();
    for text in &texts {
        if let Some(name) = text.value.strip_prefix('!') {
            if draft.resource(name).is_some() {
                excluded.push(name.to_owned());
            } else {
                report_resource(draft, *text, name, diagnostics);
            }
        }
    }
    for text in texts.iter().filter(|text| !text.value.starts_with('!')) {
        let (term, day) = until::split(text.value);
        let (name, mut conditions) = match term.split_once(" if ") {
            None => (term.trim(), Vec::new()),
            Some((name, list)) => (name.trim(), named(draft, *text, list, diagnostics)),
        };
        if let Some(day) = day {
            conditions.push(until::condition(draft, *text, day, diagnostics).unwrap_or(usize::MAX));
        }
        // The nearest resource is no help here: it would be the grant without its condition.
        if name.ends_with(" if") || name.contains(" unless ") {
            let message = format!("`{name}` isn't `resource if condition, condition`");
            diagnostics.push(Diagnostic::error(code::CONDITION, message).at(text.inner(), ""));
            continue;
        }
        let conditions: Box<[usize]> = only.into_iter().chain(conditions).collect();
        let place = draft.place(text.span);
        let ids = expand(draft, *text, name, &scope.key, &excluded, diagnostics);
        let term = if name == "*" { Term::Star } else { Term::Name };
        for permission in ids {
            grants.push(Grant { permission, conditions: conditions.clone(), term, place: place.clone() });
        }
    }
}

fn expand(
    draft: &Draft<'_>,
    text: Text<'_>,
    name: &str,
    scope: &str,
    excluded: &[String],
    diagnostics: &mut Diagnostics,
) -> Vec<PermissionId> {
    let of = |resource: &super::ResourceDraft| {
        resource.scopes.iter().find(|(own, _)| **own == *scope).map(|(_, id)| *id)
    };
    if name == "*" {
        let open =
            |own: &&super::ResourceDraft| !own.reserved && !excluded.iter().any(|name| **name == *own.name);
        return draft.resources.iter().filter(open).filter_map(of).collect();
    }
    let Some(resource) = draft.resource(name) else {
        report_resource(draft, text, name, diagnostics);
        return Vec::new();
    };
    if resource.reserved {
        diagnostics.push(
            Diagnostic::error(code::BAD_VALUE, format!("`{name}` is reserved, so nobody is granted it"))
                .at(text.part(name), "")
                .also(resource.span, "reserved here")
                .help("remove `reserved` from the resource first, if it is in use now"),
        );
        return Vec::new();
    }
    match of(resource) {
        Some(_) if excluded.iter().any(|own| **own == *name) => Vec::new(),
        Some(id) => vec![id],
        None => {
            let scopes: Vec<_> = resource.scopes.iter().map(|(own, _)| format!("`{own}`")).collect();
            diagnostics.push(
                Diagnostic::error(code::UNKNOWN_SCOPE, format!("`{name}` has no scope `{scope}`"))
                    .at(text.part(name), format!("it has {}", scopes.join(", ")))
                    .also(resource.span, "declared here"),
            );
            Vec::new()
        }
    }
}

fn report_resource(draft: &Draft<'_>, text: Text<'_>, name: &str, diagnostics: &mut Diagnostics) {
    let span = if name.is_empty() { text.inner() } else { text.part(name) };
    let mut diagnostic = Diagnostic::error(code::UNKNOWN_RESOURCE, format!("unknown resource `{name}`"))
        .at(span, "not declared in [resource]");
    if !diagnostics.is_crowded() {
        diagnostic = diagnostic.nearest(span, name, draft.resources.iter().map(|own| &*own.name));
    }
    let near = diagnostic.suggestion.as_ref().map(|(_, near)| near.clone());
    if let Some(own) = draft.resources.iter().find(|own| near.as_deref() == Some(&own.name)) {
        diagnostic = diagnostic.also(own.span, "a similar resource is declared here");
    }
    diagnostics.push(diagnostic);
}

/// The conditions of `if a, b`.
fn named(draft: &Draft<'_>, text: Text<'_>, list: &str, diagnostics: &mut Diagnostics) -> Vec<usize> {
    let names: Vec<&str> = list.split(',').map(str::trim).collect();
    let mut conditions = Vec::new();
    for name in names {
        match conditions::by_name(draft, text, name, diagnostics) {
            Some(index) => conditions.push(index),
            // A grant whose condition isn't known must not become one without it; the error stops the load.
            None => conditions.push(usize::MAX),
        }
    }
    conditions
}

fn cells(
    draft: &mut Draft<'_>,
    table: &Table,
    columns: &[Text<'_>],
    roles: &mut [RoleDraft],
    diagnostics: &mut Diagnostics,
) {
    for row in table.entries.iter().filter(|row| row.key != "columns") {
        let Some(cells) = row.value.texts(diagnostics) else { continue };
        if cells.len() != columns.len() {
            let message = format!("`{}` has {} cells for {} columns", row.key, cells.len(), columns.len());
            diagnostics.push(Diagnostic::error(code::MATRIX, message).at(row.value.span, ""));
            continue;
        }
        let resource = draft.resource(&row.key);
        let id =
            resource.and_then(|own| own.scopes.iter().find(|(scope, _)| **scope == *USE)).map(|(_, id)| *id);
        for (cell, column) in cells.iter().zip(columns) {
            let (term, day) = until::split(cell.value);
            let granted = match term.split_once(' ') {
                None if term == "yes" => Some(Vec::new()),
                None if term == "no" && day.is_none() => None,
                Some(("if", list)) => Some(named(draft, *cell, list, diagnostics)),
                _ => {
                    diagnostics.push(
                        Diagnostic::error(
                            code::BAD_VALUE,
                            format!("`{}` is no cell of a matrix", cell.value),
                        )
                        .at(cell.inner(), "expected `yes`, `no` or `if condition, condition`")
                        .nearest(cell.inner(), cell.value, ["yes", "no"]),
                    );
                    None
                }
            };
            let granted = match (granted, day) {
                (Some(mut conditions), Some(day)) => {
                    conditions.push(until::condition(draft, *cell, day, diagnostics).unwrap_or(usize::MAX));
                    Some(conditions)
                }
                (granted, _) => granted,
            };
            let role = roles.iter_mut().find(|role| *role.name == *column.value);
            if let (Some(conditions), Some(role), Some(permission)) = (granted, role, id) {
                let conditions = role.only.into_iter().chain(conditions).collect();
                let (term, place) = (Term::Name, draft.place(cell.span));
                role.grants.push(Grant { permission, conditions, term, place });
            }
        }
    }
}

/// A role's name and what a token calls it are words: an empty string in a token must mean nothing.
fn check_words(roles: &[RoleDraft], diagnostics: &mut Diagnostics) {
    let plain = |word: &str| !word.is_empty() && word.trim() == word && !word.chars().any(char::is_control);
    for role in roles {
        if let Some(odd) = std::iter::once(&role.name).chain(&role.claims).find(|word| !plain(word)) {
            let message = format!("`{odd}` can't be a role's name or what a token calls it");
            diagnostics
                .push(Diagnostic::error(code::BAD_VALUE, message).at(role.span, "empty, or not plain text"));
        }
    }
}

fn check_only(draft: &Draft<'_>, roles: &[RoleDraft], diagnostics: &mut Diagnostics) {
    let of_token =
        |index: &usize| draft.facts.get(*index).is_some_and(|fact| matches!(fact.source, Source::Token(_)));
    // What the app answers about the caller, it answers for the tenant that is acted for.
    let is_asked = draft
        .roles_fact
        .and_then(|index| draft.facts.get(index))
        .is_some_and(|fact| matches!(fact.source, Source::LookUp { .. }));
    if is_asked {
        return;
    }
    let always_the_callers_own = match &draft.tenant {
        None => return,
        // Entra signs for every organisation that tenants.toml knows, and each of them names its own users' roles.
        Some(TenantRule::Constant(_)) => draft.issuer_kind != IssuerKind::Entra,
        Some(TenantRule::From { sources, .. }) => sources.iter().all(of_token),
    };
    if always_the_callers_own {
        return;
    }
    for role in roles.iter().filter(|role| role.only.is_none() && *role.name != *ANYONE) {
        diagnostics.push(
            Diagnostic::error(code::UNLIMITED_ROLE, format!("role `{}` has no `only`", role.name))
                .at(role.span, "it would count in every tenant that the caller may act for")
                .help("`only` names the condition under which the role counts: say, that the caller is at home there"),
        );
    }
}

fn check_claims(roles: &[RoleDraft], diagnostics: &mut Diagnostics) {
    for (index, role) in roles.iter().enumerate() {
        for other in roles.iter().take(index) {
            if let Some(claim) = role.claims.iter().find(|claim| other.claims.contains(claim)) {
                let message = format!("`{claim}` in a token means both `{}` and `{}`", other.name, role.name);
                diagnostics.push(
                    Diagnostic::warning(code::SHARED_CLAIM, message)
                        .at(role.span, "")
                        .also(other.span, "and this one"),
                );
            }
        }
    }
}

fn finish(draft: &Draft<'_>, mut role: RoleDraft) -> Role {
    let words = draft.permissions.last().map_or(0, |(last, _)| usize::from(last.word) + 1);
    role.grants.sort_by_key(|grant| (grant.permission, grant.conditions.len()));
    let (mut sure, mut maybe) = (vec![0u64; words], vec![0u64; words]);
    for grant in &role.grants {
        let row = if grant.conditions.is_empty() { &mut sure } else { &mut maybe };
        if let Some(word) = row.get_mut(usize::from(grant.permission.word)) {
            *word |= grant.permission.mask();
        }
    }
    Role {
        header: spelling::listed(&role.name),
        name: (*role.name).into(),
        claims: role.claims.into(),
        only: role.only,
        sure: sure.into(),
        maybe: maybe.into(),
        grants: role.grants.into(),
        place: draft.place(role.span),
    }
}

/// Checks `[reading]`: what it names must be there.
pub(super) fn reading(draft: &Draft<'_>, entry: Option<&Entry>, diagnostics: &mut Diagnostics) {
    let Some(table) = entry.and_then(|entry| entry.value.table(diagnostics)) else { return };
    let names: Vec<&str> = draft
        .resources
        .iter()
        .map(|own| &*own.name)
        .chain(draft.roles.iter().map(|role| &*role.name))
        .collect();
    let mut check = |text: Text<'_>| {
        if !names.contains(&text.value) {
            diagnostics.push(
                Diagnostic::error(
                    code::STALE_READING,
                    format!("`{}` is neither a resource nor a role", text.value),
                )
                .at(text.inner(), "a reading of nothing")
                .nearest(text.inner(), text.value, names.iter().copied()),
            );
        }
    };
    let mut odd = Diagnostics::default();
    for own in &table.entries {
        match own.key.as_str() {
            "addition" => own.value.texts(&mut odd).unwrap_or_default().into_iter().for_each(&mut check),
            "alias" => {
                for alias in own.value.table(&mut odd).map_or(&[][..], |table| &table.entries) {
                    alias.value.text(&mut odd).into_iter().for_each(&mut check);
                }
            }
            _ => explanation(&own.value, &mut odd),
        }
    }
    odd.iter().cloned().for_each(|diagnostic| diagnostics.push(diagnostic));
}

/// Why a file departs: a sentence, or `{ is = "no", why = "…" }` where it must say what the rules do instead.
fn explanation(node: &Node, diagnostics: &mut Diagnostics) {
    let Some(table) = node.as_table() else {
        node.text(diagnostics);
        return;
    };
    let mut fields = Fields::new(table);
    let is = fields.require("is", node.span, diagnostics).and_then(|node| node.text(diagnostics));
    fields.require("why", node.span, diagnostics).and_then(|node| node.text(diagnostics));
    fields.finish(diagnostics);
    if let Some(text) = is.filter(|text| !["yes", "no", "if"].contains(&text.value)) {
        let message = format!("`{}` is nothing that rules do", text.value);
        let mistake = Diagnostic::error(code::BAD_VALUE, message).at(text.inner(), "expected yes, no or if");
        diagnostics.push(mistake.nearest(text.inner(), text.value, ["yes", "no", "if"]));
    }
}
