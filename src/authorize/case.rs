//! One app's judgement of one request: identify, find the tenant, prove it, decide.

use std::borrow::Cow;
use std::sync::Arc;

use super::evidence::{Effect, Evidence, Verdict};
use super::needs::Asked;
use super::permit::{Permit, Target};
use super::{Question, Shown};
use crate::fact::Value;
use crate::identity::{Principal, PrincipalError};
use crate::policy::lookup::Forget;
use crate::policy::obligation::{SeatRule, has_only};
use crate::policy::socket::TokenSource;
use crate::policy::{
    self, Access, App, Decision, Denial, Facts, Granted, Known, LOOK_UPS_MAX, Missed, Needs, Operation,
    RoleSet, Standing, TenantRule, Trail, Truth,
};
use crate::rejection::{Challenge, Rejection, TenantError};
use crate::request::{Malformed, RequestView, Timestamp, read_header};
use crate::seat::{PersonId, SeatClaim, Seated};
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
    Permit(Permit),
    Refuse(Rejection),
    Ask(Vec<Question>),
}

/// Why there is no permit yet.
enum Held {
    Refused(Rejection),
    Needs(Needs),
    Seat(SeatClaim),
}

impl<R: Into<Rejection>> From<R> for Held {
    fn from(rejection: R) -> Self {
        Self::Refused(rejection.into())
    }
}

/// What is settled about a caller before the rules are asked.
struct Heard<'f, 'r> {
    principal: &'r Principal,
    tenant: &'r Arc<Tenant>,
    named: Option<&'f str>,
    facts: &'f Facts<'r>,
}

impl<'q> Case<'q> {
    pub(super) fn judge(&self, shown: &Shown, known: &mut Known, evidence: &mut Evidence) -> Step {
        let token = match (shown, &self.operation.access) {
            // A bad token is refused on a public operation too: whoever sends one is told.
            (Shown::Refused(refused), _) => {
                evidence.issuer.clone_from(&refused.issuer);
                return Step::Refuse(Rejection::Token(refused.error));
            }
            (_, Access::Public) => {
                evidence.verdict = Some(Verdict { effect: Effect::Allow, reason: "public" });
                evidence.rule = Some(self.operation.place.clone());
                return self.stranger().map_or_else(Step::Refuse, Step::Permit);
            }
            (Shown::Nothing, Access::Socket { .. }) if self.connects_later() => {
                evidence.verdict = Some(Verdict { effect: Effect::Allow, reason: "token-to-come" });
                evidence.rule = Some(self.operation.place.clone());
                return self.stranger().map_or_else(Step::Refuse, Step::Permit);
            }
            (Shown::Nothing, _) => return Step::Refuse(Rejection::CredentialMissing),
            (Shown::Verified(token), _) => token,
        };
        // Each turn asks, or settles one look-up more that can't be asked.
        for _ in 0..=LOOK_UPS_MAX {
            match self.hear(token, known, evidence) {
                Ok(permit) => return Step::Permit(permit),
                Err((Held::Refused(rejection), _)) => return Step::Refuse(rejection),
                Err((Held::Seat(claim), _)) => {
                    return Step::Ask(vec![Question::Seat { app: self.at.app, claim: Box::new(claim) }]);
                }
                Err((Held::Needs(_), asked)) if !asked.questions.is_empty() => {
                    return Step::Ask(asked.questions);
                }
                Err((Held::Needs(_), asked)) => known.take(asked.settled),
            }
        }
        Step::Refuse(Rejection::Internal)
    }

    /// Judges a caller by what is known; what isn't is spelled out as questions.
    fn hear(
        &self,
        token: &Arc<VerifiedToken>,
        known: &Known,
        evidence: &mut Evidence,
    ) -> Result<Permit, (Held, Asked)> {
        let nothing = |held: Held| (held, Asked::default());
        evidence.issuer = Some(token.issuer().clone());
        evidence.caller = Some(token.clone());
        if *token.issuer() != self.app.issuer {
            return Err(nothing(Rejection::Principal(PrincipalError::WrongIssuer).into()));
        }
        let principal = Principal::identify(token.clone(), |id| self.snapshot.directory.knows(id))
            .map_err(|why| nothing(Rejection::Principal(why).into()))?;
        self.read_once().map_err(|why| nothing(why.into()))?;
        let parameters = self.operation.template.values(self.request.path);
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
        let (tenant, named) = self.tenant(&facts).map_err(|why| nothing(why.into()))?;
        facts.tenant = Some(&tenant);
        let heard = Heard { principal: &principal, tenant: &tenant, named: named.as_deref(), facts: &facts };
        self.decide(&heard, evidence).map_err(|held| match &held {
            Held::Needs(needs) => {
                let mut asked = Asked::default();
                asked.questions = self.questions(*needs, &facts, &mut asked.settled);
                (held, asked)
            }
            _ => nothing(held),
        })
    }

