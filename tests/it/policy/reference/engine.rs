//! The real thing, asked the same: the text is compiled, and `authorize` rules.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gatewarden::authorize::{Answer, Permit, Question, Ruling, Supposed, authorize, suppose};
use gatewarden::config::{Carried, Sources, compile};
use gatewarden::policy::Known;
use gatewarden::policy::lookup::{LookedUp, NoAnswer};
use gatewarden::rejection::Rejection;
use gatewarden::request::{CanonicalPath, Credential, Host, Query, RequestView, Timestamp};
use gatewarden::seat::{Seated, Which};
use gatewarden::snapshot::Snapshot;
use gatewarden::token::{IssuerKind, VerifiedToken};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use percent_encoding::percent_decode_str;

use super::super::{GATEWAY, file, rendered};
use super::evaluate::{Allowed, Expected, Judge};
use super::facts::Told;
use super::model::Policy;
use super::world::{self, Ask, Tenant, tenants_file};

/// What the engine said.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    Refused(&'static str),
    Allowed(Allowed),
}

impl Verdict {
    /// Whether it is what the reference expects of who asks in rounds: where several rules stand against a request, the
    /// one that is known first is told, and an answer that is missing ends it, whatever else could be asked.
    pub(super) fn is_in_rounds(&self, expected: &Expected, asked: &Asked, ask: &Ask) -> bool {
        let of_rules = |kind: &&str| ["tenant", "denied", "step-up"].contains(kind);
        let is_none = |name: &String| name != "body" && *ask.answer(name) == world::Answer::None;
        match (self, expected) {
            (Self::Refused("unanswered"), Expected::Refused(_)) if asked.of_world.iter().any(is_none) => true,
            (Self::Refused(kind), Expected::Refused(kinds)) if of_rules(kind) => kinds.iter().any(of_rules),
            _ => self.is(expected),
        }
    }

