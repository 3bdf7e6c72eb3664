//! The text of an imported rule file, in the order and the layout of our own: guards first, grants last.

use std::collections::BTreeSet;

use super::super::toml_text::{aligned, array, comment, key, quoted};
use super::super::trial::Surroundings;
use super::grants::Granted;
use super::protected::Protected;
use crate::route::{Segment, Template};

/// The path prefixes that the resources have; the app's name where they have none.
pub(super) fn owns(protected: &[Protected], app: &str) -> Vec<String> {
    let templates = protected.iter().flat_map(|own| &own.templates);
    prefixes(templates, app)
}

/// The first segments of templates; everything where one begins with a place.
pub(in crate::interchange) fn prefixes<'t>(
    templates: impl Iterator<Item = &'t Template>,
    app: &str,
) -> Vec<String> {
    let first = |template: &Template| match template.segments().first() {
        Some(Segment::Literal(text)) => format!("/{text}"),
        _ => "/".to_owned(),
    };
    let found: BTreeSet<String> = templates.map(first).collect();
    if found.contains("/") {
        return vec!["/".to_owned()];
    }
    if found.is_empty() { vec![format!("/{app}")] } else { found.into_iter().collect() }
}

/// The whole file.
pub(super) fn file(
    protected: &[Protected],
    granted: &Granted,
    around: &Surroundings,
    heading: &str,
) -> String {
    let mut out = format!(
        "# Imported: {}.\n# What isn't here is denied, and stands in the report of the import.\n",
        comment(heading)
    );
    let head = [
        ("app", quoted(&around.app)),
        ("owns", array(&around.owns)),
        ("issuer", quoted(&around.issuer)),
        ("roles", quoted(&granted.family.fact())),
        ("tenant", quoted(&around.tenant)),
    ];
    out.push_str(&aligned(&head.map(|(key, value)| (key.to_owned(), value))));
    out.push_str("\n[facts.token]\n");
    let fact = |(name, kind): (&String, &&str)| (dotted(name), quoted(kind));
    out.push_str(&aligned(&granted.facts.iter().map(fact).collect::<Vec<_>>()));
    if !granted.conditions.is_empty() {
        out.push_str("\n[when]\n");
        out.push_str(&aligned(&granted.conditions));
    }
    out.push('\n');
    for resource in protected {
        out.push_str(&format!("[resource.{}]", key(&resource.name)));
        if !resource.comment.is_empty() {
            out.push_str(&format!("  # {}", comment(&resource.comment)));
        }
        out.push('\n');
        let scopes = resource.scopes.iter().map(|own| (key(&own.name), array(&own.operations)));
        out.push_str(&aligned(&scopes.collect::<Vec<_>>()));
    }
    for role in &granted.roles {
        out.push_str(&format!("\n[role.{}]\n", key(&role.name)));
        let claim = role.claim.iter().map(|claim| ("claim".to_owned(), format!("[{}]", quoted(claim))));
        let scopes = role.scopes.iter().map(|(scope, terms)| (key(scope), array(terms)));
        out.push_str(&aligned(&claim.chain(scopes).collect::<Vec<_>>()));
    }
    out
}

/// `token.realm_access.roles` as a key of `[facts.token]`.
fn dotted(fact: &str) -> String {
    fact.split('.').skip(1).map(key).collect::<Vec<_>>().join(".")
}
