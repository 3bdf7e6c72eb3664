//! Golden tables: a vendor's own table of who may do what, as it was published, held against the rules cell by cell.

mod hold;
mod names;
mod reading;
mod says;
mod sheet;
mod verbs;
mod word;

use std::path::{Path, PathBuf};

use self::hold::{Holder, Placed};
use self::names::Names;
use self::reading::Reading;
use self::says::Said;
use self::sheet::Sheet;
use super::files::Unread;
use super::filter::Filter;
use super::sum::{Golden, Suite, Sum};
use crate::cli::Exit;
use crate::config::diagnostic::{LineIndex, code};
use crate::config::raw::{self, Table};
use crate::config::{Diagnostic, Diagnostics, FileKind, SourceFile, Span};
use crate::snapshot::Snapshot;

/// A golden table that is to be held.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// The file.
    pub path: PathBuf,
    /// The app, by index; the one whose names it has, unless said.
    pub app: Option<usize>,
    /// Which of the file's tables, counted from 1; all of them unless said.
    pub table: Option<usize>,
    /// A line that it stands in.
    pub line: Option<usize>,
}

/// A golden table that was read.
#[derive(Debug)]
pub(super) struct Read {
    app: usize,
    file: usize,
    reading: Option<Table>,
    /// Where each begins, the line after its last, and what it says.
    tables: Vec<(Span, usize, Said)>,
    whole: bool,
}

/// Reads a file; it is added to `files`, and the app's rule file is among them already. The error is a sentence.
pub(super) fn read(
    wanted: &Wanted,
    snapshot: &Snapshot,
    files: &mut Vec<SourceFile>,
    diagnostics: &mut Diagnostics,
) -> Result<Read, Unread> {
    let shown = wanted.path.display().to_string();
    let text = std::fs::read_to_string(&wanted.path)
        .map_err(|why| Unread { text: format!("{shown}: {why}"), exit: Exit::Environment })?;
    understood(wanted, (shown, text), snapshot, files, diagnostics)
        .map_err(|text| Unread { text, exit: Exit::Invalid })
}

fn understood(
    wanted: &Wanted,
    (shown, text): (String, String),
    snapshot: &Snapshot,
    files: &mut Vec<SourceFile>,
    diagnostics: &mut Diagnostics,
) -> Result<Read, String> {
    let index = u32::try_from(files.len()).unwrap_or(u32::MAX);
    let sheets = sheet::read(index, &shown, &text);
    files.push(SourceFile { kind: FileKind::Rules, path: shown.as_str().into(), text });
    if sheets.is_empty() {
        return Err(format!(
            "{shown} holds no table: a head, a line of dashes, and rows, with bars between cells"
        ));
    }
    let all = sheets.len();
    let sheets = chosen(sheets, wanted);
    if sheets.is_empty() {
        return Err(format!("{shown} holds {all} tables, and none is the one that was asked for"));
    }
    let app = match wanted.app {
        Some(app) => app,
        None => whose(&sheets, snapshot, files).map_err(|why| format!("{shown}: {why}"))?,
    };
    let reading = reading_of(snapshot, app, files);
    let Some(own) = snapshot.apps.get(app) else { return Err("there is no such app".to_owned()) };
    let names = Names::of(own, reading.as_ref());
    let tables = sheets.iter().map(|sheet| {
        let head = sheet.head.first().map_or(Span { file: index, start: 0, end: 0 }, |own| own.span);
        (head, sheet.end, says::read(sheet, &names, diagnostics))
    });
    let tables: Vec<_> = tables.collect();
    let whole = wanted.table.is_none() && wanted.line.is_none();
    Ok(Read { app, file: files.len() - 1, reading, tables, whole })
}

fn chosen(sheets: Vec<Sheet>, wanted: &Wanted) -> Vec<Sheet> {
    let numbered = (1..).zip(sheets);
    let is_it = |(number, sheet): &(usize, Sheet)| {
        wanted.table.is_none_or(|own| own == *number)
            && wanted.line.is_none_or(|line| (sheet.line..sheet.end).contains(&line))
    };
    numbered.filter(is_it).map(|(_, sheet)| sheet).collect()
}

/// The one app whose names stand in a table.
fn whose(sheets: &[Sheet], snapshot: &Snapshot, files: &[SourceFile]) -> Result<usize, String> {
    let knows = |index: &usize| {
        let Some(app) = snapshot.apps.get(*index) else { return false };
        let reading = reading_of(snapshot, *index, files);
        let names = Names::of(app, reading.as_ref());
        let mut odd = Diagnostics::default();
        sheets.iter().for_each(|sheet| {
            says::read(sheet, &names, &mut odd);
        });
        odd.errors() == 0
    };
    let found: Vec<usize> = (0..snapshot.apps.len()).filter(knows).collect();
    let named = |found: &[usize]| {
        let names = found.iter().filter_map(|index| snapshot.apps.get(*index)).map(|app| &*app.name);
        names.collect::<Vec<_>>().join(", ")
    };
    match found.as_slice() {
        [one] => Ok(*one),
        [] => Err("no app has all the names of the table; --app says whose it is, and then what is unknown"
            .to_owned()),
        several => Err(format!("it may be about {}; --app says which", named(several))),
    }
}

/// What an app's file says under `[reading]`.
fn reading_of(snapshot: &Snapshot, app: usize, files: &[SourceFile]) -> Option<Table> {
    let name = &snapshot.apps.get(app)?.name;
    files.iter().zip(0..).find_map(|(file, index)| {
        let root = raw::parse(index, &file.text, &mut Diagnostics::default());
        let own = root.get("app").and_then(|entry| entry.value.as_text().map(|text| *text.value == **name));
        let is_rules = own == Some(true) && (root.get("issuer").is_some());
        is_rules.then(|| root.get("reading").and_then(|entry| entry.value.as_table().cloned()))
    })?
}

