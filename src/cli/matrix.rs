//! `gatewarden matrix`: an app's rules as the table that its document prints.

use std::fmt::Write as _;

use serde_json::json;

use super::Exit;
use super::load::{Files, print, tell};
use crate::analysis::matrix::{self, Cell, Matrix, Row};

/// Roles × resources × scopes, as the document prints them.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    files: Files,
    /// The app; all of them if none is named
    #[arg(long, value_name = "APP")]
    app: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Md,
    Csv,
    Json,
}

/// Prints.
pub fn run(args: &Args) -> Exit {
    let snapshot = match args.files.load() {
        Ok(snapshot) => snapshot,
        Err(exit) => return exit,
    };
    let apps: Vec<_> = match &args.app {
        None => snapshot.apps.iter().collect(),
        Some(name) => match snapshot.app(name) {
            Some(app) => vec![app],
            None => {
                let names: Vec<_> = snapshot.apps.iter().map(|app| app.name.to_string()).collect();
                tell(&format!("there is no app `{name}`; there is {}", names.join(", ")));
                return Exit::Usage;
            }
        },
    };
    for app in apps {
        let matrix = matrix::of(app);
        print(
            match args.format {
                Format::Table => table(&matrix),
                Format::Md => markdown(&matrix),
                Format::Csv => csv(&matrix),
                Format::Json => machine(&matrix),
            }
            .trim_end(),
        );
        if args.app.is_none() && args.format != Format::Json {
            print("");
        }
    }
    Exit::Yes
}

/// Lists of conditions that cells refer to by a letter.
#[derive(Default)]
struct Footnotes(Vec<String>);

impl Footnotes {
    fn mark(&mut self, conditions: &[Vec<Box<str>>]) -> String {
        let text = conditions.iter().map(|own| own.join(", ")).collect::<Vec<_>>().join(", or if ");
        let at = self.0.iter().position(|own| *own == text).unwrap_or_else(|| {
            self.0.push(text);
            self.0.len() - 1
        });
        letters(at)
    }

    fn lines(&self) -> impl Iterator<Item = String> {
        self.0.iter().enumerate().map(|(at, text)| format!("{}: if {text}", letters(at)))
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

/// A cell in words: `yes`, `-`, `view manage`, `view(a)`.
fn cell(row: &Row, cells: &[Cell], notes: &mut Footnotes) -> String {
    let mut words = Vec::new();
    for (scope, cell) in row.scopes.iter().zip(cells) {
        let name = if row.is_feature { "yes" } else { scope };
        match cell {
            Cell::No => {}
            Cell::Yes => words.push(name.to_owned()),
            Cell::If(conditions) => words.push(format!("{name}({})", notes.mark(conditions))),
        }
    }
    if words.is_empty() { (if row.is_feature { "no" } else { "-" }).to_owned() } else { words.join(" ") }
}

fn grid(matrix: &Matrix, notes: &mut Footnotes) -> Vec<Vec<String>> {
    let features = matrix.rows.iter().all(|row| row.is_feature);
    let corner = if features { "Feature" } else { "Resource" };
    let mut grid = vec![
        std::iter::once(corner.to_owned()).chain(matrix.roles.iter().map(ToString::to_string)).collect(),
    ];
    for row in &matrix.rows {
        let name =
            if row.reserved { format!("{} (reserved)", row.resource) } else { row.resource.to_string() };
        grid.push(
            std::iter::once(name).chain(row.cells.iter().map(|cells| cell(row, cells, notes))).collect(),
        );
    }
    grid
}

fn table(matrix: &Matrix) -> String {
    let mut notes = Footnotes::default();
    let grid = grid(matrix, &mut notes);
    let columns = matrix.roles.len() + 1;
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            grid.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut text = format!("{}\n", matrix.app);
    for (index, row) in grid.iter().enumerate() {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        // Writing to a String can't fail.
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
        if index == 0 {
            let rules: Vec<_> = widths.iter().map(|width| "-".repeat(*width)).collect();
            let _ = writeln!(text, "{}", rules.join("  "));
        }
    }
    for line in notes.lines() {
        let _ = writeln!(text, "{line}");
    }
    text
}

fn markdown(matrix: &Matrix) -> String {
    let mut notes = Footnotes::default();
    let mut text = String::new();
    for (index, row) in grid(matrix, &mut notes).iter().enumerate() {
        let cells: Vec<_> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
        if index == 0 {
            let _ = writeln!(text, "|{}", "---|".repeat(row.len()));
        }
    }
    for line in notes.lines() {
        let _ = writeln!(text, "\n{line}");
    }
    text
}

fn csv(matrix: &Matrix) -> String {
    let mut notes = Footnotes::default();
    let rows = grid(matrix, &mut notes);
    let quoted = |cell: &String| format!("\"{}\"", cell.replace('"', "\"\""));
    let mut text = String::new();
    for row in rows {
        let _ = writeln!(text, "{}", row.iter().map(quoted).collect::<Vec<_>>().join(","));
    }
    for line in notes.lines() {
        let _ = writeln!(text, "{}", quoted(&line));
    }
    text
}

fn machine(matrix: &Matrix) -> String {
    let value = |cell: &Cell| match cell {
        Cell::No => json!(false),
        Cell::Yes => json!(true),
        Cell::If(conditions) => json!({ "if": conditions }),
    };
    let rows: Vec<_> = matrix
        .rows
        .iter()
        .map(|row| {
            let grants: serde_json::Map<_, _> = matrix
                .roles
                .iter()
                .zip(&row.cells)
                .map(|(role, cells)| {
                    let scopes: serde_json::Map<_, _> = row.scopes.iter().zip(cells).map(|(scope, cell)| (scope.to_string(), value(cell))).collect();
                    (role.to_string(), json!(scopes))
                })
                .collect();
            json!({ "resource": row.resource, "scopes": row.scopes, "reserved": row.reserved, "grants": grants })
        })
        .collect();
    format!(
        "{:#}",
        json!({ "schema": "gatewarden.matrix/1", "app": &*matrix.app, "roles": matrix.roles.iter().map(|r| &**r).collect::<Vec<_>>(), "rows": rows })
    )
}
