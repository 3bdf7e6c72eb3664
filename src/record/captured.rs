//! What is kept of a request when it is decided, and the record that is made of it later, away from the request's path.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;

use super::{Effect, Mode, Record, Rules, SCHEMA, Times, facts};
use crate::authorize::{Evidence, Judged, Permit};
use crate::fact::Source;
use crate::json::Edits;
use crate::outcome::{self, EVENT_METHOD, Ending, Outcome};
use crate::policy::{App, Decision, Denial, Granted, Operand, Operation};
use crate::rejection::Rejection;
use crate::request::{ClientCertificate, Host, RequestView};
use crate::snapshot::Snapshot;
use crate::token::DevTokens;

/// What a decision's record is made of, beside its outcome.
#[derive(Clone, Debug)]
pub struct Captured {
    /// The rules that judged.
    pub snapshot: Arc<Snapshot>,
    /// When the request came.
    pub at: jiff::Timestamp,
    /// What was asked; none where the request couldn't be read.
    pub asked: Option<Box<Asked>>,
    /// It stands for so many of its kind.
    pub sampled: u32,
    /// Why it was refused all the same, where it was allowed.
    pub overruled: Option<&'static str>,
}

impl Captured {
    /// Of a request of which nothing is known but the rules that were asked.
    #[must_use]
    pub fn new(snapshot: Arc<Snapshot>, at: jiff::Timestamp) -> Self {
        Self { snapshot, at, asked: None, sampled: 1, overruled: None }
    }

    /// Whether it is the refusal of somebody who proved nothing.
    #[must_use]
    pub fn is_of_nobody(&self, evidence: &Evidence) -> bool {
        evidence.caller.is_none() && self.asked.as_ref().is_none_or(|own| own.refused.is_some())
    }

    /// How many bytes it takes to keep it, but for what other requests share.
    #[must_use]
    pub fn weight(&self, evidence: &Evidence) -> usize {
        let body = evidence.judged.as_ref().and_then(|own| own.known.body.as_deref());
        size_of::<Self>()
            + size_of::<Outcome>()
            + self.asked.as_ref().map_or(0, |own| own.weight())
            + body.map_or(0, weight)
    }
}

/// What is kept of a request: what rules may have read, and never its token.
#[derive(Clone, Debug)]
pub struct Asked {
    pub(super) method: Method,
    pub(super) host: Host,
    pub(super) path: Box<str>,
    pub(super) query: Box<str>,
    pub(super) headers: HeaderMap,
    pub(super) client: IpAddr,
    pub(super) certificate: Option<ClientCertificate>,
    event: Option<Box<str>>,
    edits: Option<Arc<Edits>>,
    refused: Option<&'static str>,
}

impl Asked {
    /// Keeps what the rules of a request's app read of it.
    #[must_use]
    pub fn of(
        snapshot: &Snapshot,
        request: &RequestView<'_>,
        evidence: &Evidence,
        ruled: Result<&Permit, &Rejection>,
    ) -> Self {
        let app = evidence.judged.as_ref().and_then(|own| snapshot.apps.get(own.operation.app));
        let (mut headers, mut reads_query) = (HeaderMap::new(), false);
        for fact in app.map_or(&[][..], |app| &app.facts) {
            match &fact.source {
                Source::Header(name) => {
                    if let Ok(own) = http::HeaderName::from_bytes(name.as_bytes()) {
                        for value in request.headers.get_all(&own) {
                            // In memory of its own: what is read from a connection holds on to its whole buffer.
                            if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
                                headers.append(own.clone(), value);
                            }
                        }
                    }
                }
                Source::Query(_) => reads_query = true,
                _ => {}
            }
        }
        Self {
            method: request.method.clone(),
            host: request.host.clone(),
            path: request.path.raw().into(),
            query: if reads_query { request.query.raw().into() } else { Box::default() },
            headers,
            client: request.client,
            certificate: request.certificate.cloned(),
            event: None,
            edits: ruled.ok().and_then(Permit::edits).cloned(),
            refused: ruled.err().map(Rejection::reason),
        }
    }

    /// Keeps it as an event of this name.
    #[must_use]
    pub fn as_event(mut self, name: &str) -> Self {
        self.event = Some(name.into());
        self
    }

    fn weight(&self) -> usize {
        let headers = self.headers.values().map(|value| value.len() + 64);
        size_of::<Self>() + self.path.len() + self.query.len() + headers.sum::<usize>()
    }
}

