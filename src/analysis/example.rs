//! An example: a request that a role makes of an operation, with facts that meet what stands in its way. It is found by
//! trying the ways in which conditions can hold, and believed only once the one decision path says so. What isn't found
//! may be there all the same; what can be there at all is `guard`'s to say.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use super::guard;
use super::posed::{Posed, PosedEvent};
use crate::authorize::{Evidence, Ruling};
use crate::fact::{Literal, Mark, Source, Type};
use crate::policy::{App, Condition, Decision, Denial, Leaf, Operand, Operation, Operator, TenantRule};
use crate::request::{Host, Timestamp};
use crate::route::Segment;
use crate::snapshot::{OperationRef, Snapshot};
use crate::tenant::Tenant;

/// Ways in which conditions can hold that are looked at.
const WAYS_MAX: usize = 64;
/// Tenants that are tried.
const TENANTS_MAX: usize = 20;
/// What stands in a path where nothing is said.
const SOME: &str = "x1";
/// Somebody else.
const OTHER: &str = "another";

/// A request of the role's that is permitted.
#[must_use]
pub fn allowed(snapshot: &Snapshot, at: OperationRef, role: usize, now: Timestamp) -> Option<Posed> {
    let (app, operation) = snapshot.operation(at)?;
    let guards = guard::guards(app, role, operation);
    let is_it = |ruling: &Ruling| matches!(ruling, Ruling::Permit(..));
    guards.into_iter().find_map(|guard| search(snapshot, (at, role), guard, now, &is_it))
}

/// A request of the role's that meets what is required, whatever the role is granted: what became of it is the grants' word.
#[must_use]
pub fn asked(snapshot: &Snapshot, at: OperationRef, role: usize, now: Timestamp) -> Option<Posed> {
    let judged = |evidence: &Evidence| evidence.judged.as_ref().and_then(|own| own.decision);
    let is_it = |ruling: &Ruling| match ruling {
        Ruling::Permit(..) => true,
        Ruling::Refuse(_, evidence) => {
            judged(evidence).is_some_and(|own| !matches!(own, Decision::Deny(Denial::Requirement { .. })))
        }
        Ruling::Ask(_) => false,
    };
    search(snapshot, (at, role), &[], now, &is_it)
}

fn search(
    snapshot: &Snapshot,
    (at, role): (OperationRef, usize),
    guard: &[usize],
    now: Timestamp,
    is_it: &dyn Fn(&Ruling) -> bool,
) -> Option<Posed> {
    let (app, operation) = snapshot.operation(at)?;
    let mut conditions = guard::required(app, operation);
    conditions.extend(guard);
    conditions.extend(app.roles.get(role).and_then(|role| role.only));
    let ways = ways(app, &conditions);
    for tenant in tenants(snapshot, app) {
        for way in &ways {
            let world = World::of(app, operation, role, tenant.as_ref());
            let found = world.and_then(|world| world.meeting(way).pose(now));
            let ruled = found.filter(|posed| posed.decide(snapshot, |_, ruling| is_it(&ruling)) == Ok(true));
            if ruled.is_some() {
                return ruled;
            }
        }
    }
    None
}

/// The tenants that can be acted for.
fn tenants(snapshot: &Snapshot, app: &App) -> Vec<Arc<Tenant>> {
    match &app.tenant {
        TenantRule::Constant(tenant) => vec![tenant.clone()],
        TenantRule::From { .. } => {
            let customers = snapshot.directory.tenants().iter().filter(|own| own.uses(&app.name));
            customers.take(TENANTS_MAX).cloned().collect()
        }
    }
}

/// A way in which something holds: what each comparison must say.
type Way<'a> = Vec<(&'a Leaf, bool)>;

/// The ways in which all of some conditions hold.
fn ways<'a>(app: &'a App, conditions: &[usize]) -> Vec<Way<'a>> {
    let named = conditions.iter().filter_map(|index| app.conditions.get(*index));
    all(named.map(|own| of_condition(app, &own.condition, true)))
}

