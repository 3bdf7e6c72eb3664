//! A document as its test table has it: cells and sentences, each with the requests that must be allowed, denied or missing.
//! Read with every mistake reported at its place; nothing is decided here.

use std::ops::RangeInclusive;

use super::answer::Expected;
use super::case::{Case, Promised, Subject};
use super::stated::{Stated, json, texts};
use crate::config::diagnostic::code;
use crate::config::raw::{Fields, Node, Raw, Table};
use crate::config::{Diagnostic, Diagnostics, Span};
use crate::policy::App;

/// One file: how one document, or a part of it, is to be obeyed.
#[derive(Debug)]
pub(super) struct Document {
    /// The document's name.
    pub name: String,
    /// The lines of the document that the file accounts for, if it says so.
    pub lines: Option<(RangeInclusive<u32>, Span)>,
    /// Those that neither grant nor refuse anything.
    pub silent: Vec<u32>,
    /// The document's tables.
    pub grids: Vec<Grid>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// A table of the document: every row crosses every column in a cell.
#[derive(Debug)]
pub(super) struct Grid {
    /// Where it is declared.
    pub span: Span,
    /// The names of its rows.
    pub rows: Vec<String>,
    /// The names of its columns.
    pub columns: Vec<String>,
}

/// What a row is made from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Origin {
    /// A cell of a table: its row and its column.
    Cell(String, String),
    /// A sentence.
    Sentence,
}

/// A cell or a sentence, and what follows from it.
#[derive(Debug)]
pub(super) struct Row {
    /// Where it stands.
    pub span: Span,
    /// What it is made from.
    pub origin: Origin,
    /// Its lines in the document.
    pub lines: Vec<u32>,
    /// What it says.
    pub says: String,
    /// The requests that must become something, and the scopes that there must not be.
    pub cases: Vec<Case>,
}

/// Reads a file, whose app is known already; what can't be understood is reported.
pub(super) fn read(
    root: &Table,
    fields: &mut Fields<'_>,
    app: Option<&App>,
    diagnostics: &mut Diagnostics,
) -> Document {
    let whole = root.entries.first().map_or(Span { file: 0, start: 0, end: 0 }, |entry| entry.span);
    let name = fields.require("document", whole, diagnostics).and_then(|node| node.text(diagnostics));
    let name = name.map(|text| text.value.to_owned()).unwrap_or_default();
    let lines = fields.take("lines").and_then(|node| Some((range(node, diagnostics)?, node.span)));
    let silent = fields.take("silent").map(|node| numbers(node, diagnostics)).unwrap_or_default();
    let defaults = fields.take("defaults").and_then(|node| node.table(diagnostics));
    let defaults = defaults.map_or_else(Stated::default, |table| {
        let mut fields = Fields::new(table);
        let stated = Stated::read(&mut fields, &Stated::default(), app, diagnostics);
        fields.finish(diagnostics);
        stated
    });
    let tables = |node: Option<&Node>, diagnostics: &mut Diagnostics| -> Vec<(Span, Table)> {
        let items = node.and_then(|node| node.list(diagnostics)).unwrap_or_default();
        items.iter().filter_map(|item| Some((item.span, item.table(diagnostics)?.clone()))).collect()
    };
    let grids = tables(fields.take("table"), diagnostics);
    let grids = grids.iter().map(|(span, table)| grid(*span, table, diagnostics)).collect();
    let cells = tables(fields.take("cell"), diagnostics);
    let sentences = tables(fields.take("sentence"), diagnostics);
    let mut rows: Vec<Row> = Vec::new();
    let reader = Reader { document: &name, defaults: &defaults, app };
    rows.extend(cells.iter().map(|(span, table)| reader.row(*span, table, true, diagnostics)));
    rows.extend(sentences.iter().map(|(span, table)| reader.row(*span, table, false, diagnostics)));
    rows.sort_by_key(|row| row.span.start);
    Document { name, lines, silent, grids, rows }
}

fn grid(span: Span, table: &Table, diagnostics: &mut Diagnostics) -> Grid {
    let mut fields = Fields::new(table);
    let mut names = |key| {
        let node = fields.require(key, span, diagnostics);
        node.map(|node| texts(node, diagnostics)).unwrap_or_default()
    };
    let (rows, columns) = (names("rows"), names("columns"));
    fields.finish(diagnostics);
    Grid { span, rows, columns }
}

struct Reader<'r> {
    document: &'r str,
    defaults: &'r Stated,
    app: Option<&'r App>,
}