impl Record {
    /// The record of a request that has ended.
    #[must_use]
    pub fn of(captured: &Captured, outcome: &Outcome) -> Self {
        let snapshot = &*captured.snapshot;
        let evidence = &outcome.evidence;
        let own = captured.asked.as_deref();
        let known = facts::known(snapshot, own, evidence);
        let (effect, reason) = answer(captured, outcome);
        let text = |own: &Option<Arc<str>>| own.as_deref().map(str::to_owned);
        let mut record = Self {
            schema: SCHEMA.to_owned(),
            ts: format!("{:.6}", moment(captured, evidence.judged.as_ref())),
            decision_id: outcome.request_id.to_str().unwrap_or_default().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            mode: mode(snapshot),
            rules: Rules { revision: snapshot.revision, hash: snapshot.hash.to_string() },
            tenant: text(&evidence.tenant),
            issuer: text(&evidence.issuer),
            sub: evidence.caller.as_ref().map(|token| token.subject().to_owned()),
            method: method(own, outcome),
            host: own.map(|own| own.host.as_str().to_owned()),
            path: own.map(|own| own.path.to_string()),
            route: text(&evidence.route),
            event: own.and_then(|own| own.event.as_deref()).map(str::to_owned),
            app: text(&evidence.app),
            effect,
            reason: reason.to_owned(),
            rule: text(&evidence.rule),
            obligations: match own {
                Some(own) if own.refused.is_none() => obligations(own.edits.as_ref(), snapshot, evidence),
                _ => Vec::new(),
            },
            status: outcome.status,
            upstream: text(&outcome.upstream_name),
            bytes: outcome.bytes_sent,
            us: Times {
                decide: micros(outcome.deciding),
                upstream: outcome.upstream.map(micros),
                total: micros(outcome.total),
            },
            facts: known.facts,
            answers: known.answers,
            audited: evidence
                .audited
                .iter()
                .map(|(name, value)| (name.to_string(), value.as_str().into()))
                .collect(),
            sampled: captured.sampled.into(),
            ..Self::default()
        };
        if let Some(judged) = &evidence.judged
            && let Some((app, operation)) = snapshot.operation(judged.operation)
        {
            record.judged(app, operation, judged);
        }
        record
    }

    /// Notes whose roles were judged, and what was granted or stood against it.
    pub fn judged(&mut self, app: &App, operation: &Operation, judged: &Judged) {
        let named = |role: usize| app.roles.get(role).map(|own| own.name.to_string());
        let held = judged.roles.iter().filter(|role| Some(*role) != app.anyone);
        self.roles = held.filter_map(named).collect();
        let permission = |id| app.permission(id).map(|own| own.name.to_string());
        match judged.decision {
            Some(Decision::Allow(Granted::Grant { role, permission: id, .. })) => {
                (self.role, self.permission) = (named(role), permission(id));
            }
            Some(
                Decision::Deny(Denial::Condition { role, grant, condition, .. })
                | Decision::Unanswered(Denial::Condition { role, grant, condition, .. }),
            ) => {
                let grant = app.roles.get(role).and_then(|own| own.grants.get(grant));
                (self.role, self.permission) =
                    (named(role), grant.and_then(|own| permission(own.permission)));
                self.condition = app.conditions.get(condition).map(|own| own.name.to_string());
            }
            Some(
                Decision::Deny(Denial::Requirement { requirement, .. })
                | Decision::Unanswered(Denial::Requirement { requirement, .. }),
            ) => {
                self.condition = app.requirements.get(requirement).map(|own| own.name.to_string());
            }
            _ => {}
        }
        if self.permission.is_none() {
            let mut needed = operation.permissions();
            // Where one would do, it says which; of several, none is the one.
            if let (Some(only), None) = (needed.next(), needed.next()) {
                self.permission = permission(only);
            }
        }
    }
}

