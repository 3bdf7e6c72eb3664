//! The naive evaluator: DESIGN §2 and §4 as a reader would carry them out by hand, one rule after the other. It knows
//! nothing of bits, tries, indices or questions: every answer is there before it begins.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::facts::{Claim, Facts, Told};
use super::model::{Acting, NARROWABLE, On, Policy, Requirement, Role, Term, name};
use super::obligations::ANCHOR;
use super::value::{Kind, Says, Val, days, of_json};
use super::words::{BASE, FACTS, OPERATIONS};
use super::world::{Ask, Tenant};

/// What a request must be answered.
#[derive(Clone, Debug)]
pub(super) enum Expected {
    /// One of these refusals.
    Refused(Vec<&'static str>),
    /// One of these permits, and whether a seat may be taken for it.
    Allowed(Vec<Allowed>),
}

/// What must be true of a permit.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Allowed {
    /// Any one of these may be named as what permitted it; none on a public operation.
    pub(super) permissions: BTreeSet<String>,
    pub(super) roles: BTreeSet<String>,
    pub(super) headers: BTreeMap<String, String>,
    /// Decoded, in order of key and value.
    pub(super) query: Vec<(String, String)>,
    pub(super) masks: BTreeSet<String>,
    /// Which of the elements stay, where the list is filtered.
    pub(super) kept: Option<Vec<bool>>,
}

/// The evaluator of one request.
pub(super) struct Judge<'c> {
    pub(super) policy: &'c Policy,
    pub(super) tenants: &'c [Tenant],
    pub(super) ask: &'c Ask,
    /// Whether the answers and the body are known, or nobody has asked for them yet.
    pub(super) knows_all: bool,
}

/// Which operation a request is: one of the words', or the one that nobody is granted.
enum Routed {
    Nowhere,
    OtherMethod,
    Operation(Option<usize>, BTreeMap<&'static str, String>),
}

fn refused(kind: &'static str) -> Expected {
    Expected::Refused(vec![kind])
}

impl<'c> Judge<'c> {
    pub(super) fn judge(&self) -> Expected {
        let (operation, parameters) = match self.route() {
            Routed::Nowhere => return refused("no-route"),
            Routed::OtherMethod => return refused("method"),
            Routed::Operation(operation, parameters) => (operation, parameters),
        };
        if operation.is_some_and(|own| self.policy.public.contains(&own)) {
            return Expected::Allowed(vec![Allowed { query: self.query(|_| true), ..Allowed::default() }]);
        }
        let Some((issuer, _)) = &self.ask.caller else { return refused("credential") };
        if *issuer != "keycloak" {
            return refused("principal");
        }
        if self.reads_twice() {
            return refused("malformed");
        }
        match self.facts(parameters) {
            Some(facts) => facts.judge(operation),
            None => refused("tenant"),
        }
    }

    /// The facts of a request that is known to have a tenant.
    pub(super) fn facts(&self, parameters: BTreeMap<&'static str, String>) -> Option<Facts<'_>> {
        let tenant = self.tenant()?;
        Some(Facts { judge: self, tenant, parameters, narrowed: Vec::new(), element: None })
    }

    /// The facts of the operation that is asked for.
    pub(super) fn facts_of_route(&self) -> Option<Facts<'_>> {
        match self.route() {
            Routed::Operation(_, parameters) => self.facts(parameters),
            Routed::Nowhere | Routed::OtherMethod => None,
        }
    }

    pub(super) fn query(&self, passes: impl Fn(&str) -> bool) -> Vec<(String, String)> {
        let own = self.ask.query.iter().filter(|(key, _)| passes(key));
        let mut query: Vec<_> = own.map(|(key, value)| (decoded(key), decoded(value))).collect();
        query.sort();
        query
    }

