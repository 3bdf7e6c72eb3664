//! Test tables as they stand in files: a document's cells and sentences, each with the requests that must be allowed,
//! denied or missing. Read with every mistake reported at its place; nothing is decided here.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::config::diagnostic::code;
use crate::config::raw::{Fields, Node, Raw, Table};
use crate::config::{Diagnostic, Diagnostics, Span};

/// One file: how one document, or a part of it, is to be obeyed.
#[derive(Debug)]
pub(super) struct TableFile {
    /// The app whose rules obey it.
    pub app: String,
    /// The document's name.
    pub document: String,
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

/// A caller, and what is known of him and of what he asks for.
#[derive(Clone, Debug, Default)]
pub(super) struct Stated {
    /// Claims of his token.
    pub claims: Map<String, Value>,
    /// Headers of the request.
    pub headers: Vec<(String, String)>,
    /// What the app answers when it is asked, by the names of the facts.
    pub with: Vec<(String, Value, Span)>,
    /// The request's body.
    pub body: Option<Value>,
    /// The peer's address.
    pub peer: Option<String>,
    /// Whether there is no token at all.
    pub anonymous: bool,
    /// What becomes of a claim to a seat; there is one, unless said.
    pub seat: Option<SeatStated>,
}

/// A seat that isn't there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SeatStated {
    /// It is reported.
    Over,
    /// The tenant refuses.
    Refused,
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
    /// The role strings that the caller has.
    pub roles: Vec<String>,
    /// The caller and what he asks for, defaults included.
    pub stated: Stated,
    /// Requests, and what must become of them.
    pub asked: Vec<(Expected, String)>,
    /// Scopes of resources that there must not be: `state-change#manage`.
    pub absent: Vec<String>,
    /// What the app must be asked by every allowed request of the row: `key=value` pairs of the query.
    pub sends: Vec<String>,
    /// Headers that the app must be given with every allowed request of the row: `name: value`.
    pub gives: Vec<String>,
    /// Fields that are hidden in the answer to every allowed request of the row; all of them.
    pub hides: Option<Vec<String>>,
    /// Elements of a list that the app answers, and the ids of those that the caller sees.
    pub lists: Option<(Vec<Value>, Vec<String>)>,
}

/// What must become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// It is forwarded.
    Allow,
    /// It is refused.
    Deny,
    /// There is no such operation.
    Missing,
}

