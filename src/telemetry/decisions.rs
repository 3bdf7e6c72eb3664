//! The decision log, as it is counted.

use prometheus::{IntCounter, IntGauge};

use super::Metrics;
use super::family::{Family, Spec};
use super::metrics::{Maker, MetricsError};
use super::specs::spec;

#[derive(Debug)]
pub(super) struct DecisionMetrics {
    events: Family<IntCounter>,
    dropped: Family<IntCounter>,
    waiting: IntGauge,
    failures: Family<IntCounter>,
}

impl DecisionMetrics {
    pub(super) fn new(made: &Maker<'_>) -> Result<Self, MetricsError> {
        let own = Self {
            events: made.family(EVENTS)?,
            dropped: made.family(DROPPED)?,
            waiting: made.gauge(WAITING)?,
            failures: made.family(FAILURES)?,
        };
        for sink in ["file", "stdout"] {
            let _ = own.events.get(&[sink, "written"]);
            let _ = own.failures.get(&[sink]);
        }
        for reason in ["full", "unidentified", "fault"] {
            let _ = own.dropped.get(&[reason]);
        }
        Ok(own)
    }
}

impl Metrics {
    /// Lines of the decision log were written.
    pub fn decisions_written(&self, sink: &'static str, lines: u64) {
        add(&self.decision_log.events, &[sink, "written"], lines);
    }

    /// Decisions were lost, and why.
    pub fn decisions_dropped(&self, reason: &'static str, decisions: u64) {
        add(&self.decision_log.dropped, &[reason], decisions);
    }

    /// An attempt to write failed.
    pub fn decisions_not_written(&self, sink: &'static str) {
        add(&self.decision_log.failures, &[sink], 1);
    }

    /// So many decisions wait to be written.
    pub fn decisions_waiting(&self, decisions: usize) {
        self.decision_log.waiting.set(i64::try_from(decisions).unwrap_or(i64::MAX));
    }
}

fn add(family: &Family<IntCounter>, values: &[&str], number: u64) {
    if let Ok(series) = family.get(values) {
        series.inc_by(number);
    }
}

const EVENTS: Spec = spec(
    "gatewarden_audit_events_total",
    "Lines of the decision log, by where they went and what became of them.",
    &["sink", "result"],
);
const DROPPED: Spec = spec(
    "gatewarden_audit_dropped_total",
    "Decisions that aren't in the log: there was no room, too many who prove nothing were refused at once, or a fault.",
    &["reason"],
);
const WAITING: Spec = spec("gatewarden_audit_queue_length", "Decisions that wait to be written down.", &[]);
const FAILURES: Spec = spec(
    "gatewarden_audit_write_errors_total",
    "Attempts to write decisions down that failed; they are tried again.",
    &["sink"],
);
