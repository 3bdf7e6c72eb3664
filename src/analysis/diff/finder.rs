//! Goes through every way in that may have changed, and gathers what is found there into rows: one for what is true of the
//! same callers by the same permission, however many operations that is.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::found::{Finding, Outcome, Question};
use super::guard::Wider;
use super::search::TooMuch;
use super::subject::{self, Holder};
use super::tenants::{Tenants, Which};
use super::witness::Place;
use super::{Access, Effect, Witness, carries, rules, same};
use crate::policy::{Access as Reach, App, Operation, TenantRule, Term};
use crate::route::{Step, Verb, walk};
use crate::snapshot::{OperationRef, Snapshot};
use crate::token::IssuerKind;

/// What is true of the same callers.
type Key = (Outcome, Arc<str>, String, String, String, Vec<String>, bool);

struct Finder<'f> {
    old: &'f Snapshot,
    new: &'f Snapshot,
    tenants: &'f Tenants,
    /// For each app of the old side, the same one on the new side.
    same: HashMap<usize, usize>,
    /// Apps whose customers' rows are different.
    customers: HashSet<Arc<str>>,
    holders: HashMap<Arc<str>, Vec<Holder>>,
    rows: BTreeMap<Key, Row>,
    /// Whether both tenants files know the same ids.
    same_ids: bool,
    /// How many questions may still be searched; what is left then is undecided.
    left: u32,
    /// Whether it is told of the way in question already that a field is shown newly.
    tells_shown: bool,
}

/// Most questions of one comparison.
const QUESTIONS_MAX: u32 = 200_000;

struct Row {
    effect: Effect,
    operations: Vec<String>,
    /// For which tenants, by operation; nothing for all.
    tenants: BTreeSet<Arc<str>>,
    every_tenant: bool,
    wildcard: bool,
    witness: Option<Witness>,
}

/// What is gained, lost and answered differently.
pub(super) fn access(old: &Snapshot, new: &Snapshot, tenants: &Tenants) -> Vec<Access> {
    let mut finder = Finder {
        old,
        new,
        tenants,
        same: unchanged(old, new),
        customers: customers(old, new, tenants),
        holders: HashMap::new(),
        rows: BTreeMap::new(),
        same_ids: same_ids(old, new),
        left: QUESTIONS_MAX,
        tells_shown: false,
    };
    walk(&old.routes, &new.routes, &mut |way, from, to| {
        if finder.may_differ(from, to) {
            let place = Place {
                host: way.host.map(str::to_owned),
                steps: way.steps.to_vec(),
                verb: way.verb,
                event: None,
            };
            finder.way(&place, from, to);
        }
    });
    finder.events();
    finder.finish()
}

fn unchanged(old: &Snapshot, new: &Snapshot) -> HashMap<usize, usize> {
    let same_ids = same_ids(old, new);
    let by_name: HashMap<&str, usize> =
        new.apps.iter().enumerate().map(|(at, app)| (&*app.name, at)).collect();
    let of_entra = |app: &App| {
        let mut issuers = old.gateway.issuers.iter();
        issuers.find(|own| own.name == app.issuer).is_some_and(|own| own.kind == IssuerKind::Entra)
    };
    let is_same = |(at, app): (usize, &App)| {
        let other = *by_name.get(&*app.name)?;
        let alike = same::app((old, new), app, new.apps.get(other)?) && (same_ids || !of_entra(app));
        alike.then_some((at, other))
    };
    old.apps.iter().enumerate().filter_map(is_same).collect()
}

fn same_ids(old: &Snapshot, new: &Snapshot) -> bool {
    let ids = |side: &Snapshot| side.directory.ids().map(str::to_owned).collect::<BTreeSet<_>>();
    ids(old) == ids(new)
}

fn customers(old: &Snapshot, new: &Snapshot, tenants: &Tenants) -> HashSet<Arc<str>> {
    let changed: Vec<Arc<str>> =
        tenants.iter().filter(|(_, own)| own.is_changed()).map(|(name, _)| name.clone()).collect();
    if changed.is_empty() {
        return HashSet::new();
    }
    let concerned = |app: &&App| match &app.tenant {
        TenantRule::Constant(own) => changed.contains(&own.name),
        TenantRule::From { .. } => !tenants.customers(&app.name, Which::Changed).is_empty(),
    };
    old.apps.iter().chain(&new.apps).filter(concerned).map(|app| app.name.clone()).collect()
}

