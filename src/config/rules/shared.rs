//! Routes that two apps permit: such a request is judged by both files and one allow suffices, so whoever reads one of
//! them is told of the other, and of what the other's allow doesn't carry along.

use super::super::diagnostic::{Diagnostic, Diagnostics, code};
use super::super::raw::Text;
use super::Draft;
use super::expect::{self, Pattern};
use super::link::owns;
use crate::analysis::guard::{self, Standing};
use crate::policy::{App, Operation};

/// What two apps claim is judged under each, and one allow suffices: whoever reads one of the files is told.
pub(super) fn tell(drafts: &[Draft<'_>], diagnostics: &mut Diagnostics) {
    for draft in drafts {
        for owner in drafts.iter().filter(|other| other.name != draft.name) {
            let shared = draft.operations.iter().filter(|own| {
                owns(owner, &own.template, &draft.hosts)
                    && owner.by_route.contains_key(&(own.verb, own.template.to_string()))
            });
            let names: Vec<String> = shared.map(|own| format!("{} {}", own.verb, own.template)).collect();
            if names.is_empty() {
                continue;
            }
            let listed = super::requirements::listed(&names);
            let message = format!("`{}` and `{}` both permit {listed}", owner.name, draft.name);
            diagnostics.push(
                Diagnostic::note(code::SHARED_ROUTES, message)
                    .at(draft.name_span, "permits what it doesn't own")
                    .also(owner.name_span, "the owner")
                    .help("such a request is judged by both files, and one allow suffices"),
            );
            tell_what_is_left_out(draft, owner, diagnostics);
        }
    }
}

/// Whoever is let in by the other app's file is let in without what the owner's allow carries along.
fn tell_what_is_left_out(draft: &Draft<'_>, owner: &Draft<'_>, diagnostics: &mut Diagnostics) {
    for own in &draft.operations {
        let found = owner.by_route.get(&(own.verb, own.template.to_string()));
        let Some(theirs) = found.and_then(|at| owner.operations.get(*at)) else { continue };
        let (here, there) = (&own.obligations, &theirs.obligations);
        let tables = [
            ("narrow", here.narrows.len() < there.narrows.len()),
            ("filter", here.filters.len() < there.filters.len()),
            ("mask", here.masks.len() < there.masks.len()),
            ("body", here.body_only.is_none() && there.body_only.is_some()),
            ("audit", here.audit.len() < there.audit.len()),
        ];
        for (table, _) in tables.iter().filter(|(_, is_left_out)| *is_left_out) {
            let route = format!("{} {}", own.verb, own.template);
            let message =
                format!("`{}` permits `{route}` without the [{table}] of `{}`", draft.name, owner.name);
            diagnostics.push(
                Diagnostic::warning(code::SHARED_ROUTES, message)
                    .at(own.span, "whoever is let in by this isn't held to it")
                    .also(theirs.span, "the owner's")
                    .help(format!("say [{table}] here too, or take `{}` out of `shared-with`", draft.name)),
            );
        }
    }
}

/// What one file's `[never]` rules out of an operation, no other file permits: whoever holds the role may hold one of the
/// other app's beside it, because both read the same string of the same fact or because everybody has it.
pub(super) fn check_never(apps: &[App], drafts: &[Draft<'_>], diagnostics: &mut Diagnostics) {
    for app in apps {
        let Some(draft) = drafts.iter().find(|own| *own.name == *app.name) else { continue };
        for row in draft.never.map_or(&[][..], |table| &table.entries) {
            let Some((role, _)) = app.role(&row.key) else { continue };
            // What is wrong with a pattern has been told.
            let texts = row.value.texts(&mut Diagnostics::default()).unwrap_or_default();
            for text in texts {
                let found = expect::pattern(app, draft, text, &mut Diagnostics::default());
                let Some(Pattern::Operations(matching)) = found else { continue };
                let ruled_out = matching.iter().filter_map(|index| app.operations.get(*index));
                ruled_out.for_each(|own| tell_who_may(apps, (app, role), (own, text), diagnostics));
            }
        }
    }
}

fn tell_who_may(
    apps: &[App],
    (app, role): (&App, usize),
    (own, text): (&Operation, Text<'_>),
    diagnostics: &mut Diagnostics,
) {
    for other in apps.iter().filter(|other| other.name != app.name && other.issuer == app.issuer) {
        let same = |their: &&Operation| their.verb == own.verb && their.template == own.template;
        let Some(theirs) = other.operations.iter().find(same) else { continue };
        let held = roles_beside((app, role), other);
        let may = |held: &usize| guard::standing(other, *held, theirs) != Standing::Nothing;
        let Some(held) = held.into_iter().find(may) else { continue };
        let name = other.roles.get(held).map_or("", |row| &*row.name);
        let message = format!(
            "whoever is `{}` may `{} {}` as `{name}` of `{}`, which [never] rules out",
            app.roles.get(role).map_or("", |row| &*row.name),
            own.verb,
            own.template,
            other.name,
        );
        let place = format!("it is granted at {}", expect::granting_place(other, held, theirs));
        diagnostics.push(Diagnostic::error(code::NEVER, message).at(text.inner(), "never").help(place));
    }
}

/// The roles of another app that a caller has by what gives him this one.
fn roles_beside((app, role): (&App, usize), other: &App) -> Vec<usize> {
    let source = |app: &App| app.facts.get(app.roles_fact).map(|fact| fact.source.clone());
    let claims = app.roles.get(role).filter(|_| source(app) == source(other)).map(|row| &row.claims);
    let named = claims.into_iter().flatten().filter_map(|claim| other.role_claims.get(claim)).flatten();
    named.copied().chain(other.anyone).collect()
}
