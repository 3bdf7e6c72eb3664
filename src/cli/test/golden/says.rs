//! What a document's table says of whom, cell by cell. Four shapes are known: roles by resources (or features), the same
//! turned round, resources by scopes (what each scope holds), and roles with a list of what they are granted.

mod listed;

use super::names::{Kind, Names, letters};
use super::sheet::{Sheet, Text};
use super::word::{Limit, Word, split};
use crate::config::diagnostic::code;
use crate::config::{Diagnostic, Diagnostics, Span};

/// A cell, as far as it is about one scope.
#[derive(Clone, Debug)]
pub(super) struct Saying {
    /// Where it stands.
    pub span: Span,
    /// As the document has it.
    pub text: String,
    /// The role; none where a scope is described.
    pub role: Option<String>,
    /// The resource or feature.
    pub resource: String,
    /// The scope.
    pub scope: String,
    /// What is said.
    pub says: Says,
}

/// What is said of a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// It is granted; or there is such a scope.
    Yes(Limit),
    /// It isn't.
    No,
}

/// What a table says.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Its cells.
    pub sayings: Vec<Saying>,
    /// Whether it has a row or column for every resource that the document knows.
    pub lists_resources: bool,
    /// Whether it has one for every role.
    pub lists_roles: bool,
    /// Whether what it doesn't say is a no, for the resources that it doesn't name either.
    pub silence_is_no: bool,
    /// Resources that its rows call reserved, and where.
    pub reserved: Vec<(String, Span)>,
}

/// What a column is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Column {
    Role(String),
    Resource(String),
    Scope(String),
    /// What a role is granted, as a list.
    List,
    /// Prose.
    Prose,
}

/// Heads of columns that hold lists.
const LISTS: [&str; 7] =
    ["scope", "scopes", "assignedscope", "assignedscopes", "permissions", "assignedpermissions", "access"];
/// Heads of columns that say nothing of who may what.
const PROSE: [&str; 5] = ["suitablefor", "notes", "remarks", "comment", "comments"];

/// Reads a table.
pub(super) fn read(sheet: &Sheet, names: &Names<'_>, diagnostics: &mut Diagnostics) -> Said {
    for span in &sheet.long {
        let message = "a row has more cells than the head";
        diagnostics.push(Diagnostic::error(code::BAD_VALUE, message).at(*span, ""));
    }
    let odd = [
        (&sheet.short, "a row has fewer cells than the head"),
        (&sheet.mute, "a cell holds no word that can be read"),
    ];
    for (span, message) in
        odd.into_iter().flat_map(|(spans, message)| spans.iter().map(move |span| (span, message)))
    {
        diagnostics.push(Diagnostic::error(code::BAD_VALUE, message).at(*span, ""));
    }
    let columns: Vec<Option<Column>> =
        sheet.head.iter().skip(1).map(|head| column(head, names, diagnostics)).collect();
    let has = |is: fn(&Column) -> bool| columns.iter().flatten().any(is);
    let rows_are_roles = has(|own| matches!(own, Column::Resource(_) | Column::List));
    let kind = if rows_are_roles { Kind::Role } else { Kind::Resource };
    let mut said = Said {
        lists_resources: !has(|own| *own == Column::List),
        lists_roles: !has(|own| matches!(own, Column::Scope(_))),
        silence_is_no: has(|own| *own == Column::List),
        ..Said::default()
    };
    if !has(|own| *own != Column::Prose) {
        let span = sheet.head.first().map_or(Span { file: 0, start: 0, end: 0 }, |own| own.span);
        let message = format!("no column of this table is a role, resource or scope of `{}`", names.app.name);
        let mistake = Diagnostic::error(code::BAD_VALUE, message).at(span, "a table of something else");
        diagnostics.push(mistake.help("--table N or --line N says which table of the file is meant"));
        return said;
    }
    let mut above: Option<String> = None;
    for row in &sheet.rows {
        let Some((first, cells)) = row.split_first() else { continue };
        // A name that stands for several rows is written once; the cells below it are empty.
        let name =
            if first.text.is_empty() { above.clone() } else { row_name(first, kind, names, diagnostics) };
        let Some(name) = name else { continue };
        above = Some(name.clone());
        if kind == Kind::Resource && letters(&first.text).contains("reserve") {
            said.reserved.push((name.clone(), first.span));
        }
        for (cell, column) in cells.iter().zip(&columns) {
            let Some(column) = column else { continue };
            let reader = Reader { names, cell };
            reader.cell(&name, column, rows_are_roles, &mut said.sayings, diagnostics);
        }
    }
    said
}

