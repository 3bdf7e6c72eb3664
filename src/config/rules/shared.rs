//! Routes that two apps permit: such a request is judged by both files and one allow suffices, so whoever reads one of
//! them is told of the other, and of what the other's allow doesn't carry along.

use super::super::diagnostic::{Diagnostic, Diagnostics, code};
use super::Draft;
use super::link::{is_own, owns};

/// What two apps claim is judged under each, and one allow suffices: whoever reads one of the files is told.
pub(super) fn tell(drafts: &[Draft<'_>], diagnostics: &mut Diagnostics) {
    for draft in drafts {
        // What lies under what an app owns lies under nothing that another one does; of most apps that is everything.
        let beyond: Vec<_> =
            draft.operations.iter().filter(|own| !own.template.is_event() && !is_own(draft, own)).collect();
        let others = drafts.iter().filter(|other| other.name != draft.name && !beyond.is_empty());
        for owner in others {
            let shared = beyond.iter().filter(|own| {
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

/// Whoever is let in by the other app's file is let in without what the owner's allow carries along: what guards the owner's answers would guard no more.
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
            // What is on record is on record under either file; the others are what the caller is held to.
            let diagnostic = if *table == "audit" { Diagnostic::warning } else { Diagnostic::error };
            diagnostics.push(
                diagnostic(code::SHARED_ROUTES, message)
                    .at(own.span, "whoever is let in by this isn't held to it")
                    .also(theirs.span, "the owner's")
                    .help(format!("say [{table}] here too, or take `{}` out of `shared-with`", draft.name)),
            );
        }
    }
}
