//! Formulas as roles and conditions. A case that a role of the token begins is that role's grant, under the rest of the
//! case; a case without one is everyone's, under all of it.

use std::collections::{BTreeMap, BTreeSet};

use super::super::report::{Report, Weight, code};
use super::super::toml_text::{slug, unique};
use super::logic::{Atom, Case, Formula};
use super::protected::{Protected, Scope};

/// Most cases that are written one by one; more become a condition of their own.
const CASES_MAX: usize = 16;
/// Most tests and deepest nesting of a condition of its own.
const CONDITION_MAX: (usize, usize) = (400, 12);
/// The role of everyone with a token.
const ANYONE: &str = "anyone";

/// Where the roles are that rules are granted to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Realm,
    Client(String),
}

/// A role of the file.
#[derive(Clone, Debug)]
pub(super) struct Role {
    pub(super) name: String,
    /// What the token calls it, where that isn't the name.
    pub(super) claim: Option<String>,
    /// Terms by scope.
    pub(super) scopes: BTreeMap<String, Vec<String>>,
}

/// Everything that the file grants.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) family: Family,
    pub(super) roles: Vec<Role>,
    /// Conditions by name, in the order in which they are needed.
    pub(super) conditions: Vec<(String, String)>,
    /// Facts of the token that are read, with their types.
    pub(super) facts: BTreeMap<String, &'static str>,
    /// Whether a time of day is read.
    pub(super) reads_clock: bool,
}

struct Writer<'a> {
    atoms: &'a [Atom],
    granted: Granted,
    named: BTreeMap<(usize, bool), String>,
}

/// Makes roles and conditions of what is granted.
pub(super) fn read(protected: &[Protected], atoms: &[Atom], client: &str, report: &mut Report) -> Granted {
    let granted = Granted {
        family: family(protected, atoms, client),
        roles: Vec::new(),
        conditions: Vec::new(),
        facts: BTreeMap::new(),
        reads_clock: false,
    };
    let mut writer = Writer { atoms, granted, named: BTreeMap::new() };
    let fact = writer.granted.family.fact();
    writer.granted.facts.insert(fact, "set");
    for resource in protected {
        for scope in &resource.scopes {
            writer.scope(&resource.name, scope, report);
        }
    }
    let mut granted = writer.granted;
    granted.roles.sort_by(|a, b| (a.name == ANYONE, &a.name).cmp(&(b.name == ANYONE, &b.name)));
    granted
}

/// The realm's roles, unless only the client's own are spoken of.
fn family(protected: &[Protected], atoms: &[Atom], client: &str) -> Family {
    let mut used = BTreeSet::new();
    for scope in protected.iter().flat_map(|own| &own.scopes) {
        scope.grant.atoms(&mut used);
    }
    let used: Vec<&Atom> = used.into_iter().filter_map(|index| atoms.get(index)).collect();
    let is_realm = used.iter().any(|own| matches!(own, Atom::RealmRole(_)));
    let clients: BTreeSet<&String> = used
        .iter()
        .filter_map(|own| if let Atom::ClientRole(client, _) = own { Some(client) } else { None })
        .collect();
    let own = clients.iter().find(|own| own.as_str() == client).or_else(|| clients.first());
    match own {
        Some(own) if !is_realm => Family::Client((*own).clone()),
        _ => Family::Realm,
    }
}

impl Family {
    /// The fact that holds the roles.
    pub(super) fn fact(&self) -> String {
        match self {
            Self::Realm => "token.realm_access.roles".to_owned(),
            Self::Client(client) => format!("token.resource_access.{client}.roles"),
        }
    }

    fn role<'a>(&self, atom: &'a Atom) -> Option<&'a str> {
        match (self, atom) {
            (Self::Realm, Atom::RealmRole(role)) => Some(role),
            (Self::Client(own), Atom::ClientRole(client, role)) if own == client => Some(role),
            _ => None,
        }
    }
}

