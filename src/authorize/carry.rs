//! What an allow carries along: obligations, which must be known before it is an allow, and a seat last of all.

use std::sync::Arc;

use super::case::{Case, Heard, Held};
use super::evidence::{Effect, Evidence, Verdict};
use super::permit::{Permit, Target};
use crate::budget::{BudgetClaim, Budgeted};
use crate::policy::lookup::Forget;
use crate::policy::obligation::{SeatRule, has_only};
use crate::policy::{self, Facts, Granted, Known, Missed, Needs, PermissionId, RoleSet, Stage, Truth};
use crate::rejection::Rejection;
use crate::seat::{SeatClaim, Seated};
use crate::tenant::Tenant;

impl Case<'_> {
    /// The permit of a request that the rules allow, unless what it carries along stands against it.
    pub(super) fn carry(
        &self,
        heard: &Heard<'_, '_>,
        roles: &RoleSet,
        granted: Granted,
        evidence: &mut Evidence,
    ) -> Result<Permit, Held> {
        let narrows = heard.facts.trail.narrowed();
        let narrowed = self.narrowed(narrows, heard.facts).ok_or(Rejection::Internal)?;
        // A condition that became a filter of this list says nothing of what else the caller holds.
        let facts = &Facts { narrows: &[], ..*heard.facts };
        let _before = facts.trail.take();
        let injected = self.injected(facts);
        let (to_inject, missed) = facts.trail.take();
        let (supplied, query) = self.supplied(facts, heard.named)?;
        let edits = self.edits(roles, facts);
        let audited = self.audited(facts);
        let seat = self.seat(heard, roles, granted, facts);
        let budget = self.budget(heard, roles, granted);
        let (wanted, _) = facts.trail.take();
        let body = self.operation.obligations.body_only.is_some() && facts.known.body.is_none();
        let needs = wanted.and(to_inject).and(Needs { body, ..Needs::default() });
        if !needs.is_empty() {
            return Err(Held::Needs(needs));
        }
        if !self.has_only_its_fields(facts) {
            evidence.refused("body-field", audited);
            return Err(Rejection::FieldNotPermitted.into());
        }
        let Some(injected) = injected else {
            let unanswered = missed == Missed::Something;
            evidence.refused(if unanswered { "unanswered" } else { "inject-unknown" }, audited);
            return Err(if unanswered { Rejection::Unanswered } else { Rejection::Denied }.into());
        };
        if let Err(held) = self.last(seat, budget, facts.known) {
            if let Held::Refused(rejection) = &held {
                evidence.refused(reason_of_last(rejection), audited);
            }
            return Err(held);
        }
        let mut permit = self.permit(Target { narrowed: &narrowed, more: query, narrows })?;
        permit.identity = Some(self.identity(heard.principal, heard.tenant, roles, granted));
        permit.authorization = self.app.authorization;
        permit.supplied = supplied;
        permit.supplied.extend(injected);
        let edited = !edits.masks.is_empty() || !edits.filters.is_empty();
        permit.edits = edited.then(|| Arc::new(edits));
        permit.forgets = self.forgets(heard.tenant);
        permit.upgrade = self.upgrade(Some(heard.principal.token()), roles, Some(facts));
        evidence.verdict = Some(Verdict { effect: Effect::Allow, reason: "granted" });
        (evidence.narrowed, evidence.audited) = (narrowed, audited);
        Ok(permit)
    }

    /// What is asked for last: room within the rates, and a seat.
    fn last(
        &self,
        seat: Option<SeatClaim>,
        budget: Option<Box<BudgetClaim>>,
        known: &Known,
    ) -> Result<(), Held> {
        let app = self.at.app;
        let seat = seat.map(Box::new);
        match (budget, known.budgeted(app, Stage::Permission)) {
            (Some(claim), None) => {
                let seat = seat.filter(|_| known.seated(app).is_none());
                return Err(Held::Budget(claim, seat));
            }
            (Some(_), Some(Budgeted::Over { kind, wait_s, .. })) => {
                return Err(Rejection::RateLimited { kind: *kind, wait_s: *wait_s }.into());
            }
            _ => {}
        }
        match (seat, known.seated(app)) {
            (Some(claim), None) => Err(Held::Seat(claim)),
            (Some(_), Some(Seated::Refused(_))) => Err(Rejection::NoSeat.into()),
            _ => Ok(()),
        }
    }

    /// The permit of a request without a principal.
    pub(super) fn unattended(&self) -> Result<Permit, Rejection> {
        let mut permit = self.permit(Target { narrowed: &[], more: String::new(), narrows: 0 })?;
        permit.removed = self.app.injects.iter().map(|own| own.header.clone()).collect();
        permit.upgrade = self.upgrade(None, &RoleSet::default(), None);
        Ok(permit)
    }

    fn has_only_its_fields(&self, facts: &Facts<'_>) -> bool {
        match (&self.operation.obligations.body_only, &facts.known.body) {
            (Some(allowed), Some(body)) => has_only(body, allowed),
            (Some(_), None) => false,
            (None, _) => true,
        }
    }

    /// The seat that the request needs, if it needs one. A test of it that isn't known doesn't spare one.
    fn seat(
        &self,
        heard: &Heard<'_, '_>,
        roles: &RoleSet,
        granted: Granted,
        facts: &Facts<'_>,
    ) -> Option<SeatClaim> {
        let Granted::Grant { permission, .. } = granted else { return None };
        let is_spared = |own: PermissionId| match self.app.permission(own).map(|own| own.seat) {
            Some(SeatRule::Free) => true,
            Some(SeatRule::Always) | None => false,
            Some(SeatRule::If(condition)) => policy::test(self.app, condition, facts) == Truth::Fails,
        };
        // Whoever may do it without a seat needs none, so that a role more never takes access away.
        let (asked, before) = (heard.facts, heard.facts.trail.narrowed());
        let is_held = |own: PermissionId| {
            let held = policy::holds_one(self.app, &[own], roles, asked);
            let as_it_is = asked.trail.narrowed() == before;
            asked.trail.unnarrow(before);
            held && as_it_is
        };
        if is_spared(permission) || self.operation.permissions().any(|own| is_spared(own) && is_held(own)) {
            return None;
        }
        Some(SeatClaim {
            tenant: heard.tenant.name.clone(),
            app: self.app.name.clone(),
            person: self.person(heard),
            at: self.now,
            seats: heard.tenant.seats(),
            zone: heard.tenant.zone().clone(),
        })
    }

    /// The facts that are recorded whatever the rules read, as text.
    pub(super) fn audited(&self, facts: &Facts<'_>) -> Vec<(Box<str>, String)> {
        let text =
            |fact: usize| facts.get(fact).map_or_else(|| "unknown".to_owned(), |value| value.to_string());
        let own = self.operation.obligations.audit.iter();
        own.filter_map(|fact| Some((self.app.facts.get(*fact)?.name.clone(), text(*fact)))).collect()
    }

    pub(super) fn forgets(&self, tenant: &Tenant) -> Vec<Forget> {
        let own = self.operation.obligations.forgets.iter();
        let forget = |look_up: &usize| {
            let namespace = self.app.look_ups.get(*look_up)?.name.clone();
            Some(Forget { app: self.app.name.clone(), tenant: tenant.name.clone(), namespace })
        };
        own.filter_map(forget).collect()
    }
}

/// The word for what was asked for last, and wasn't there.
fn reason_of_last(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::RateLimited { kind, .. } => kind.reason(),
        _ => "no-seat",
    }
}
