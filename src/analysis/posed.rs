//! A request that is put to the rules without a connection: an operator's question, a witness of an analysis, or one
//! that was recorded or copied. It is decided by the same path as a real one, and speaks of apps, events and look-ups by
//! name, so that any snapshot can be asked. What it leaves open is unknown. Who reads what an operator typed is `cli`.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use percent_encoding::utf8_percent_encode;
use serde_json::{Map, Value};

use crate::authorize::{Answer, Evidence, Question, Ruling, Supposed, suppose, suppose_knowing};
use crate::fact::{Certified, Fact, Source};
use crate::json::Pointer;
use crate::policy::lookup::LookedUp;
use crate::policy::{App, Known};
use crate::rejection::Rejection;
use crate::request::{CanonicalPath, ClientCertificate, Host, Malformed, Query, RequestView, Timestamp};
use crate::seat::Seated;
use crate::snapshot::{OperationRef, Snapshot};
use crate::token::{IssuerKind, VerifiedToken};

/// A request, or an event on a socket, with everything that is taken for known.
#[derive(Clone, Debug)]
pub struct Posed {
    /// The method; that of the opening for an event.
    pub method: Method,
    /// Path and query as they would be sent; for an event, of the request that opened its socket.
    pub target: String,
    /// The host that is asked.
    pub host: Host,
    /// The request's headers.
    pub headers: HeaderMap,
    /// The client's address.
    pub client: IpAddr,
    /// The client's certificate.
    pub certificate: Option<ClientCertificate>,
    /// Who asks.
    pub caller: Caller,
    /// The event that it is.
    pub event: Option<PosedEvent>,
    /// What apps answered.
    pub answers: Vec<Answered>,
    /// The body, or the event's first argument, as far as it is known.
    pub body: Option<Arc<Value>>,
    /// What became of claims to seats, by app. There is one unless said.
    pub seats: Vec<(Box<str>, Seated)>,
    /// When it is made.
    pub now: Timestamp,
}

/// Who asks.
#[derive(Clone, Debug)]
pub enum Caller {
    /// Nobody who shows a token.
    Nobody,
    /// A token that was verified.
    Verified(Arc<VerifiedToken>),
    /// Whoever a token of this issuer with these claims would be.
    Claims(Arc<str>, Map<String, Value>),
}

/// An event of an app's socket, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PosedEvent {
    /// The app.
    pub app: Box<str>,
    /// The event.
    pub name: Box<str>,
}

/// What an app answered to one of its look-ups, by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// The app.
    pub app: Box<str>,
    /// The namespace of the facts.
    pub look_up: Box<str>,
    /// The answer.
    pub answer: LookedUp,
}

/// Why a fact can't be given a value in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unplaced {
    /// The path says it.
    #[error("is said by the path")]
    Path,
    /// The tenants' file says it.
    #[error("is said by tenants.toml")]
    Tenant,
    /// The time says it.
    #[error("is said by client.time")]
    Weekday,
    /// The value is of another type, or can't be sent.
    #[error("can't have this value")]
    Value,
}

impl Posed {
    /// A request of nobody's, with nothing known.
    #[must_use]
    pub fn new(method: Method, target: impl Into<String>, host: Host, now: Timestamp) -> Self {
        Self {
            method,
            target: target.into(),
            host,
            headers: HeaderMap::new(),
            client: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            certificate: None,
            caller: Caller::Nobody,
            event: None,
            answers: Vec::new(),
            body: None,
            seats: Vec::new(),
            now,
        }
    }

