//! The hot path of counting: one request's labels → the series it moves.
//!
//! Finding a series means locks, allocations and bounds. So each thread remembers the series of the label sets
//! it met last, in a table of fixed size where a newcomer takes the place of whoever has the same slot. A hit
//! costs one hash and a few additions.

use std::cell::RefCell;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;
use http::{Method, StatusCode};
use prometheus::{Histogram, IntCounter};

use super::family::{Family, NoSeries, Seconds};
use super::labels::{Bounded, NONE, OTHER, UNPROVEN, Value};
use super::metrics::Metrics;
use crate::outcome::{Ending, Evidence, Outcome, Verdict, is_event};

/// Slots of a thread's table: a power of two, more than a gateway's busy label sets.
const SLOTS: usize = 2048;

thread_local! {
    static TABLE: RefCell<Table> = const { RefCell::new(Table { metrics: 0, slots: Vec::new() }) };
}

/// Counts one ended request.
pub(super) fn record(metrics: &Metrics, outcome: &Outcome) {
    let counted = TABLE.try_with(|table| {
        let Ok(mut table) = table.try_borrow_mut() else { return false };
        table.series(metrics, outcome).is_some_and(|series| {
            series.add(metrics, outcome);
            true
        })
    });
    // The thread is ending: without its table, the slow way.
    if counted != Ok(true) {
        Resolved::new(metrics, outcome).add(metrics, outcome);
    }
}

struct Table {
    /// Which gateway's series these are.
    metrics: u64,
    slots: Vec<Option<Box<Slot>>>,
}

struct Slot {
    key: Key,
    series: Resolved,
}

impl Table {
    fn series(&mut self, metrics: &Metrics, outcome: &Outcome) -> Option<&Resolved> {
        if self.metrics != metrics.id {
            self.metrics = metrics.id;
            self.slots = std::iter::repeat_with(|| None).take(SLOTS).collect();
        }
        let index = usize::try_from(hash(outcome) % SLOTS as u64).ok()?;
        let slot = self.slots.get_mut(index)?;
        match slot {
            Some(slot) if slot.key.fits(outcome) => {}
            _ => {
                let key = Key::of(outcome);
                *slot = Some(Box::new(Slot { key, series: Resolved::new(metrics, outcome) }));
            }
        }
        slot.as_ref().map(|slot| &slot.series)
    }
}

/// Everything about a request that chooses a series.
#[derive(Debug)]
struct Key {
    evidence: Evidence,
    upstream: Option<Arc<str>>,
    method: &'static str,
    status: u16,
    own: Option<&'static str>,
}

impl Key {
    fn of(outcome: &Outcome) -> Self {
        Self {
            evidence: Evidence { caller: None, rule: None, judged: None, ..outcome.evidence.clone() },
            upstream: outcome.upstream_name.clone(),
            method: method(outcome),
            status: outcome.status,
            own: own_reason(outcome),
        }
    }

    fn fits(&self, outcome: &Outcome) -> bool {
        let (a, b) = (&self.evidence, &outcome.evidence);
        self.status == outcome.status
            && same(a.route.as_ref(), b.route.as_ref())
            && same(a.tenant.as_ref(), b.tenant.as_ref())
            && same(a.app.as_ref(), b.app.as_ref())
            && same(a.issuer.as_ref(), b.issuer.as_ref())
            && same(self.upstream.as_ref(), outcome.upstream_name.as_ref())
            && a.verdict == b.verdict
            && self.method == method(outcome)
            && self.own == own_reason(outcome)
    }
}

fn same(a: Option<&Arc<str>>, b: Option<&Arc<str>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a == b,
        (None, None) => true,
        _ => false,
    }
}

fn hash(outcome: &Outcome) -> u64 {
    let evidence = &outcome.evidence;
    let mut state = FixedState::with_seed(0).build_hasher();
    for name in [&evidence.route, &evidence.tenant, &evidence.app, &outcome.upstream_name] {
        name.as_deref().hash(&mut state);
    }
    state.write_u16(outcome.status);
    (method(outcome), own_reason(outcome)).hash(&mut state);
    state.finish()
}

/// The series that a label set moves; what could not be had is left out.
struct Resolved {
    request: Option<IntCounter>,
    tenant: Option<Seconds>,
    route: Option<Histogram>,
    decision: Option<IntCounter>,
    auth_failure: Option<IntCounter>,
    upstream: Option<IntCounter>,
    upstream_time: Option<Histogram>,
    overflow: Vec<IntCounter>,
}

