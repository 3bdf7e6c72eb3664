//! Resources as the file will have them: their scopes with the operations of each, who is granted it, and names that
//! rules can have.

use super::super::report::{Report, Weight, code, shown};
use super::super::toml_text::unique;
use super::Enforcement;
use super::claims::{Claims, Key};
use super::export::{Resource, Settings};
use super::logic::{Bounds, Formula};
use super::permissions::Permissions;
use crate::route::Template;

/// The scope that holds what is only occupied.
const OCCUPIED: &str = "not-translated";
/// A scope as the file will have it.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    pub(super) name: String,
    pub(super) operations: Vec<String>,
    pub(super) grant: Formula,
    pub(super) at: String,
    pub(super) about: String,
}

/// A resource as the file will have it.
#[derive(Clone, Debug)]
pub(super) struct Protected {
    pub(super) name: String,
    pub(super) comment: String,
    pub(super) scopes: Vec<Scope>,
    pub(super) templates: Vec<Template>,
}

/// Operations by what they ask for.
type ByKey = Vec<(Key, Vec<String>)>;

impl Claims {
    /// Resources with their scopes, the operations of each, and who is granted it.
    pub(super) fn protected(
        &self,
        settings: &Settings,
        permissions: &Permissions,
        report: &mut Report,
    ) -> Vec<Protected> {
        let mut found: Vec<Protected> = Vec::new();
        for (index, resource) in settings.resources.iter().enumerate() {
            let name = resource_name(&resource.name, |name| found.iter().any(|own| own.name == name));
            if name != resource.name {
                let why = format!("written as `{name}`");
                report.add(
                    Weight::Note,
                    code::NAME,
                    resource.at.clone(),
                    format!("resource `{}`", shown(&resource.name)),
                    why,
                );
            }
            let (mut by_key, mut occupied, templates) = self.operations(index, &found);
            // In the order in which the export has the scopes.
            by_key.sort_by_key(|(key, _)| {
                let place = |scope: &String| resource.scopes.iter().position(|own| own == scope);
                (key.scopes.len(), key.scopes.first().and_then(place))
            });
            let mut scopes: Vec<Scope> = Vec::new();
            for (key, operations) in by_key {
                let name = scope_name(&key, |name| scopes.iter().any(|own| own.name == name));
                let grant = granted(settings, resource, &key, permissions, report);
                let about = format!("`{}` of `{}`", shown(&name), shown(&resource.name));
                scopes.push(Scope { name, operations, grant, at: resource.at.clone(), about });
            }
            occupied.sort();
            occupied.dedup();
            let already: Vec<&String> = scopes.iter().flat_map(|own| &own.operations).collect();
            occupied.retain(|operation| !already.contains(&operation));
            if !occupied.is_empty() || scopes.is_empty() {
                let name = unique(OCCUPIED.to_owned(), |name| scopes.iter().any(|own| own.name == name));
                scopes.push(Scope {
                    name,
                    operations: occupied,
                    grant: Formula::Const(false),
                    at: resource.at.clone(),
                    about: String::new(),
                });
            }
            let comment = comment(resource, &name);
            found.push(Protected { name, comment, scopes, templates });
        }
        found
    }

    /// The operations of a resource by what they ask for, those that are only occupied, and all templates.
    fn operations(&self, index: usize, found: &[Protected]) -> (ByKey, Vec<String>, Vec<Template>) {
        let mut by_key: ByKey = Vec::new();
        let mut occupied = Vec::new();
        let mut templates = Vec::new();
        for claim in self.claims.iter().filter(|own| own.resource == index) {
            templates.extend(claim.address.templates.iter().cloned());
            for template in &claim.address.templates {
                for (verb, key) in &claim.operations {
                    let operation = format!("{verb} {template}");
                    let own = of_key(&mut by_key, key);
                    if !own.contains(&operation) {
                        own.push(operation);
                    }
                }
                if claim.operations.is_empty() && !is_told(found, template) {
                    occupied.push(format!("GET {template}"));
                }
            }
        }
        for (_, key) in self.homeless.iter().filter(|(own, _)| *own == index) {
            of_key(&mut by_key, key);
        }
        (by_key, occupied, templates)
    }
}

