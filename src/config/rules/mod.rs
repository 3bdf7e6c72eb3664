//! One app's rule file → its part of the policy. The file reads like the vendor's document; this is where each of
//! its tables gets its meaning, and where what could be misread, or would widen when cut off, is refused.
//!
//! `header` reads the guards, `facts` and `lookups` what can be known, `requirements` what must hold, `obligations` and
//! `narrow` what an allow carries along, `limits` how often, `cors` from which pages, `socket` what opens one, `conditions` the tests, `resources` what is protected, `roles` who is granted what;
//! `link` puts the apps together, `expect` holds a compiled app against its own `[expect]` and `[never]`.

mod conditions;
mod cors;
mod expect;
mod facts;
mod header;
mod limits;
mod link;
mod lookups;
mod narrow;
mod obligations;
mod patterns;
mod reach;
mod requirements;
mod resources;
mod roles;
mod shared;
mod socket;
mod until;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::diagnostic::{Diagnostic, Diagnostics, Span, code};
use super::lines::Lines;
use super::raw::{Entry, Fields, Table, Text};
use crate::fact::{Certified, Fact, Source, Type};
use crate::plumbing::{IssuerConfig, Place, Sink, UpstreamConfig};
use crate::policy::cors::Cors;
use crate::policy::obligation::Inject;
use crate::policy::{
    Named, Obligations, Permission, PermissionId, Requirement, Role, TenantRule, TokenHandling,
};
use crate::route::{Template, Verb};
use crate::tenant::Directory;
use crate::token::IssuerKind;

pub(super) use link::{link, settings};
pub(super) use until::split as until;

/// What a rule file may refer to outside itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'c> {
    pub(super) issuers: &'c [IssuerConfig],
    pub(super) upstreams: &'c [UpstreamConfig],
    pub(super) directory: &'c Directory,
    /// Where decisions are written down, if they are.
    pub(super) sink: Option<&'c Sink>,
    /// The day on which the files are read, if it is known.
    pub(super) today: Option<jiff::civil::Date>,
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
    isolation: Option<(usize, Span)>,
    authorization: TokenHandling,
    facts: Vec<Fact>,
    fact_names: HashMap<Box<str>, usize>,
    /// Settings that are sets of tenants and organisations.
    organisations: HashSet<usize>,
    /// Where facts that declare themselves are read first.
    mentioned: HashMap<usize, Span>,
    look_ups: Vec<lookups::LookUpDraft>,
    limits: limits::LimitsDraft,
    cors: Option<Arc<Cors>>,
    socket: Option<socket::SocketDraft>,
    injects: Vec<Inject>,
    untils: BTreeMap<jiff::civil::Date, usize>,
    ends: Vec<(jiff::civil::Date, Arc<str>)>,
    today: Option<jiff::civil::Date>,
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
    span: Span,
}

/// Which operations a requirement is limited to.
#[derive(Debug)]
enum OnPattern {
    /// Those whose path has this parameter.
    Parameter(Box<str>),
    /// This one.
    Operation(Verb, Template),
    /// Every event.
    Events,
}

impl OnPattern {
    fn is_on(&self, operation: &OperationDraft) -> bool {
        match self {
            Self::Parameter(name) => operation.template.parameters().iter().any(|(own, _)| own == name),
            Self::Events => operation.template.is_event(),
            Self::Operation(verb, template) => *verb == operation.verb && *template == operation.template,
        }
    }
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
    pub(super) reached: Reached,
    permissions: Vec<PermissionId>,
    requirements: Vec<usize>,
    obligations: Obligations,
}

/// How an operation is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// By whoever holds one of its permissions.
    Guarded,
    /// By anyone.
    Public,
    /// By whoever may send an event on the socket that it opens.
    Socket,
}

