//! What one set of rules answers to one request, with everything that there is to say about it.

use crate::analysis::closest::{self, Near, Standing, Verdict};
use crate::analysis::posed::Posed;
use crate::analysis::trace::{self, Step};
use crate::analysis::{beside, carried, missed};
use crate::authorize::{Evidence, Ruling};
use crate::cli::can::{hint, unstated, who_could};
use crate::cli::hypothesis::Stated;
use crate::policy::{Decision, Denial};
use crate::rejection::Rejection;
use crate::request::RequestView;
use crate::snapshot::Snapshot;

/// One side of a comparison.
pub(super) struct Side<'s> {
    /// What the operator calls the rules.
    pub(super) name: &'s str,
    /// Their answer, or why they can't be asked.
    pub(super) answer: Result<&'s Answer, String>,
}

/// A ruling in words.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) reason: String,
    pub(super) rules: String,
    pub(super) assumed: Vec<String>,
    pub(super) steps: Vec<Step>,
    /// The roles that it would be allowed with, nearest first, where it is refused for want of one.
    pub(super) nearest: Option<Vec<Near>>,
    /// Sentences about what else could be stated or held.
    pub(super) hints: Vec<String>,
}

impl Answer {
    /// The ruling on a request; `stated` is what an operator said of it, where one did.
    pub(super) fn of(
        snapshot: &Snapshot,
        posed: &Posed,
        stated: Option<&Stated>,
        view: &RequestView<'_>,
        ruling: Ruling,
    ) -> Self {
        let (permit, rejection, evidence) = match ruling {
            Ruling::Permit(permit, evidence) => (Some(permit), None, evidence),
            Ruling::Refuse(rejection, evidence) => (None, Some(rejection), evidence),
            Ruling::Ask(_) => (None, Some(Rejection::Unanswered), Evidence::default()),
        };
        let mut steps = trace::steps(snapshot, view, &evidence);
        steps.extend(permit.iter().flat_map(|permit| carried::carried(snapshot, permit, &evidence)));
        if let Some(Rejection::NoRoute | Rejection::MethodNotAllowed { .. }) = rejection
            && posed.event.is_none()
        {
            steps.extend(missed::steps(snapshot, view));
        }
        if let Some(Rejection::MethodNotAllowed { .. }) = rejection {
            steps.extend(beside::beforehand(snapshot, view));
        }
        let reason = evidence.verdict.map(|verdict| verdict.reason);
        let refused = rejection.as_ref().map(Rejection::reason);
        let nearest = rejection.as_ref().and_then(|_| nearest(snapshot, posed, &evidence));
        let mut hints: Vec<String> = Vec::new();
        if let Some(rejection) = &rejection {
            let who = if nearest.is_some() { None } else { who_could(snapshot, rejection, &evidence) };
            hints.extend(who.or_else(|| hint(stated?, rejection)));
            hints.extend(stated.and_then(|_| unstated(snapshot, view, &evidence)));
        }
        Self {
            status: rejection.as_ref().map_or(200, |own| own.status().as_u16()),
            reason: reason.or(refused).unwrap_or("allowed").to_owned(),
            rules: snapshot.hash.get(..8).unwrap_or(&snapshot.hash).to_owned(),
            assumed: Vec::new(),
            steps,
            nearest,
            hints,
        }
    }

    pub(super) fn is_allowed(&self) -> bool {
        self.status == 200
    }

    /// Sentences about the roles that it would be allowed with.
    pub(super) fn about_nearest(&self) -> Vec<String> {
        let Some(nearest) = &self.nearest else { return Vec::new() };
        let of = |wanted: &dyn Fn(&Near) -> bool| {
            let texts: Vec<String> = nearest.iter().filter(|own| wanted(own)).map(Near::text).collect();
            (!texts.is_empty()).then(|| texts.join("; "))
        };
        let is_allowed = |own: &Near| own.verdict == Verdict::Allowed;
        let held = of(&|own| own.held == Standing::Held && !is_allowed(own));
        let allowed = of(&is_allowed);
        let refused = of(&|own| own.held == Standing::Other && !is_allowed(own));
        let mut said = Vec::new();
        said.extend(held.map(|who| format!("would be allowed as {who}")));
        said.push(match allowed {
            Some(who) => format!("would be allowed: {who}"),
            None => "no other role would be allowed".to_owned(),
        });
        said.extend(refused.map(|who| format!("would not: {who}")));
        said
    }
}

/// The nearest roles, where another role could make a difference. Where a requirement or the tenant stood against it,
/// another role would have been refused as well.
fn nearest(snapshot: &Snapshot, posed: &Posed, evidence: &Evidence) -> Option<Vec<Near>> {
    let judged = evidence.judged.as_ref()?;
    match judged.decision {
        Some(Decision::Deny(Denial::NoPermission | Denial::Condition { .. })) => {
            Some(closest::roles(snapshot, posed, judged))
        }
        _ => None,
    }
}
