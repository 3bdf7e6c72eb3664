//! Rates: what a request from an address costs before anything is known of it, and what one costs that is about to be
//! permitted.

use std::sync::Arc;

use super::Question;
use super::case::{Case, Heard};
use crate::budget::{BudgetClaim, Budgeted, Limit, Subject, Wanted};
use crate::policy::limit::held_to;
use crate::policy::{Granted, Known, RoleSet, Stage};
use crate::rejection::Rejection;
use crate::request::{Credential, RequestView};
use crate::route::{Match, Verb};
use crate::seat::PersonId;
use crate::snapshot::{OperationRef, Snapshot};

/// A credential that waits to be looked at, in memory of its own.
#[derive(Debug)]
pub(super) enum Brought {
    Nothing,
    Foreign,
    Token(Box<[u8]>),
}

impl Brought {
    pub(super) fn of(credential: Credential<'_>) -> Self {
        match credential {
            Credential::Absent => Self::Nothing,
            Credential::Foreign => Self::Foreign,
            Credential::Bearer(token) => Self::Token(token.into()),
        }
    }

    pub(super) fn credential(&self) -> Credential<'_> {
        match self {
            Self::Nothing => Credential::Absent,
            Self::Foreign => Credential::Foreign,
            Self::Token(token) => Credential::Bearer(token),
        }
    }
}

/// What the address has to pay before its token is looked at: once to each app that the request is put to.
pub(super) fn at_arrival(snapshot: &Snapshot, request: &RequestView<'_>) -> Vec<Question> {
    if snapshot.address_limited.is_empty() {
        return Vec::new();
    }
    let question = |at: &OperationRef| {
        let limit = snapshot.apps.get(at.app)?.limits.as_ref()?.address.clone()?;
        let claim = Wanted { limit, subject: Subject::of_address(request.client) };
        Some(Question::Arrival { app: at.app, claim: Box::new(claim) })
    };
    claims(snapshot, request).iter().filter_map(question).collect()
}

/// Whether no app that the request could be put to has room for its address.
pub(super) fn is_turned_away(snapshot: &Snapshot, request: &RequestView<'_>, known: &Known) -> bool {
    let claims = claims(snapshot, request);
    let is_over = |at: &OperationRef| over(known, at.app, Stage::Arrival).is_some();
    !claims.is_empty() && claims.iter().all(is_over)
}

fn claims<'s>(snapshot: &'s Snapshot, request: &RequestView<'_>) -> &'s [OperationRef] {
    match snapshot.routes.find(request.host, request.path, Verb::of(request.method)) {
        Match::Operations(claims) => claims,
        Match::OtherMethods(_) | Match::Nothing => &[],
    }
}

/// The refusal of an app whose rate is used up.
pub(super) fn over(known: &Known, app: usize, stage: Stage) -> Option<Rejection> {
    match known.budgeted(app, stage)? {
        Budgeted::Within => None,
        Budgeted::Over { kind, wait_s, .. } => Some(Rejection::RateLimited { kind: *kind, wait_s: *wait_s }),
    }
}

impl Case<'_> {
    /// What the request costs before anything is known of it, where that is used up.
    pub(super) fn turned_away(&self, known: &Known) -> Option<Rejection> {
        over(known, self.at.app, Stage::Arrival)
    }

    /// Where the rate stands that was used up at this stage.
    pub(super) fn rate(&self, known: &Known, stage: Stage) -> Option<Arc<str>> {
        match known.budgeted(self.at.app, stage)? {
            Budgeted::Within => None,
            Budgeted::Over { place, .. } => Some(place.clone()),
        }
    }

    /// What the request costs, if it costs anything.
    pub(super) fn budget(
        &self,
        heard: &Heard<'_, '_>,
        roles: &RoleSet,
        granted: Granted,
    ) -> Option<Box<BudgetClaim>> {
        let limits = self.app.limits.as_ref()?;
        let tenant = limits.tenant.clone().map(|limit| {
            let subject = Subject::Tenant(heard.tenant.name.clone());
            Wanted { limit, subject }
        });
        let held = held_to(self.app, self.operation, roles, granted, heard.facts);
        let person = (!held.is_empty()).then(|| self.person(heard));
        let wanted =
            |limit: &Arc<Limit>| Some(Wanted { limit: limit.clone(), subject: Subject::Person(person?) });
        let claim = BudgetClaim { tenant, roles: held.into_iter().filter_map(wanted).collect() };
        (!claim.is_free()).then(|| Box::new(claim))
    }

    /// The caller, as one person.
    pub(super) fn person(&self, heard: &Heard<'_, '_>) -> PersonId {
        let token = heard.principal.token();
        let organisation = token.claims().get("tid").and_then(serde_json::Value::as_str).unwrap_or_default();
        PersonId::of(token.issuer(), organisation, heard.principal.subject())
    }
}
