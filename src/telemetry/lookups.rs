//! Look-ups, counted: how they were answered and how long applications took.
//!
//! Whoever remembers an answer also keeps its [`Hits`], so that a hit is counted without looking for a series.

use std::time::Duration;

use prometheus::{Histogram, IntCounter};

use super::family::{Family, Spec};
use super::labels::NONE;
use super::metrics::{Maker, Metrics, MetricsError};
use super::specs::{REQUEST_BUCKETS, SERIES_MAX};

/// What moves for look-ups.
#[derive(Debug)]
pub(super) struct LookUpSeries {
    results: Family<IntCounter>,
    seconds: Family<Histogram>,
}

impl LookUpSeries {
    pub(super) fn new(made: &Maker<'_>) -> Result<Self, MetricsError> {
        Ok(Self { results: made.family(RESULTS)?, seconds: made.family(SECONDS)? })
    }
}

/// Counts how often one remembered answer was used.
#[derive(Clone, Debug, Default)]
pub struct Hits(Option<IntCounter>);

impl Hits {
    /// Once more.
    pub fn count(&self) {
        if let Some(counter) = &self.0 {
            counter.inc();
        }
    }
}

impl Metrics {
    /// A look-up was answered; `result` is from a closed set.
    pub fn looked_up(&self, app: &str, namespace: &str, result: &'static str) {
        let app = self.labels.apps.value(Some(app), NONE);
        if let Ok(series) = self.lookups.results.get(&[app.as_str(), namespace, result]) {
            series.inc();
        }
    }

    /// An application took this long to answer a look-up, or to fail to.
    pub fn look_up_took(&self, app: &str, namespace: &str, time: Duration) {
        let app = self.labels.apps.value(Some(app), NONE);
        if let Ok(series) = self.lookups.seconds.get(&[app.as_str(), namespace]) {
            series.observe(time.as_secs_f64());
        }
    }

    /// What counts the later askers of a remembered answer, under this result.
    #[must_use]
    pub fn look_up_hits(&self, app: &str, namespace: &str, result: &'static str) -> Hits {
        let app = self.labels.apps.value(Some(app), NONE);
        Hits(self.lookups.results.get(&[app.as_str(), namespace, result]).ok())
    }
}

const RESULTS: Spec = Spec {
    name: "gatewarden_lookups_total",
    help: "Look-ups by what came of them: a hit, shared with another asker's, found, nothing, or why there is no answer.",
    labels: &["app", "namespace", "result"],
    buckets: &[],
    most: SERIES_MAX,
};
const SECONDS: Spec = Spec {
    name: "gatewarden_lookup_seconds",
    help: "Time that an application took to answer a look-up, waiting for a turn included.",
    labels: &["app", "namespace"],
    buckets: REQUEST_BUCKETS,
    most: SERIES_MAX,
};
