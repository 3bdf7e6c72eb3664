//! Files as they are written: a TOML tree with the place of every key and value, and a reader that reports what
//! it doesn't know instead of ignoring it. Nothing here knows what a key means.

use std::collections::HashSet;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, Diagnostics, Span, code};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// The value's place.
    pub span: Span,
    /// The value.
    pub value: Raw,
}

/// A TOML value.
#[derive(Clone, Debug)]
pub enum Raw {
    /// A string, and whether its bytes stand in the file as they are, between one quote on each side.
    Text(String, Verbatim),
    /// An integer.
    Int(i64),
    /// A boolean.
    Bool(bool),
    /// A float or a date: no key takes one.
    Other(&'static str),
    /// An array.
    List(Vec<Node>),
    /// A table.
    Table(Table),
}

/// Whether offsets into a string's value are offsets into the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbatim {
    /// Yes, from one byte after the span's start.
    Yes,
    /// No: escapes or several lines.
    No,
}

/// A table's entries in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// The entries.
    pub entries: Vec<Entry>,
}

/// A key with its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub span: Span,
    /// What it is set to.
    pub value: Node,
}

/// A string with the place of each of its parts.
#[derive(Clone, Copy, Debug)]
pub struct Text<'n> {
    /// The value.
    pub value: &'n str,
    /// The whole literal's place, quotes included.
    pub span: Span,
    verbatim: Verbatim,
}

impl<'n> Text<'n> {
    /// A key, read as text.
    #[must_use]
    pub fn of_key(entry: &'n Entry) -> Self {
        let quoted = (entry.span.end - entry.span.start) as usize == entry.key.len() + 2;
        let verbatim = if quoted { Verbatim::Yes } else { Verbatim::No };
        Self { value: &entry.key, span: entry.span, verbatim }
    }

    /// The place of `part`, which must be a slice of the value; the whole literal where it can't be told.
    #[must_use]
    pub fn part(&self, part: &str) -> Span {
        let offset = (part.as_ptr() as usize).wrapping_sub(self.value.as_ptr() as usize);
        match (self.verbatim, u32::try_from(offset), u32::try_from(part.len())) {
            (Verbatim::Yes, Ok(offset), Ok(len)) if offset as usize + part.len() <= self.value.len() => {
                let start = self.span.start + 1 + offset;
                Span { start, end: start + len, ..self.span }
            }
            _ => self.span,
        }
    }

    /// The place of the text without its quotes.
    #[must_use]
    pub fn inner(&self) -> Span {
        self.part(self.value)
    }
}

impl Node {
    /// The string, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<Text<'_>> {
        match &self.value {
            Raw::Text(value, verbatim) => Some(Text { value, span: self.span, verbatim: *verbatim }),
            _ => None,
        }
    }

    /// The table, if it is one.
    #[must_use]
    pub fn as_table(&self) -> Option<&Table> {
        match &self.value {
            Raw::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The word for its type.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match &self.value {
            Raw::Text(..) => "a string",
            Raw::Int(_) => "an integer",
            Raw::Bool(_) => "a boolean",
            Raw::Other(name) => name,
            Raw::List(_) => "an array",
            Raw::Table(_) => "a table",
        }
    }

    /// The string, or a diagnostic.
    pub fn text(&self, diagnostics: &mut Diagnostics) -> Option<Text<'_>> {
        self.as_text().or_else(|| wrong_type(self, "a string", diagnostics))
    }

    /// The table, or a diagnostic.
    pub fn table(&self, diagnostics: &mut Diagnostics) -> Option<&Table> {
        self.as_table().or_else(|| wrong_type(self, "a table", diagnostics))
    }

    /// The boolean, or a diagnostic.
    pub fn bool(&self, diagnostics: &mut Diagnostics) -> Option<bool> {
        match self.value {
            Raw::Bool(value) => Some(value),
            _ => wrong_type(self, "true or false", diagnostics),
        }
    }

    /// The integer, or a diagnostic.
    pub fn int(&self, diagnostics: &mut Diagnostics) -> Option<i64> {
        match self.value {
            Raw::Int(value) => Some(value),
            _ => wrong_type(self, "an integer", diagnostics),
        }
    }

    /// The array, or a diagnostic.
    pub fn list(&self, diagnostics: &mut Diagnostics) -> Option<&[Node]> {
        match &self.value {
            Raw::List(items) => Some(items),
            _ => wrong_type(self, "an array", diagnostics),
        }
    }

    /// An array of strings; what isn't one is reported and left out.
    pub fn texts(&self, diagnostics: &mut Diagnostics) -> Option<Vec<Text<'_>>> {
        let items = self.list(diagnostics)?;
        Some(items.iter().filter_map(|item| item.text(diagnostics)).collect())
    }
}

fn wrong_type<T>(node: &Node, expected: &str, diagnostics: &mut Diagnostics) -> Option<T> {
    let message = format!("expected {expected}, found {}", node.type_name());
    diagnostics.push(Diagnostic::error(code::WRONG_TYPE, message).at(node.span, ""));
    None
}

impl Table {
    /// The entry of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }
}

/// Reads a table's known keys and reports the others when it is finished.
#[derive(Debug)]
pub struct Fields<'n> {
    table: &'n Table,
    known: Vec<&'static str>,
    asked: HashSet<&'static str>,
}

