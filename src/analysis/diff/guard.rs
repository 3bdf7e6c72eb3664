//! What one side's rules say of an operation for the holder of some roles, as expressions over tests: when it is allowed,
//! and what an allow carries along then. It says in expressions what `policy::decide` and `authorize` do.

use super::problem::Tests;
use super::search::{Cond, Expr};
use super::world::{Known, Term, Test, Var, View};
use crate::policy::obligation::SeatRule;
use crate::policy::{Access, App, Condition, Grant, Leaf, Operand, PermissionId, RoleSet, TenantRule, Truth};
use crate::token::IssuerKind;

/// When something is so.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    /// The request is allowed.
    pub(super) allow: Expr,
    /// What goes without saying where it is told when: the requirements, and what limits all of a role's grants.
    pub(super) given: Expr,
    /// What an allow carries along: its name, when it does, and which way is the wider one.
    pub(super) carried: Vec<(String, Expr, Wider)>,
}

/// Which of two allows shows or takes more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wider {
    /// The one that carries it.
    With,
    /// The one that doesn't.
    Without,
    /// Neither.
    Same,
}

/// Which conditions an operation makes filters of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Those hold as far as the value to filter by is known.
    Filtered,
    /// Those are unknown.
    Whole,
    /// None.
    Plain,
}

/// Builds a guard of one side.
pub(super) struct Builder<'b, 's> {
    pub(super) tests: &'b mut Tests,
    pub(super) view: &'b View<'s>,
    pub(super) side: Known,
    pub(super) roles: &'b RoleSet,
}

impl Builder<'_, '_> {
    pub(super) fn guard(&mut self) -> Guard {
        let admitted = self.admitted();
        let (grant, carried) = match &self.view.operation.access {
            Access::Public => (Expr::Const(true), Vec::new()),
            // Whoever may send something, be it under conditions, may open the socket.
            Access::Socket { .. } => (Expr::Const(!self.grants().is_empty()), Vec::new()),
            Access::Guarded { .. } => self.granted(),
        };
        let given = Expr::all([admitted.clone(), self.limited()]);
        Guard { allow: Expr::all([grant, admitted]), given, carried }
    }

    /// What the roles' own `only` say.
    fn limited(&mut self) -> Expr {
        let own: Vec<usize> = self.roles.iter().filter(|role| Some(*role) != self.view.app.anyone).collect();
        if own.is_empty() || matches!(self.view.operation.access, Access::Public) {
            return Expr::Const(true);
        }
        let only: Vec<Option<usize>> =
            own.into_iter().map(|role| self.view.app.roles.get(role).and_then(|row| row.only)).collect();
        let limits = only.into_iter().map(|own| own.map_or(Expr::Const(true), |own| self.holds(own)));
        Expr::any(limits.collect::<Vec<_>>())
    }

    /// What must hold whatever the role.
    fn admitted(&mut self) -> Expr {
        let (app, operation) = (self.view.app, self.view.operation);
        if matches!(operation.access, Access::Public) {
            return Expr::Const(true);
        }
        let mut all = vec![self.known_organisation(), self.acts()];
        let proven_by = match &app.tenant {
            TenantRule::From { proven_by, .. } => *proven_by,
            TenantRule::Constant(_) => None,
        };
        for requirement in proven_by.into_iter().chain(operation.requirements().iter().copied()) {
            all.push(match app.requirements.get(requirement) {
                Some(own) => self.holds(own.condition),
                None => Expr::Const(false),
            });
        }
        if matches!(operation.access, Access::Guarded { .. } | Access::Socket { .. }) {
            for inject in &app.injects {
                all.push(self.plain(inject.fact));
            }
        }
        if let Some(only) = &operation.obligations.body_only {
            let fields: Vec<String> = only.iter().map(ToString::to_string).collect();
            let words = format!("the body has no field but {}", fields.join(", "));
            all.push(Expr::Holds(self.test(Test::Only(only.to_vec()), words)));
        }
        Expr::all(all)
    }

    /// Entra signs for every organisation: those that no tenants file names are refused.
    fn known_organisation(&mut self) -> Expr {
        let mut issuers = self.view.snapshot.gateway.issuers.iter();
        let kind = issuers.find(|own| own.name == self.view.app.issuer).map(|own| own.kind);
        if kind != Some(IssuerKind::Entra) {
            return Expr::Const(true);
        }
        let var = self.tests.vars.number(Var::Claim(["tid".into()].into()));
        let read = super::world::Read {
            var,
            kind: crate::fact::Type::String,
            weekday: false,
            zone: crate::zone::Zone::utc(),
            default: None,
        };
        let test = Test::Known(Term::Read(Box::new(read)), self.side);
        Expr::Holds(self.test(test, "tenants.toml knows token.tid".to_owned()))
    }

