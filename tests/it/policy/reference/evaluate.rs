//! The naive evaluator: DESIGN §2 and §4 as a reader would carry them out by hand, one rule after the other. It knows
//! nothing of bits, tries, indices or questions: every answer is there before it begins.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Acting, Cond, On, Policy, Role, Term, name};
use super::value::{Kind, Read, Says, Val, compare, of_json, of_literal, of_text};
use super::words::{BASE, FACTS, Fact, LEAVES, OPERATIONS, Right, SCOPES};
use super::world::{Ask, Tenant};

/// What a request must be answered.
#[derive(Clone, Debug)]
pub(super) enum Expected {
    /// One of these refusals.
    Refused(Vec<&'static str>),
    Allowed(Allowed),
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
}

/// The evaluator of one request.
pub(super) struct Judge<'c> {
    pub(super) policy: &'c Policy,
    pub(super) tenants: &'c [Tenant],
    pub(super) ask: &'c Ask,
}

/// What is settled before the rules are asked.
pub(super) struct Facts<'c> {
    judge: &'c Judge<'c>,
    tenant: &'c Tenant,
    parameters: BTreeMap<&'static str, String>,
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

impl Judge<'_> {
    pub(super) fn judge(&self) -> Expected {
        let (operation, parameters) = match self.route() {
            Routed::Nowhere => return refused("no-route"),
            Routed::OtherMethod => return refused("method"),
            Routed::Operation(operation, parameters) => (operation, parameters),
        };
        let mut query: Vec<_> =
            self.ask.query.iter().map(|(key, value)| (decoded(key), decoded(value))).collect();
        query.sort();
        if operation.is_some_and(|own| self.policy.public.contains(&own)) {
            return Expected::Allowed(Allowed { query, ..Allowed::default() });
        }
        let Some((issuer, _)) = &self.ask.caller else { return refused("credential") };
        if *issuer != "keycloak" {
            return refused("principal");
        }
        if self.reads_twice() {
            return refused("malformed");
        }
        let Some(tenant) = self.tenant() else { return refused("tenant") };
        let facts = Facts { judge: self, tenant, parameters };
        if let Acting::Named { proven_by } = self.policy.acting
            && !facts.named(proven_by).holds()
        {
            return refused("tenant");
        }
        let permissions = match facts.decide(operation) {
            Ok(permissions) => permissions,
            Err(expected) => return expected,
        };
        let mut allowed = Allowed { permissions, query, roles: facts.role_names(), headers: BTreeMap::new() };
        facts.take_for_granted(&mut allowed);
        allowed.query.sort();
        Expected::Allowed(allowed)
    }

    /// Path first, then method; a literal before a parameter, and no way back from a literal that matched.
    fn route(&self) -> Routed {
        let path = self.ask.path;
        let segments: Vec<String> = path.trim_matches('/').split('/').map(decoded).collect();
        let present =
            self.policy.protected().union(&self.policy.public).map(|own| Some(*own)).collect::<Vec<_>>();
        let template = |own: &Option<usize>| {
            let (method, path) = own.map_or(("PUT", "/anchor/{id}"), |own| OPERATIONS[own]);
            let full = format!("{BASE}{path}");
            (method, full.trim_matches('/').split('/').map(str::to_owned).collect::<Vec<_>>())
        };
        let mut left: Vec<_> = present.iter().chain([&None]).map(|own| (*own, template(own))).collect();
        for (at, segment) in segments.iter().enumerate() {
            let is_literal = |parts: &[String]| parts.get(at).is_some_and(|part| part == segment);
            let any_literal = left.iter().any(|(_, (_, parts))| is_literal(parts));
            left.retain(|(_, (_, parts))| match parts.get(at) {
                _ if any_literal => is_literal(parts),
                Some(part) => part.starts_with('{'),
                None => parts.last().is_some_and(|part| part.ends_with("...}")),
            });
        }
        left.retain(|(_, (_, parts))| {
            parts.len() == segments.len()
                || parts.len() < segments.len() && parts.last().is_some_and(|part| part.ends_with("...}"))
        });
        if left.is_empty() {
            return Routed::Nowhere;
        }
        let method = if self.ask.method == "HEAD" { "GET" } else { self.ask.method };
        let Some((own, (_, parts))) = left.iter().find(|(_, (own, _))| *own == method) else {
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

    fn claim(&self, path: &str) -> Claim {
        let Some((_, claims)) = &self.ask.caller else { return Claim::Absent };
        let mut own = claims.get(path.split('.').next().unwrap());
        for part in path.split('.').skip(1) {
            match own {
                None | Some(serde_json::Value::Null) => return Claim::Absent,
                Some(serde_json::Value::Object(members)) => own = members.get(part),
                Some(_) => return Claim::Hidden,
            }
        }
        match own {
            None | Some(serde_json::Value::Null) => Claim::Absent,
            Some(value) => Claim::Is(value.clone()),
        }
    }

    /// The first source that is there decides, and names a customer of the app.
    fn tenant(&self) -> Option<&Tenant> {
        let header =
            self.ask.headers.iter().find(|(name, _)| *name == "x-tenant").map(|(_, id)| (*id).to_owned());
        let claim = || match self.claim("tid") {
            Claim::Is(serde_json::Value::String(id)) => Some(id),
            _ => None,
        };
        let id = match self.policy.acting {
            Acting::Constant => return self.tenants.iter().find(|own| own.name == "acme"),
            Acting::Own => claim(),
            Acting::Named { .. } => header.or_else(claim),
        };
        let id = id?;
        self.tenants.iter().find(|own| own.is_customer && own.ids.contains(&id.as_str()))
    }
}

enum Claim {
    Absent,
    /// Something stands in its way.
    Hidden,
    Is(serde_json::Value),
}

/// What a source says before a default stands in.
enum Said {
    Absent,
    Odd,
    Is(Val),
}

impl Said {
    fn typed(value: Option<Val>) -> Self {
        value.map_or(Self::Odd, Self::Is)
    }
}

impl Facts<'_> {
    fn read(&self, fact: &Fact) -> Read {
        match self.said(fact) {
            Said::Is(value) => Read::Known(value),
            Said::Odd => Read::Unknown,
            Said::Absent => {
                let has_default = |index: &usize| FACTS[*index].name == fact.name;
                let default =
                    fact.default.filter(|_| self.judge.policy.defaults.iter().any(|own| has_default(own)));
                default
                    .map_or(Read::Unknown, |text| Read::Known(of_literal(text.trim_matches('"'), fact.kind)))
            }
        }
    }

    fn said(&self, fact: &Fact) -> Said {
        let ask = self.judge.ask;
        let (source, name) = fact.name.split_once('.').unwrap();
        let text = |found: Option<String>| match found {
            None => Said::Absent,
            Some(text) => Said::typed(of_text(&text, fact.kind)),
        };
        match source {
            "token" => match self.judge.claim(name) {
                Claim::Absent => Said::Absent,
                Claim::Hidden => Said::Odd,
                Claim::Is(json) => Said::typed(of_json(&json, fact.kind)),
            },
            "tenant" => Said::Is(of_literal(self.tenant.setting(fact.name), fact.kind)),
            "path" => text(self.parameters.get(name).cloned()),
            "query" => text(ask.query.iter().find(|(key, _)| *key == name).map(|(_, value)| decoded(value))),
            "header" => {
                text(ask.headers.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned()))
            }
            "client" => Said::Is(Val::Ip(ask.client)),
            _ => panic!("no source {source}"),
        }
    }

    fn named(&self, index: usize) -> Says {
        self.says(&self.judge.policy.conditions[index])
    }

    fn says(&self, cond: &Cond) -> Says {
        let all = |parts: &[Cond]| parts.iter().map(|part| self.says(part)).collect::<Vec<_>>();
        match cond {
            Cond::Named(index) => self.named(*index),
            Cond::All(parts) => Says::all(&all(parts)),
            Cond::Any(parts) => Says::any(&all(parts)),
            Cond::Not(part) => self.says(part).negated(),
            Cond::Leaf(leaf) => {
                let leaf = &LEAVES[*leaf];
                let right = match &leaf.right {
                    Right::Fact(fact) => self.read(fact),
                    Right::Literal(text, kind) => Read::Known(of_literal(text, *kind)),
                };
                compare(leaf.operator, &self.read(&leaf.fact), &right, self.tenant.zone.1)
            }
        }
    }

    /// The strings that say which roles the caller has.
    fn claimed(&self) -> BTreeSet<String> {
        let Claim::Is(json) = self.judge.claim("roles") else { return BTreeSet::new() };
        match of_json(&json, Kind::Set) {
            Some(Val::Set(all)) => all,
            _ => BTreeSet::new(),
        }
    }

    fn holds(&self, index: usize, role: &Role) -> bool {
        let claimed = self.claimed();
        match role.claims.as_slice() {
            [] => claimed.contains(&name(index)),
            claims => claims.iter().any(|claim| claimed.contains(*claim)),
        }
    }

    fn role_names(&self) -> BTreeSet<String> {
        let roles = self.judge.policy.roles.iter().enumerate();
        roles.filter(|(index, role)| self.holds(*index, role)).map(|(index, _)| name(index)).collect()
    }

    /// Everything that grants the operation, with the conditions under which it does.
    fn grants(&self, operation: Option<usize>) -> Vec<(String, Says)> {
        let policy = self.judge.policy;
        let held = policy.roles.iter().enumerate().filter(|(index, role)| self.holds(*index, role));
        let held = held.map(|(_, role)| role).chain(&policy.anyone);
        let Some(operation) = operation else { return Vec::new() };
        let mut found = Vec::new();
        for role in held {
            for (scope, terms) in role.grants.iter().enumerate() {
                for (at, resource) in policy.resources.iter().enumerate() {
                    let has_it = resource.scopes[scope].as_ref().is_some_and(|own| own.contains(&operation));
                    let is_excluded = terms.iter().any(|term| matches!(term, Term::Not(own) if *own == at));
                    if !has_it || is_excluded {
                        continue;
                    }
                    for term in terms {
                        let conditions = match term {
                            Term::Every if !resource.reserved => &[][..],
                            Term::One { resource, conditions } if *resource == at => conditions,
                            _ => continue,
                        };
                        let all: Vec<_> =
                            role.only.iter().chain(conditions).map(|own| self.named(*own)).collect();
                        found.push((format!("r{at}#{}", SCOPES[scope]), Says::all(&all)));
                    }
                }
            }
        }
        found
    }

    fn decide(&self, operation: Option<usize>) -> Result<BTreeSet<String>, Expected> {
        let grants = self.grants(operation);
        if grants.is_empty() {
            return Err(refused("denied"));
        }
        let applies = |on: &On| match on {
            On::Parameter => self.parameters.contains_key("id"),
            On::Operation(own) => Some(*own) == operation,
        };
        let required = self.judge.policy.requirements.iter();
        let required: Vec<_> =
            required.filter(|own| own.on.is_empty() || own.on.iter().any(applies)).collect();
        let against: Vec<_> = required.iter().filter(|own| !self.named(own.is).holds()).collect();
        if !against.is_empty() {
            // Where several stand against it, any may be told.
            let kind = |step_up: bool| if step_up { "step-up" } else { "denied" };
            return Err(Expected::Refused(against.iter().map(|own| kind(own.step_up)).collect()));
        }
        let granted: BTreeSet<String> =
            grants.into_iter().filter(|(_, says)| says.holds()).map(|(name, _)| name).collect();
        if granted.is_empty() { Err(refused("denied")) } else { Ok(granted) }
    }

    /// What was judged is what is forwarded: the tenant in its header, and defaults in their places.
    fn take_for_granted(&self, allowed: &mut Allowed) {
        if let Acting::Named { .. } = self.judge.policy.acting {
            let named = self.judge.ask.headers.iter().find(|(name, _)| *name == "x-tenant");
            let id = match (named, self.judge.claim("tid")) {
                (Some((_, id)), _) => (*id).to_owned(),
                (None, Claim::Is(json)) => json.as_str().unwrap().to_owned(),
                (None, _) => panic!("a tenant without a name"),
            };
            allowed.headers.insert("x-tenant".into(), id);
        }
        for index in self.judge.policy.declared() {
            let fact = &FACTS[index];
            let (source, name) = fact.name.split_once('.').unwrap();
            if let (Said::Absent, Read::Known(Val::Text(text))) = (self.said(fact), self.read(fact)) {
                match source {
                    "header" => drop(allowed.headers.insert(name.into(), text)),
                    "query" => allowed.query.push((name.into(), text)),
                    _ => {}
                }
            }
        }
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || char::from(rest.next().unwrap()).to_digit(16).unwrap();
        bytes.push(if byte == b'%' { u8::try_from(digit() * 16 + digit()).unwrap() } else { byte });
    }
    String::from_utf8(bytes).unwrap()
}
