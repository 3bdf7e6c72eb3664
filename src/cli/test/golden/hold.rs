//! What a document's table says, held against the rules: what each role is granted, and what becomes of requests that it
//! makes. A cell is obeyed by a yes that every request has which meets what is required, or by a no that none has. A yes
//! under conditions is obeyed where the cell itself limits it, in words (which ask for a condition) or by a footnote that the
//! file has; elsewhere, and where yes and no differ, the rule file must name the cell under `[reading]`, and may name no other.

use std::collections::{BTreeMap, BTreeSet};

use super::super::sum::Test;
use super::names::Names;
use super::reading::{Instead, Reading};
use super::says::{Said, Saying, Says};
use super::verbs;
use super::word::Limit;
use crate::analysis::coverage::{self, Part};
use crate::analysis::guard::{self, Verdict};
use crate::analysis::{example, nearest};
use crate::authorize::Ruling;
use crate::config::Span;
use crate::policy::{App, Operation, PermissionId};
use crate::request::Timestamp;
use crate::snapshot::{OperationRef, Snapshot};

/// When requests are made.
const NOW: Timestamp = Timestamp(1_800_000_000);

/// A test, and where it stands.
pub(super) type Placed = (Span, Test);

/// Holds tables against one app's rules.
pub(super) struct Holder<'h> {
    pub snapshot: &'h Snapshot,
    pub at: usize,
    pub names: &'h Names<'h>,
    pub reading: &'h Reading,
    /// The departures that cells rested on, by number.
    pub used: BTreeSet<usize>,
    /// The roles and resources that tables crossed.
    pub crossed: BTreeSet<(String, String)>,
    /// What decisions tried.
    pub tried: Vec<(usize, Vec<Part>)>,
    /// Whether a role is let through to an operation, with some facts.
    decided: BTreeMap<(usize, usize), Decided>,
}

/// What became of an example of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decided {
    Allowed,
    /// By another app, which shares the operation and has reasons of its own.
    Elsewhere,
    Refused,
    /// None was found that meets what is required.
    NoExample,
}

/// What the rules grant of a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Rules {
    /// To everyone with the role who meets what is required.
    Always,
    /// Under conditions: `if own, reader`.
    Under(String),
    Nothing,
    /// There is no such scope.
    NoScope,
}

impl<'h> Holder<'h> {
    pub(super) fn new(snapshot: &'h Snapshot, at: usize, names: &'h Names<'h>, reading: &'h Reading) -> Self {
        let (used, crossed, decided) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
        Self { snapshot, at, names, reading, used, crossed, tried: Vec::new(), decided }
    }