impl OperationDraft {
    fn new(verb: Verb, template: Template, span: Span, reached: Reached) -> Self {
        let (permissions, requirements) = (Vec::new(), Vec::new());
        let obligations = Obligations::default();
        Self { verb, template, span, reached, permissions, requirements, obligations }
    }
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
    limits::read(&mut draft, fields.entry("limit"), diagnostics);
    cors::read(&mut draft, fields.entry("cors"), diagnostics);
    facts::read(&mut draft, fields.entry("facts"), diagnostics);
    facts::roles_fact(&mut draft, &mut fields, file, diagnostics);
    conditions::when(&mut draft, fields.entry("when"), diagnostics);
    requirements::read(&mut draft, fields.entry("require"), diagnostics);
    header::tenant(&mut draft, &mut fields, file, context, diagnostics);
    draft.never = fields.take("never").and_then(|node| node.table(diagnostics));
    let reading = fields.entry("reading");
    let carried = obligations::Tables::of(&mut fields);
    socket::read(&mut draft, fields.entry("socket"), diagnostics);
    let (matrix, routes) = (fields.entry("matrix"), fields.entry("routes"));
    resources::read(&mut draft, fields.entry("resource"), diagnostics);
    resources::features(&mut draft, matrix, routes, diagnostics);
    resources::public(&mut draft, &mut fields, diagnostics);
    roles::read(&mut draft, fields.entry("role"), matrix, diagnostics);
    draft.expect = fields.take("expect").and_then(|node| node.table(diagnostics));
    fields.finish(diagnostics);
    obligations::read(&mut draft, &carried, diagnostics);
    requirements::apply(&mut draft, diagnostics);
    obligations::check(&draft, &carried, diagnostics);
    obligations::check_log(&carried, context.sink, diagnostics);
    socket::check(&draft, diagnostics);
    limits::check(&draft, diagnostics);
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

    /// Index of a fact, declaring `path.*` and `client.*` on first use.
    fn fact(&mut self, name: &str) -> Option<usize> {
        if let Some(index) = self.fact_names.get(name) {
            return Some(*index);
        }
        let (source, kind) = match name.split_once('.')? {
            ("client", "ip") => (Source::ClientIp, Type::Ip),
            ("client", "certificate.subject") => {
                (Source::ClientCertificate(Certified::Subject), Type::String)
            }
            ("client", "certificate.thumbprint") => {
                (Source::ClientCertificate(Certified::Thumbprint), Type::String)
            }
            ("client", "time") => (Source::ClientTime, Type::Time),
            ("client", "weekday") => (Source::ClientWeekday, Type::String),
            ("path", parameter) if !parameter.is_empty() => (Source::Path(parameter.into()), Type::String),
            _ => return None,
        };
        Some(self.declare(Fact { name: name.into(), source, kind, default: None }))
    }

    /// Remembers where a fact is read.
    fn mention(&mut self, fact: usize, span: Span) {
        self.mentioned.entry(fact).or_insert(span);
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
        Some(self.add_operation(OperationDraft::new(verb, template, text.inner(), Reached::Guarded)))
    }

    fn add_operation(&mut self, operation: OperationDraft) -> usize {
        let index = self.operations.len();
        self.by_route.insert((operation.verb, operation.template.to_string()), index);
        self.operations.push(operation);
        index
    }

    /// The path that an operation is sent to, and where it stands: an event's is its socket's.
    fn opened_at<'d>(&'d self, operation: &'d OperationDraft) -> Option<(&'d Template, Span)> {
        if operation.template.is_event() {
            self.socket.as_ref().map(|own| (&own.rules.path, own.span))
        } else {
            Some((&operation.template, operation.span))
        }
    }

    /// An operation as the file writes it: relative to the base.
    fn written(&self, operation: &OperationDraft) -> String {
        let path = operation.template.to_string();
        let path = match path.strip_prefix(&*self.base) {
            Some("") if !operation.template.is_event() => "/",
            Some(rest) if !operation.template.is_event() => rest,
            _ => &path,
        };
        format!("{} {path}", operation.verb)
    }

    /// Reads `METHOD /path`, relative to the app's base, or `EMIT name`.
    fn route(&self, text: Text<'_>, diagnostics: &mut Diagnostics) -> Option<(Verb, Template)> {
        let (method, path) = text.value.split_once(' ').unwrap_or((text.value, ""));
        if method == "EMIT" {
            return socket::event(text, path, diagnostics);
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
pub(super) fn join(base: &str, path: &str) -> String {
    match (base, path) {
        ("", path) => path.to_owned(),
        (base, "/") => base.to_owned(),
        (base, path) => format!("{base}{path}"),
    }
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
