//! The guards at the top of a rule file: what the app is, whose tokens and which tenant it takes, the facts that its
//! conditions read, and what every operation requires.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::super::diagnostic::{Diagnostic, Diagnostics, Span, code};
use super::super::lines::Lines;
use super::super::raw::{Entry, Fields, Node, Raw, Text};
use super::limits::LimitsDraft;
use super::{Context, Draft};
use crate::fact::{Fact, Source, Type};
use crate::plumbing::{IssuerConfig, Place};
use crate::policy::{TenantRule, TokenHandling};
use crate::request::{CanonicalPath, Host};
use crate::token::IssuerKind;

/// Reads what the app is. `None` if it has no name or issuer.
pub(super) fn read<'n>(
    file: u32,
    fields: &mut Fields<'n>,
    lines: &'n Lines,
    context: Context<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Draft<'n>> {
    let start = Span { file, start: 0, end: 0 };
    let name = fields.require("app", start, diagnostics).and_then(|node| node.text(diagnostics));
    let issuer = fields.require("issuer", start, diagnostics).and_then(|node| node.text(diagnostics));
    let hosts = hosts(fields, diagnostics);
    let base_node = fields.take("base");
    let base = base_node.and_then(|node| node.text(diagnostics)).map(|text| prefix(text, diagnostics));
    let base: Box<str> = base.flatten().unwrap_or_default();
    let (owns, shared_with) = (fields.take("owns"), fields.take("shared-with"));
    let owns = owns_of(owns, base_node, &base, &hosts, diagnostics);
    let shared_with = shared_with.and_then(|node| node.texts(diagnostics)).unwrap_or_default();
    let authorization = authorization(fields, diagnostics);
    let (name, issuer) = (name?, issuer?);
    if !is_name(name.value) {
        diagnostics.push(
            Diagnostic::error(code::BAD_VALUE, "an app's name is lower-case letters, digits and `-`")
                .at(name.inner(), ""),
        );
    }
    let known = known_issuer(issuer, context, diagnostics);
    Some(Draft {
        name: name.value.into(),
        name_span: name.inner(),
        hosts,
        base,
        owns,
        shared_with: shared_with.iter().map(|text| (text.value.into(), text.inner())).collect(),
        issuer: known.map_or_else(|| issuer.value.into(), |known| known.name.clone()),
        issuer_kind: known.map_or(IssuerKind::Oidc, |known| known.kind),
        roles_fact: None,
        tenant: None,
        isolation: None,
        authorization,
        facts: Vec::new(),
        fact_names: HashMap::new(),
        organisations: HashSet::new(),
        mentioned: HashMap::new(),
        look_ups: Vec::new(),
        limits: LimitsDraft::default(),
        cors: None,
        socket: None,
        injects: Vec::new(),
        untils: BTreeMap::new(),
        ends: Vec::new(),
        today: context.today,
        conditions: Vec::new(),
        condition_names: HashMap::new(),
        requirements: Vec::new(),
        permissions: Vec::new(),
        resources: Vec::new(),
        resource_names: HashMap::new(),
        roles: Vec::new(),
        features: Vec::new(),
        operations: Vec::new(),
        by_route: HashMap::new(),
        never: None,
        expect: None,
        lines,
    })
}

fn known_issuer<'c>(
    issuer: Text<'_>,
    context: Context<'c>,
    diagnostics: &mut Diagnostics,
) -> Option<&'c IssuerConfig> {
    let known = context.issuers.iter().find(|known| *known.name == *issuer.value);
    if known.is_none() {
        let names = context.issuers.iter().map(|known| &*known.name);
        diagnostics.push(
            Diagnostic::error(code::UNKNOWN_ISSUER, format!("unknown issuer `{}`", issuer.value))
                .at(issuer.inner(), "gateway.toml has no such [issuers] row")
                .nearest(issuer.inner(), issuer.value, names),
        );
    }
    known
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn hosts(fields: &mut Fields<'_>, diagnostics: &mut Diagnostics) -> Vec<Box<str>> {
    let node = fields.take("hosts");
    let texts = node.and_then(|node| node.texts(diagnostics)).unwrap_or_default();
    if let (Some(node), true) = (node, texts.is_empty()) {
        diagnostics.push(
            Diagnostic::error(code::BAD_VALUE, "`hosts` names no host")
                .at(node.span, "")
                .help("leave it out if the app answers to every host"),
        );
    }
    let mut hosts = Vec::new();
    for text in texts {
        match Host::parse(text.value) {
            Ok(host) if host.as_str() == text.value => hosts.push(host.as_str().into()),
            _ => diagnostics.push(
                Diagnostic::error(code::BAD_VALUE, "a host is a lower-case name without a port")
                    .at(text.inner(), ""),
            ),
        }
    }
    hosts
}