    /// Whether it is what the reference expects.
    pub(super) fn is(&self, expected: &Expected) -> bool {
        match (self, expected) {
            (Self::Refused(kind), Expected::Refused(kinds)) => kinds.contains(kind),
            (Self::Allowed(own), Expected::Allowed(permits)) => permits.iter().any(|wanted| {
                let named = own.permissions.is_subset(&wanted.permissions)
                    && own.permissions.is_empty() == wanted.permissions.is_empty();
                let own = Allowed { permissions: wanted.permissions.clone(), ..own.clone() };
                named && own == *wanted
            }),
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

/// The compiled case; nothing where a rule of it could never hold on one of its operations, or where something would be
/// public if the file were cut off, which are mistakes.
pub(super) fn snapshot(policy: &Policy, tenants: &[Tenant]) -> Option<Arc<Snapshot>> {
    let sources = sources(policy, tenants);
    match compile(&sources, Carried::nothing()) {
        Ok(compiled) => Some(Arc::new(compiled.snapshot)),
        Err(mistakes) => {
            let words = [
                "refuses everyone",
                "is never known on",
                "nothing would ever be kept",
                "takes paths from what is public",
            ];
            let told = rendered(&mistakes, &sources);
            let errors = told.lines().filter(|line| line.starts_with("error["));
            let odd: Vec<_> = errors.filter(|line| !words.iter().any(|own| line.contains(own))).collect();
            assert!(odd.is_empty(), "{told}\n{policy:?}");
            None
        }
    }
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
        certificate: None,
    };
    let caller = ask.caller.as_ref().map(|(issuer, claims)| {
        Arc::new(VerifiedToken::hypothetical((*issuer).into(), IssuerKind::Keycloak, claims.clone()))
    });
    use_it(&view, caller)
}

/// What was asked on the way to a verdict.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    /// The body, or the name of a look-up.
    pub(super) of_world: Vec<String>,
    pub(super) seats: usize,
}

/// Everything is known before it rules.
pub(super) fn knowing_all(snapshot: &Arc<Snapshot>, judge: &Judge<'_>) -> Verdict {
    let ask = judge.ask;
    let mut known = Known::of_body(Some(Arc::new(ask.body.clone())));
    known.seat(0, seat(ask));
    if let Some(facts) = judge.facts_of_route() {
        for (index, own) in snapshot.apps[0].look_ups.iter().enumerate() {
            let told = match facts.told(&own.name) {
                Told::Found(document) => LookedUp::Found(Arc::new(document.clone())),
                Told::Nothing => LookedUp::Nothing,
                Told::Untold => LookedUp::Unavailable(NoAnswer::Timeout),
            };
            known.learn(0, index, told);
        }
    }
    with_view(ask, |view, caller| {
        let supposed = Supposed { known, now: Timestamp(ask.now), event: None };
        verdict(suppose(snapshot, view, caller, supposed), ask)
    })
}

fn seat(ask: &Ask) -> Seated {
    if ask.seated { Seated::Held } else { Seated::Refused(Which::Named) }
}

/// Nothing is known before it asks, not even who calls.
pub(super) fn asking(snapshot: &Arc<Snapshot>, judge: &Judge<'_>) -> (Verdict, Asked) {
    ruling(snapshot, judge, |_, ruling| verdict(ruling, judge.ask))
}

/// What a request comes to, asked in rounds, for whoever wants more of it than the verdict.
pub(super) fn ruling<T>(
    snapshot: &Arc<Snapshot>,
    judge: &Judge<'_>,
    tell: impl FnOnce(&RequestView<'_>, Ruling) -> T,
) -> (T, Asked) {
    let ask = judge.ask;
    let mut asked = Asked::default();
    with_view(ask, |view, caller| {
        let credential = caller.as_ref().map_or(Credential::Absent, |_| Credential::Bearer(b"a.b.c"));
        let mut ruling = authorize(snapshot, view, credential, Timestamp(ask.now));
        for _round in 0..8 {
            let Ruling::Ask(pending) = ruling else { return (tell(view, ruling), asked) };
            assert!(!pending.questions().is_empty(), "it waits for nothing");
            let answers: Vec<_> =
                pending.questions().iter().map(|own| answer(own, judge, &caller, &mut asked)).collect();
            ruling = pending.settle(view, answers);
        }
        panic!("it asks without end: {asked:?}")
    })
}

fn answer(
    question: &Question,
    judge: &Judge<'_>,
    caller: &Option<Arc<VerifiedToken>>,
    asked: &mut Asked,
) -> Answer {
    match question {
        Question::Verify { .. } => Answer::Verified(Ok(caller.clone().unwrap())),
        Question::Body => {
            asked.of_world.push("body".into());
            Answer::Body(Arc::new(judge.ask.body.clone()))
        }
        Question::LookUp(own) => {
            let name = own.key.namespace.to_string();
            let facts = judge.facts_of_route().unwrap();
            assert_eq!(Ok(own.key.target.to_string()), facts.asked(&name), "what is asked of {name}");
            assert_eq!(*own.key.tenant, *facts.tenant.name, "whose {name} is asked for");
            let answer = match judge.ask.answer(&name) {
                world::Answer::Found(document) => LookedUp::Found(Arc::new(document.clone())),
                world::Answer::Nothing => LookedUp::Nothing,
                world::Answer::None => LookedUp::Unavailable(NoAnswer::Timeout),
            };
            asked.of_world.push(name);
            Answer::LookedUp { app: own.app, look_up: own.look_up, answer }
        }
        Question::Seat { app, .. } => {
            asked.seats += 1;
            Answer::Seated { app: *app, seated: seat(judge.ask) }
        }
        Question::Arrival { .. } | Question::Budget { .. } => panic!("no file has a rate"),
    }
}

fn verdict(ruling: Ruling, ask: &Ask) -> Verdict {
    match ruling {
        Ruling::Permit(permit, _) => Verdict::Allowed(allowed(&permit, ask)),
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

fn allowed(permit: &Permit, ask: &Ask) -> Allowed {
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
    let edits = permit.edits();
    let filter = edits.and_then(|own| own.filters.first());
    Allowed {
        permissions: permit.identity().map(|own| words(&own.permission)).unwrap_or_default(),
        roles: permit.identity().map(|own| words(&own.roles)).unwrap_or_default(),
        headers,
        query,
        masks: edits.iter().flat_map(|own| &own.masks).map(ToString::to_string).collect(),
        kept: filter.map(|own| ask.elements.iter().map(|element| (own.keep)(element)).collect()),
    }
}
