//! `gatewarden check`: parse, link and run what the files expect of themselves; every mistake in one run.

use serde_json::json;

use super::Exit;
use super::hypothesis::now;
use super::load::{Files, print, report, tell};
use crate::config::diagnostic::{LineIndex, Severity};
use crate::config::{Carried, Diagnostics, Sources, compile};
use crate::control::sources;
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Human,
    Json,
}

/// Checks.
pub fn run(args: &Args) -> Exit {
    let sources = match sources::read_steady(&args.files.config, std::thread::sleep) {
        Ok(sources) => sources,
        Err(why) => {
            match args.format {
                Format::Human => report(&why, &[]),
                Format::Json => print(&machine(&Sources::default(), &why, None)),
            }
            return Exit::refused(&why);
        }
    };
    let outcome = compile(&sources, Carried::nothing_at(now()));
    let (remarks, snapshot, exit) = match &outcome {
        Ok(compiled) => (&compiled.remarks, Some(&compiled.snapshot), Exit::Yes),
        Err(mistakes) => (mistakes, None, Exit::refused(mistakes)),
    };
    match args.format {
        Format::Human => human(&sources, remarks, snapshot),
        Format::Json => print(&machine(&sources, remarks, snapshot)),
    }
    exit
}

fn human(sources: &Sources, remarks: &Diagnostics, snapshot: Option<&Snapshot>) {
    if !remarks.is_empty() {
        report(remarks, &sources.files);
        tell("");
    }
    let Some(snapshot) = snapshot else {
        let count = remarks.errors();
        let word = if count == 1 { "mistake" } else { "mistakes" };
        tell(&format!(
            "{count} {word} in {} files; nothing was applied, and a running gateway keeps what it has",
            sources.files.len()
        ));
        return;
    };
    for app in &snapshot.apps {
        let public = app.operations.iter().filter(|own| matches!(own.access, Access::Public)).count();
        let resources: std::collections::BTreeSet<_> =
            app.permissions.iter().map(|(_, own)| &own.resource).collect();
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
        "ok: {} files, {} apps, {} tenants, rules {short}",
        sources.files.len(),
        snapshot.apps.len(),
        snapshot.directory.tenants().len(),
    ));
}

fn machine(sources: &Sources, remarks: &Diagnostics, snapshot: Option<&Snapshot>) -> String {
    let lines = LineIndex::of(&sources.files);
    let place = |span| {
        let (line, column) = lines.line_column(span).unwrap_or_default();
        let path = sources.files.get(span.file as usize).map(|file| file.path.to_string());
        json!({ "file": path, "line": line, "column": column, "start": span.start, "end": span.end })
    };
    let diagnostics: Vec<_> = remarks
        .iter()
        .map(|own| {
            let related: Vec<_> = own.related.iter().map(|(span, label)| json!({ "at": place(*span), "label": label })).collect();
            json!({
                "code": own.code.0,
                "severity": match own.severity {
                    Severity::Error => "error",
                    Severity::Warning => "warning",
                    Severity::Note => "note",
                },
                "message": own.message,
                "at": own.primary.as_ref().map(|(span, _)| place(*span)),
                "label": own.primary.as_ref().map(|(_, label)| label),
                "related": related,
                "help": own.help,
                "replacement": own.suggestion.as_ref().map(|(span, text)| json!({ "at": place(*span), "text": text })),
            })
        })
        .collect();
    let document = json!({
        "schema": "gatewarden.check/1",
        "ok": snapshot.is_some(),
        "hash": sources.hash,
        "errors": remarks.errors(),
        "diagnostics": diagnostics,
    });
    format!("{document:#}")
}
