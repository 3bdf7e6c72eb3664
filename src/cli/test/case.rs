//! One case of a table: a request, decided as `can` decides it, and held against what must become of it. The caller is one
//! whom nobody verified; his token is judged by what it says, as its issuer's are, but nobody signs it.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::answer::{Expected, Found};
use super::stated::Stated;
use crate::analysis::coverage::{self, Part};
use crate::analysis::posed::{Caller, Posed, PosedEvent};
use crate::authorize::{Permit, Ruling};
use crate::cli::hypothesis::Hypothesis;
use crate::config::Span;
use crate::fact::Source;
use crate::policy::App;
use crate::request::{Host, Timestamp};
use crate::snapshot::Snapshot;
use crate::token::{Issuer, IssuerKind, would_accept};

/// A moment at which no token of a table has expired.
const NOW: Timestamp = Timestamp(1_800_000_000);
/// Somebody's address, in no network that rules name.
const PEER: &str = "203.0.113.200";

/// A request, and what must become of it.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// Where it stands.
    pub span: Span,
    /// Its row: `Profile Key, Owner`, or `sara`.
    pub name: String,
    /// What the document or the table says, for whoever reads a failure.
    pub says: String,
    /// The role strings that the caller has.
    pub roles: Vec<String>,
    /// The caller and what he asks for, defaults included.
    pub stated: Stated,
    /// What is looked at.
    pub subject: Subject,
    /// What an allow must carry along.
    pub promised: Promised,
}

/// What a case looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// `METHOD /path`, or `EMIT event`, and what must become of it.
    Request(String, Expected),
    /// A scope of a resource that there must not be: `state-change#manage`.
    Absent(String),
}

/// What an allowed request must carry along.
#[derive(Clone, Debug, Default)]
pub(super) struct Promised {
    /// What the app must be asked: `key=value` pairs of the query.
    pub sends: Vec<String>,
    /// Headers that the app must be given: `name: value`.
    pub gives: Vec<String>,
    /// Fields that are hidden in the answer; all of them.
    pub hides: Option<Vec<String>>,
    /// Elements of a list that the app answers, and the ids of those that the caller sees.
    pub lists: Option<(Vec<Value>, Vec<String>)>,
}

/// What came of a case.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// What is wrong, if anything.
    pub wrong: Vec<String>,
    /// The parts of an app's rules that it tried.
    pub tried: Option<(usize, Vec<Part>)>,
}

impl Case {
    /// The request, or the name of what must be absent.
    pub(super) fn request(&self) -> &str {
        match &self.subject {
            Subject::Request(request, _) => request,
            Subject::Absent(name) => name,
        }
    }

    /// Decides.
    pub(super) fn run(&self, snapshot: &Arc<Snapshot>, at: usize) -> Done {
        let Some(app) = snapshot.apps.get(at) else { return wrong("there is no such app") };
        let (request, expected) = match &self.subject {
            Subject::Request(request, expected) => (request, *expected),
            Subject::Absent(name) => {
                let mut permissions = app.permissions.iter();
                let found = permissions.find(|(_, own)| *own.name == **name);
                let told = found.map(|(_, own)| format!("`{name}` is there, at {}", own.place));
                return Done { wrong: told.into_iter().collect(), tried: None };
            }
        };
        let judged = |found: &Found| {
            let told = || format!("{request}: expected {}, found {}", expected.word(), found.text());
            (!found.is(expected)).then(told)
        };
        match self.pose(snapshot, app, request) {
            Err(Unposed::Why(why)) => wrong(why),
            Err(Unposed::Found(found)) => Done { wrong: judged(&found).into_iter().collect(), tried: None },
            Ok(posed) => {
                let decided = posed.decide(snapshot, |_, ruling| {
                    let mut wrong: Vec<String> = judged(&Found::by(&ruling)).into_iter().collect();
                    if let (Ruling::Permit(permit, _), true) = (&ruling, wrong.is_empty()) {
                        let odd = self.promised.odd(permit);
                        wrong.extend(odd.into_iter().map(|odd| format!("{request}: {odd}")));
                    }
                    Done { wrong, tried: coverage::tried(snapshot, &ruling) }
                });
                decided.unwrap_or_else(|why| wrong(format!("`{request}`: {why}")))
            }
        }
    }

