//! `gatewarden check`: parse, link, lint, read the certificates and secrets that are named, and run what the files expect of
//! themselves; every mistake in one run, for a person or for a machine. Nothing is applied.

mod fix;
mod github;
mod junit;
mod live;
mod machine;
mod sarif;

use std::collections::BTreeSet;

use super::Exit;
use super::hypothesis::now;
use super::load::{self, Files, print, tell};
use crate::analysis::lint::Weight;
use crate::config::diagnostic::{LineIndex, Severity, code};
use crate::config::{Carried, Diagnostic, Diagnostics, Sources, Span, compile, lint};
use crate::control::{provision, sources};
use crate::policy::Access;
use crate::snapshot::Snapshot;

/// Check gateway.toml and every rule file; all mistakes of all files are reported.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    files: Files,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Also tell what is worth reading once and as a rule is meant so
    #[arg(long)]
    all: bool,
    /// Exit with 3 for these, too
    #[arg(long, value_enum, value_name = "WHAT")]
    deny: Option<Deny>,
    /// Leave alone the certificates, keys and secrets that the files name
    #[arg(long)]
    offline: bool,
    /// Write the suggested edits that can't let anyone do more, and show them
    #[arg(long)]
    fix: bool,
    /// Show what `--fix` would write, and write nothing
    #[arg(long, requires = "fix")]
    dry_run: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Human,
    /// gatewarden.check/1
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// GitHub workflow commands
    Github,
    Junit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Deny {
    Warnings,
    Notes,
}

/// What a check came to.
struct Checked {
    sources: Sources,
    /// Mistakes, or remarks.
    told: Diagnostics,
    /// How many remarks were kept back.
    kept: usize,
    snapshot: Option<Snapshot>,
    exit: Exit,
}

/// Checks.
pub fn run(args: &Args) -> Exit {
    if args.fix {
        let exit = fix::run(args);
        if exit != Exit::Yes || args.dry_run {
            return exit;
        }
    }
    let checked = check(args);
    match args.format {
        Format::Human => human(args, &checked),
        Format::Json => print(&machine::document(&checked)),
        Format::Sarif => print(&sarif::document(&checked)),
        Format::Github => print(github::commands(&checked).trim_end()),
        Format::Junit => print(junit::document(&checked, args.deny).trim_end()),
    }
    checked.exit
}

fn check(args: &Args) -> Checked {
    let sources = match sources::read_steady(&args.files.config, std::thread::sleep) {
        Ok(sources) => sources,
        Err(told) => {
            let exit = Exit::refused(&told);
            return Checked { sources: Sources::default(), told, kept: 0, snapshot: None, exit };
        }
    };
    let outcome = compile(&sources, Carried::nothing_at(now())).and_then(|compiled| {
        if args.offline {
            return Ok(compiled);
        }
        provision::read_all(&sources, &compiled.snapshot.gateway, now()).map(|()| compiled)
    });
    let compiled = match outcome {
        Ok(compiled) => compiled,
        Err(told) => {
            let exit = Exit::refused(&told);
            return Checked { sources, told, kept: 0, snapshot: None, exit };
        }
    };
    let mut told = compiled.remarks;
    let mut kept = 0;
    for (weight, remark) in lint::remarks(&sources, &compiled.snapshot) {
        if weight == Weight::Reading && !args.all {
            kept += 1;
        } else {
            told.push(remark);
        }
    }
    let promoting = sources::broken_off(&args.files.config);
    if !promoting.is_empty() {
        let message = format!(
            "a promotion was broken off: edits of {} don't count until `gatewarden promote` ends it",
            promoting.join(", ")
        );
        told.push(Diagnostic::warning(code::UNREADABLE, message));
    }
    told.sort();
    let denied = told.iter().any(|own| is_denied(args.deny, own.severity));
    let exit = if denied { Exit::Invalid } else { Exit::Yes };
    Checked { sources, told, kept, snapshot: Some(compiled.snapshot), exit }
}