/// A path prefix without a trailing slash; the root is empty. Templates are allowed in a base, not in `owns`.
fn prefix(text: Text<'_>, diagnostics: &mut Diagnostics) -> Option<Box<str>> {
    let trimmed = if text.value == "/" { "" } else { text.value };
    match crate::route::Template::parse(text.value) {
        Ok(template) if !template.ends_in_rest() => Some(trimmed.into()),
        _ => {
            let message = "a prefix begins with `/` and doesn't end in one";
            diagnostics.push(Diagnostic::error(code::BAD_VALUE, message).at(text.inner(), ""));
            None
        }
    }
}

fn owns_of(
    owns: Option<&Node>,
    base_node: Option<&Node>,
    base: &str,
    hosts: &[Box<str>],
    diagnostics: &mut Diagnostics,
) -> Vec<(Place, Span)> {
    let mut prefixes: Vec<(String, Span)> = Vec::new();
    match (owns.and_then(|node| node.texts(diagnostics)), base_node) {
        (Some(texts), _) => {
            for text in texts {
                let literal = CanonicalPath::parse(text.value).is_ok();
                let unslashed = text.value == "/" || !text.value.ends_with('/');
                if literal && unslashed {
                    prefixes.push((text.value.into(), text.inner()));
                } else {
                    let message = "an owned prefix begins with `/`, has no parameters and doesn't end in `/`";
                    diagnostics.push(Diagnostic::error(code::BAD_VALUE, message).at(text.inner(), ""));
                }
            }
        }
        // The literal part of the base: `/connect/t/{tenant}` owns `/connect/t`.
        (None, Some(node)) => {
            let literal = base.split("/{").next().unwrap_or(base);
            prefixes.push((if literal.is_empty() { "/".into() } else { literal.into() }, node.span));
        }
        (None, None) => {}
    }
    let on_hosts = |(prefix, span): (String, Span)| -> Vec<(Place, Span)> {
        if hosts.is_empty() {
            return vec![(Place { host: None, prefix }, span)];
        }
        hosts
            .iter()
            .map(|host| (Place { host: Some(host.to_string()), prefix: prefix.clone() }, span))
            .collect()
    };
    prefixes.into_iter().flat_map(on_hosts).collect()
}

fn authorization(fields: &mut Fields<'_>, diagnostics: &mut Diagnostics) -> TokenHandling {
    match fields.take("authorization").and_then(|node| node.text(diagnostics)) {
        None => TokenHandling::Pass,
        Some(text) => match text.value {
            "pass" => TokenHandling::Pass,
            "strip" => TokenHandling::Strip,
            other => {
                diagnostics.push(
                    Diagnostic::error(code::BAD_VALUE, format!("`{other}` is neither `pass` nor `strip`"))
                        .at(text.inner(), "")
                        .nearest(text.inner(), other, ["pass", "strip"]),
                );
                TokenHandling::Strip
            }
        },
    }
}

/// Reads `tenant` and `isolation`.
pub(super) fn tenant(
    draft: &mut Draft<'_>,
    fields: &mut Fields<'_>,
    file: u32,
    context: Context<'_>,
    diagnostics: &mut Diagnostics,
) {
    let start = Span { file, start: 0, end: 0 };
    let isolation = fields.entry("isolation");
    let Some(node) = fields.require("tenant", start, diagnostics) else { return };
    match &node.value {
        Raw::Text(..) => {
            constant(draft, node, context, diagnostics);
            if isolation.is_some() {
                isolate(draft, node.span, isolation, diagnostics);
            }
        }
        Raw::Table(table) => {
            let mut inner = Fields::new(table);
            let from = inner.require("from", node.span, diagnostics).and_then(|from| from.texts(diagnostics));
            let proven_by = inner.take("proven-by").and_then(|node| node.text(diagnostics));
            inner.finish(diagnostics);
            sources(draft, node.span, &from.unwrap_or_default(), proven_by, diagnostics);
            isolate(draft, node.span, isolation, diagnostics);
        }
        _ => diagnostics.push(
            Diagnostic::error(
                code::WRONG_TYPE,
                "a tenant's name, or `{ from = [...], proven-by = \"...\" }`",
            )
            .at(node.span, ""),
        ),
    }
}

fn constant(draft: &mut Draft<'_>, node: &Node, context: Context<'_>, diagnostics: &mut Diagnostics) {
    let Some(text) = node.as_text() else { return };
    match context.directory.named(text.value) {
        Some(tenant) if tenant.uses(&draft.name) => draft.tenant = Some(TenantRule::Constant(tenant.clone())),
        Some(_) => {
            let message = format!("tenant `{}` is no customer of `{}`", text.value, draft.name);
            let help = format!("add `{}` to its `apps` in tenants.toml", draft.name);
            diagnostics
                .push(Diagnostic::error(code::UNKNOWN_TENANT, message).at(text.inner(), "").help(help));
        }
        None => {
            let names = context.directory.tenants().iter().map(|tenant| &*tenant.name);
            diagnostics.push(
                Diagnostic::error(code::UNKNOWN_TENANT, format!("unknown tenant `{}`", text.value))
                    .at(text.inner(), "tenants.toml has no such row")
                    .nearest(text.inner(), text.value, names),
            );
        }
    }
}

