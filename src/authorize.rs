//! Snapshot × request × credential × now → ruling: the one decision path, for requests and for every tool that asks
//! what a request would be answered.
//!
//! It is pure. What must be found out from elsewhere is a question in the ruling; the effects side answers it and
//! the ruling is settled. Every ruling carries its evidence, whichever way it went.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::fact::{Facts, Source, Value};
use crate::identity::{Principal, PrincipalError};
use crate::policy::{self, Access, App, Decision, Granted, Operation, RoleSet, TenantRule, Truth};
use crate::rejection::{Rejection, TenantError};
use crate::request::{CanonicalPath, Credential, Malformed, RequestView, Timestamp, read_header};
use crate::route::{Match, Verb};
use crate::snapshot::{OperationRef, Snapshot};
use crate::tenant::Tenant;
use crate::token::{Refused, VerifiedToken};

pub use crate::policy::TokenHandling;

/// What a request is answered.
#[derive(Debug)]
#[must_use]
pub enum Ruling {
    /// It may be forwarded.
    Permit(Permit, Evidence),
    /// It may not.
    Refuse(Rejection, Evidence),
    /// Something must be found out first.
    Ask(Pending),
}

/// What must be found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Is this token's signature its issuer's? It wasn't seen before, and checking costs more than deciding.
    Verify {
        /// The token as it came.
        token: Box<str>,
    },
}

/// What was found out.
#[derive(Debug)]
pub enum Answer {
    /// What the verifier says of the token.
    Verified(Result<Arc<VerifiedToken>, Refused>),
}

/// A ruling that waits for an answer. It owns the snapshot that it began with, and ends with it.
#[derive(Debug)]
pub struct Pending {
    snapshot: Arc<Snapshot>,
    question: Question,
}

impl Pending {
    /// What must be found out.
    #[must_use]
    pub fn question(&self) -> &Question {
        &self.question
    }

    /// Goes on with the answer.
    pub fn settle(self, request: &RequestView<'_>, answer: Answer) -> Ruling {
        let Answer::Verified(verified) = answer;
        judge(&self.snapshot, request, Shown::of(verified))
    }
}

/// What a decision rested on, gathered on the way.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The app whose operation it is.
    pub app: Option<Arc<str>>,
    /// The operation's path template; never the path itself.
    pub route: Option<Arc<str>>,
    /// The acting tenant's name, once the rules have proven that the caller may act there.
    pub tenant: Option<Arc<str>>,
    /// The issuer's name in the configuration: of a verified token, or of the one that a bad token named.
    pub issuer: Option<Arc<str>>,
    /// The caller's verified token.
    pub caller: Option<Arc<VerifiedToken>>,
    /// What the policy decided, once it did.
    pub verdict: Option<Verdict>,
    /// Where the grant, or the rule that stood against it, stands: `rules/calling.toml:41`.
    pub rule: Option<Arc<str>>,
    /// How the decision was come to, for whoever explains it.
    pub judged: Option<Judged>,
}

/// One operation judged for one caller.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The operation.
    pub operation: OperationRef,
    /// The roles that the caller holds in the app.
    pub roles: RoleSet,
    /// The acting tenant, proven or not.
    pub tenant: Option<Arc<Tenant>>,
    /// The policy's decision, if it came to one.
    pub decision: Option<Decision>,
}

/// The policy's answer as metrics count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Allow or deny.
    pub effect: Effect,
    /// Why: a word from a closed set.
    pub reason: &'static str,
}

/// Allow or deny.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Forwarded.
    Allow,
    /// Refused.
    Deny,
}

impl Effect {
    /// The metric label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// Who the upstream is told is calling; values are percent-encoded, so they are always valid header values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssertedIdentity {
    /// `X-Gatewarden-Subject`.
    pub subject: HeaderValue,
    /// `X-Gatewarden-Tenant`: the acting tenant's name.
    pub tenant: HeaderValue,
    /// `X-Gatewarden-Roles`: the roles that the caller holds in the app, comma-separated.
    pub roles: HeaderValue,
    /// `X-Gatewarden-Permission`: the `resource#scope` that permitted it.
    pub permission: HeaderValue,
}

/// The right to forward one request. Only [`authorize`] makes one, and `proxy::forward` can't be called without.
#[derive(Debug)]
pub struct Permit {
    upstream: usize,
    target: String,
    identity: Option<AssertedIdentity>,
    authorization: TokenHandling,
    supplied: Vec<(HeaderName, HeaderValue)>,
}

impl Permit {
    /// Index of the upstream in the snapshot.
    #[must_use]
    pub fn upstream(&self) -> usize {
        self.upstream
    }

    /// Path and query to send, prefix already stripped.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Who is calling; none on a public operation.
    #[must_use]
    pub fn identity(&self) -> Option<&AssertedIdentity> {
        self.identity.as_ref()
    }

    /// Whether the caller's token is passed on.
    #[must_use]
    pub fn authorization(&self) -> TokenHandling {
        self.authorization
    }