fn column(head: &Text, names: &Names<'_>, diagnostics: &mut Diagnostics) -> Option<Column> {
    let text = head.text.as_str();
    let plain = letters(text);
    let of_scope = || {
        let scope = text.trim().strip_suffix("Scope").or(text.trim().strip_suffix("scope")).unwrap_or(text);
        names.find(Kind::Scope, scope).map(|own| Column::Scope(own.to_owned()))
    };
    let found = names.find(Kind::Role, text).map(|own| Column::Role(own.to_owned()));
    let found =
        found.or_else(|| names.find(Kind::Resource, text).map(|own| Column::Resource(own.to_owned())));
    let found = found.or_else(|| LISTS.contains(&plain.as_str()).then_some(Column::List)).or_else(of_scope);
    let is_prose = plain.is_empty() || plain.contains("description") || PROSE.contains(&plain.as_str());
    let found = found.or_else(|| is_prose.then_some(Column::Prose));
    if found.is_none() {
        let kinds = [Kind::Role, Kind::Resource, Kind::Scope];
        names.unknown((head.span, text), &kinds, "role, resource or scope", diagnostics);
    }
    found
}

fn row_name(first: &Text, kind: Kind, names: &Names<'_>, diagnostics: &mut Diagnostics) -> Option<String> {
    let found = names.find(kind, &first.text).map(str::to_owned);
    if found.is_none() {
        let what = if kind == Kind::Role { "role" } else { "resource or feature" };
        names.unknown((first.span, &first.text), &[kind], what, diagnostics);
    }
    found
}

struct Reader<'r> {
    names: &'r Names<'r>,
    cell: &'r Text,
}

impl Reader<'_> {
    fn cell(
        &self,
        row: &str,
        column: &Column,
        rows_are_roles: bool,
        into: &mut Vec<Saying>,
        diagnostics: &mut Diagnostics,
    ) {
        match column {
            Column::Prose => {}
            Column::Role(role) if !rows_are_roles => self.granted(role, row, into, diagnostics),
            Column::Resource(resource) => self.granted(row, resource, into, diagnostics),
            Column::Scope(scope) if !rows_are_roles => {
                let says = match Word::read(&self.cell.text) {
                    Word::No => Says::No,
                    _ => Says::Yes(Limit::None),
                };
                into.push(self.saying(None, row, scope, says));
            }
            Column::List => listed::read(self.names, self.cell, row, into, diagnostics),
            Column::Role(_) | Column::Scope(_) => {
                let message = "this column isn't of the kind of the others";
                diagnostics.push(Diagnostic::error(code::BAD_VALUE, message).at(self.cell.span, ""));
            }
        }
    }

    /// A cell where a role crosses a resource.
    fn granted(&self, role: &str, resource: &str, into: &mut Vec<Saying>, diagnostics: &mut Diagnostics) {
        let scopes = self.names.scopes(resource);
        let mut all = |says: &Says| {
            let sayings = scopes.iter().map(|scope| self.saying(Some(role), resource, scope, says.clone()));
            into.extend(sayings);
        };
        match self.scoped(&scopes).map_or_else(|| Word::read(&self.cell.text), Word::Named) {
            Word::Yes(limit) => all(&Says::Yes(limit)),
            Word::No => all(&Says::No),
            Word::Named(named) => {
                let found: Vec<(&str, Limit)> = named
                    .iter()
                    .filter_map(|(name, limit)| Some((self.scope(name, diagnostics)?, limit.clone())))
                    .collect();
                let of =
                    |scope: &str| found.iter().find(|(own, _)| *own == scope).map(|(_, limit)| limit.clone());
                let beyond = found.iter().map(|(own, _)| *own).filter(|own| !scopes.contains(own));
                for scope in scopes.iter().copied().chain(beyond) {
                    let says = of(scope).map_or(Says::No, Says::Yes);
                    into.push(self.saying(Some(role), resource, scope, says));
                }
            }
        }
    }

    /// The cell as scopes apart by spaces alone, if that is all it is: `view(a) manage`.
    fn scoped(&self, scopes: &[&str]) -> Option<Vec<(String, Limit)>> {
        let words = self.cell.text.split([' ', ',', '\n']).filter(|word| !word.is_empty() && *word != "and");
        let known = |word: &str| {
            let (name, limit) = split(word);
            scopes.iter().any(|own| letters(own) == letters(&name)).then_some((name, limit))
        };
        words.map(known).collect::<Option<Vec<_>>>().filter(|words| !words.is_empty())
    }

    fn scope(&self, name: &str, diagnostics: &mut Diagnostics) -> Option<&str> {
        let found = self.names.find(Kind::Scope, name);
        if found.is_none() {
            self.names.unknown((self.cell.span, name), &[Kind::Scope], "yes, no or scope", diagnostics);
        }
        found
    }

    fn saying(&self, role: Option<&str>, resource: &str, scope: &str, says: Says) -> Saying {
        Saying {
            span: self.cell.span,
            text: self.cell.text.replace('\n', " "),
            role: role.map(str::to_owned),
            resource: resource.to_owned(),
            scope: scope.to_owned(),
            says,
        }
    }
}
