//! `gatewarden test`: the documents that rules were made from, held against the rules, cell by cell and sentence by
//! sentence. Each request is decided by the same path as a real one; what a row doesn't state is unknown there too.

mod account;
mod case;
mod table;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use self::account::Account;
use self::table::{Expected, Row, TableFile};
use super::Exit;
use super::load::{Files, print, report, tell};
use crate::config::diagnostic::LineIndex;
use crate::config::{Diagnostics, FileKind, SourceFile, raw};
use crate::control::sources;
use crate::snapshot::Snapshot;

/// Hold test tables against the rules: every cell and sentence of a document
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    files: Files,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// The tables; those in `tests/` beside the rules unless said
    #[arg(value_name = "FILE")]
    tables: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Human,
    Json,
    Junit,
}

/// A row that isn't obeyed.
#[derive(Debug)]
struct Failure {
    /// `rules/tests/connect.toml:17`.
    place: String,
    /// `connect.txt:17 Owner: Yes`.
    says: String,
    /// What was expected and what was found.
    what: String,
}

/// What came of all tables.
#[derive(Debug, Default)]
struct Sum {
    documents: std::collections::BTreeSet<String>,
    cells: usize,
    sentences: usize,
    cases: usize,
    requests: usize,
    failures: Vec<Failure>,
}

/// Tests.
pub fn run(args: &Args) -> Exit {
    let snapshot = match args.files.load() {
        Ok(snapshot) => snapshot,
        Err(exit) => return exit,
    };
    let read = tables(args, &snapshot).and_then(|paths| read(&paths));
    let (sources, mut diagnostics) = match read {
        Ok(sources) => (sources, Diagnostics::default()),
        Err(why) => {
            tell(&format!("error: {why}"));
            return Exit::Environment;
        }
    };
    let lines = LineIndex::of(&sources);
    let mut sum = Sum::default();
    for (file, index) in sources.iter().zip(0..) {
        let root = raw::parse(index, &file.text, &mut diagnostics);
        let table = table::read(&root, &mut diagnostics);
        let Some(app) = snapshot.apps.iter().position(|app| *app.name == *table.app) else {
            let known = snapshot.apps.iter().map(|app| &*app.name).collect::<Vec<_>>().join(", ");
            tell(&format!("error: {}: there is no app `{}`; there are: {known}", file.path, table.app));
            return Exit::Invalid;
        };
        let account = account::account(&table, &mut diagnostics);
        let place = |row: &Row| {
            let line = lines.line_column(row.span).map_or(0, |(line, _)| line);
            format!("{}:{line}", file.path)
        };
        sum.add(&snapshot, app, &table, account, place);
    }
    if diagnostics.errors() > 0 {
        diagnostics.sort();
        report(&diagnostics, &sources);
        return Exit::Invalid;
    }
    print(&match args.format {
        Format::Human => human(&sum),
        Format::Json => machine(&sum),
        Format::Junit => junit(&sum),
    });
    if sum.failures.is_empty() { Exit::Yes } else { Exit::No }
}

impl Sum {
    fn add(
        &mut self,
        snapshot: &Arc<Snapshot>,
        at: usize,
        table: &TableFile,
        account: Account,
        place: impl Fn(&Row) -> String,
    ) {
        self.documents.insert(table.document.clone());
        self.cells += account.cells;
        self.sentences += account.sentences;
        self.cases += account.cases;
        for row in &table.rows {
            let mut wrong = Vec::new();
            for (expected, request) in &row.asked {
                self.requests += 1;
                wrong.extend(judge(snapshot, at, row, *expected, request));
            }
            for name in &row.absent {
                self.requests += 1;
                let app = snapshot.apps.get(at);
                let mut permissions = app.iter().flat_map(|app| app.permissions.iter());
                if let Some((_, own)) = permissions.find(|(_, own)| *own.name == **name) {
                    wrong.push(format!("`{name}` is there, at {}", own.place));
                }
            }
            let lines: Vec<_> = row.lines.iter().map(u32::to_string).collect();
            let says = format!("{}:{} {}", table.document, lines.join(","), row.says);
            let failed =
                wrong.into_iter().map(|what| Failure { place: place(row), says: says.clone(), what });
            self.failures.extend(failed);
        }
    }
}

