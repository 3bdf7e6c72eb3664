//! Every metric of the gateway, and what moves it. What each is called and labelled by is in `specs`.
//!
//! Requests are counted through [`Metrics::observe`], which finds its series in a per-thread cache (`cache`).
//! The rest is moved by whoever it happens to: `control` for reloads, `proxy` for connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, Opts, Registry, TextEncoder};

use super::cache;
use super::decisions::DecisionMetrics;
use super::family::{Family, Seconds, Spec};
use super::handshakes::HandshakeFailure;
use super::labels::Bounded;
use super::limits::Limit;
use super::lookups::LookUpSeries;
use super::process::Process;
use super::seats::SeatMetrics;
use super::shadow::ShadowSeries;
use super::specs::*;
use super::upstreams::UpstreamMetrics;
use crate::outcome::{Ending, Outcome};
use crate::request::Timestamp;
use crate::seat::Seating;
use crate::token::KeyStatus;

/// All metrics of one gateway.
#[derive(Debug)]
pub struct Metrics {
    /// Tells several gateways of one process apart, for the per-thread cache.
    pub(super) id: u64,
    registry: Registry,
    pub(super) requests: Family<IntCounter>,
    pub(super) tenant_seconds: Family<Seconds>,
    pub(super) request_duration: Family<Histogram>,
    pub(super) decisions: Family<IntCounter>,
    pub(super) decision_duration: Histogram,
    pub(super) auth_failures: Family<IntCounter>,
    pub(super) upstream_requests: Family<IntCounter>,
    pub(super) upstream_duration: Family<Histogram>,
    pub(super) overflow: Family<IntCounter>,
    pub(super) upstreams: UpstreamMetrics,
    upstream_cut_answers: Family<IntCounter>,
    pub(super) lookups: LookUpSeries,
    reloads: Family<IntCounter>,
    reload_successful: IntGauge,
    config_unexpected: IntGauge,
    reload_timestamp: IntGauge,
    config_info: Family<IntGauge>,
    grants_end: Family<IntGauge>,
    rules_loaded: Family<IntGauge>,
    jwks_keys: Family<IntGauge>,
    jwks_success: Family<IntGauge>,
    jwks_failures: Family<IntCounter>,
    sockets: Family<IntGauge>,
    connections: IntGauge,
    preflights: Family<IntCounter>,
    buckets: IntGauge,
    buckets_shared: IntCounter,
    limit_hits: Family<IntCounter>,
    handshake_failures: Family<IntCounter>,
    certificate_end: Family<IntGauge>,
    proxy_refused: Family<IntCounter>,
    in_flight: IntGauge,
    panics: Family<IntCounter>,
    seats: SeatMetrics,
    pub(super) shadow: ShadowSeries,
    pub(super) decision_log: DecisionMetrics,
    pub(super) labels: Labels,
}

/// The label values seen so far.
#[derive(Debug)]
pub(super) struct Labels {
    pub(super) tenants: Bounded,
    pub(super) apps: Bounded,
    pub(super) routes: Bounded,
    pub(super) issuers: Bounded,
    pub(super) upstreams: Bounded,
}

/// What the gateway was started as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `run`.
    Run,
    /// `dev`: never in production.
    Dev,
}

/// What made the configuration be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// The start of the process.
    Start,
    /// The file system's word.
    Watch,
    /// The regular look at the files.
    Poll,
    /// `SIGHUP`.
    Signal,
    /// `POST /reload`.
    Admin,
}

impl Trigger {
    /// Every trigger.
    pub const ALL: [Self; 5] = [Self::Start, Self::Watch, Self::Poll, Self::Signal, Self::Admin];

    /// The label and the word in the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Watch => "watch",
            Self::Poll => "poll",
            Self::Signal => "signal",
            Self::Admin => "admin",
        }
    }
}

/// A metric's definition is wrong: a mistake in this program, found by its first test.
#[derive(Debug, thiserror::Error)]
#[error("a metric can't be registered: {0}")]
pub struct MetricsError(String);

impl From<prometheus::Error> for MetricsError {
    fn from(why: prometheus::Error) -> Self {
        Self(why.to_string())
    }
}

