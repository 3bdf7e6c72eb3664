//! `gatewarden routes`: every operation, what guards it, and where it leads.

use serde_json::json;

use super::Exit;
use super::grid::{Cell, Format, Grid, render};
use super::load::{Files, print, tell};
use super::matrix::apps;
use crate::analysis::{nearest, trace};
use crate::policy::{Access, App, Operation};
use crate::snapshot::Snapshot;

/// Every operation, what guards it, and where it leads.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    files: Files,
    /// Only this app's
    #[arg(long, value_name = "APP")]
    app: Option<String>,
    /// Only those that anyone can reach without a token; exit 1 if there are any
    #[arg(long)]
    unguarded: bool,
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
    let snapshot = &*snapshot;
    let apps = match apps(snapshot, args.app.as_deref()) {
        Ok(apps) => apps,
        Err(why) => {
            tell(&format!("error: {why}"));
            return Exit::Usage;
        }
    };
    let mut rows = Vec::new();
    for app in apps {
        let wanted = |own: &&Operation| !args.unguarded || matches!(own.access, Access::Public);
        rows.extend(app.operations.iter().filter(wanted).map(|own| (app, own)));
    }
    rows.sort_by_key(|(_, own)| (own.template.to_string(), own.verb));
    match args.format {
        Format::Json => {
            let rows: Vec<_> = rows.iter().map(|(app, own)| machine(snapshot, app, own)).collect();
            print(&format!("{:#}", json!({ "schema": "gatewarden.routes/1", "routes": rows })));
        }
        Format::Table if rows.is_empty() => print(nothing(args.unguarded)),
        format => print(&render(format, &[grid(snapshot, &rows)])),
    }
    if args.unguarded && !rows.is_empty() { Exit::No } else { Exit::Yes }
}

fn guard(app: &App, operation: &Operation) -> String {
    let names: Vec<_> =
        operation.permissions().filter_map(|id| app.permission(id)).map(|own| own.name.to_string()).collect();
    if names.is_empty() { "public".to_owned() } else { names.join(" or ") }
}

fn upstream<'s>(snapshot: &'s Snapshot, operation: &Operation) -> &'s str {
    snapshot.gateway.upstreams.get(operation.upstream).map_or("", |own| &own.name)
}

fn nothing(unguarded: bool) -> &'static str {
    if unguarded { "none: every operation needs a token" } else { "there is no operation" }
}

fn grid(snapshot: &Snapshot, rows: &[(&App, &Operation)]) -> Grid {
    let mut grid = Grid::new("", ["Method", "Path", "App", "Guard", "Upstream", "Declared at"]);
    for (app, own) in rows {
        let guarded = guard(app, own);
        let guard = match &own.access {
            Access::Public => Cell::yes(guarded),
            _ if trace::is_unreachable(app, own) => Cell::no(format!("{guarded} (nobody)")),
            _ => Cell::from(guarded),
        };
        let texts = [own.verb.as_str().to_owned(), own.template.to_string(), app.name.to_string()];
        let rest = [upstream(snapshot, own).to_owned(), own.place.to_string()];
        let cells = texts.into_iter().map(Cell::from).chain([guard]);
        grid.row(cells.chain(rest.into_iter().map(Cell::from)));
    }
    grid
}

fn machine(snapshot: &Snapshot, app: &App, operation: &Operation) -> serde_json::Value {
    let roles: Vec<_> = nearest::roles(app, operation).iter().map(nearest::Candidate::text).collect();
    json!({
        "method": operation.verb.as_str(),
        "path": operation.template.to_string(),
        "app": &*app.name,
        "guard": guard(app, operation),
        "upstream": upstream(snapshot, operation),
        "place": &*operation.place,
        "roles": roles,
    })
}