    /// The tenant of this question is the acting one.
    fn acts(&mut self) -> Expr {
        let TenantRule::From { sources, .. } = &self.view.app.tenant else { return Expr::Const(true) };
        let Some(tenant) = self.view.tenant.as_ref().filter(|own| own.uses(&self.view.app.name)) else {
            return Expr::Const(false);
        };
        let sources = sources.iter().map(|source| self.tests.vars.term(self.view, *source)).collect();
        let test = Test::Acts(sources, tenant.ids().into());
        let words = format!("the request is for tenant {}", tenant.name);
        Expr::Holds(self.test(test, words))
    }

    fn plain(&mut self, fact: usize) -> Expr {
        let term = self.tests.vars.term(self.view, fact);
        let words = format!("{} is known", self.name(fact));
        Expr::Holds(self.test(Test::Plain(term), words))
    }

    /// The grants that the roles have of the operation, in the order in which they are asked.
    fn grants(&self) -> Vec<(PermissionId, &'_ Grant)> {
        let operation = self.view.operation;
        let rows = self.roles.iter().filter_map(|role| self.view.app.roles.get(role));
        rows.flat_map(|row| {
            operation
                .permissions()
                .flat_map(move |own| row.grants_of(own).iter().map(move |grant| (own, grant)))
        })
        .collect()
    }

    fn granted(&mut self) -> (Expr, Vec<(String, Expr, Wider)>) {
        let grants: Vec<(PermissionId, Vec<usize>)> =
            self.grants().into_iter().map(|(own, grant)| (own, grant.conditions.to_vec())).collect();
        let whole: Vec<Expr> = grants.iter().map(|(_, own)| self.all_of(own, Reading::Whole)).collect();
        let held: Vec<Expr> = grants
            .iter()
            .map(|(_, own)| Expr::all(own.iter().map(|own| self.holds(*own)).collect::<Vec<_>>()))
            .collect();
        let shown_whole = Expr::any(whole.clone());
        // The grant that decides where none holds as it is: the first that holds as a filter.
        let mut decides = Vec::new();
        let filters = !self.view.operation.obligations.narrows.is_empty();
        for (index, own) in held.iter().enumerate() {
            if !filters {
                decides.push(Expr::Const(false));
                continue;
            }
            let earlier = held.iter().take(index).cloned().map(Expr::not);
            decides.push(Expr::all([own.clone(), shown_whole.clone().not()].into_iter().chain(earlier)));
        }
        let mut carried = self.narrowed(&grants, &decides);
        carried.push(self.seat(&grants, &whole, &decides));
        carried.extend(self.hidden());
        (Expr::any(held), carried)
    }

    /// By which keys the list is filtered.
    fn narrowed(
        &mut self,
        grants: &[(PermissionId, Vec<usize>)],
        decides: &[Expr],
    ) -> Vec<(String, Expr, Wider)> {
        let operation = self.view.operation;
        let mut found = Vec::new();
        for narrow in &operation.obligations.narrows {
            let uses =
                |condition: usize| mentions(self.view.app, &Condition::Named(condition), narrow.condition);
            let required: Vec<usize> =
                self.requirements().into_iter().filter(|condition| uses(*condition)).collect();
            let of_grants: Vec<Expr> = grants
                .iter()
                .zip(decides)
                .filter(|((_, own), _)| own.iter().any(|condition| uses(*condition)))
                .map(|(_, decides)| decides.clone())
                .collect();
            let of_required: Vec<Expr> = required
                .into_iter()
                .map(|condition| self.condition_holds(condition, Reading::Whole).not())
                .collect();
            let name = format!("the list is filtered by `{}`", narrow.query);
            found.push((name, Expr::any(of_required.into_iter().chain(of_grants)), Wider::Without));
        }
        found
    }

    fn requirements(&self) -> Vec<usize> {
        let app = self.view.app;
        let own = self.view.operation.requirements().iter();
        own.filter_map(|at| app.requirements.get(*at)).map(|own| own.condition).collect()
    }

    /// Whether a licence seat is taken.
    fn seat(
        &mut self,
        grants: &[(PermissionId, Vec<usize>)],
        whole: &[Expr],
        decides: &[Expr],
    ) -> (String, Expr, Wider) {
        let mut spared = Vec::new();
        for (((permission, _), whole), decides) in grants.iter().zip(whole).zip(decides) {
            let rule = self.view.app.permission(*permission).map(|own| own.seat);
            let free = match rule {
                Some(SeatRule::Free) => Expr::Const(true),
                Some(SeatRule::Always) | None => continue,
                Some(SeatRule::If(condition)) => {
                    let condition = self.cond(&Condition::Named(condition), Reading::Plain);
                    Expr::Holds(Cond::Not(Box::new(condition)))
                }
            };
            spared.push(Expr::all([free, Expr::any([whole.clone(), decides.clone()])]));
        }
        ("a licence seat is taken".to_owned(), Expr::any(spared).not(), Wider::Without)
    }

