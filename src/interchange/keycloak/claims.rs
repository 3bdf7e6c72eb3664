//! Which resource has which operations. What an address stands for in the export but can't be translated stays
//! occupied, by an operation that nobody is granted, so that no wider address of another resource takes its paths.

use std::collections::BTreeMap;

use super::super::report::{Report, Weight, code, shown};
use super::Options;
use super::address::{Address, Kind, might_meet, one_spelling};
use super::export::{Resource, Settings};
use super::methods::{EnforcedPath, WHOLE, Wanted, by_convention};
use crate::route::{Template, Verb};

/// Most addresses that are looked at.
const ADDRESSES_MAX: usize = 4_000;

/// What is asked for: scopes of a resource, or the resource as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) scopes: Vec<String>,
    pub(super) is_any: bool,
}

/// An address of a resource, with its operations.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) resource: usize,
    pub(super) address: Address,
    pub(super) operations: Vec<(Verb, Key)>,
}

/// All operations of a client's resources.
#[derive(Debug)]
pub(super) struct Claims {
    pub(super) claims: Vec<Claim>,
    /// Scopes that have no operation, by resource.
    pub(super) homeless: Vec<(usize, Key)>,
    by_convention: BTreeMap<String, Vec<Verb>>,
}

impl Claims {
    pub(super) fn read(settings: &Settings, options: &Options, report: &mut Report) -> Self {
        let mut own = Self { claims: Vec::new(), homeless: Vec::new(), by_convention: BTreeMap::new() };
        let mut unread: Vec<(usize, String)> = Vec::new();
        match &options.enforcer {
            Some(paths) => own.enforced(settings, paths, &mut unread, report),
            None => own.addressed(settings, options, &mut unread, report),
        }
        for (scope, verbs) in &own.by_convention {
            let words: Vec<&str> = verbs.iter().map(|verb| verb.as_str()).collect();
            let why = format!(
                "taken to stand for {}: no export says; --methods '{scope}=…' says otherwise",
                words.join(", ")
            );
            report.add(
                Weight::Review,
                code::CONVENTION,
                format!("{}.scopes", settings.at),
                format!("scope `{}`", shown(scope)),
                why,
            );
        }
        own.keep_apart(settings, &unread, report);
        let mut templates: Vec<&mut Template> =
            own.claims.iter_mut().flat_map(|own| &mut own.address.templates).collect();
        one_spelling(&mut templates);
        own
    }

    fn address(
        &mut self,
        (index, resource): (usize, &Resource),
        raw: &str,
        at: &str,
        unread: &mut Vec<(usize, String)>,
        report: &mut Report,
    ) -> Option<Address> {
        if self.claims.len() >= ADDRESSES_MAX {
            let why = format!("more than {ADDRESSES_MAX} addresses are not looked at");
            report.add(
                Weight::Denied,
                code::TOO_MANY,
                at,
                format!("resource `{}`", shown(&resource.name)),
                why,
            );
            unread.push((usize::MAX, "/".to_owned()));
            return None;
        }
        match Address::read(raw) {
            Ok(address) => Some(address),
            Err(why) => {
                let what = format!("address `{}` of `{}`", shown(raw), shown(&resource.name));
                report.add(Weight::Denied, code::ADDRESS, at, what, why);
                if !raw.is_empty() {
                    unread.push((index, raw.to_owned()));
                }
                None
            }
        }
    }

    /// By the addresses of the resources, and what their scopes' names stand for.
    fn addressed(
        &mut self,
        settings: &Settings,
        options: &Options,
        unread: &mut Vec<(usize, String)>,
        report: &mut Report,
    ) {
        for (index, resource) in settings.resources.iter().enumerate() {
            let operations = self.of_scopes(index, resource, options, report);
            if resource.uris.iter().all(String::is_empty) {
                let why = "it has no address: who has it stands in the file, with no operation yet";
                report.add(
                    Weight::Denied,
                    code::NO_ADDRESS,
                    resource.at.clone(),
                    format!("resource `{}`", shown(&resource.name)),
                    why,
                );
                let keys =
                    resource.scopes.iter().map(|scope| Key { scopes: vec![scope.clone()], is_any: false });
                self.homeless.extend(keys.map(|key| (index, key)));
            }
            for (number, raw) in resource.uris.iter().enumerate() {
                let at = format!("{}.uris[{number}]", resource.at);
                if let Some(address) = self.address((index, resource), raw, &at, unread, report) {
                    self.claims.push(Claim { resource: index, address, operations: operations.clone() });
                }
            }
        }
    }