    fn decide(&self, heard: &Heard<'_, '_>, evidence: &mut Evidence) -> Result<Permit, Held> {
        let facts = heard.facts;
        let Some(judged) = &mut evidence.judged else { return Err(Rejection::Internal.into()) };
        judged.tenant = Some(heard.tenant.clone());
        let proof = self.proof(facts);
        if let Standing::Against(_) = proof {
            return Err(Rejection::Tenant(TenantError::NotProven).into());
        }
        let _before = facts.trail.take();
        let held = facts.get(self.app.roles_fact);
        let (needs, missed) = facts.trail.take();
        judged.roles = RoleSet::of(self.app, held.as_ref());
        let roles = judged.roles.clone();
        // Without the caller's roles there is no decision, but what is required may refuse at once.
        let decision = match (needs.is_empty(), missed) {
            (true, Missed::Nothing) => policy::decide(self.app, self.operation, &roles, facts),
            (false, _) => match policy::require(self.app, self.operation, facts) {
                Standing::Against(denial) => Decision::Deny(denial),
                _ => Decision::Need(needs),
            },
            (true, Missed::Something) => Decision::Unanswered(Denial::NoPermission),
        };
        let decision = match (proof, decision) {
            // Who isn't known to be the tenant's is refused as such, and asked about first.
            (Standing::Open(open), Decision::Need(needs)) => open.and(needs),
            (Standing::Open(open), Decision::Allow(_)) => open.decision(),
            (_, decision) => decision,
        };
        if proof == Standing::For(()) {
            evidence.tenant = Some(heard.tenant.name.clone());
        }
        if let Some(judged) = &mut evidence.judged {
            judged.decision = Some(decision);
        }
        evidence.rule = self.place(decision);
        let granted = match decision {
            Decision::Allow(granted) => granted,
            Decision::Need(needs) => return Err(Held::Needs(needs)),
            Decision::Unanswered(denial) => {
                evidence.verdict = Some(Verdict { effect: Effect::Deny, reason: "unanswered" });
                evidence.audited = self.audited(facts);
                let _unanswered = denial;
                return Err(Rejection::Unanswered.into());
            }
            Decision::Deny(denial) => {
                evidence.verdict = Some(Verdict { effect: Effect::Deny, reason: denial.reason() });
                evidence.audited = self.audited(facts);
                let challenge = self.challenge(denial, heard.principal);
                return Err(challenge.map_or(Rejection::Denied, Rejection::StepUp).into());
            }
        };
        let permit = self.carry(heard, &roles, granted, evidence)?;
        evidence.verdict = Some(Verdict { effect: Effect::Allow, reason: "granted" });
        Ok(permit)
    }

