//! Tables in an operator's own words: named people, named requests, and a grid of answers. What no grid lists must be
//! refused. Read with every mistake reported at its place; nothing is decided here.
//!
//! ```toml
//! app = "agent-desk"
//! [who.ann]
//! roles = ["agent"]
//! [who.nobody]
//! anonymous = true
//! [ask]
//! list = "GET /cim/customers"
//! edit = { request = "PUT /cim/customers/7", body = { name = "x" } }
//! [answers]
//! columns = ["ann", "nobody"]
//! list    = ["allow", "token-missing"]
//! ```

use std::collections::BTreeSet;

use super::answer::Expected;
use super::case::{Case, Promised, Subject};
use super::stated::{KEYS, Stated};
use super::table::promised;
use crate::config::diagnostic::code;
use crate::config::raw::{Entry, Fields, Node, Raw, Table, Text};
use crate::config::{Diagnostic, Diagnostics, Span};
use crate::policy::App;

/// Someone who asks.
struct Person<'n> {
    name: &'n str,
    roles: Vec<String>,
    stated: Stated,
}

/// Something that is asked.
struct Ask<'n> {
    name: &'n str,
    span: Span,
    request: String,
    stated: Stated,
    promised: Promised,
}

/// What becomes of pairs that no grid lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unlisted {
    Deny,
    Unchecked,
}

/// Reads a file, whose app is known already.
pub(super) fn read(fields: &mut Fields<'_>, app: Option<&App>, diagnostics: &mut Diagnostics) -> Vec<Case> {
    let defaults = fields.take("defaults").and_then(|node| node.table(diagnostics));
    let defaults = defaults.map_or_else(Stated::default, |table| {
        let mut fields = Fields::new(table);
        let stated = Stated::read(&mut fields, &Stated::default(), app, diagnostics);
        fields.finish(diagnostics);
        stated
    });
    let who = entries(fields.take("who"), diagnostics);
    let people: Vec<Person<'_>> = who.iter().filter_map(|entry| person(entry, app, diagnostics)).collect();
    let ask = entries(fields.take("ask"), diagnostics);
    let asks: Vec<Ask<'_>> = ask.iter().filter_map(|entry| asked(entry, app, diagnostics)).collect();
    let unlisted = fields.take("unlisted").map_or(Unlisted::Deny, |node| unlisted(node, diagnostics));
    let grids: Vec<&Table> = match fields.take("answers") {
        None => Vec::new(),
        Some(Node { value: Raw::Table(one), .. }) => vec![one],
        Some(node) => {
            let items = node.list(diagnostics).unwrap_or_default();
            items.iter().filter_map(|item| item.table(diagnostics)).collect()
        }
    };
    let mut reader = Reader { app, defaults, people, asks, listed: BTreeSet::new(), cases: Vec::new() };
    grids.iter().for_each(|grid| reader.grid(grid, diagnostics));
    if unlisted == Unlisted::Deny {
        reader.rest();
    }
    reader.cases
}

fn entries<'n>(node: Option<&'n Node>, diagnostics: &mut Diagnostics) -> &'n [Entry] {
    node.and_then(|node| node.table(diagnostics)).map_or(&[], |table| &table.entries)
}

fn person<'n>(entry: &'n Entry, app: Option<&App>, diagnostics: &mut Diagnostics) -> Option<Person<'n>> {
    let mut fields = Fields::new(entry.value.table(diagnostics)?);
    let names = fields.take("roles").and_then(|node| node.texts(diagnostics)).unwrap_or_default();
    let roles = names.into_iter().filter_map(|name| role(app, name, diagnostics)).collect();
    let stated = Stated::read(&mut fields, &Stated::default(), app, diagnostics);
    fields.finish(diagnostics);
    Some(Person { name: &entry.key, roles, stated })
}