impl Expected {
    /// All, as rows name them.
    const ALL: [(Self, &'static str); 3] =
        [(Self::Allow, "allow"), (Self::Deny, "deny"), (Self::Missing, "missing")];

    /// The word in a row.
    pub(super) fn word(self) -> &'static str {
        Self::ALL.iter().find(|(own, _)| *own == self).map_or("", |(_, word)| word)
    }
}

/// Reads a file; what can't be understood is reported.
pub(super) fn read(root: &Table, diagnostics: &mut Diagnostics) -> TableFile {
    let whole = root.entries.first().map_or(Span { file: 0, start: 0, end: 0 }, |entry| entry.span);
    let mut fields = Fields::new(root);
    let word = |fields: &mut Fields<'_>, key, diagnostics: &mut Diagnostics| {
        let node = fields.require(key, whole, diagnostics);
        node.and_then(|node| node.text(diagnostics)).map(|text| text.value.to_owned()).unwrap_or_default()
    };
    let app = word(&mut fields, "app", diagnostics);
    let document = word(&mut fields, "document", diagnostics);
    let lines = fields.take("lines").and_then(|node| Some((range(node, diagnostics)?, node.span)));
    let silent = fields.take("silent").map(|node| numbers(node, diagnostics)).unwrap_or_default();
    let defaults = fields.take("defaults").and_then(|node| node.table(diagnostics));
    let defaults = defaults.map_or_else(Stated::default, |table| {
        let mut fields = Fields::new(table);
        let stated = stated(&mut fields, &Stated::default(), diagnostics);
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
    fields.finish(diagnostics);
    let mut rows: Vec<Row> = Vec::new();
    rows.extend(cells.iter().map(|(span, table)| row(*span, table, true, &defaults, diagnostics)));
    rows.extend(sentences.iter().map(|(span, table)| row(*span, table, false, &defaults, diagnostics)));
    rows.sort_by_key(|row| row.span.start);
    TableFile { app, document, lines, silent, grids, rows }
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

fn row(span: Span, table: &Table, is_cell: bool, defaults: &Stated, diagnostics: &mut Diagnostics) -> Row {
    let mut fields = Fields::new(table);
    let list = |fields: &mut Fields<'_>, key, diagnostics: &mut Diagnostics| {
        fields.take(key).map(|node| texts(node, diagnostics)).unwrap_or_default()
    };
    let lines = fields.require("line", span, diagnostics);
    let lines = lines.map(|node| numbers(node, diagnostics)).unwrap_or_default();
    let says = fields.require("says", span, diagnostics).and_then(|node| node.text(diagnostics));
    let says = says.map(|text| text.value.to_owned()).unwrap_or_default();
    let origin = match is_cell {
        true => {
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
        false => Origin::Sentence,
    };
    let roles = list(&mut fields, "roles", diagnostics);
    let stated = stated(&mut fields, defaults, diagnostics);
    let mut asked = Vec::new();
    for (expected, word) in Expected::ALL {
        asked.extend(list(&mut fields, word, diagnostics).into_iter().map(|request| (expected, request)));
    }
    let absent = list(&mut fields, "absent", diagnostics);
    let sends = list(&mut fields, "sends", diagnostics);
    let gives = list(&mut fields, "gives", diagnostics);
    let hides = fields.take("hides").map(|node| texts(node, diagnostics));
    let items = fields.take("items").and_then(|node| node.list(diagnostics));
    let items = items.map(|items| items.iter().map(|item| json(item, diagnostics)).collect());
    let sees = fields.take("sees").map(|node| texts(node, diagnostics));
    fields.finish(diagnostics);
    Row {
        span,
        origin,
        lines,
        says,
        roles,
        stated,
        asked,
        absent,
        sends,
        gives,
        hides,
        lists: items.zip(sees),
    }
}

fn stated(fields: &mut Fields<'_>, defaults: &Stated, diagnostics: &mut Diagnostics) -> Stated {
    let mut own = defaults.clone();
    if let Some(claims) = fields.take("claims") {
        merge(&mut own.claims, object(claims, diagnostics));
    }
    for (name, value) in fields.take("headers").map(|node| object(node, diagnostics)).unwrap_or_default() {
        own.headers.retain(|(known, _)| *known != name);
        own.headers.push((name, value.as_str().unwrap_or_default().to_owned()));
    }
    for namespace in fields.take("without").map(|node| texts(node, diagnostics)).unwrap_or_default() {
        own.with.retain(|(known, ..)| known.split_once('.').is_none_or(|(own, _)| own != namespace));
    }
    let with = fields.take("with").and_then(|node| node.table(diagnostics));
    for entry in with.map_or(&[][..], |table| &table.entries) {
        own.with.retain(|(known, ..)| *known != entry.key);
        own.with.push((entry.key.clone(), json(&entry.value, diagnostics), entry.span));
    }
    if let Some(body) = fields.take("body") {
        own.body = Some(json(body, diagnostics));
    }
    if let Some(peer) = fields.take("peer").and_then(|node| node.text(diagnostics)) {
        own.peer = Some(peer.value.to_owned());
    }
    own.anonymous |= fields.take("anonymous").and_then(|node| node.bool(diagnostics)).unwrap_or_default();
    if let Some(text) = fields.take("seat").and_then(|node| node.text(diagnostics)) {
        own.seat = match text.value {
            "over" => Some(SeatStated::Over),
            "refused" => Some(SeatStated::Refused),
            _ => {
                let message = format!("`{}` is nothing that becomes of a seat", text.value);
                let wanted = "\"over\" or \"refused\"";
                diagnostics.push(Diagnostic::error(code::BAD_VALUE, message).at(text.span, wanted));
                None
            }
        };
    }
    own
}

/// Adds claims to claims: an object grows, anything else is replaced.
fn merge(into: &mut Map<String, Value>, from: Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(own)), Value::Object(more)) => merge(own, more),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

fn texts(node: &Node, diagnostics: &mut Diagnostics) -> Vec<String> {
    node.texts(diagnostics).unwrap_or_default().iter().map(|text| text.value.to_owned()).collect()
}

fn object(node: &Node, diagnostics: &mut Diagnostics) -> Map<String, Value> {
    match json(node, diagnostics) {
        Value::Object(members) => members,
        _ => {
            let _ = node.table(diagnostics);
            Map::new()
        }
    }
}

fn json(node: &Node, diagnostics: &mut Diagnostics) -> Value {
    match &node.value {
        Raw::Text(text, _) => Value::String(text.clone()),
        Raw::Int(number) => Value::from(*number),
        Raw::Bool(value) => Value::Bool(*value),
        Raw::List(items) => items.iter().map(|item| json(item, diagnostics)).collect(),
        Raw::Table(table) => {
            let member = |entry: &crate::config::raw::Entry, diagnostics: &mut Diagnostics| {
                (entry.key.clone(), json(&entry.value, diagnostics))
            };
            Value::Object(table.entries.iter().map(|entry| member(entry, diagnostics)).collect())
        }
        Raw::Other(name) => {
            diagnostics.push(
                Diagnostic::error(code::WRONG_TYPE, format!("{name} is no value here")).at(node.span, ""),
            );
            Value::Null
        }
    }
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
