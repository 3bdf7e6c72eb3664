//! `gatewarden can`: may a role do it? Yes or no, exit 0 or 1.

use super::Exit;
use super::hypothesis::{Hypothesis, Stated, Unposed};
use super::load::{Files, print, tell};
use crate::analysis::{nearest, trace};
use crate::authorize::{Evidence, Ruling};
use crate::policy::{Decision, Denial};
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
    /// Print everything that the role may do
    #[arg(long, requires_all = ["app", "roles"], conflicts_with_all = ["method", "path", "with", "tenant", "anonymous", "token"])]
    list: bool,
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
        _ => list(snapshot, &args.stated),
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
            (Exit::Yes, format!("yes ({reason}{place})"))
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

/// Everything that the roles may do, each operation with the conditions that it is under.
fn list(snapshot: &Snapshot, stated: &Stated) -> Result<(Exit, String), Unposed> {
    let name = stated.app.as_deref().unwrap_or_default();
    let app = snapshot.app(name).ok_or_else(|| format!("there is no app `{name}`"))?;
    let mut lines = Vec::new();
    for operation in &app.operations {
        let candidates = nearest::roles(app, operation);
        let held: Vec<_> =
            candidates.iter().filter(|own| stated.roles.iter().any(|role| **role == *own.role)).collect();
        let texts: Vec<_> = held.iter().map(|own| own.text()).collect();
        let mut conditions: Vec<_> =
            held.iter().zip(&texts).map(|(own, text)| text.strip_prefix(&*own.role).unwrap_or("")).collect();
        conditions.sort_unstable();
        conditions.dedup();
        let condition = if conditions.contains(&"") { String::new() } else { conditions.join(", or") };
        if !held.is_empty() {
            lines.push(format!("{:<7} {}{condition}", operation.verb.as_str(), operation.template));
        }
    }
    for role in &stated.roles {
        if app.role(role).is_none() {
            return Err(format!("app `{name}` has no role `{role}`").into());
        }
    }
    let exit = if lines.is_empty() { Exit::No } else { Exit::Yes };
    Ok((exit, lines.join("\n")))
}