    /// Path first, then method; a literal before a parameter, and no way back from a literal that matched.
    fn route(&self) -> Routed {
        let path = self.ask.path;
        let segments: Vec<String> = path.trim_matches('/').split('/').map(decoded).collect();
        let protected = self.policy.protected();
        let present = protected.union(&self.policy.public).map(|own| (Some(*own), OPERATIONS[*own]));
        let split = |(own, (method, path)): (Option<usize>, (&'static str, &'static str))| {
            let parts = format!("{BASE}{path}");
            (own, method, parts.trim_matches('/').split('/').map(str::to_owned).collect::<Vec<_>>())
        };
        let mut left: Vec<_> = present.chain([(None, ANCHOR)]).map(split).collect();
        for (at, segment) in segments.iter().enumerate() {
            let is_literal = |parts: &[String]| parts.get(at).is_some_and(|part| part == segment);
            let any_literal = left.iter().any(|(.., parts)| is_literal(parts));
            left.retain(|(.., parts)| match parts.get(at) {
                _ if any_literal => is_literal(parts),
                Some(part) => part.starts_with('{'),
                None => parts.last().is_some_and(|part| part.ends_with("...}")),
            });
        }
        left.retain(|(.., parts)| {
            let goes_on = parts.last().is_some_and(|part| part.ends_with("...}"));
            parts.len() == segments.len() || parts.len() < segments.len() && goes_on
        });
        if left.is_empty() {
            return Routed::Nowhere;
        }
        let method = if self.ask.method == "HEAD" { "GET" } else { self.ask.method };
        let Some((own, _, parts)) = left.iter().find(|(_, own, _)| *own == method) else {
            return Routed::OtherMethod;
        };
        let mut parameters = BTreeMap::new();
        for (at, part) in parts.iter().enumerate() {
            match part.as_str() {
                "{id}" => drop(parameters.insert("id", segments[at].clone())),
                "{rest...}" => drop(parameters.insert("rest", segments[at..].join("/"))),
                _ => {}
            }
        }
        Routed::Operation(*own, parameters)
    }

    /// Whether something that a rule reads is there twice, or in another spelling.
    fn reads_twice(&self) -> bool {
        let declared = self.policy.declared();
        let reads = |name: String| declared.iter().any(|own| FACTS[*own].name == name);
        let stem = |key: &str| key.split('[').next().unwrap().to_lowercase();
        let queries = self.ask.query.iter().any(|(key, _)| {
            let alike = self.ask.query.iter().filter(|(other, _)| stem(other) == stem(key)).count();
            reads(format!("query.{}", stem(key))) && (alike > 1 || *key != stem(key))
        });
        let headers = self.ask.headers.iter().any(|(name, _)| {
            let alike = self.ask.headers.iter().filter(|(other, _)| other == name).count();
            let names_tenant = *name == "x-tenant" && matches!(self.policy.acting, Acting::Named { .. });
            (names_tenant || reads(format!("header.{name}"))) && alike > 1
        });
        queries || headers
    }

    pub(super) fn claim(&self, path: &str) -> Claim {
        let Some((_, claims)) = &self.ask.caller else { return Claim::Absent };
        let mut own = claims.get(path.split('.').next().unwrap());
        for part in path.split('.').skip(1) {
            match own {
                None | Some(Json::Null) => return Claim::Absent,
                Some(Json::Object(members)) => own = members.get(part),
                Some(_) => return Claim::Hidden,
            }
        }
        match own {
            None | Some(Json::Null) => Claim::Absent,
            Some(value) => Claim::Is(value.clone()),
        }
    }

    /// The id that names the tenant: the first source that is there decides.
    pub(super) fn tenant_id(&self) -> Option<String> {
        let header =
            self.ask.headers.iter().find(|(name, _)| *name == "x-tenant").map(|(_, id)| (*id).to_owned());
        let claim = || match self.claim("tid") {
            Claim::Is(Json::String(id)) => Some(id),
            _ => None,
        };
        match self.policy.acting {
            Acting::Constant => None,
            Acting::Own => claim(),
            Acting::Named { .. } => header.or_else(claim),
        }
    }

    /// The acting tenant: a customer of the app.
    fn tenant(&self) -> Option<&'c Tenant> {
        if self.policy.acting == Acting::Constant {
            return self.tenants.iter().find(|own| own.name == "acme");
        }
        let id = self.tenant_id()?;
        self.tenants.iter().find(|own| own.is_customer && own.ids.contains(&id.as_str()))
    }
}

