//! One way in, one kind of caller, one tenant after the other: where the two sides answer differently, when, and a request
//! that shows it.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::super::posed::{Caller, Posed};
use super::carries;
use super::guard::{Builder, Guard, Wider};
use super::problem::{Solved, Surroundings, Tests};
use super::search::{Cube, Expr, FAILS, HOLDS, TooMuch, UNKNOWN, describe};
use super::subject::{Holder, roles_var};
use super::tenants::Tenants;
use super::witness::{Answer, Place, ask, pose};
use super::world::{Known, Var, View, Whole};
use crate::policy::{Access, App, Operation, RoleSet, TenantRule};
use crate::request::CanonicalPath;
use crate::route::{Match, Step};
use crate::snapshot::{OperationRef, Snapshot};

/// Conjunctions of a description before it is cut off.
const ALTERNATIVES: usize = 4;

/// What becomes of a caller's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// It is let through, and wasn't.
    Gains,
    /// It isn't let through any more.
    Loses,
    /// It is let through as before, and something else comes of it.
    Differently,
}

/// A difference for one kind of caller.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) outcome: Outcome,
    /// Which of the two is the wider one, where both let it through.
    pub(super) wider: Wider,
    /// What is different, where both let it through.
    pub(super) detail: String,
    /// The alternatives, each a conjunction; none is always.
    pub(super) when: Vec<String>,
    /// A request; nothing where it couldn't be made, or the question wasn't decided.
    pub(super) posed: Option<Posed>,
    pub(super) answers: Option<(Answer, Answer)>,
    /// Whether the table could be searched.
    pub(super) decided: bool,
}

impl Finding {
    /// Nobody knows: the worst is thought of it.
    pub(super) fn undecided(why: &str) -> Self {
        Self {
            outcome: Outcome::Gains,
            wider: Wider::Same,
            detail: why.to_owned(),
            when: Vec::new(),
            posed: None,
            answers: None,
            decided: false,
        }
    }
}

impl Finding {
    /// What one tenant comes by may have been another's before, and is let through all the same.
    fn for_tenant(mut self, tenant: Option<&str>) -> Self {
        let both = self.answers.as_ref().is_some_and(|(old, new)| old.allowed && new.allowed);
        let word = match self.outcome {
            Outcome::Gains => "now",
            Outcome::Loses => "no longer",
            Outcome::Differently => return self,
        };
        if let (true, Some(tenant)) = (both, tenant) {
            self.detail = format!("{word} for tenant {tenant}");
            (self.outcome, self.wider) = (Outcome::Differently, Wider::With);
        }
        self
    }
}

/// One way in, and what both sides have there.
pub(super) struct Question<'q> {
    pub(super) old: &'q Snapshot,
    pub(super) new: &'q Snapshot,
    pub(super) place: &'q Place,
    pub(super) from: &'q [OperationRef],
    pub(super) to: &'q [OperationRef],
    pub(super) tenants: &'q Tenants,
}

/// What both sides say of one caller.
struct Both {
    old: Guard,
    new: Guard,
}

impl<'q> Question<'q> {
    fn side(&self, side: Known) -> (&'q Snapshot, &'q [OperationRef]) {
        match side {
            Known::Old => (self.old, self.from),
            Known::New => (self.new, self.to),
        }
    }

    /// The apps that have something there, by name.
    pub(super) fn apps(&self) -> BTreeSet<Arc<str>> {
        let of = |side| {
            let (snapshot, claims): (&Snapshot, &[OperationRef]) = self.side(side);
            claims.iter().filter_map(|at| snapshot.apps.get(at.app)).map(|app| app.name.clone())
        };
        of(Known::Old).chain(of(Known::New)).collect()
    }

    /// Whether a caller without a token is let through.
    fn open(&self, side: Known) -> bool {
        let (snapshot, claims) = self.side(side);
        claims.iter().filter_map(|at| snapshot.operation(*at)).any(|(app, operation)| {
            match operation.access {
                Access::Public => true,
                Access::Socket { .. } => app.socket.as_ref().is_some_and(|own| {
                    own.token.iter().any(|own| matches!(own, crate::policy::socket::TokenSource::Auth(_)))
                }),
                Access::Guarded { .. } => false,
            }
        })
    }