/// Whether something of this severity is as bad as a mistake.
fn is_denied(deny: Option<Deny>, severity: Severity) -> bool {
    match (severity, deny) {
        (Severity::Error, _) => true,
        (Severity::Warning, deny) => deny.is_some(),
        (Severity::Note, deny) => deny == Some(Deny::Notes),
    }
}

fn human(args: &Args, checked: &Checked) {
    let (sources, told) = (&checked.sources, &checked.told);
    if !told.is_empty() {
        load::report_all(told, &sources.files, args.all);
        tell("");
    }
    if let Some(snapshot) = &checked.snapshot {
        summary(sources, snapshot);
    } else {
        let files = if sources.files.is_empty() {
            String::new()
        } else {
            format!(" in {} files", sources.files.len())
        };
        let stays = live::stays(&args.files.config);
        tell(&format!("{}{files}; nothing was applied{stays}", counted(told.errors(), "mistake")));
    }
    if checked.kept > 0 {
        let them = if checked.kept == 1 { "it" } else { "them" };
        tell(&format!(
            "{} for reading once, as a rule meant so: `gatewarden check --all` tells {them}",
            counted(checked.kept, "remark")
        ));
    }
    if checked.snapshot.is_some() && checked.exit != Exit::Yes {
        let denied = told.iter().filter(|own| is_denied(args.deny, own.severity)).count();
        tell(&format!("{} that `--deny` makes a mistake", counted(denied, "remark")));
    }
    let codes: BTreeSet<&str> = told.iter().map(|own| own.code.0).collect();
    let first = told.iter().find(|own| own.severity == Severity::Error).or(told.iter().next());
    if let Some(first) = first {
        let others = if codes.len() > 1 { ", and so for the other codes" } else { "" };
        tell(&format!("`gatewarden explain {}` says more{others}", first.code.0));
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn summary(sources: &Sources, snapshot: &Snapshot) {
    for app in &snapshot.apps {
        let public = app.operations.iter().filter(|own| matches!(own.access, Access::Public)).count();
        let resources: BTreeSet<_> = app.permissions.iter().map(|(_, own)| &own.resource).collect();
        print(&format!(
            "{:<14} {:>3} operations ({public} public)  {:>3} {}  {:>2} roles  tokens of {}",
            app.name,
            app.operations.len(),
            resources.len(),
            if app.features.is_empty() { "resources" } else { "features" },
            app.roles.len(),
            app.issuer,
        ));
    }
    let short = snapshot.hash.get(..8).unwrap_or(&snapshot.hash);
    print(&format!(
        "ok: {}, {}, {}, rules {short}",
        counted(sources.files.len(), "file"),
        counted(snapshot.apps.len(), "app"),
        counted(snapshot.directory.tenants().len(), "tenant"),
    ));
}

/// Where a span begins and ends, as machines are told.
struct Region {
    file: usize,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
}

impl Region {
    fn of(lines: &LineIndex<'_>, span: Span) -> Self {
        let (line, column) = lines.line_column(span).unwrap_or((1, 1));
        let end = Span { start: span.end.max(span.start), ..span };
        let (end_line, end_column) = lines.line_column(end).unwrap_or((line, column));
        Self { file: span.file as usize, line, column, end_line, end_column }
    }

    /// Of what a diagnostic is about; nothing for one without a place.
    fn about(lines: &LineIndex<'_>, own: &Diagnostic) -> Option<Self> {
        own.primary.as_ref().map(|(span, _)| Self::of(lines, *span))
    }
}

/// What a machine that has room for one text is told of a diagnostic.
fn sentence(own: &Diagnostic) -> String {
    let label = own.primary.as_ref().map_or("", |(_, label)| label.as_str());
    let parts = [own.message.as_str(), label, own.help.as_deref().unwrap_or("")];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}

fn severity(own: &Diagnostic) -> &'static str {
    match own.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}
