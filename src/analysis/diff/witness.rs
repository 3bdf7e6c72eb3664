//! A world as a request that can be made, put to both sides by the one decision path. What both answer is what a row
//! claims, or the row says that it isn't confirmed.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value as Json};

use super::super::posed::{Answered, Caller, Posed, PosedEvent, put};
use super::world::{Var, Whole, World};
use crate::authorize::{Evidence, Permit, Ruling};
use crate::fact::Certified;
use crate::policy::lookup::LookedUp;
use crate::request::{Host, Timestamp};
use crate::route::{Step, Verb};
use crate::snapshot::Snapshot;

/// When requests are made in which time plays no part: the beginning of 2026.
const SOME_TIME: u64 = 1_767_225_600;
/// What stands in a place of the path that no rule reads.
const SOME: &str = "some-1";
/// What doesn't stand for itself in a segment.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where a request leads.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) host: Option<String>,
    pub(super) steps: Vec<Step>,
    pub(super) verb: Verb,
    /// An event of an app's socket, in place of a path.
    pub(super) event: Option<(Arc<str>, Box<str>)>,
}

impl Place {
    /// The text of a segment where nothing is said of it.
    pub(super) fn segment(&self, at: usize) -> Option<String> {
        Some(match self.steps.get(at)? {
            Step::Literal(text) => text.to_string(),
            Step::Other => SOME.to_owned(),
        })
    }

    /// The path, where variables say what stands in it.
    pub(super) fn path(&self, said: &dyn Fn(usize) -> Option<String>) -> String {
        let mut path = String::new();
        for at in 0..self.steps.len() {
            path.push('/');
            let text = said(at).or_else(|| self.segment(at)).unwrap_or_default();
            path.extend(utf8_percent_encode(&text, ENCODED));
        }
        if path.is_empty() { "/".to_owned() } else { path }
    }

    /// The host to ask.
    pub(super) fn host(&self) -> Option<Host> {
        Host::parse(self.host.as_deref().unwrap_or("gateway.invalid")).ok()
    }
}

/// A request of this world, by this caller.
pub(super) fn pose(place: &Place, caller: Caller, vars: &[Var], world: &World) -> Option<Posed> {
    let said = |at: usize| {
        let text = |var: &Var| {
            let found = vars.iter().zip(world).find(|(own, _)| *own == var)?;
            found.1.as_ref()?.as_str()
        };
        let of_rest = |first: usize| {
            let rest = text(&Var::Segment(first, Whole::Rest))?;
            rest.split('/').nth(at - first)
        };
        let own = text(&Var::Segment(at, Whole::One)).or_else(|| (0..=at).find_map(of_rest));
        own.map(str::to_owned)
    };
    let method = Method::from_bytes(place.verb.as_str().as_bytes()).unwrap_or(Method::GET);
    let mut posed = Posed::new(method, place.path(&said), place.host()?, Timestamp(SOME_TIME));
    posed.caller = caller;
    if let Some((app, name)) = &place.event {
        posed.method = Method::GET;
        posed.event = Some(PosedEvent { app: (**app).into(), name: name.clone() });
    }
    for (var, said) in vars.iter().zip(world) {
        if let Some(said) = said {
            say(&mut posed, var, said)?;
        }
    }
    if vars.iter().any(|var| matches!(var, Var::Body(_) | Var::MoreBody)) {
        posed.body = Some(Arc::new(super::world::body(vars, world)));
    }
    Some(posed)
}

/// Has a request say something; nothing where that can't be said.
pub(super) fn say(posed: &mut Posed, var: &Var, said: &Json) -> Option<()> {
    match var {
        Var::Claim(path) => {
            let Caller::Claims(_, claims) = &mut posed.caller else { return Some(()) };
            // The caller's application has another name in tokens.
            if matches!(&**path, [only] if **only == *"client") {
                claims.insert("azp".into(), said.clone());
            }
            put(claims, path, said.clone());
        }
        Var::Header(name) => {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            posed.headers.insert(name, HeaderValue::from_str(said.as_str()?).ok()?);
        }
        Var::Query(key) => {
            let more = if posed.target.contains('?') { '&' } else { '?' };
            let value = said.as_str()?.to_owned();
            let (key, value) =
                (utf8_percent_encode(key, NON_ALPHANUMERIC), utf8_percent_encode(&value, NON_ALPHANUMERIC));
            posed.target = format!("{}{more}{key}={value}", posed.target);
        }
        Var::Answer(app, look_up, at) => answer(posed, (app, look_up), at, said),
        Var::Address => posed.client = said.as_str()?.parse::<IpAddr>().ok()?,
        Var::Certificate(part) => {
            let own = posed.certificate.get_or_insert_default();
            let text = said.as_str()?.into();
            match part {
                Certified::Subject => own.subject = Some(text),
                Certified::Thumbprint => own.thumbprint = Some(text),
            }
        }
        Var::Now => posed.now = Timestamp(u64::try_from(said.as_i64()?).ok()?),
        Var::Body(_) | Var::MoreBody | Var::Segment(..) => {}
    }
    Some(())
}

fn answer(posed: &mut Posed, (app, look_up): (&str, &str), at: &crate::json::Pointer, said: &Json) {
    let is_it = |own: &&mut Answered| *own.app == *app && *own.look_up == *look_up;
    let path: Vec<Box<str>> = at.segments().map(Into::into).collect();
    if posed.answers.iter_mut().find(is_it).is_none() {
        let answer = LookedUp::Found(Arc::new(Json::Object(Map::new())));
        posed.answers.push(Answered { app: app.into(), look_up: look_up.into(), answer });
    }
    if let Some(Answered { answer: LookedUp::Found(found), .. }) = posed.answers.iter_mut().find(is_it)
        && let Json::Object(members) = Arc::make_mut(found)
    {
        put(members, &path, said.clone());
    }
}

/// What a side answers, as far as a caller, an app or an auditor could tell it from another answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether it is let through.
    pub allowed: bool,
    /// In words: why it isn't, or what it carries along.
    pub says: Vec<String>,
    /// Where the rule stands that decided.
    pub rule: Option<Arc<str>>,
}

/// Puts a request to a side.
pub(super) fn ask(snapshot: &Snapshot, posed: &Posed) -> Answer {
    let told = posed.decide(snapshot, |_, ruling| match ruling {
        Ruling::Permit(permit, evidence) => {
            Answer { allowed: true, says: carries(snapshot, &permit, &evidence), rule: evidence.rule.clone() }
        }
        Ruling::Refuse(rejection, evidence) => {
            Answer { allowed: false, says: vec![rejection.reason().to_owned()], rule: evidence.rule.clone() }
        }
        Ruling::Ask(_) => Answer { allowed: false, says: vec!["unanswered".to_owned()], rule: None },
    });
    told.unwrap_or_else(|why| Answer { allowed: false, says: vec![why.reason().to_owned()], rule: None })
}

fn carries(snapshot: &Snapshot, permit: &Permit, evidence: &Evidence) -> Vec<String> {
    let upstream = snapshot.gateway.upstreams.get(permit.upstream());
    let mut says = vec![format!("to {} as {}", upstream.map_or("?", |own| &own.name), permit.target())];
    says.extend(super::super::carried::carried(snapshot, permit, evidence).into_iter().map(|step| step.text));
    says.push(format!("token {:?}", permit.authorization()));
    says.extend(permit.removed().iter().map(|name| format!("{name} removed")));
    says
}