    /// Decides by a snapshot's rules, and hands the request to whoever explains the ruling.
    pub fn decide<T>(
        &self,
        snapshot: &Snapshot,
        tell: impl FnOnce(&RequestView<'_>, Ruling) -> T,
    ) -> Result<T, Malformed> {
        self.seen(snapshot, |view, event| {
            let Some(event) = event else {
                return tell(view, Ruling::Refuse(Rejection::NoRoute, Evidence::default()));
            };
            let supposed = Supposed { known: self.known(snapshot), now: self.now, event };
            tell(view, suppose(snapshot, view, self.caller(snapshot), supposed))
        })
    }

    /// Decides by a snapshot's rules and by what `answer` knows, the request's own answers aside. A question that it has
    /// no answer to is the result.
    pub fn decide_knowing<T>(
        &self,
        snapshot: &Snapshot,
        answer: &mut dyn FnMut(&Question) -> Option<Answer>,
        tell: impl FnOnce(&RequestView<'_>, Ruling) -> T,
    ) -> Result<Result<T, Box<Question>>, Malformed> {
        self.seen(snapshot, |view, event| {
            let Some(event) = event else {
                return Ok(tell(view, Ruling::Refuse(Rejection::NoRoute, Evidence::default())));
            };
            let supposed = Supposed { known: Known::default(), now: self.now, event };
            let ruling = suppose_knowing(snapshot, view, self.caller(snapshot), supposed, answer);
            ruling.map(|ruling| tell(view, ruling))
        })
    }

    /// The request as this snapshot sees it, and the event that it is; `None` for one that the rules don't know, which
    /// they refuse as a gateway does.
    fn seen<T>(
        &self,
        snapshot: &Snapshot,
        with: impl FnOnce(&RequestView<'_>, Option<Option<OperationRef>>) -> T,
    ) -> Result<T, Malformed> {
        let event = self.event.as_ref().map(|own| find_event(snapshot, own));
        let opened_at = event.flatten().and_then(|at| snapshot.operation(at));
        let opened_at = opened_at.map(|(app, own)| app.path_of(own).to_string());
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let path = CanonicalPath::parse(opened_at.as_deref().unwrap_or(path))?;
        let view = RequestView {
            method: &self.method,
            host: &self.host,
            path: &path,
            query: Query::parse(query)?,
            headers: &self.headers,
            client: self.client,
            certificate: self.certificate.as_ref(),
        };
        Ok(match event {
            Some(None) => with(&view, None),
            event => with(&view, Some(event.flatten())),
        })
    }

    fn caller(&self, snapshot: &Snapshot) -> Option<Arc<VerifiedToken>> {
        match &self.caller {
            Caller::Nobody => None,
            Caller::Verified(token) => Some(token.clone()),
            Caller::Claims(issuer, claims) => {
                let mut issuers = snapshot.gateway.issuers.iter();
                let kind = issuers.find(|own| own.name == *issuer).map_or(IssuerKind::Oidc, |own| own.kind);
                Some(Arc::new(VerifiedToken::hypothetical(issuer.clone(), kind, claims.clone())))
            }
        }
    }

    /// The answers by the snapshot's own numbers; what it doesn't ask for is left out.
    fn known(&self, snapshot: &Snapshot) -> Known {
        let mut known = Known::of_body(self.body.clone());
        let app_of = |name: &str| snapshot.apps.iter().position(|own| *own.name == *name);
        for Answered { app, look_up, answer } in &self.answers {
            let Some(index) = app_of(app) else { continue };
            let mut own = snapshot.apps.get(index).into_iter().flat_map(|app| &app.look_ups);
            if let Some(look_up) = own.position(|own| *own.name == **look_up) {
                known.learn(index, look_up, answer.clone());
            }
        }
        for (app, seated) in &self.seats {
            if let Some(index) = app_of(app) {
                known.seat(index, *seated);
            }
        }
        known
    }

    /// Gives a fact of an app's a value: it is put where the request, the caller or an answer says it.
    pub fn place(&mut self, app: &App, fact: &Fact, value: Value) -> Result<(), Unplaced> {
        match &fact.source {
            Source::Token(path) => {
                let claims = self.claims(app);
                // The caller's application has three names in tokens, of which `client` is derived.
                if *fact.name == *"token.client" {
                    claims.insert("azp".into(), value.clone());
                }
                put(claims, path, value);
            }
            Source::Header(name) => {
                let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Unplaced::Value)?;
                let value = HeaderValue::from_str(&text(&value)?).map_err(|_| Unplaced::Value)?;
                self.headers.append(name, value);
            }
            Source::Query(key) => {
                let more = if self.target.contains('?') { '&' } else { '?' };
                let plain = percent_encoding::NON_ALPHANUMERIC;
                let value = text(&value)?;
                let (key, value) = (utf8_percent_encode(key, plain), utf8_percent_encode(&value, plain));
                self.target = format!("{}{more}{key}={value}", self.target);
            }
            Source::ClientIp => self.client = text(&value)?.parse().map_err(|_| Unplaced::Value)?,
            Source::ClientCertificate(part) => {
                let own = self.certificate.get_or_insert_default();
                let said = Some(text(&value)?.into());
                match part {
                    Certified::Subject => own.subject = said,
                    Certified::Thumbprint => own.thumbprint = said,
                }
            }
            Source::ClientTime => {
                let at: jiff::Timestamp = text(&value)?.parse().map_err(|_| Unplaced::Value)?;
                self.now = Timestamp(u64::try_from(at.as_second()).map_err(|_| Unplaced::Value)?);
            }
            Source::Body(at) => self.put_in_body(at, value),
            Source::LookUp { look_up, at } => {
                let name = app.look_ups.get(*look_up).map_or("", |own| &*own.name);
                self.put_in_answer(&app.name, name, at, value);
            }
            Source::Path(_) => return Err(Unplaced::Path),
            Source::Tenant(_) => return Err(Unplaced::Tenant),
            Source::ClientWeekday => return Err(Unplaced::Weekday),
        }
        Ok(())
    }

    /// The claims of whoever asks of this app; a caller of whom nothing was said becomes one of its issuer's.
    pub fn claims(&mut self, app: &App) -> &mut Map<String, Value> {
        if !matches!(self.caller, Caller::Claims(..)) {
            let someone = Map::from_iter([("sub".to_owned(), Value::from("someone"))]);
            self.caller = Caller::Claims(app.issuer.clone(), someone);
        }
        match &mut self.caller {
            Caller::Claims(_, claims) => claims,
            Caller::Nobody | Caller::Verified(_) => unreachable!("it was just made one with claims"),
        }
    }

    fn put_in_body(&mut self, at: &Pointer, value: Value) {
        let body = Arc::make_mut(self.body.get_or_insert_with(|| Arc::new(Value::Object(Map::new()))));
        if let Value::Object(members) = body {
            put_at(members, at, value);
        }
    }

    fn put_in_answer(&mut self, app: &str, look_up: &str, at: &Pointer, value: Value) {
        let is_it = |own: &Answered| *own.app == *app && *own.look_up == *look_up;
        let index = self.answers.iter().position(is_it).unwrap_or_else(|| {
            let answer = LookedUp::Found(Arc::new(Value::Object(Map::new())));
            self.answers.push(Answered { app: app.into(), look_up: look_up.into(), answer });
            self.answers.len() - 1
        });
        if let Some(Answered { answer: LookedUp::Found(found), .. }) = self.answers.get_mut(index)
            && let Value::Object(members) = Arc::make_mut(found)
        {
            put_at(members, at, value);
        }
    }
}

fn find_event(snapshot: &Snapshot, event: &PosedEvent) -> Option<OperationRef> {
    let app = snapshot.apps.iter().position(|own| *own.name == *event.app)?;
    let operation = *snapshot.apps.get(app)?.events.get(&*event.name)?;
    Some(OperationRef { app, operation })
}

fn text(value: &Value) -> Result<String, Unplaced> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(Unplaced::Value),
    }
}

fn put_at(document: &mut Map<String, Value>, at: &Pointer, value: Value) {
    let path: Vec<Box<str>> = at.segments().map(Into::into).collect();
    put(document, &path, value);
}

/// Puts a value at a path of members, making the objects on the way.
pub fn put(members: &mut Map<String, Value>, path: &[Box<str>], value: Value) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        members.insert(first.to_string(), value);
        return;
    }
    let inner = members.entry(first.to_string()).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(inner) = inner {
        put(inner, rest, value);
    }
}