    fn pose(&self, snapshot: &Arc<Snapshot>, app: &App, request: &str) -> Result<Posed, Unposed> {
        let (method, target) =
            request.split_once(' ').ok_or_else(|| format!("`{request}` isn't METHOD /path"))?;
        let event = (method == "EMIT").then(|| PosedEvent { app: (*app.name).into(), name: target.into() });
        let opening = app.socket.as_ref().map(|own| own.path.to_string()).unwrap_or_default();
        let (method, target) = if event.is_some() { ("GET", opening.as_str()) } else { (method, target) };
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| format!("`{method}` is no method"))?;
        let host = app.hosts.first().map_or("gateway.invalid", |host| host);
        let host = Host::parse(host).map_err(|why| why.to_string())?;
        let now =
            self.stated.time.map_or(NOW, |time| Timestamp(u64::try_from(time.as_second()).unwrap_or(0)));
        let mut posed = Posed::new(method, target, host, now);
        posed.event = event;
        posed.client = self.peer()?;
        posed.body = self.stated.body.clone().map(Arc::new);
        posed.seats = self.stated.seat.into_iter().map(|seated| ((*app.name).into(), seated)).collect();
        for (name, value) in &self.stated.headers {
            let name =
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is no header"))?;
            let value =
                HeaderValue::from_str(value).map_err(|_| format!("`{value}` is no header's value"))?;
            posed.headers.append(name, value);
        }
        self.know(snapshot, app, posed)
    }

    /// Says who asks, and what is known of what he asks for.
    fn know(&self, snapshot: &Arc<Snapshot>, app: &App, mut posed: Posed) -> Result<Posed, Unposed> {
        let issuer = snapshot.verifier.issuers().find(|own| *own.name == *app.issuer);
        let issuer = issuer.ok_or_else(|| format!("`{}` is no issuer of gateway.toml", app.issuer))?;
        posed.claims(app).extend(self.stated.claims.clone());
        for (name, value, _) in &self.stated.with {
            let fact = app.facts.iter().find(|fact| *fact.name == *name);
            let fact = fact.ok_or_else(|| format!("`{}` reads no `{name}`", app.name))?;
            posed.place(app, fact, value.clone()).map_err(|why| format!("`{name}` {why}"))?;
        }
        self.hold(app, &mut posed)?;
        if let Some((tenant, _)) = &self.stated.tenant {
            let mut hypothesis = Hypothesis { posed, assumed: Vec::new() };
            hypothesis.at_home(snapshot, app, tenant)?;
            posed = hypothesis.posed;
        }
        let now = posed.now;
        issue(issuer, now, posed.claims(app));
        match &posed.caller {
            _ if self.stated.anonymous => posed.caller = Caller::Nobody,
            Caller::Claims(_, claims) => {
                let refused = would_accept(issuer, claims, now).err();
                if let Some(why) = refused {
                    return Err(Unposed::Found(Found::of(Expected::Deny, why.reason())));
                }
            }
            Caller::Nobody | Caller::Verified(_) => {}
        }
        Ok(posed)
    }

    /// The caller holds his roles: all of them, where a token names them, or one, where the app says which.
    fn hold(&self, app: &App, posed: &mut Posed) -> Result<(), String> {
        let Some(fact) = app.facts.get(app.roles_fact).filter(|_| !self.roles.is_empty()) else {
            return Ok(());
        };
        let value = match fact.source {
            Source::LookUp { .. } => json!(self.roles.first()),
            _ => json!(self.roles),
        };
        posed.place(app, fact, value).map_err(|why| format!("`{}` {why}", fact.name))
    }

    fn peer(&self) -> Result<IpAddr, String> {
        let peer = self.stated.peer.as_deref().unwrap_or(PEER);
        peer.parse().map_err(|_| format!("`{peer}` is no address"))
    }
}

