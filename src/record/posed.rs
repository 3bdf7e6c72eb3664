//! A record as a request that can be put to any rules, and what those rules read that it doesn't hold.

use std::sync::Arc;

use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use super::{Effect, Record};
use crate::analysis::posed::{Answered, Caller, Posed, PosedEvent, put};
use crate::authorize::Evidence;
use crate::fact::{Fact, Source, Type};
use crate::policy::lookup::{LookedUp, NoAnswer};
use crate::policy::{App, Operand, Operation, PermissionId, TenantRule};
use crate::request::{CanonicalPath, Host, Timestamp};
use crate::route::{Match, Segment, Template, Verb};
use crate::seat::{Seated, Which};
use crate::snapshot::{OperationRef, Snapshot};
use crate::token::CLIENT_CLAIMS;

/// Why a record can't be decided again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreplayable {
    /// It was refused before any rule was asked, or by something else than rules.
    #[error("it was no decision of the rules: {reason}")]
    NoDecision {
        /// The record's reason.
        reason: String,
    },
    /// A rate was used up, which no record says of another moment.
    #[error("a rate was used up: {reason}")]
    Spent {
        /// The record's reason.
        reason: String,
    },
    /// The body had a field that it may not have, and the record doesn't say which.
    #[error("the record doesn't hold the body's fields")]
    Fields,
    /// The record has no path, and no template to make one of.
    #[error("the record has no path")]
    Path,
    /// The record has no host, method or time that can be read.
    #[error("the record's {0} can't be read")]
    Head(&'static str),
    /// A fact's value can't be put where a request has it.
    #[error("the record's {0} can't be put back")]
    Fact(String),
}

/// Reasons of refusals that the rules are behind, and that the record holds everything for.
const OF_RULES: [&str; 17] = [
    "no-permission",
    "requirement-failed",
    "requirement-unknown",
    "condition-failed",
    "condition-unknown",
    "unanswered",
    "inject-unknown",
    "no-seat",
    "tenant-missing",
    "tenant-unknown",
    "tenant-not-proven",
    "tenant-not-allowed",
    "wrong-issuer",
    "token-missing",
    "claim-missing",
    "no-such-operation",
    "method-not-allowed",
];

