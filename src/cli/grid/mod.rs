//! Tables as verbs print them: for a terminal, in Markdown, as CSV and as a page. A cell is words, each perhaps under
//! conditions, which become footnotes; beneath stands what the conditions mean. What goes into a table is the verb's
//! business, and so is its JSON.

mod html;

use std::fmt::Write as _;

use crate::analysis::words;
use crate::policy::App;

/// How a verb prints its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For a terminal.
    #[value(alias = "human")]
    Table,
    /// Markdown.
    Md,
    /// Comma-separated values: conditions stand in the cells, so that a difference shows where it is
    Csv,
    /// A JSON document.
    Json,
    /// One page that needs no other file.
    Html,
}

/// One table.
#[derive(Clone, Debug, Default)]
pub(super) struct Grid {
    title: String,
    head: Vec<String>,
    /// Columns, by index, whose cells stand under each other by their ends.
    right: Vec<usize>,
    rows: Vec<Vec<Cell>>,
    meanings: Vec<(String, String)>,
}

/// What stands where a row crosses a column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    words: Vec<Word>,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    text: String,
    /// The conditions that it is under: `if own, reader`.
    under: Option<String>,
}

/// What a cell says, for where colours help.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Plain,
    Yes,
    No,
    Under,
}

impl Cell {
    /// Words that are no answer.
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self { words: vec![Word { text: text.into(), under: None }], kind: Kind::Plain }
    }

    /// A no, however it is said.
    pub(super) fn no(text: impl Into<String>) -> Self {
        Self { kind: Kind::No, ..Self::text(text) }
    }

    /// A yes, under no condition.
    pub(super) fn yes(text: impl Into<String>) -> Self {
        Self { kind: Kind::Yes, ..Self::text(text) }
    }

    /// A yes under conditions, said as `if own, reader` or `if home, or if reader`.
    pub(super) fn under(text: impl Into<String>, conditions: impl Into<String>) -> Self {
        let word = Word { text: text.into(), under: Some(conditions.into()) };
        Self { words: vec![word], kind: Kind::Under }
    }

    /// Both cells' words in one; it is under a condition if one of them is.
    pub(super) fn and(mut self, other: Self) -> Self {
        if self.kind == Kind::Plain || other.kind == Kind::Under {
            self.kind = other.kind;
        }
        self.words.extend(other.words);
        self
    }

    fn shown(&self, notes: &mut Footnotes) -> String {
        let word = |word: &Word, notes: &mut Footnotes| match &word.under {
            None => word.text.clone(),
            Some(under) => format!("{}({})", word.text, letters(notes.mark(under))),
        };
        self.words.iter().map(|own| word(own, notes)).collect::<Vec<_>>().join(" ")
    }

    /// The words with their conditions, which need no footnote.
    fn spelled(&self) -> String {
        let word = |word: &Word| match &word.under {
            None => word.text.clone(),
            Some(under) => format!("{} {under}", word.text),
        };
        self.words.iter().map(word).collect::<Vec<_>>().join("; ")
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl Grid {
    /// A table without rows.
    pub(super) fn new<H: Into<String>>(title: impl Into<String>, head: impl IntoIterator<Item = H>) -> Self {
        let head = head.into_iter().map(Into::into).collect();
        Self { title: title.into(), head, ..Self::default() }
    }

    /// Whether it has no row.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Says which columns, by index, stand under each other by their ends.
    pub(super) fn right(mut self, columns: &[usize]) -> Self {
        self.right = columns.to_vec();
        self
    }

    /// Adds a row.
    pub(super) fn row<C: Into<Cell>>(&mut self, cells: impl IntoIterator<Item = C>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Adds what the conditions mean that its cells are under, by their names.
    pub(super) fn meanings<'n>(&mut self, app: &App, names: impl IntoIterator<Item = &'n str>) {
        let names: Vec<&str> = names.into_iter().collect();
        let is_named =
            |index: &usize| app.conditions.get(*index).is_some_and(|own| names.contains(&&*own.name));
        let defined = words::defined(app, (0..app.conditions.len()).filter(is_named));
        self.meanings.extend(defined.into_iter().map(|own| (own.name.to_string(), own.text)));
    }
}

/// Prints tables one below the other; JSON is the verb's own.
pub(super) fn render(format: Format, grids: &[Grid]) -> String {
    let many = grids.len() > 1;
    let each = |one: fn(&Grid, bool) -> String| {
        grids.iter().map(|grid| one(grid, many)).collect::<Vec<_>>().join("\n").trim_end().to_owned()
    };
    match format {
        Format::Table => each(table),
        Format::Md => each(markdown),
        Format::Csv => each(csv),
        Format::Html => html::page(grids),
        Format::Json => String::new(),
    }
}

/// Conditions that cells refer to by a letter.
#[derive(Default)]
struct Footnotes(Vec<String>);

impl Footnotes {
    /// The number of a note, which is made where there is none yet.
    fn mark(&mut self, under: &str) -> usize {
        self.0.iter().position(|own| own == under).unwrap_or_else(|| {
            self.0.push(under.to_owned());
            self.0.len() - 1
        })
    }

    fn lines(&self) -> impl Iterator<Item = (String, &str)> {
        self.0.iter().enumerate().map(|(at, text)| (letters(at), text.as_str()))
    }
}

/// a … z, aa, ab …
fn letters(mut at: usize) -> String {
    let mut letters = String::new();
    loop {
        letters.insert(0, char::from(b'a' + u8::try_from(at % 26).unwrap_or(0)));
        match (at / 26).checked_sub(1) {
            Some(next) => at = next,
            None => return letters,
        }
    }
}

// Writing to a String can't fail, so what `write!` answers is dropped below.

fn table(grid: &Grid, _many: bool) -> String {
    let mut notes = Footnotes::default();
    let mut lines: Vec<Vec<String>> = vec![grid.head.clone()];
    lines.extend(grid.rows.iter().map(|row| row.iter().map(|cell| cell.shown(&mut notes)).collect()));
    let widths: Vec<usize> = (0..grid.head.len())
        .map(|column| {
            lines.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    lines.insert(1, widths.iter().map(|width| "-".repeat(*width)).collect());
    let mut text = if grid.title.is_empty() { String::new() } else { format!("{}\n", grid.title) };
    for row in &lines {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if grid.right.contains(&column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    for (letter, note) in notes.lines() {
        let _ = writeln!(text, "{letter}: {note}");
    }
    if !grid.meanings.is_empty() {
        text.push('\n');
    }
    for (name, meaning) in &grid.meanings {
        let _ = writeln!(text, "{name}: {meaning}");
    }
    text
}

fn markdown(grid: &Grid, many: bool) -> String {
    let mut notes = Footnotes::default();
    let mut text = String::new();
    if many && !grid.title.is_empty() {
        let _ = writeln!(text, "## {}\n", in_markdown(&grid.title));
    }
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    text.push_str(&line(grid.head.iter().map(|cell| in_markdown(cell)).collect()));
    let rule = (0..grid.head.len()).map(|column| if grid.right.contains(&column) { "--:|" } else { "---|" });
    let _ = writeln!(text, "|{}", rule.collect::<String>());
    for row in &grid.rows {
        text.push_str(&line(row.iter().map(|cell| in_markdown(&cell.shown(&mut notes))).collect()));
    }
    for (letter, note) in notes.lines() {
        let _ = writeln!(text, "\n{letter}: {}", in_markdown(note));
    }
    if !grid.meanings.is_empty() {
        text.push('\n');
    }
    for (name, meaning) in &grid.meanings {
        let _ = writeln!(text, "- {}: `{meaning}`", in_markdown(name));
    }
    text
}

/// What ends a cell or begins something else than text is written so that it doesn't.
fn in_markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for own in text.chars() {
        match own {
            '|' | '\\' | '`' | '*' | '<' | '[' => out.extend(['\\', own]),
            '\n' | '\r' => out.push(' '),
            own => out.push(own),
        }
    }
    out
}

fn csv(grid: &Grid, many: bool) -> String {
    let quoted = |cell: &str| format!("\"{}\"", cell.replace('"', "\"\""));
    let first = many.then(|| quoted(&grid.title));
    let line = |cells: Vec<String>| {
        let cells: Vec<String> = first.iter().cloned().chain(cells).collect();
        format!("{}\n", cells.join(","))
    };
    let mut text = line(grid.head.iter().map(|cell| quoted(cell)).collect());
    for row in &grid.rows {
        text.push_str(&line(row.iter().map(|cell| quoted(&cell.spelled())).collect()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        let mut grid = Grid::new("desk", ["Resource", "a|b", "<b>"]).right(&[1]);
        grid.row([Cell::from("x\"y"), Cell::yes("view").and(Cell::under("manage", "if own")), Cell::no("-")]);
        grid.row([Cell::from("z"), Cell::no("-"), Cell::under("view", "if own")]);
        grid.meanings.push(("own".to_owned(), "call.creator = token.oid".to_owned()));
        grid
    }

    #[test]
    fn conditions_become_footnotes_and_are_spelled_out_in_csv() {
        let text = render(Format::Table, &[grid()]);
        assert_eq!(
            text,
            "desk\nResource             a|b  <b>\n--------  --------------  -------\nx\"y       view manage(a)  -\n\
             z                      -  view(a)\na: if own\n\nown: call.creator = token.oid"
        );
        let csv = render(Format::Csv, &[grid()]);
        assert_eq!(
            csv,
            "\"Resource\",\"a|b\",\"<b>\"\n\"x\"\"y\",\"view; manage if own\",\"-\"\n\"z\",\"-\",\"view if own\""
        );
        let md = render(Format::Md, &[grid()]);
        assert!(
            md.starts_with("| Resource | a\\|b | \\<b> |\n|---|--:|---|\n| x\"y | view manage(a) | - |"),
            "{md}"
        );
        assert!(md.ends_with("\na: if own\n\n- own: `call.creator = token.oid`"), "{md}");
    }

    #[test]
    fn a_page_holds_nothing_that_a_name_could_open() {
        let mut grid = Grid::new("<script>alert(1)</script>", ["\"onload=x", "&amp;"]);
        grid.row([Cell::from("<img src=x>"), Cell::under("view'", "if <b>")]);
        let page = render(Format::Html, &[grid.clone(), grid]);
        for open in ["<script", "<img", "<b>", "\"onload"] {
            assert!(!page.contains(open), "{open} in\n{page}");
        }
        assert!(page.contains("&amp;amp;") && page.contains("&lt;img src=x&gt;"), "{page}");
        assert!(page.contains("href=\"#n2-a\"") && page.contains("id=\"n2-a\""), "{page}");
    }

    #[test]
    fn letters_go_on_after_z() {
        assert_eq!([0, 25, 26, 27, 52, 702].map(letters), ["a", "z", "aa", "ab", "ba", "aaa"]);
    }
}
