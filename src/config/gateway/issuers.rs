//! Reads `[issuers.NAME]`.

use std::sync::Arc;

use super::super::diagnostic::{Diagnostic, Span, code};
use super::super::raw::{Entry, Fields, Node, Table};
use super::read::{Reader, is_empty_list};
use super::units::{self, UrlReach};
use super::{ENTRA_ISSUER, ENTRA_METADATA, IssuerConfig, KeySource, LEEWAY, LEEWAY_MAX};
use crate::token::IssuerKind;

/// The algorithms that an issuer may be given; what a client and a server could share a secret for isn't here.
const ALGORITHMS: [&str; 9] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

pub(super) fn issuer(reader: &mut Reader<'_>, entry: &Entry, table: &Table) -> IssuerConfig {
    let mut fields = Fields::new(table);
    let kind = issuer_kind(reader, &mut fields, entry.span);
    let issuer = expected_issuer(reader, &mut fields, kind, entry.span);
    let audience = fields.require("audience", entry.span, reader.diagnostics);
    let audience = some_texts(reader, audience, "a token for anyone would be accepted");
    let algorithms = algorithms(reader, fields.take("algorithms"));
    let keys = key_source(reader, &mut fields, kind, &issuer);
    let leeway = reader.duration(fields.take("leeway"), LEEWAY, LEEWAY_MAX);
    fields.finish(reader.diagnostics);
    IssuerConfig { name: Arc::from(entry.key.as_str()), kind, issuer, audience, algorithms, keys, leeway }
}

fn issuer_kind(reader: &mut Reader<'_>, fields: &mut Fields<'_>, owner: Span) -> IssuerKind {
    let node = fields.require("kind", owner, reader.diagnostics);
    let Some(text) = node.and_then(|node| node.text(reader.diagnostics)) else { return IssuerKind::Oidc };
    match text.value {
        "entra" => IssuerKind::Entra,
        "keycloak" => IssuerKind::Keycloak,
        "oidc" => IssuerKind::Oidc,
        other => {
            let span = text.inner();
            reader.diagnostics.push(
                Diagnostic::error(code::BAD_VALUE, format!("unknown kind of issuer `{other}`"))
                    .at(span, "")
                    .nearest(span, other, ["entra", "keycloak", "oidc"]),
            );
            IssuerKind::Oidc
        }
    }
}

fn expected_issuer(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'_>,
    kind: IssuerKind,
    owner: Span,
) -> String {
    let node = match kind {
        IssuerKind::Entra => fields.take("issuer"),
        IssuerKind::Keycloak | IssuerKind::Oidc => fields.require("issuer", owner, reader.diagnostics),
    };
    let default = if kind == IssuerKind::Entra { ENTRA_ISSUER } else { "" };
    let Some(text) = node.and_then(|node| node.text(reader.diagnostics)) else { return default.to_owned() };
    let wrong = match kind {
        _ if text.value.trim().is_empty() => Some("a token without an issuer would be accepted"),
        IssuerKind::Keycloak | IssuerKind::Oidc if text.value.contains(['{', '}']) => {
            Some("only an issuer of kind `entra` is a template")
        }
        _ => None,
    };
    if let Some(message) = wrong {
        reader.mistake(text.inner(), message);
    }
    text.value.to_owned()
}

fn algorithms(reader: &mut Reader<'_>, node: Option<&Node>) -> Vec<String> {
    let Some(node) = node else { return vec!["RS256".to_owned()] };
    for text in node.texts(reader.diagnostics).unwrap_or_default() {
        if !ALGORITHMS.contains(&text.value) {
            let span = text.inner();
            let shared = text.value.starts_with("HS") || text.value.eq_ignore_ascii_case("none");
            let label = if shared { "anyone who can check such a token can make one" } else { "" };
            reader.diagnostics.push(
                Diagnostic::error(code::BAD_VALUE, format!("`{}` can't be accepted", text.value))
                    .at(span, label)
                    .nearest(span, text.value, ALGORITHMS),
            );
        }
    }
    some_texts(reader, Some(node), "no token could be accepted")
}

/// An array of strings that is neither empty nor holds an empty string. Wrong types are reported once.
fn some_texts(reader: &mut Reader<'_>, node: Option<&Node>, otherwise: &str) -> Vec<String> {
    let Some(node) = node else { return Vec::new() };
    let texts = node.texts(reader.diagnostics).unwrap_or_default();
    let empty = texts.iter().find(|text| text.value.trim().is_empty()).map(|text| text.span);
    let nothing = is_empty_list(node);
    if let Some(span) = empty.or(nothing.then_some(node.span)) {
        reader.mistake(span, &format!("names nothing: {otherwise}"));
    }
    texts.iter().map(|text| text.value.to_owned()).collect()
}

fn key_source(reader: &mut Reader<'_>, fields: &mut Fields<'_>, kind: IssuerKind, issuer: &str) -> KeySource {
    let (metadata, jwks) = (fields.entry("metadata"), fields.entry("jwks"));
    if let (Some(metadata), Some(jwks)) = (metadata, jwks) {
        reader.diagnostics.push(
            Diagnostic::error(code::DUPLICATE, "the keys have two sources")
                .at(jwks.span, "")
                .also(metadata.span, "the other one"),
        );
    }
    let is_url = |text: &str| text.contains("://");
    match (metadata.map(|e| &e.value), jwks.map(|e| &e.value)) {
        (Some(node), _) => KeySource::Metadata(fetched(reader, node)),
        (None, Some(node)) => match node.text(reader.diagnostics) {
            Some(text) if is_url(text.value) => KeySource::Url(fetched(reader, node)),
            text => KeySource::File(reader.base.join(text.map_or("", |text| text.value))),
        },
        (None, None) if kind == IssuerKind::Entra => KeySource::Metadata(ENTRA_METADATA.to_owned()),
        (None, None) => {
            let issuer = issuer.trim_end_matches('/');
            KeySource::Metadata(format!("{issuer}/.well-known/openid-configuration"))
        }
    }
}

fn fetched(reader: &mut Reader<'_>, node: &Node) -> String {
    let Some(text) = node.text(reader.diagnostics) else { return String::new() };
    match units::url(text.value) {
        Ok(UrlReach::Safe) => {}
        Ok(UrlReach::Plain) => reader.diagnostics.push(
            Diagnostic::error(code::PLAIN_KEYS, "whoever is on the way could replace the keys")
                .at(text.inner(), "plain http across a network")
                .help("use https, or a file that something trusted keeps up to date"),
        ),
        Err(message) => reader.mistake(text.inner(), message),
    }
    text.value.to_owned()
}