/// What no value of a type but text's can be read from, and no node.
const UNREADABLE: &str = "?";
/// Only what stands for itself in a path.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Record {
    /// The request as it was, to be decided by a snapshot's rules. Everybody has a seat but those who had none, and no
    /// rate is used up. Of a request to nowhere, and of one to a public operation, it isn't known who the caller was.
    pub fn posed(&self, snapshot: &Snapshot) -> Result<Posed, Unreplayable> {
        self.is_of_rules()?;
        let method = match (&self.event, &self.method) {
            (Some(_), _) => Method::GET,
            (None, Some(method)) => method.parse().map_err(|_| Unreplayable::Head("method"))?,
            (None, None) => return Err(Unreplayable::Head("method")),
        };
        let host = self.host.as_deref().and_then(|own| Host::parse(own).ok());
        let host = host.ok_or(Unreplayable::Head("host"))?;
        let now = self.at().and_then(|at| u64::try_from(at.as_second()).ok());
        let now = Timestamp(now.ok_or(Unreplayable::Head("time"))?);
        let mut posed = Posed::new(method, self.target(snapshot)?, host, now);
        posed.caller = self.caller();
        if let Some(name) = &self.event {
            let app = self.app.as_deref().or_else(|| of_socket(snapshot, &posed)).unwrap_or_default();
            posed.event = Some(PosedEvent { app: app.into(), name: name.as_str().into() });
        }
        if let (Some(app), "no-seat") = (&self.app, &*self.reason) {
            posed.seats.push((app.as_str().into(), Seated::Refused(Which::Named)));
        }
        for app in self.apps(snapshot, &posed) {
            self.answers(app, &mut posed);
            self.place(app, &mut posed)?;
        }
        if let Caller::Claims(_, claims) = &mut posed.caller {
            self.claims(claims);
        }
        Ok(posed)
    }

    fn is_of_rules(&self) -> Result<(), Unreplayable> {
        let reason = || self.reason.clone();
        let is_known = self.issuer.is_none() || self.sub.is_some() || self.is_erased("/sub");
        match &*self.reason {
            _ if self.effect == Effect::Allow => Ok(()),
            "body-field" => Err(Unreplayable::Fields),
            word if word.starts_with("limit-") => Err(Unreplayable::Spent { reason: reason() }),
            word if OF_RULES.contains(&word) && is_known => Ok(()),
            _ => Err(Unreplayable::NoDecision { reason: reason() }),
        }
    }

    fn caller(&self) -> Caller {
        let Some(issuer) = &self.issuer else { return Caller::Nobody };
        let subject = self.sub.as_deref().unwrap_or("someone");
        let claims = Map::from_iter([("sub".to_owned(), Value::from(subject))]);
        Caller::Claims(Arc::from(issuer.as_str()), claims)
    }

    /// The path as it came, or one that the template matches with the parameters that are known.
    fn target(&self, snapshot: &Snapshot) -> Result<String, Unreplayable> {
        if let Some(path) = &self.path {
            return Ok(path.clone());
        }
        if self.event.is_some() {
            return Ok("/".to_owned());
        }
        let app = self.app.as_deref().and_then(|name| snapshot.app(name));
        let same = |own: &&Operation| Some(&*own.route) == self.route.as_deref();
        let own = app.and_then(|app| app.operations.iter().find(same)).map(|own| own.template.clone());
        let template = own.or_else(|| Template::parse(self.route.as_deref()?).ok());
        Ok(self.spell(&template.ok_or(Unreplayable::Path)?))
    }

    fn spell(&self, template: &Template) -> String {
        let mut path = String::new();
        for segment in template.segments() {
            path.push('/');
            match segment {
                Segment::Literal(text) => path.extend(utf8_percent_encode(text, ENCODED)),
                Segment::Parameter(name) | Segment::Rest(name) => {
                    let known = self.facts.get(&format!("path.{name}")).and_then(Value::as_str);
                    match known {
                        Some(value) => {
                            let parts: Vec<_> = value
                                .split('/')
                                .map(|own| utf8_percent_encode(own, ENCODED).to_string())
                                .collect();
                            path.push_str(&parts.join("/"));
                        }
                        // Not the name of any route's own, most likely.
                        None => {
                            path.push('~');
                            path.push_str(name);
                        }
                    }
                }
            }
        }
        if path.is_empty() { "/".to_owned() } else { path }
    }

    /// The apps that may judge it: those that claim its path, and the one that judged it.
    fn apps<'s>(&self, snapshot: &'s Snapshot, posed: &Posed) -> Vec<&'s App> {
        let mut found: Vec<usize> = Vec::new();
        if let Some(name) = &self.app {
            found.extend(snapshot.apps.iter().position(|own| *own.name == **name));
        }
        if let (None, Ok(path)) = (&posed.event, CanonicalPath::parse(&posed.target))
            && let Match::Operations(claims) =
                snapshot.routes.find(&posed.host, &path, Verb::of(&posed.method))
        {
            found.extend(claims.iter().map(|own| own.app));
        }
        let mut once: Vec<usize> = Vec::new();
        for index in found {
            if !once.contains(&index) {
                once.push(index);
            }
        }
        once.into_iter().filter_map(|index| snapshot.apps.get(index)).collect()
    }

    fn answers(&self, app: &App, posed: &mut Posed) {
        for (name, word) in &self.answers {
            let answer = match word.as_str() {
                Some("found") => LookedUp::Found(Arc::new(Value::Object(Map::new()))),
                Some("nothing") => LookedUp::Nothing,
                word => {
                    let named = |own: &NoAnswer| Some(own.as_str()) == word;
                    let why = NoAnswer::ALL.into_iter().find(named);
                    LookedUp::Unavailable(why.unwrap_or(NoAnswer::Status))
                }
            };
            posed.answers.push(Answered { app: (*app.name).into(), look_up: name.as_str().into(), answer });
        }
    }

    /// Puts back what an app's rules may read. What was there and not of its type goes first: it may hold the rest.
    fn place(&self, app: &App, posed: &mut Posed) -> Result<(), Unreplayable> {
        let known = || app.facts.iter().filter_map(|fact| Some((fact, self.facts.get(&*fact.name)?)));
        let is_odd = |value: &Value| value.is_object();
        let odd = known().filter(|(_, value)| is_odd(value));
        for (fact, value) in odd.chain(known().filter(|(_, value)| !is_odd(value))) {
            match &fact.source {
                // Nothing is absent from a body that isn't there, nor from one that is no object.
                Source::Body(_) if value.is_null() => {
                    posed.body.get_or_insert_with(|| Arc::new(Value::Object(Map::new())));
                }
                _ if value.is_null() => {}
                // The path is put back whole, the weekday is the time's, and the files say the rest.
                Source::Path(_) | Source::Tenant(_) | Source::ClientWeekday | Source::Token(_) => {}
                Source::Header(name) if posed.headers.contains_key(&**name) => {}
                Source::Query(key) if has_key(&posed.target, key) => {}
                Source::Header(_) | Source::Query(_) if is_odd(value) => {
                    put_back(app, fact, UNREADABLE.into(), posed)?;
                    // All text is readable, but not what is said twice.
                    if fact.kind == Type::String {
                        put_back(app, fact, UNREADABLE.into(), posed)?;
                    }
                }
                _ => put_back(app, fact, value.clone(), posed)?,
            }
        }
        self.place_roles(app, posed);
        Ok(())
    }

    /// Where it isn't recorded what called the caller's roles, it is what the rules call them.
    fn place_roles(&self, app: &App, posed: &mut Posed) {
        let Some(fact) = app.facts.get(app.roles_fact) else { return };
        let Some(names) = self.claims_of(app, fact) else { return };
        if let (Source::Token(path), Caller::Claims(_, claims)) = (&fact.source, &mut posed.caller) {
            put(claims, path, names);
        } else if matches!(fact.source, Source::LookUp { .. }) {
            // A look-up takes any value of a set's type.
            let _ = posed.place(app, fact, names);
        }
    }

    fn claims_of(&self, app: &App, fact: &Fact) -> Option<Value> {
        if self.facts.contains_key(&*fact.name) || self.roles.is_empty() {
            return None;
        }
        let claim = |name: &String| Some(app.role(name)?.1.claims.first()?.to_string());
        let mut claims: Vec<Value> = self.roles.iter().filter_map(claim).map(Value::from).collect();
        if fact.kind == Type::Set { Some(claims.into()) } else { claims.pop() }
    }

    /// The claims that are known, in their places.
    fn claims(&self, claims: &mut Map<String, Value>) {
        let known = || {
            let named = |(name, value): (&String, &Value)| {
                let path: Vec<Box<str>> = name.strip_prefix("token.")?.split('.').map(Into::into).collect();
                (!value.is_null()).then(|| (path, value.clone()))
            };
            self.facts.iter().filter_map(named)
        };
        if self.facts.get("token.sub").is_some_and(Value::is_null) {
            claims.remove("sub");
        }
        let (odd, plain): (Vec<_>, Vec<_>) = known().partition(|(_, value)| value.is_object());
        for (path, value) in odd.into_iter().chain(plain) {
            match path.as_slice() {
                [only] if **only == *"client" => self.client(claims, value),
                path => put(claims, path, value),
            }
        }
    }

    /// The caller's application has three names in tokens: it gets one that isn't known to be absent.
    fn client(&self, claims: &mut Map<String, Value>, value: Value) {
        let said = |name: &str| self.facts.get(&format!("token.{name}"));
        let is_said = CLIENT_CLAIMS.iter().any(|name| said(name).is_some_and(|own| !own.is_null()));
        let free = CLIENT_CLAIMS.iter().find(|name| said(name).is_none());
        if let (false, Some(name)) = (is_said, free) {
            claims.insert((*name).to_owned(), value);
        }
    }

    /// The facts that a ruling rested on, or could have, and that the record doesn't hold: neither what they were, nor
    /// that they weren't there. The ruling is that of [`Record::posed`] by the same snapshot.
    #[must_use]
    pub fn missing(&self, snapshot: &Snapshot, evidence: &Evidence) -> Vec<Box<str>> {
        let Some(judged) = &evidence.judged else { return Vec::new() };
        let Some((app, operation)) = snapshot.operation(judged.operation) else { return Vec::new() };
        let mut read = Vec::new();
        self.reads(app, operation, judged.roles.iter(), &mut read);
        let mut missing: Vec<Box<str>> = Vec::new();
        for fact in read.into_iter().filter_map(|index| app.facts.get(index)) {
            if !self.holds(app, fact, evidence, judged.operation) && !missing.contains(&fact.name) {
                missing.push(fact.name.clone());
            }
        }
        missing
    }

    /// The facts, by index, that the rules of an operation read for a caller with these roles.
    fn reads(
        &self,
        app: &App,
        operation: &Operation,
        roles: impl Iterator<Item = usize>,
        read: &mut Vec<usize>,
    ) {
        let mut conditions: Vec<usize> = Vec::new();
        let mut required: Vec<usize> = operation.requirements().to_vec();
        if operation.permissions().next().is_some() {
            read.push(app.roles_fact);
            if let TenantRule::From { sources, proven_by } = &app.tenant {
                read.extend(sources.iter());
                required.extend(proven_by);
            }
        }
        conditions
            .extend(required.iter().filter_map(|own| app.requirements.get(*own)).map(|own| own.condition));
        // What is shown of the answer rests on permissions, too.
        let carried = &operation.obligations;
        let shown = carried.masks.iter().flat_map(|own| own.unless.iter().copied());
        let permissions: Vec<PermissionId> = operation.permissions().chain(shown).collect();
        for row in roles.filter_map(|role| app.roles.get(role)) {
            for permission in &permissions {
                let grants = row.grants_of(*permission);
                // What is held under no condition reads nothing.
                if !grants.iter().any(|own| own.conditions.is_empty()) {
                    conditions.extend(grants.iter().flat_map(|own| own.conditions.iter()));
                }
            }
        }
        conditions.extend(carried.filters.iter().map(|own| own.keep));
        for condition in conditions.iter().filter_map(|own| app.conditions.get(*own)) {
            condition.condition.leaves(&app.conditions, &mut |leaf| {
                read.push(leaf.fact);
                if let Operand::Fact(other) = leaf.operand {
                    read.push(other);
                }
            });
        }
        read.extend(app.injects.iter().map(|own| own.fact));
    }

    fn holds(&self, app: &App, fact: &Fact, evidence: &Evidence, at: OperationRef) -> bool {
        let is_recorded = self.facts.contains_key(&*fact.name);
        let known = evidence.judged.as_ref().map(|own| &own.known);
        match &fact.source {
            Source::Tenant(_) | Source::ClientTime | Source::ClientWeekday => true,
            Source::Path(_) => is_recorded || self.path.is_some(),
            // Their names are the rules' own.
            Source::Token(path) if is_sub(path) => self.sub.is_some() && !self.is_erased("/sub"),
            Source::Token(_) if self.issuer.is_none() => true,
            Source::LookUp { look_up, .. } => {
                let name = app.look_ups.get(*look_up).map_or("", |own| &*own.name);
                let was_asked = known.is_some_and(|own| own.looked_up(at.app, *look_up).is_some());
                match self.answers.get(name).and_then(Value::as_str) {
                    None => !was_asked,
                    Some("found") => is_recorded,
                    Some(_) => true,
                }
            }
            Source::Body(_) => is_recorded || known.is_none_or(|own| own.body.is_none()),
            Source::Token(_)
            | Source::ClientIp
            | Source::ClientCertificate(_)
            | Source::Query(_)
            | Source::Header(_) => is_recorded,
        }
    }
}

/// The app whose socket a request opens: an event that no rule knew has no other.
fn of_socket<'s>(snapshot: &'s Snapshot, posed: &Posed) -> Option<&'s str> {
    let path = CanonicalPath::parse(&posed.target).ok()?;
    let Match::Operations(claims) = snapshot.routes.find(&posed.host, &path, Some(Verb::Get)) else {
        return None;
    };
    let mut apps = claims.iter().filter_map(|own| snapshot.apps.get(own.app));
    apps.find(|app| app.socket.is_some()).map(|app| &*app.name)
}

fn is_sub(path: &[Box<str>]) -> bool {
    matches!(path, [only] if **only == *"sub")
}

fn put_back(app: &App, fact: &Fact, value: Value, posed: &mut Posed) -> Result<(), Unreplayable> {
    posed.place(app, fact, value).map_err(|_| Unreplayable::Fact(fact.name.to_string()))
}

/// Whether a target has a parameter already.
fn has_key(target: &str, key: &str) -> bool {
    let key = utf8_percent_encode(key, NON_ALPHANUMERIC).to_string();
    let query = target.split_once('?').map_or("", |(_, query)| query);
    query.split('&').any(|pair| pair.split_once('=').is_some_and(|(own, _)| own == key))
}
