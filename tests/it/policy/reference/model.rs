//! A policy as a reader has it in mind, and how a rule file says it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::obligations::{Obligations, Seat};
use super::words::{FACTS, LEAVES, LOOK_UPS, OPERATIONS, SCOPES, namespace, place};

#[derive(Clone, Debug)]
pub(super) enum Cond {
    /// One of the tests, by index.
    Leaf(usize),
    /// An earlier condition.
    Named(usize),
    All(Vec<Cond>),
    Any(Vec<Cond>),
    Not(Box<Cond>),
}

#[derive(Clone, Debug)]
pub(super) enum On {
    Parameter,
    Operation(usize),
}

#[derive(Clone, Debug)]
pub(super) struct Requirement {
    pub(super) is: usize,
    pub(super) on: Vec<On>,
    pub(super) step_up: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Resource {
    pub(super) reserved: bool,
    /// Per scope, if the resource has it, its operations.
    pub(super) scopes: Vec<Option<BTreeSet<usize>>>,
}

#[derive(Clone, Debug)]
pub(super) enum Term {
    Every,
    One { resource: usize, conditions: Vec<usize>, until: Option<&'static str> },
    Not(usize),
}

#[derive(Clone, Debug)]
pub(super) struct Role {
    pub(super) claims: Vec<&'static str>,
    pub(super) only: Option<usize>,
    /// Per scope its terms.
    pub(super) grants: Vec<Vec<Term>>,
}

/// Whose things are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acting {
    /// Always `acme`.
    Constant,
    /// A header names it, else the token does; a condition proves it.
    Named { proven_by: usize },
    /// The token names it.
    Own,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Resources,
    Matrix,
}

#[derive(Clone)]
pub(super) struct Policy {
    /// Whether the app itself says which roles the caller has.
    pub(super) asks_roles: bool,
    /// Which of the facts that may have a default have it.
    pub(super) defaults: BTreeSet<usize>,
    pub(super) conditions: Vec<Cond>,
    pub(super) requirements: Vec<Requirement>,
    pub(super) acting: Acting,
    pub(super) public: BTreeSet<usize>,
    pub(super) form: Form,
    pub(super) resources: Vec<Resource>,
    pub(super) roles: Vec<Role>,
    /// What every verified principal is granted.
    pub(super) anyone: Option<Role>,
    pub(super) carried: Obligations,
    /// Per permission, resource and scope, whether it needs a seat.
    pub(super) seats: BTreeMap<(usize, usize), Seat>,
}

impl Policy {
    /// Leaves out what no file may say, so that every policy loads, a shrunk one too.
    pub(super) fn tidied(mut self) -> Self {
        for index in 0..self.conditions.len() {
            let earlier = self.conditions[..index].to_vec();
            tidy(&mut self.conditions[index], &earlier);
        }
        for resource in &mut self.resources {
            if self.form == Form::Matrix {
                *resource = Resource { reserved: false, scopes: vec![None, None, resource.scopes[2].take()] };
                resource.scopes[2].get_or_insert_default();
            }
            for operations in resource.scopes.iter_mut().flatten() {
                operations.retain(|own| !self.public.contains(own));
            }
            if resource.scopes.iter().all(Option::is_none) {
                resource.scopes[0] = Some(BTreeSet::new());
            }
        }
        let (resources, form) = (self.resources.clone(), self.form);
        for role in &mut self.roles {
            role.tidy(&resources, form);
            if matches!(self.acting, Acting::Named { .. }) {
                role.only.get_or_insert(0);
            }
        }
        if let Some(role) = &mut self.anyone {
            role.tidy(&resources, form);
        }
        let protected: BTreeSet<usize> = self.protected();
        let of_object = |is: usize| {
            let mut read = BTreeSet::new();
            names(&self.conditions[is], &self.conditions, &mut read);
            read.iter().any(|name| ["path", "body", "thing", "owner"].contains(&namespace(name)))
        };
        if let Acting::Named { proven_by } = self.acting
            && of_object(proven_by)
        {
            self.acting = Acting::Own;
        }
        let objects: Vec<bool> = self.requirements.iter().map(|own| of_object(own.is)).collect();
        for (own, is_of_object) in self.requirements.iter_mut().zip(objects) {
            let is_there = |on: &On| match on {
                On::Parameter => true,
                On::Operation(operation) => protected.contains(operation),
            };
            own.on.retain(is_there);
            if is_of_object && own.on.is_empty() {
                own.on.push(On::Parameter);
            }
        }
        let carried = std::mem::take(&mut self.carried);
        self.carried = carried.tidied(&self);
        self
    }