    fn app(&self) -> &'h App {
        self.names.app
    }

    /// Holds a table; `has_note` tells whether its file explains a mark.
    pub(super) fn hold(&mut self, said: &Said, head: Span, has_note: &dyn Fn(&str) -> bool) -> Vec<Placed> {
        let mut tests = Vec::new();
        for saying in &said.sayings {
            let wrong = match &saying.role {
                Some(role) => self.granted(role, saying, has_note),
                None => verbs::described(self.app(), self.reading, saying),
            };
            tests.push((saying.span, self.test(saying, wrong)));
        }
        tests.extend(self.left_out(said, head));
        for (resource, span) in &said.reserved {
            let mut own = self.app().permissions.iter().filter(|(_, own)| *own.resource == **resource);
            if own.any(|(_, own)| !own.reserved) && !self.reading.explains(resource, None) {
                let wrong = format!("the document reserves `{resource}` for later, and the rules don't");
                tests.push((*span, failing(format!("{resource}: reserved"), wrong)));
            }
        }
        tests
    }

    fn test(&self, saying: &Saying, wrong: Vec<String>) -> Test {
        let scope = self.written(saying);
        let who = saying.role.as_deref().unwrap_or("the resource");
        let operations: Vec<String> =
            self.operations(saying).map(|(_, own)| format!("{} {}", own.verb, own.template)).collect();
        let says = if saying.text.is_empty() { "nothing" } else { &saying.text };
        Test {
            name: format!("{who}, {scope}"),
            request: operations.join(", "),
            says: format!("{who} | {scope} | {says}"),
            line: 0,
            wrong,
        }
    }

    /// `customer-list#manage`, or the feature alone.
    fn written(&self, saying: &Saying) -> String {
        match self.app().features.iter().any(|own| **own == *saying.resource) {
            true => saying.resource.clone(),
            false => format!("{}#{}", saying.resource, saying.scope),
        }
    }

    fn permission(&self, saying: &Saying) -> Option<PermissionId> {
        let is_it = |own: &crate::policy::Permission| {
            *own.resource == *saying.resource && *own.scope == *saying.scope
        };
        self.app().permissions.iter().find(|(_, own)| is_it(own)).map(|(id, _)| *id)
    }

    fn operations(&self, saying: &Saying) -> impl Iterator<Item = (usize, &'h Operation)> {
        let id = self.permission(saying);
        let own = self.app().operations.iter().enumerate();
        own.filter(move |(_, own)| id.is_some_and(|id| own.permissions().any(|other| other == id)))
    }

    /// What is wrong about a role's cell.
    fn granted(&mut self, role: &str, saying: &Saying, has_note: &dyn Fn(&str) -> bool) -> Vec<String> {
        self.crossed.insert((role.to_owned(), saying.resource.clone()));
        let Some((index, _)) = self.app().role(role) else {
            return vec![format!("there is no role `{role}`")];
        };
        let rules = self.rules(index, saying);
        let limited = match &saying.says {
            Says::Yes(Limit::Mark(mark)) => has_note(mark),
            Says::Yes(Limit::Words) => true,
            Says::Yes(Limit::None) | Says::No => false,
        };
        let is_yes = matches!(saying.says, Says::Yes(_));
        let plainly = match &rules {
            // A yes that its own words limit isn't one for everyone.
            Rules::Always => is_yes && saying.says != Says::Yes(Limit::Words),
            Rules::Nothing | Rules::NoScope => !is_yes,
            Rules::Under(_) => false,
        };
        if !plainly {
            let named: Vec<usize> = self.reading.of_cell(role, &saying.resource, &saying.scope).collect();
            let is_it = |at: &usize| {
                let own = self.reading.departures.get(*at);
                own.is_some_and(|own| self.is_named(saying, &rules, own.is))
            };
            let accepted = named.iter().any(is_it);
            // One that says otherwise than the rules do isn't stale: the cell tells.
            self.used.extend(&named);
            let of_itself = limited && matches!(rules, Rules::Under(_));
            if !(accepted || of_itself) {
                return vec![departs(saying, &rules, self.place(index, saying))];
            }
        }
        self.decide(index, saying, &rules)
    }

    /// Whether a departure that is named is this one. A sentence alone stands for a yes under conditions, for a yes of what
    /// is reserved or isn't there, and for a no that the rules grant; of others the file says what the rules do.
    fn is_named(&self, saying: &Saying, rules: &Rules, is: Option<Instead>) -> bool {
        let is_yes = matches!(saying.says, Says::Yes(_));
        let reserved = || {
            let id = self.permission(saying);
            id.and_then(|id| self.app().permission(id)).is_some_and(|own| own.reserved)
        };
        match (is, rules) {
            (Some(Instead::Yes), Rules::Always) | (Some(Instead::If), Rules::Under(_)) => true,
            (Some(Instead::No), Rules::Nothing | Rules::NoScope) => true,
            (Some(_), _) => false,
            (None, Rules::Always) => !is_yes,
            (None, Rules::Under(_) | Rules::NoScope) => is_yes,
            (None, Rules::Nothing) => is_yes && reserved(),
        }
    }

    fn rules(&self, role: usize, saying: &Saying) -> Rules {
        let app = self.app();
        let Some(id) = self.permission(saying) else { return Rules::NoScope };
        let roles = [Some(role), app.anyone];
        let rows = roles.into_iter().flatten().filter_map(|role| app.roles.get(role));
        let grants: Vec<_> = rows.flat_map(|row| row.grants_of(id)).collect();
        if grants.is_empty() {
            return Rules::Nothing;
        }
        let only = app.roles.get(role).and_then(|role| role.only);
        let under: Vec<String> = grants
            .iter()
            .map(|grant| {
                let conditions: Vec<usize> =
                    grant.conditions.iter().copied().filter(|own| Some(*own) != only).collect();
                nearest::names(app, &conditions).join(", ")
            })
            .collect();
        let mut verdicts = self.operations(saying).map(|(_, own)| guard::compare(app, role, own, &[]));
        let always = verdicts.all(|own| matches!(own, Verdict::Always | Verdict::AsExpected));
        match under.iter().all(|own| !own.is_empty()) && !always {
            true => Rules::Under(format!("if {}", under.join(", or if "))),
            false => Rules::Always,
        }
    }

    /// Where the role is granted the scope.
    fn place(&self, role: usize, saying: &Saying) -> Option<String> {
        let grants = self.app().roles.get(role)?.grants_of(self.permission(saying)?);
        grants.first().map(|grant| grant.place.to_string())
    }

    /// Makes requests of the role's: what is granted lets some through, and what isn't none.
    fn decide(&mut self, role: usize, saying: &Saying, rules: &Rules) -> Vec<String> {
        let mut wrong = Vec::new();
        let app = self.app();
        let operations: Vec<_> = self.operations(saying).collect();
        for (index, operation) in operations {
            let route = format!("{} {}", operation.verb, operation.template);
            let through_other = || {
                let others = operation.permissions().filter(|own| Some(*own) != self.permission(saying));
                let roles = [Some(role), app.anyone];
                let mut rows = roles.into_iter().flatten().filter_map(|role| app.roles.get(role));
                let others: Vec<_> = others.collect();
                rows.any(|row| others.iter().any(|own| !row.grants_of(*own).is_empty()))
            };
            let expected = matches!(rules, Rules::Always | Rules::Under(_)) || through_other();
            match (expected, self.made(role, index)) {
                (true, Decided::Allowed | Decided::Elsewhere) => {}
                (false, Decided::Refused | Decided::Elsewhere) => {}
                (true, _) => wrong.push(format!("no request was found that is let through to {route}")),
                (false, Decided::Allowed) => wrong.push(format!("{route} is let through all the same")),
                (false, Decided::NoExample) => {
                    wrong.push(format!("no request was found that {route} could refuse for want of a grant"));
                }
            }
        }
        wrong
    }

    fn made(&mut self, role: usize, operation: usize) -> Decided {
        if let Some(known) = self.decided.get(&(role, operation)) {
            return *known;
        }
        let at = OperationRef { app: self.at, operation };
        let posed = example::allowed(self.snapshot, at, role, NOW)
            .or_else(|| example::asked(self.snapshot, at, role, NOW));
        let own = &self.app().name;
        let decided = posed.and_then(|posed| {
            let decide = |ruling: &Ruling| {
                let decided = match ruling {
                    Ruling::Permit(_, evidence) if evidence.app.as_ref() == Some(own) => Decided::Allowed,
                    Ruling::Permit(..) => Decided::Elsewhere,
                    _ => Decided::Refused,
                };
                (decided, coverage::tried(self.snapshot, ruling))
            };
            posed.decide(self.snapshot, |_, ruling| decide(&ruling)).ok()
        });
        let (decided, tried) = decided.unwrap_or((Decided::NoExample, None));
        self.tried.extend(tried);
        self.decided.insert((role, operation), decided);
        decided
    }

    fn is_addition(&self, name: &str) -> bool {
        self.names.additions.iter().any(|own| own == name)
    }

    /// Rows and columns that the rules have and the document doesn't.
    fn left_out(&self, said: &Said, head: Span) -> Vec<Placed> {
        let mut tests = Vec::new();
        let mut miss = |what: &str, name: &str| {
            let wrong = format!(
                "the rules have {what} `{name}`, the document doesn't; [reading] may call it an addition"
            );
            tests.push((head, failing(format!("{what} {name}"), wrong)));
        };
        let resources: BTreeSet<&str> = said.sayings.iter().map(|own| own.resource.as_str()).collect();
        let roles: BTreeSet<&str> = said.sayings.iter().filter_map(|own| own.role.as_deref()).collect();
        let kinds = [super::names::Kind::Resource, super::names::Kind::Role];
        let [all_resources, all_roles] = kinds.map(|kind| self.names.all(kind));
        if said.lists_resources {
            let own = all_resources.iter().filter(|own| !resources.contains(**own));
            own.filter(|own| !self.is_addition(own)).for_each(|own| miss("the resource", own));
        }
        if said.lists_roles {
            let anyone = self.app().anyone.and_then(|anyone| self.app().roles.get(anyone));
            let own = all_roles.iter().filter(|own| anyone.is_none_or(|anyone| *anyone.name != ***own));
            let own = own.filter(|own| !roles.contains(**own) && !self.is_addition(own));
            own.for_each(|own| miss("the role", own));
        }
        if !said.silence_is_no {
            for name in self.names.additions.iter().filter(|own| resources.contains(own.as_str())) {
                let wrong = format!("[reading] calls `{name}` an addition, and the document has it");
                tests.push((head, failing(format!("addition {name}"), wrong)));
            }
        }
        tests
    }

    /// Departures that [reading] names and that are none. Of a part of a file, what no cell of it is about isn't judged.
    pub(super) fn stale(&self, whole: bool) -> Vec<Placed> {
        let departures = self.reading.departures.iter().enumerate();
        let unused = departures.filter(|(at, _)| !self.used.contains(at));
        let stale = unused.filter_map(|(_, own)| {
            let crossed = self.crossed.contains(&(own.role.clone(), own.resource.clone()));
            let wrong = match (crossed, whole && !self.is_addition(&own.resource)) {
                (true, _) => format!("[reading] names `{}`, and the rules do as the document says", own.key),
                (false, true) => {
                    format!("[reading] names `{}`, which is no cell of the document's table", own.key)
                }
                (false, false) => return None,
            };
            Some((own.span, failing(format!("[reading] {}", own.key), wrong)))
        });
        stale.collect()
    }
}

