//! One app's rule file → its part of the policy. The file reads like the vendor's document; this is where each of
//! its tables gets its meaning, and where what could be misread, or would widen when cut off, is refused.
//!
//! `header` reads the guards, `conditions` the tests, `resources` what is protected, `roles` who is granted what;
//! `link` puts the apps together, `expect` holds a compiled app against its own `[expect]` and `[never]`.

mod conditions;
mod expect;
mod facts;
mod header;
mod link;
mod resources;
mod roles;

use std::collections::HashMap;
use std::sync::Arc;

use super::diagnostic::{Diagnostic, Diagnostics, Span, code};
use super::lines::Lines;
use super::raw::{Entry, Fields, Table, Text};
use crate::fact::{Fact, Source, Type};
use crate::plumbing::{IssuerConfig, Place, UpstreamConfig};
use crate::policy::{Named, Permission, PermissionId, Requirement, Role, TenantRule, TokenHandling};
use crate::route::{Template, Verb};
use crate::tenant::Directory;
use crate::token::IssuerKind;

pub(super) use link::{link, settings};

/// What a rule file may refer to outside itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'c> {
    pub(super) issuers: &'c [IssuerConfig],
    pub(super) upstreams: &'c [UpstreamConfig],
    pub(super) directory: &'c Directory,
}

/// A rule file while it is read.
#[derive(Debug)]
pub(super) struct Draft<'n> {
    pub(super) name: Arc<str>,
    pub(super) name_span: Span,
    hosts: Vec<Box<str>>,
    base: Box<str>,
    pub(super) owns: Vec<(Place, Span)>,
    pub(super) shared_with: Vec<(Box<str>, Span)>,
    issuer: Arc<str>,
    issuer_kind: IssuerKind,
    roles_fact: Option<usize>,
    tenant: Option<TenantRule>,
    isolation: Option<usize>,
    authorization: TokenHandling,
    facts: Vec<Fact>,
    fact_names: HashMap<Box<str>, usize>,
    conditions: Vec<Named>,
    condition_names: HashMap<Box<str>, usize>,
    requirements: Vec<RequirementDraft>,
    permissions: Vec<(PermissionId, Permission)>,
    resources: Vec<ResourceDraft>,
    resource_names: HashMap<Box<str>, usize>,
    roles: Vec<Role>,
    features: Vec<Box<str>>,
    pub(super) operations: Vec<OperationDraft>,
    by_route: HashMap<(Verb, String), usize>,
    never: Option<&'n Table>,
    expect: Option<&'n Table>,
    lines: &'n Lines,
}

#[derive(Debug)]
struct RequirementDraft {
    requirement: Requirement,
    on: Vec<(OnPattern, Span)>,
}

/// Which operations a requirement is limited to.
#[derive(Debug)]
enum OnPattern {
    /// Those whose path has this parameter.
    Parameter(Box<str>),
    /// This one.
    Operation(Verb, Template),
}

#[derive(Debug)]
struct ResourceDraft {
    name: Box<str>,
    span: Span,
    reserved: bool,
    scopes: Vec<(Box<str>, PermissionId)>,
}

/// One operation while the file is read.
#[derive(Debug)]
pub(super) struct OperationDraft {
    pub(super) verb: Verb,
    pub(super) template: Template,
    pub(super) span: Span,
    permissions: Vec<PermissionId>,
    public: bool,
}

const GUARDS: [&str; 12] = [
    "facts", "when", "require", "narrow", "filter", "mask", "body", "inject", "audit", "limit", "cors",
    "socket",
];

/// Reads one file. `None` when so little of it makes sense that the rest can't be judged.
pub(super) fn read<'n>(
    file: u32,
    table: &'n Table,
    lines: &'n Lines,
    context: Context<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Draft<'n>> {
    check_order(table, diagnostics);
    let mut fields = Fields::new(table);
    let mut draft = header::read(file, &mut fields, lines, context, diagnostics)?;
    for key in GUARDS.into_iter().skip(3) {
        if let Some(entry) = fields.entry(key) {
            not_supported(entry, diagnostics);
        }
    }
    facts::read(&mut draft, fields.entry("facts"), diagnostics);
    facts::roles_fact(&mut draft, &mut fields, file, diagnostics);
    conditions::when(&mut draft, fields.entry("when"), diagnostics);
    header::require(&mut draft, fields.entry("require"), diagnostics);
    header::tenant(&mut draft, &mut fields, file, context, diagnostics);
    draft.never = fields.take("never").and_then(|node| node.table(diagnostics));
    let reading = fields.entry("reading");
    let (matrix, routes) = (fields.entry("matrix"), fields.entry("routes"));
    resources::read(&mut draft, fields.entry("resource"), diagnostics);
    resources::features(&mut draft, matrix, routes, diagnostics);
    resources::public(&mut draft, &mut fields, diagnostics);
    roles::read(&mut draft, fields.entry("role"), matrix, diagnostics);
    draft.expect = fields.take("expect").and_then(|node| node.table(diagnostics));
    fields.finish(diagnostics);
    roles::reading(&draft, reading, diagnostics);
    facts::check_parameters(&draft, file, diagnostics);
    Some(draft)
}

