//! `--format sarif`: SARIF 2.1.0 as code scanning takes it. Each rule is a code with its page, each result has a place.

use std::path::Path;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Value, json};

use super::{Checked, Region, sentence};
use crate::config::codes;
use crate::config::diagnostic::{LineIndex, Severity};
use crate::config::{Diagnostic, Span};

/// What a path of a URI has no room for.
const OUTSIDE: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}');

pub(super) fn document(checked: &Checked) -> String {
    let lines = LineIndex::of(&checked.sources.files);
    let mut used: Vec<&str> = checked.told.iter().map(|own| own.code.0).collect();
    used.sort_unstable();
    used.dedup();
    let rules: Vec<Value> = used.iter().map(|code| rule(code)).collect();
    let results: Vec<Value> = checked.told.iter().map(|own| result(checked, &lines, &used, own)).collect();
    let document = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "gatewarden",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    format!("{document:#}")
}

fn rule(code: &str) -> Value {
    let (title, text) = codes::page(code).map_or(("", ""), |page| (page.title(), page.text));
    let plain = codes::page(code).map(codes::Page::plain).unwrap_or_default();
    let first = plain.split("\n\n").nth(1).unwrap_or(title).replace('\n', " ");
    json!({
        "id": code,
        "name": code,
        "shortDescription": { "text": title },
        "fullDescription": { "text": first },
        "help": { "text": plain, "markdown": text },
    })
}

fn result(checked: &Checked, lines: &LineIndex<'_>, used: &[&str], own: &Diagnostic) -> Value {
    let level = match own.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let related: Vec<Value> = own
        .related
        .iter()
        .map(|(span, label)| {
            let mut at = location(checked, lines, Some(*span));
            if let Some(at) = at.as_object_mut() {
                at.insert("message".to_owned(), json!({ "text": label }));
            }
            at
        })
        .collect();
    json!({
        "ruleId": own.code.0,
        "ruleIndex": used.iter().position(|code| *code == own.code.0),
        "level": level,
        "message": { "text": sentence(own) },
        // Code scanning takes no result without a place.
        "locations": [location(checked, lines, own.primary.as_ref().map(|(span, _)| *span))],
        "relatedLocations": related,
        "partialFingerprints": { "gatewarden/1": format!("{}:{}", own.code.0, own.message) },
    })
}

fn location(checked: &Checked, lines: &LineIndex<'_>, span: Option<Span>) -> Value {
    let region = span.map(|span| Region::of(lines, span));
    let path =
        region.as_ref().and_then(|at| checked.sources.files.get(at.file)).or(checked.sources.files.first());
    let path = path.map_or("gateway.toml", |file| &file.path);
    let region = match region {
        Some(at) => json!({
            "startLine": at.line, "startColumn": at.column, "endLine": at.end_line, "endColumn": at.end_column,
        }),
        None => json!({ "startLine": 1 }),
    };
    json!({ "physicalLocation": { "artifactLocation": { "uri": uri(path) }, "region": region } })
}

fn uri(path: &str) -> String {
    let path = relative(path);
    let encoded = utf8_percent_encode(&path, OUTSIDE).to_string();
    if encoded.starts_with('/') { format!("file://{encoded}") } else { encoded }
}

/// A path as seen from where the program runs, which in a workflow is the repository.
pub(super) fn relative(path: &str) -> String {
    let here = std::env::current_dir().ok();
    let below = here.and_then(|here| Path::new(path).strip_prefix(here).ok().map(Path::to_owned));
    let path = below.map_or_else(|| path.to_owned(), |below| below.to_string_lossy().into_owned());
    path.strip_prefix("./").map_or(path.clone(), str::to_owned)
}
