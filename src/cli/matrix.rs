//! `gatewarden matrix`: an app's rules as the table that its document prints.

use serde_json::json;

use super::Exit;
use super::grid::{Cell, Format, Grid, render};
use super::hypothesis::unknown;
use super::load::{Files, print, tell};
use crate::analysis::matrix::{self, Granted, Matrix, Row};
use crate::analysis::words;
use crate::policy::App;
use crate::snapshot::Snapshot;

/// Roles × resources × scopes, as the document prints them.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    files: Files,
    /// The app; all of them if none is named
    #[arg(long, value_name = "APP")]
    app: Option<String>,
    /// Only this role's column; repeatable
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// Prints.
pub fn run(args: &Args) -> Exit {
    let snapshot = match args.files.load() {
        Ok(snapshot) => snapshot,
        Err(exit) => return exit,
    };
    let apps = match apps(&snapshot, args.app.as_deref()).and_then(|apps| with_roles(apps, &args.roles)) {
        Ok(apps) => apps,
        Err(why) => {
            tell(&format!("error: {why}"));
            return Exit::Usage;
        }
    };
    let tables: Vec<(&App, Matrix)> =
        apps.into_iter().map(|app| (app, only(matrix::of(app), &args.roles))).collect();
    print(&match args.format {
        Format::Json => machine(&tables, args.app.is_some()),
        // Apps have other columns each, so that one table has a row for each cell.
        Format::Csv if args.app.is_none() => render(Format::Csv, &[long(&tables)]),
        format => render(format, &tables.iter().map(|(app, own)| grid(app, own)).collect::<Vec<_>>()),
    });
    Exit::Yes
}

/// The named app, or all; the error is a sentence.
pub(super) fn apps<'s>(snapshot: &'s Snapshot, name: Option<&str>) -> Result<Vec<&'s App>, String> {
    let Some(name) = name else { return Ok(snapshot.apps.iter().collect()) };
    let names = snapshot.apps.iter().map(|app| &*app.name);
    let app = snapshot.app(name);
    Ok(vec![app.ok_or_else(|| unknown(&format!("there is no app `{name}`"), name, names))?])
}

/// Those of the apps that have one of the roles; each role must be some app's.
fn with_roles<'s>(mut apps: Vec<&'s App>, roles: &[String]) -> Result<Vec<&'s App>, String> {
    for role in roles {
        if !apps.iter().any(|app| app.role(role).is_some()) {
            let names = apps.iter().flat_map(|app| &app.roles).map(|own| &*own.name);
            return Err(unknown(&format!("there is no role `{role}`"), role, names));
        }
    }
    apps.retain(|app| roles.is_empty() || roles.iter().any(|role| app.role(role).is_some()));
    Ok(apps)
}

/// The columns that are wanted.
fn only(mut matrix: Matrix, roles: &[String]) -> Matrix {
    if !roles.is_empty() {
        let keep: Vec<bool> =
            matrix.roles.iter().map(|own| roles.iter().any(|role| **role == **own)).collect();
        let mut wanted = keep.iter();
        matrix.roles.retain(|_| wanted.next().copied().unwrap_or_default());
        for row in &mut matrix.rows {
            let mut wanted = keep.iter();
            row.cells.retain(|_| wanted.next().copied().unwrap_or_default());
        }
    }
    matrix
}

fn grid(app: &App, matrix: &Matrix) -> Grid {
    let features = matrix.rows.iter().all(|row| row.is_feature);
    let corner = if features { "Feature" } else { "Resource" };
    let mut grid =
        Grid::new(&*matrix.app, std::iter::once(corner).chain(matrix.roles.iter().map(|own| &**own)));
    for row in &matrix.rows {
        let name =
            if row.reserved { format!("{} (reserved)", row.resource) } else { row.resource.to_string() };
        grid.row(std::iter::once(Cell::from(name)).chain(row.cells.iter().map(|cells| cell(row, cells))));
    }
    let granted = matrix.rows.iter().flat_map(|row| row.cells.iter().flatten());
    let conditions = granted.flat_map(|own| match own {
        Granted::If(conditions) => conditions.as_slice(),
        Granted::No | Granted::Yes => &[],
    });
    grid.meanings(app, conditions.flatten().map(|own| &**own));
    grid
}

