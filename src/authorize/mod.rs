//! Snapshot × request × credential × now → ruling: the one decision path, for requests and for every tool that asks
//! what a request would be answered.
//!
//! It is pure. What must be found out from elsewhere is a question in the ruling; the effects side answers it and
//! the ruling is settled. Every ruling carries its evidence, whichever way it went.

mod ask;
mod carried;
mod carry;
mod case;
mod evidence;
mod needs;
mod permit;
mod preflight;
mod rates;
mod shared;

use std::borrow::Cow;
use std::sync::Arc;

pub use self::ask::{Answer, Pending, Question};
pub use self::carried::{Opening, Upgrade};
pub use self::evidence::{Effect, Evidence, Judged, Verdict};
pub use self::needs::LookUpQuestion;
pub use self::permit::{AssertedIdentity, Permit};
pub use self::preflight::Preflight;
pub use self::shared::must_be_on_record;
pub use crate::policy::TokenHandling;

use self::ask::{Course, Occasion};
use self::case::{Case, Step};
use crate::policy::Known;
use crate::policy::socket::TokenSource;
use crate::rejection::Rejection;
use crate::request::{ClientCertificate, Credential, RequestView, Timestamp, token68};
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

/// Rules on one request. A token that was verified before is remembered by the snapshot's verifier; one that wasn't
/// makes the ruling a question.
pub fn authorize(
    snapshot: &Arc<Snapshot>,
    request: &RequestView<'_>,
    credential: Credential<'_>,
    now: Timestamp,
) -> Ruling {
    let questions = rates::at_arrival(snapshot, request);
    if !questions.is_empty() {
        return Ruling::Ask(Pending::arrive(snapshot, questions, credential, now));
    }
    identify(snapshot, request, credential, Course::of_request(Shown::Nothing, now))
}

fn identify(
    snapshot: &Arc<Snapshot>,
    request: &RequestView<'_>,
    credential: Credential<'_>,
    mut course: Course,
) -> Ruling {
    course.shown = match credential {
        Credential::Absent => match socket_token(snapshot, request) {
            Ok(None) => Shown::Nothing,
            Ok(Some(token)) => return by_token(snapshot, request, token.as_bytes(), course),
            Err(malformed) => return Ruling::Refuse(Rejection::Malformed(malformed), Evidence::default()),
        },
        Credential::Foreign => Shown::Refused(TokenError::Malformed.into()),
        Credential::Bearer(token) => return by_token(snapshot, request, token, course),
    };
    conclude(snapshot, request, course)
}

fn by_token(snapshot: &Arc<Snapshot>, request: &RequestView<'_>, token: &[u8], mut course: Course) -> Ruling {
    match snapshot.verifier.cached(token, course.now) {
        Some(known) => course.shown = Shown::of(known),
        None => match token68(token) {
            Err(malformed) => return Ruling::Refuse(Rejection::Malformed(malformed), Evidence::default()),
            // Where nothing is, no token is worth a signature check.
            Ok(_) if leads_nowhere(snapshot, request) => {}
            Ok(token) => return Ruling::Ask(Pending::verify(snapshot, token, course)),
        },
    }
    conclude(snapshot, request, course)
}

/// Rules on one event of an open socket, as the caller who opened it. The request is the one that opened it.
pub fn event(
    snapshot: &Arc<Snapshot>,
    opening: &RequestView<'_>,
    caller: &Arc<VerifiedToken>,
    event: &Event<'_>,
    now: Timestamp,
) -> Ruling {
    let app = snapshot.apps.get(event.app);
    let Some(operation) = app.and_then(|app| app.events.get(event.name)) else {
        return Ruling::Refuse(Rejection::NoRoute, Evidence::default());
    };
    let at = OperationRef { app: event.app, operation: *operation };
    let known = Known::of_body(event.payload.clone());
    conclude(snapshot, opening, Course::of_event(at, caller.clone(), known, now))
}

/// Rules again on the request that opened a socket, by the rules of now and for the caller whose token was verified then,
/// if that is known. It is no request more, so no rate counts it.
pub fn reopen(
    snapshot: &Arc<Snapshot>,
    opening: &RequestView<'_>,
    caller: Option<&Arc<VerifiedToken>>,
    now: Timestamp,
) -> Ruling {
    match caller {
        Some(caller) => conclude(snapshot, opening, Course::again(Shown::Verified(caller.clone()), now)),
        None => identify(snapshot, opening, Credential::Absent, Course::again(Shown::Nothing, now)),
    }
}