impl Finder<'_> {
    fn may_differ(&self, from: &[OperationRef], to: &[OperationRef]) -> bool {
        let alike = from.len() == to.len()
            && from.iter().zip(to).all(|(old, new)| {
                self.same.get(&old.app) == Some(&new.app)
                    && old.operation == new.operation
                    && !self.old.apps.get(old.app).is_some_and(|app| self.customers.contains(&app.name))
            });
        !alike
    }

    /// Events are known by their names, and come by no path of their own.
    fn events(&mut self) {
        let (old, new) = (self.old, self.new);
        let names: BTreeSet<Arc<str>> = old
            .apps
            .iter()
            .chain(&new.apps)
            .filter(|app| !app.events.is_empty())
            .map(|app| app.name.clone())
            .collect();
        for name in names {
            let of = |side: &Snapshot| side.apps.iter().position(|app| app.name == name);
            let (from_app, to_app) = (of(old), of(new));
            let events = |side: &Snapshot, app: Option<usize>| -> BTreeMap<Box<str>, OperationRef> {
                let own = app.and_then(|at| Some((at, side.apps.get(at)?)));
                own.into_iter()
                    .flat_map(|(app, own)| {
                        own.events
                            .iter()
                            .map(move |(name, at)| (name.clone(), OperationRef { app, operation: *at }))
                    })
                    .collect()
            };
            let (from, to) = (events(old, from_app), events(new, to_app));
            for event in from.keys().chain(to.keys()).collect::<BTreeSet<_>>() {
                let (from, to) = (from.get(event), to.get(event));
                let (from, to): (Vec<_>, Vec<_>) =
                    (from.into_iter().copied().collect(), to.into_iter().copied().collect());
                if self.may_differ(&from, &to) {
                    let steps = self.socket(&from, &to);
                    let event = Some((name.clone(), event.clone()));
                    self.way(&Place { host: None, steps, verb: Verb::Get, event }, &from, &to);
                }
            }
        }
    }

    /// The path of a socket as a request that nobody sent has it.
    fn socket(&self, from: &[OperationRef], to: &[OperationRef]) -> Vec<Step> {
        let of = |side: &Snapshot, claims: &[OperationRef]| {
            let (app, operation) = side.operation(*claims.first()?)?;
            Some(app.path_of(operation).to_string())
        };
        let path = of(self.new, to).or_else(|| of(self.old, from)).unwrap_or_default();
        path.split('/').filter(|own| !own.is_empty()).map(|own| Step::Literal(own.into())).collect()
    }

    fn way(&mut self, place: &Place, from: &[OperationRef], to: &[OperationRef]) {
        self.tells_shown = false;
        let question = Question { old: self.old, new: self.new, place, from, to, tenants: self.tenants };
        if let Some(found) = question.of_nobody() {
            self.note(&question, "nobody (no token)", found, None);
        }
        for app in question.apps() {
            let holders =
                self.holders.entry(app.clone()).or_insert_with(|| subject::of_app(self.old, self.new, &app));
            for holder in holders.clone() {
                let which = if self.says_same(&question, &holder) { Which::Changed } else { Which::All };
                self.holder(&question, &app, &holder, which);
            }
        }
        self.carried(&question);
        self.shown(&question);
    }

    /// Whether both sides' files say the same of this way to these callers.
    fn says_same(&self, question: &Question<'_>, holder: &Holder) -> bool {
        let of = |side: &Snapshot, claims: &[OperationRef]| -> Vec<String> {
            let all = claims.iter().filter_map(|at| side.operation(*at));
            all.map(|(app, own)| format!("{} {}", app.name, rules::of(side, app, own, &holder.roles(app))))
                .collect()
        };
        self.same_ids && of(self.old, question.from) == of(self.new, question.to)
    }

    fn holder(&mut self, question: &Question<'_>, app: &Arc<str>, holder: &Holder, which: Which) {
        let is_constant =
            |side: &Snapshot| side.app(app).is_none_or(|own| matches!(own.tenant, TenantRule::Constant(_)));
        if is_constant(self.old) && is_constant(self.new) {
            if which == Which::All || self.customers.contains(app) {
                for found in self.ask(question, holder, None) {
                    self.note(question, &holder.name, found, None);
                }
            }
            return;
        }
        let all = self.tenants.customers(app, Which::All).len();
        for tenant in self.tenants.customers(app, which) {
            for found in self.ask(question, holder, Some(&tenant)) {
                self.note(question, &holder.name, found, Some((&tenant, all)));
            }
        }
    }

    fn ask(&mut self, question: &Question<'_>, holder: &Holder, tenant: Option<&str>) -> Vec<Finding> {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                question.of(holder, tenant)
            }
            None => vec![Finding::undecided("there is too much that is different to look at all of it")],
        }
    }

    /// What comes of it whoever is let through.
    fn carried(&mut self, question: &Question<'_>) {
        let of = |side: &Snapshot, claims: &[OperationRef]| -> Vec<(String, Wider)> {
            let all = claims.iter().filter_map(|at| side.operation(*at));
            all.flat_map(|(app, own)| carries::of(side, app, own)).collect()
        };
        let (old, new) = (of(self.old, question.from), of(self.new, question.to));
        let gone = old.iter().filter(|own| !new.contains(own)).map(|own| (own, "no longer: "));
        let come = new.iter().filter(|own| !old.contains(own)).map(|own| (own, "now: "));
        let changes: Vec<_> = gone.chain(come).collect();
        if changes.is_empty() || question.from.is_empty() || question.to.is_empty() {
            return;
        }
        let widens = changes.iter().any(|((_, wider), change)| match wider {
            Wider::With => true,
            Wider::Without => *change == "no longer: ",
            Wider::Same => false,
        });
        let narrows = changes.iter().any(|((_, wider), _)| *wider == Wider::Without);
        let detail: Vec<String> =
            changes.iter().map(|((text, _), change)| format!("{change}{text}")).collect();
        let wider = if widens {
            Wider::With
        } else if narrows {
            Wider::Without
        } else {
            Wider::Same
        };
        self.whoever(question, wider, detail.join("; "));
    }

    /// Fields that are shown newly to who holds another role beside the one that lets it through.
    fn shown(&mut self, question: &Question<'_>) {
        let newly = super::shown::newly((self.old, question.from), (self.new, question.to));
        if newly.is_empty() || self.tells_shown {
            return;
        }
        let of_field = |(field, to): (&String, &BTreeSet<String>)| {
            let to: Vec<&str> = to.iter().map(String::as_str).collect();
            let to = if to.is_empty() {
                "in more cases".to_owned()
            } else {
                format!("to who holds {}", to.join(" or "))
            };
            format!("`{field}` is shown {to}, whatever else they hold")
        };
        let detail: Vec<String> = newly.iter().map(of_field).collect();
        self.whoever(question, Wider::With, format!("now: {}", detail.join("; ")));
    }

    /// A difference that doesn't hang on who is let through.
    fn whoever(&mut self, question: &Question<'_>, wider: Wider, detail: String) {
        let found = match self.let_through(question) {
            Ok(None) => return,
            Ok(Some(found)) => Finding { wider, detail, when: Vec::new(), ..found },
            Err(TooMuch) => Finding {
                outcome: Outcome::Differently,
                wider,
                detail,
                when: Vec::new(),
                posed: None,
                answers: None,
                decided: false,
            },
        };
        self.note(question, "whoever is let through", found, None);
    }

    fn let_through(&mut self, question: &Question<'_>) -> Result<Option<Finding>, TooMuch> {
        let mut failed = None;
        for app in question.apps() {
            for holder in self.holders.get(&app).cloned().unwrap_or_default() {
                let tenants = self.tenants.customers(&app, Which::All);
                for tenant in std::iter::once(None).chain(tenants.iter().map(|own| Some(&**own))) {
                    match question.let_through(&holder, tenant) {
                        Ok(Some(found)) => return Ok(Some(found)),
                        Ok(None) => {}
                        Err(too_much) => failed = Some(too_much),
                    }
                }
            }
        }
        failed.map_or(Ok(None), Err)
    }

    fn note(
        &mut self,
        question: &Question<'_>,
        who: &str,
        found: Finding,
        tenant: Option<(&Arc<str>, usize)>,
    ) {
        let effect = match (found.outcome, found.wider, found.decided) {
            (.., false) | (Outcome::Gains, ..) | (Outcome::Differently, Wider::With, _) => Effect::Widens,
            (Outcome::Loses, ..) | (Outcome::Differently, Wider::Without, _) => Effect::Narrows,
            (Outcome::Differently, Wider::Same, _) => Effect::Neither,
        };
        self.tells_shown |= effect == Effect::Widens && found.detail.ends_with("is hidden in the answer");
        let side = match found.outcome {
            Outcome::Loses => (self.old, question.from),
            Outcome::Gains | Outcome::Differently if question.to.is_empty() => (self.old, question.from),
            Outcome::Gains | Outcome::Differently => (self.new, question.to),
        };
        let claimed = side.1.first().and_then(|at| side.0.operation(*at));
        let app = claimed.map_or_else(|| "?".into(), |(app, _)| app.name.clone());
        let (permission, wildcard) = claimed.map_or_else(
            || (String::new(), false),
            |(app, own)| permission(app, own, who, self.old, found.outcome),
        );
        let key = (
            found.outcome,
            app,
            who.to_owned(),
            permission,
            found.detail.clone(),
            found.when.clone(),
            found.decided,
        );
        let witness = found.posed.zip(found.answers).map(|(posed, (old, new))| Witness { posed, old, new });
        let row = self.rows.entry(key).or_insert_with(|| Row {
            effect,
            operations: Vec::new(),
            tenants: BTreeSet::new(),
            every_tenant: tenant.is_none(),
            wildcard,
            witness: None,
        });
        row.wildcard |= wildcard;
        // A row is as good as its worst witness.
        let better = |own: &Witness| match found.outcome {
            Outcome::Gains => own.old.allowed || !own.new.allowed,
            Outcome::Loses => !own.old.allowed || own.new.allowed,
            Outcome::Differently => !(own.old.allowed && own.new.allowed),
        };
        if row.operations.is_empty() || witness.as_ref().is_none_or(better) {
            row.witness = witness;
        }
        if let Some((tenant, all)) = tenant {
            row.tenants.insert(tenant.clone());
            row.every_tenant = row.tenants.len() == all;
        }
        let operation = written(question.place, claimed);
        if !row.operations.contains(&operation) {
            row.operations.push(operation);
        }
    }

    fn finish(self) -> Vec<Access> {
        let mut rows: Vec<Access> = self
            .rows
            .into_iter()
            .map(|((outcome, app, who, permission, detail, when, decided), row)| Access {
                outcome,
                effect: row.effect,
                app,
                who,
                permission,
                detail,
                operations: row.operations,
                when,
                tenants: if row.every_tenant { Vec::new() } else { row.tenants.into_iter().collect() },
                wildcard: row.wildcard,
                decided,
                witness: row.witness,
            })
            .collect();
        rows.sort_by(|a, b| (a.effect, a.outcome, &a.app).cmp(&(b.effect, b.outcome, &b.app)));
        rows
    }
}