    pub(super) fn has(&self, resource: usize, scope: usize) -> bool {
        self.resources.get(resource).is_some_and(|own| own.scopes[scope].is_some())
    }

    /// The operations that some resource has.
    pub(super) fn protected(&self) -> BTreeSet<usize> {
        self.resources.iter().flat_map(|own| own.scopes.iter().flatten().flatten().copied()).collect()
    }

    fn read(&self) -> BTreeSet<&'static str> {
        let mut read: BTreeSet<&'static str> = self.carried.reads(&self.conditions);
        self.conditions.iter().for_each(|cond| names(cond, &self.conditions, &mut read));
        let more: Vec<&str> = read.iter().map(|name| namespace(name)).collect();
        if more.contains(&"owner") {
            read.insert("thing.owner");
        }
        if read.contains("thing.team") {
            read.insert("token.org");
        }
        read
    }

    /// The namespaces that the app is asked for, in the order of the file.
    pub(super) fn look_ups(&self) -> Vec<&'static str> {
        let read = self.read();
        let is_read = |name: &str| read.iter().any(|own| namespace(own) == name);
        let all = LOOK_UPS.iter().map(|own| own.name);
        all.filter(|name| is_read(name) || *name == "me" && self.asks_roles).collect()
    }

    /// The facts that the file declares: those that are read.
    pub(super) fn declared(&self) -> Vec<usize> {
        let read = self.read();
        (0..FACTS.len()).filter(|fact| read.contains(FACTS[*fact].name)).collect()
    }

    pub(super) fn rules(&self) -> String {
        let mut text = "app = \"g\"\nbase = \"/g\"\nissuer = \"keycloak\"\n".to_owned();
        text += &format!("roles = \"{}.roles\"\n", if self.asks_roles { "me" } else { "token" });
        text += match self.acting {
            Acting::Constant => "tenant = \"acme\"\n",
            Acting::Named { .. } => {
                "tenant = { from = [\"header.x-tenant\", \"token.tid\"], proven-by = \"proof\" }\nisolation = \"upstream\"\n"
            }
            Acting::Own => "tenant = { from = [\"token.tid\"] }\nisolation = \"upstream\"\n",
        };
        let public: Vec<_> = self.public.iter().map(|own| operation(*own)).collect();
        text += &format!("public = [{}]\n", public.join(", "));
        self.facts(&mut text);
        text += "[when]\n";
        for (index, cond) in self.conditions.iter().enumerate() {
            text += &format!("c{index} = {}\n", written(cond));
        }
        text += "[require]\n";
        if let Acting::Named { proven_by } = self.acting {
            text += &format!("proof = \"c{proven_by}\"\n");
        }
        self.requirements.iter().enumerate().for_each(|(index, own)| text += &own.written(index));
        text += &self.carried.written();
        match self.form {
            Form::Resources => self.as_resources(&mut text),
            Form::Matrix => self.as_matrix(&mut text),
        }
        text
    }

    fn facts(&self, text: &mut String) {
        *text += "[facts.token]\nroles = \"set\"\ntid = \"string\"\nsub = \"string\"\n";
        let own = self.declared();
        for source in ["token", "tenant", "query", "header", "body", "thing", "owner", "me"] {
            let facts: Vec<usize> =
                own.iter().copied().filter(|fact| namespace(FACTS[*fact].name) == source).collect();
            let look_up = LOOK_UPS.iter().find(|own| own.name == source && self.look_ups().contains(&source));
            if source != "token" && (look_up.is_some() || !facts.is_empty()) {
                *text += &format!("[facts.{source}]\n");
            }
            if let Some(own) = look_up {
                *text += &format!("get = \"{}/{{{}}}\"\nttl = \"10s\"\n", own.path, own.of);
            }
            if source == "me" && look_up.is_some() {
                *text += "roles = { at = \"/roles\", type = \"set\" }\n";
            }
            facts.into_iter().for_each(|index| *text += &self.declaration(index, source));
        }
    }

    fn declaration(&self, index: usize, source: &str) -> String {
        let (fact, kind) = (FACTS[index], FACTS[index].kind.word());
        let name = fact.name.split_once('.').unwrap().1;
        let default = fact.default.filter(|_| self.defaults.contains(&index));
        let default = default.map(|own| format!(", default = {own}")).unwrap_or_default();
        if ["body", "thing", "owner", "me"].contains(&source) {
            let at = place(fact.name).join("/");
            return format!("{name} = {{ at = \"/{at}\", type = \"{kind}\"{default} }}\n");
        }
        match default.as_str() {
            "" => format!("{name} = \"{kind}\"\n"),
            default => format!("{name} = {{ type = \"{kind}\"{default} }}\n"),
        }
    }

    fn scope(&self, (resource, scope): (usize, usize), operations: &BTreeSet<usize>) -> String {
        match self.seats.get(&(resource, scope)) {
            None => routes(operations),
            Some(seat) => format!("{{ seat = {}, operations = {} }}", seat.written(), routes(operations)),
        }
    }

    fn as_resources(&self, text: &mut String) {
        *text += "[resource.anchor]\ntouch = [\"PUT /anchor/{id}\"]\n";
        for (index, resource) in self.resources.iter().enumerate() {
            *text += &format!("[resource.r{index}]\n");
            if resource.reserved {
                *text += "reserved = true\n";
            }
            for (at, (scope, operations)) in SCOPES.iter().zip(&resource.scopes).enumerate() {
                if let Some(operations) = operations {
                    *text += &format!("{scope} = {}\n", self.scope((index, at), operations));
                }
            }
        }
        for (index, role) in self.roles.iter().enumerate() {
            *text += &format!("[role.{}]\n{}{}", name(index), role.head(index), role.body());
        }
        if let Some(role) = &self.anyone {
            *text += &format!("[role.anyone]\n{}{}", role.limit(), role.body());
        }
    }

    fn as_matrix(&self, text: &mut String) {
        for (index, role) in self.roles.iter().enumerate() {
            *text += &format!("[role.{}]\n{}", name(index), role.head(index));
        }
        let columns: Vec<_> = (0..self.roles.len()).map(|index| format!("\"{}\"", name(index))).collect();
        *text += &format!("[matrix]\ncolumns = [{}]\n", columns.join(", "));
        for index in 0..self.resources.len() {
            let cells: Vec<_> = self.roles.iter().map(|role| role.cell(index)).collect();
            *text += &format!("r{index} = [{}]\n", cells.join(", "));
        }
        *text += "anchor = [";
        *text += &vec!["\"no\""; self.roles.len()].join(", ");
        *text += "]\n[routes]\nanchor = [\"PUT /anchor/{id}\"]\n";
        for (index, resource) in self.resources.iter().enumerate() {
            *text +=
                &format!("r{index} = {}\n", self.scope((index, 2), resource.scopes[2].as_ref().unwrap()));
        }
        if let Some(role) = &self.anyone {
            *text += &format!("[role.anyone]\n{}{}", role.limit(), role.body());
        }
    }

    /// Whether a tenant's settings are what this policy's app declares: every one of them is there.
    pub(super) fn settings(&self) -> Vec<&'static str> {
        let own = self.declared().into_iter().map(|index| FACTS[index].name);
        own.filter(|name| namespace(name) == "tenant").collect()
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rules/g.toml\n{}", self.rules())
    }
}

