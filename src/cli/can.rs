//! `gatewarden can`: may a role do it? Yes or no, exit 0 or 1.

use serde_json::json;

use super::Exit;
use super::grid::{Cell, Format, Grid, render};
use super::hypothesis::{Hypothesis, Stated, Unposed, unknown};
use super::load::{Files, print, tell};
use super::matrix::apps;
use crate::analysis::nearest::Candidate;
use crate::analysis::{nearest, trace};
use crate::authorize::{Evidence, Ruling};
use crate::policy::{App, Decision, Denial, Operation};
use crate::rejection::Rejection;
use crate::request::RequestView;
use crate::snapshot::Snapshot;

/// May they? Yes or no, exit 0 or 1
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    stated: Stated,
    /// Print everything that the role may do; several roles stand side by side
    #[arg(long, requires_all = ["app", "roles"], conflicts_with_all = ["method", "path", "with", "tenant", "anonymous", "token"])]
    list: bool,
    /// How to print what `--list` finds
    #[arg(long, value_enum, default_value_t = Format::Table, requires = "list")]
    format: Format,
    /// Say nothing, only exit
    #[arg(long, short)]
    quiet: bool,
    /// The method; EMIT for an event of a socket
    #[arg(required_unless_present = "list")]
    method: Option<String>,
    /// The path from the root, with its query if there is one; the event for EMIT
    #[arg(required_unless_present = "list")]
    path: Option<String>,
}

/// Answers.
pub fn run(args: &Args) -> Exit {
    let snapshot = match args.files.load() {
        Ok(snapshot) => snapshot,
        Err(exit) => return exit,
    };
    let snapshot = &snapshot;
    let answer = match (&args.method, &args.path) {
        (Some(method), Some(path)) => Hypothesis::of(snapshot, &args.stated, method, path).and_then(|own| {
            own.decide(snapshot, |view, ruling| answer(snapshot, &args.stated, view, &ruling))
        }),
        _ => list(snapshot, &args.stated, args.format),
    };
    match answer {
        Ok((exit, text)) => {
            if !args.quiet {
                print(&text);
            }
            exit
        }
        Err(unposed) => {
            tell(&format!("error: {}", unposed.why));
            unposed.exit
        }
    }
}

fn answer(snapshot: &Snapshot, stated: &Stated, view: &RequestView<'_>, ruling: &Ruling) -> (Exit, String) {
    match ruling {
        Ruling::Permit(_, evidence) => {
            let place = evidence.rule.as_ref().map(|place| format!(", {place}")).unwrap_or_default();
            let reason = evidence.verdict.map_or("", |verdict| verdict.reason);
            let keys: Vec<&str> = evidence.narrowed.iter().map(|(key, _)| &**key).collect();
            // A part of a list isn't the list.
            let part = match keys.as_slice() {
                [] => String::new(),
                keys => format!("\nfiltered by {}: only what is theirs", keys.join(", ")),
            };
            (Exit::Yes, format!("yes ({reason}{place}){part}"))
        }
        Ruling::Refuse(rejection, evidence) => {
            let reason = evidence.verdict.map_or(rejection.reason(), |verdict| verdict.reason);
            let mut text = format!("no ({reason})");
            let unknown = unstated(snapshot, view, evidence);
            let more = who_could(snapshot, rejection, evidence).into_iter().chain(hint(stated, rejection));
            for more in more.chain(unknown) {
                text = format!("{text}\n{more}");
            }
            (Exit::No, text)
        }
        Ruling::Ask(_) => (Exit::No, "no (unanswered)".to_owned()),
    }
}

/// What to state where the answer is no only because too little was stated.
pub(super) fn hint(stated: &Stated, rejection: &Rejection) -> Option<String> {
    let nowhere =
        matches!(rejection, Rejection::Tenant(_) | Rejection::Principal(_)) && stated.tenant.is_none();
    nowhere.then(|| {
        "whose things are asked for? state it with --tenant, or the caller's own with --with".to_owned()
    })
}

/// The sentence about what wasn't stated, where the answer rests on it.
pub(super) fn unstated(snapshot: &Snapshot, view: &RequestView<'_>, evidence: &Evidence) -> Option<String> {
    let unknown = trace::unknown_facts(snapshot, view, evidence);
    (!unknown.is_empty()).then(|| format!("unknown here, to be stated with --with: {}", unknown.join(", ")))
}

