//! A request that nobody sent, put together from what an operator states: roles, a tenant, facts. It is decided by the
//! same path as a real one; what the statement leaves open is unknown there too.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use percent_encoding::utf8_percent_encode;
use serde_json::{Map, Value, json};

use super::Exit;
use crate::authorize::{Ruling, Supposed, suppose};
use crate::config::Diagnostic;
use crate::config::diagnostic::{Span, code};
use crate::fact::{Certified, Fact, Source, Type};
use crate::json::Pointer;
use crate::policy::lookup::LookedUp;
use crate::policy::{App, Known, Operand, TenantRule};
use crate::request::{CanonicalPath, ClientCertificate, Host, Query, RequestView, Timestamp};
use crate::route::{Match, Verb};
use crate::snapshot::{OperationRef, Snapshot};
use crate::token::{IssuerKind, VerifiedToken};

/// What an operator asks about.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Stated {
    /// The app, where several share the route
    #[arg(long, value_name = "APP")]
    pub(super) app: Option<String>,
    /// The tenant that is acted for, by its name or id; the caller is taken to be at home there
    #[arg(long, value_name = "TENANT")]
    pub(super) tenant: Option<String>,
    /// A role that the caller holds, by its name in the rule file; repeatable
    #[arg(long = "role", value_name = "ROLE")]
    pub(super) roles: Vec<String>,
    /// A fact that conditions read, such as token.azp=keyfax or header.x-view=a/b; a set's members are separated by commas
    #[arg(long = "with", value_name = "FACT=VALUE")]
    pub(super) with: Vec<String>,
    /// A real token, verified with the issuers' keys of now; from standard input if it is `-`
    #[arg(long, value_name = "TOKEN", conflicts_with_all = ["roles"])]
    pub(super) token: Option<String>,
    /// No token at all
    #[arg(long, conflicts_with_all = ["roles", "token"])]
    pub(super) anonymous: bool,
}

/// Why there is nothing to decide, and how the verb ends.
#[derive(Debug)]
pub(super) struct Unposed {
    pub(super) why: String,
    pub(super) exit: Exit,
}

impl From<String> for Unposed {
    fn from(why: String) -> Self {
        Self { why, exit: Exit::Usage }
    }
}

/// A stated request, ready to be decided.
#[derive(Debug)]
pub(super) struct Hypothesis {
    method: Method,
    target: String,
    host: Host,
    headers: HeaderMap,
    client: IpAddr,
    certificate: Option<ClientCertificate>,
    caller: Option<Arc<VerifiedToken>>,
    answers: Answers,
    /// What was taken for granted because a tenant was named.
    pub(super) assumed: Vec<String>,
}

