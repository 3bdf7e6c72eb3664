//! Licence seats, as of a scrape. Tenants and apps are the ones that were configured when someone took a seat.

use std::collections::HashMap;

use prometheus::{IntCounter, IntGauge};

use super::family::{Family, Spec};
use super::metrics::{Maker, MetricsError, set};
use super::specs::spec;
use crate::seat::{Over, Seating, Standing, Which};

#[derive(Debug)]
pub(super) struct SeatMetrics {
    named: Family<IntGauge>,
    concurrent: Family<IntGauge>,
    peak: Family<IntGauge>,
    limit: Family<IntGauge>,
    over: Family<IntCounter>,
    failures: IntCounter,
}

impl SeatMetrics {
    pub(super) fn new(made: &Maker<'_>) -> Result<Self, MetricsError> {
        let failures = IntCounter::new(WRITE_FAILURES.name, WRITE_FAILURES.help)?;
        made.register(failures.clone())?;
        Ok(Self {
            named: made.family(NAMED)?,
            concurrent: made.family(CONCURRENT)?,
            peak: made.family(PEAK)?,
            limit: made.family(LIMIT)?,
            over: made.family(OVER)?,
            failures,
        })
    }

    /// Shows these books and forgets all others.
    pub(super) fn show(&self, seatings: &[Seating], failures: u64) {
        self.failures.inc_by(failures.saturating_sub(self.failures.get()));
        let shown: HashMap<(&str, &str), &Standing> =
            seatings.iter().map(|own| ((&*own.tenant, &*own.app), &own.standing)).collect();
        let standing = |values: &[Box<str>]| match values {
            [tenant, app, ..] => shown.get(&(&**tenant, &**app)).copied(),
            _ => None,
        };
        for family in [&self.named, &self.concurrent, &self.peak] {
            family.retain(|values| standing(values).is_some());
        }
        self.limit.retain(|values| {
            let kind = |which: &Which| values.get(2).is_some_and(|kind| **kind == *which.as_str());
            let limit = |which| standing(values).and_then(|own| own.now.seats.limit(which));
            Which::ALL.into_iter().find(kind).and_then(limit).is_some()
        });
        for Seating { tenant, app, standing } in seatings {
            set(&self.named, &[tenant, app], standing.now.named.into());
            set(&self.concurrent, &[tenant, app], standing.concurrent.into());
            set(&self.peak, &[tenant, app], standing.now.peak.people.into());
            for which in Which::ALL {
                if let Some(limit) = standing.now.seats.limit(which) {
                    set(&self.limit, &[tenant, app, which.as_str()], limit.into());
                }
                for effect in Over::ALL {
                    if let Ok(over) = self.over.get(&[tenant, app, which.as_str(), effect.as_str()]) {
                        let total = standing.since_start.get(effect.seated(which));
                        over.inc_by(total.saturating_sub(over.get()));
                    }
                }
            }
        }
    }
}

const NAMED: Spec = spec(
    "gatewarden_seats_named",
    "People who hold a named seat this month, by licensor and app.",
    &["tenant", "app"],
);
const CONCURRENT: Spec = spec(
    "gatewarden_seats_concurrent",
    "People who were let in during the running quarter of an hour.",
    &["tenant", "app"],
);
const PEAK: Spec = spec(
    "gatewarden_seats_concurrent_peak",
    "The most people in one quarter of an hour of this month.",
    &["tenant", "app"],
);
const LIMIT: Spec =
    spec("gatewarden_seats_limit", "Seats that there are, by kind.", &["tenant", "app", "kind"]);
const OVER: Spec = spec(
    "gatewarden_seats_over_total",
    "People let in without a seat (report), and requests refused for want of one (refuse).",
    &["tenant", "app", "kind", "effect"],
);
const WRITE_FAILURES: Spec = spec(
    "gatewarden_seats_write_failures_total",
    "Attempts to write down who has a seat that failed: a restart would forget it.",
    &[],
);