    fn of_scopes(
        &mut self,
        index: usize,
        resource: &Resource,
        options: &Options,
        report: &mut Report,
    ) -> Vec<(Verb, Key)> {
        if resource.scopes.is_empty() {
            return WHOLE.map(|verb| (verb, Key { scopes: Vec::new(), is_any: false })).to_vec();
        }
        let mut found: Vec<(Verb, &String, bool)> = Vec::new();
        for (number, scope) in resource.scopes.iter().enumerate() {
            let at = format!("{}.scopes[{number}]", resource.at);
            let stated = options.methods.get(scope).or_else(|| options.methods.get(scope.trim()));
            let verbs = stated.cloned().or_else(|| by_convention(scope));
            let Some(verbs) = verbs else {
                let why = format!(
                    "which methods it stands for isn't known: say it with --methods '{}=…'",
                    shown(scope)
                );
                report.add(
                    Weight::Denied,
                    code::METHODS,
                    at,
                    format!("scope `{}` of `{}`", shown(scope), shown(&resource.name)),
                    why,
                );
                self.homeless.push((index, Key { scopes: vec![scope.clone()], is_any: false }));
                continue;
            };
            if stated.is_none() {
                self.by_convention.insert(scope.clone(), verbs.clone());
            }
            found.extend(verbs.into_iter().map(|verb| (verb, scope, stated.is_some())));
        }
        let mut operations = Vec::new();
        for (verb, scope, is_stated) in &found {
            let rivals = found.iter().filter(|(other, ..)| other == verb).count();
            if rivals > 1 && !is_stated {
                let why = format!(
                    "{verb} would be of more than one scope by convention: say with --methods which it is of"
                );
                report.add(
                    Weight::Denied,
                    code::METHODS,
                    resource.at.clone(),
                    format!("scope `{}` of `{}`", shown(scope), shown(&resource.name)),
                    why,
                );
                continue;
            }
            operations.push((*verb, Key { scopes: vec![(*scope).clone()], is_any: false }));
        }
        operations
    }

    /// By a policy enforcer's paths.
    fn enforced(
        &mut self,
        settings: &Settings,
        paths: &[EnforcedPath],
        unread: &mut Vec<(usize, String)>,
        report: &mut Report,
    ) {
        for path in paths {
            let is_it = |own: &&Resource| match &path.name {
                Some(name) => own.name == *name,
                None => own.uris.contains(&path.path),
            };
            let Some((index, resource)) = settings.resources.iter().enumerate().find(|(_, own)| is_it(own))
            else {
                let why = "no resource of the export is meant by it";
                report.add(
                    Weight::Denied,
                    code::REFERENCE,
                    path.at.clone(),
                    format!("path `{}`", shown(&path.path)),
                    why,
                );
                unread.push((usize::MAX, path.path.clone()));
                continue;
            };
            tell_passed(path, report);
            let key = |scopes: &[String], wanted: Wanted| Key {
                scopes: scopes.to_vec(),
                is_any: wanted == Wanted::Any && scopes.len() > 1,
            };
            let mut operations: Vec<(Verb, Key)> =
                path.methods.iter().map(|(verb, scopes, wanted)| (*verb, key(scopes, *wanted))).collect();
            if path.methods.is_empty() && path.odd.is_empty() {
                operations = WHOLE.map(|verb| (verb, key(&path.scopes, Wanted::All))).to_vec();
            }
            if path.mode != "ENFORCING" {
                operations.clear();
            }
            if let Some(address) = self.address((index, resource), &path.path, &path.at, unread, report) {
                self.claims.push(Claim { resource: index, address, operations });
            }
        }
        self.without_path(settings, report);
    }

    fn without_path(&mut self, settings: &Settings, report: &mut Report) {
        for (index, resource) in settings.resources.iter().enumerate() {
            if !self.claims.iter().any(|own| own.resource == index) {
                let why =
                    "the enforcer has no path for it: who has it stands in the file, with no operation yet";
                report.add(
                    Weight::Denied,
                    code::NO_ADDRESS,
                    resource.at.clone(),
                    format!("resource `{}`", shown(&resource.name)),
                    why,
                );
                let keys =
                    resource.scopes.iter().map(|scope| Key { scopes: vec![scope.clone()], is_any: false });
                self.homeless.extend(keys.map(|key| (index, key)));
            }
        }
    }