impl Reader<'_> {
    fn row(&self, span: Span, table: &Table, is_cell: bool, diagnostics: &mut Diagnostics) -> Row {
        let mut fields = Fields::new(table);
        let lines = fields.require("line", span, diagnostics);
        let lines = lines.map(|node| numbers(node, diagnostics)).unwrap_or_default();
        let says = fields.require("says", span, diagnostics).and_then(|node| node.text(diagnostics));
        let says = says.map(|text| text.value.to_owned()).unwrap_or_default();
        let origin = if is_cell { cell(&mut fields, span, diagnostics) } else { Origin::Sentence };
        let cases = self.cases(span, &mut fields, &lines, &says, diagnostics);
        fields.finish(diagnostics);
        Row { span, origin, lines, says, cases }
    }

    fn cases(
        &self,
        span: Span,
        fields: &mut Fields<'_>,
        lines: &[u32],
        says: &str,
        diagnostics: &mut Diagnostics,
    ) -> Vec<Case> {
        let mut list = |fields: &mut Fields<'_>, key| {
            fields.take(key).map(|node| texts(node, diagnostics)).unwrap_or_default()
        };
        let roles = list(fields, "roles");
        let mut subjects = Vec::new();
        for (expected, word) in Expected::KEYS {
            let requests = list(fields, word).into_iter();
            subjects.extend(requests.map(|request| Subject::Request(request, expected)));
        }
        subjects.extend(list(fields, "absent").into_iter().map(Subject::Absent));
        let promised = promised(fields, diagnostics);
        let stated = Stated::read(fields, self.defaults, self.app, diagnostics);
        let numbers: Vec<_> = lines.iter().map(u32::to_string).collect();
        let says_where = format!("{}:{} {says}", self.document, numbers.join(","));
        let case = |subject| Case {
            span,
            name: says.to_owned(),
            says: says_where.clone(),
            roles: roles.clone(),
            stated: stated.clone(),
            subject,
            promised: promised.clone(),
        };
        subjects.into_iter().map(case).collect()
    }
}

/// Where a row crosses a column.
fn cell(fields: &mut Fields<'_>, span: Span, diagnostics: &mut Diagnostics) -> Origin {
    let pair = fields.require("cell", span, diagnostics);
    match pair.map(|node| texts(node, diagnostics)).unwrap_or_default().as_slice() {
        [row, column] => Origin::Cell(row.clone(), column.clone()),
        _ => {
            let message = "a cell is where a row crosses a column";
            let wanted = "expected `cell = [\"row\", \"column\"]`";
            diagnostics.push(Diagnostic::error(code::BAD_VALUE, message).at(span, wanted));
            Origin::Sentence
        }
    }
}

/// What every allowed request must carry along.
pub(super) fn promised(fields: &mut Fields<'_>, diagnostics: &mut Diagnostics) -> Promised {
    let mut list = |fields: &mut Fields<'_>, key| fields.take(key).map(|node| texts(node, diagnostics));
    let sends = list(fields, "sends").unwrap_or_default();
    let gives = list(fields, "gives").unwrap_or_default();
    let hides = list(fields, "hides");
    let sees = list(fields, "sees");
    let items = fields.take("items").and_then(|node| node.list(diagnostics));
    let items = items.map(|items| items.iter().map(|item| json(item, diagnostics)).collect());
    Promised { sends, gives, hides, lists: items.zip(sees) }
}

/// `28-46`.
fn range(node: &Node, diagnostics: &mut Diagnostics) -> Option<RangeInclusive<u32>> {
    let text = node.text(diagnostics)?;
    let parsed =
        text.value.split_once('-').and_then(|(from, to)| Some(from.parse().ok()?..=to.parse().ok()?));
    if parsed.is_none() {
        let message = format!("`{}` is no range of lines", text.value);
        diagnostics.push(Diagnostic::error(code::BAD_VALUE, message).at(node.span, "such as \"1-46\""));
    }
    parsed
}

/// A line, several, or `"1-6, 8"`.
fn numbers(node: &Node, diagnostics: &mut Diagnostics) -> Vec<u32> {
    match &node.value {
        Raw::Int(_) | Raw::List(_) => {
            let items = match &node.value {
                Raw::List(items) => items.as_slice(),
                _ => std::slice::from_ref(node),
            };
            let numbers = items.iter().filter_map(|item| u32::try_from(item.int(diagnostics)?).ok());
            numbers.collect()
        }
        _ => {
            let Some(text) = node.text(diagnostics) else { return Vec::new() };
            let parts = text.value.split(',').map(str::trim);
            let read = |part: &str| match part.split_once('-') {
                Some((from, to)) => Some(from.parse::<u32>().ok()?..=to.parse().ok()?),
                None => part.parse().ok().map(|line| line..=line),
            };
            let ranges: Option<Vec<_>> = parts.map(read).collect();
            if ranges.is_none() {
                let message = format!("`{}` are no lines", text.value);
                diagnostics
                    .push(Diagnostic::error(code::BAD_VALUE, message).at(node.span, "such as \"1-6, 8\""));
            }
            ranges.unwrap_or_default().into_iter().flatten().collect()
        }
    }
}