/// The sentence about who could, where an operation was found.
pub(super) fn who_could(snapshot: &Snapshot, rejection: &Rejection, evidence: &Evidence) -> Option<String> {
    let (app, operation) = snapshot.operation(evidence.judged.as_ref()?.operation)?;
    // Where a requirement or the tenant stood against it, another role would have been refused as well.
    let for_want_of_a_role = match evidence.judged.as_ref().and_then(|judged| judged.decision) {
        Some(Decision::Deny(Denial::NoPermission | Denial::Condition { .. })) => true,
        _ => *rejection == Rejection::CredentialMissing,
    };
    if !for_want_of_a_role {
        return None;
    }
    let candidates = trace::would_be_allowed(app, operation, evidence.judged.as_ref());
    if candidates.is_empty() {
        return Some("no other role could".to_owned());
    }
    let names: Vec<_> = candidates.iter().map(nearest::Candidate::text).collect();
    Some(format!("roles that could: {}", names.join("; ")))
}

/// Everything that the roles may do, a column for each, with the conditions that it is under.
fn list(snapshot: &Snapshot, stated: &Stated, format: Format) -> Result<(Exit, String), Unposed> {
    let name = stated.app.as_deref().unwrap_or_default();
    let app = apps(snapshot, Some(name))?.into_iter().next().ok_or_else(String::new)?;
    if let Some(role) = stated.roles.iter().find(|role| app.role(role).is_none()) {
        let names = app.roles.iter().map(|own| &*own.name);
        return Err(unknown(&format!("app `{name}` has no role `{role}`"), role, names).into());
    }
    let mut rows: Vec<Listed<'_>> = Vec::new();
    for operation in &app.operations {
        let candidates = nearest::roles(app, operation);
        let of = |role: &String| candidates.iter().find(|own| *own.role == **role).cloned();
        let held: Vec<_> = stated.roles.iter().map(of).collect();
        if held.iter().any(Option::is_some) {
            rows.push((operation, held));
        }
    }
    let exit = if rows.is_empty() { Exit::No } else { Exit::Yes };
    let text = match format {
        Format::Json => machine(app, &stated.roles, &rows),
        Format::Table if rows.is_empty() => "nothing".to_owned(),
        format => render(format, &[grid(app, &stated.roles, &rows)]),
    };
    Ok((exit, text))
}

type Listed<'a> = (&'a Operation, Vec<Option<Candidate>>);

fn permissions(app: &App, operation: &Operation) -> Vec<String> {
    operation.permissions().filter_map(|id| app.permission(id)).map(|own| own.name.to_string()).collect()
}

fn grid(app: &App, roles: &[String], rows: &[Listed<'_>]) -> Grid {
    let columns = roles.iter().map(String::as_str);
    let mut grid = Grid::new(&*app.name, ["Method", "Path"].into_iter().chain(columns).chain(["Through"]));
    for (operation, held) in rows {
        let asked = [operation.verb.as_str().to_owned(), operation.template.to_string()];
        let cells = held.iter().map(|own| match own {
            None => Cell::no("-"),
            Some(own) => own.under().map_or_else(|| Cell::yes("yes"), |under| Cell::under("yes", under)),
        });
        let through = Cell::from(permissions(app, operation).join(" or "));
        grid.row(asked.into_iter().map(Cell::from).chain(cells).chain([through]));
    }
    let conditional = rows.iter().flat_map(|(_, held)| held.iter().flatten());
    let conditional = conditional.filter(|own| own.under().is_some());
    grid.meanings(app, conditional.flat_map(|own| own.conditions.iter().flatten()).map(|own| &**own));
    grid
}

fn machine(app: &App, roles: &[String], rows: &[Listed<'_>]) -> String {
    let value = |own: &Option<Candidate>| match own {
        None => json!(false),
        Some(own) if own.under().is_some() => json!({ "if": own.conditions }),
        Some(_) => json!(true),
    };
    let row = |(operation, held): &Listed<'_>| {
        let held: serde_json::Map<_, _> = roles.iter().cloned().zip(held.iter().map(value)).collect();
        json!({
            "method": operation.verb.as_str(),
            "path": operation.template.to_string(),
            "through": permissions(app, operation),
            "roles": held,
        })
    };
    let rows: Vec<_> = rows.iter().map(row).collect();
    format!(
        "{:#}",
        json!({ "schema": "gatewarden.can/1", "app": &*app.name, "roles": roles, "operations": rows })
    )
}
