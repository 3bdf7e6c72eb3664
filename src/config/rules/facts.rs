//! The facts that an app's conditions may read: each declared once, with its type and what stands for its absence.

use super::super::diagnostic::{Diagnostic, Diagnostics, Span, code};
use super::super::raw::{Entry, Fields, Node, Raw, Table, Text};
use super::conditions::literal;
use super::{Draft, lookups};
use crate::fact::{Default, Fact, Literal, Source, Type};
use crate::route::Segment;

/// Namespaces whose facts are declared by their type alone.
const SOURCES: [&str; 5] = ["token", "tenant", "path", "query", "header"];
/// Headers that hold what opens doors: facts are written down, and sent on.
const CREDENTIALS: [&str; 2] = ["authorization", "proxy-authorization"];
/// The type of a tenant's setting that is a set of tenants and organisations: named in the file, read as their ids.
const ORGANISATIONS: &str = "tenants";
/// Namespaces that no look-up may have.
pub(super) const RESERVED: [&str; 7] = ["token", "tenant", "path", "query", "header", "body", "client"];

/// Reads `[facts.*]`.
pub(super) fn read(draft: &mut Draft<'_>, entry: Option<&Entry>, diagnostics: &mut Diagnostics) {
    let ids = Fact {
        name: "tenant.ids".into(),
        source: Source::Tenant("ids".into()),
        kind: Type::Set,
        default: None,
    };
    draft.declare(ids);
    let Some(table) = entry.and_then(|entry| entry.value.table(diagnostics)) else { return };
    let mut defaults = Vec::new();
    for namespace in &table.entries {
        let Some(inner) = namespace.value.table(diagnostics) else { continue };
        if SOURCES.contains(&namespace.key.as_str()) {
            declare_all(draft, &namespace.key, "", inner, &mut defaults, diagnostics);
        } else if namespace.key == "body" {
            lookups::body(draft, inner, diagnostics);
        } else if lookups::is_look_up(namespace) {
            lookups::declare(draft, namespace, &mut defaults, diagnostics);
        } else {
            let message = format!("`{}` is no source of facts", namespace.key);
            diagnostics.push(
                Diagnostic::error(code::UNKNOWN_KEY, message)
                    .at(namespace.span, "means nothing here")
                    .nearest(namespace.span, &namespace.key, SOURCES.into_iter().chain(["body"])),
            );
        }
    }
    lookups::paths(draft, table, diagnostics);
    for (fact, node) in defaults {
        default(draft, fact, node, diagnostics);
    }
    lookups::check_circles(draft, diagnostics);
}

fn declare_all<'n>(
    draft: &mut Draft<'_>,
    namespace: &str,
    path: &str,
    table: &'n Table,
    defaults: &mut Vec<(usize, &'n Node)>,
    diagnostics: &mut Diagnostics,
) {
    for own in &table.entries {
        if namespace == "token" && (own.key.contains('.') || own.key.is_empty()) {
            let message = format!("`{}` would be read as a path of claims, one in the other", own.key);
            diagnostics.push(
                Diagnostic::error(code::BAD_VALUE, message)
                    .at(own.span, "a claim's name has no dot here")
                    .help("leave the quotes out if that is what is meant"),
            );
            continue;
        }
        let path = if path.is_empty() { own.key.clone() } else { format!("{path}.{}", own.key) };
        match &own.value.value {
            Raw::Table(inner) if inner.get("type").is_none_or(|kind| kind.value.as_table().is_some()) => {
                declare_all(draft, namespace, &path, inner, defaults, diagnostics);
            }
            Raw::Table(inner) => {
                let mut fields = Fields::new(inner);
                let kind = fields.take("type");
                let standing = fields.take("default");
                fields.finish(diagnostics);
                if let Some(index) =
                    kind.and_then(|kind| declare_one(draft, namespace, &path, own.span, kind, diagnostics))
                {
                    defaults.extend(standing.map(|node| (index, node)));
                }
            }
            _ => {
                declare_one(draft, namespace, &path, own.span, &own.value, diagnostics);
            }
        }
    }
}

fn declare_one(
    draft: &mut Draft<'_>,
    namespace: &str,
    path: &str,
    span: Span,
    kind: &Node,
    diagnostics: &mut Diagnostics,
) -> Option<usize> {
    let text = kind.text(diagnostics)?;
    let is_organisations = namespace == "tenant" && text.value == ORGANISATIONS;
    let kind = if is_organisations { Type::Set } else { self::kind(text, namespace, diagnostics)? };
    let source = match namespace {
        "token" => Source::Token(path.split('.').map(Into::into).collect()),
        "tenant" => Source::Tenant(path.into()),
        "path" => Source::Path(path.into()),
        "query" => Source::Query(path.into()),
        _ => {
            let plain = path.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            if !plain {
                let message = "a header is written in lower case, with `-` and no `_`";
                diagnostics.push(Diagnostic::error(code::BAD_VALUE, message).at(span, ""));
                return None;
            }
            if CREDENTIALS.contains(&path) {
                let message = format!("`{path}` holds a credential, which is no fact");
                diagnostics.push(
                    Diagnostic::error(code::BAD_VALUE, message)
                        .at(span, "")
                        .help("what a verified token says is declared in [facts.token]"),
                );
                return None;
            }
            Source::Header(path.into())
        }
    };
    let name: Box<str> = format!("{namespace}.{path}").into();
    if let Some(known) = draft.fact_names.get(&name) {
        if is_organisations || draft.facts.get(*known).is_some_and(|fact| fact.kind != kind) {
            let message = format!("`{name}` is always a set");
            diagnostics.push(Diagnostic::error(code::TYPES, message).at(text.inner(), ""));
        }
        return Some(*known);
    }
    let index = draft.declare(Fact { name, source, kind, default: None });
    if is_organisations {
        draft.organisations.insert(index);
    }
    Some(index)
}