/// What the rules say, before anything is carried along.
enum Decision {
    Allow(BTreeSet<(usize, usize)>),
    Refuse(Vec<&'static str>),
}

impl Facts<'_> {
    fn judge(&self, operation: Option<usize>) -> Expected {
        let proof = match self.judge.policy.acting {
            Acting::Named { proven_by } => self.named(proven_by),
            Acting::Constant | Acting::Own => Says::known(true),
        };
        if !proof.may_hold {
            let others: &[_] = if proof.is_in_vain() { &["unanswered", "denied", "step-up"] } else { &[] };
            return Expected::Refused([&["tenant"], others].concat());
        }
        let decide = |narrowed: Vec<usize>| {
            let facts = Self { narrowed, ..self.clone() };
            match facts.decide(operation) {
                Decision::Allow(_) if !proof.holds() => Decision::Refuse(vec!["unanswered"]),
                decision => decision,
            }
        };
        // As few conditions become filters as it takes: none, if the list may be seen as it is.
        let narrows = |own: usize| {
            let rows = self.judge.policy.carried.narrows.iter();
            rows.into_iter().any(|row| Some(row.on) == operation && row.condition == own)
        };
        let possible: Vec<usize> = (0..NARROWABLE).filter(|own| narrows(*own)).collect();
        let mut permits = Vec::new();
        let mut last = Vec::new();
        for narrowed in subsets(&possible) {
            match decide(narrowed.clone()) {
                Decision::Allow(granted) => permits.push((narrowed, granted)),
                Decision::Refuse(kinds) => last = kinds,
            }
        }
        let Some(fewest) = permits.iter().map(|(narrowed, _)| narrowed.len()).min() else {
            return Expected::Refused(last);
        };
        permits.retain(|(narrowed, _)| narrowed.len() == fewest);
        let carried: Vec<_> = permits.into_iter().map(|own| self.carry(operation, own)).collect();
        let kinds: Vec<_> = carried.iter().filter_map(|own| own.as_ref().err().copied()).collect();
        let allowed: Vec<_> = carried.into_iter().filter_map(Result::ok).collect();
        if allowed.is_empty() { Expected::Refused(kinds) } else { Expected::Allowed(allowed) }
    }

    fn decide(&self, operation: Option<usize>) -> Decision {
        let policy = self.judge.policy;
        let applies = |on: &On| match on {
            On::Parameter => self.parameters.contains_key("id"),
            On::Operation(own) => Some(*own) == operation,
        };
        let required = policy.requirements.iter();
        let required = required.filter(|own| own.on.is_empty() || own.on.iter().any(applies));
        let required: Vec<(&Requirement, Says)> = required.map(|own| (own, self.named(own.is))).collect();
        let against: Vec<_> = required.iter().filter(|(_, says)| !says.may_hold).collect();
        // Where several stand against it, any may be told.
        let kind = |(own, _): &&(&Requirement, Says)| if own.step_up { "step-up" } else { "denied" };
        let mut refusals: Vec<_> = against.iter().map(kind).collect();
        if against.iter().any(|(_, says)| says.is_in_vain()) {
            refusals.extend(["unanswered", "denied"]);
        }
        let Some(roles) = self.claimed() else {
            // Without roles nothing else need be found out: what is required may refuse, if it is known.
            refusals.push("unanswered");
            return Decision::Refuse(refusals);
        };
        let grants = self.grants(operation, &roles);
        if grants.is_empty() {
            // Where an app must be asked for the roles, what is required may refuse before it is.
            let before = if policy.asks_roles { refusals } else { Vec::new() };
            return Decision::Refuse([before, vec!["denied"]].concat());
        }
        if !refusals.is_empty() {
            // Where no grant could hold either, that may be told before anyone is asked of what is required.
            let is_granted = grants.iter().any(|(_, says)| says.may_hold);
            refusals.extend(if is_granted { None } else { Some("denied") });
            return Decision::Refuse(refusals);
        }
        if !grants.iter().any(|(_, says)| says.may_hold) {
            let is_in_vain = grants.iter().any(|(_, says)| says.is_in_vain());
            return Decision::Refuse(if is_in_vain { vec!["denied", "unanswered"] } else { vec!["denied"] });
        }
        let granted: BTreeSet<_> =
            grants.iter().filter(|(_, says)| says.holds()).map(|(own, _)| *own).collect();
        if granted.is_empty() || !required.iter().all(|(_, says)| says.holds()) {
            return Decision::Refuse(vec!["unanswered"]);
        }
        Decision::Allow(granted)
    }

