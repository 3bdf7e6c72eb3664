//! Remarks of `analysis::lint` at their places: what a remark is about is looked for in the files' text once there is
//! something to say, so that compiled rules carry no more than lines.

use std::collections::HashMap;

use super::diagnostic::{Code, Diagnostic, LineIndex, code};
use super::raw::{self, Entry, Node, Raw, Table, Text};
use super::{Diagnostics, FileKind, Sources, Span, rules};
use crate::analysis::lint::{self, Finding, Kind, Subject, Weight};
use crate::policy::App;
use crate::route::{Template, Verb};
use crate::snapshot::Snapshot;

/// What there is to remark on a set that compiled, and how much each remark matters.
#[must_use]
pub fn remarks(sources: &Sources, snapshot: &Snapshot) -> Vec<(Weight, Diagnostic)> {
    let findings = lint::of(snapshot);
    let lines = LineIndex::of(&sources.files);
    let files = sources.files.iter().zip(0u32..).filter(|(file, _)| file.kind == FileKind::Rules);
    let indices: Vec<u32> = files.map(|(_, index)| index).collect();
    let mut read: HashMap<usize, Table> = HashMap::new();
    for app in findings.iter().flat_map(|own| [Some(own.app), own.also.as_ref().map(|also| also.0)]).flatten()
    {
        let Some(index) = indices.get(app) else { continue };
        let Some(file) = sources.files.get(*index as usize) else { continue };
        read.entry(app).or_insert_with(|| raw::parse(*index, &file.text, &mut Diagnostics::default()));
    }
    let locate = |app: usize, subject: &Subject| {
        let place = Place { app: snapshot.apps.get(app)?, table: read.get(&app)?, lines: &lines };
        place.of(subject)
    };
    let told = findings.iter().filter_map(|own| Some((own.weight, diagnostic(own, &locate)?)));
    let mut told: Vec<_> = told.collect();
    told.sort_by_key(|(_, own)| own.primary.as_ref().map(|(span, _)| *span));
    told
}

/// A remark with its place. What stands nowhere was made by something else that is told of, such as a `*`.
fn diagnostic(own: &Finding, locate: &impl Fn(usize, &Subject) -> Option<Span>) -> Option<Diagnostic> {
    let span = locate(own.app, &own.subject)?;
    let diagnostic = match own.weight {
        Weight::Warning => Diagnostic::warning(code_of(own.kind), &own.message),
        Weight::Note | Weight::Reading => Diagnostic::note(code_of(own.kind), &own.message),
    };
    let mut diagnostic = diagnostic.at(span, &own.label);
    if let Some((app, subject, label)) = &own.also
        && let Some(other) = locate(*app, subject)
    {
        diagnostic = diagnostic.also(other, label);
    }
    Some(match own.help {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    })
}

fn code_of(kind: Kind) -> Code {
    match kind {
        Kind::UnreachableRoute => code::UNREACHABLE_ROUTE,
        Kind::AmbiguousRoute => code::AMBIGUOUS_ROUTE,
        Kind::Constant => code::CONSTANT,
        Kind::SameCondition => code::SAME_CONDITION,
        Kind::Unread => code::UNREAD,
        Kind::IdleGrant => code::IDLE_GRANT,
        Kind::SameRole => code::SAME_ROLE,
        Kind::NeverGranted => code::NEVER_GRANTED,
        Kind::EmptyRole => code::EMPTY_ROLE,
        Kind::EmptyScope => code::EMPTY_SCOPE,
        Kind::NeverKnown => code::NEVER_KNOWN,
        Kind::NearDuplicate => code::NEAR_DUPLICATE,
        Kind::WriteInView => code::WRITE_IN_VIEW,
        Kind::Open => code::OPEN,
        Kind::Unrequired => code::UNREQUIRED,
    }
}

/// One app's file, to find things in.
struct Place<'p> {
    app: &'p App,
    table: &'p Table,
    lines: &'p LineIndex<'p>,
}

impl<'p> Place<'p> {
    fn of(&self, subject: &Subject) -> Option<Span> {
        match subject {
            Subject::App => Some(self.table.get("app")?.value.as_text()?.inner()),
            Subject::Role(index) => self.role(&self.app.roles.get(*index)?.name),
            Subject::Resource(name) => self.resource(name),
            Subject::Scope(index) => {
                let (_, permission) = self.app.permissions.get(*index)?;
                let scope = self
                    .inner("resource", &permission.resource)
                    .and_then(|table| table.get(&permission.scope));
                scope.map(|entry| Text::of_key(entry).inner()).or_else(|| self.resource(&permission.resource))
            }
            Subject::Condition(index) => {
                let own = self.app.conditions.get(*index)?;
                let entry = self.top("when")?.get(&own.name)?;
                self.is_on(entry.span, &own.place).then(|| Text::of_key(entry).inner())
            }
            Subject::Fact(index) => {
                let name = &self.app.facts.get(*index)?.name;
                key_path(self.top("facts")?, "", name)
            }
            Subject::Operation(index) => self.operation(*index),
            Subject::Grant(role, grant) => self.grant(*role, *grant),
        }
    }