/// Reads the type of a fact of a namespace.
pub(super) fn kind(text: Text<'_>, namespace: &str, diagnostics: &mut Diagnostics) -> Option<Type> {
    let Some(kind) = Type::parse(text.value) else {
        let more = (namespace == "tenant").then_some(ORGANISATIONS);
        diagnostics.push(
            Diagnostic::error(code::BAD_VALUE, format!("unknown type `{}`", text.value))
                .at(text.inner(), "")
                .nearest(text.inner(), text.value, Type::NAMES.into_iter().chain(more)),
        );
        return None;
    };
    let has_it = match kind {
        Type::Nets => namespace == "tenant",
        Type::Set => !matches!(namespace, "path" | "query" | "header"),
        _ => true,
    };
    if !has_it {
        let message = format!("a `{namespace}` fact can't be {kind}");
        diagnostics.push(Diagnostic::error(code::TYPES, message).at(text.inner(), ""));
    }
    has_it.then_some(kind)
}

fn default(draft: &mut Draft<'_>, fact: usize, node: &Node, diagnostics: &mut Diagnostics) {
    let Some((kind, name)) = draft.facts.get(fact).map(|fact| (fact.kind, fact.name.clone())) else { return };
    let standing = match &node.value {
        Raw::Bool(value) if kind == Type::Bool => Some(Default::Literal(Literal::Bool(*value))),
        Raw::Int(value) if kind == Type::Int => Some(Default::Literal(Literal::Int(*value))),
        Raw::List(items) if kind == Type::Set => {
            let texts: Option<Vec<Box<str>>> =
                items.iter().map(|item| item.as_text().map(|t| t.value.into())).collect();
            texts.map(|texts| Default::Literal(Literal::set(texts)))
        }
        Raw::Text(text, _) => literal(text, kind).map(Default::Literal).or_else(|| {
            let other = draft.fact(text)?;
            let fits = draft.facts.get(other).is_some_and(|own| own.kind == kind && own.default.is_none());
            (fits && other != fact).then_some(Default::Fact(other))
        }),
        _ => None,
    };
    // The default is sent on as the header's value, so it has to be one.
    let sendable = |standing: &Default, source: &Source| match (standing, source) {
        (Default::Literal(Literal::Text(text)), Source::Header(_)) => {
            text.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
        }
        _ => true,
    };
    match (standing, draft.facts.get_mut(fact)) {
        (Some(standing), Some(fact)) if sendable(&standing, &fact.source) => fact.default = Some(standing),
        _ => {
            let message = format!("this can't stand for an absent `{name}`");
            let help = "a value of the fact's type, `'text'` in quotes of its own, or another fact without a default";
            diagnostics.push(Diagnostic::error(code::TYPES, message).at(node.span, "").help(help));
        }
    }
}

/// Reads `roles`, the fact that holds the caller's roles.
pub(super) fn roles_fact(
    draft: &mut Draft<'_>,
    fields: &mut Fields<'_>,
    file: u32,
    diagnostics: &mut Diagnostics,
) {
    let start = Span { file, start: 0, end: 0 };
    let Some(text) = fields.require("roles", start, diagnostics).and_then(|node| node.text(diagnostics))
    else {
        return;
    };
    let found = draft.fact_names.get(text.value).copied();
    let fact = found.and_then(|index| Some((index, draft.facts.get(index)?)));
    match fact {
        Some((_, fact)) if fact.default.is_some() => diagnostics.push(
            Diagnostic::error(code::TYPES, "a default would give roles to whoever has none")
                .at(text.inner(), format!("`{}` has a default", fact.name)),
        ),
        Some((index, fact))
            if matches!(fact.source, Source::Token(_) | Source::LookUp { .. })
                && matches!(fact.kind, Type::Set | Type::String) =>
        {
            draft.roles_fact = Some(index);
        }
        Some(_) => diagnostics.push(
            Diagnostic::error(
                code::TYPES,
                "roles come from a set or string of the verified token, or of a look-up",
            )
            .at(text.inner(), ""),
        ),
        None => diagnostics.push(
            Diagnostic::error(code::UNKNOWN_FACT, format!("unknown fact `{}`", text.value))
                .at(text.inner(), "not declared in [facts]")
                .nearest(text.inner(), text.value, draft.fact_names.keys().map(|key| &**key)),
        ),
    }
}

/// A `path.` fact is a parameter of at least one operation, else its conditions could never be known.
pub(super) fn check_parameters(draft: &Draft<'_>, file: u32, diagnostics: &mut Diagnostics) {
    let start = Span { file, start: 0, end: 0 };
    let has = |name: &str| {
        let mut templates = draft.operations.iter().flat_map(|own| own.template.segments());
        templates
            .any(|segment| matches!(segment, Segment::Parameter(own) | Segment::Rest(own) if **own == *name))
    };
    let parameters = || -> Vec<String> {
        let all = draft.operations.iter().flat_map(|own| own.template.parameters());
        all.map(|(name, _)| format!("path.{name}")).collect()
    };
    for (index, fact) in draft.facts.iter().enumerate() {
        if let Source::Path(name) = &fact.source
            && !has(name)
        {
            let message = format!("`{}` is a parameter of no operation", fact.name);
            let (span, label) =
                draft.mentioned.get(&index).map_or((start, "in this file"), |span| (*span, ""));
            let names = parameters();
            let mut diagnostic = Diagnostic::error(code::UNKNOWN_FACT, message).at(span, label);
            if draft.mentioned.contains_key(&index) {
                diagnostic = diagnostic.nearest(span, &fact.name, names.iter().map(|own| own.as_str()));
            }
            diagnostics.push(diagnostic);
        }
    }
}