    /// What is different for callers without a token.
    pub(super) fn of_nobody(&self) -> Option<Finding> {
        let outcome = match (self.open(Known::Old), self.open(Known::New)) {
            (false, true) => Outcome::Gains,
            (true, false) => Outcome::Loses,
            _ => return None,
        };
        let posed = pose(self.place, Caller::Nobody, &[], &Vec::new());
        Some(self.found(outcome, (Wider::Same, String::new()), Vec::new(), posed))
    }

    /// What is different for one kind of caller and one tenant.
    pub(super) fn of(&self, holder: &Holder, tenant: Option<&str>) -> Vec<Finding> {
        match self.search(holder, tenant) {
            Ok(found) => found,
            Err(TooMuch) => {
                vec![Finding::undecided("what its conditions can say together is too much to be looked at")]
            }
        }
    }

    /// A request of this caller's that both sides let through.
    pub(super) fn let_through(
        &self,
        holder: &Holder,
        tenant: Option<&str>,
    ) -> Result<Option<Finding>, TooMuch> {
        let mut tests = Tests::default();
        let both = self.both(&mut tests, holder, tenant);
        let wanted = Expr::all([both.old.allow, both.new.allow]);
        if wanted == Expr::Const(false) {
            return Ok(None);
        }
        let about = (Wider::Same, String::new());
        let all = vec![(Outcome::Differently, about, wanted.clone(), wanted)];
        Ok(self.solve(tests, all, (holder, tenant))?.pop())
    }

    fn search(&self, holder: &Holder, tenant: Option<&str>) -> Result<Vec<Finding>, TooMuch> {
        let mut tests = Tests::default();
        let own = self.both(&mut tests, holder, tenant);
        let everyone = holder.says.as_ref().map(|_| self.both(&mut tests, &holder.without_roles(), tenant));
        let nobody = Expr::Const(self.open(Known::New) && !self.open(Known::Old));
        let nobody_loses = Expr::Const(self.open(Known::Old) && !self.open(Known::New));
        let difference = |from: &Guard, to: &Guard| Expr::all([to.allow.clone(), from.allow.clone().not()]);
        // What everyone gains isn't told again of each role.
        let told = |gains: bool| match &everyone {
            None => Expr::Const(false),
            Some(all) if gains => difference(&all.old, &all.new),
            Some(all) => difference(&all.new, &all.old),
        };
        let gains = Expr::all([difference(&own.old, &own.new), told(true).not(), nobody.not()]);
        let loses = Expr::all([difference(&own.new, &own.old), told(false).not(), nobody_loses.not()]);
        let mut wanted = vec![
            (Outcome::Gains, (Wider::Same, String::new()), gains, own.new.given.clone()),
            (Outcome::Loses, (Wider::Same, String::new()), loses, own.old.given.clone()),
        ];
        let both = Expr::all([own.old.allow.clone(), own.new.allow.clone()]);
        for (text, with, wider) in carried(&own) {
            let given = both.clone();
            wanted.push((Outcome::Differently, (wider, text), Expr::all([both.clone(), with]), given));
        }
        wanted.retain(|(.., wanted, _)| *wanted != Expr::Const(false));
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        self.solve(tests, wanted, (holder, tenant))
    }

    fn solve(
        &self,
        mut tests: Tests,
        wanted: Vec<(Outcome, (Wider, String), Expr, Expr)>,
        (holder, tenant): (&Holder, Option<&str>),
    ) -> Result<Vec<Finding>, TooMuch> {
        let solved = self.table(&mut tests, holder)?;
        let mut found = Vec::new();
        for (outcome, about, wanted, given) in wanted {
            let Some(chosen) = solved.table.find(&wanted)? else { continue };
            let (cubes, whole) = describe(&solved.table, &wanted, &given, ALTERNATIVES)?;
            let mut when: Vec<String> = cubes.iter().map(|cube| words(&tests, cube)).collect();
            if when.iter().any(String::is_empty) {
                when.clear();
            } else if !whole {
                when.push("in further cases".to_owned());
            }
            let posed = pose(self.place, self.caller(holder), &tests.vars.0, &solved.world(&chosen));
            let posed = posed.and_then(|posed| self.says_roles(posed, holder));
            found.push(self.found(outcome, about, when, posed).for_tenant(tenant));
        }
        Ok(found)
    }