    /// Takes the operations from addresses that would be judged by another resource than in Keycloak.
    fn keep_apart(&mut self, settings: &Settings, unread: &[(usize, String)], report: &mut Report) {
        let name = |index: usize| settings.resources.get(index).map_or("?", |own| &own.name);
        let mut emptied = vec![false; self.claims.len()];
        for (at, own) in self.claims.iter().enumerate() {
            for other in self.claims.iter().skip(at + 1) {
                if own.resource == other.resource && own.operations == other.operations {
                    continue;
                }
                if own.address.contends(&other.address) {
                    let what = format!(
                        "`{}` of `{}` and `{}` of `{}`",
                        shown(&own.address.raw),
                        shown(name(own.resource)),
                        shown(&other.address.raw),
                        shown(name(other.resource))
                    );
                    let why = "they have paths in common, and which of the two counts there isn't the same here and in Keycloak";
                    report.add(Weight::Denied, code::CLAIMED, settings.at.clone(), what, why);
                    for slot in [Some(at), self.claims.iter().position(|found| std::ptr::eq(found, other))]
                        .into_iter()
                        .flatten()
                    {
                        if let Some(slot) = emptied.get_mut(slot) {
                            *slot = true;
                        }
                    }
                }
            }
            let shadowed = unread.iter().find(|(resource, raw)| {
                *resource != own.resource
                    && own.address.kind != Kind::Exact
                    && might_meet(raw, &own.address.raw)
            });
            if let Some((_, raw)) = shadowed {
                let what = format!("`{}` of `{}`", shown(&own.address.raw), shown(name(own.resource)));
                let why =
                    format!("paths of `{}`, which couldn't be translated, would be judged by it", shown(raw));
                report.add(Weight::Denied, code::CLAIMED, settings.at.clone(), what, why);
                if let Some(slot) = emptied.get_mut(at) {
                    *slot = true;
                }
            }
        }
        self.tell_nested(settings, report);
        let exact: Vec<(usize, Template)> = self
            .claims
            .iter()
            .filter(|own| own.address.kind != Kind::Below)
            .flat_map(|own| own.address.templates.iter().map(|template| (own.resource, template.clone())))
            .collect();
        for (own, emptied) in self.claims.iter_mut().zip(emptied) {
            if emptied {
                own.operations.clear();
            }
            // The top of everything below, where another names that very path.
            if own.address.kind == Kind::Below {
                let taken = |template: &Template| exact.iter().any(|(_, other)| other.same_shape(template));
                own.address.templates.retain(|template| template.ends_in_rest() || !taken(template));
            }
        }
    }

    fn tell_nested(&self, settings: &Settings, report: &mut Report) {
        let below: Vec<&Claim> = self.claims.iter().filter(|own| own.address.kind == Kind::Below).collect();
        for own in self.claims.iter().filter(|own| own.address.kind != Kind::Below) {
            if below.iter().any(|wide| own.address.prefix().starts_with(&wide.address.prefix())) {
                let what = format!("paths below `{}`", shown(&own.address.raw));
                let why = "Keycloak would judge them by a wider address; here a path that is begun with this one isn't given to another";
                report.add(Weight::Stricter, code::ADDRESS, settings.at.clone(), what, why);
            }
        }
    }
}

/// What the enforcer lets pass, or asks nothing for.
fn tell_passed(path: &EnforcedPath, report: &mut Report) {
    if path.mode != "ENFORCING" {
        let why = format!(
            "the enforcer lets it pass ({}); here it isn't public: say so in `public` if it is meant",
            shown(&path.mode)
        );
        report.add(Weight::Denied, code::OPEN, path.at.clone(), format!("path `{}`", shown(&path.path)), why);
    }
    for odd in &path.odd {
        let why = "no operation can have this method, or the enforcer asks for no scope with it";
        report.add(
            Weight::Denied,
            code::VERB,
            path.at.clone(),
            format!("{} `{}`", odd, shown(&path.path)),
            why,
        );
    }
}