impl Draft<'_> {
    fn place(&self, span: Span) -> Arc<str> {
        self.lines.place(span)
    }

    fn resource(&self, name: &str) -> Option<&ResourceDraft> {
        self.resource_names.get(name).and_then(|index| self.resources.get(*index))
    }

    /// Index of a fact, declaring `path.*` and `client.ip` on first use.
    fn fact(&mut self, name: &str) -> Option<usize> {
        if let Some(index) = self.fact_names.get(name) {
            return Some(*index);
        }
        let (source, kind) = match name.split_once('.')? {
            ("client", "ip") => (Source::ClientIp, Type::Ip),
            ("path", parameter) if !parameter.is_empty() => (Source::Path(parameter.into()), Type::String),
            _ => return None,
        };
        Some(self.declare(Fact { name: name.into(), source, kind, default: None }))
    }

    fn declare(&mut self, fact: Fact) -> usize {
        let index = self.facts.len();
        self.fact_names.insert(fact.name.clone(), index);
        self.facts.push(fact);
        index
    }

    /// Index of an operation as the file writes it, adding it on first use.
    fn operation(&mut self, text: Text<'_>, diagnostics: &mut Diagnostics) -> Option<usize> {
        let (verb, template) = self.route(text, diagnostics)?;
        let key = (verb, template.to_string());
        if let Some(index) = self.by_route.get(&key) {
            return Some(*index);
        }
        let index = self.operations.len();
        let span = text.inner();
        self.by_route.insert(key, index);
        self.operations.push(OperationDraft { verb, template, span, permissions: Vec::new(), public: false });
        Some(index)
    }

    /// Reads `METHOD /path`, relative to the app's base.
    fn route(&self, text: Text<'_>, diagnostics: &mut Diagnostics) -> Option<(Verb, Template)> {
        let (method, path) = text.value.split_once(' ').unwrap_or((text.value, ""));
        if method == "EMIT" {
            diagnostics.push(
                Diagnostic::error(code::NOT_SUPPORTED, "socket events are not supported yet")
                    .at(text.inner(), "an operation on a socket")
                    .help("leave it out: what no file names is refused"),
            );
            return None;
        }
        let Some(verb) = Verb::parse(method) else {
            let span = if method.is_empty() { text.inner() } else { text.part(method) };
            diagnostics.push(
                Diagnostic::error(code::ROUTE, format!("`{method}` is no method that an operation can have"))
                    .at(span, "expected `METHOD /path`")
                    .nearest(span, method, Verb::ALL.map(Verb::as_str)),
            );
            return None;
        };
        // Without this a base and a path would run together: `/calling` and `calls` into `/callingcalls`.
        let joined = if path.starts_with('/') { join(&self.base, path) } else { String::new() };
        match Template::parse(&joined) {
            Ok(template) => Some((verb, template)),
            Err(error) => {
                let span = if path.is_empty() { text.inner() } else { text.part(path) };
                diagnostics.push(Diagnostic::error(code::ROUTE, error.to_string()).at(span, ""));
                None
            }
        }
    }
}

/// A route below a base; `/` under a base is the base itself.
fn join(base: &str, path: &str) -> String {
    match (base, path) {
        ("", path) => path.to_owned(),
        (base, "/") => base.to_owned(),
        (base, path) => format!("{base}{path}"),
    }
}

fn not_supported(entry: &Entry, diagnostics: &mut Diagnostics) {
    let message = format!("`{}` is not supported yet", entry.key);
    diagnostics.push(
        Diagnostic::error(code::NOT_SUPPORTED, message)
            .at(entry.span, "this version can't enforce it")
            .help("leave it out, with every grant that would be too wide without it"),
    );
}

/// Truncation may only remove access, so whatever guards stands before whatever grants.
fn check_order(table: &Table, diagnostics: &mut Diagnostics) {
    let starts = |key: &str| -> Vec<&Entry> {
        let Some(entry) = table.get(key) else { return Vec::new() };
        match entry.value.as_table() {
            Some(inner) if !inner.entries.is_empty() && key != "matrix" => inner.entries.iter().collect(),
            _ => vec![entry],
        }
    };
    let first = |keys: &[&str]| keys.iter().flat_map(|key| starts(key)).map(|entry| entry.span).min();
    let Some(grants) = first(&["resource", "matrix", "role"]) else { return };
    let guards = GUARDS.iter().chain(&["never", "reading", "tenant"]).filter_map(|key| table.get(key));
    for entry in guards {
        if let Some(own) = first_after(entry, grants) {
            report_order(
                own.span,
                grants,
                &format!("`{}` guards, so it stands before the first grant", entry.key),
                diagnostics,
            );
        }
    }
    // Written with dotted keys a file could still say at its end who it is for, and on which hosts.
    for own in table.entries.iter().filter(|own| own.span > grants && own.value.as_table().is_none()) {
        let message = format!("`{}` says what the app is, so it stands before the first grant", own.key);
        report_order(own.span, grants, &message, diagnostics);
    }
    let scoped = |entry: &&Entry| {
        let inner = entry.value.as_table().map_or(&[][..], |inner| &inner.entries);
        inner.iter().any(|own| !matches!(own.key.as_str(), "claim" | "only"))
    };
    let role = starts("role").into_iter().filter(scoped).map(|entry| entry.span).min();
    let late = starts("resource").into_iter().find(|own| role.is_some_and(|role| own.span > role));
    if let (Some(own), Some(role)) = (late, role) {
        report_order(
            own.span,
            role,
            "a resource stands before the first role that is granted something",
            diagnostics,
        );
    }
}

/// An entry, or the first one anywhere in it, that stands after a place.
fn first_after(entry: &Entry, place: Span) -> Option<&Entry> {
    let inner = entry.value.as_table().map_or(&[][..], |inner| &inner.entries);
    let late = (entry.span > place).then_some(entry);
    late.or_else(|| inner.iter().find_map(|own| first_after(own, place)))
}

fn report_order(late: Span, first: Span, message: &str, diagnostics: &mut Diagnostics) {
    diagnostics.push(
        Diagnostic::error(code::ORDER, message)
            .at(late, "move it up")
            .also(first, "the first grant stands here")
            .help("a file that is cut off in the middle must never grant more than the whole one"),
    );
}