/// Every app's cells, a row for each.
fn long(tables: &[(&App, Matrix)]) -> Grid {
    let mut grid = Grid::new("", ["App", "Resource", "Scope", "Role", "Granted"]);
    for (app, matrix) in tables {
        for row in &matrix.rows {
            for (role, cells) in matrix.roles.iter().zip(&row.cells) {
                for (scope, granted) in row.scopes.iter().zip(cells) {
                    let granted = match granted {
                        Granted::No => Cell::no("no"),
                        Granted::Yes => Cell::yes("yes"),
                        Granted::If(conditions) => Cell::under("yes", under(conditions)),
                    };
                    let names = [&*app.name, &*row.resource, &**scope, &**role].map(Cell::from);
                    grid.row(names.into_iter().chain([granted]));
                }
            }
        }
    }
    grid
}

/// `if own, reader`, or `if home, or if reader`.
fn under(conditions: &[Vec<Box<str>>]) -> String {
    let texts: Vec<String> = conditions.iter().map(|own| own.join(", ")).collect();
    format!("if {}", texts.join(", or if "))
}

/// A cell in words: `yes`, `-`, `view manage`, `view(a)`.
fn cell(row: &Row, cells: &[Granted]) -> Cell {
    let word = |(scope, granted): (&str, &Granted)| {
        let name = if row.is_feature { "yes" } else { scope };
        match granted {
            Granted::No => None,
            Granted::Yes => Some(Cell::yes(name)),
            Granted::If(conditions) => Some(Cell::under(name, under(conditions))),
        }
    };
    let words = row.scopes.iter().map(|scope| &**scope).zip(cells).filter_map(word);
    words.reduce(Cell::and).unwrap_or_else(|| Cell::no(if row.is_feature { "no" } else { "-" }))
}

fn machine(tables: &[(&App, Matrix)], alone: bool) -> String {
    let documents: Vec<_> = tables.iter().map(|(app, matrix)| document(app, matrix)).collect();
    match documents.as_slice() {
        [document] if alone => format!("{document:#}"),
        documents => format!("{:#}", json!({ "schema": "gatewarden.matrix/1", "apps": documents })),
    }
}

fn document(app: &App, matrix: &Matrix) -> serde_json::Value {
    let value = |granted: &Granted| match granted {
        Granted::No => json!(false),
        Granted::Yes => json!(true),
        Granted::If(conditions) => json!({ "if": conditions }),
    };
    let grants = |row: &Row, cells: &[Granted]| -> serde_json::Map<_, _> {
        row.scopes.iter().zip(cells).map(|(scope, cell)| (scope.to_string(), value(cell))).collect()
    };
    let row = |row: &Row| {
        let roles = matrix.roles.iter().zip(&row.cells);
        let roles: serde_json::Map<_, _> =
            roles.map(|(role, cells)| (role.to_string(), json!(grants(row, cells)))).collect();
        json!({ "resource": row.resource, "scopes": row.scopes, "reserved": row.reserved, "grants": roles })
    };
    let conditions = app.conditions.iter().map(|own| (&*own.name, words::of(app, &own.condition)));
    json!({
        "schema": "gatewarden.matrix/1",
        "app": &*matrix.app,
        "roles": matrix.roles.iter().map(|own| &**own).collect::<Vec<_>>(),
        "rows": matrix.rows.iter().map(row).collect::<Vec<_>>(),
        "conditions": conditions.collect::<std::collections::BTreeMap<_, _>>(),
    })
}
