//! A request that nobody sent, put together from what an operator states: roles, a tenant, facts. It is decided by the
//! same path as a real one; what the statement leaves open is unknown there too.

use std::net::IpAddr;
use std::sync::Arc;

use http::Method;
use serde_json::{Map, Value, json};

use super::Exit;
use crate::analysis::posed::{Caller, Posed, PosedEvent, Unplaced, put};
use crate::authorize::Ruling;
use crate::config::Diagnostic;
use crate::config::diagnostic::{Span, code};
use crate::fact::{Fact, Source, Type};
use crate::policy::{App, Operand, TenantRule};
use crate::request::{CanonicalPath, Host, RequestView, Timestamp};
use crate::route::{Match, Verb};
use crate::snapshot::{OperationRef, Snapshot};

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

impl Stated {
    /// Whether nothing was stated.
    pub(super) fn is_empty(&self) -> bool {
        let Self { app, tenant, roles, with, token, anonymous } = self;
        let is_someone = app.is_some() || tenant.is_some() || token.is_some() || *anonymous;
        !is_someone && roles.is_empty() && with.is_empty()
    }
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
    pub(super) posed: Posed,
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
        let named = target;
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
        let host = Host::parse(host).map_err(|why| why.to_string())?;
        let mut hypothesis = Self { posed: Posed::new(method, target, host, now()), assumed: Vec::new() };
        let Some(app) = app else { return Ok(hypothesis) };
        hypothesis.posed.event = event.map(|_| PosedEvent { app: (*app.name).into(), name: named.into() });
        hypothesis.take_for_granted(app, &asked.with);
        hypothesis.posed.claims(app);
        hypothesis.roles(app, &asked.roles)?;
        for stated in &asked.with {
            let (name, value) =
                stated.split_once('=').ok_or_else(|| format!("`{stated}` isn't FACT=VALUE"))?;
            let is_roles = app.facts.get(app.roles_fact).is_some_and(|fact| *fact.name == *name.trim());
            if is_roles && !asked.roles.is_empty() {
                return Err(
                    format!("`--role` and `--with {stated}` both say which roles the caller holds").into()
                );
            }
            hypothesis.state(app, name.trim(), value.trim())?;
        }
        if let Some(tenant) = &asked.tenant {
            hypothesis.at_home(snapshot, app, tenant)?;
        }
        if let Some(token) = &asked.token {
            if asked.with.iter().any(|stated| stated.starts_with("token.")) {
                return Err("what a real token says can't be stated with --with".to_owned().into());
            }
            hypothesis.posed.caller = Caller::Verified(super::token::verified(snapshot, token)?);
            hypothesis.assumed.retain(|assumed| !assumed.starts_with("token."));
        } else if asked.anonymous {
            hypothesis.posed.caller = Caller::Nobody;
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
        Ok(self.posed.decide(snapshot, tell).map_err(|why| why.to_string())?)
    }

    fn roles(&mut self, app: &App, roles: &[String]) -> Result<(), String> {
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
        if matches!(fact.source, Source::Token(_) | Source::LookUp { .. }) {
            self.place(app, fact, value)?;
        }
        Ok(())
    }

    fn place(&mut self, app: &App, fact: &Fact, value: Value) -> Result<(), String> {
        let said = value.to_string();
        self.posed.place(app, fact, value).map_err(|why| match why {
            Unplaced::Value => format!("{said} can't be the value of `{}`", fact.name),
            why => format!("`{}` {why}", fact.name),
        })
    }

    fn state(&mut self, app: &App, name: &str, value: &str) -> Result<(), String> {
        if name == "client.ip" {
            self.posed.client = value.parse().map_err(|_| format!("`{value}` is no address"))?;
            return Ok(());
        }
        let known = app.facts.iter().find(|fact| *fact.name == *name);
        let names = app.facts.iter().map(|fact| &*fact.name);
        let fact = known.ok_or_else(|| {
            unknown(&format!("the rules of `{}` read no fact `{name}`", app.name), name, names)
        })?;
        self.set(app, fact, value)
    }

    fn set(&mut self, app: &App, fact: &Fact, value: &str) -> Result<(), String> {
        let value = match &fact.source {
            // What isn't sent as JSON is sent as it is written, whatever its type.
            Source::Header(_) | Source::Query(_) => json!(value),
            Source::ClientIp if value.parse::<IpAddr>().is_err() => {
                return Err(format!("`{value}` is no address"));
            }
            Source::ClientTime if value.parse::<jiff::Timestamp>().is_err() => {
                return Err(format!("`{value}` is no moment; write 2027-01-31T08:00:00Z"));
            }
            Source::Path(_) | Source::Tenant(_) => Value::Null,
            _ => claim(fact, value)?,
        };
        self.place(app, fact, value)
    }

    /// Names the tenant where the app looks for it, and makes the caller one of its own unless that was stated.
    pub(super) fn at_home(&mut self, snapshot: &Snapshot, app: &App, tenant: &str) -> Result<(), String> {
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
                Source::Header(name) => self.posed.headers.contains_key(&**name),
                _ => false,
            };
            if !stated {
                self.set(app, fact, id)?;
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
            if get(self.posed.claims(app), path).is_none() {
                put(self.posed.claims(app), path, claim(fact, id)?);
                self.assumed.push(format!("{} = '{id}'", fact.name));
            }
        }
        Ok(())
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
pub(super) fn unknown<'n>(sentence: &str, wrong: &str, names: impl Iterator<Item = &'n str>) -> String {
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

fn get<'c>(claims: &'c Map<String, Value>, path: &[Box<str>]) -> Option<&'c Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(claims.get(&**first)?, |value, key| value.get(&**key))
}
