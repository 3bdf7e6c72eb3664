//! One app's judgement of one request: identify, find the tenant, prove it, decide.

use std::borrow::Cow;
use std::sync::Arc;

use super::evidence::{Effect, Evidence, Verdict};
use super::permit::Permit;
use super::{Question, Shown};
use crate::budget::BudgetClaim;
use crate::fact::{Source, Value};
use crate::identity::{Principal, PrincipalError};
use crate::policy::socket::TokenSource;
use crate::policy::{
    self, Access, App, Decision, Denial, Facts, Granted, Known, LOOK_UPS_MAX, Missed, Needs, Operation,
    RoleSet, Stage, Standing, TenantRule, Trail,
};
use crate::rejection::{Challenge, Rejection, TenantError};
use crate::request::{Malformed, RequestView, Timestamp, read_header};
use crate::seat::SeatClaim;
use crate::snapshot::{OperationRef, Snapshot};
use crate::tenant::Tenant;
use crate::token::VerifiedToken;

/// One app's judgement of one request.
pub(super) struct Case<'q> {
    pub(super) snapshot: &'q Snapshot,
    pub(super) request: &'q RequestView<'q>,
    pub(super) at: OperationRef,
    pub(super) app: &'q App,
    pub(super) operation: &'q Operation,
    pub(super) now: Timestamp,
}

/// How far a judgement came.
pub(super) enum Step {
    Permit(Box<Permit>),
    Refuse(Rejection),
    Ask(Vec<Question>),
}

/// Why there is no permit yet.
pub(super) enum Held {
    Refused(Rejection),
    Needs(Needs),
    Seat(Box<SeatClaim>),
    Budget(Box<BudgetClaim>, Option<Box<SeatClaim>>),
}

impl<R: Into<Rejection>> From<R> for Held {
    fn from(rejection: R) -> Self {
        Self::Refused(rejection.into())
    }
}

/// What is settled about a caller before the rules are asked.
pub(super) struct Heard<'f, 'r> {
    pub(super) principal: &'r Principal,
    pub(super) tenant: &'r Arc<Tenant>,
    /// The id that named the tenant.
    pub(super) named: Option<&'f str>,
    pub(super) facts: &'f Facts<'r>,
}

impl<'q> Case<'q> {
    pub(super) fn judge(&self, shown: &Shown, known: &mut Known, evidence: &mut Evidence) -> Step {
        if let Some(rejection) = self.turned_away(known) {
            evidence.rule = self.rate(known, Stage::Arrival);
            return Step::Refuse(rejection);
        }
        let token = match (shown, &self.operation.access) {
            // A bad token is refused on a public operation too: whoever sends one is told.
            (Shown::Refused(refused), _) => {
                evidence.issuer.clone_from(&refused.issuer);
                return Step::Refuse(Rejection::Token(refused.error));
            }
            (_, Access::Public) => return self.stranger("public", evidence),
            (Shown::Nothing, Access::Socket { .. }) if self.connects_later() => {
                return self.stranger("token-to-come", evidence);
            }
            (Shown::Nothing, _) => return Step::Refuse(Rejection::CredentialMissing),
            (Shown::Verified(token), _) => token,
        };
        evidence.issuer = Some(token.issuer().clone());
        evidence.caller = Some(token.clone());
        // Each turn asks, or settles one look-up more that can't be asked.
        for _ in 0..=LOOK_UPS_MAX {
            let mut settled = Known::default();
            match self.hear(token, known, &mut settled, evidence) {
                Ok(step) => return step,
                Err(Held::Refused(rejection)) => return Step::Refuse(rejection),
                Err(Held::Seat(claim)) => return Step::Ask(vec![Question::Seat { app: self.at.app, claim }]),
                Err(Held::Budget(claim, seat)) => {
                    return Step::Ask(vec![Question::Budget { app: self.at.app, claim, seat }]);
                }
                Err(Held::Needs(_)) => known.take(settled),
            }
        }
        Step::Refuse(Rejection::Internal)
    }

    /// A request without a principal.
    fn stranger(&self, reason: &'static str, evidence: &mut Evidence) -> Step {
        evidence.verdict = Some(Verdict { effect: Effect::Allow, reason });
        evidence.rule = Some(self.operation.place.clone());
        self.unattended().map_or_else(Step::Refuse, |permit| Step::Permit(Box::new(permit)))
    }

