//! One app's judgement of one request: identify, find the tenant, prove it, decide.

use std::borrow::Cow;
use std::sync::Arc;

use super::evidence::{Effect, Evidence, Verdict};
use super::permit::Permit;
use super::{Shown, TokenHandling};
use crate::fact::Value;
use crate::identity::{Principal, PrincipalError};
use crate::policy::{
    self, Access, App, Decision, Denial, Facts, Granted, Operation, RoleSet, TenantRule, Truth,
};
use crate::rejection::{Challenge, Rejection, TenantError};
use crate::request::{Malformed, RequestView, read_header};
use crate::snapshot::Snapshot;
use crate::tenant::Tenant;

/// One app's judgement of one request.
pub(super) struct Case<'q> {
    pub(super) snapshot: &'q Snapshot,
    pub(super) request: &'q RequestView<'q>,
    pub(super) app: &'q App,
    pub(super) operation: &'q Operation,
}

impl<'q> Case<'q> {
    pub(super) fn judge(&self, shown: &Shown, evidence: &mut Evidence) -> Result<Permit, Rejection> {
        let token = match (shown, &self.operation.access) {
            // A bad token is refused on a public operation too: whoever sends one is told.
            (Shown::Refused(refused), _) => {
                evidence.issuer.clone_from(&refused.issuer);
                return Err(Rejection::Token(refused.error));
            }
            (_, Access::Public) => {
                evidence.verdict = Some(Verdict { effect: Effect::Allow, reason: "public" });
                evidence.rule = Some(self.operation.place.clone());
                return self.permit(None, TokenHandling::Strip, Vec::new(), String::new());
            }
            (Shown::Nothing, Access::Guarded { .. }) => return Err(Rejection::CredentialMissing),
            (Shown::Verified(token), Access::Guarded { .. }) => token,
        };
        evidence.issuer = Some(token.issuer().clone());
        evidence.caller = Some(token.clone());
        if *token.issuer() != self.app.issuer {
            return Err(Rejection::Principal(PrincipalError::WrongIssuer));
        }
        let principal = Principal::identify(token.clone(), |id| self.snapshot.directory.knows(id))
            .map_err(Rejection::Principal)?;
        self.read_once()?;
        let parameters = self.operation.template.values(self.request.path);
        let mut facts = Facts {
            declared: &self.app.facts,
            request: self.request,
            parameters: &parameters,
            principal: Some(&principal),
            tenant: None,
        };
        let (tenant, named) = self.tenant(&facts)?;
        facts.tenant = Some(&tenant);
        let Some(judged) = &mut evidence.judged else { return Err(Rejection::Internal) };
        judged.roles = self.roles(&facts);
        judged.tenant = Some(tenant.clone());
        self.prove(&facts)?;
        evidence.tenant = Some(tenant.name.clone());
        let decision = policy::decide(self.app, self.operation, &judged.roles, &facts);
        judged.decision = Some(decision);
        evidence.rule = self.place(decision);
        let granted = match decision {
            Decision::Allow(granted) => granted,
            Decision::Deny(denial) => {
                evidence.verdict = Some(Verdict { effect: Effect::Deny, reason: denial.reason() });
                return Err(self.challenge(denial, &principal).map_or(Rejection::Denied, Rejection::StepUp));
            }
        };
        evidence.verdict = Some(Verdict { effect: Effect::Allow, reason: "granted" });
        let identity = self.identity(&principal, &tenant, &judged.roles, granted);
        let (supplied, query) = self.supplied(&facts, named.as_deref())?;
        self.permit(Some(identity), self.app.authorization, supplied, query)
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

    fn prove(&self, facts: &Facts<'_>) -> Result<(), Rejection> {
        let TenantRule::From { proven_by: Some(requirement), .. } = &self.app.tenant else { return Ok(()) };
        let requirement = self.app.requirements.get(*requirement);
        let truth = requirement.map_or(Truth::Unknown, |own| policy::test(self.app, own.condition, facts));
        if truth == Truth::Holds { Ok(()) } else { Err(Rejection::Tenant(TenantError::NotProven)) }
    }

    fn roles(&self, facts: &Facts<'_>) -> RoleSet {
        RoleSet::of(self.app, facts.get(self.app.roles_fact).as_ref())
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
            Decision::Allow(Granted::Public) => Some(self.operation.place.clone()),
            Decision::Allow(Granted::Grant { role, grant: index, .. })
            | Decision::Deny(Denial::Condition { role, grant: index, .. }) => grant(role, index),
            Decision::Deny(Denial::Requirement { requirement, .. }) => {
                self.app.requirements.get(requirement).map(|own| own.place.clone())
            }
            Decision::Deny(Denial::NoPermission) => Some(self.operation.place.clone()),
        }
    }
}