fn sources(
    draft: &mut Draft<'_>,
    span: Span,
    from: &[Text<'_>],
    proven_by: Option<Text<'_>>,
    diagnostics: &mut Diagnostics,
) {
    let mut sources = Vec::new();
    let mut stated = None;
    for text in from {
        let found = draft.fact(text.value).or_else(|| undeclared(draft, text.value));
        let Some(index) = found else {
            diagnostics.push(
                Diagnostic::error(code::UNKNOWN_FACT, format!("`{}` is no source of a tenant", text.value))
                    .at(text.inner(), "expected `header.x`, `query.x`, `path.x` or a declared `token.x`"),
            );
            continue;
        };
        let Some(fact) = draft.facts.get(index) else { continue };
        if !matches!(fact.kind, Type::String)
            || fact.default.is_some()
            || !matches!(
                fact.source,
                Source::Token(_) | Source::Header(_) | Source::Query(_) | Source::Path(_)
            )
        {
            let message = "a tenant is named by a string of the request or the token, without a default";
            diagnostics.push(Diagnostic::error(code::TYPES, message).at(text.inner(), ""));
        }
        if !matches!(fact.source, Source::Token(_)) {
            stated = Some(text.inner());
        }
        sources.push(index);
    }
    let proven = proven_by.and_then(|text| proof(draft, text, diagnostics));
    if let (Some(stated), None) = (stated, proven_by) {
        diagnostics.push(
            Diagnostic::error(
                code::UNPROVEN_TENANT,
                "the caller names the tenant, and nothing proves that it may",
            )
            .at(stated, "the caller's own word")
            .also(span, "needs `proven-by`")
            .help("name a requirement that holds only for who may act for that tenant"),
        );
    }
    if sources.is_empty() {
        diagnostics.push(Diagnostic::error(code::BAD_VALUE, "no source of a tenant").at(span, ""));
    }
    draft.tenant = Some(TenantRule::From { sources: sources.into(), proven_by: proven });
}

/// The requirement that proves that the caller may act for the tenant.
fn proof(draft: &Draft<'_>, text: Text<'_>, diagnostics: &mut Diagnostics) -> Option<usize> {
    let found = draft.requirements.iter().position(|own| *own.requirement.name == *text.value);
    match found {
        Some(index)
            if draft
                .requirements
                .get(index)
                .is_some_and(|own| own.on.is_empty() && own.requirement.step_up.is_none()) =>
        {
            Some(index)
        }
        Some(_) => {
            let message = "what proves the tenant holds for every operation and can't be logged in to, so it has no `on` and no `else`";
            diagnostics.push(Diagnostic::error(code::UNPROVEN_TENANT, message).at(text.inner(), ""));
            None
        }
        None => {
            let names = draft.requirements.iter().map(|own| &*own.requirement.name);
            diagnostics.push(
                Diagnostic::error(code::UNKNOWN_CONDITION, format!("unknown requirement `{}`", text.value))
                    .at(text.inner(), "not declared in [require]")
                    .nearest(text.inner(), text.value, names),
            );
            None
        }
    }
}

/// A header or query parameter that names the tenant needs no row in `[facts]`.
fn undeclared(draft: &mut Draft<'_>, name: &str) -> Option<usize> {
    let (namespace, key) = name.split_once('.')?;
    let plain =
        !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let source = match namespace {
        "header" if plain => Source::Header(key.into()),
        "query" if !key.is_empty() => Source::Query(key.into()),
        _ => return None,
    };
    Some(draft.declare(Fact { name: name.into(), source, kind: Type::String, default: None }))
}

fn isolate(draft: &mut Draft<'_>, tenant: Span, entry: Option<&Entry>, diagnostics: &mut Diagnostics) {
    let Some(entry) = entry else {
        diagnostics.push(
            Diagnostic::error(code::MISSING, "`isolation` is missing")
                .at(tenant, "the tenant isn't constant")
                .help("`isolation = \"upstream\"` if the app keeps tenants apart by the tenant header, else a requirement's name"),
        );
        return;
    };
    let Some(text) = entry.value.text(diagnostics) else { return };
    if text.value == "upstream" {
        return;
    }
    match draft.requirements.iter().position(|own| *own.requirement.name == *text.value) {
        Some(index) => draft.isolation = Some((index, text.inner())),
        None => {
            let names = draft.requirements.iter().map(|own| &*own.requirement.name).chain(["upstream"]);
            diagnostics.push(
                Diagnostic::error(code::UNKNOWN_CONDITION, format!("unknown requirement `{}`", text.value))
                    .at(text.inner(), "neither `upstream` nor declared in [require]")
                    .nearest(text.inner(), text.value, names),
            );
        }
    }
}