    /// Whether the token of a socket may come with its first packet.
    fn connects_later(&self) -> bool {
        let sources = self.app.socket.as_ref().map_or(&[][..], |own| &own.token);
        sources.iter().any(|source| matches!(source, TokenSource::Auth(_)))
    }

    /// Judges a caller by what is known; what isn't is spelled out as questions, or settled where it can't be asked.
    fn hear(
        &self,
        token: &Arc<VerifiedToken>,
        known: &Known,
        settled: &mut Known,
        evidence: &mut Evidence,
    ) -> Result<Step, Held> {
        if *token.issuer() != self.app.issuer {
            return Err(Rejection::Principal(PrincipalError::WrongIssuer).into());
        }
        let principal = Principal::identify(token.clone(), |id| self.snapshot.directory.knows(id))
            .map_err(Rejection::Principal)?;
        self.read_once()?;
        let parameters = self.app.path_of(self.operation).values(self.request.path);
        let trail = Trail::default();
        let mut facts = Facts {
            declared: &self.app.facts,
            request: self.request,
            parameters: &parameters,
            principal: Some(&principal),
            tenant: None,
            app: self.at.app,
            known,
            narrows: &self.operation.obligations.narrows,
            trail: &trail,
            now: self.now,
        };
        let (tenant, named) = self.tenant(&facts)?;
        facts.tenant = Some(&tenant);
        let heard = Heard { principal: &principal, tenant: &tenant, named: named.as_deref(), facts: &facts };
        match self.rule(&heard, evidence) {
            Ok(permit) => Ok(Step::Permit(Box::new(permit))),
            Err(Held::Needs(needs)) => {
                let questions = self.questions(needs, &facts, settled);
                if questions.is_empty() { Err(Held::Needs(needs)) } else { Ok(Step::Ask(questions)) }
            }
            Err(held) => Err(held),
        }
    }

    /// Proves the tenant, finds the roles and decides.
    fn rule(&self, heard: &Heard<'_, '_>, evidence: &mut Evidence) -> Result<Permit, Held> {
        let facts = heard.facts;
        let proof = self.proof(facts);
        let (roles, open) = self.roles(heard.principal.token(), facts);
        let decision = self.decision(proof, &roles, open, facts);
        if proof == Standing::For(()) {
            evidence.tenant = Some(heard.tenant.name.clone());
        }
        let permit = match (proof, decision) {
            (Standing::Against(_), _) => Err(Rejection::Tenant(TenantError::NotProven).into()),
            (_, Decision::Need(needs)) => Err(Held::Needs(needs)),
            (_, Decision::Allow(granted)) => self.carry(heard, &roles, granted, evidence),
            (_, Decision::Deny(denial)) => {
                evidence.refused(denial.reason(), self.audited(facts));
                let challenge = self.challenge(denial, heard.principal);
                Err(challenge.map_or(Rejection::Denied, Rejection::StepUp).into())
            }
            (_, Decision::Unanswered(_)) => {
                evidence.refused("unanswered", self.audited(facts));
                Err(Rejection::Unanswered.into())
            }
        };
        evidence.rule = match &permit {
            Err(Held::Refused(Rejection::RateLimited { .. })) => self.rate(facts.known, Stage::Permission),
            _ => self.place(decision),
        };
        let Some(judged) = &mut evidence.judged else { return Err(Rejection::Internal.into()) };
        judged.tenant = Some(heard.tenant.clone());
        judged.roles = roles;
        judged.decision = (!matches!(proof, Standing::Against(_))).then_some(decision);
        permit
    }

    /// The caller's roles, and what would tell them where they aren't known.
    fn roles(&self, token: &VerifiedToken, facts: &Facts<'_>) -> (RoleSet, Option<Needs>) {
        let _before = facts.trail.take();
        let source = self.app.facts.get(self.app.roles_fact).map(|fact| &fact.source);
        // It has no default, so that nothing but the token speaks here.
        if let Some(Source::Token(_)) = source {
            let read = || RoleSet::of(self.app, facts.get(self.app.roles_fact).as_ref());
            return (token.memo(&self.app.purpose, read), None);
        }
        let held = facts.get(self.app.roles_fact);
        let (needs, missed) = facts.trail.take();
        let open = !needs.is_empty() || missed == Missed::Something;
        (RoleSet::of(self.app, held.as_ref()), open.then_some(needs))
    }