    /// What the allow carries along: obligations that must be known before it is one, and a seat last of all.
    fn carry(
        &self,
        heard: &Heard<'_, '_>,
        roles: &RoleSet,
        granted: Granted,
        evidence: &mut Evidence,
    ) -> Result<Permit, Held> {
        let (facts, own) = (heard.facts, &self.operation.obligations);
        let narrowed = self.narrowed(facts);
        let _before = facts.trail.take();
        let mut needs = Needs::default();
        if own.body_only.is_some() && facts.known.body.is_none() {
            needs.body = true;
        }
        let (supplied, query) = self.supplied(facts, heard.named)?;
        let injected = self.injected(facts);
        let edits = self.edits(roles, facts);
        let audited = self.audited(facts);
        let (wanted, _) = facts.trail.take();
        needs = needs.and(wanted);
        if !needs.is_empty() {
            return Err(Held::Needs(needs));
        }
        evidence.audited = audited;
        let refuse = |evidence: &mut Evidence, reason: &'static str, rejection: Rejection| {
            evidence.verdict = Some(Verdict { effect: Effect::Deny, reason });
            Held::Refused(rejection)
        };
        if let (Some(allowed), Some(body)) = (&own.body_only, &facts.known.body)
            && !has_only(body, allowed)
        {
            return Err(refuse(evidence, "body-field", Rejection::FieldNotPermitted));
        }
        let Some(injected) = injected else {
            return Err(refuse(evidence, "inject-unknown", Rejection::Denied));
        };
        match self.seat(heard, granted) {
            Some(claim) if facts.known.seated(self.at.app).is_none() => return Err(Held::Seat(claim)),
            Some(_) if matches!(facts.known.seated(self.at.app), Some(Seated::Refused(_))) => {
                return Err(refuse(evidence, "no-seat", Rejection::NoSeat));
            }
            _ => {}
        }
        evidence.narrowed.clone_from(&narrowed);
        let identity = self.identity(heard.principal, heard.tenant, roles, granted);
        let mut permit =
            self.permit(Target { narrowed: &narrowed, more: query, narrows: facts.trail.narrowed() })?;
        permit.identity = Some(identity);
        permit.authorization = self.app.authorization;
        permit.supplied = supplied;
        permit.supplied.extend(injected);
        let edited = !edits.masks.is_empty() || !edits.filters.is_empty();
        permit.edits = edited.then(|| Arc::new(edits));
        permit.forgets = self.forgets(heard.tenant);
        permit.upgrade = self.upgrade(Some(heard.principal.token()), roles, Some(facts));
        Ok(permit)
    }

    /// The permit of a request without a principal.
    fn stranger(&self) -> Result<Permit, Rejection> {
        let mut permit = self.permit(Target { narrowed: &[], more: String::new(), narrows: 0 })?;
        permit.removed = self.app.injects.iter().map(|own| own.header.clone()).collect();
        permit.upgrade = self.upgrade(None, &RoleSet::default(), None);
        Ok(permit)
    }

    /// Whether the token of a socket may come with its first packet.
    fn connects_later(&self) -> bool {
        let sources = self.app.socket.as_ref().map_or(&[][..], |own| &own.token);
        sources.iter().any(|source| matches!(source, TokenSource::Auth(_)))
    }

    /// The seat that the request needs, if it needs one. A test of it that isn't known doesn't spare one.
    fn seat(&self, heard: &Heard<'_, '_>, granted: Granted) -> Option<SeatClaim> {
        let Granted::Grant { permission, .. } = granted else { return None };
        match self.app.permission(permission)?.seat {
            SeatRule::Free => return None,
            SeatRule::Always => {}
            SeatRule::If(condition) => {
                if policy::test(self.app, condition, heard.facts) == Truth::Fails {
                    return None;
                }
            }
        }
        let token = heard.principal.token();
        let organisation = token.claims().get("tid").and_then(serde_json::Value::as_str).unwrap_or_default();
        Some(SeatClaim {
            tenant: heard.tenant.name.clone(),
            app: self.app.name.clone(),
            person: PersonId::of(token.issuer(), organisation, heard.principal.subject()),
            at: self.now,
            seats: heard.tenant.seats(),
            zone: heard.tenant.zone().clone(),
        })
    }

    /// The facts that are recorded whatever the rules read, as text.
    fn audited(&self, facts: &Facts<'_>) -> Vec<(Box<str>, String)> {
        let text =
            |fact: usize| facts.get(fact).map_or_else(|| "unknown".to_owned(), |value| value.to_string());
        let own = self.operation.obligations.audit.iter();
        own.filter_map(|fact| Some((self.app.facts.get(*fact)?.name.clone(), text(*fact)))).collect()
    }

    fn forgets(&self, tenant: &Tenant) -> Vec<Forget> {
        let own = self.operation.obligations.forgets.iter();
        let forget = |look_up: &usize| {
            let namespace = self.app.look_ups.get(*look_up)?.name.clone();
            Some(Forget { app: self.app.name.clone(), tenant: tenant.name.clone(), namespace })
        };
        own.filter_map(forget).collect()
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