impl<'n> Fields<'n> {
    /// A reader of `table`.
    #[must_use]
    pub fn new(table: &'n Table) -> Self {
        Self { table, known: Vec::new(), asked: HashSet::new() }
    }

    /// The value of a known key.
    pub fn take(&mut self, key: &'static str) -> Option<&'n Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The entry of a known key.
    pub fn entry(&mut self, key: &'static str) -> Option<&'n Entry> {
        self.known.push(key);
        self.asked.insert(key);
        self.table.get(key)
    }

    /// The value of a key that must be there; `owner` is where its absence is shown.
    pub fn require(
        &mut self,
        key: &'static str,
        owner: Span,
        diagnostics: &mut Diagnostics,
    ) -> Option<&'n Node> {
        let node = self.take(key);
        if node.is_none() {
            let message = format!("`{key}` is missing");
            diagnostics.push(Diagnostic::error(code::MISSING, message).at(owner, format!("needs `{key}`")));
        }
        node
    }

    /// Reports every key that nothing asked for.
    pub fn finish(self, diagnostics: &mut Diagnostics) {
        for entry in &self.table.entries {
            if !self.asked.contains(entry.key.as_str()) {
                diagnostics.push(
                    Diagnostic::error(code::UNKNOWN_KEY, format!("unknown key `{}`", entry.key))
                        .at(entry.span, "means nothing here")
                        .nearest(entry.span, &entry.key, self.known.iter().copied()),
                );
            }
        }
    }
}

/// Parses a file. Syntax errors are all reported; what could be read is returned all the same, so that the
/// other mistakes of the file are found in the same run.
pub fn parse(file: u32, text: &str, diagnostics: &mut Diagnostics) -> Table {
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let range = error.span().unwrap_or(0..text.len().min(1));
        let span = span(file, &range);
        diagnostics.push(Diagnostic::error(code::SYNTAX, error.message().to_owned()).at(span, ""));
    }
    table(file, text, root.get_ref())
}

fn span(file: u32, range: &std::ops::Range<usize>) -> Span {
    let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Span { file, start: narrow(range.start), end: narrow(range.end) }
}

fn table(file: u32, text: &str, from: &DeTable<'_>) -> Table {
    let mut entries: Vec<Entry> = from
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            span: span(file, &key.span()),
            value: node(file, text, value),
        })
        .collect();
    entries.sort_by_key(|entry| entry.span.start);
    Table { entries }
}

fn node(file: u32, text: &str, from: &Spanned<DeValue<'_>>) -> Node {
    let range = from.span();
    let value = match from.get_ref() {
        DeValue::String(value) => {
            let literal = text.get(range.start + 1..range.end.saturating_sub(1));
            let verbatim = if literal == Some(value.as_ref()) { Verbatim::Yes } else { Verbatim::No };
            Raw::Text(value.to_string(), verbatim)
        }
        DeValue::Integer(value) => i64::from_str_radix(value.as_str(), value.radix())
            .map_or(Raw::Other("a number out of range"), Raw::Int),
        DeValue::Boolean(value) => Raw::Bool(*value),
        DeValue::Float(_) => Raw::Other("a float"),
        DeValue::Datetime(_) => Raw::Other("a date"),
        DeValue::Array(items) => Raw::List(items.iter().map(|item| node(file, text, item)).collect()),
        DeValue::Table(from) => Raw::Table(table(file, text, from)),
    };
    Node { span: span(file, &range), value }
}

#[cfg(test)]
mod tests {
    use super::super::diagnostic::Style;
    use super::super::{FileKind, SourceFile};
    use super::*;

    #[test]
    fn all_mistakes_of_a_file_come_with_carets_and_a_suggestion() {
        let text = "naem = \"x\"\nports = 3\nlist = [1, \"a b\"]\nbad = \n";
        let mut diagnostics = Diagnostics::default();
        let table = parse(0, text, &mut diagnostics);
        let mut fields = Fields::new(&table);
        assert!(fields.take("name").is_none());
        assert!(fields.take("ports").and_then(|n| n.text(&mut diagnostics)).is_none());
        let list = fields.take("list").and_then(|n| n.texts(&mut diagnostics)).unwrap();
        let b = list[0].value.split(' ').nth(1).unwrap();
        let span = list[0].part(b);
        assert_eq!(text.get(span.start as usize..span.end as usize), Some("b"));
        fields.finish(&mut diagnostics);
        let files = [SourceFile { kind: FileKind::Rules, path: "rules/x.toml".into(), text: text.into() }];
        diagnostics.sort();
        let out = diagnostics.render(&files, Style::Plain);
        for expected in [
            "unknown key `naem`",
            "did you mean `name`?",
            "expected a string, found an integer",
            "rules/x.toml:2:9",
            "GW0001",
        ] {
            assert!(out.contains(expected), "{expected} not in\n{out}");
        }
        assert_eq!(diagnostics.errors(), 5, "{out}");
        // The rest may follow from it, and a log line has room for one.
        assert!(diagnostics.first_line(&files).starts_with("GW0001 rules/x.toml:4:"), "{out}");
        assert!(out.starts_with("error[GW0001]"), "{out}");
    }
}
