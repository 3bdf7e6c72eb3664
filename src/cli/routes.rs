//! `gatewarden routes`: every operation, what guards it, and where it leads.

use serde_json::json;

use super::Exit;
use super::load::{Files, print, tell};
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Json,
}

/// Prints.
pub fn run(args: &Args) -> Exit {
    let snapshot = match args.files.load() {
        Ok(snapshot) => snapshot,
        Err(exit) => return exit,
    };
    let snapshot = &*snapshot;
    if let Some(name) = args.app.as_deref().filter(|name| snapshot.app(name).is_none()) {
        let names: Vec<_> = snapshot.apps.iter().map(|app| app.name.to_string()).collect();
        tell(&format!("there is no app `{name}`; there is {}", names.join(", ")));
        return Exit::Usage;
    }
    let mut rows = Vec::new();
    for app in snapshot.apps.iter().filter(|app| args.app.as_deref().is_none_or(|name| name == &*app.name)) {
        let wanted = |own: &&Operation| !args.unguarded || matches!(own.access, Access::Public);
        rows.extend(app.operations.iter().filter(wanted).map(|own| (app, own)));
    }
    rows.sort_by_key(|(_, own)| (own.template.to_string(), own.verb));
    match args.format {
        Format::Table => rows.iter().for_each(|(app, own)| print(&line(snapshot, app, own))),
        Format::Json => {
            let rows: Vec<_> = rows.iter().map(|(app, own)| machine(snapshot, app, own)).collect();
            print(&format!("{:#}", json!({ "schema": "gatewarden.routes/1", "routes": rows })));
        }
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

fn line(snapshot: &Snapshot, app: &App, operation: &Operation) -> String {
    let nobody = if trace::is_unreachable(app, operation) { "  (nobody)" } else { "" };
    format!(
        "{:<7} {:<62} {:<11} {:<44} {:<11} {}{nobody}",
        operation.verb.as_str(),
        operation.template.to_string(),
        app.name,
        guard(app, operation),
        upstream(snapshot, operation),
        operation.place,
    )
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
