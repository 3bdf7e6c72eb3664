//! The real thing, asked the same: the text is compiled, and `authorize` rules.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gatewarden::authorize::{Answer, Permit, Question, Ruling, Supposed, authorize, suppose};
use gatewarden::config::Sources;
use gatewarden::policy::Known;
use gatewarden::rejection::Rejection;
use gatewarden::request::{CanonicalPath, Credential, Host, Query, RequestView, Timestamp};
use gatewarden::snapshot::Snapshot;
use gatewarden::token::{IssuerKind, VerifiedToken};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use percent_encoding::percent_decode_str;

use super::super::{GATEWAY, compiled, file};
use super::evaluate::{Allowed, Expected};
use super::model::Policy;
use super::world::{Ask, Tenant, tenants_file};

/// What the engine said.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    Refused(&'static str),
    Allowed(Allowed),
}

impl Verdict {
    pub(super) fn allows(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }

    /// Whether it is what the reference expects.
    pub(super) fn is(&self, expected: &Expected) -> bool {
        match (self, expected) {
            (Self::Refused(kind), Expected::Refused(kinds)) => kinds.contains(kind),
            (Self::Allowed(own), Expected::Allowed(wanted)) => {
                let named = own.permissions.is_subset(&wanted.permissions)
                    && own.permissions.is_empty() == wanted.permissions.is_empty();
                let own = Allowed { permissions: wanted.permissions.clone(), ..own.clone() };
                named && own == *wanted
            }
            _ => false,
        }
    }
}

/// The files of a case.
pub(super) fn sources(policy: &Policy, tenants: &[Tenant]) -> Sources {
    let files = vec![
        file("gateway.toml", GATEWAY),
        file("rules/g.toml", &policy.rules()),
        file("rules/tenants.toml", &tenants_file(tenants, policy)),
    ];
    Sources { files, hash: String::new() }
}

pub(super) fn snapshot(policy: &Policy, tenants: &[Tenant]) -> Arc<Snapshot> {
    compiled(&sources(policy, tenants))
}

/// Hands the request as the engine takes it to `use_it`.
fn with_view<T>(ask: &Ask, use_it: impl FnOnce(&RequestView<'_>, Option<Arc<VerifiedToken>>) -> T) -> T {
    let mut headers = HeaderMap::new();
    for (name, value) in &ask.headers {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let query = ask.query_text();
    let host = Host::parse("h").unwrap();
    let view = RequestView {
        method: &Method::from_bytes(ask.method.as_bytes()).unwrap(),
        host: &host,
        path: &CanonicalPath::parse(ask.path).unwrap(),
        query: Query::parse(&query).unwrap(),
        headers: &headers,
        client: ask.client,
    };
    let caller = ask.caller.as_ref().map(|(issuer, claims)| {
        Arc::new(VerifiedToken::hypothetical((*issuer).into(), IssuerKind::Keycloak, claims.clone()))
    });
    use_it(&view, caller)
}

/// Everything is known before it rules.
pub(super) fn knowing_all(snapshot: &Arc<Snapshot>, ask: &Ask) -> Verdict {
    with_view(ask, |view, caller| {
        let supposed = Supposed { known: Known::default(), now: Timestamp(ask.now), event: None };
        verdict(suppose(snapshot, view, caller, supposed))
    })
}

/// Nothing is known before it asks, not even who calls.
pub(super) fn asking(snapshot: &Arc<Snapshot>, ask: &Ask) -> Verdict {
    with_view(ask, |view, caller| {
        let credential = caller.as_ref().map_or(Credential::Absent, |_| Credential::Bearer("a.b.c"));
        let mut ruling = authorize(snapshot, view, credential, Timestamp(ask.now));
        for _round in 0..8 {
            let Ruling::Ask(pending) = ruling else { return verdict(ruling) };
            let answers = pending.questions().iter().map(|question| match question {
                Question::Verify { .. } => Answer::Verified(Ok(caller.clone().unwrap())),
                other => panic!("nobody can answer {other:?}"),
            });
            let answers = answers.collect();
            ruling = pending.settle(view, answers);
        }
        panic!("it asks without end")
    })
}

fn verdict(ruling: Ruling) -> Verdict {
    match ruling {
        Ruling::Permit(permit, _) => Verdict::Allowed(allowed(&permit)),
        Ruling::Refuse(rejection, _) => Verdict::Refused(kind(&rejection)),
        Ruling::Ask(pending) => panic!("open questions: {:?}", pending.questions()),
    }
}

fn kind(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::NoRoute => "no-route",
        Rejection::MethodNotAllowed { .. } => "method",
        Rejection::Malformed(_) => "malformed",
        Rejection::CredentialMissing => "credential",
        Rejection::Principal(_) => "principal",
        Rejection::Tenant(_) => "tenant",
        Rejection::Denied => "denied",
        Rejection::StepUp(_) => "step-up",
        Rejection::Unanswered => "unanswered",
        Rejection::FieldNotPermitted => "field",
        Rejection::NoSeat => "no-seat",
        other => panic!("no refusal of the rules: {other:?}"),
    }
}

fn allowed(permit: &Permit) -> Allowed {
    let text =
        |value: &HeaderValue| percent_decode_str(value.to_str().unwrap()).decode_utf8().unwrap().into_owned();
    let words = |value: &HeaderValue| -> BTreeSet<String> {
        text(value).split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let headers: BTreeMap<String, String> = permit
        .supplied()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    let query = permit.target().split_once('?').map_or("", |(_, query)| query);
    let decode = |text: &str| percent_decode_str(text).decode_utf8().unwrap().into_owned();
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut query: Vec<(String, String)> = pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (decode(key), decode(value)))
        .collect();
    query.sort();
    Allowed {
        permissions: permit.identity().map(|own| words(&own.permission)).unwrap_or_default(),
        roles: permit.identity().map(|own| words(&own.roles)).unwrap_or_default(),
        headers,
        query,
    }
}