    fn found(
        &self,
        outcome: Outcome,
        (wider, detail): (Wider, String),
        when: Vec<String>,
        posed: Option<Posed>,
    ) -> Finding {
        let answers = posed.as_ref().map(|posed| (ask(self.old, posed), ask(self.new, posed)));
        Finding { outcome, wider, detail, when, posed, answers, decided: true }
    }

    fn caller(&self, holder: &Holder) -> Caller {
        let someone = Map::from_iter([("sub".to_owned(), Json::from("someone"))]);
        Caller::Claims(holder.issuer.clone(), someone)
    }

    /// The roles, where no rule reads the fact that holds them.
    fn says_roles(&self, mut posed: Posed, holder: &Holder) -> Option<Posed> {
        let Some((var, _)) = &holder.says else { return Some(posed) };
        let said = self.roles_apps().find_map(|app| holder.said(app))?;
        let is_said = match (var, &posed.caller) {
            (Var::Claim(path), Caller::Claims(_, claims)) => {
                let mut at = path.iter();
                let first = at.next().and_then(|key| claims.get(&**key));
                at.fold(first, |value, key| value.and_then(|own| own.get(&**key))).is_some()
            }
            (Var::Answer(app, look_up, at), _) => posed.answers.iter().any(|own| {
                *own.app == **app
                    && *own.look_up == **look_up
                    && matches!(&own.answer, crate::policy::lookup::LookedUp::Found(found) if at.find(found).is_some())
            }),
            _ => false,
        };
        if !is_said {
            super::witness::say(&mut posed, var, &said)?;
        }
        Some(posed)
    }