/// Counts one connection or request for as long as it lives.
#[derive(Debug)]
#[must_use = "the gauge falls when this is dropped"]
pub struct Counted(IntGauge);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// All metrics, at zero.
    pub fn new(mode: Mode) -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let made = Maker { registry: &registry };
        let metrics = Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            requests: made.family(REQUESTS)?,
            tenant_seconds: made.family(TENANT_SECONDS)?,
            request_duration: made.family(REQUEST_DURATION)?,
            decisions: made.family(DECISIONS)?,
            decision_duration: made.histogram(DECISION_DURATION)?,
            auth_failures: made.family(AUTH_FAILURES)?,
            upstream_requests: made.family(UPSTREAM_REQUESTS)?,
            upstream_duration: made.family(UPSTREAM_DURATION)?,
            upstreams: UpstreamMetrics::new(&made)?,
            upstream_cut_answers: made.family(UPSTREAM_CUT_ANSWERS)?,
            lookups: LookUpSeries::new(&made)?,
            overflow: made.family(OVERFLOW)?,
            reloads: made.family(RELOADS)?,
            reload_successful: made.gauge(RELOAD_SUCCESSFUL)?,
            config_unexpected: made.gauge(CONFIG_UNEXPECTED)?,
            reload_timestamp: made.gauge(RELOAD_TIMESTAMP)?,
            config_info: made.family(CONFIG_INFO)?,
            grants_end: made.family(GRANTS_END)?,
            rules_loaded: made.family(RULES_LOADED)?,
            jwks_keys: made.family(JWKS_KEYS)?,
            jwks_success: made.family(JWKS_SUCCESS)?,
            jwks_failures: made.family(JWKS_FAILURES)?,
            sockets: made.family(SOCKETS)?,
            connections: made.gauge(CONNECTIONS)?,
            preflights: made.family(PREFLIGHTS)?,
            buckets: made.gauge(BUCKETS)?,
            buckets_shared: made.counter(BUCKETS_SHARED)?,
            limit_hits: made.family(LIMIT_HITS)?,
            handshake_failures: made.family(HANDSHAKE_FAILURES)?,
            certificate_end: made.family(CERTIFICATE_END)?,
            proxy_refused: made.family(PROXY_REFUSED)?,
            in_flight: made.gauge(IN_FLIGHT)?,
            panics: made.family(PANICS)?,
            seats: SeatMetrics::new(&made)?,
            shadow: ShadowSeries::new(&made)?,
            decision_log: DecisionMetrics::new(&made)?,
            labels: Labels {
                tenants: Bounded::new("tenant", TENANTS_MAX),
                apps: Bounded::new("app", CONFIGURED_MAX),
                routes: Bounded::new("route", ROUTES_MAX),
                issuers: Bounded::new("issuer", CONFIGURED_MAX),
                upstreams: Bounded::new("upstream", CONFIGURED_MAX),
            },
            registry: registry.clone(),
        };
        made.gauge(DEV_MODE)?.set(i64::from(mode == Mode::Dev));
        let build: Family<IntGauge> = made.family(BUILD_INFO)?;
        set(&build, &[env!("CARGO_PKG_VERSION")], 1);
        made.register(Process)?;
        metrics.start_at_zero();
        Ok(metrics)
    }

    /// Known series exist before the first event, so that a rate over the first one isn't lost.
    fn start_at_zero(&self) {
        for trigger in Trigger::ALL {
            for result in [APPLIED, REJECTED] {
                let _ = self.reloads.get(&[result, trigger.as_str()]);
            }
        }
        let _ = self.panics.get(&[]);
        for limit in Limit::ALL {
            let _ = self.limit_hits.get(&[limit.as_str()]);
        }
        let _ = self.proxy_refused.get(&[]);
        for reason in HandshakeFailure::ALL {
            let _ = self.handshake_failures.get(&[reason.as_str()]);
        }
        for bounded in self.labels.all() {
            let _ = self.overflow.get(&[bounded.label]);
        }
    }

    /// Counts one ended request.
    pub fn observe(&self, outcome: &Outcome) {
        cache::record(self, outcome);
        super::record_audit(outcome);
        if let Some(limit) = Limit::of(outcome) {
            self.limit_hit(limit);
        }
        // The status was sent before the answer broke off, so no status tells.
        if matches!(outcome.ending, Ending::UpstreamBroke | Ending::AnswerWithheld) {
            let upstream = outcome.upstream_name.as_deref();
            let upstream = self.labels.upstreams.value(upstream, super::labels::NONE);
            count(&self.upstream_cut_answers, &[upstream.as_str()]);
        }
    }

    /// An open client connection, for as long as the result lives.
    pub fn connection(&self) -> Counted {
        self.connections.inc();
        Counted(self.connections.clone())
    }

    /// An open socket of this app, for as long as the result lives.
    pub fn socket(&self, app: &str) -> Option<Counted> {
        let app = self.labels.apps.value(Some(app), super::labels::NONE);
        let gauge = self.sockets.get(&[app.as_str()]).ok()?;
        gauge.inc();
        Some(Counted(gauge))
    }

    /// A connection or a request came to this limit.
    pub fn limit_hit(&self, limit: Limit) {
        count(&self.limit_hits, &[limit.as_str()]);
    }

    /// A TLS handshake with a caller failed.
    pub fn handshake_failed(&self, reason: HandshakeFailure) {
        count(&self.handshake_failures, &[reason.as_str()]);
    }

    /// A peer that must begin with the PROXY protocol didn't.
    pub fn proxy_protocol_refused(&self) {
        count(&self.proxy_refused, &[]);
    }

    /// When each certificate that is presented to callers ends.
    pub fn certificates_end(&self, ends: &[(Arc<str>, Timestamp)]) {
        let is_one = |values: &[Box<str>]| {
            ends.iter().any(|(name, _)| values.first().is_some_and(|value| **value == **name))
        };
        self.certificate_end.retain(is_one);
        for (name, at) in ends {
            set(&self.certificate_end, &[name], i64::try_from(at.0).unwrap_or(i64::MAX));
        }
    }

    /// A fault of the gateway's own.
    pub(super) fn panicked(&self) {
        count(&self.panics, &[]);
    }

    /// A browser asked an app beforehand what a page may send; `result` is from a closed set.
    pub fn preflight(&self, app: &str, result: &'static str) {
        let app = self.labels.apps.value(Some(app), super::labels::NONE);
        count(&self.preflights, &[app.as_str(), result]);
    }

    /// A request in flight, for as long as the result lives.
    pub fn request(&self) -> Counted {
        self.in_flight.inc();
        Counted(self.in_flight.clone())
    }

    /// A configuration went live. `loaded` is how many there are of each kind of thing.
    pub fn config_applied(
        &self,
        trigger: Trigger,
        hash: &str,
        now: Timestamp,
        loaded: &[(&'static str, usize)],
    ) {
        count(&self.reloads, &[APPLIED, trigger.as_str()]);
        self.config_info.retain(|_| false);
        set(&self.config_info, &[hash], 1);
        for (kind, number) in loaded {
            set(&self.rules_loaded, &[kind], i64::try_from(*number).unwrap_or(i64::MAX));
        }
        self.config_in_order(now);
    }

    /// When grants of the live rules end: by app, the day after which they do, and that day's end in UTC.
    pub fn grants_end(&self, ends: &[(Arc<str>, String, i64)]) {
        self.grants_end.retain(|_| false);
        for (app, day, at) in ends.iter().take(GRANT_ENDS_MAX) {
            set(&self.grants_end, &[app, day], *at);
        }
    }

    /// What stands on disk is what is live: after an applied set, or after a broken one was taken back.
    pub fn config_in_order(&self, now: Timestamp) {
        self.reload_successful.set(1);
        self.reload_timestamp.set(i64::try_from(now.0).unwrap_or(i64::MAX));
    }

    /// How much the live files expect that isn't so.
    pub fn config_unexpected(&self, rows: usize) {
        self.config_unexpected.set(i64::try_from(rows).unwrap_or(i64::MAX));
    }

    /// A configuration was refused; the last good one stays.
    pub fn config_rejected(&self, trigger: Trigger) {
        count(&self.reloads, &[REJECTED, trigger.as_str()]);
        self.reload_successful.set(0);
    }

    /// How each issuer's keys are doing, as of a scrape. An issuer that isn't named is forgotten: it is no longer
    /// configured, and would look stale for ever.
    pub fn show_keys(&self, issuers: &[(Arc<str>, KeyStatus)]) {
        let kept = |values: &[Box<str>]| {
            issuers.iter().any(|(name, _)| values.first().is_some_and(|value| **value == **name))
        };
        self.jwks_keys.retain(kept);
        self.jwks_success.retain(kept);
        self.jwks_failures.retain(kept);
        for (issuer, status) in issuers {
            set(&self.jwks_keys, &[issuer], i64::try_from(status.keys).unwrap_or(i64::MAX));
            let when = status.last_success.map_or(0, |when| i64::try_from(when.0).unwrap_or(i64::MAX));
            set(&self.jwks_success, &[issuer], when);
            if let Ok(failures) = self.jwks_failures.get(&[issuer]) {
                // A smaller number means that the issuer was configured anew: the counter starts again.
                if status.failures < failures.get() {
                    failures.reset();
                }
                failures.inc_by(status.failures.saturating_sub(failures.get()));
            }
        }
    }

    /// Who has a seat, as of a scrape, and how often that could not be written down.
    pub fn show_seats(&self, seatings: &[Seating], failures: u64) {
        self.seats.show(seatings, failures);
    }

    /// How many buckets of rates there are, as of a scrape, and how often one was shared.
    pub fn show_buckets(&self, buckets: usize, shared: u64) {
        self.buckets.set(i64::try_from(buckets).unwrap_or(i64::MAX));
        self.buckets_shared.inc_by(shared.saturating_sub(self.buckets_shared.get()));
    }

    /// Everything in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        if let Err(why) = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text) {
            tracing::error!(%why, "metrics can't be written");
        }
        text
    }
}

