//! `gatewarden who`: every role that could do something, under which condition, and where that stands.

mod print;

use super::Exit;
use super::grid::{self, Format};
use super::hypothesis::unknown;
use super::load::{Files, print, tell};
use crate::analysis::who::{self, Found, Who};
use crate::route::Verb;
use crate::snapshot::{OperationRef, Snapshot};

/// Who could? Every role, and under which condition
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    files: Files,
    /// Only this app's
    #[arg(long, value_name = "APP")]
    app: Option<String>,
    /// A scope of a resource in place of a request: `customer-list#manage`
    #[arg(long, value_name = "RESOURCE#SCOPE", conflicts_with_all = ["method", "path"])]
    resource: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// The method; EMIT for an event of a socket
    #[arg(required_unless_present = "resource")]
    method: Option<String>,
    /// The path from the root, or a route's template as the files write it; the event for EMIT
    #[arg(required_unless_present = "resource")]
    path: Option<String>,
}

/// What was found, and what there is to say where nothing was.
struct Answer {
    found: Vec<Who>,
    nobody: Option<String>,
}

/// Prints; exit 1 if nobody could.
pub fn run(args: &Args) -> Exit {
    let snapshot = match args.files.load() {
        Ok(snapshot) => snapshot,
        Err(exit) => return exit,
    };
    let answer = match answer(&snapshot, args) {
        Ok(answer) => answer,
        Err(why) => {
            tell(&format!("error: {why}"));
            return Exit::Usage;
        }
    };
    let nobody = answer.nobody.as_deref();
    let text = match args.format {
        Format::Table => print::human(&answer.found, nobody),
        Format::Html => grid::render(Format::Html, &print::grids(&answer.found, nobody)),
        Format::Json => print::machine(&answer.found, nobody),
        Format::Md => print::markdown(&answer.found, nobody),
        Format::Csv => print::csv(&answer.found),
    };
    print(text.trim_end());
    if answer.found.iter().any(Who::is_someone) { Exit::Yes } else { Exit::No }
}

fn answer(snapshot: &Snapshot, args: &Args) -> Result<Answer, String> {
    if let Some(name) = args.app.as_deref().filter(|name| snapshot.app(name).is_none()) {
        let names = snapshot.apps.iter().map(|app| &*app.name);
        return Err(unknown(&format!("there is no app `{name}`"), name, names));
    }
    match (&args.resource, &args.method, &args.path) {
        (Some(name), ..) => of_permission(snapshot, args.app.as_deref(), name),
        (None, Some(method), Some(path)) => of_operation(snapshot, args.app.as_deref(), method, path),
        _ => Err("say a method and a path, or --resource".to_owned()),
    }
}

fn of_permission(snapshot: &Snapshot, app: Option<&str>, name: &str) -> Result<Answer, String> {
    let apps = || snapshot.apps.iter().filter(|own| app.is_none_or(|name| *name == *own.name));
    let mut found = Vec::new();
    for own in apps() {
        let ids = own.permissions.iter().filter(|(_, permission)| *permission.name == *name);
        found.extend(ids.filter_map(|(id, _)| who::of_permission(own, *id)));
    }
    if found.is_empty() {
        let names = apps().flat_map(|own| own.permissions.iter().map(|(_, permission)| &*permission.name));
        return Err(unknown(&format!("no resource has `{name}`"), name, names));
    }
    Ok(Answer { found, nobody: None })
}

fn of_operation(snapshot: &Snapshot, app: Option<&str>, method: &str, path: &str) -> Result<Answer, String> {
    let found = if method == "EMIT" {
        let found = who::events(snapshot, path);
        if found.is_empty() {
            let names = snapshot.apps.iter().flat_map(|own| own.events.keys()).map(|own| &**own);
            return Err(unknown(&format!("no socket has an event `{path}`"), path, names));
        }
        Found::Operations(found)
    } else {
        let asked = if method == "HEAD" { "GET" } else { method };
        let verb = Verb::parse(asked).ok_or_else(|| {
            let names = Verb::ALL.iter().map(|verb| verb.as_str());
            unknown(&format!("`{method}` is no method that is ever forwarded"), method, names)
        })?;
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        who::operations(snapshot, Some(verb), path).map_err(|why| format!("`{path}`: {why}"))?
    };
    let of = |at: &OperationRef| {
        let (own, operation) = snapshot.operation(*at)?;
        let is_asked = app.is_none_or(|name| *name == *own.name);
        is_asked.then(|| who::of_operation(own, operation))
    };
    Ok(match found {
        Found::Operations(claims) => {
            let found: Vec<Who> = claims.iter().filter_map(of).collect();
            let others = || {
                let names = claims.iter().filter_map(|at| snapshot.apps.get(at.app));
                names.map(|own| format!("`{}`", own.name)).collect::<Vec<_>>().join(", ")
            };
            let nobody =
                found.is_empty().then(|| format!("nobody: it is an operation of {} alone", others()));
            Answer { found, nobody }
        }
        Found::OtherMethods(verbs) => {
            let others: Vec<_> = verbs.iter().map(|verb| verb.as_str()).collect();
            let nobody = format!("nobody: the path has {} alone (405)", others.join(", "));
            Answer { found: Vec::new(), nobody: Some(nobody) }
        }
        Found::Nothing => {
            Answer { found: Vec::new(), nobody: Some("nobody: there is no such operation (404)".to_owned()) }
        }
    })
}