    fn roles_apps(&self) -> impl Iterator<Item = &'q App> {
        let of = |side| {
            let (snapshot, claims): (&'q Snapshot, &'q [OperationRef]) = self.side(side);
            claims.iter().filter_map(|at| snapshot.apps.get(at.app))
        };
        let named = self.apps().into_iter().flat_map(|name| {
            [self.old.app(&name), self.new.app(&name)].into_iter().flatten().collect::<Vec<_>>()
        });
        of(Known::Old).chain(of(Known::New)).chain(named.collect::<Vec<_>>())
    }

    fn table(&self, tests: &mut Tests, holder: &Holder) -> Result<Solved, TooMuch> {
        let knows = |side, id: &str| self.side(side).0.directory.knows(id);
        let ids = |side| self.side(side).0.directory.ids().map(str::to_owned).collect();
        let may_say = |var: &Var, said: Option<&Json>| self.may_say(holder, var, said);
        let mut more: Vec<(Var, Vec<Json>)> = Vec::new();
        for at in 0..self.place.steps.len() {
            let text = self.place.segment(at).map(Json::from);
            more.push((Var::Segment(at, Whole::One), text.into_iter().collect()));
            let rest: Vec<String> =
                (at..self.place.steps.len()).filter_map(|at| self.place.segment(at)).collect();
            let mut texts = vec![Json::from(rest.join("/"))];
            if self.place.steps.get(at) == Some(&Step::Other) && self.place.event.is_none() {
                let beside = ["some-2", "some-3", "some-4"].map(str::to_owned).into_iter();
                texts.extend(beside.map(|first| {
                    let all = std::iter::once(first).chain(rest.iter().skip(1).cloned());
                    Json::from(all.collect::<Vec<_>>().join("/"))
                }));
            }
            more.push((Var::Segment(at, Whole::Rest), texts));
        }
        if let Some((var, _)) = &holder.says {
            let said = self.roles_apps().find_map(|app| holder.said(app));
            more.push((var.clone(), said.into_iter().collect()));
        }
        tests.solve(&Surroundings { knows: &knows, ids: &ids, may_say: &may_say, more: &more })
    }

    /// Whether a variable may say this, for a request that comes this way by this caller.
    fn may_say(&self, holder: &Holder, var: &Var, said: Option<&Json>) -> bool {
        match var {
            Var::Segment(at, whole) => {
                let text = said.and_then(Json::as_str);
                let only = (*at..self.place.steps.len()).filter_map(|at| self.place.segment(at));
                match (whole, self.place.event.is_some()) {
                    (Whole::Rest, true) => text == Some(&only.collect::<Vec<_>>().join("/")),
                    (Whole::One, true) => text == self.place.segment(*at).as_deref(),
                    (_, false) => text.is_some_and(|text| self.leads_here((*at, *whole), text)),
                }
            }
            // Whatever else it says, the roles are those of this caller.
            _ => self.roles_apps().all(|app| {
                if roles_var(app).as_ref() != Some(var) {
                    return true;
                }
                let kind = app.facts.get(app.roles_fact).map(|fact| fact.kind);
                let value = said.zip(kind).and_then(|(said, kind)| crate::fact::Value::of_claim(said, kind));
                RoleSet::of(app, value.as_ref()) == holder.roles(app)
            }),
        }
    }

    /// Whether a path with this text in a place is taken by both sides as this way is.
    fn leads_here(&self, (at, whole): (usize, Whole), text: &str) -> bool {
        let said: Vec<&str> = match whole {
            Whole::One => vec![text],
            Whole::Rest => text.split('/').collect(),
        };
        if whole == Whole::Rest && at + said.len() != self.place.steps.len() {
            return false;
        }
        let path = self.place.path(&|own| Some((*said.get(own.checked_sub(at)?)?).to_owned()));
        let (Ok(path), Some(host)) = (CanonicalPath::parse(&path), self.place.host()) else { return false };
        let leads = |side| {
            let (snapshot, claims): (&Snapshot, &[OperationRef]) = self.side(side);
            match snapshot.routes.find(&host, &path, Some(self.place.verb)) {
                Match::Operations(found) => found == claims,
                Match::OtherMethods(_) | Match::Nothing => claims.is_empty(),
            }
        };
        path.segments().len() == self.place.steps.len() && leads(Known::Old) && leads(Known::New)
    }

    fn both(&self, tests: &mut Tests, holder: &Holder, tenant: Option<&str>) -> Both {
        Both {
            old: self.guard(tests, Known::Old, holder, tenant),
            new: self.guard(tests, Known::New, holder, tenant),
        }
    }

    /// The guard of one side: of apps that share a way, one that allows suffices.
    fn guard(&self, tests: &mut Tests, side: Known, holder: &Holder, tenant: Option<&str>) -> Guard {
        let (snapshot, claims) = self.side(side);
        let mut guards = Vec::new();
        for (app, operation) in claims.iter().filter_map(|at| snapshot.operation(*at)) {
            if app.issuer != holder.issuer && !matches!(operation.access, Access::Public) {
                continue;
            }
            let tenant = match &app.tenant {
                TenantRule::Constant(own) => Some(own.clone()),
                TenantRule::From { .. } => tenant.and_then(|name| self.tenants.of(side, name)),
            };
            let view = View { snapshot, app, operation, tenant };
            let roles = holder.roles(app);
            let guard = Builder { tests: &mut *tests, view: &view, side, roles: &roles }.guard();
            guards.push((self.treats(snapshot, app, operation), guard));
        }
        if guards.len() == 1 {
            return guards.remove(0).1;
        }
        shared(guards)
    }

    /// How an app that shares a way treats what it lets through; nothing where all of them treat it alike.
    fn treats(&self, snapshot: &Snapshot, app: &App, operation: &Operation) -> Option<String> {
        if self.from.len() < 2 && self.to.len() < 2 {
            return None;
        }
        let own = format!("{:?}", carries::of(snapshot, app, operation));
        let of = |side| {
            let (snapshot, claims): (&'q Snapshot, &'q [OperationRef]) = self.side(side);
            let all = claims.iter().filter_map(|at| snapshot.operation(*at));
            all.map(move |(app, operation)| format!("{:?}", carries::of(snapshot, app, operation)))
        };
        let differs = of(Known::Old).chain(of(Known::New)).any(|other| other != own);
        differs.then(|| format!("let through as app {} lets it through", app.name))
    }
}

