//! A compiled app against what its file says must be: `[never]` and `[expect]`, at every load.

use super::super::diagnostic::{Diagnostic, Diagnostics, code};
use super::super::raw::{Entry, Text};
use super::{Draft, patterns, until};
use crate::analysis::guard::{self, Standing, Verdict};
use crate::policy::{Access, App, Operation, PermissionId};
use crate::request::{CanonicalPath, Host};
use crate::route::{Match, RouteTable, RouteTableBuilder, Template, Verb};

/// Runs both tables.
pub(super) fn check(app: &App, draft: &Draft<'_>, diagnostics: &mut Diagnostics) {
    for row in draft.never.map_or(&[][..], |table| &table.entries) {
        never(app, draft, row, diagnostics);
    }
    let expected = draft.expect.map_or(&[][..], |table| &table.entries);
    if expected.is_empty() {
        return;
    }
    let mut routes = RouteTableBuilder::default();
    for (index, operation) in app.operations.iter().enumerate().filter(|(_, own)| !own.template.is_event()) {
        routes.add(&[], operation.template.clone(), operation.verb, index);
    }
    let routes = routes.build();
    for row in expected {
        expect(app, draft, &routes, row, diagnostics);
    }
}

fn role(app: &App, text: Text<'_>, name: &str, diagnostics: &mut Diagnostics) -> Option<usize> {
    let found = app.role(name).map(|(index, _)| index);
    if found.is_none() {
        let span = if name.is_empty() { text.inner() } else { text.part(name) };
        diagnostics.push(
            Diagnostic::error(code::UNKNOWN_ROLE, format!("unknown role `{name}`"))
                .at(span, "not declared in [role]")
                .nearest(span, name, app.roles.iter().map(|role| &*role.name)),
        );
    }
    found
}

/// `role = [patterns]`: the role, with what anyone has, may never hold any of them, whatever the conditions.
fn never(app: &App, draft: &Draft<'_>, row: &Entry, diagnostics: &mut Diagnostics) {
    // A role that isn't known doesn't keep its row's patterns from being looked at.
    let role = role(app, Text::of_key(row), &row.key, diagnostics);
    for text in row.value.texts(diagnostics).unwrap_or_default() {
        let pattern = pattern(app, draft, text, diagnostics);
        let Some(role) = role else { continue };
        let broken = match pattern {
            None => None,
            Some(Pattern::Permission(id)) => {
                held(app, role, id).map(|place| (text.value.to_owned(), format!("it is granted at {place}")))
            }
            Some(Pattern::Operations(matching)) => {
                let operations = matching.iter().filter_map(|index| app.operations.get(*index));
                let mut reached = operations
                    .filter(|own| is_public(own) || guard::standing(app, role, own) != Standing::Nothing);
                let reached = reached.next();
                reached.map(|own| (format!("{} {}", own.verb, own.template), reaching_place(app, role, own)))
            }
        };
        if let Some((what, place)) = broken {
            let message = format!("`{}` may `{what}`, which [never] rules out", row.key);
            diagnostics.push(Diagnostic::error(code::NEVER, message).at(text.inner(), "never").help(place));
        }
    }
}

/// What a pattern of `[never]` means.
enum Pattern {
    /// Holding this permission, whatever else permits its operations.
    Permission(PermissionId),
    /// Reaching one of these operations, by whichever permission.
    Operations(Vec<usize>),
}

/// Where a role, or everyone, is granted a permission.
fn held(app: &App, role: usize, permission: PermissionId) -> Option<String> {
    let roles = [Some(role), app.anyone];
    let mut grants = roles
        .into_iter()
        .flatten()
        .filter_map(|role| app.roles.get(role))
        .flat_map(|row| row.grants_of(permission));
    grants.next().map(|grant| grant.place.to_string())
}

fn is_public(operation: &Operation) -> bool {
    matches!(operation.access, Access::Public)
}

fn reaching_place(app: &App, role: usize, operation: &Operation) -> String {
    if is_public(operation) {
        return format!("anyone may, without a token: it is public at {}", operation.place);
    }
    format!("it is granted at {}", granting_place(app, role, operation))
}

