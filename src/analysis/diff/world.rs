//! What a request can say, as variables that both sides read: a claim is the same claim on both, whatever its fact is
//! called there. And what a side makes of it: types, defaults, the tenant's own values.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::fact::{Certified, Default, Literal, Mark, Moment, Source, Type, Value};
use crate::json::{Pattern, Pointer};
use crate::policy::condition::compare;
use crate::policy::obligation::has_only;
use crate::policy::{App, Operation, Operator, Truth};
use crate::route::Segment;
use crate::snapshot::Snapshot;
use crate::tenant::Tenant;
use crate::zone::Zone;

/// Something that a request, its caller or an app's answer says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Var {
    /// A claim.
    Claim(Box<[Box<str>]>),
    Header(Box<str>),
    Query(Box<str>),
    Body(Pointer),
    /// A member of what an app answers: the app, the look-up by name, where.
    Answer(Arc<str>, Arc<str>, Pointer),
    /// A segment of the path, by place, and whether it is the rest of the path from there.
    Segment(usize, Whole),
    Address,
    Certificate(Certified),
    Now,
    /// Members of a body that no rule reads.
    MoreBody,
}

/// Whether something is one segment, or all that are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Whole {
    One,
    Rest,
}

/// One operation as one side has it, for one acting tenant.
#[derive(Clone)]
pub(super) struct View<'s> {
    pub(super) snapshot: &'s Snapshot,
    pub(super) app: &'s App,
    pub(super) operation: &'s Operation,
    pub(super) tenant: Option<Arc<Tenant>>,
}

/// A fact's value, as far as it is known before there is a request.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Term {
    /// This, or nothing that is known.
    Const(Option<Literal>),
    /// What a variable says.
    Read(Box<Read>),
}

/// A variable, and what is made of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Read {
    pub(super) var: usize,
    pub(super) kind: Type,
    pub(super) weekday: bool,
    /// Where moments are seen from; UTC for what is none.
    pub(super) zone: Zone,
    pub(super) default: Option<Term>,
}

/// A test of a request.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Test {
    Compare(Operator, Term, Term),
    /// Whether a value is known that can stand in a query or a header by itself.
    Plain(Term),
    /// Whether an organisation's id is in a tenants file.
    Known(Term, Known),
    /// Whether the first of these that is said is one of the ids.
    Acts(Vec<Term>, Box<[Box<str>]>),
    /// Whether a body has no other fields.
    Only(Vec<Pattern>),
}

/// The side whose tenants file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Known {
    Old,
    New,
}

impl Known {
    /// Whose words something is in.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Old => " (old)",
            Self::New => " (new)",
        }
    }
}

/// What every variable says; nothing where it isn't said.
pub(super) type World = Vec<Option<Json>>;

/// The variables of a table.
#[derive(Clone, Debug, Default)]
pub(super) struct Vars(pub(super) Vec<Var>);

impl Vars {
    /// The number of a variable.
    pub(super) fn number(&mut self, var: Var) -> usize {
        self.0.iter().position(|own| *own == var).unwrap_or_else(|| {
            self.0.push(var);
            self.0.len() - 1
        })
    }

    /// What a fact is on one side.
    pub(super) fn term(&mut self, view: &View<'_>, fact: usize) -> Term {
        let Some(declared) = view.app.facts.get(fact) else { return Term::Const(None) };
        if let Source::Tenant(name) = &declared.source {
            let value = view.tenant.as_ref().and_then(|own| own.fact(name)).cloned();
            return Term::Const(value.or(match &declared.default {
                Some(Default::Literal(literal)) => Some(literal.clone()),
                _ => None,
            }));
        }
        let Some(var) = variable(view, &declared.source) else { return Term::Const(None) };
        let weekday = declared.source == Source::ClientWeekday;
        let zoned = weekday || declared.kind == Type::Time;
        let zone = view.tenant.as_ref().filter(|_| zoned).map_or_else(Zone::utc, |own| own.zone().clone());
        let default = match &declared.default {
            None => None,
            Some(Default::Literal(literal)) => Some(Term::Const(Some(literal.clone()))),
            Some(Default::Fact(other)) => Some(self.term(view, *other)),
        };
        let var = self.number(var);
        Term::Read(Box::new(Read { var, kind: declared.kind, weekday, zone, default }))
    }
}

/// The variable that a source is.
pub(super) fn variable(view: &View<'_>, source: &Source) -> Option<Var> {
    Some(match source {
        Source::Token(path) => Var::Claim(path.clone()),
        Source::Header(name) => Var::Header(name.clone()),
        Source::Query(key) => Var::Query(key.clone()),
        Source::Body(at) => Var::Body(at.clone()),
        Source::ClientIp => Var::Address,
        Source::ClientCertificate(part) => Var::Certificate(*part),
        Source::ClientTime | Source::ClientWeekday => Var::Now,
        Source::LookUp { look_up, at } => {
            let name = view.app.look_ups.get(*look_up)?.name.clone();
            Var::Answer(view.app.name.clone(), name, at.clone())
        }
        Source::Path(name) => {
            let mut segments = view.app.path_of(view.operation).segments().iter().enumerate();
            segments.find_map(|(at, segment)| match segment {
                Segment::Parameter(own) if own == name => Some(Var::Segment(at, Whole::One)),
                Segment::Rest(own) if own == name => Some(Var::Segment(at, Whole::Rest)),
                _ => None,
            })?
        }
        Source::Tenant(_) => return None,
    })
}

