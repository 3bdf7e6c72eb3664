//! What an allow carries along: `[filter]`, `[mask]`, `[body]`, `[inject]` and `[audit]`, and what makes look-ups stale.
//! Each belongs to operations that must be there, and to none that anyone may reach without being known.

use http::HeaderName;

use super::super::diagnostic::{Diagnostic, Diagnostics, Span, code};
use super::super::raw::{Entry, Fields, Node, Table, Text};
use super::reach::{self, Reach};
use super::{Draft, OperationDraft, Reached, conditions, narrow, patterns};
use crate::fact::{Source, Type};
use crate::headers;
use crate::json::Pattern;
use crate::plumbing::Sink;
use crate::policy::obligation::{Filter, Inject, Mask};
use crate::policy::{PermissionId, TenantRule};

/// The tables, taken from the file before its operations are known.
#[derive(Debug)]
pub(super) struct Tables<'n> {
    narrow: Option<&'n Entry>,
    filter: Option<&'n Entry>,
    mask: Option<&'n Entry>,
    body: Option<&'n Entry>,
    inject: Option<&'n Entry>,
    audit: Option<&'n Entry>,
}

impl<'n> Tables<'n> {
    /// The tables of a file.
    pub(super) fn of(fields: &mut Fields<'n>) -> Self {
        Self {
            narrow: fields.entry("narrow"),
            filter: fields.entry("filter"),
            mask: fields.entry("mask"),
            body: fields.entry("body"),
            inject: fields.entry("inject"),
            audit: fields.entry("audit"),
        }
    }
}

/// Reads all of them.
pub(super) fn read(draft: &mut Draft<'_>, tables: &Tables<'_>, diagnostics: &mut Diagnostics) {
    let table = |entry: Option<&'_ Entry>, diagnostics: &mut Diagnostics| -> Table {
        entry.and_then(|entry| entry.value.table(diagnostics)).cloned().unwrap_or_default()
    };
    narrow::read(draft, &table(tables.narrow, diagnostics), diagnostics);
    for row in &table(tables.filter, diagnostics).entries {
        filter(draft, row, diagnostics);
    }
    for row in &table(tables.mask, diagnostics).entries {
        mask(draft, row, diagnostics);
    }
    for row in &table(tables.body, diagnostics).entries {
        body(draft, row, diagnostics);
    }
    for row in &table(tables.inject, diagnostics).entries {
        inject(draft, row, diagnostics);
    }
    for row in &table(tables.audit, diagnostics).entries {
        match &*row.key {
            "required" => required(draft, row, diagnostics),
            _ => audit(draft, row, diagnostics),
        };
    }
    forget(draft, diagnostics);
}

/// What can only be judged once it is known who is granted what.
pub(super) fn check(draft: &Draft<'_>, tables: &Tables<'_>, diagnostics: &mut Diagnostics) {
    if let Some(table) = tables.narrow.and_then(|entry| entry.value.as_table()) {
        narrow::check(draft, table, diagnostics);
    }
    let rows = tables.inject.and_then(|entry| entry.value.as_table()).map_or(&[][..], |table| &table.entries);
    for (row, own) in rows.iter().zip(&draft.injects) {
        let guarded = draft.operations.iter().filter(|own| own.reached != Reached::Public);
        let unknown = guarded.filter(|operation| !Reach::of(draft, operation).knows(own.fact));
        let names: Vec<String> = unknown.map(|operation| draft.written(operation)).collect();
        if !names.is_empty() {
            let message = format!(
                "what `{}` is set to is never known on {}",
                row.key,
                super::requirements::listed(&names)
            );
            diagnostics.push(
                Diagnostic::error(code::UNREACHABLE, message)
                    .at(row.value.span, "a request that it isn't known of is refused"),
            );
        }
    }
}

/// The operation that a row's key names: one of the file's, whose caller is known.
pub(super) fn operation(draft: &Draft<'_>, row: &Entry, diagnostics: &mut Diagnostics) -> Option<usize> {
    let text = Text::of_key(row);
    let (verb, template) = draft.route(text, diagnostics)?;
    let Some(found) = draft.by_route.get(&(verb, template.to_string())).copied() else {
        unknown(draft, (text.value, text.inner()), "no resource names it", diagnostics);
        return None;
    };
    let own = draft.operations.get(found)?;
    let why = match own.reached {
        Reached::Guarded => return Some(found),
        Reached::Public => "is public, so nothing is known of who asks",
        Reached::Socket => "opens the socket: its events are judged, its answers are frames",
    };
    diagnostics.push(
        Diagnostic::error(code::OBLIGATION, format!("`{}` {why}", text.value))
            .at(text.inner(), "")
            .also(own.span, "declared here"),
    );
    None
}