fn granting_place(app: &App, role: usize, operation: &Operation) -> String {
    let roles = [Some(role), app.anyone];
    let rows = roles.into_iter().flatten().filter_map(|role| app.roles.get(role));
    let mut grants = rows.flat_map(|row| operation.permissions().flat_map(move |id| row.grants_of(id)));
    grants.next().map_or_else(String::new, |grant| grant.place.to_string())
}

/// Reads a pattern of `[never]`: `resource#scope`, `METHOD /path`, `METHOD *`, `* /path...`, `EMIT name`.
fn pattern(app: &App, draft: &Draft<'_>, text: Text<'_>, diagnostics: &mut Diagnostics) -> Option<Pattern> {
    let unknown = |diagnostics: &mut Diagnostics| {
        let names = app.permissions.iter().map(|(_, permission)| &*permission.name);
        diagnostics.push(
            Diagnostic::error(
                code::UNKNOWN_OPERATION,
                format!("`{}` is nothing that this file has", text.value),
            )
            .at(text.inner(), "expected `resource#scope`, `METHOD /path` or `METHOD *`")
            .nearest(text.inner(), text.value, names),
        );
        None
    };
    let permission = app.permissions.iter().find(|(_, permission)| *permission.name == *text.value);
    if let Some((id, _)) = permission {
        return Some(Pattern::Permission(*id));
    }
    let operations = app.operations.iter().map(|own| (own.verb, &own.template));
    match patterns::matching(&draft.base, text.value, operations) {
        // Of a whole method there may be none.
        Some(found) if !found.is_empty() || text.value.ends_with(" *") => Some(Pattern::Operations(found)),
        _ => unknown(diagnostics),
    }
}

/// `"role METHOD /path" = "allow" | "deny" | "if cond, cond"`.
fn expect(
    app: &App,
    draft: &Draft<'_>,
    routes: &RouteTable<usize>,
    row: &Entry,
    diagnostics: &mut Diagnostics,
) {
    let key = Text::of_key(row);
    let Some((name, verb, path)) = split(key.value) else {
        let message = "an expectation is `role METHOD /path` or `role EMIT name`";
        diagnostics.push(Diagnostic::error(code::BAD_VALUE, message).at(key.inner(), ""));
        return;
    };
    let role = role(app, key, name, diagnostics);
    let Some(answer) = row.value.text(diagnostics) else { return };
    let conditions = conditions(draft, answer, diagnostics);
    let operation = match find(app, draft, routes, verb, path) {
        Found::Operation(operation) => operation,
        Found::OtherMethods if answer.value == "deny" => return,
        Found::Nothing if answer.value == "deny" => {
            let message = format!("no operation has the path `{path}`, so this row can't fail");
            diagnostics.push(Diagnostic::warning(code::UNKNOWN_OPERATION, message).at(key.part(path), ""));
            return;
        }
        Found::OtherMethods | Found::Nothing => {
            let message = format!("no operation is `{verb} {path}`");
            diagnostics.push(Diagnostic::error(code::UNKNOWN_OPERATION, message).at(key.part(path), ""));
            return;
        }
    };
    let (Some(role), Some(conditions)) = (role, conditions) else { return };
    let verdict = guard::compare(app, role, operation, &conditions);
    let met = match (answer.value, verdict) {
        ("allow", Verdict::Always) | ("deny", Verdict::Never) => true,
        ("allow" | "deny", _) => false,
        (_, verdict) => verdict == Verdict::AsExpected,
    };
    if !met {
        let (found, place) = describe(app, role, operation, verdict);
        diagnostics.push(
            Diagnostic::error(
                code::EXPECT,
                format!("expected `{}`, but the rules say {found}", answer.value),
            )
            .at(answer.inner(), format!("`{} {}`", operation.verb, operation.template))
            .help(place),
        );
    }
}