impl Hypothesis {
    /// Puts a request together; the error is a sentence for the operator.
    pub(super) fn of(
        snapshot: &Arc<Snapshot>,
        asked: &Stated,
        method: &str,
        target: &str,
    ) -> Result<Self, Unposed> {
        let event = if method == "EMIT" { Some(the_event(snapshot, asked, target)?) } else { None };
        let opening =
            event.and_then(|at| snapshot.operation(at)).map(|(app, own)| app.path_of(own).to_string());
        let (method, target) = match &opening {
            Some(path) => ("GET", path.as_str()),
            None => (method, target),
        };
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| format!("`{method}` is no method"))?;
        let (path, _) = target.split_once('?').unwrap_or((target, ""));
        let canonical =
            CanonicalPath::parse(path).map_err(|why| format!("`{path}`: {why}; a gateway answers 400"))?;
        let app = match event {
            Some(at) => snapshot.apps.get(at.app),
            None => the_app(snapshot, asked, &method, &canonical)?,
        };
        let host = app.and_then(|app| app.hosts.first()).map_or("gateway.invalid", |host| host);
        let mut hypothesis = Self {
            method,
            target: target.to_owned(),
            host: Host::parse(host).map_err(|why| why.to_string())?,
            headers: HeaderMap::new(),
            client: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            certificate: None,
            caller: None,
            answers: Answers { event, ..Answers::default() },
            assumed: Vec::new(),
        };
        let Some(app) = app else { return Ok(hypothesis) };
        hypothesis.answers.app = snapshot.apps.iter().position(|own| own.name == app.name);
        hypothesis.take_for_granted(app, &asked.with);
        let mut claims = Map::from_iter([("sub".to_owned(), json!("someone"))]);
        hypothesis.roles(app, &asked.roles, &mut claims)?;
        for stated in &asked.with {
            let (name, value) =
                stated.split_once('=').ok_or_else(|| format!("`{stated}` isn't FACT=VALUE"))?;
            let is_roles = app.facts.get(app.roles_fact).is_some_and(|fact| *fact.name == *name.trim());
            if is_roles && !asked.roles.is_empty() {
                return Err(
                    format!("`--role` and `--with {stated}` both say which roles the caller holds").into()
                );
            }
            hypothesis.state(app, name.trim(), value.trim(), &mut claims)?;
        }
        if let Some(tenant) = &asked.tenant {
            hypothesis.at_home(snapshot, app, tenant, &mut claims)?;
        }
        if let Some(token) = &asked.token {
            if asked.with.iter().any(|stated| stated.starts_with("token.")) {
                return Err("what a real token says can't be stated with --with".to_owned().into());
            }
            hypothesis.caller = Some(super::token::verified(snapshot, token)?);
            hypothesis.assumed.retain(|assumed| !assumed.starts_with("token."));
        } else if !asked.anonymous {
            let kind = snapshot
                .gateway
                .issuers
                .iter()
                .find(|own| own.name == app.issuer)
                .map_or(IssuerKind::Oidc, |own| own.kind);
            hypothesis.caller = Some(Arc::new(VerifiedToken::hypothetical(app.issuer.clone(), kind, claims)));
        }
        Ok(hypothesis)
    }

    /// Says what stands for an address and a moment that the rules read and nobody stated.
    fn take_for_granted(&mut self, app: &App, with: &[String]) {
        let reads = |sources: &[Source]| app.facts.iter().any(|fact| sources.contains(&fact.source));
        let is_stated = |name: &str| with.iter().any(|stated| stated.trim_start().starts_with(name));
        if reads(&[Source::ClientIp]) && !is_stated("client.ip") {
            self.assumed.push("client.ip = 0.0.0.0".to_owned());
        }
        if reads(&[Source::ClientTime, Source::ClientWeekday]) && !is_stated("client.time") {
            self.assumed.push("client.time = now".to_owned());
        }
    }

    /// Decides, and hands the request to whoever explains the ruling.
    pub(super) fn decide<T>(
        &self,
        snapshot: &Snapshot,
        tell: impl FnOnce(&RequestView<'_>, Ruling) -> T,
    ) -> Result<T, Unposed> {
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let path = CanonicalPath::parse(path).map_err(|why| why.to_string())?;
        let view = RequestView {
            method: &self.method,
            host: &self.host,
            path: &path,
            query: Query::parse(query).map_err(|why| why.to_string())?,
            headers: &self.headers,
            client: self.client,
            certificate: self.certificate.as_ref(),
        };
        let ruling = suppose(snapshot, &view, self.caller.clone(), self.supposed());
        Ok(tell(&view, ruling))
    }

    fn supposed(&self) -> Supposed {
        let body = self.answers.body.clone().map(|body| Arc::new(Value::Object(body)));
        let mut known = Known::of_body(body);
        for (look_up, answer) in &self.answers.looked_up {
            let found = LookedUp::Found(Arc::new(Value::Object(answer.clone())));
            known.learn(self.answers.app.unwrap_or_default(), *look_up, found);
        }
        Supposed { known, now: self.answers.now.unwrap_or_else(now), event: self.answers.event }
    }

    fn roles(&mut self, app: &App, roles: &[String], claims: &mut Map<String, Value>) -> Result<(), String> {
        let Some(fact) = app.facts.get(app.roles_fact).filter(|_| !roles.is_empty()) else { return Ok(()) };
        let mut strings = Vec::new();
        for name in roles {
            let names = app.roles.iter().map(|role| &*role.name);
            let (_, role) = app
                .role(name)
                .ok_or_else(|| unknown(&format!("app `{}` has no role `{name}`", app.name), name, names))?;
            strings.extend(role.claims.first().map(|claim| json!(&**claim)));
        }
        let value = match (fact.kind, strings.len()) {
            (Type::String, 1) => strings.remove(0),
            (Type::String, _) => return Err(format!("`{}` holds one role", fact.name)),
            _ => Value::Array(strings),
        };
        match &fact.source {
            Source::Token(path) => put(claims, path, value),
            Source::LookUp { look_up, at } => self.answers.say(*look_up, at, value),
            _ => {}
        }
        Ok(())
    }

    fn state(
        &mut self,
        app: &App,
        name: &str,
        value: &str,
        claims: &mut Map<String, Value>,
    ) -> Result<(), String> {
        if name == "client.ip" {
            self.client = value.parse().map_err(|_| format!("`{value}` is no address"))?;
            return Ok(());
        }
        let known = app.facts.iter().find(|fact| *fact.name == *name);
        let names = app.facts.iter().map(|fact| &*fact.name);
        let fact = known.ok_or_else(|| {
            unknown(&format!("the rules of `{}` read no fact `{name}`", app.name), name, names)
        })?;
        self.set(fact, value, claims)
    }

    fn set(&mut self, fact: &Fact, value: &str, claims: &mut Map<String, Value>) -> Result<(), String> {
        match &fact.source {
            Source::Token(path) => {
                put(claims, path, claim(fact, value)?);
                // The caller's application has three names in tokens, of which `client` is derived.
                if *fact.name == *"token.client" {
                    claims.insert("azp".into(), json!(value));
                }
            }
            Source::Header(name) => {
                let name =
                    HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is no header"))?;
                let value =
                    HeaderValue::from_str(value).map_err(|_| format!("`{value}` is no header value"))?;
                self.headers.append(name, value);
            }
            Source::Query(key) => {
                let more = if self.target.contains('?') { '&' } else { '?' };
                let plain = percent_encoding::NON_ALPHANUMERIC;
                let (key, value) = (utf8_percent_encode(key, plain), utf8_percent_encode(value, plain));
                self.target = format!("{}{more}{key}={value}", self.target);
            }
            Source::Path(_) => return Err(format!("`{}` is said by the path", fact.name)),
            Source::Tenant(_) => return Err(format!("`{}` is said by tenants.toml", fact.name)),
            Source::ClientIp => {
                self.client = value.parse().map_err(|_| format!("`{value}` is no address"))?
            }
            Source::ClientCertificate(part) => {
                let own = self.certificate.get_or_insert_default();
                match part {
                    Certified::Subject => own.subject = Some(value.into()),
                    Certified::Thumbprint => own.thumbprint = Some(value.into()),
                }
            }
            Source::ClientTime => self.answers.now = moment(value)?,
            Source::ClientWeekday => return Err("the day of the week is said by client.time".to_owned()),
            Source::Body(at) => put_at(self.answers.body.get_or_insert_default(), at, claim(fact, value)?),
            Source::LookUp { look_up, at } => self.answers.say(*look_up, at, claim(fact, value)?),
        }
        Ok(())
    }

    /// Names the tenant where the app looks for it, and makes the caller one of its own unless that was stated.
    fn at_home(
        &mut self,
        snapshot: &Snapshot,
        app: &App,
        tenant: &str,
        claims: &mut Map<String, Value>,
    ) -> Result<(), String> {
        let by_id =
            snapshot.directory.tenants().iter().find(|own| own.ids().iter().any(|id| **id == *tenant));
        let names = snapshot.directory.tenants().iter().map(|own| &*own.name);
        let tenant = snapshot
            .directory
            .named(tenant)
            .or(by_id)
            .ok_or_else(|| unknown(&format!("there is no tenant `{tenant}`"), tenant, names))?;
        let id = tenant.ids().first().map_or("", |id| id);
        let TenantRule::From { sources, .. } = &app.tenant else { return Ok(()) };
        let facts = |index: &usize| app.facts.get(*index);
        if let Some(fact) = sources
            .iter()
            .filter_map(facts)
            .find(|fact| matches!(fact.source, Source::Header(_) | Source::Query(_)))
        {
            let stated = match &fact.source {
                Source::Header(name) => self.headers.contains_key(&**name),
                _ => false,
            };
            if !stated {
                self.set(fact, id, claims)?;
                self.assumed.push(format!("{} = '{id}'", fact.name));
            }
        }
        let mut home: Vec<usize> = sources.to_vec();
        for named in &app.conditions {
            named.condition.leaves(&app.conditions, &mut |leaf| {
                let ids = |index: usize| {
                    facts(&index).is_some_and(|fact| fact.source == Source::Tenant("ids".into()))
                };
                if matches!(leaf.operand, Operand::Fact(other) if ids(other)) {
                    home.push(leaf.fact);
                }
            });
        }
        for fact in home.iter().filter_map(facts) {
            let Source::Token(path) = &fact.source else { continue };
            if get(claims, path).is_none() {
                put(claims, path, claim(fact, id)?);
                self.assumed.push(format!("{} = '{id}'", fact.name));
            }
        }
        Ok(())
    }
}