/// An operation that the file doesn't have.
fn unknown(draft: &Draft<'_>, (written, span): (&str, Span), why: &str, diagnostics: &mut Diagnostics) {
    let mut diagnostic =
        Diagnostic::error(code::UNKNOWN_OPERATION, format!("no operation is `{written}`")).at(span, why);
    if !diagnostics.is_crowded() {
        let names: Vec<String> = draft.operations.iter().map(|own| draft.written(own)).collect();
        diagnostic = diagnostic.nearest(span, written, names.iter().map(String::as_str));
    }
    diagnostics.push(diagnostic);
}

/// As [`operation`], of one that is answered.
fn answered(draft: &Draft<'_>, row: &Entry, diagnostics: &mut Diagnostics) -> Option<usize> {
    let found = operation(draft, row, diagnostics)?;
    if draft.operations.get(found)?.template.is_event() {
        let message = format!("`{}` is an event, which has no answer", row.key);
        diagnostics.push(Diagnostic::error(code::OBLIGATION, message).at(Text::of_key(row).inner(), ""));
        return None;
    }
    Some(found)
}

fn pattern(text: Text<'_>, diagnostics: &mut Diagnostics) -> Option<Pattern> {
    match Pattern::parse(text.value) {
        Ok(pattern) => Some(pattern),
        Err(why) => {
            diagnostics.push(Diagnostic::error(code::BAD_VALUE, why.to_string()).at(text.inner(), ""));
            None
        }
    }
}

/// A list of places in a document; none is a mistake.
fn places(node: &Node, diagnostics: &mut Diagnostics) -> Option<Box<[Pattern]>> {
    let texts = node.texts(diagnostics)?;
    if texts.is_empty() {
        let message = "no field is named";
        diagnostics.push(Diagnostic::error(code::BAD_VALUE, message).at(node.span, "expected `/field`"));
    }
    let read: Vec<_> = texts.into_iter().map(|text| pattern(text, diagnostics)).collect();
    read.into_iter().collect()
}

/// `"GET /apps" = { items = "/items", as = "asset", keep = "seen" }`
fn filter(draft: &mut Draft<'_>, row: &Entry, diagnostics: &mut Diagnostics) -> Option<()> {
    let mut fields = Fields::new(row.value.table(diagnostics)?);
    let items = fields.require("items", row.span, diagnostics).and_then(|node| node.text(diagnostics));
    let of = fields.require("as", row.span, diagnostics).and_then(|node| node.text(diagnostics));
    let keep = fields.require("keep", row.span, diagnostics);
    fields.finish(diagnostics);
    let at = answered(draft, row, diagnostics);
    let (items, of, keep) = (items?, of?, keep?);
    // The whole document is an array: there is no name to begin with.
    let items = if items.value.is_empty() { Pattern::root() } else { pattern(items, diagnostics)? };
    let Some(look_up) = draft.look_ups.iter().position(|own| *own.name == *of.value) else {
        let names = draft.look_ups.iter().map(|own| &*own.name);
        diagnostics.push(
            Diagnostic::error(code::UNKNOWN_FACT, format!("unknown look-up `{}`", of.value))
                .at(of.inner(), "the look-up whose facts are read from each element instead")
                .nearest(of.inner(), of.value, names),
        );
        return None;
    };
    let condition = conditions::in_place(draft, keep, &format!("filter {}", row.key), diagnostics)?;
    let at = at?;
    let is_of_element = |fact: &usize| {
        let source = draft.facts.get(*fact).map(|own| &own.source);
        matches!(source, Some(Source::LookUp { look_up: own, .. }) if *own == look_up)
    };
    let message = if !reach::facts(draft, condition).iter().any(is_of_element) {
        Some(format!("what is kept doesn't depend on any `{}`", of.value))
    } else if !Reach::of(draft, draft.operations.get(at)?).with(look_up).outlook(condition).holds {
        Some("nothing would ever be kept: it rests on an object that isn't named there".to_owned())
    } else {
        None
    };
    if let Some(message) = message {
        diagnostics.push(Diagnostic::error(code::OBLIGATION, message).at(keep.span, ""));
    }
    let operation = draft.operations.get_mut(at)?;
    operation.obligations.filters = Box::new([Filter { items, of: look_up, keep: condition }]);
    Some(())
}

/// The operations that a pattern means, or a diagnostic.
fn matching(draft: &Draft<'_>, text: Text<'_>, diagnostics: &mut Diagnostics) -> Vec<usize> {
    let own = draft.operations.iter().map(|own| (own.verb, &own.template));
    let found = patterns::matching(&draft.base, text.value, own);
    match found {
        Some(found) if !found.is_empty() => found,
        _ => {
            let why = "expected `METHOD /path` or `* /path...`";
            unknown(draft, (text.value, text.inner()), why, diagnostics);
            Vec::new()
        }
    }
}