/// Rules on a request once more by other rules than those that it began with: for the caller whose token was verified then,
/// and the body as far as it was read. Its address has paid on arrival.
pub fn instead(
    snapshot: &Arc<Snapshot>,
    request: &RequestView<'_>,
    caller: &Arc<VerifiedToken>,
    body: Option<Arc<serde_json::Value>>,
    now: Timestamp,
) -> Ruling {
    let course = Course::of_request(Shown::Verified(caller.clone()), now);
    conclude(snapshot, request, Course { known: Known::of_body(body), ..course })
}

/// An event that a client sends on a socket.
#[derive(Clone, Debug)]
pub struct Event<'e> {
    /// The app whose socket it is, by index.
    pub app: usize,
    /// Its name, decoded.
    pub name: &'e str,
    /// Its first argument, if the app's rules read any.
    pub payload: Option<Arc<serde_json::Value>>,
}

/// Rules on a request of a caller that nobody verified, for `can`, `explain` and the documents' tables: `known` is taken
/// for what was found out, and what is asked beyond it has no answer. The permit of such a ruling is for reading:
/// there is no request to forward.
pub fn suppose(
    snapshot: &Snapshot,
    request: &RequestView<'_>,
    caller: Option<Arc<VerifiedToken>>,
    supposed: Supposed,
) -> Ruling {
    let shown = caller.map_or(Shown::Nothing, Shown::Verified);
    let Supposed { known, now, event } = supposed;
    let mut course = Course::of_request(shown, now);
    (course.known, course.event) = (known, event);
    loop {
        match judge(snapshot, request, course) {
            Judgement::Permit(permit, evidence) => return Ruling::Permit(permit, evidence),
            Judgement::Refuse(rejection, evidence) => return Ruling::Refuse(rejection, evidence),
            Judgement::Ask(questions, open, _) => {
                course = open;
                questions.iter().for_each(|question| course.suppose_nothing(question));
            }
        }
    }
}

/// Rules on a request as [`suppose`] does, but what isn't known is asked of `answer`. A question that has no answer ends
/// it: what nobody found out isn't taken for anything.
pub fn suppose_knowing(
    snapshot: &Snapshot,
    request: &RequestView<'_>,
    caller: Option<Arc<VerifiedToken>>,
    supposed: Supposed,
    answer: &mut dyn FnMut(&Question) -> Option<Answer>,
) -> Result<Ruling, Box<Question>> {
    let shown = caller.map_or(Shown::Nothing, Shown::Verified);
    let Supposed { known, now, event } = supposed;
    let mut course = Course::of_request(shown, now);
    (course.known, course.event) = (known, event);
    loop {
        match judge(snapshot, request, course) {
            Judgement::Permit(permit, evidence) => return Ok(Ruling::Permit(permit, evidence)),
            Judgement::Refuse(rejection, evidence) => return Ok(Ruling::Refuse(rejection, evidence)),
            Judgement::Ask(questions, open, _) => {
                course = open;
                for question in questions {
                    let Some(known) = answer(&question) else { return Err(Box::new(question)) };
                    course.learn(known);
                }
            }
        }
    }
}

/// What is taken for granted of a hypothetical request.
#[derive(Clone, Debug, Default)]
pub struct Supposed {
    /// What was found out.
    pub known: Known,
    /// When it is made.
    pub now: Timestamp,
    /// The event that it is, on the socket that the request opens.
    pub event: Option<OperationRef>,
}

/// What came of the credential.
#[derive(Debug)]
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

impl Shown {
    /// A token that is bound to another certificate than the connection's proves nothing (RFC 8705 §3).
    fn unless_bound(&mut self, certificate: Option<&ClientCertificate>) {
        if let Self::Verified(token) = self
            && !token.fits(certificate)
        {
            *self =
                Self::Refused(Refused { issuer: Some(token.issuer().clone()), error: TokenError::NotBound });
        }
    }
}

fn leads_nowhere(snapshot: &Snapshot, request: &RequestView<'_>) -> bool {
    !matches!(
        snapshot.routes.find(request.host, request.path, Verb::of(request.method)),
        Match::Operations(_)
    )
}

/// The token that opens a socket in another place than the header, where the app says that it may.
fn socket_token<'r>(
    snapshot: &Snapshot,
    request: &RequestView<'r>,
) -> Result<Option<Cow<'r, str>>, crate::request::Malformed> {
    let found = snapshot.routes.find(request.host, request.path, Verb::of(request.method));
    let Match::Operations([only]) = found else { return Ok(None) };
    let Some((app, operation)) = snapshot.operation(*only) else { return Ok(None) };
    let Some(socket) = app.socket.as_ref().filter(|own| own.path == operation.template) else {
        return Ok(None);
    };
    for source in &socket.token {
        if let TokenSource::Query(key) = source
            && let Some(token) = request.query.get(key)?
        {
            return Ok(Some(token));
        }
    }
    Ok(None)
}