/// One way of each, together.
fn all<'a>(parts: impl Iterator<Item = Vec<Way<'a>>>) -> Vec<Way<'a>> {
    parts.fold(vec![Vec::new()], |before, own| {
        let joined = before
            .iter()
            .flat_map(|way| own.iter().map(move |more| way.iter().chain(more).copied().collect::<Way<'a>>()));
        joined.take(WAYS_MAX).collect()
    })
}

fn of_condition<'a>(app: &'a App, condition: &'a Condition, wanted: bool) -> Vec<Way<'a>> {
    let each = |parts: &'a [Condition]| parts.iter().map(move |part| of_condition(app, part, wanted));
    match (condition, wanted) {
        (Condition::Leaf(leaf), _) => vec![vec![(leaf, wanted)]],
        (Condition::Named(index), _) => {
            app.conditions.get(*index).map_or_else(Vec::new, |own| of_condition(app, &own.condition, wanted))
        }
        (Condition::All(parts), true) | (Condition::Any(parts), false) => all(each(parts)),
        (Condition::Any(parts), true) | (Condition::All(parts), false) => {
            each(parts).flatten().take(WAYS_MAX).collect()
        }
        (Condition::Not(part), _) => of_condition(app, part, !wanted),
    }
}

/// What is said in the making of a request: facts by index.
struct World<'a> {
    app: &'a App,
    operation: &'a Operation,
    tenant: &'a Tenant,
    /// What stands in the path, by parameter.
    path: BTreeMap<&'a str, String>,
    said: BTreeMap<usize, Value>,
    fresh: usize,
}

impl<'a> World<'a> {
    /// The role asks for the tenant's things.
    fn of(app: &'a App, operation: &'a Operation, role: usize, tenant: &'a Tenant) -> Option<Self> {
        let (path, said) = (BTreeMap::new(), BTreeMap::new());
        let mut world = Self { app, operation, tenant, path, said, fresh: 0 };
        if let TenantRule::From { sources, .. } = &app.tenant {
            let source = *sources.first()?;
            let id = tenant.ids().first()?.to_string();
            match &app.facts.get(source)?.source {
                Source::Path(name) => {
                    world.path.insert(name, id);
                }
                _ => {
                    world.said.insert(source, Value::String(id));
                }
            }
        }
        if let Some(claim) = app.roles.get(role)?.claims.first() {
            let held = match app.facts.get(app.roles_fact)?.kind {
                Type::Set => json!([claim]),
                _ => json!(claim),
            };
            world.said.insert(app.roles_fact, held);
        }
        Some(world)
    }

    /// Says what makes comparisons say what they must, where nothing is said yet.
    fn meeting(mut self, way: &Way<'_>) -> Self {
        way.iter().for_each(|(leaf, wanted)| self.meet(leaf, *wanted));
        self
    }

    fn value(&self, fact: usize) -> Option<Value> {
        match &self.app.facts.get(fact)?.source {
            Source::Tenant(name) => self.tenant.fact(name).map(written),
            Source::Path(name) => {
                Some(Value::String(self.path.get(&**name).cloned().unwrap_or_else(|| SOME.to_owned())))
            }
            _ => self.said.get(&fact).cloned(),
        }
    }

    fn something(&mut self) -> Value {
        self.fresh += 1;
        Value::String(format!("some-{}", self.fresh))
    }

    fn meet(&mut self, leaf: &Leaf, wanted: bool) {
        let left = self.value(leaf.fact);
        let (of_right, right) = match &leaf.operand {
            Operand::Fact(index) => (Some(*index), self.value(*index)),
            Operand::Literal(literal) => (None, Some(written(literal))),
        };
        let (left, right) = match (leaf.operator, wanted) {
            (Operator::Equal, true) | (Operator::NotEqual, false) | (Operator::Under, true) => {
                let one = right.or(left).unwrap_or_else(|| self.something());
                (one.clone(), one)
            }
            (Operator::Equal, false) | (Operator::NotEqual, true) => {
                let right = right.unwrap_or_else(|| self.something());
                (left.unwrap_or_else(|| unlike(&right)), right)
            }
            (Operator::In, true) => {
                let one = right.as_ref().and_then(first).or(left).unwrap_or_else(|| self.something());
                (one.clone(), right.unwrap_or_else(|| json!([one])))
            }
            (Operator::Has, true) => {
                let one = right.unwrap_or_else(|| self.something());
                (with(left, &one), one)
            }
            (Operator::Meets, true) => {
                let held = right.as_ref().and_then(first).or(left.as_ref().and_then(first));
                let one = held.unwrap_or_else(|| self.something());
                (with(left, &one), right.unwrap_or_else(|| json!([one])))
            }
            (Operator::Has | Operator::Meets, false) => {
                (left.unwrap_or_else(|| json!([])), right.unwrap_or_else(|| self.something()))
            }
            (Operator::In | Operator::Under, false) => {
                (left.unwrap_or_else(|| json!(OTHER)), right.unwrap_or_else(|| self.something()))
            }
            (Operator::Within, true) => {
                let net = right.as_ref().and_then(first);
                let address = net.as_ref().and_then(Value::as_str).and_then(|net| net.split('/').next());
                (json!(address.unwrap_or("0.0.0.0")), Value::Null)
            }
            (Operator::AtMost | Operator::AtLeast, true) | (Operator::Less | Operator::More, false) => {
                let one = right.or(left).unwrap_or_else(|| json!(0));
                (one.clone(), one)
            }
            (Operator::Less, true) | (Operator::AtLeast, false) => (beside(right.as_ref(), -1), json!(0)),
            (Operator::More, true) | (Operator::AtMost, false) => (beside(right.as_ref(), 1), json!(0)),
            (Operator::Within, false) => (json!("203.0.113.200"), Value::Null),
        };
        self.say(leaf.fact, left);
        of_right.into_iter().for_each(|index| self.say(index, right.clone()));
    }