/// The string in a token that means a role.
fn role(app: Option<&App>, name: Text<'_>, diagnostics: &mut Diagnostics) -> Option<String> {
    let Some(app) = app else { return Some(name.value.to_owned()) };
    let Some((_, role)) = app.role(name.value) else {
        let message = format!("app `{}` has no role `{}`", app.name, name.value);
        diagnostics.push(
            Diagnostic::error(code::UNKNOWN_ROLE, message)
                .at(name.inner(), "not declared in [role]")
                .nearest(name.inner(), name.value, app.roles.iter().map(|own| &*own.name)),
        );
        return None;
    };
    let claim = role.claims.first().map(ToString::to_string);
    if claim.is_none() {
        let message = format!("nobody is given `{}`: everyone is it", role.name);
        diagnostics.push(Diagnostic::error(code::BAD_VALUE, message).at(name.inner(), "leave it out"));
    }
    claim
}

fn asked<'n>(entry: &'n Entry, app: Option<&App>, diagnostics: &mut Diagnostics) -> Option<Ask<'n>> {
    if GRID_KEYS.iter().chain(&KEYS).any(|key| *key == entry.key) {
        let message = format!("a request can't be called `{}`", entry.key);
        let why = "it means something else in [answers]";
        diagnostics.push(Diagnostic::error(code::BAD_VALUE, message).at(entry.span, why));
        return None;
    }
    let (name, span) = (entry.key.as_str(), entry.span);
    if let Some(text) = entry.value.as_text() {
        let request = request(text, diagnostics)?;
        let (stated, promised) = (Stated::default(), Promised::default());
        return Some(Ask { name, span, request, stated, promised });
    }
    let mut fields = Fields::new(entry.value.table(diagnostics)?);
    let text = fields.require("request", span, diagnostics).and_then(|node| node.text(diagnostics));
    let request = text.and_then(|text| request(text, diagnostics));
    let promised = promised(&mut fields, diagnostics);
    let stated = Stated::read(&mut fields, &Stated::default(), app, diagnostics);
    fields.finish(diagnostics);
    Some(Ask { name, span, request: request?, stated, promised })
}

fn request(text: Text<'_>, diagnostics: &mut Diagnostics) -> Option<String> {
    let is_one = text.value.split_once(' ').is_some_and(|(method, target)| {
        let is_method = !method.is_empty() && method.bytes().all(|own| own.is_ascii_uppercase());
        is_method && (method == "EMIT" || target.starts_with('/'))
    });
    if !is_one {
        let message = format!("`{}` is no request", text.value);
        let wanted = "expected `METHOD /path` or `EMIT event`";
        diagnostics.push(Diagnostic::error(code::ROUTE, message).at(text.inner(), wanted));
    }
    is_one.then(|| text.value.to_owned())
}

fn unlisted(node: &Node, diagnostics: &mut Diagnostics) -> Unlisted {
    let Some(text) = node.text(diagnostics) else { return Unlisted::Deny };
    match text.value {
        "deny" => Unlisted::Deny,
        "unchecked" => Unlisted::Unchecked,
        wrong => {
            let message = format!("`{wrong}` is nothing that becomes of what isn't listed");
            let wanted = "\"deny\" or \"unchecked\"";
            let mistake = Diagnostic::error(code::BAD_VALUE, message).at(text.inner(), wanted);
            diagnostics.push(mistake.nearest(text.inner(), wrong, ["deny", "unchecked"]));
            Unlisted::Deny
        }
    }
}

/// The keys of a grid that are no rows, beside those of [`Stated`].
const GRID_KEYS: [&str; 2] = ["columns", "says"];

struct Reader<'n> {
    app: Option<&'n App>,
    defaults: Stated,
    people: Vec<Person<'n>>,
    asks: Vec<Ask<'n>>,
    /// Pairs of a person and a request, by index, that some grid lists.
    listed: BTreeSet<(usize, usize)>,
    cases: Vec<Case>,
}