    fn top(&self, key: &str) -> Option<&'p Table> {
        self.table.get(key)?.value.as_table()
    }

    fn inner(&self, key: &str, name: &str) -> Option<&'p Table> {
        self.top(key)?.get(name)?.value.as_table()
    }

    /// Whether a span begins on the line of a place such as `rules/x.toml:12`.
    fn is_on(&self, span: Span, place: &str) -> bool {
        let line = place.rsplit_once(':').and_then(|(_, line)| line.parse::<usize>().ok());
        self.lines.line_column(span).map(|(line, _)| line) == line
    }

    fn role(&self, name: &str) -> Option<Span> {
        let declared =
            self.top("role").and_then(|table| table.get(name)).map(|entry| Text::of_key(entry).inner());
        declared.or_else(|| {
            let columns = &self.top("matrix")?.get("columns")?.value;
            texts(columns).into_iter().find(|text| text.value == name).map(|text| text.inner())
        })
    }

    fn resource(&self, name: &str) -> Option<Span> {
        let declared = ["resource", "matrix"].into_iter().find_map(|key| self.top(key)?.get(name));
        declared.map(|entry| Text::of_key(entry).inner())
    }

    /// Where an operation is named first.
    fn operation(&self, index: usize) -> Option<Span> {
        let wanted = self.app.operations.get(index)?;
        let is_wanted = |text: &Text<'_>| {
            let Some((method, path)) = text.value.split_once(' ') else { return false };
            Verb::parse(method) == Some(wanted.verb)
                && Template::parse(&rules::join(&self.app.base, path)).is_ok_and(|own| own == wanted.template)
        };
        let scopes = self.top("resource").map_or(&[][..], |table| &table.entries).iter();
        let scopes = scopes.filter_map(|own| own.value.as_table()).flat_map(|table| &table.entries);
        let routes = self.top("routes").map_or(&[][..], |table| &table.entries);
        let public = ["public", "public-login"].into_iter().filter_map(|key| self.table.get(key));
        let lists = public.chain(scopes).chain(routes).map(operations);
        let mut named = lists.flat_map(texts);
        named.find(is_wanted).map(|text| text.inner())
    }

    /// The term or cell that a grant was made by. What a `*` granted beside others stands nowhere.
    fn grant(&self, role: usize, grant: usize) -> Option<Span> {
        let role = self.app.roles.get(role)?;
        let grant = role.grants.get(grant)?;
        let permission = self.app.permission(grant.permission)?;
        let names: Vec<&str> = grant
            .conditions
            .iter()
            .filter(|index| Some(**index) != role.only)
            .filter_map(|index| self.app.conditions.get(*index).map(|own| &*own.name))
            .collect();
        if let Some(list) = self.inner("role", &role.name).and_then(|table| table.get(&permission.scope)) {
            let is_term = |text: &Text<'_>| {
                let (term, day) = rules::until(text.value);
                let (name, conditions) = term.split_once(" if ").unwrap_or((term, ""));
                let own = conditions.split(',').map(str::trim).filter(|own| !own.is_empty());
                let until = day.map(|day| format!("until {day}"));
                name.trim() == &*permission.resource
                    && self.is_on(text.span, &grant.place)
                    && own.chain(until.as_deref()).eq(names.iter().copied())
            };
            // The last of several alike is the one too many.
            let found = texts(&list.value).into_iter().rfind(is_term);
            return found.map(|text| text.inner());
        }
        let matrix = self.top("matrix")?;
        let columns = texts(&matrix.get("columns")?.value);
        let column = columns.iter().position(|text| text.value == &*role.name)?;
        texts(&matrix.get(&permission.resource)?.value).get(column).map(Text::inner)
    }
}

/// The list of operations that a scope or feature is.
fn operations(entry: &Entry) -> &Node {
    let inner = entry.value.as_table().and_then(|table| table.get("operations"));
    inner.map_or(&entry.value, |own| &own.value)
}

fn texts(node: &Node) -> Vec<Text<'_>> {
    match &node.value {
        Raw::List(items) => items.iter().filter_map(Node::as_text).collect(),
        _ => Vec::new(),
    }
}

/// The key that a dotted name leads to, however it is divided among tables.
fn key_path(table: &Table, above: &str, wanted: &str) -> Option<Span> {
    table.entries.iter().find_map(|entry| {
        let name = if above.is_empty() { entry.key.clone() } else { format!("{above}.{}", entry.key) };
        if name == wanted {
            return Some(Text::of_key(entry).inner());
        }
        let is_above = wanted.strip_prefix(&name).is_some_and(|rest| rest.starts_with('.'));
        entry.value.as_table().filter(|_| is_above).and_then(|inner| key_path(inner, &name, wanted))
    })
}