/// Why a case is no request.
enum Unposed {
    Why(String),
    /// It ends before rules are asked.
    Found(Found),
}

impl From<String> for Unposed {
    fn from(why: String) -> Self {
        Self::Why(why)
    }
}

fn wrong(why: impl Into<String>) -> Done {
    Done { wrong: vec![why.into()], tried: None }
}

/// Adds what the issuer puts into every access token; what is stated stands.
fn issue(issuer: &Issuer, now: Timestamp, claims: &mut serde_json::Map<String, Value>) {
    let tenant = claims.get("tid").and_then(Value::as_str).unwrap_or_default();
    let iss = issuer.issuer.replace("{tenantid}", tenant);
    let version = if iss.ends_with("/v2.0") { "2.0" } else { "1.0" };
    let mut say = |name: &str, value: Value| {
        claims.entry(name).or_insert(value);
    };
    say("iss", json!(iss));
    say("aud", json!(issuer.audience));
    say("iat", json!(now.0.saturating_sub(60)));
    say("exp", json!(now.0.saturating_add(600)));
    match issuer.kind {
        IssuerKind::Keycloak => {
            say("typ", json!("Bearer"));
            say("azp", json!(issuer.audience.first()));
        }
        IssuerKind::Entra => {
            say("ver", json!(version));
            say("azp", json!("portal"));
            say("scp", json!("access_as_user"));
            say("oid", json!("someone"));
        }
        IssuerKind::Oidc => {}
    }
}

impl Promised {
    /// What isn't so of an allowed request's obligations.
    fn odd(&self, permit: &Permit) -> Vec<String> {
        let mut odd = self.asked_oddly(permit);
        let given = permit.supplied().iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            format!("{name}: {}", percent_decode_str(&value).decode_utf8_lossy())
        });
        let given: Vec<String> = given.collect();
        for header in self.gives.iter().filter(|header| !given.contains(header)) {
            odd.push(format!("the app isn't given `{header}`, but [{}]", given.join(", ")));
        }
        if let Some(hides) = &self.hides {
            let masks = permit.edits().map(|edits| edits.masks.as_slice()).unwrap_or_default();
            let mut hidden: Vec<String> = masks.iter().map(ToString::to_string).collect();
            let mut hides = hides.clone();
            hidden.sort();
            hides.sort();
            if hidden != hides {
                odd.push(format!("hidden are [{}]", hidden.join(", ")));
            }
        }
        if let Some((items, sees)) = &self.lists {
            let filters = permit.edits().map(|edits| edits.filters.as_slice()).unwrap_or_default();
            let kept = items.iter().filter(|item| filters.iter().all(|own| (own.keep)(item)));
            let kept: Vec<&str> = kept.filter_map(|item| item.get("id")?.as_str()).collect();
            if kept != *sees {
                odd.push(format!("seen are [{}]", kept.join(", ")));
            }
        }
        odd
    }

    fn asked_oddly(&self, permit: &Permit) -> Vec<String> {
        let mut odd = Vec::new();
        let query = permit.target().split_once('?').map_or("", |(_, query)| query);
        let sent: Vec<String> =
            query.split('&').map(|pair| percent_decode_str(pair).decode_utf8_lossy().into_owned()).collect();
        for pair in self.sends.iter().filter(|pair| !sent.contains(pair)) {
            odd.push(format!("the app isn't asked for {pair}, but for {query:?}"));
        }
        for pair in &self.sends {
            let key = pair.split_once('=').map_or(pair.as_str(), |(key, _)| key);
            if sent.iter().filter(|own| own.split_once('=').is_some_and(|(own, _)| own == key)).count() > 1 {
                odd.push(format!("the app is told `{key}` twice"));
            }
        }
        odd
    }
}