impl Requirement {
    fn written(&self, index: usize) -> String {
        if self.on.is_empty() && !self.step_up {
            return format!("q{index} = \"c{}\"\n", self.is);
        }
        let mut fields = vec![format!("is = \"c{}\"", self.is)];
        if !self.on.is_empty() {
            let on = self.on.iter().map(|on| match on {
                On::Parameter => "\"{id}\"".to_owned(),
                On::Operation(own) => operation(*own),
            });
            fields.push(format!("on = [{}]", on.collect::<Vec<_>>().join(", ")));
        }
        if self.step_up {
            fields.push("else = { step-up = { acr = [\"mfa\"] } }".to_owned());
        }
        format!("q{index} = {{ {} }}\n", fields.join(", "))
    }
}

impl Role {
    fn tidy(&mut self, resources: &[Resource], form: Form) {
        for (scope, terms) in self.grants.iter_mut().enumerate() {
            if form == Form::Matrix {
                let mut seen = BTreeSet::new();
                terms.retain(|term| matches!(term, Term::One { resource, .. } if seen.insert(*resource)));
            }
            terms.retain(|term| match term {
                Term::One { resource, .. } => {
                    let own = &resources[*resource];
                    !own.reserved && own.scopes[scope].is_some()
                }
                Term::Every | Term::Not(_) => resources.iter().any(|own| own.scopes[scope].is_some()),
            });
        }
    }

    fn limit(&self) -> String {
        self.only.map(|own| format!("only = \"c{own}\"\n")).unwrap_or_default()
    }