/// Holds what was read against the rules: all of an app together, so that a departure may stand in any of its tables.
pub(super) fn hold(
    snapshot: &Snapshot,
    all: &[Read],
    files: &[SourceFile],
    (lines, filter): (&LineIndex<'_>, &Filter),
    sum: &mut Sum,
) {
    for (index, app) in snapshot.apps.iter().enumerate() {
        let own: Vec<&Read> = all.iter().filter(|own| own.app == index).collect();
        let Some(first) = own.first() else { continue };
        let names = Names::of(app, first.reading.as_ref());
        let reading = Reading::of(first.reading.as_ref(), &names);
        let mut holder = Holder::new(snapshot, index, &names, &reading);
        let mut suites: Vec<(usize, Vec<Placed>)> = Vec::new();
        for read in &own {
            let text = files.get(read.file).map_or("", |file| &file.text);
            let before = holder.used.len();
            let tests: Vec<Placed> = read
                .tables
                .iter()
                .flat_map(|(head, end, said)| holder.hold(said, *head, &|mark| has_note(text, *end, mark)))
                .collect();
            let held = tests.iter().filter(|(_, test)| test.wrong.is_empty()).count();
            let path = files.get(read.file).map_or_else(String::new, |file| file.path.to_string());
            let departures = holder.used.len() - before;
            sum.golden.push(Golden { path, cells: tests.len(), held, departures });
            suites.push((read.file, tests));
        }
        let stale = holder.stale(own.iter().all(|read| read.whole));
        let at = stale.first().map(|(span, _)| span.file as usize);
        suites.extend(at.map(|at| (at, stale)));
        holder.tried.drain(..).for_each(|tried| sum.try_parts(Some(tried)));
        for (file, tests) in suites {
            let path = files.get(file).map_or_else(String::new, |file| file.path.to_string());
            let meant = tests.into_iter().filter(|(_, test)| filter.takes_cell(&path, app, &test.name));
            let placed = meant.map(|(span, mut test)| {
                test.line = lines.line_column(span).map_or(0, |(line, _)| line);
                test
            });
            let tests: Vec<_> = placed.collect();
            if !tests.is_empty() {
                sum.suites.push(Suite { path, app: app.name.to_string(), tests });
            }
        }
    }
}

/// Whether a mark is explained behind the line where its table ends: a line begins with it, as notes are written.
fn has_note(text: &str, end: usize, mark: &str) -> bool {
    text.lines().skip(end.saturating_sub(1)).any(|line| !line.contains('|') && is_note(line.trim(), mark))
}

/// `[1] …`, `[^1]: …`, `(a) …`, `<sup>a</sup> …`, `\* …`, `1. …`; not a word that begins with the letter, nor an item of a list.
fn is_note(line: &str, mark: &str) -> bool {
    // Of a star and a space every list is made.
    if line.strip_prefix(mark).is_some_and(|rest| mark.starts_with(['*', '-', '+']) && rest.starts_with(' '))
    {
        return false;
    }
    let bare = line.trim_start_matches([' ', '>', '<', '[', '^', '(', '\\']).trim_start_matches("sup>");
    let Some(rest) = bare.trim_start_matches("- ").strip_prefix(mark) else { return false };
    let is_letter = mark.chars().all(char::is_alphabetic);
    let ends = [']', ')', ':', '.'].iter().any(|own| rest.starts_with(*own)) || rest.starts_with("</sup>");
    let says = rest.trim_start_matches("</sup>").chars().any(char::is_alphanumeric);
    says && (ends || !is_letter && rest.starts_with(' '))
}

/// The golden tables that a table file names, relative to its directory.
pub(super) fn named(
    node: Option<&raw::Node>,
    file: &Path,
    app: Option<usize>,
    diagnostics: &mut Diagnostics,
) -> Vec<Wanted> {
    let texts = node.and_then(|node| node.texts(diagnostics)).unwrap_or_default();
    let directory = file.parent().unwrap_or(Path::new("")).to_owned();
    let mut wanted = Vec::new();
    for text in texts {
        let path = directory.join(text.value);
        if !path.is_file() {
            let message = format!("`{}` isn't there", path.display());
            diagnostics
                .push(Diagnostic::error(code::UNREADABLE, message).at(text.inner(), "beside this file"));
            continue;
        }
        wanted.push(Wanted { path, app, table: None, line: None });
    }
    wanted
}

/// The app that was named; the error is a sentence.
pub(super) fn app(snapshot: &Snapshot, name: &str) -> Result<usize, String> {
    let names = snapshot.apps.iter().map(|app| &*app.name);
    let at = snapshot.apps.iter().position(|app| *app.name == *name);
    at.ok_or_else(|| crate::cli::hypothesis::unknown(&format!("there is no app `{name}`"), name, names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_note_behind_the_table_explains_a_mark() {
        let text = "a) above\n| x | y |\n|---|---|\n| z | Yes(a) |\nafter all\n* an item\n";
        assert!(!has_note(text, 5, "a") && !has_note(text, 5, "*"));
        let notes = [
            ("a", "<sup>a</sup> own ones"),
            ("a", "(a) own"),
            ("1", "1. own"),
            ("1", "[^1]: own"),
            ("*", "\\* own"),
        ];
        for (mark, note) in notes {
            assert!(has_note(&format!("{text}{note}\n"), 5, mark), "{note}");
        }
        assert!(!has_note("a) own", usize::MAX, "a"));
    }
}