impl Writer<'_> {
    fn scope(&mut self, resource: &str, scope: &Scope, report: &mut Report) {
        if let Some(cases) = scope.grant.cases(CASES_MAX) {
            for case in &cases {
                self.case(resource, &scope.name, case);
            }
            return;
        }
        if scope.grant.size() > CONDITION_MAX.0 || scope.grant.depth() > CONDITION_MAX.1 {
            let why = "who has it comes about in more ways than a condition can have";
            report.add(Weight::Denied, code::TOO_MANY, scope.at.clone(), scope.about.clone(), why);
            return;
        }
        let text = self.formula(&scope.grant);
        let name = self.unique(format!("may-{}", slug(&scope.name)));
        self.granted.conditions.push((name.clone(), text));
        self.grant(ANYONE, None, &scope.name, format!("{resource} if {name}"));
    }

    fn case(&mut self, resource: &str, scope: &str, case: &Case) {
        let role = case.iter().find_map(|(index, is)| {
            let role =
                is.then(|| self.atoms.get(*index).and_then(|atom| self.granted.family.role(atom)))??;
            Some((*index, role.to_owned()))
        });
        let rest: Vec<(usize, bool)> = case
            .iter()
            .filter(|(index, _)| role.as_ref().is_none_or(|(own, _)| own != index))
            .copied()
            .collect();
        let conditions: Vec<String> = rest.into_iter().map(|literal| self.condition(literal)).collect();
        let term = if conditions.is_empty() {
            resource.to_owned()
        } else {
            format!("{resource} if {}", conditions.join(", "))
        };
        match role {
            // A role of this name isn't everyone.
            Some((_, role)) if role == ANYONE => {
                let is_role =
                    |name: &str| self.atoms.iter().any(|own| self.granted.family.role(own) == Some(name));
                let name = unique("role-anyone".to_owned(), is_role);
                self.grant(&name, Some(&role), scope, term);
            }
            Some((_, role)) => self.grant(&role, None, scope, term),
            None => self.grant(ANYONE, None, scope, term),
        }
    }

    fn grant(&mut self, role: &str, claim: Option<&str>, scope: &str, term: String) {
        let found =
            self.granted.roles.iter().position(|own| own.name == role && own.claim.as_deref() == claim);
        let at = found.unwrap_or_else(|| {
            let (name, claim) = (role.to_owned(), claim.map(str::to_owned));
            self.granted.roles.push(Role { name, claim, scopes: BTreeMap::new() });
            self.granted.roles.len() - 1
        });
        if let Some(own) = self.granted.roles.get_mut(at) {
            let terms = own.scopes.entry(scope.to_owned()).or_default();
            if !terms.contains(&term) {
                terms.push(term);
            }
        }
    }

    fn unique(&self, wanted: String) -> String {
        unique(wanted, |name| self.granted.conditions.iter().any(|(own, _)| own == name))
    }

    /// The name of the condition that an atom is so, or isn't.
    fn condition(&mut self, (index, is): (usize, bool)) -> String {
        if let Some(name) = self.named.get(&(index, is)) {
            return name.clone();
        }
        let (name, text) = if is {
            let Some(atom) = self.atoms.get(index).cloned() else { return String::new() };
            let text = super::super::toml_text::quoted(&self.test(&atom));
            (self.unique(name(&atom)), text)
        } else {
            let positive = self.condition((index, true));
            (self.unique(format!("no-{positive}")), format!("{{ not = \"{positive}\" }}"))
        };
        self.granted.conditions.push((name.clone(), text));
        self.named.insert((index, is), name.clone());
        name
    }

    fn formula(&mut self, formula: &Formula) -> String {
        match formula {
            // A formula that is written has no constants in it.
            Formula::Const(_) => "{ any = [] }".to_owned(),
            Formula::Is(atom) => format!("\"{}\"", self.condition((*atom, true))),
            Formula::Not(part) => format!("{{ not = {} }}", self.formula(part)),
            Formula::All(parts) => format!("{{ all = [{}] }}", self.parts(parts)),
            Formula::Any(parts) => format!("{{ any = [{}] }}", self.parts(parts)),
        }
    }

    fn parts(&mut self, parts: &[Formula]) -> String {
        parts.iter().map(|part| self.formula(part)).collect::<Vec<_>>().join(", ")
    }

    /// The test of an atom, its fact declared.
    fn test(&mut self, atom: &Atom) -> String {
        let (fact, kind, test) = match atom {
            Atom::RealmRole(role) => (Family::Realm.fact(), "set", format!("has '{role}'")),
            Atom::ClientRole(client, role) => {
                (Family::Client(client.clone()).fact(), "set", format!("has '{role}'"))
            }
            Atom::Group(group) => ("token.groups".to_owned(), "set", format!("has '{group}'")),
            Atom::Client(client) => ("token.azp".to_owned(), "string", format!("= '{client}'")),
            Atom::User(user) => ("token.sub".to_owned(), "string", format!("= '{user}'")),
            Atom::From(moment) => return format!("client.time >= '{moment}'"),
            Atom::Until(moment) => return format!("client.time <= '{moment}'"),
            Atom::ClockFrom(clock) => {
                self.granted.reads_clock = true;
                return format!("client.time >= '{clock}'");
            }
            Atom::ClockUntil(clock) => {
                self.granted.reads_clock = true;
                return format!("client.time <= '{clock}'");
            }
        };
        self.granted.facts.insert(fact.clone(), kind);
        format!("{fact} {test}")
    }
}

/// What a condition is called.
fn name(atom: &Atom) -> String {
    match atom {
        Atom::RealmRole(role) => format!("has-{}", slug(role)),
        Atom::ClientRole(client, role) => format!("has-{}-{}", slug(client), slug(role)),
        Atom::Group(group) => format!("in-{}", slug(group)),
        Atom::Client(client) => format!("by-{}", slug(client)),
        Atom::User(_) => "user".to_owned(),
        Atom::From(_) => "begun".to_owned(),
        Atom::Until(_) => "not-over".to_owned(),
        Atom::ClockFrom(clock) => format!("from-{}", slug(clock)),
        Atom::ClockUntil(clock) => format!("until-{}", slug(clock)),
    }
}