    /// The strings that say which roles the caller has; none where the app, which would tell, doesn't.
    pub(super) fn claimed(&self) -> Option<BTreeSet<String>> {
        let json = if self.judge.policy.asks_roles {
            match self.told("me") {
                Told::Found(document) if document.get("roles").is_some() => document["roles"].clone(),
                Told::Found(_) | Told::Nothing => return Some(BTreeSet::new()),
                Told::Untold => return None,
            }
        } else {
            match self.judge.claim("roles") {
                Claim::Is(json) => json,
                _ => return Some(BTreeSet::new()),
            }
        };
        match of_json(&json, Kind::Set) {
            Some(Val::Set(all)) => Some(all),
            _ => Some(BTreeSet::new()),
        }
    }

    pub(super) fn held(&self, claimed: &BTreeSet<String>) -> Vec<(usize, &Role)> {
        let holds = |(index, role): &(usize, &Role)| match role.claims.as_slice() {
            [] => claimed.contains(&name(*index)),
            claims => claims.iter().any(|claim| claimed.contains(*claim)),
        };
        self.judge.policy.roles.iter().enumerate().filter(holds).collect()
    }

    /// Everything that grants the operation, with the conditions under which it does.
    fn grants(&self, operation: Option<usize>, claimed: &BTreeSet<String>) -> Vec<((usize, usize), Says)> {
        let Some(operation) = operation else { return Vec::new() };
        let resources = &self.judge.policy.resources;
        let permits = |(resource, scope): (usize, usize)| {
            resources[resource].scopes[scope].as_ref().is_some_and(|own| own.contains(&operation))
        };
        self.holdings(claimed).into_iter().filter(|(own, _)| permits(*own)).collect()
    }

    /// Every resource and scope that the roles are granted, with the conditions under which they are.
    pub(super) fn holdings(&self, claimed: &BTreeSet<String>) -> Vec<((usize, usize), Says)> {
        let policy = self.judge.policy;
        let held = self.held(claimed).into_iter().map(|(_, role)| role).chain(&policy.anyone);
        let mut found = Vec::new();
        for role in held {
            let only: Vec<_> = role.only.iter().map(|own| self.named(*own)).collect();
            for (scope, terms) in role.grants.iter().enumerate() {
                for (at, resource) in policy.resources.iter().enumerate() {
                    let is_excluded = terms.iter().any(|term| matches!(term, Term::Not(own) if *own == at));
                    if resource.scopes[scope].is_none() || is_excluded {
                        continue;
                    }
                    for term in terms {
                        let limits = match term {
                            Term::Every if !resource.reserved => Vec::new(),
                            Term::One { resource, conditions, until } if *resource == at => {
                                let limits = conditions.iter().map(|own| self.named(*own));
                                limits.chain(until.map(|day| self.until(day))).collect()
                            }
                            _ => continue,
                        };
                        found.push(((at, scope), Says::all(&[only.clone(), limits].concat())));
                    }
                }
            }
        }
        found
    }

    /// That day still counts, where the tenant is.
    fn until(&self, day: &str) -> Says {
        let today = (i64::try_from(self.judge.ask.now).unwrap() + self.tenant.zone.1).div_euclid(86_400);
        Says::known(today <= days(day).unwrap())
    }
}

/// Every subset, the smaller ones first.
fn subsets(all: &[usize]) -> Vec<Vec<usize>> {
    let mut found: Vec<Vec<usize>> = vec![Vec::new()];
    for own in all {
        let with: Vec<_> = found.iter().map(|other| [other.clone(), vec![*own]].concat()).collect();
        found.extend(with);
    }
    found.sort_by_key(Vec::len);
    found
}

pub(super) fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || char::from(rest.next().unwrap()).to_digit(16).unwrap();
        bytes.push(if byte == b'%' { u8::try_from(digit() * 16 + digit()).unwrap() } else { byte });
    }
    String::from_utf8(bytes).unwrap()
}
