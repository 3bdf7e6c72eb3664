//! One metric with labels: a bounded map from label values to counters.
//!
//! The metrics crate has such a map of its own, but it finds a series by a hash of the values run together, so
//! that ("a", "bc") and ("ab", "c") are counted as one; and it can't be bounded.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use prometheus::core::{Collector, Desc, Metric as _};
use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType, Summary};
use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, Opts};

/// Name, help and label names of a metric.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spec {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) labels: &'static [&'static str],
    pub(super) buckets: &'static [f64],
    /// Most series; what comes beyond is refused.
    pub(super) most: usize,
}

/// One series.
pub(super) trait Series: Clone + Send + Sync {
    const KIND: MetricType;
    fn make(spec: &Spec, values: &[&str]) -> prometheus::Result<Self>;
    fn read(&self) -> Metric;
}

/// Why there is no series for some label values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoSeries {
    /// The metric has all the series that it may have.
    Full,
    /// The name or a label can't be exported: a mistake in this program.
    Unbuildable,
}

type Children<S> = RwLock<HashMap<Box<[Box<str>]>, S>>;

/// A metric with labels.
#[derive(Debug)]
pub(super) struct Family<S> {
    spec: Spec,
    desc: Arc<Desc>,
    children: Arc<Children<S>>,
}

impl<S> Clone for Family<S> {
    fn clone(&self) -> Self {
        Self { spec: self.spec, desc: self.desc.clone(), children: self.children.clone() }
    }
}

impl<S: Series> Family<S> {
    pub(super) fn new(spec: Spec) -> prometheus::Result<Self> {
        let names = spec.labels.iter().map(|label| (*label).to_owned()).collect();
        let desc = Desc::new(spec.name.to_owned(), spec.help.to_owned(), names, HashMap::new())?;
        Ok(Self { spec, desc: Arc::new(desc), children: Arc::default() })
    }

    /// The series of these values, made if there is room.
    pub(super) fn get(&self, values: &[&str]) -> Result<S, NoSeries> {
        self.get_within(values, self.spec.most)
    }

    /// The series of these values, made even if the metric is full: for values from a closed set, such as
    /// what others were folded into.
    pub(super) fn get_always(&self, values: &[&str]) -> Result<S, NoSeries> {
        self.get_within(values, usize::MAX)
    }

    fn get_within(&self, values: &[&str], most: usize) -> Result<S, NoSeries> {
        let key: Box<[Box<str>]> = values.iter().map(|value| Box::from(*value)).collect();
        let mut children = self.children.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = children.get(&key) {
            return Ok(found.clone());
        }
        if children.len() >= most {
            return Err(NoSeries::Full);
        }
        let made = S::make(&self.spec, values).map_err(|_| NoSeries::Unbuildable)?;
        children.insert(key, made.clone());
        Ok(made)
    }

    /// Drops every series whose values don't pass.
    pub(super) fn retain(&self, keep: impl Fn(&[Box<str>]) -> bool) {
        self.children.write().unwrap_or_else(PoisonError::into_inner).retain(|values, _| keep(values));
    }
}

impl<S: Series> Collector for Family<S> {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let children = self.children.read().unwrap_or_else(PoisonError::into_inner);
        if children.is_empty() {
            return Vec::new();
        }
        let mut family = MetricFamily::default();
        family.set_name(self.spec.name.to_owned());
        family.set_help(self.spec.help.to_owned());
        family.set_field_type(S::KIND);
        family.set_metric(children.values().map(S::read).collect());
        vec![family]
    }
}

fn pairs(spec: &Spec, values: &[&str]) -> HashMap<String, String> {
    spec.labels.iter().zip(values).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

impl Series for IntCounter {
    const KIND: MetricType = MetricType::COUNTER;
    fn make(spec: &Spec, values: &[&str]) -> prometheus::Result<Self> {
        Self::with_opts(Opts::new(spec.name, spec.help).const_labels(pairs(spec, values)))
    }
    fn read(&self) -> Metric {
        self.metric()
    }
}

impl Series for IntGauge {
    const KIND: MetricType = MetricType::GAUGE;
    fn make(spec: &Spec, values: &[&str]) -> prometheus::Result<Self> {
        Self::with_opts(Opts::new(spec.name, spec.help).const_labels(pairs(spec, values)))
    }
    fn read(&self) -> Metric {
        self.metric()
    }
}

impl Series for Histogram {
    const KIND: MetricType = MetricType::HISTOGRAM;
    fn make(spec: &Spec, values: &[&str]) -> prometheus::Result<Self> {
        let options = HistogramOpts::new(spec.name, spec.help).buckets(spec.buckets.to_vec());
        Self::with_opts(options.const_labels(pairs(spec, values)))
    }
    fn read(&self) -> Metric {
        self.metric()
    }
}

/// Seconds added up, and how often: a summary without quantiles, which costs two additions.
#[derive(Clone, Debug)]
pub(super) struct Seconds(Arc<SecondsInner>);

#[derive(Debug)]
struct SecondsInner {
    labels: Vec<(String, String)>,
    nanos: AtomicU64,
    count: AtomicU64,
}

impl Seconds {
    pub(super) fn add(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.0.nanos.fetch_add(nanos, Ordering::Relaxed);
        self.0.count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Series for Seconds {
    const KIND: MetricType = MetricType::SUMMARY;
    fn make(spec: &Spec, values: &[&str]) -> prometheus::Result<Self> {
        let mut labels: Vec<_> = pairs(spec, values).into_iter().collect();
        labels.sort();
        Ok(Self(Arc::new(SecondsInner { labels, nanos: AtomicU64::new(0), count: AtomicU64::new(0) })))
    }
    fn read(&self) -> Metric {
        let mut summary = Summary::default();
        summary.set_sample_count(self.0.count.load(Ordering::Relaxed));
        summary.set_sample_sum(Duration::from_nanos(self.0.nanos.load(Ordering::Relaxed)).as_secs_f64());
        let pair = |(name, value): &(String, String)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.clone());
            pair.set_value(value.clone());
            pair
        };
        let mut metric = Metric::from_label(self.0.labels.iter().map(pair).collect());
        metric.set_summary(summary);
        metric
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: Spec = Spec { name: "t_total", help: "Test.", labels: &["a", "b"], buckets: &[], most: 2 };

    #[test]
    fn series_are_told_apart_and_bounded() {
        let family = Family::<IntCounter>::new(SPEC).unwrap();
        family.get(&["a", "bc"]).unwrap().inc();
        family.get(&["ab", "c"]).unwrap().inc_by(2);
        assert_eq!(family.get(&["a", "bc"]).unwrap().get(), 1);
        assert_eq!(family.get(&["x", "y"]).err(), Some(NoSeries::Full));
        assert!(family.get_always(&["_other", "_other"]).is_ok());
        family.retain(|values| &*values[0] == "a");
        assert_eq!(family.collect()[0].get_metric().len(), 1);
    }
}