    /// Which fields of the answer are hidden.
    fn hidden(&mut self) -> Vec<(String, Expr, Wider)> {
        let mut found: Vec<(String, Expr, Wider)> = Vec::new();
        for mask in &self.view.operation.obligations.masks {
            let rows = self.roles.iter().filter_map(|role| self.view.app.roles.get(role));
            let grants: Vec<Vec<usize>> = rows
                .flat_map(|row| mask.unless.iter().flat_map(|own| row.grants_of(*own)))
                .map(|grant| grant.conditions.to_vec())
                .collect();
            let seen: Vec<Expr> = grants.iter().map(|own| self.all_of(own, Reading::Plain)).collect();
            let hidden = Expr::any(seen).not();
            for field in &mask.fields {
                let name = format!("`{field}` is hidden in the answer");
                match found.iter_mut().find(|own| own.0 == name) {
                    Some(own) => own.1 = Expr::any([own.1.clone(), hidden.clone()]),
                    None => found.push((name, hidden.clone(), Wider::Without)),
                }
            }
        }
        found
    }

    fn all_of(&mut self, conditions: &[usize], reading: Reading) -> Expr {
        let all: Vec<_> = conditions.iter().map(|own| self.condition_holds(*own, reading)).collect();
        Expr::all(all)
    }

    /// A condition holds, be it as a filter.
    fn holds(&mut self, condition: usize) -> Expr {
        if self.view.operation.obligations.narrows.is_empty() {
            return self.condition_holds(condition, Reading::Plain);
        }
        let (whole, filtered) = (
            self.condition_holds(condition, Reading::Whole),
            self.condition_holds(condition, Reading::Filtered),
        );
        Expr::any([whole, filtered])
    }

    fn condition_holds(&mut self, condition: usize, reading: Reading) -> Expr {
        match self.cond(&Condition::Named(condition), reading) {
            Cond::Const(truth) => Expr::Const(truth == Truth::Holds),
            other => Expr::Holds(other),
        }
    }

    fn cond(&mut self, condition: &Condition, reading: Reading) -> Cond {
        let app = self.view.app;
        match condition {
            Condition::Leaf(leaf) => self.leaf(leaf),
            Condition::Named(index) => {
                let narrow =
                    self.view.operation.obligations.narrows.iter().find(|own| own.condition == *index);
                match (narrow, reading) {
                    (Some(_), Reading::Whole) => Cond::Const(Truth::Unknown),
                    (Some(narrow), Reading::Filtered) => {
                        let term = self.operand(&narrow.value);
                        let words = format!("{} is known", self.written(&narrow.value));
                        let known = self.test(Test::Plain(term), words);
                        // What isn't known to filter by isn't known to fail either.
                        Cond::Any(vec![known, Cond::Const(Truth::Unknown)])
                    }
                    _ => match app.conditions.get(*index) {
                        Some(named) => self.cond(&named.condition, reading),
                        None => Cond::Const(Truth::Unknown),
                    },
                }
            }
            Condition::All(parts) => Cond::All(parts.iter().map(|own| self.cond(own, reading)).collect()),
            Condition::Any(parts) => Cond::Any(parts.iter().map(|own| self.cond(own, reading)).collect()),
            Condition::Not(part) => Cond::Not(Box::new(self.cond(part, reading))),
        }
    }

    fn operand(&mut self, operand: &Operand) -> Term {
        match operand {
            Operand::Fact(other) => self.tests.vars.term(self.view, *other),
            Operand::Literal(literal) => Term::Const(Some(literal.clone())),
        }
    }

    fn written(&self, operand: &Operand) -> String {
        match operand {
            Operand::Fact(other) => self.name(*other).to_owned(),
            Operand::Literal(literal) => literal.to_string(),
        }
    }

    fn leaf(&mut self, leaf: &Leaf) -> Cond {
        let left = self.tests.vars.term(self.view, leaf.fact);
        let right = self.operand(&leaf.operand);
        let words = format!("{} {} {}", self.name(leaf.fact), leaf.operator, self.written(&leaf.operand));
        self.test(Test::Compare(leaf.operator, left, right), words)
    }

    /// A test with the words of the file that it is first met in.
    fn test(&mut self, test: Test, words: String) -> Cond {
        match self.tests.constant(&test) {
            Some(truth) => Cond::Const(truth),
            None => Cond::Test(self.tests.number(test, words, self.side)),
        }
    }

    fn name(&self, fact: usize) -> &str {
        self.view.app.facts.get(fact).map_or("?", |own| &own.name)
    }
}

/// Whether a condition rests on another by name.
fn mentions(app: &App, condition: &Condition, wanted: usize) -> bool {
    match condition {
        Condition::Leaf(_) => false,
        Condition::Named(index) => {
            *index == wanted
                || app.conditions.get(*index).is_some_and(|own| mentions(app, &own.condition, wanted))
        }
        Condition::All(parts) | Condition::Any(parts) => parts.iter().any(|own| mentions(app, own, wanted)),
        Condition::Not(part) => mentions(app, part, wanted),
    }
}