impl Reader<'_> {
    fn grid(&mut self, table: &Table, diagnostics: &mut Diagnostics) {
        let mut fields = Fields::new(table);
        let whole = table.entries.first().map_or(Span { file: 0, start: 0, end: 0 }, |entry| entry.span);
        let columns = fields.require("columns", whole, diagnostics);
        let columns = columns.and_then(|node| node.texts(diagnostics)).unwrap_or_default();
        let columns: Vec<Option<usize>> =
            columns.into_iter().map(|name| self.column(name, diagnostics)).collect();
        let says = fields.take("says").and_then(|node| node.text(diagnostics));
        let says = says.map(|text| text.value.to_owned());
        let scene = Stated::read(&mut fields, &Stated::default(), self.app, diagnostics);
        let is_key = |entry: &&Entry| GRID_KEYS.iter().chain(&KEYS).any(|key| *key == entry.key);
        for entry in table.entries.iter().filter(|entry| !is_key(entry)) {
            self.row(entry, &columns, (says.as_deref(), &scene), diagnostics);
        }
    }

    fn column(&self, name: Text<'_>, diagnostics: &mut Diagnostics) -> Option<usize> {
        let found = self.people.iter().position(|own| own.name == name.value);
        if found.is_none() {
            let message = format!("nobody is called `{}`", name.value);
            diagnostics.push(
                Diagnostic::error(code::BAD_VALUE, message)
                    .at(name.inner(), "not declared in [who]")
                    .nearest(name.inner(), name.value, self.people.iter().map(|own| own.name)),
            );
        }
        found
    }

    fn row(
        &mut self,
        entry: &Entry,
        columns: &[Option<usize>],
        scene: (Option<&str>, &Stated),
        diagnostics: &mut Diagnostics,
    ) {
        let Some(ask) = self.asks.iter().position(|own| own.name == entry.key) else {
            let key = Text::of_key(entry);
            let message = format!("no request is called `{}`", entry.key);
            let names = self.asks.iter().map(|own| own.name).chain(GRID_KEYS);
            let mistake =
                Diagnostic::error(code::BAD_VALUE, message).at(key.inner(), "not declared in [ask]");
            diagnostics.push(mistake.nearest(key.inner(), &entry.key, names));
            return;
        };
        // One word is everyone's.
        let cells: Vec<Text<'_>> = match entry.value.as_text() {
            Some(text) => vec![text; columns.len()],
            None => entry.value.texts(diagnostics).unwrap_or_default(),
        };
        if cells.len() != columns.len() {
            let message = format!("{} answers for {} columns", cells.len(), columns.len());
            diagnostics.push(Diagnostic::error(code::BAD_VALUE, message).at(entry.value.span, ""));
            return;
        }
        for (cell, column) in cells.into_iter().zip(columns) {
            let expected = Expected::parse(cell.value);
            if expected.is_none() {
                let message = format!("`{}` is no answer", cell.value);
                let mistake = Diagnostic::error(code::BAD_VALUE, message)
                    .at(cell.inner(), "expected `allow`, `deny`, `missing` or a reason")
                    .nearest(cell.inner(), cell.value, Expected::words());
                diagnostics.push(mistake);
            }
            if let (Some(expected), Some(person)) = (expected, column) {
                self.listed.insert((*person, ask));
                self.add((*person, ask), cell.span, scene, expected);
            }
        }
    }

    fn add(
        &mut self,
        (person, ask): (usize, usize),
        span: Span,
        (says, scene): (Option<&str>, &Stated),
        expected: Expected,
    ) {
        let (Some(person), Some(ask)) = (self.people.get(person), self.asks.get(ask)) else { return };
        let stated = self.defaults.under(&person.stated).under(&ask.stated).under(scene);
        let says = says.map_or_else(String::new, |says| format!(" ({says})"));
        self.cases.push(Case {
            span,
            name: format!("{}, {}", person.name, ask.name),
            says: format!("{} asks for {}{says}", person.name, ask.name),
            roles: person.roles.clone(),
            stated,
            subject: Subject::Request(ask.request.clone(), expected),
            promised: ask.promised.clone(),
        });
    }

    /// Adds what no grid lists.
    fn rest(&mut self) {
        for person in 0..self.people.len() {
            for ask in 0..self.asks.len() {
                let span = self.asks.get(ask).map(|own| own.span);
                if let Some(span) = span.filter(|_| !self.listed.contains(&(person, ask))) {
                    let nothing = (Some("in no table, so refused"), &Stated::default());
                    self.add((person, ask), span, nothing, Expected::Deny);
                }
            }
        }
    }
}
