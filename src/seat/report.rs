//! What the books say, for whoever reads it: one row for a tenant, an app and a month.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Standing, Summary};
use crate::zone::{Month, Zone};

/// One book, with whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seating {
    /// The tenant.
    pub tenant: Arc<str>,
    /// The app.
    pub app: Arc<str>,
    /// What its book says.
    pub standing: Standing,
}

/// A month of a tenant in an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The tenant.
    pub tenant: Arc<str>,
    /// The app.
    pub app: Arc<str>,
    /// The month.
    pub month: Month,
    /// Where the month begins.
    pub zone: Zone,
    /// What it came to.
    pub summary: Summary,
    /// People in the running quarter of an hour; `None` for a month that is over.
    pub concurrent: Option<u32>,
}

impl Seating {
    /// The running month and the months before, the latest first.
    pub fn rows(&self) -> impl Iterator<Item = Row> {
        let standing = &self.standing;
        let row = |month, summary, concurrent| Row {
            tenant: self.tenant.clone(),
            app: self.app.clone(),
            month,
            zone: standing.zone.clone(),
            summary,
            concurrent,
        };
        let running = row(standing.month, standing.now, Some(standing.concurrent));
        let past = standing.past.iter().rev().map(move |(month, summary)| row(*month, *summary, None));
        std::iter::once(running).chain(past)
    }
}

impl Row {
    /// The row for a machine.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let Summary { named, peak, seats, tally } = self.summary;
        let peak_at = (peak.people > 0).then(|| self.zone.minute(peak.at));
        json!({
            "tenant": *self.tenant,
            "app": *self.app,
            "month": self.month.to_string(),
            "time_zone": self.zone.name(),
            "running": self.concurrent.is_some(),
            "named": { "used": named, "of": seats.named },
            "concurrent": { "now": self.concurrent, "peak": peak.people, "peak_at": peak_at, "of": seats.concurrent },
            "over": {
                "effect": seats.over.as_str(),
                "named_reported": tally.named_reported,
                "named_refused": tally.named_refused,
                "concurrent_reported": tally.concurrent_reported,
                "concurrent_refused": tally.concurrent_refused,
            },
            "is_over": self.summary.is_over(),
        })
    }
}

/// Rows for a machine, as the operators' endpoint and the report write them.
#[must_use]
pub fn rows_to_json(rows: &[Row]) -> Value {
    json!({ "schema": "gatewarden.seats-report/1", "rows": rows.iter().map(Row::to_json).collect::<Vec<_>>() })
}