/// `"* /services..." = { fields = ["/key"], except = ["GET /services/{id}/key"], unless = "resource#scope" }`
fn mask(draft: &mut Draft<'_>, row: &Entry, diagnostics: &mut Diagnostics) -> Option<()> {
    let mut inner = Fields::new(row.value.table(diagnostics)?);
    let fields = inner.require("fields", row.span, diagnostics).and_then(|node| places(node, diagnostics));
    let except = inner.take("except").and_then(|node| node.texts(diagnostics)).unwrap_or_default();
    let unless = inner.take("unless").map(|node| holders(draft, node, diagnostics)).unwrap_or_default();
    inner.finish(diagnostics);
    let text = Text::of_key(row);
    let mut masked = matching(draft, text, diagnostics);
    for other in except {
        let shown = matching(draft, other, diagnostics);
        if !shown.is_empty() && !shown.iter().any(|own| masked.contains(own)) {
            let message = format!("`{}` isn't masked here anyway", other.value);
            diagnostics.push(
                Diagnostic::error(code::OBLIGATION, message)
                    .at(other.inner(), "")
                    .also(text.inner(), "what is masked"),
            );
        }
        masked.retain(|own| !shown.contains(own));
    }
    let fields = fields?;
    for at in masked {
        let Some(operation) = draft.operations.get_mut(at) else { continue };
        let why = match operation.reached {
            Reached::Guarded if operation.template.is_event() => "is an event, which has no answer",
            Reached::Guarded => {
                let own = Mask { fields: fields.clone(), unless: unless.clone() };
                let masks = std::mem::take(&mut operation.obligations.masks);
                operation.obligations.masks = masks.into_iter().chain([own]).collect();
                continue;
            }
            Reached::Public => "is public, and what anyone may fetch isn't edited",
            Reached::Socket => "opens the socket, whose answers are frames",
        };
        let message = format!("`{} {}` {why}", operation.verb, operation.template);
        diagnostics.push(
            Diagnostic::error(code::OBLIGATION, message)
                .at(text.inner(), "it would not be masked")
                .also(operation.span, "declared here")
                .help("leave it out with `except`"),
        );
    }
    Some(())
}

/// Who sees what is masked: `resource`, `resource#scope`, or a list of them.
fn holders(draft: &Draft<'_>, node: &Node, diagnostics: &mut Diagnostics) -> Box<[PermissionId]> {
    let texts = match node.as_text() {
        Some(text) => vec![text],
        None => node.texts(diagnostics).unwrap_or_default(),
    };
    let mut found = Vec::new();
    for text in texts {
        let own = draft
            .permissions
            .iter()
            .filter(|(_, own)| *own.name == *text.value || *own.resource == *text.value);
        let before = found.len();
        found.extend(own.map(|(id, _)| *id));
        if found.len() == before {
            let resources = draft.resources.iter().map(|own| &*own.name);
            let names = draft.permissions.iter().map(|(_, own)| &*own.name).chain(resources);
            diagnostics.push(
                Diagnostic::error(code::UNKNOWN_RESOURCE, format!("unknown resource `{}`", text.value))
                    .at(text.inner(), "expected `resource` or `resource#scope`")
                    .nearest(text.inner(), text.value, names),
            );
        }
    }
    found.into()
}

/// `"PATCH /members/{user}" = { only = ["/role"] }`
fn body(draft: &mut Draft<'_>, row: &Entry, diagnostics: &mut Diagnostics) -> Option<()> {
    let mut fields = Fields::new(row.value.table(diagnostics)?);
    let only = fields.require("only", row.span, diagnostics);
    fields.finish(diagnostics);
    let at = operation(draft, row, diagnostics);
    let only = match only?.list(diagnostics)? {
        [] => Box::default(),
        _ => places(only?, diagnostics)?,
    };
    draft.operations.get_mut(at?)?.obligations.body_only = Some(only);
    Some(())
}