    fn head(&self, index: usize) -> String {
        let claims: Vec<_> = self.claims.iter().map(|own| format!("\"{own}\"")).collect();
        let claim = if claims.is_empty() {
            format!("\"{}\"", name(index))
        } else {
            format!("[{}]", claims.join(", "))
        };
        format!("claim = {claim}\n{}", self.limit())
    }

    fn body(&self) -> String {
        let mut text = String::new();
        for (scope, terms) in SCOPES.iter().zip(&self.grants) {
            if terms.is_empty() {
                continue;
            }
            let terms: Vec<_> = terms
                .iter()
                .map(|term| match term {
                    Term::Every => "\"*\"".to_owned(),
                    Term::Not(resource) => format!("\"!r{resource}\""),
                    Term::One { resource, conditions, until } => {
                        format!("\"r{resource}{}\"", limits(conditions, *until))
                    }
                })
                .collect();
            text += &format!("{scope} = [{}]\n", terms.join(", "));
        }
        text
    }

    fn cell(&self, feature: usize) -> String {
        let found = self.grants[2].iter().find_map(|term| match term {
            Term::One { resource, conditions, until } if *resource == feature => Some((conditions, *until)),
            _ => None,
        });
        match found {
            None => "\"no\"".to_owned(),
            Some((conditions, until)) if conditions.is_empty() => format!("\"yes{}\"", limits(&[], until)),
            Some((conditions, until)) => format!("\"{}\"", limits(conditions, until).trim_start()),
        }
    }
}

fn limits(conditions: &[usize], until: Option<&str>) -> String {
    let names: Vec<_> = conditions.iter().map(|own| format!("c{own}")).collect();
    let limit = if names.is_empty() { String::new() } else { format!(" if {}", names.join(", ")) };
    limit + &until.map(|day| format!(" until {day}")).unwrap_or_default()
}

pub(super) fn name(role: usize) -> String {
    format!("role{role}")
}

pub(super) fn operation(index: usize) -> String {
    let (method, path) = OPERATIONS[index];
    format!("\"{method} {path}\"")
}

fn routes(operations: &BTreeSet<usize>) -> String {
    format!("[{}]", operations.iter().map(|own| operation(*own)).collect::<Vec<_>>().join(", "))
}

pub(super) fn written(cond: &Cond) -> String {
    let list = |parts: &[Cond]| parts.iter().map(written).collect::<Vec<_>>().join(", ");
    match cond {
        Cond::Leaf(leaf) => format!("\"{}\"", LEAVES[*leaf].text()),
        Cond::Named(index) => format!("\"c{index}\""),
        Cond::All(parts) => format!("{{ all = [{}] }}", list(parts)),
        Cond::Any(parts) => format!("{{ any = [{}] }}", list(parts)),
        Cond::Not(part) => format!("{{ not = {} }}", written(part)),
    }
}

/// The facts that a condition reads, through names too.
pub(super) fn names(cond: &Cond, named: &[Cond], into: &mut BTreeSet<&'static str>) {
    match cond {
        Cond::Leaf(leaf) => into.extend(LEAVES[*leaf].facts().map(|fact| fact.name)),
        Cond::Named(index) => names(&named[*index], named, into),
        Cond::All(parts) | Cond::Any(parts) => parts.iter().for_each(|part| names(part, named, into)),
        Cond::Not(part) => names(part, named, into),
    }
}

/// The conditions that may become filters, which stand first: `thing.owner = token.org` and `thing.team = tenant.plan`.
pub(super) const NARROWABLE: usize = 2;

/// Names go to earlier conditions, and no `not` stands over the client's own word, or over what may become a filter.
pub(super) fn tidy(cond: &mut Cond, earlier: &[Cond]) {
    match cond {
        Cond::Leaf(leaf) => *leaf %= LEAVES.len(),
        Cond::Named(_) if earlier.is_empty() => *cond = Cond::Leaf(0),
        Cond::Named(index) => *index %= earlier.len(),
        Cond::All(parts) | Cond::Any(parts) => parts.iter_mut().for_each(|part| tidy(part, earlier)),
        Cond::Not(part) => {
            tidy(part, earlier);
            if is_stated(part, earlier) {
                *cond = std::mem::replace(&mut **part, Cond::Leaf(0));
            }
        }
    }
}

fn is_stated(cond: &Cond, named: &[Cond]) -> bool {
    match cond {
        Cond::Leaf(leaf) => LEAVES[*leaf].is_stated(),
        Cond::Named(index) => *index < NARROWABLE || is_stated(&named[*index], named),
        Cond::All(parts) | Cond::Any(parts) => parts.iter().any(|part| is_stated(part, named)),
        Cond::Not(part) => is_stated(part, named),
    }
}