/// The permissions by which a role has an operation on a side, and whether it is by a wildcard that newly covers it.
fn permission(
    app: &App,
    operation: &Operation,
    who: &str,
    old: &Snapshot,
    outcome: Outcome,
) -> (String, bool) {
    if matches!(operation.access, Reach::Public) {
        return ("public".to_owned(), false);
    }
    let role = app.role(who).map(|(_, role)| role);
    let held = |own: &crate::policy::PermissionId| role.is_none_or(|role| !role.grants_of(*own).is_empty());
    let mut ids: Vec<_> = operation.permissions().filter(held).collect();
    if ids.is_empty() {
        ids = operation.permissions().collect();
    }
    let named: Vec<&crate::policy::Permission> = ids.iter().filter_map(|own| app.permission(*own)).collect();
    let is_new = |own: &&crate::policy::Permission| {
        let before = old.app(&app.name);
        before.is_none_or(|app| !app.permissions.iter().any(|(_, other)| other.resource == own.resource))
    };
    let by_wildcard = outcome == Outcome::Gains
        && role.is_some_and(|role| {
            let grants = ids.iter().flat_map(|own| role.grants_of(*own));
            grants.clone().any(|grant| grant.term == Term::Star) && named.iter().any(is_new)
        });
    let names: Vec<String> = named.iter().map(|own| own.name.to_string()).collect();
    (names.join(" or "), by_wildcard)
}

/// An operation as files write it: its template, or the path that leads to it.
fn written(place: &Place, claimed: Option<(&App, &Operation)>) -> String {
    let at = place.host.as_deref().map(|host| format!(" on {host}")).unwrap_or_default();
    if let Some((_, event)) = &place.event {
        return format!("EMIT {event}");
    }
    let same_shape = claimed.is_some_and(|(_, own)| {
        let segments = own.template.segments();
        segments.len() == place.steps.len()
            && segments.iter().zip(&place.steps).all(|pair| match pair {
                (crate::route::Segment::Literal(a), Step::Literal(b)) => a == b,
                (crate::route::Segment::Literal(_), Step::Other) => false,
                (_, step) => *step == Step::Other,
            })
    });
    let path = match claimed {
        Some((_, own)) if same_shape => own.template.to_string(),
        _ => place.path(&|_| None),
    };
    format!("{} {path}{at}", place.verb)
}