/// What is wrong about one request.
fn judge(snapshot: &Arc<Snapshot>, at: usize, row: &Row, expected: Expected, request: &str) -> Vec<String> {
    match case::decide(snapshot, at, row, request) {
        Err(why) => vec![why],
        Ok(outcome) if outcome.found != expected => vec![format!(
            "{request}: expected {}, found {} ({})",
            expected.word(),
            outcome.found.word(),
            outcome.why
        )],
        Ok(outcome) => outcome.odd.into_iter().map(|odd| format!("{request}: {odd}")).collect(),
    }
}

/// The tables that are meant, in the order of their names.
fn tables(args: &Args, snapshot: &Snapshot) -> Result<Vec<PathBuf>, String> {
    if !args.tables.is_empty() {
        return Ok(args.tables.clone());
    }
    let directory = sources::parent(&args.files.config).join(&snapshot.gateway.rules).join("tests");
    let shown = directory.display();
    let entries = std::fs::read_dir(&directory).map_err(|why| format!("{shown} can't be read: {why}"))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|ext| ext == "toml")).collect();
    paths.sort();
    if paths.is_empty() { Err(format!("{shown} holds no table")) } else { Ok(paths) }
}

fn read(paths: &[PathBuf]) -> Result<Vec<SourceFile>, String> {
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).map_err(|why| format!("{}: {why}", path.display()))?;
        Ok(SourceFile { kind: FileKind::Rules, path: shown(path).into(), text })
    };
    paths.iter().map(read).collect()
}

/// A path as it is typed from here.
fn shown(path: &Path) -> String {
    path.strip_prefix(".").unwrap_or(path).to_string_lossy().into_owned()
}

fn human(sum: &Sum) -> String {
    let mut text = String::new();
    for Failure { place, says, what } in &sum.failures {
        text.push_str(&format!("FAIL  {what}\n      {says}\n      {place}\n"));
    }
    let documents = sum.documents.len();
    let end = match sum.failures.len() {
        0 => "none skipped, all obeyed".to_owned(),
        failed => format!("none skipped, {failed} not obeyed"),
    };
    text.push_str(&format!(
        "{} cells and {} sentences of {documents} {} checked, in {} cases and {} requests: {end}",
        sum.cells,
        sum.sentences,
        if documents == 1 { "document" } else { "documents" },
        sum.cases,
        sum.requests,
    ));
    text
}

fn machine(sum: &Sum) -> String {
    let failures: Vec<Value> = sum
        .failures
        .iter()
        .map(|own| json!({ "at": own.place, "says": own.says, "what": own.what }))
        .collect();
    let document = json!({
        "schema": "gatewarden.test/1",
        "ok": failures.is_empty(),
        "documents": sum.documents,
        "cells": sum.cells,
        "sentences": sum.sentences,
        "cases": sum.cases,
        "requests": sum.requests,
        "failures": failures,
    });
    format!("{document:#}")
}

fn junit(sum: &Sum) -> String {
    let escaped = |text: &str| {
        text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
    };
    let mut text = format!(
        "<testsuite name=\"gatewarden test\" tests=\"{}\" failures=\"{}\">\n",
        sum.requests,
        sum.failures.len()
    );
    for Failure { place, says, what } in &sum.failures {
        text.push_str(&format!(
            "  <testcase name=\"{}\" file=\"{}\"><failure message=\"{}\"/></testcase>\n",
            escaped(says),
            escaped(place),
            escaped(what)
        ));
    }
    text.push_str("</testsuite>");
    text
}