/// `"X-View" = "header.x-view"`
fn inject(draft: &mut Draft<'_>, row: &Entry, diagnostics: &mut Diagnostics) -> Option<()> {
    let text = row.value.text(diagnostics)?;
    let key = Text::of_key(row);
    let header = HeaderName::from_bytes(row.key.as_bytes()).ok();
    let is_tenants = |header: &HeaderName| match &draft.tenant {
        Some(TenantRule::From { sources, .. }) => sources.iter().any(|source| {
            let own = draft.facts.get(*source).map(|own| &own.source);
            matches!(own, Some(Source::Header(name)) if **name == *header.as_str())
        }),
        _ => false,
    };
    let why = match &header {
        None => Some("that is no name of a header"),
        Some(header) if !headers::may_be_set(header) => Some("only the gateway itself sets this header"),
        Some(header) if is_tenants(header) => {
            Some("it names the tenant, and is set to the one that was proven")
        }
        Some(header) if draft.injects.iter().any(|own| own.header == *header) => Some("it is set twice"),
        Some(_) => None,
    };
    if let Some(why) = why {
        diagnostics.push(Diagnostic::error(code::OBLIGATION, why).at(key.inner(), ""));
    }
    let Some(fact) = draft.fact(text.value) else {
        let known = draft.fact_names.keys().map(|key| &**key);
        diagnostics.push(
            Diagnostic::error(code::UNKNOWN_FACT, format!("unknown fact `{}`", text.value))
                .at(text.inner(), "not declared in [facts]")
                .nearest(text.inner(), text.value, known),
        );
        return None;
    };
    draft.mention(fact, text.inner());
    let kind = draft.facts.get(fact)?.kind;
    if matches!(kind, Type::Set | Type::Nets) {
        let message = format!("`{}` is of type {kind}, which is no header's value", text.value);
        diagnostics.push(Diagnostic::error(code::TYPES, message).at(text.inner(), ""));
    }
    draft.injects.push(Inject { header: header.unwrap_or(headers::TENANT), fact });
    Some(())
}

/// `"PATCH /members/{user}" = ["path.user", "target.role"]`
fn audit(draft: &mut Draft<'_>, row: &Entry, diagnostics: &mut Diagnostics) -> Option<()> {
    let texts = row.value.texts(diagnostics)?;
    let at = operation(draft, row, diagnostics);
    let mut facts = Vec::new();
    for text in texts {
        let Some(fact) = draft.fact(text.value) else {
            let known = draft.fact_names.keys().map(|key| &**key);
            diagnostics.push(
                Diagnostic::error(code::UNKNOWN_FACT, format!("unknown fact `{}`", text.value))
                    .at(text.inner(), "not declared in [facts]")
                    .nearest(text.inner(), text.value, known),
            );
            continue;
        };
        draft.mention(fact, text.inner());
        let operation = at.and_then(|at| draft.operations.get(at));
        if operation.is_some_and(|operation| !Reach::of(draft, operation).knows(fact)) {
            let message = format!("`{}` is never known on `{}`", text.value, row.key);
            diagnostics
                .push(Diagnostic::warning(code::OBLIGATION, message).at(text.inner(), "recorded as unknown"));
        }
        facts.push(fact);
    }
    draft.operations.get_mut(at?)?.obligations.audit = facts.into();
    Some(())
}

/// `required = ["PATCH /members/{user}", "* /services..."]`: what must be on record, or isn't done.
fn required(draft: &mut Draft<'_>, row: &Entry, diagnostics: &mut Diagnostics) -> Option<()> {
    for text in row.value.texts(diagnostics)? {
        for at in matching(draft, text, diagnostics) {
            if let Some(operation) = draft.operations.get_mut(at) {
                operation.obligations.audit_required = true;
            }
        }
    }
    Some(())
}

/// What must be on record needs a place to be written to.
pub(super) fn check_log(tables: &Tables<'_>, sink: Option<&Sink>, diagnostics: &mut Diagnostics) {
    let rows = tables.audit.and_then(|entry| entry.value.as_table()).map_or(&[][..], |table| &table.entries);
    let required = rows.iter().find(|row| *row.key == *"required");
    if let (Some(row), None) = (required, sink) {
        diagnostics.push(
            Diagnostic::error(code::OBLIGATION, "what must be on record isn't written anywhere")
                .at(row.span, "each of these requests would be refused")
                .help("say where to in gateway.toml: `[decisions]` with `file = \"log/decisions.ndjson\"`"),
        );
    }
}

/// Which look-ups each write makes stale.
fn forget(draft: &mut Draft<'_>, diagnostics: &mut Diagnostics) {
    let mut forgets: Vec<Vec<usize>> = vec![Vec::new(); draft.operations.len()];
    for (index, own) in draft.look_ups.iter().enumerate() {
        for (verb, template, span) in &own.forget {
            let found = draft.by_route.get(&(*verb, template.to_string()));
            match found.and_then(|at| forgets.get_mut(*at)) {
                Some(own) => own.push(index),
                None => {
                    let missing = OperationDraft::new(*verb, template.clone(), *span, Reached::Guarded);
                    let written = draft.written(&missing);
                    let why = "what is remembered would not be forgotten";
                    unknown(draft, (&written, *span), why, diagnostics);
                }
            }
        }
    }
    for (operation, forgets) in draft.operations.iter_mut().zip(forgets) {
        operation.obligations.forgets = forgets.into();
    }
}