impl Resolved {
    fn add(&self, metrics: &Metrics, outcome: &Outcome) {
        let counters = [&self.request, &self.decision, &self.auth_failure, &self.upstream];
        for counter in counters.into_iter().flatten().chain(&self.overflow) {
            counter.inc();
        }
        if let Some(tenant) = &self.tenant {
            tenant.add(outcome.total);
        }
        if let Some(route) = &self.route {
            route.observe(outcome.total.as_secs_f64());
        }
        if outcome.evidence.verdict.is_some() {
            metrics.decision_duration.observe(outcome.deciding.as_secs_f64());
        }
        if let (Some(histogram), Some(time)) = (&self.upstream_time, outcome.upstream) {
            histogram.observe(Duration::as_secs_f64(&time));
        }
    }

    fn new(metrics: &Metrics, outcome: &Outcome) -> Self {
        let evidence = &outcome.evidence;
        let labels = &metrics.labels;
        let mut lost = Vec::new();
        let mut name = |bounded: &Bounded, value: Option<&Arc<str>>, absent| {
            let own = bounded.value(value.map(|value| &**value), absent);
            if own == Value::Folded {
                lost.push(bounded.label);
            }
            own.as_str().to_owned()
        };
        let tenant = name(&labels.tenants, evidence.tenant.as_ref(), UNPROVEN);
        let app = name(&labels.apps, evidence.app.as_ref(), NONE);
        let route = name(&labels.routes, evidence.route.as_ref(), NONE);
        let issuer = name(&labels.issuers, evidence.issuer.as_ref(), NONE);
        let upstream = outcome.upstream_name.as_ref().map(|up| name(&labels.upstreams, Some(up), NONE));
        let code = code(outcome.status);
        let method = method(outcome);
        let request = metrics.requests.get(&[&tenant, &app, &route, method, &code]).or_else(|why| {
            if why == NoSeries::Full {
                lost.push(labels.routes.label);
            }
            metrics.requests.get_always(&[OTHER, &app, OTHER, method, &code])
        });
        Self {
            request: request.ok(),
            tenant: metrics.tenant_seconds.get(&[&tenant, &app]).ok(),
            route: metrics.request_duration.get(&[&route]).ok(),
            decision: evidence
                .verdict
                .and_then(|verdict| decision(&metrics.decisions, &tenant, &app, verdict)),
            auth_failure: unidentified(outcome)
                .and_then(|reason| metrics.auth_failures.get(&[&issuer, reason]).ok()),
            upstream: upstream.as_ref().and_then(|upstream| {
                let code = if own_reason(outcome).is_some() { NONE } else { &code };
                metrics.upstream_requests.get(&[upstream, code]).ok()
            }),
            upstream_time: upstream.and_then(|upstream| metrics.upstream_duration.get(&[&upstream]).ok()),
            overflow: lost.iter().filter_map(|label| metrics.overflow.get(&[label]).ok()).collect(),
        }
    }
}

fn decision(family: &Family<IntCounter>, tenant: &str, app: &str, verdict: Verdict) -> Option<IntCounter> {
    let (effect, reason) = (verdict.effect.as_str(), verdict.reason);
    let series = family.get(&[tenant, app, effect, reason]);
    series.or_else(|_| family.get_always(&[OTHER, app, effect, reason])).ok()
}

/// The reason, if the gateway answered on its own.
fn own_reason(outcome: &Outcome) -> Option<&'static str> {
    match outcome.ending {
        Ending::Own(reason) => Some(reason),
        Ending::Answered | Ending::ClientLeft | Ending::UpstreamBroke | Ending::AnswerWithheld => None,
    }
}

/// The reason, if the caller could not be identified.
fn unidentified(outcome: &Outcome) -> Option<&'static str> {
    let keys_missing = crate::token::TokenError::KeysUnavailable.reason();
    own_reason(outcome)
        .filter(|reason| outcome.status == StatusCode::UNAUTHORIZED.as_u16() || *reason == keys_missing)
}

/// The method from a closed list: a client can make up others.
fn method(outcome: &Outcome) -> &'static str {
    if outcome.method.as_ref().is_some_and(is_event) {
        return "EMIT";
    }
    match outcome.method {
        Some(Method::GET) => "GET",
        Some(Method::HEAD) => "HEAD",
        Some(Method::POST) => "POST",
        Some(Method::PUT) => "PUT",
        Some(Method::PATCH) => "PATCH",
        Some(Method::DELETE) => "DELETE",
        Some(Method::OPTIONS) => "OPTIONS",
        _ => OTHER,
    }
}

/// The status, if it is one: an upstream can make up others.
fn code(status: u16) -> String {
    if (100..600).contains(&status) { status.to_string() } else { OTHER.to_owned() }
}