impl Labels {
    fn all(&self) -> [&Bounded; 5] {
        [&self.tenants, &self.apps, &self.routes, &self.issuers, &self.upstreams]
    }
}

/// Makes and registers. A series that can't be had is not counted: the caller can't do anything about it.
pub(super) struct Maker<'r> {
    registry: &'r Registry,
}

impl Maker<'_> {
    pub(super) fn register(&self, collector: impl Collector + 'static) -> Result<(), MetricsError> {
        Ok(self.registry.register(Box::new(collector))?)
    }

    pub(super) fn family<S: super::family::Series + 'static>(
        &self,
        spec: Spec,
    ) -> Result<Family<S>, MetricsError> {
        let family = Family::new(spec)?;
        self.register(family.clone())?;
        Ok(family)
    }

    pub(super) fn gauge(&self, spec: Spec) -> Result<IntGauge, MetricsError> {
        let gauge = IntGauge::with_opts(Opts::new(spec.name, spec.help))?;
        self.register(gauge.clone())?;
        Ok(gauge)
    }

    fn counter(&self, spec: Spec) -> Result<IntCounter, MetricsError> {
        let counter = IntCounter::new(spec.name, spec.help)?;
        self.register(counter.clone())?;
        Ok(counter)
    }

    fn histogram(&self, spec: Spec) -> Result<Histogram, MetricsError> {
        let options = HistogramOpts::new(spec.name, spec.help).buckets(spec.buckets.to_vec());
        let histogram = Histogram::with_opts(options)?;
        self.register(histogram.clone())?;
        Ok(histogram)
    }
}

fn count(family: &Family<IntCounter>, values: &[&str]) {
    if let Ok(series) = family.get(values) {
        series.inc();
    }
}

pub(super) fn set(family: &Family<IntGauge>, values: &[&str], value: i64) {
    if let Ok(series) = family.get(values) {
        series.set(value);
    }
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

const APPLIED: &str = "applied";
const REJECTED: &str = "rejected";
/// Tenants that have a label of their own.
const TENANTS_MAX: usize = 200;
/// Route templates that have a label of their own.
const ROUTES_MAX: usize = 1_000;
/// Names from `gateway.toml` and apps that have a label of their own.
const CONFIGURED_MAX: usize = 200;
/// Most ends of grants that are shown: those that come first.
const GRANT_ENDS_MAX: usize = 100;
