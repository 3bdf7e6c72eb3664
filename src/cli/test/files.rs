//! Which tables are meant, and what they hold: files are found, read and understood here.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::Args;
use super::account::{Account, account};
use super::case::Case;
use super::{golden, people, table};
use crate::cli::Exit;
use crate::config::diagnostic::code;
use crate::config::raw::{self, Fields};
use crate::config::{Diagnostic, Diagnostics, FileKind, SourceFile, Sources, Span};
use crate::control::sources;
use crate::snapshot::Snapshot;

/// A file of cases.
#[derive(Debug)]
pub(super) struct Table {
    /// The app that it is about, by index.
    pub app: usize,
    /// The document that it was made from, and how much of that it holds; none where it is in an operator's own words.
    pub document: Option<(String, Account)>,
    /// Its cases.
    pub cases: Vec<Case>,
    /// The golden tables that it names.
    golden: Vec<golden::Wanted>,
}

/// Everything that is held against the rules.
#[derive(Debug)]
pub(super) struct Gathered {
    /// The tables' files in their order, then the others that mistakes may stand in.
    pub sources: Vec<SourceFile>,
    /// The tables.
    pub tables: Vec<Table>,
    /// The golden ones.
    pub golden: Vec<golden::Read>,
}

/// Why there are no tables, and how the verb ends.
#[derive(Debug)]
pub(super) struct Unread {
    pub text: String,
    pub exit: Exit,
}

/// The directory beside the rules.
pub(super) fn directory(config: &Path) -> PathBuf {
    let rules = sources::peek(config).map(|config| config.rules).unwrap_or_default();
    rules.join("tests")
}

/// Reads and understands everything that is meant; mistakes in files are reported.
pub(super) fn gather(
    args: &Args,
    snapshot: &Snapshot,
    rules: Sources,
    diagnostics: &mut Diagnostics,
) -> Result<Gathered, Unread> {
    let usage = |text| Unread { text, exit: Exit::Usage };
    let mut sources = read(&paths(args)?)?;
    let tables = parse(&sources, snapshot, diagnostics);
    sources.extend(rules.files);
    let app = args.app.as_deref().map(|name| golden::app(snapshot, name)).transpose().map_err(usage)?;
    let typed = args.golden.iter().map(|path| golden::Wanted {
        path: path.clone(),
        app,
        table: args.table,
        line: args.line,
    });
    let wanted: Vec<golden::Wanted> =
        typed.chain(tables.iter().flat_map(|table| table.golden.iter().cloned())).collect();
    let read = |own: &golden::Wanted| golden::read(own, snapshot, &mut sources, diagnostics);
    let golden = wanted.iter().map(read).collect::<Result<Vec<_>, Unread>>()?;
    Ok(Gathered { sources, tables, golden })
}

/// The tables that are meant, in the order of their names.
fn paths(args: &Args) -> Result<Vec<PathBuf>, Unread> {
    if !args.tables.is_empty() || !args.golden.is_empty() {
        return Ok(args.tables.clone());
    }
    let directory = directory(&args.files.config);
    let shown = directory.display();
    let nothing =
        || Unread { text: format!("no test was run: `{shown}` holds no table (*.toml)"), exit: Exit::No };
    let entries = std::fs::read_dir(&directory).map_err(|why| match why.kind() {
        ErrorKind::NotFound => nothing(),
        _ => Unread { text: format!("`{shown}` can't be read: {why}"), exit: Exit::Environment },
    })?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|ext| ext == "toml")).collect();
    paths.sort();
    if paths.is_empty() { Err(nothing()) } else { Ok(paths) }
}

/// Reads them.
fn read(paths: &[PathBuf]) -> Result<Vec<SourceFile>, Unread> {
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path)
            .map_err(|why| Unread { text: format!("{}: {why}", path.display()), exit: Exit::Environment })?;
        Ok(SourceFile { kind: FileKind::Rules, path: shown(path).into(), text })
    };
    paths.iter().map(read).collect()
}

/// A path as it is typed from here.
fn shown(path: &Path) -> String {
    path.strip_prefix(".").unwrap_or(path).to_string_lossy().into_owned()
}

/// Understands them; every mistake of every file is reported.
fn parse(files: &[SourceFile], snapshot: &Snapshot, diagnostics: &mut Diagnostics) -> Vec<Table> {
    files.iter().zip(0..).map(|(file, index)| one(index, file, snapshot, diagnostics)).collect()
}

fn one(index: u32, file: &SourceFile, snapshot: &Snapshot, diagnostics: &mut Diagnostics) -> Table {
    let root = raw::parse(index, &file.text, diagnostics);
    let mut fields = Fields::new(&root);
    let start = Span { file: index, start: 0, end: 0 };
    let whole = root.entries.first().map_or(start, |entry| entry.span);
    let name = fields.require("app", whole, diagnostics).and_then(|node| node.text(diagnostics));
    let app = name.and_then(|name| {
        let found = snapshot.apps.iter().position(|app| *app.name == *name.value);
        if found.is_none() {
            let names = snapshot.apps.iter().map(|app| &*app.name);
            let mistake = Diagnostic::error(code::UNKNOWN_APP, format!("there is no app `{}`", name.value));
            diagnostics.push(mistake.at(name.inner(), "no rule file is for it").nearest(
                name.inner(),
                name.value,
                names,
            ));
        }
        found
    });
    let own = app.and_then(|at| snapshot.apps.get(at));
    let golden = golden::named(fields.take("golden"), Path::new(&*file.path), app, diagnostics);
    let is_document = ["document", "cell", "sentence"].iter().any(|key| root.get(key).is_some());
    let (document, cases) = if is_document {
        let document = table::read(&root, &mut fields, own, diagnostics);
        let account = account(&document, diagnostics);
        let cases = document.rows.into_iter().flat_map(|row| row.cases).collect();
        (Some((document.name, account)), cases)
    } else {
        (None, people::read(&mut fields, own, diagnostics))
    };
    fields.finish(diagnostics);
    Table { app: app.unwrap_or(usize::MAX), document, cases, golden }
}
