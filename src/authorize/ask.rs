//! Questions and answers: how a ruling waits for what somebody else must say, and goes on.

use std::sync::Arc;

use serde_json::Value as Json;

use super::needs::LookUpQuestion;
use super::{Evidence, Ruling, Shown, judge};
use crate::policy::Known;
use crate::policy::lookup::LookedUp;
use crate::rejection::Rejection;
use crate::request::{RequestView, Timestamp};
use crate::seat::{SeatClaim, Seated};
use crate::snapshot::{OperationRef, Snapshot};
use crate::token::{Refused, VerifiedToken};

/// What must be found out.
#[derive(Clone, Debug)]
pub enum Question {
    /// Is this token's signature its issuer's? It wasn't seen before, and checking costs more than deciding.
    Verify {
        /// The token as it came.
        token: Box<str>,
    },
    /// What does the request's body say?
    Body,
    /// What does an app say of itself?
    LookUp(Box<LookUpQuestion>),
    /// Is there a licence seat? Asked last, alone and once: whoever has one is let in.
    Seat {
        /// The app, by index.
        app: usize,
        /// Who wants one, and of whom.
        claim: Box<SeatClaim>,
    },
}

impl PartialEq for Question {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Body, Self::Body) => true,
            (Self::LookUp(own), Self::LookUp(other)) => own == other,
            _ => false,
        }
    }
}

/// What was found out.
#[derive(Debug)]
pub enum Answer {
    /// What the verifier says of the token.
    Verified(Result<Arc<VerifiedToken>, Refused>),
    /// The body; `null` if there is none.
    Body(Arc<Json>),
    /// What an app says.
    LookedUp {
        /// The app, by index.
        app: usize,
        /// The look-up, by index.
        look_up: usize,
        /// Its answer.
        answer: LookedUp,
    },
    /// Whether there is a seat.
    Seated {
        /// The app, by index.
        app: usize,
        /// What became of the claim.
        seated: Seated,
    },
}

/// What a ruling has come to so far.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) shown: Shown,
    pub(super) known: Known,
    pub(super) event: Option<OperationRef>,
    pub(super) now: Timestamp,
}

impl Course {
    pub(super) fn of_request(shown: Shown, now: Timestamp) -> Self {
        Self { shown, known: Known::default(), event: None, now }
    }

    pub(super) fn of_event(
        at: OperationRef,
        caller: Arc<VerifiedToken>,
        known: Known,
        now: Timestamp,
    ) -> Self {
        Self { shown: Shown::Verified(caller), known, event: Some(at), now }
    }

    fn learn(&mut self, answer: Answer) {
        match answer {
            Answer::Verified(verified) => self.shown = Shown::of(verified),
            Answer::Body(body) => self.known.body = Some(body),
            Answer::LookedUp { app, look_up, answer } => self.known.learn(app, look_up, answer),
            Answer::Seated { app, seated } => self.known.seat(app, seated),
        }
    }

    /// Goes on as if nobody had an answer, but for seats: there is always one.
    pub(super) fn suppose_nothing(&mut self, question: &Question) {
        match question {
            Question::Verify { .. } => {}
            Question::Body => self.known.body = Some(Arc::new(Json::Null)),
            Question::LookUp(own) => self.known.learn(own.app, own.look_up, LookedUp::Nothing),
            Question::Seat { app, .. } => self.known.seat(*app, Seated::Held),
        }
    }
}

/// A ruling that waits for answers. It owns the snapshot that it began with, and ends with it.
#[derive(Debug)]
pub struct Pending {
    snapshot: Arc<Snapshot>,
    questions: Vec<Question>,
    course: Course,
    evidence: Evidence,
}

impl Pending {
    pub(super) fn of(
        snapshot: Arc<Snapshot>,
        questions: Vec<Question>,
        course: Course,
        evidence: Evidence,
    ) -> Self {
        Self { snapshot, questions, course, evidence }
    }

    pub(super) fn verify(snapshot: &Arc<Snapshot>, token: &str, now: Timestamp) -> Self {
        let course = Course::of_request(Shown::Nothing, now);
        let questions = vec![Question::Verify { token: token.into() }];
        Self::of(snapshot.clone(), questions, course, Evidence::default())
    }

    /// What must be found out, all of it.
    #[must_use]
    pub fn questions(&self) -> &[Question] {
        &self.questions
    }

    /// The snapshot that it began with.
    #[must_use]
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// Goes on with the answers.
    pub fn settle(mut self, request: &RequestView<'_>, answers: Vec<Answer>) -> Ruling {
        answers.into_iter().for_each(|answer| self.course.learn(answer));
        judge(&self.snapshot, request, self.course).ruling(&self.snapshot)
    }

    /// Ends it: a question can't be put, because the request itself is at fault.
    pub fn refuse(self, rejection: Rejection) -> Ruling {
        Ruling::Refuse(rejection, self.evidence)
    }
}
