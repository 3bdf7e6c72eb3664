//! One request of a row, decided as `can` decides: a caller whom nobody verified, and what is known of him and of what he
//! asks for. His token is judged by what it says, as its issuer's are; nobody signs it.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use super::table::{Expected, Row, SeatStated};
use crate::analysis::posed::put;
use crate::authorize::{Permit, Ruling, Supposed, suppose};
use crate::fact::Source;
use crate::json::Pointer;
use crate::policy::lookup::LookedUp;
use crate::policy::{App, Known};
use crate::rejection::Rejection;
use crate::request::{CanonicalPath, Host, Query, RequestView, Timestamp};
use crate::seat::{Seated, Which};
use crate::snapshot::{OperationRef, Snapshot};
use crate::token::{Issuer, IssuerKind, VerifiedToken, would_accept};

/// A moment at which no token of a table has expired.
const NOW: Timestamp = Timestamp(1_800_000_000);
/// Somebody's address, in no network that rules name.
const PEER: &str = "203.0.113.200";

/// What became of a request.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Allowed, denied or missing.
    pub found: Expected,
    /// Why, in the words of the log.
    pub why: String,
    /// What is wrong with what an allowed request carries along, if anything.
    pub odd: Vec<String>,
}

/// Decides; the error is a sentence about the row.
pub(super) fn decide(
    snapshot: &Arc<Snapshot>,
    at: usize,
    row: &Row,
    request: &str,
) -> Result<Outcome, String> {
    let app = snapshot.apps.get(at).ok_or("there is no such app")?;
    let (method, target) =
        request.split_once(' ').ok_or_else(|| format!("`{request}` isn't METHOD /path"))?;
    let opening = app.socket.as_ref().map(|own| own.path.to_string()).unwrap_or_default();
    let (method, target, event) = match method {
        "EMIT" => match app.events.get(target) {
            Some(operation) => {
                ("GET", opening.as_str(), Some(OperationRef { app: at, operation: *operation }))
            }
            None => return Ok(Outcome::of(Expected::Missing, "no such event")),
        },
        method => (method, target, None),
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers = headers(row)?;
    let host = app.hosts.first().map_or("gateway.invalid", |host| host);
    let view = RequestView {
        method: &Method::from_bytes(method.as_bytes()).map_err(|_| format!("`{method}` is no method"))?,
        host: &Host::parse(host).map_err(|why| why.to_string())?,
        path: &CanonicalPath::parse(path).map_err(|why| format!("`{path}`: {why}"))?,
        query: Query::parse(query).map_err(|why| format!("`{query}`: {why}"))?,
        headers: &headers,
        client: peer(row)?,
        certificate: None,
    };
    let issuer = snapshot.verifier.issuers().find(|own| *own.name == *app.issuer);
    let issuer = issuer.ok_or_else(|| format!("`{}` is no issuer of gateway.toml", app.issuer))?;
    let claims = claims(app, issuer, row);
    if let Err(why) = would_accept(issuer, &claims, NOW) {
        return Ok(Outcome::of(Expected::Deny, &why.to_string()));
    }
    let caller = VerifiedToken::hypothetical(app.issuer.clone(), issuer.kind, claims);
    let caller = (!row.stated.anonymous).then(|| Arc::new(caller));
    let supposed = Supposed { known: known(app, at, row)?, now: NOW, event };
    Ok(outcome(suppose(snapshot, &view, caller, supposed), row))
}

impl Outcome {
    fn of(found: Expected, why: &str) -> Self {
        Self { found, why: why.to_owned(), odd: Vec::new() }
    }
}

fn outcome(ruling: Ruling, row: &Row) -> Outcome {
    match &ruling {
        Ruling::Permit(permit, evidence) => {
            let why = evidence.verdict.map_or("", |own| own.reason);
            Outcome { odd: odd(permit, row), ..Outcome::of(Expected::Allow, why) }
        }
        Ruling::Refuse(rejection, evidence) => {
            let found = match rejection {
                Rejection::NoRoute | Rejection::MethodNotAllowed { .. } => Expected::Missing,
                _ => Expected::Deny,
            };
            Outcome::of(found, evidence.verdict.map_or(rejection.reason(), |own| own.reason))
        }
        Ruling::Ask(_) => Outcome::of(Expected::Deny, "unanswered"),
    }
}

/// What the row says of an allowed request's obligations, and isn't so.
fn odd(permit: &Permit, row: &Row) -> Vec<String> {
    let mut odd = Vec::new();
    let query = permit.target().split_once('?').map_or("", |(_, query)| query);
    let sent: Vec<String> =
        query.split('&').map(|pair| percent_decode_str(pair).decode_utf8_lossy().into_owned()).collect();
    for pair in row.sends.iter().filter(|pair| !sent.contains(pair)) {
        odd.push(format!("the app isn't asked for {pair}, but for {query:?}"));
    }
    for pair in &row.sends {
        let key = pair.split_once('=').map_or(pair.as_str(), |(key, _)| key);
        if sent.iter().filter(|own| own.split_once('=').is_some_and(|(own, _)| own == key)).count() > 1 {
            odd.push(format!("the app is told `{key}` twice"));
        }
    }
    let given = permit.supplied().iter().map(|(name, value)| {
        format!(
            "{name}: {}",
            percent_decode_str(&String::from_utf8_lossy(value.as_bytes())).decode_utf8_lossy()
        )
    });
    let given: Vec<String> = given.collect();
    for header in row.gives.iter().filter(|header| !given.contains(header)) {
        odd.push(format!("the app isn't given `{header}`, but [{}]", given.join(", ")));
    }
    if let Some(hides) = &row.hides {
        let masks = permit.edits().map(|edits| edits.masks.as_slice()).unwrap_or_default();
        let mut hidden: Vec<String> = masks.iter().map(ToString::to_string).collect();
        let mut hides = hides.clone();
        hidden.sort();
        hides.sort();
        if hidden != hides {
            odd.push(format!("hidden are [{}]", hidden.join(", ")));
        }
    }
    if let Some((items, sees)) = &row.lists {
        let filters = permit.edits().map(|edits| edits.filters.as_slice()).unwrap_or_default();
        let kept = items.iter().filter(|item| filters.iter().all(|own| (own.keep)(item)));
        let kept: Vec<&str> = kept.filter_map(|item| item.get("id")?.as_str()).collect();
        if kept != *sees {
            odd.push(format!("seen are [{}]", kept.join(", ")));
        }
    }
    odd
}

/// What the row takes for found out.
fn known(app: &App, at: usize, row: &Row) -> Result<Known, String> {
    let mut known = Known::default();
    known.body = row.stated.body.clone().map(Arc::new);
    let mut answers: Vec<(usize, Map<String, Value>)> = Vec::new();
    let mut say = |name: &str, value: &Value| {
        let fact = app.facts.iter().find(|fact| *fact.name == *name);
        let Some(Source::LookUp { look_up, at }) = fact.map(|fact| &fact.source) else {
            return Err(format!("`{name}` is nothing that `{}` is asked", app.name));
        };
        let index = answers.iter().position(|(own, _)| own == look_up).unwrap_or_else(|| {
            answers.push((*look_up, Map::new()));
            answers.len() - 1
        });
        if let Some((_, answer)) = answers.get_mut(index) {
            put(answer, &path(at), value.clone());
        }
        Ok(())
    };
    for (name, value, _) in &row.stated.with {
        say(name, value)?;
    }
    let roles = app.facts.get(app.roles_fact);
    if let (Some(role), Some(Source::LookUp { .. }), Some(fact)) =
        (row.roles.first(), roles.map(|fact| &fact.source), roles)
    {
        say(&fact.name, &json!(role))?;
    }
    for (look_up, answer) in answers {
        known.learn(at, look_up, LookedUp::Found(Arc::new(Value::Object(answer))));
    }
    match row.stated.seat {
        None => {}
        Some(SeatStated::Over) => known.seat(at, Seated::Over(Which::Named)),
        Some(SeatStated::Refused) => known.seat(at, Seated::Refused(Which::Named)),
    }
    Ok(known)
}

fn path(at: &Pointer) -> Vec<Box<str>> {
    at.segments().map(Into::into).collect()
}

fn headers(row: &Row) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in &row.stated.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is no header"))?;
        let value = HeaderValue::from_str(value).map_err(|_| format!("`{value}` is no header's value"))?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn peer(row: &Row) -> Result<IpAddr, String> {
    let peer = row.stated.peer.as_deref().unwrap_or(PEER);
    peer.parse().map_err(|_| format!("`{peer}` is no address"))
}

/// The claims of an access token that the issuer would make for this caller now; what the row states stands over them.
fn claims(app: &App, issuer: &Issuer, row: &Row) -> Map<String, Value> {
    let stated = &row.stated.claims;
    let tenant = stated.get("tid").and_then(Value::as_str).unwrap_or_default();
    let iss = issuer.issuer.replace("{tenantid}", tenant);
    let made = json!({ "iss": iss, "aud": issuer.audience, "iat": NOW.0 - 60, "exp": NOW.0 + 600, "sub": "someone" });
    let mut claims = made.as_object().cloned().unwrap_or_default();
    if issuer.kind == IssuerKind::Keycloak {
        claims.insert("typ".to_owned(), json!("Bearer"));
        claims.insert("azp".to_owned(), json!(issuer.audience.first()));
    }
    claims.extend(stated.clone());
    if let Some(Source::Token(path)) = app.facts.get(app.roles_fact).map(|fact| &fact.source)
        && !row.roles.is_empty()
    {
        put(&mut claims, path, json!(row.roles));
    }
    claims
}