/// The guard of apps that share a way: the first to allow decides, and what it asks for is owed.
fn shared(guards: Vec<(Option<String>, Guard)>) -> Guard {
    let allow = Expr::any(guards.iter().map(|(_, own)| own.allow.clone()));
    let given = Expr::any(guards.iter().map(|(_, own)| own.given.clone()));
    let mut carried: Vec<(String, Expr, Wider)> = Vec::new();
    let mut add = |name: String, when: Expr, wider| match carried.iter_mut().find(|own| own.0 == name) {
        Some(own) => own.1 = Expr::any([own.1.clone(), when]),
        None => carried.push((name, when, wider)),
    };
    let mut earlier: Vec<Expr> = Vec::new();
    for (treats, guard) in guards {
        let decides = Expr::all(std::iter::once(guard.allow.clone()).chain(earlier.iter().cloned()));
        earlier.push(guard.allow.not());
        for (name, when, wider) in guard.carried {
            add(name, Expr::all([decides.clone(), when]), wider);
        }
        if let Some(name) = treats {
            add(name, decides, Wider::With);
        }
    }
    Guard { allow, given, carried }
}

/// What is carried along on one side alone, where that can be told.
fn carried(both: &Both) -> Vec<(String, Expr, Wider)> {
    let of = |guard: &Guard, name: &str| {
        guard.carried.iter().find(|own| own.0 == name).map_or(Expr::Const(false), |own| own.1.clone())
    };
    let mut found = Vec::new();
    let mut names: Vec<(&String, Wider)> = Vec::new();
    for (name, _, wider) in both.old.carried.iter().chain(&both.new.carried) {
        if !names.iter().any(|own| own.0 == name) {
            names.push((name, *wider));
        }
    }
    for (name, wider) in names {
        let (old, new) = (of(&both.old, name), of(&both.new, name));
        let (lost, won) = match wider {
            Wider::Without => (Wider::With, Wider::Without),
            other => (other, other),
        };
        found.push((format!("no longer: {name}"), Expr::all([old.clone(), new.clone().not()]), lost));
        found.push((format!("now {name}"), Expr::all([new, old.not()]), won));
    }
    found
}

fn words(tests: &Tests, cube: &Cube) -> String {
    let (mut so, mut unless) = (Vec::new(), Vec::new());
    for (test, truths) in cube {
        let words = tests.words.get(*test).map_or("?", |own| own);
        match *truths {
            HOLDS => so.push(words.to_owned()),
            FAILS => so.push(opposite(words)),
            UNKNOWN => so.push(format!("it is unknown whether {words}")),
            own if own == FAILS | UNKNOWN => unless.push(words.to_owned()),
            own if own == HOLDS | FAILS => so.push(format!("it is known whether {words}")),
            _ => unless.push(opposite(words)),
        }
    }
    let so = if so.is_empty() { String::new() } else { format!("if {}", so.join(" and ")) };
    match (so.is_empty(), unless.is_empty()) {
        (_, true) => so,
        (true, false) => format!("unless {}", unless.join(" or ")),
        (false, false) => format!("{so} unless {}", unless.join(" or ")),
    }
}

fn opposite(words: &str) -> String {
    for (operator, other) in
        [(" = ", " != "), (" != ", " = "), (" < ", " >= "), (" <= ", " > "), (" > ", " <= "), (" >= ", " < ")]
    {
        if let Some((left, right)) = words.split_once(operator) {
            return match (other, right) {
                (" != ", "true") => format!("{left} = false"),
                (" != ", "false") => format!("{left} = true"),
                _ => format!("{left}{other}{right}"),
            };
        }
    }
    format!("not {words}")
}