/// What a source says of a fact, as in a decision: a default stands for what is absent, never for what can't be read.
enum Reading<'r> {
    Value(Value<'r>),
    Absent,
    Unreadable,
}

impl Term {
    /// The value, if it is known.
    pub(super) fn value<'r>(&'r self, vars: &'r [Var], world: &'r World) -> Option<Value<'r>> {
        let read = match self {
            Self::Const(literal) => return literal.as_ref().map(Value::of),
            Self::Read(read) => read,
        };
        match (read.reading(vars, world), &read.default) {
            (Reading::Value(value), _) => Some(value),
            (Reading::Unreadable, _) | (Reading::Absent, None) => None,
            (Reading::Absent, Some(Self::Const(literal))) => literal.as_ref().map(Value::of),
            // A default that is a fact is that fact as it is said, without its own default.
            (Reading::Absent, Some(Self::Read(other))) => match other.reading(vars, world) {
                Reading::Value(value) => Some(value),
                Reading::Absent | Reading::Unreadable => None,
            },
        }
    }

    /// Whether it is said at all.
    fn is_stated(&self, vars: &[Var], world: &World) -> bool {
        match self {
            Self::Const(literal) => literal.is_some(),
            Self::Read(read) => !matches!(read.reading(vars, world), Reading::Absent),
        }
    }

    /// Visits the variables that it rests on.
    pub(super) fn each_read<'t>(&'t self, visit: &mut dyn FnMut(&'t Read)) {
        if let Self::Read(read) = self {
            visit(read);
            read.default.iter().for_each(|default| default.each_read(visit));
        }
    }
}

impl Read {
    fn reading<'r>(&'r self, vars: &[Var], world: &'r World) -> Reading<'r> {
        let said = world.get(self.var).and_then(Option::as_ref);
        let Some(said) = said.filter(|said| !said.is_null()) else { return Reading::Absent };
        let text = || said.as_str().map(Cow::Borrowed);
        let value = match vars.get(self.var) {
            Some(Var::Claim(_) | Var::Body(_) | Var::Answer(..)) => Value::of_claim(said, self.kind),
            Some(Var::Header(_) | Var::Query(_) | Var::Segment(..)) => {
                text().and_then(|text| Value::of_text(text, self.kind))
            }
            Some(Var::Certificate(_)) => text().map(Value::Text),
            Some(Var::Address) => said.as_str().and_then(|text| text.parse().ok()).map(Value::Ip),
            Some(Var::Now) => self.moment(said),
            Some(Var::MoreBody) | None => None,
        };
        match value {
            Some(Value::Mark(Mark::Instant(at))) => {
                Reading::Value(Value::Time(Moment { at, zone: &self.zone }))
            }
            Some(value) => Reading::Value(value),
            None => Reading::Unreadable,
        }
    }

    fn moment<'r>(&'r self, said: &Json) -> Option<Value<'r>> {
        let at = jiff::Timestamp::from_second(said.as_i64()?).ok()?;
        let moment = Moment { at, zone: &self.zone };
        Some(if self.weekday { Value::Text(moment.weekday().into()) } else { Value::Time(moment) })
    }
}

impl Test {
    /// What it says of a world.
    pub(super) fn says(&self, vars: &[Var], world: &World, knows: &dyn Fn(Known, &str) -> bool) -> Truth {
        let known = |is: bool| if is { Truth::Holds } else { Truth::Fails };
        match self {
            Self::Compare(operator, left, right) => {
                compare(*operator, left.value(vars, world).as_ref(), right.value(vars, world).as_ref())
            }
            Self::Plain(term) => {
                let plain = term.value(vars, world).and_then(Value::plain);
                known(
                    plain.is_some_and(|text| !text.is_empty() && http::HeaderValue::from_str(&text).is_ok()),
                )
            }
            Self::Known(term, side) => match term.value(vars, world) {
                Some(Value::Text(id)) => known(knows(*side, &id)),
                _ => Truth::Fails,
            },
            Self::Acts(sources, ids) => {
                let first = sources.iter().find(|own| own.is_stated(vars, world));
                match first.and_then(|own| own.value(vars, world)) {
                    Some(Value::Text(id)) => known(ids.iter().any(|own| **own == *id)),
                    _ => Truth::Fails,
                }
            }
            Self::Only(allowed) => known(has_only(&body(vars, world), allowed)),
        }
    }

    /// Visits the variables that it rests on.
    pub(super) fn each_read<'t>(&'t self, visit: &mut dyn FnMut(&'t Read)) {
        match self {
            Self::Compare(_, left, right) => {
                left.each_read(visit);
                right.each_read(visit);
            }
            Self::Plain(term) | Self::Known(term, _) => term.each_read(visit),
            Self::Acts(sources, _) => sources.iter().for_each(|own| own.each_read(visit)),
            Self::Only(_) => {}
        }
    }
}

/// The whole body that a world has.
pub(super) fn body(vars: &[Var], world: &World) -> Json {
    let more = vars.iter().zip(world).find(|(var, _)| **var == Var::MoreBody);
    let mut body =
        more.and_then(|(_, said)| said.clone()).unwrap_or_else(|| Json::Object(serde_json::Map::new()));
    let Json::Object(members) = &mut body else { return body };
    for (var, said) in vars.iter().zip(world) {
        if let (Var::Body(at), Some(said)) = (var, said) {
            let path: Vec<Box<str>> = at.segments().map(Into::into).collect();
            super::super::posed::put(members, &path, said.clone());
        }
    }
    body
}