/// What it was answered: what the rules said, unless something else refused it before or after.
fn answer(captured: &Captured, outcome: &Outcome) -> (Effect, &'static str) {
    let verdict = outcome.evidence.verdict;
    if let Some(reason) = captured.overruled {
        return (Effect::Deny, reason);
    }
    match captured.asked.as_ref().map(|own| own.refused) {
        Some(Some(refused)) => (Effect::Deny, verdict.map_or(refused, |own| own.reason)),
        Some(None) => match verdict {
            Some(own) if own.effect == outcome::Effect::Allow => (Effect::Allow, own.reason),
            Some(own) => (Effect::Deny, own.reason),
            None => (Effect::Deny, "internal"),
        },
        None => match &outcome.ending {
            Ending::Own(word) => (Effect::Deny, word),
            _ => (Effect::Deny, "client-left"),
        },
    }
}

fn mode(snapshot: &Snapshot) -> Mode {
    if snapshot.verifier.dev_tokens() == DevTokens::Refused { Mode::Enforce } else { Mode::Dev }
}

fn method(own: Option<&Asked>, outcome: &Outcome) -> Option<String> {
    match own {
        Some(own) if own.event.is_some() => Some(EVENT_METHOD.to_owned()),
        Some(own) => Some(own.method.to_string()),
        None => outcome.method.as_ref().map(ToString::to_string),
    }
}

/// The moment that the rules were told, which has no fraction of a second; the fraction is the clock's.
fn moment(captured: &Captured, judged: Option<&Judged>) -> jiff::Timestamp {
    let told = judged.and_then(|own| jiff::Timestamp::from_second(i64::try_from(own.now.0).ok()?).ok());
    match told {
        Some(told) if told.as_second() != captured.at.as_second() => told,
        _ => captured.at,
    }
}

/// What an allow carries along, without the values of facts.
#[must_use]
pub fn obligations(edits: Option<&Arc<Edits>>, snapshot: &Snapshot, evidence: &Evidence) -> Vec<String> {
    let judged = evidence.judged.as_ref().and_then(|own| snapshot.operation(own.operation));
    let mut all: Vec<_> = evidence.narrowed.iter().map(|(key, _)| narrowed(key, judged)).collect();
    if let Some(edits) = edits {
        all.extend(edits.masks.iter().map(|own| format!("{own} is hidden in the answer")));
        all.extend(edits.filters.iter().map(|own| format!("{} is filtered in the answer", own.items)));
    }
    let is_granted = |own: &Judged| matches!(own.decision, Some(Decision::Allow(Granted::Grant { .. })));
    if let Some((app, _)) = judged.filter(|_| evidence.judged.as_ref().is_some_and(is_granted)) {
        let named = |fact: usize| app.facts.get(fact).map_or("nothing", |own| &*own.name);
        all.extend(app.injects.iter().map(|own| format!("{} is set from {}", own.header, named(own.fact))));
    }
    all
}

/// Which key filters, and what it is compared with: another fact lets another list through.
fn narrowed(key: &str, judged: Option<(&App, &Operation)>) -> String {
    let by = judged.and_then(|(app, own)| {
        let own = own.obligations.narrows.iter().find(|own| *own.query == *key)?;
        Some(match &own.value {
            Operand::Fact(fact) => app.facts.get(*fact)?.name.to_string(),
            Operand::Literal(_) => "a value of the rules".to_owned(),
        })
    });
    by.map_or_else(
        || format!("the list is filtered by {key}"),
        |by| format!("the list is filtered by {key} from {by}"),
    )
}

/// How many bytes a body that was read takes, about.
fn weight(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(weight).sum(),
            Value::Object(members) => members.iter().map(|(name, own)| name.len() + 64 + weight(own)).sum(),
        }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
