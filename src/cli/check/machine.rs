//! `--format json`: every diagnostic with its places in bytes, lines and columns.

use serde_json::json;

use super::{Checked, severity};
use crate::config::diagnostic::LineIndex;

pub(super) fn document(checked: &Checked) -> String {
    let files = &checked.sources.files;
    let lines = LineIndex::of(files);
    let place = |span| {
        let (line, column) = lines.line_column(span).unwrap_or_default();
        let path = files.get(span.file as usize).map(|file| file.path.to_string());
        json!({ "file": path, "line": line, "column": column, "start": span.start, "end": span.end })
    };
    let diagnostics: Vec<_> = checked
        .told
        .iter()
        .map(|own| {
            let related: Vec<_> =
                own.related.iter().map(|(span, label)| json!({ "at": place(*span), "label": label })).collect();
            json!({
                "code": own.code.0,
                "severity": severity(own),
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
        "ok": checked.snapshot.is_some(),
        "hash": checked.sources.hash,
        "errors": checked.told.errors(),
        "kept_back": checked.kept,
        "diagnostics": diagnostics,
    });
    format!("{document:#}")
}