/// How far a request came.
enum Judgement {
    Permit(Permit, Evidence),
    Refuse(Rejection, Evidence),
    Ask(Vec<Question>, Course, Evidence),
}

impl Judgement {
    fn refuse(rejection: Rejection) -> Self {
        Self::Refuse(rejection, Evidence::default())
    }
}

/// Judges as far as is known.
fn conclude(snapshot: &Arc<Snapshot>, request: &RequestView<'_>, mut course: Course) -> Ruling {
    loop {
        match judge(snapshot, request, course) {
            Judgement::Permit(permit, evidence) => return Ruling::Permit(permit, evidence),
            Judgement::Refuse(rejection, evidence) => return Ruling::Refuse(rejection, evidence),
            Judgement::Ask(questions, open, evidence) => match (open.occasion, questions.as_slice()) {
                (Occasion::Again, [question @ Question::Budget { .. }]) => {
                    course = open;
                    course.suppose_nothing(question);
                }
                _ => return Ruling::Ask(Pending::of(snapshot.clone(), questions, open, evidence)),
            },
        }
    }
}

fn judge(snapshot: &Snapshot, request: &RequestView<'_>, mut course: Course) -> Judgement {
    let found;
    let claims: &[OperationRef] = match &course.event {
        Some(at) => {
            found = [*at];
            &found
        }
        None => match snapshot.routes.find(request.host, request.path, Verb::of(request.method)) {
            Match::Operations(claims) => claims,
            Match::OtherMethods(verbs) => {
                let allow = Verb::methods(&verbs);
                return Judgement::refuse(Rejection::MethodNotAllowed { allow });
            }
            Match::Nothing => return Judgement::refuse(Rejection::NoRoute),
        },
    };
    course.shown.unless_bound(request.certificate);
    // Apps that share a route are asked in turn, the first to allow decides, and the refusal that came furthest is
    // the one that is told.
    let mut refusal: Option<(Rejection, Evidence)> = None;
    if let Some(refused) = shared::read_twice(snapshot, request, claims) {
        return refused;
    }
    let mut asking: Option<(Vec<Question>, Evidence)> = None;
    for at in claims {
        let Some((app, operation)) = snapshot.operation(*at) else { continue };
        let judged = Judged::of(*at, course.now);
        let mut evidence = Evidence {
            app: Some(app.name.clone()),
            route: Some(operation.route.clone()),
            judged: Some(judged),
            ..Evidence::default()
        };
        let case = Case { snapshot, request, at: *at, app, operation, now: course.now };
        match case.judge(&course.shown, &mut course.known, &mut evidence) {
            Step::Permit(mut permit) => {
                shared::owe(&case, claims, &evidence, &mut permit);
                evidence.knows(course.known);
                return Judgement::Permit(*permit, evidence);
            }
            Step::Refuse(rejection) => {
                let verdict = Verdict { effect: Effect::Deny, reason: rejection.reason() };
                evidence.verdict.get_or_insert(verdict);
                if refusal.as_ref().is_none_or(|(earlier, _)| distance(&rejection) > distance(earlier)) {
                    refusal = Some((rejection, evidence));
                }
            }
            Step::Ask(questions) if questions.iter().any(Question::is_last) => {
                asking = Some((questions, evidence));
                break;
            }
            Step::Ask(questions) => match &mut asking {
                None => asking = Some((questions, evidence)),
                Some((earlier, _)) => {
                    earlier.extend(questions.into_iter().filter(|own| *own != Question::Body));
                }
            },
        }
    }
    if let Some((questions, evidence)) = asking {
        return Judgement::Ask(questions, course, evidence);
    }
    let (rejection, mut evidence) = refusal.unwrap_or((Rejection::NoRoute, Evidence::default()));
    evidence.knows(course.known);
    Judgement::Refuse(rejection, evidence)
}

/// How far a request came before it was refused.
fn distance(rejection: &Rejection) -> u8 {
    match rejection {
        Rejection::RateLimited { .. } => 4,
        Rejection::Denied
        | Rejection::StepUp(_)
        | Rejection::Unanswered
        | Rejection::FieldNotPermitted
        | Rejection::NoSeat => 3,
        Rejection::Tenant(_) => 2,
        Rejection::Principal(_) => 1,
        _ => 0,
    }
}