/// What is said to have been found out: an object for each look-up, and the body.
#[derive(Debug, Default)]
struct Answers {
    now: Option<Timestamp>,
    app: Option<usize>,
    body: Option<Map<String, Value>>,
    looked_up: Vec<(usize, Map<String, Value>)>,
    event: Option<OperationRef>,
}

impl Answers {
    fn say(&mut self, look_up: usize, at: &Pointer, value: Value) {
        let known = self.looked_up.iter().position(|(own, _)| *own == look_up);
        let index = known.unwrap_or_else(|| {
            self.looked_up.push((look_up, Map::new()));
            self.looked_up.len() - 1
        });
        if let Some((_, answer)) = self.looked_up.get_mut(index) {
            put_at(answer, at, value);
        }
    }
}

/// The event of this name: of the named app's socket, or of the first that has it.
fn the_event(snapshot: &Snapshot, asked: &Stated, name: &str) -> Result<OperationRef, String> {
    let is_asked = |app: &App| asked.app.as_deref().is_none_or(|own| *own == *app.name);
    let apps = || snapshot.apps.iter().enumerate().filter(|(_, app)| is_asked(app));
    let found = apps().find_map(|(index, app)| Some((index, *app.events.get(name)?)));
    let names = apps().flat_map(|(_, app)| app.events.keys()).map(|own| &**own);
    found
        .map(|(app, operation)| OperationRef { app, operation })
        .ok_or_else(|| unknown(&format!("no socket has an event `{name}`"), name, names))
}

