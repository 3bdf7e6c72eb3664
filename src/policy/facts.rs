//! The facts of one decision, read from the request, the caller and the tenant when a condition asks, never before.

use std::borrow::Cow;

use super::known::{Known, Trail};
use super::lookup::LookedUp;
use super::obligation::Narrow;
use crate::fact::{Certified, Default, Fact, Mark, Moment, Source, Type, Value};
use crate::identity::Principal;
use crate::json::Pointer;
use crate::request::{RequestView, Timestamp, read_header};
use crate::tenant::Tenant;
use crate::zone::Zone;

/// Everything that the facts of one decision are read from. Values are read when a condition asks, never before.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'r> {
    /// The app's declared facts.
    pub declared: &'r [Fact],
    /// The request.
    pub request: &'r RequestView<'r>,
    /// The template's parameters by name, with the decoded segments that they stand for.
    pub parameters: &'r [(&'r str, Cow<'r, str>)],
    /// The caller; none on a public operation.
    pub principal: Option<&'r Principal>,
    /// The acting tenant, once known.
    pub tenant: Option<&'r Tenant>,
    /// The app, by index: whose look-ups the answers are.
    pub app: usize,
    /// What was found out.
    pub known: &'r Known,
    /// The conditions that become filters on this operation.
    pub narrows: &'r [Narrow],
    /// What was missing, noted as it is read.
    pub trail: &'r Trail,
    /// When the request came.
    pub now: Timestamp,
}

impl<'r> Facts<'r> {
    /// The value of a declared fact, its default included; `None` is unknown.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Value<'r>> {
        let fact = self.declared.get(index)?;
        match (self.read(fact), &fact.default) {
            (Reading::Value(value), _) => Some(value),
            (Reading::Unreadable, _) | (Reading::Absent, None) => None,
            (Reading::Absent, Some(Default::Literal(literal))) => Some(Value::of(literal)),
            (Reading::Absent, Some(Default::Fact(other))) => match self.read(self.declared.get(*other)?) {
                Reading::Value(value) => Some(value),
                Reading::Absent | Reading::Unreadable => None,
            },
        }
    }

    /// Whether the source itself has the fact, its default aside.
    #[must_use]
    pub fn is_stated(&self, index: usize) -> bool {
        self.declared.get(index).is_some_and(|fact| !matches!(self.read(fact), Reading::Absent))
    }

    fn read(&self, fact: &'r Fact) -> Reading<'r> {
        let of_text = |text: Option<Cow<'r, str>>| match text {
            None => Reading::Absent,
            Some(text) => {
                self.placed(Value::of_text(text, fact.kind)).map_or(Reading::Unreadable, Reading::Value)
            }
        };
        match &fact.source {
            Source::Token(path) => match self.principal.and_then(|principal| principal.fact(path)) {
                None if self.principal.is_some_and(|own| own.withholds(path)) => Reading::Unreadable,
                None => Reading::Absent,
                Some(claim) => {
                    self.placed(Value::of_claim(claim, fact.kind)).map_or(Reading::Unreadable, Reading::Value)
                }
            },
            Source::Tenant(name) => self
                .tenant
                .and_then(|tenant| tenant.fact(name))
                .map_or(Reading::Absent, |literal| Reading::Value(Value::of(literal))),
            Source::ClientIp => Reading::Value(Value::Ip(self.request.client)),
            Source::ClientCertificate(part) => {
                let said = self.request.certificate.and_then(|own| match part {
                    Certified::Subject => own.subject.as_deref(),
                    Certified::Thumbprint => own.thumbprint.as_deref(),
                });
                said.map_or(Reading::Absent, |text| Reading::Value(Value::Text(text.into())))
            }
            Source::ClientTime => {
                self.clock().map_or(Reading::Unreadable, |now| Reading::Value(Value::Time(now)))
            }
            Source::ClientWeekday => self
                .clock()
                .map_or(Reading::Unreadable, |now| Reading::Value(Value::Text(now.weekday().into()))),
            Source::Path(name) => of_text(
                self.parameters.iter().find(|(own, _)| *own == &**name).map(|(_, value)| value.clone()),
            ),
            Source::Query(key) => match self.request.query.get(key) {
                Ok(text) => of_text(text),
                Err(_) => Reading::Unreadable,
            },
            Source::Header(name) => match read_header(self.request.headers, name) {
                Ok(text) => of_text(text.map(Cow::Borrowed)),
                Err(_) => Reading::Unreadable,
            },
            Source::Body(at) => match &self.known.body {
                None => {
                    self.trail.wants_body();
                    Reading::Unreadable
                }
                Some(body) => self.member(body, at, fact.kind),
            },
            Source::LookUp { look_up, at } => match self.known.looked_up(self.app, *look_up) {
                None => {
                    self.trail.wants_look_up(*look_up);
                    Reading::Unreadable
                }
                Some(LookedUp::Unavailable(_)) => {
                    self.trail.misses();
                    Reading::Unreadable
                }
                // A default stands for a member that an object doesn't have, never for an object that isn't there.
                Some(LookedUp::Nothing) => Reading::Unreadable,
                Some(LookedUp::Found(answer)) => self.member(answer, at, fact.kind),
            },
        }
    }

    /// The request's time in the tenant's zone: unknown before the tenant is.
    fn clock(&self) -> Option<Moment<'r>> {
        let at = jiff::Timestamp::from_second(i64::try_from(self.now.0).ok()?).ok()?;
        Some(Moment { at, zone: self.zone()? })
    }

    fn zone(&self) -> Option<&'r Zone> {
        self.tenant.map(Tenant::zone)
    }

    fn member(&self, document: &'r serde_json::Value, at: &Pointer, kind: Type) -> Reading<'r> {
        match at.read(document) {
            Ok(None | Some(serde_json::Value::Null)) => Reading::Absent,
            Ok(Some(member)) => {
                self.placed(Value::of_claim(member, kind)).map_or(Reading::Unreadable, Reading::Value)
            }
            Err(_) => Reading::Unreadable,
        }
    }

    /// A moment of the data, in the tenant's zone.
    fn placed(&self, value: Option<Value<'r>>) -> Option<Value<'r>> {
        match (value, self.zone()) {
            (Some(Value::Mark(Mark::Instant(at))), Some(zone)) => Some(Value::Time(Moment { at, zone })),
            (value, _) => value,
        }
    }
}

/// What a source says of a fact: a default stands for what is absent, never for what can't be read.
enum Reading<'r> {
    Value(Value<'r>),
    Absent,
    Unreadable,
}
