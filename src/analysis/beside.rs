//! What a rule file says beside who may do what, as steps of an explanation: how often, and which pages may read the
//! answer.

use http::Method;

use super::trace::Step;
use crate::authorize::Judged;
use crate::budget::Limit;
use crate::policy::cors::{Cors, Origins};
use crate::policy::limit::held_to;
use crate::policy::{App, Decision, Facts, Operation};
use crate::request::RequestView;
use crate::route::{Match, Verb};
use crate::snapshot::Snapshot;

/// Origins that are named before the rest is counted.
const NAMED: usize = 3;

/// What holds whoever asks: the address's rate, and whose pages may read the answer.
pub(super) fn of_app(app: &App, operation: &Operation) -> Vec<Step> {
    let address = app.limits.as_ref().and_then(|own| own.address.as_ref());
    let address = address.map(|limit| rate(format!("each address: {}", limit.rate), limit));
    let cors = app.cors.as_ref().filter(|_| operation.verb != Verb::Options);
    let cors = cors.map(|cors| pages(cors, "may read the answer"));
    address.into_iter().chain(cors).collect()
}

/// The rates that a permitted request is held to.
pub(super) fn of_caller(app: &App, operation: &Operation, judged: &Judged, facts: &Facts<'_>) -> Vec<Step> {
    let (Some(limits), Some(Decision::Allow(granted))) = (&app.limits, judged.decision) else {
        return Vec::new();
    };
    let tenant = judged.tenant.as_ref().map_or("none", |tenant| &*tenant.name);
    let tenant = limits.tenant.as_ref().map(|own| rate(format!("tenant {tenant}: {}", own.rate), own));
    let held = held_to(app, operation, &judged.roles, granted, facts);
    let several = if held.len() > 1 { ", as long as no other role has room" } else { "" };
    let role = |limit: &&std::sync::Arc<Limit>| {
        let (index, _) = limits.roles.iter().find(|(_, own)| own.id == limit.id)?;
        let name = app.roles.get(*index).map_or("", |role| &*role.name);
        Some(rate(format!("this person as {name}: {}{several}", limit.rate), limit))
    };
    tenant.into_iter().chain(held.iter().filter_map(role)).collect()
}

/// What a browser is told that asks before it sends a page's request, where `OPTIONS` is no operation.
#[must_use]
pub fn beforehand(snapshot: &Snapshot, request: &RequestView<'_>) -> Option<Step> {
    let is_own = |verb| match snapshot.routes.find(request.host, request.path, Some(verb)) {
        Match::Operations(claims) => claims,
        Match::OtherMethods(_) | Match::Nothing => &[],
    };
    if *request.method != Method::OPTIONS || !is_own(Verb::Options).is_empty() {
        return None;
    }
    let mut claims = Verb::ALL.into_iter().flat_map(is_own);
    let cors = claims.find_map(|at| snapshot.operation(*at)?.0.cors.as_ref())?;
    Some(pages(cors, "are told with 204 what they may send, where they ask for a method that the path has"))
}

fn rate(text: String, limit: &Limit) -> Step {
    Step { stage: "limit", text, place: Some(limit.place.clone()), tests: Vec::new() }
}

fn pages(cors: &Cors, may: &str) -> Step {
    let whose = match &cors.origins {
        Origins::Any => "any origin".to_owned(),
        Origins::Listed(listed) => {
            let named: Vec<_> = listed.iter().take(NAMED).filter_map(|own| own.to_str().ok()).collect();
            let more = match listed.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!("{}{more}", named.join(", "))
        }
    };
    let text = format!("pages of {whose} {may}");
    Step { stage: "cors", text, place: Some(cors.place.clone()), tests: Vec::new() }
}