    /// Says it, unless something else says it already. A set may grow.
    fn say(&mut self, fact: usize, value: Value) {
        let Some(own) = self.app.facts.get(fact) else { return };
        let settled = matches!(own.source, Source::Tenant(_) | Source::Path(_) | Source::ClientWeekday);
        // When it is asked is given.
        if settled || own.source == Source::ClientTime || value.is_null() {
            return;
        }
        if value.is_array() || !self.said.contains_key(&fact) {
            self.said.insert(fact, value);
        }
    }

    fn pose(&self, now: Timestamp) -> Option<Posed> {
        let app = self.app;
        let is_event = self.operation.template.is_event();
        let method = if is_event { "GET" } else { self.operation.verb.as_str() };
        let mut target = String::new();
        for segment in app.path_of(self.operation).segments() {
            target.push('/');
            match segment {
                Segment::Literal(text) => target.push_str(text),
                Segment::Parameter(name) | Segment::Rest(name) => {
                    target.push_str(self.path.get(&**name).map_or(SOME, String::as_str));
                }
            }
        }
        let target = if target.is_empty() { "/".to_owned() } else { target };
        let host = Host::parse(app.hosts.first().map_or("gateway.invalid", |host| host)).ok()?;
        let mut posed = Posed::new(Method::from_bytes(method.as_bytes()).ok()?, target, host, now);
        if is_event {
            let name = self.operation.template.to_string().into();
            posed.event = Some(PosedEvent { app: (*app.name).into(), name });
        }
        posed.claims(app);
        if self.operation.obligations.body_only.is_some() {
            posed.body = Some(Arc::new(json!({})));
        }
        for (index, value) in &self.said {
            posed.place(app, app.facts.get(*index)?, value.clone()).ok()?;
        }
        Some(posed)
    }
}

/// A value of the files, as a token or an app would say it.
fn written(literal: &Literal) -> Value {
    match literal {
        Literal::Text(text) => json!(text),
        Literal::Bool(own) => json!(own),
        Literal::Int(own) => json!(own),
        Literal::Set(members) => json!(members),
        Literal::Ip(own) => json!(own.to_string()),
        Literal::Nets(nets) => nets.iter().map(|net| json!(net.to_string())).collect(),
        Literal::Time(Mark::Instant(at)) => json!(at.to_string()),
        Literal::Time(Mark::Day(_) | Mark::Clock(_)) => Value::Null,
    }
}

fn first(set: &Value) -> Option<Value> {
    set.as_array()?.first().cloned()
}

/// A set with one more member.
fn with(set: Option<Value>, member: &Value) -> Value {
    let mut members = set.as_ref().and_then(Value::as_array).cloned().unwrap_or_default();
    if !members.contains(member) {
        members.push(member.clone());
    }
    Value::Array(members)
}

fn unlike(value: &Value) -> Value {
    match value {
        Value::Bool(own) => json!(!own),
        Value::Number(own) => json!(own.as_i64().unwrap_or(0).saturating_add(1)),
        _ => json!(OTHER),
    }
}

fn beside(value: Option<&Value>, step: i64) -> Value {
    json!(value.and_then(Value::as_i64).unwrap_or(0).saturating_add(step))
}