    /// Headers that the decision supplies or replaces: the tenant's, declared defaults.
    #[must_use]
    pub fn supplied(&self) -> &[(HeaderName, HeaderValue)] {
        &self.supplied
    }
}

/// Rules on one request. A token that was verified before is remembered by the snapshot's verifier; one that wasn't
/// makes the ruling a question.
pub fn authorize(
    snapshot: &Arc<Snapshot>,
    request: &RequestView<'_>,
    credential: Credential<'_>,
    now: Timestamp,
) -> Ruling {
    match credential {
        Credential::Absent => judge(snapshot, request, Shown::Nothing),
        Credential::Bearer(token) => match snapshot.verifier.cached(token, now) {
            Some(known) => judge(snapshot, request, Shown::of(known)),
            // Where nothing is, no token is worth a signature check.
            None if leads_nowhere(snapshot, request) => judge(snapshot, request, Shown::Nothing),
            None => Ruling::Ask(Pending {
                snapshot: snapshot.clone(),
                question: Question::Verify { token: token.into() },
            }),
        },
    }
}

/// Rules on a request of a caller that nobody verified, for `can`, `explain` and the documents' tables. The permit
/// of such a ruling is for reading: there is no request to forward.
pub fn suppose(snapshot: &Snapshot, request: &RequestView<'_>, caller: Option<Arc<VerifiedToken>>) -> Ruling {
    judge(snapshot, request, caller.map_or(Shown::Nothing, Shown::Verified))
}

/// What came of the credential.
enum Shown {
    Nothing,
    Verified(Arc<VerifiedToken>),
    Refused(Refused),
}

impl Shown {
    fn of(verified: Result<Arc<VerifiedToken>, Refused>) -> Self {
        verified.map_or_else(Self::Refused, Self::Verified)
    }
}

fn leads_nowhere(snapshot: &Snapshot, request: &RequestView<'_>) -> bool {
    !matches!(
        snapshot.routes.find(request.host, request.path, Verb::of(request.method)),
        Match::Operations(_)
    )
}

fn judge(snapshot: &Snapshot, request: &RequestView<'_>, shown: Shown) -> Ruling {
    let claims = match snapshot.routes.find(request.host, request.path, Verb::of(request.method)) {
        Match::Operations(claims) => claims,
        Match::OtherMethods(verbs) => {
            let allow = Verb::methods(&verbs);
            return Ruling::Refuse(Rejection::MethodNotAllowed { allow }, Evidence::default());
        }
        Match::Nothing => return Ruling::Refuse(Rejection::NoRoute, Evidence::default()),
    };
    // Apps that share a route are asked in turn, the first to allow decides, and the refusal that came furthest is
    // the one that is told.
    let mut refusal: Option<(Rejection, Evidence)> = None;
    for at in claims {
        let Some((app, operation)) = snapshot.operation(*at) else { continue };
        let mut evidence = Evidence {
            app: Some(app.name.clone()),
            route: Some(operation.route.clone()),
            judged: Some(Judged {
                operation: *at,
                roles: RoleSet::exactly(Vec::new()),
                tenant: None,
                decision: None,
            }),
            ..Evidence::default()
        };
        let case = Case { snapshot, request, app, operation };
        match case.judge(&shown, &mut evidence) {
            Ok(permit) => return Ruling::Permit(permit, evidence),
            Err(rejection) => {
                let verdict = Verdict { effect: Effect::Deny, reason: rejection.reason() };
                evidence.verdict.get_or_insert(verdict);
                if refusal.as_ref().is_none_or(|(earlier, _)| distance(&rejection) > distance(earlier)) {
                    refusal = Some((rejection, evidence));
                }
            }
        }
    }
    let (rejection, evidence) = refusal.unwrap_or((Rejection::NoRoute, Evidence::default()));
    Ruling::Refuse(rejection, evidence)
}

/// How far a request came before it was refused.
fn distance(rejection: &Rejection) -> u8 {
    match rejection {
        Rejection::Denied => 3,
        Rejection::Tenant(_) => 2,
        Rejection::Principal(_) => 1,
        _ => 0,
    }
}

/// One app's judgement of one request.
struct Case<'q> {
    snapshot: &'q Snapshot,
    request: &'q RequestView<'q>,
    app: &'q App,
    operation: &'q Operation,
}