/// The app that is asked about: the named one, or the first that has the route and every role that was stated.
fn the_app<'s>(
    snapshot: &'s Snapshot,
    asked: &Stated,
    method: &Method,
    path: &CanonicalPath<'_>,
) -> Result<Option<&'s App>, String> {
    let claimants = claimants(snapshot, asked, method, path);
    let Some(name) = &asked.app else {
        let fits = |app: &&&App| asked.roles.iter().all(|role| app.role(role).is_some());
        return Ok(claimants.iter().find(fits).or(claimants.first()).copied());
    };
    let names = snapshot.apps.iter().map(|app| &*app.name);
    let named =
        snapshot.app(name).ok_or_else(|| unknown(&format!("there is no app `{name}`"), name, names))?;
    match claimants.first() {
        Some(other) if !claimants.iter().any(|app| app.name == named.name) => {
            Err(format!("`{method} {}` is an operation of `{}`, not of `{name}`", path.raw(), other.name))
        }
        _ => Ok(Some(named)),
    }
}

/// The apps that have the route: on the named app's hosts, or on any.
fn claimants<'s>(
    snapshot: &'s Snapshot,
    asked: &Stated,
    method: &Method,
    path: &CanonicalPath<'_>,
) -> Vec<&'s App> {
    let named = asked.app.as_deref().and_then(|name| snapshot.app(name));
    let of_named: Vec<&str> = named.into_iter().flat_map(|app| &app.hosts).map(|host| &**host).collect();
    let of_all = snapshot.apps.iter().flat_map(|app| app.hosts.iter().map(|host| &**host));
    let hosts = of_named.into_iter().chain(of_all).chain(["gateway.invalid"]);
    for host in hosts.filter_map(|host| Host::parse(host).ok()) {
        if let Match::Operations(found) = snapshot.routes.find(&host, path, Verb::of(method)) {
            return found.iter().filter_map(|at| snapshot.apps.get(at.app)).collect();
        }
    }
    Vec::new()
}

/// A sentence with the nearest name.
fn unknown<'n>(sentence: &str, wrong: &str, names: impl Iterator<Item = &'n str>) -> String {
    let nowhere = Span { file: 0, start: 0, end: 0 };
    let help = Diagnostic::error(code::UNKNOWN_FACT, "").nearest(nowhere, wrong, names).help;
    help.map_or_else(|| sentence.to_owned(), |help| format!("{sentence}; {help}"))
}

fn claim(fact: &Fact, value: &str) -> Result<Value, String> {
    let odd = || format!("`{value}` is no {} for `{}`", fact.kind, fact.name);
    Ok(match fact.kind {
        Type::Bool => json!(value.parse::<bool>().map_err(|_| odd())?),
        Type::Int => json!(value.parse::<i64>().map_err(|_| odd())?),
        Type::Set => json!(value.split(',').filter(|item| !item.is_empty()).collect::<Vec<_>>()),
        Type::String | Type::Node | Type::Ip => json!(value),
        Type::Time => json!(value.parse::<jiff::Timestamp>().map_err(|_| odd())?.to_string()),
        Type::Nets => return Err(odd()),
    })
}

pub(super) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    Timestamp(since.map_or(0, |since| since.as_secs()))
}

/// A moment as `--with client.time=…` says it.
fn moment(value: &str) -> Result<Option<Timestamp>, String> {
    let at: jiff::Timestamp =
        value.parse().map_err(|_| format!("`{value}` is no moment; write 2027-01-31T08:00:00Z"))?;
    Ok(u64::try_from(at.as_second()).ok().map(Timestamp))
}

fn put_at(document: &mut Map<String, Value>, at: &Pointer, value: Value) {
    let path: Vec<Box<str>> = at.segments().map(Into::into).collect();
    put(document, &path, value);
}

/// Puts a value at a path of members, making the objects on the way.
pub(super) fn put(claims: &mut Map<String, Value>, path: &[Box<str>], value: Value) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        claims.insert(first.to_string(), value);
        return;
    }
    let inner = claims.entry(first.to_string()).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(inner) = inner {
        put(inner, rest, value);
    }
}

fn get<'c>(claims: &'c Map<String, Value>, path: &[Box<str>]) -> Option<&'c Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(claims.get(&**first)?, |value, key| value.get(&**key))
}
