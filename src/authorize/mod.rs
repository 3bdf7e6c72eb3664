//! Snapshot × request × credential × now → ruling: the one decision path, for requests and for every tool that asks
//! what a request would be answered.
//!
//! It is pure. What must be found out from elsewhere is a question in the ruling; the effects side answers it and
//! the ruling is settled. Every ruling carries its evidence, whichever way it went.

mod case;
mod evidence;
mod permit;

use std::sync::Arc;

pub use self::evidence::{Effect, Evidence, Judged, Verdict};
pub use self::permit::{AssertedIdentity, Permit};
pub use crate::policy::TokenHandling;

use self::case::Case;
use crate::policy::RoleSet;
use crate::rejection::Rejection;
use crate::request::{Credential, RequestView, Timestamp};
use crate::route::{Match, Verb};
use crate::snapshot::{OperationRef, Snapshot};
use crate::token::{Refused, TokenError, VerifiedToken};

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
        Credential::Foreign => judge(snapshot, request, Shown::Refused(TokenError::Malformed.into())),
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
    if let Some(refused) = read_twice(snapshot, request, claims) {
        return refused;
    }
    for at in claims {
        let Some((app, operation)) = snapshot.operation(*at) else { continue };
        let mut evidence = Evidence {
            app: Some(app.name.clone()),
            route: Some(operation.route.clone()),
            judged: Some(Judged { operation: *at, roles: RoleSet::default(), tenant: None, decision: None }),
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

/// Where apps share a route, what any of them reads occurs once: else one would let in what another can't read.
fn read_twice(snapshot: &Snapshot, request: &RequestView<'_>, claims: &[OperationRef]) -> Option<Ruling> {
    let [_, _, ..] = claims else { return None };
    claims.iter().find_map(|at| {
        let (app, operation) = snapshot.operation(*at)?;
        let why = Case { snapshot, request, app, operation }.read_once().err()?;
        let evidence = Evidence {
            app: Some(app.name.clone()),
            route: Some(operation.route.clone()),
            verdict: Some(Verdict { effect: Effect::Deny, reason: why.reason() }),
            ..Evidence::default()
        };
        Some(Ruling::Refuse(Rejection::Malformed(why), evidence))
    })
}

/// How far a request came before it was refused.
fn distance(rejection: &Rejection) -> u8 {
    match rejection {
        Rejection::Denied | Rejection::StepUp(_) => 3,
        Rejection::Tenant(_) => 2,
        Rejection::Principal(_) => 1,
        _ => 0,
    }
}