impl<'q> Case<'q> {
    fn judge(&self, shown: &Shown, evidence: &mut Evidence) -> Result<Permit, Rejection> {
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
                return Err(Rejection::Denied);
            }
        };
        evidence.verdict = Some(Verdict { effect: Effect::Allow, reason: "granted" });
        let identity = self.identity(&principal, &tenant, &judged.roles, granted);
        let (supplied, query) = self.supplied(&facts, named.as_deref())?;
        self.permit(Some(identity), self.app.authorization, supplied, query)
    }

    /// What a rule reads occurs once, else the app could read another value than the rule.
    fn read_once(&self) -> Result<(), Malformed> {
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
        let mut claims = Vec::new();
        if let Some(value) = facts.get(self.app.roles_fact) {
            value.for_each_string(|claim| claims.push(claim));
        }
        RoleSet::of(self.app, claims)
    }

    fn place(&self, decision: Decision) -> Option<Arc<str>> {
        use policy::Denial;
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

    fn identity(
        &self,
        principal: &Principal,
        tenant: &Tenant,
        roles: &RoleSet,
        granted: Granted,
    ) -> AssertedIdentity {
        let mut held = String::new();
        for role in roles.iter().filter(|role| Some(*role) != self.app.anyone) {
            if let Some(role) = self.app.roles.get(role) {
                if !held.is_empty() {
                    held.push(',');
                }
                held.extend(utf8_percent_encode(&role.name, LISTED));
            }
        }
        let permission = match granted {
            Granted::Public => None,
            Granted::Grant { permission, .. } => self.app.permission(permission),
        };
        AssertedIdentity {
            subject: encoded(principal.subject()),
            tenant: encoded(&tenant.name),
            roles: HeaderValue::try_from(held).unwrap_or(HeaderValue::from_static("")),
            permission: permission.map_or(HeaderValue::from_static(""), |own| encoded(&own.name)),
        }
    }

    /// What the decision took for granted is what the app is given: the tenant's id in the headers that may name it,
    /// and the defaults of headers and query parameters that the client left out.
    fn supplied(
        &self,
        facts: &Facts<'_>,
        tenant: Option<&str>,
    ) -> Result<(Vec<(HeaderName, HeaderValue)>, String), Rejection> {
        let mut headers = Vec::new();
        let mut query = String::new();
        if let (TenantRule::From { sources, .. }, Some(id)) = (&self.app.tenant, tenant) {
            let names = sources.iter().filter_map(|source| match &self.app.facts.get(*source)?.source {
                Source::Header(name) => Some(name),
                _ => None,
            });
            for name in names {
                headers.push(header(name, id)?);
            }
        }
        for (index, fact) in self.app.facts.iter().enumerate().filter(|(_, fact)| fact.default.is_some()) {
            if facts.is_stated(index) {
                continue;
            }
            let Some(value) = facts.get(index).and_then(text) else { continue };
            match &fact.source {
                Source::Header(name) => headers.push(header(name, &value)?),
                Source::Query(key) => {
                    query.push(if query.is_empty() && self.request.query.raw().is_empty() {
                        '?'
                    } else {
                        '&'
                    });
                    query.extend(utf8_percent_encode(key, QUERIED));
                    query.push('=');
                    query.extend(utf8_percent_encode(&value, QUERIED));
                }
                _ => {}
            }
        }
        Ok((headers, query))
    }

    fn permit(
        &self,
        identity: Option<AssertedIdentity>,
        authorization: TokenHandling,
        supplied: Vec<(HeaderName, HeaderValue)>,
        more_query: String,
    ) -> Result<Permit, Rejection> {
        let path = strip(self.request.path.raw(), &self.operation.strip);
        if !self.operation.strip.is_empty() {
            CanonicalPath::parse(path)?;
        }
        let query = self.request.query.raw();
        let mut target = String::with_capacity(path.len() + 1 + query.len() + more_query.len());
        target.push_str(path);
        if !query.is_empty() {
            target.push('?');
            target.push_str(query);
        }
        target.push_str(&more_query);
        Ok(Permit { upstream: self.operation.upstream, target, identity, authorization, supplied })
    }
}

/// Cuts as many whole segments off a path as a prefix has. What is left is judged again by whoever asked.
fn strip<'p>(raw: &'p str, prefix: &str) -> &'p str {
    let segments = prefix.matches('/').count();
    let rest = raw.match_indices('/').nth(segments).and_then(|(at, _)| raw.get(at..));
    if segments == 0 { raw } else { rest.unwrap_or("/") }
}

fn text(value: Value<'_>) -> Option<Cow<'_, str>> {
    match value {
        Value::Text(text) => Some(text),
        Value::Bool(value) => Some(value.to_string().into()),
        Value::Int(value) => Some(value.to_string().into()),
        Value::Ip(value) => Some(value.to_string().into()),
        Value::Set(_) | Value::Claims(_) | Value::Keys(_) | Value::Nets(_) => None,
    }
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Rejection> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Rejection::Internal)?;
    let value = HeaderValue::from_str(value).map_err(|_| Rejection::Malformed(Malformed::HeaderAmbiguous))?;
    Ok((name, value))
}

/// Everything that isn't plain visible ASCII, and the escape itself.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%').add(b' ').add(b'"');
/// The same, in a list with commas.
const LISTED: &AsciiSet = &ESCAPED.add(b',');
/// What doesn't stand for itself in a query.
const QUERIED: &AsciiSet = &ESCAPED.add(b'#').add(b'&').add(b'=').add(b'+').add(b';').add(b'<').add(b'>');

fn encoded(text: &str) -> HeaderValue {
    HeaderValue::try_from(Cow::from(utf8_percent_encode(text, ESCAPED)).as_ref())
        .unwrap_or(HeaderValue::from_static(""))
}