fn failing(name: String, wrong: String) -> Test {
    let says = name.clone();
    Test { name, request: String::new(), says, line: 0, wrong: vec![wrong] }
}

/// How a cell departs, in a sentence.
fn departs(saying: &Saying, rules: &Rules, place: Option<String>) -> String {
    let text = if saying.text.is_empty() { "nothing" } else { &saying.text };
    let place = place.map(|place| format!(", at {place}")).unwrap_or_default();
    let mark = match &saying.says {
        Says::Yes(Limit::Mark(mark)) => format!("; its mark `{mark}` has no note in the file"),
        _ => String::new(),
    };
    match (&saying.says, rules) {
        (Says::Yes(_), Rules::Under(under)) => format!(
            "the document says \"{text}\", the rules grant it only {under}{place}{mark}; [reading] doesn't name the cell"
        ),
        (Says::Yes(_), Rules::Always) => {
            format!("the document says \"{text}\", the rules grant it under no condition{place}")
        }
        (Says::Yes(_), Rules::NoScope) => {
            let (resource, scope) = (&saying.resource, &saying.scope);
            format!("the document grants `{resource}#{scope}`, and the rules have no such scope")
        }
        (Says::Yes(_), _) => format!("the document says \"{text}\", the rules don't grant it"),
        (Says::No, Rules::Under(under)) => {
            format!("the document says \"{text}\", the rules grant it {under}{place}")
        }
        (Says::No, _) => format!("the document says \"{text}\", the rules grant it{place}"),
    }
}
