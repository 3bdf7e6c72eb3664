//! `gatewarden test`: tables held against the rules. Some are made from documents, cell by cell and sentence by sentence;
//! some are an operator's own, people by requests; and golden ones are a vendor's table as it was published. Each request
//! is decided by the same path as a real one; what a table doesn't state is unknown there too.

mod account;
mod answer;
mod case;
mod files;
mod filter;
mod golden;
mod people;
mod print;
mod stated;
mod sum;
mod table;
mod watch;

use std::path::PathBuf;

use self::files::{Gathered, Table};
use self::filter::Filter;
use self::sum::{Suite, Sum, Test};
use super::Exit;
use super::load::{Files, print, report, tell};
use crate::config::diagnostic::LineIndex;
use crate::config::{Diagnostics, SourceFile};
use crate::snapshot::Snapshot;

/// Hold tables against the rules: who may do what, as a document or you yourself say it
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    files: Files,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Only some: `role=agent,request=/cim/`; also app= and file=
    #[arg(long, value_name = "KIND=VALUE,…")]
    filter: Option<String>,
    /// List the grants, requirements and obligations that no case tried
    #[arg(long, conflicts_with = "filter")]
    uncovered: bool,
    /// Fail if less than this part of them was tried, such as 90%
    #[arg(long, value_name = "N%", value_parser = percent, conflicts_with = "filter")]
    fail_under: Option<usize>,
    /// Run again whenever the rules or the tables change
    #[arg(long)]
    watch: bool,
    /// Hold a vendor's own table of roles, in Markdown or CSV, against the rules; repeatable
    #[arg(long, value_name = "TABLE")]
    golden: Vec<PathBuf>,
    /// The app that the golden table is about; the one whose names it has, unless said
    #[arg(long, value_name = "APP", requires = "golden")]
    app: Option<String>,
    /// Which table of the golden file, counted from 1
    #[arg(long, value_name = "N", requires = "golden")]
    table: Option<usize>,
    /// A line that the golden table stands in
    #[arg(long, value_name = "N", requires = "golden")]
    line: Option<usize>,
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

fn percent(typed: &str) -> Result<usize, String> {
    let number = typed.strip_suffix('%').unwrap_or(typed).trim().parse().ok();
    number
        .filter(|number| *number <= 100)
        .ok_or_else(|| "expected a number up to 100, such as 90%".to_owned())
}

/// Tests.
pub fn run(args: &Args) -> Exit {
    let filter = match args.filter.as_deref().map(Filter::parse).transpose() {
        Ok(filter) => filter.unwrap_or_default(),
        Err(why) => {
            tell(&format!("error: {why}"));
            return Exit::Usage;
        }
    };
    if args.watch { watch::run(args, &filter) } else { once(args, &filter) }
}

fn once(args: &Args, filter: &Filter) -> Exit {
    let (snapshot, rules) = match args.files.load_all() {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let mut diagnostics = Diagnostics::default();
    let gathered = files::gather(args, &snapshot, rules, &mut diagnostics);
    let Gathered { sources, tables, golden } = match gathered {
        Ok(gathered) => gathered,
        Err(why) => {
            tell(&format!("error: {}", why.text));
            return why.exit;
        }
    };
    if diagnostics.errors() > 0 {
        diagnostics.sort();
        report(&diagnostics, &sources);
        return Exit::Invalid;
    }
    let mut sum = Sum { partial: !filter.is_empty(), ..Sum::default() };
    let lines = LineIndex::of(&sources);
    for (table, file) in tables.iter().zip(&sources) {
        hold(&snapshot, table, file, (&lines, filter), &mut sum);
    }
    golden::hold(&snapshot, &golden, &sources, (&lines, filter), &mut sum);
    let alone = !args.golden.is_empty() && tables.is_empty();
    if filter.is_empty() && !alone {
        sum.count_coverage(&snapshot);
    }
    match args.format {
        Format::Human if sum.tests() == 0 => {}
        Format::Human => print(&print::human(&sum, args.uncovered)),
        Format::Json => print(&print::machine(&sum)),
        Format::Junit => print(&print::junit(&sum)),
    }
    judge(args, filter, &sum)
}

/// Runs a file's cases.
fn hold(
    snapshot: &std::sync::Arc<Snapshot>,
    table: &Table,
    file: &SourceFile,
    (lines, filter): (&LineIndex<'_>, &Filter),
    sum: &mut Sum,
) {
    let Some(app) = snapshot.apps.get(table.app) else { return };
    match &table.document {
        Some((document, account)) => {
            sum.documents.insert(document.clone());
            sum.cells += account.cells;
            sum.sentences += account.sentences;
            sum.cases += account.cases;
            sum.requests += table.cases.len();
        }
        None if table.cases.is_empty() => {}
        None => {
            sum.tables += 1;
            sum.answers += table.cases.len();
        }
    }
    let mut suite = Suite { path: file.path.to_string(), app: app.name.to_string(), tests: Vec::new() };
    for case in table.cases.iter().filter(|case| filter.takes(&file.path, app, case)) {
        let done = case.run(snapshot, table.app);
        sum.try_parts(done.tried);
        suite.tests.push(Test {
            name: case.name.clone(),
            request: case.request().to_owned(),
            says: case.says.clone(),
            line: lines.line_column(case.span).map_or(0, |(line, _)| line),
            wrong: done.wrong,
        });
    }
    if !suite.tests.is_empty() {
        sum.suites.push(suite);
    }
}

/// Whether all is well: something was run, nothing failed, and enough was tried.
fn judge(args: &Args, filter: &Filter, sum: &Sum) -> Exit {
    if sum.tests() == 0 {
        let why = if filter.is_empty() { "the tables hold no case" } else { "no case is as the filter says" };
        tell(&format!("error: no test was run: {why}"));
        return Exit::No;
    }
    let percent = sum.coverage.as_ref().map_or(100, sum::Coverage::percent);
    if let Some(wanted) = args.fail_under.filter(|wanted| percent < *wanted) {
        tell(&format!("error: {percent} % was tried, and {wanted} % must be; --uncovered lists the rest"));
        return Exit::No;
    }
    if sum.failed().next().is_none() { Exit::Yes } else { Exit::No }
}
