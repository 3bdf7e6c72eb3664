//! What a candidate rule set says beside the live one, counted: the four cells, what can't be known, and what there was no
//! time for.

use prometheus::{IntCounter, IntGauge};

use super::family::{Family, Spec};
use super::labels::{NONE, OTHER, UNPROVEN};
use super::metrics::{Maker, Metrics, MetricsError, set};
use super::specs::spec;

const DECISIONS: Spec = spec(
    "gatewarden_shadow_decisions_total",
    "Decisions of the live rules beside what the candidate rules would have decided.",
    &["tenant", "app", "live", "candidate"],
);
const DROPPED: Spec = spec(
    "gatewarden_shadow_dropped_total",
    "Decisions that the candidate rules were not asked about.",
    &["reason"],
);
const STATE: Spec =
    spec("gatewarden_candidate", "Whether there are candidate rules: 1 for the state of now.", &["state"]);
const INFO: Spec = spec("gatewarden_candidate_info", "The candidate rules' hash.", &["hash"]);
const CANARY: Spec = spec(
    "gatewarden_canary_decisions_total",
    "Decisions of the candidate rules that counted, because the acting tenant tries them out.",
    &["tenant", "app", "effect"],
);

/// Why a candidate wasn't asked about a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// Too many were waiting.
    QueueFull,
    /// The live answer didn't come out again from what was kept of the request.
    NotReplayed,
}

impl Dropped {
    /// Every reason.
    pub const ALL: [Self; 2] = [Self::QueueFull, Self::NotReplayed];

    /// The label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue-full",
            Self::NotReplayed => "not-replayed",
        }
    }
}

/// How a candidate is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CandidateState {
    /// There is none.
    #[default]
    None,
    /// It is what is live.
    Same,
    /// It is judged beside the live rules.
    Judged,
    /// It has mistakes, and nothing is judged by it.
    Rejected,
}

impl CandidateState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::None, Self::Same, Self::Judged, Self::Rejected];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Same => "same",
            Self::Judged => "judged",
            Self::Rejected => "rejected",
        }
    }
}

/// The series.
#[derive(Debug)]
pub(super) struct ShadowSeries {
    decisions: Family<IntCounter>,
    dropped: Family<IntCounter>,
    state: Family<IntGauge>,
    info: Family<IntGauge>,
    canary: Family<IntCounter>,
}

impl ShadowSeries {
    pub(super) fn new(made: &Maker<'_>) -> Result<Self, MetricsError> {
        let series = Self {
            decisions: made.family(DECISIONS)?,
            dropped: made.family(DROPPED)?,
            state: made.family(STATE)?,
            info: made.family(INFO)?,
            canary: made.family(CANARY)?,
        };
        for reason in Dropped::ALL {
            let _ = series.dropped.get(&[reason.as_str()]);
        }
        series.show(CandidateState::None, None);
        Ok(series)
    }

    fn show(&self, now: CandidateState, hash: Option<&str>) {
        for state in CandidateState::ALL {
            set(&self.state, &[state.as_str()], i64::from(state == now));
        }
        self.info.retain(|_| false);
        if let Some(hash) = hash {
            set(&self.info, &[hash], 1);
        }
    }
}

impl Metrics {
    /// One decision, as the live rules and the candidate's made it. The tenant is the one that the live rules proved.
    pub fn shadow_decided(
        &self,
        tenant: Option<&str>,
        app: Option<&str>,
        (live, candidate): (&'static str, &'static str),
    ) {
        self.count_by_tenant(&self.shadow.decisions, (tenant, app), &[live, candidate]);
    }

    /// A decision that the candidate wasn't asked about.
    pub fn shadow_dropped(&self, reason: Dropped) {
        if let Ok(series) = self.shadow.dropped.get(&[reason.as_str()]) {
            series.inc();
        }
    }

    /// How the candidate is, and its hash if it is judged.
    pub fn candidate_is(&self, state: CandidateState, hash: Option<&str>) {
        self.shadow.show(state, hash);
    }

    /// A decision of the candidate's that counted.
    pub fn canary_decided(&self, tenant: Option<&str>, app: Option<&str>, effect: &'static str) {
        self.count_by_tenant(&self.shadow.canary, (tenant, app), &[effect]);
    }

    fn count_by_tenant(
        &self,
        family: &Family<IntCounter>,
        (tenant, app): (Option<&str>, Option<&str>),
        rest: &[&str],
    ) {
        let tenant = self.labels.tenants.value(tenant, UNPROVEN);
        let app = self.labels.apps.value(app, NONE);
        let values = |tenant| [&[tenant, app.as_str()], rest].concat();
        let series = family.get(&values(tenant.as_str())).or_else(|_| family.get_always(&values(OTHER)));
        if let Ok(series) = series {
            series.inc();
        }
    }
}