/// The conditions of an answer, which must all hold; none of `allow` and `deny`.
fn conditions(draft: &Draft<'_>, answer: Text<'_>, diagnostics: &mut Diagnostics) -> Option<Vec<usize>> {
    let (term, day) = until::split(answer.value);
    let mut found = match term.split_once(' ') {
        Some(("if", list)) => {
            let names = list.split(',').map(str::trim);
            names.map(|name| super::conditions::by_name(draft, answer, name, diagnostics)).collect()
        }
        None if matches!(term, "allow" | "deny") && day.is_none() || term.is_empty() && day.is_some() => {
            Vec::new()
        }
        // `if until 2027-01-31`: a day alone.
        None if term == "if" && day.is_some() => Vec::new(),
        _ => {
            diagnostics.push(
                Diagnostic::error(code::BAD_VALUE, format!("`{}` is no answer", answer.value))
                    .at(answer.inner(), "expected `allow`, `deny` or `if condition, condition`")
                    .nearest(answer.inner(), answer.value, ["allow", "deny"]),
            );
            return None;
        }
    };
    found.extend(day.map(|day| until::known(draft, answer, day, diagnostics)));
    found.into_iter().collect()
}

fn describe(app: &App, role: usize, operation: &Operation, verdict: Verdict) -> (String, String) {
    let place = match granting_place(app, role, operation) {
        _ if is_public(operation) => format!("it is public, declared at {}", operation.place),
        place if place.is_empty() => {
            format!("no grant of this role permits it; it is declared at {}", operation.place)
        }
        place => format!("it is granted at {place}"),
    };
    let guards: Vec<String> = guard::guards(app, role, operation)
        .iter()
        .map(|conditions| {
            let names = conditions
                .iter()
                .filter_map(|index| app.conditions.get(*index))
                .map(|own| own.name.to_string());
            names.collect::<Vec<_>>().join(", ")
        })
        .collect();
    let found = match verdict {
        Verdict::Always => "`allow`".to_owned(),
        Verdict::Never => "`deny`".to_owned(),
        Verdict::TooMany => "something that rests on too many tests to be compared".to_owned(),
        Verdict::AsExpected | Verdict::Otherwise => format!("`if {}`", guards.join("` or `if ")),
    };
    (found, place)
}

fn split(key: &str) -> Option<(&str, Verb, &str)> {
    if let Some((role, name)) = key.split_once(" EMIT ") {
        return Some((role, Verb::Emit, name));
    }
    let (before, path) = key.rsplit_once(' ')?;
    let (role, method) = before.rsplit_once(' ')?;
    Some((role, Verb::parse(method)?, path))
}

enum Found<'a> {
    Operation(&'a Operation),
    OtherMethods,
    Nothing,
}

/// The operation of a path that is relative to the base, found as a request's is. A path may be the operation's own
/// template; elsewhere a parameter stands for itself.
fn find<'a>(
    app: &'a App,
    draft: &Draft<'_>,
    routes: &RouteTable<usize>,
    verb: Verb,
    path: &str,
) -> Found<'a> {
    if verb == Verb::Emit {
        let found = app.events.get(path).and_then(|index| app.operations.get(*index));
        return found.map_or(Found::Nothing, Found::Operation);
    }
    let full = super::join(&draft.base, path);
    let written = Template::parse(&full).ok();
    let written = written.and_then(|template| draft.by_route.get(&(verb, template.to_string())));
    if let Some(operation) = written.and_then(|index| app.operations.get(*index)) {
        return Found::Operation(operation);
    }
    let full = full.replace(['{', '}'], "");
    let (Ok(host), Ok(path)) = (Host::parse("gateway.invalid"), CanonicalPath::parse(&full)) else {
        return Found::Nothing;
    };
    match routes.find(&host, &path, Some(verb)) {
        Match::Operations(found) => found
            .first()
            .and_then(|index| app.operations.get(*index))
            .map_or(Found::Nothing, Found::Operation),
        Match::OtherMethods(_) => Found::OtherMethods,
        Match::Nothing => Found::Nothing,
    }
}