/// The operations of a key.
fn of_key<'k>(by_key: &'k mut Vec<(Key, Vec<String>)>, key: &Key) -> &'k mut Vec<String> {
    let at = by_key.iter().position(|(own, _)| own == key).unwrap_or_else(|| {
        by_key.push((key.clone(), Vec::new()));
        by_key.len() - 1
    });
    #[expect(clippy::indexing_slicing, reason = "found or pushed just above")]
    &mut by_key[at].1
}

/// Whether an earlier resource occupies it already.
fn is_told(found: &[Protected], template: &Template) -> bool {
    found.iter().flat_map(|own| &own.templates).any(|own| own == template)
}

fn comment(resource: &Resource, written: &str) -> String {
    let called = (resource.name != written).then(|| format!("called {}", shown(&resource.name)));
    let of = resource.kind.as_ref().map(|kind| format!("of type {}", shown(kind)));
    called.into_iter().chain(of).collect::<Vec<_>>().join(", ")
}

/// Who is surely granted what a key asks for.
fn granted(
    settings: &Settings,
    resource: &Resource,
    key: &Key,
    permissions: &Permissions,
    report: &mut Report,
) -> Formula {
    let what = match key.scopes.as_slice() {
        [] => format!("resource `{}` as a whole", shown(&resource.name)),
        scopes => format!(
            "{} of `{}`",
            scopes.iter().map(|own| format!("`{}`", shown(own))).collect::<Vec<_>>().join(", "),
            shown(&resource.name)
        ),
    };
    let unknown = key.scopes.iter().find(|scope| !resource.scopes.contains(scope));
    if let Some(scope) = unknown {
        let why = format!("the resource has no scope `{}`", shown(scope));
        report.add(Weight::Denied, code::REFERENCE, resource.at.clone(), what, why);
        return Formula::Const(false);
    }
    let about: Vec<Option<Bounds>> = match key.scopes.as_slice() {
        [] => vec![permissions.about(resource, None, report)],
        scopes => scopes.iter().map(|scope| permissions.about(resource, Some(scope), report)).collect(),
    };
    let none = about.iter().filter(|own| own.is_none()).count();
    if none > 0 && (!key.is_any || none == about.len()) {
        let (weight, why) = match settings.enforcement {
            Some(Enforcement::Enforcing) => {
                (Weight::Note, "no permission is about it: nobody may, there as here")
            }
            _ => {
                (Weight::Denied, "no permission is about it: Keycloak's mode lets everyone, here nobody may")
            }
        };
        report.add(weight, code::UNGRANTED, resource.at.clone(), what, why);
    }
    let lower = about.into_iter().map(|own| own.map_or(Formula::Const(false), |own| own.lower));
    if key.is_any { Formula::any(lower) } else { Formula::all(lower) }
}

/// A resource's name as a term can have it.
fn resource_name(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let plain: String = name
        .chars()
        .map(|c| if c.is_control() || matches!(c, '#' | ',' | '"') { '-' } else { c })
        .take(120)
        .collect();
    let mut plain = plain.trim().trim_start_matches('!').trim().to_owned();
    for word in ["if", "until", "unless"] {
        plain = plain.replace(&format!(" {word} "), &format!(" {word}-"));
        if plain == word || plain.ends_with(&format!(" {word}")) || plain.starts_with(&format!("{word} ")) {
            plain = plain.replace(' ', "-");
        }
    }
    let plain = if plain.is_empty() || plain == "*" { "resource".to_owned() } else { plain };
    unique(plain, is_taken)
}

/// A scope's name as a table can have it.
fn scope_name(key: &Key, is_taken: impl Fn(&str) -> bool) -> String {
    let joined = match key.scopes.as_slice() {
        [] => "access".to_owned(),
        scopes => scopes.join(if key.is_any { "-or-" } else { "-and-" }),
    };
    let plain: String = joined
        .trim()
        .chars()
        .map(|c| if c.is_alphanumeric() || matches!(c, '-' | '_' | ':' | '.' | '/') { c } else { '-' })
        .take(120)
        .collect();
    let plain = match plain.as_str() {
        "" => "scope".to_owned(),
        // These words mean something else in the tables of roles and resources.
        "claim" | "only" | "reserved" => format!("{plain}-scope"),
        _ => plain,
    };
    unique(plain, is_taken)
}