    /// Without the caller's roles there is no decision, but what is required may refuse at once. Who isn't known to be
    /// the tenant's is asked about together with what else is needed.
    fn decision(
        &self,
        proof: Standing<()>,
        roles: &RoleSet,
        open: Option<Needs>,
        facts: &Facts<'_>,
    ) -> Decision {
        let decision = match open {
            None => policy::decide(self.app, self.operation, roles, facts),
            Some(needs) => match policy::require(self.app, self.operation, facts) {
                Standing::Against(denial) => Decision::Deny(denial),
                _ if needs.is_empty() => Decision::Unanswered(Denial::NoPermission),
                _ => Decision::Need(needs),
            },
        };
        match (proof, decision) {
            (Standing::Open(open), Decision::Need(needs)) => open.and(needs),
            (Standing::Open(open), Decision::Allow(_)) => open.decision(),
            (_, decision) => decision,
        }
    }

    /// What a rule reads occurs once, else the app could read another value than the rule.
    pub(super) fn read_once(&self) -> Result<(), Malformed> {
        for key in &self.app.read_queries {
            self.request.query.get(key)?;
        }
        for name in &self.app.read_headers {
            read_header(self.request.headers, name)?;
        }
        Ok(())
    }

    /// The acting tenant, and the id that named it. The first source that is present decides.
    fn tenant<'f>(&self, facts: &Facts<'f>) -> Result<(Arc<Tenant>, Option<Cow<'f, str>>), Rejection> {
        let sources = match &self.app.tenant {
            TenantRule::Constant(tenant) => return Ok((tenant.clone(), None)),
            TenantRule::From { sources, .. } => sources,
        };
        let source = sources.iter().find(|source| facts.is_stated(**source));
        let source = source.ok_or(Rejection::Tenant(TenantError::Missing))?;
        let Some(Value::Text(id)) = facts.get(*source) else {
            return Err(Rejection::Tenant(TenantError::Unknown));
        };
        let tenant = self.snapshot.directory.customer(&id, &self.app.name);
        let tenant = tenant.ok_or(Rejection::Tenant(TenantError::Unknown))?;
        Ok((tenant.clone(), Some(id)))
    }

    /// Whether the caller is proven to act for the tenant.
    fn proof(&self, facts: &Facts<'_>) -> Standing<()> {
        match &self.app.tenant {
            TenantRule::From { proven_by: Some(requirement), .. } => {
                policy::prove(self.app, *requirement, facts)
            }
            TenantRule::From { proven_by: None, .. } | TenantRule::Constant(_) => Standing::For(()),
        }
    }

    /// How a stronger log-in is asked for, where the requirement that stood against it says that one would do.
    fn challenge(&self, denial: Denial, principal: &Principal) -> Option<Challenge> {
        let Denial::Requirement { requirement, .. } = denial else { return None };
        let step_up = self.app.requirements.get(requirement)?.step_up.as_ref()?;
        match &step_up.entra {
            Some(context) if principal.takes_claims_challenges() => {
                Some(Challenge::EntraClaims(context.clone()))
            }
            _ if step_up.acr.is_empty() => None,
            _ => Some(Challenge::Contexts(step_up.acr.to_vec())),
        }
    }

    fn place(&self, decision: Decision) -> Option<Arc<str>> {
        let grant =
            |role: usize, grant: usize| Some(self.app.roles.get(role)?.grants.get(grant)?.place.clone());
        match decision {
            Decision::Allow(Granted::Public | Granted::Opening) | Decision::Need(_) => {
                Some(self.operation.place.clone())
            }
            Decision::Allow(Granted::Grant { role, grant: index, .. })
            | Decision::Deny(Denial::Condition { role, grant: index, .. })
            | Decision::Unanswered(Denial::Condition { role, grant: index, .. }) => grant(role, index),
            Decision::Deny(Denial::Requirement { requirement, .. })
            | Decision::Unanswered(Denial::Requirement { requirement, .. }) => {
                self.app.requirements.get(requirement).map(|own| own.place.clone())
            }
            Decision::Deny(Denial::NoPermission) | Decision::Unanswered(Denial::NoPermission) => {
                Some(self.operation.place.clone())
            }
        }
    }
}
