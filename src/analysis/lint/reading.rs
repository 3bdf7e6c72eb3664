//! What someone should have read once, and what as a rule is as it should be: operations that change something under a scope
//! for looking, that anyone reaches, or that nothing is required for. One remark each for the whole app.

use super::{Finding, Kind, Subject, Weight, listed};
use crate::policy::{Access, App, Operation, TenantRule};
use crate::route::Verb;

/// Scopes that sound as if they let nobody change anything.
const LOOKING: [&str; 9] = ["view", "read", "list", "search", "get", "see", "show", "browse", "watch"];

pub(super) fn of(app: &App) -> Vec<Finding> {
    writes(app).into_iter().chain(open(app)).chain(unrequired(app)).collect()
}

fn written(operation: &Operation) -> String {
    format!("{} {}", operation.verb, operation.template)
}

fn is_write(operation: &Operation) -> bool {
    matches!(operation.verb, Verb::Post | Verb::Put | Verb::Patch | Verb::Delete)
}

fn writes(app: &App) -> Option<Finding> {
    let is_looking = |scope: &str| LOOKING.contains(&scope.to_lowercase().as_str());
    let mut first = None;
    let mut names = Vec::new();
    for operation in app.operations.iter().filter(|own| is_write(own)) {
        let mut permissions = operation.permissions().filter_map(|id| {
            let at = app.permissions.binary_search_by_key(&id, |(own, _)| *own).ok()?;
            Some((at, &app.permissions.get(at)?.1))
        });
        if let Some((at, own)) = permissions.find(|(_, own)| is_looking(&own.scope)) {
            first = first.or(Some(at));
            names.push(format!("{} ({})", written(operation), own.name));
        }
    }
    let message = format!("scopes for looking permit what changes something: {}", listed(&names));
    let finding = Finding::new(Kind::WriteInView, Weight::Reading, Subject::Scope(first?), message);
    Some(finding.help("whoever is granted such a scope to look may do these too"))
}

fn open(app: &App) -> Option<Finding> {
    let anyone = app.anyone.and_then(|index| app.roles.get(index));
    let is_open = |own: &&Operation| match &own.access {
        Access::Public => true,
        Access::Guarded { .. } => {
            anyone.is_some_and(|role| own.permissions().any(|id| !role.grants_of(id).is_empty()))
        }
        Access::Socket { .. } => false,
    };
    let names: Vec<String> = app.operations.iter().filter(is_open).map(written).collect();
    if names.is_empty() {
        return None;
    }
    let message = format!("no role is needed for {}", listed(&names));
    Some(
        Finding::new(Kind::Open, Weight::Reading, Subject::App, message)
            .label("public, or granted to `anyone`"),
    )
}

fn unrequired(app: &App) -> Option<Finding> {
    if matches!(app.tenant, TenantRule::From { proven_by: Some(_), .. }) {
        return None;
    }
    let bare = |own: &&Operation| !matches!(own.access, Access::Public) && own.requirements().is_empty();
    let names: Vec<String> = app.operations.iter().filter(bare).map(written).collect();
    if names.is_empty() {
        return None;
    }
    let message = format!("beside a role nothing is required for {}", listed(&names));
    Some(
        Finding::new(Kind::Unrequired, Weight::Reading, Subject::App, message)
            .label("no line of [require] is about them"),
    )
}
