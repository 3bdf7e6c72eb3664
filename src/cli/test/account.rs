//! What of a document a test table holds: every cell of its tables, and every line that says something. What is left
//! out is a mistake, so that nothing is skipped unseen.

use std::collections::BTreeSet;

use super::table::{Document, Origin, Row};
use crate::config::diagnostic::code;
use crate::config::{Diagnostic, Diagnostics, Span};

/// How much was held against the rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    /// Cells of tables.
    pub cells: usize,
    /// Lines of prose.
    pub sentences: usize,
    /// Rows of the file: most cells and sentences have several.
    pub cases: usize,
}

/// Counts, and reports what is skipped.
pub(super) fn account(file: &Document, diagnostics: &mut Diagnostics) -> Account {
    let mut cells = BTreeSet::new();
    let mut sentences = BTreeSet::new();
    for row in &file.rows {
        match &row.origin {
            Origin::Cell(line, column) => {
                cells.insert((line.as_str(), column.as_str()));
            }
            Origin::Sentence => {
                sentences.extend(row.lines.iter().copied());
            }
        }
        empty(row, diagnostics);
    }
    grids(file, &cells, diagnostics);
    lines(file, diagnostics);
    Account { cells: cells.len(), sentences: sentences.len(), cases: file.rows.len() }
}

fn empty(row: &Row, diagnostics: &mut Diagnostics) {
    if row.cases.is_empty() {
        let message = format!("`{}` is held against nothing", row.says);
        let wanted = "needs `allow`, `deny`, `missing` or `absent`";
        diagnostics.push(Diagnostic::error(code::MISSING, message).at(row.span, wanted));
    }
}

fn grids(file: &Document, cells: &BTreeSet<(&str, &str)>, diagnostics: &mut Diagnostics) {
    let mut declared = BTreeSet::new();
    for grid in &file.grids {
        let crossing = grid.rows.iter().flat_map(|row| grid.columns.iter().map(move |column| (row, column)));
        for (row, column) in crossing {
            declared.insert((row.as_str(), column.as_str()));
            if !cells.contains(&(row, column)) {
                let message = format!("no [[cell]] for `{row}`, `{column}`");
                diagnostics
                    .push(Diagnostic::error(code::MISSING, message).at(grid.span, "a table of the document"));
            }
        }
    }
    for row in &file.rows {
        if let Origin::Cell(line, column) = &row.origin
            && !declared.contains(&(line.as_str(), column.as_str()))
        {
            let message = format!("no [[table]] has a cell `{line}`, `{column}`");
            diagnostics.push(Diagnostic::error(code::BAD_VALUE, message).at(row.span, ""));
        }
    }
}

fn lines(file: &Document, diagnostics: &mut Diagnostics) {
    let Some((range, span)) = &file.lines else { return };
    let held: BTreeSet<u32> = file.rows.iter().flat_map(|row| row.lines.iter().copied()).collect();
    let silent: BTreeSet<u32> = file.silent.iter().copied().collect();
    let report = |message: String, span: Span, diagnostics: &mut Diagnostics| {
        diagnostics.push(Diagnostic::error(code::MISSING, message).at(span, "of the document"));
    };
    let skipped = range.clone().filter(|line| !held.contains(line) && !silent.contains(line));
    for line in skipped {
        report(format!("line {line} stands in no row, and isn't `silent`"), *span, diagnostics);
    }
    for line in held.intersection(&silent) {
        report(format!("line {line} is `silent`, and stands in a row"), *span, diagnostics);
    }
    for row in &file.rows {
        for line in row.lines.iter().filter(|line| !range.contains(line)) {
            report(format!("line {line} isn't among `lines`"), row.span, diagnostics);
        }
    }
}
