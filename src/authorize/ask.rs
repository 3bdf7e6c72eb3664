//! Questions and answers: how a ruling waits for what somebody else must say, and goes on.

use std::sync::Arc;

use serde_json::Value as Json;

use super::needs::LookUpQuestion;
use super::rates::{self, Brought};
use super::{Evidence, Ruling, Shown, conclude, identify};
use crate::budget::{BudgetClaim, Budgeted, Wanted};
use crate::policy::lookup::LookedUp;
use crate::policy::{Known, Stage};
use crate::rejection::Rejection;
use crate::request::{Credential, RequestView, Timestamp};
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
    /// Is there room for a request from this address? Asked first, before a token costs anything.
    Arrival {
        /// The app, by index.
        app: usize,
        /// The token that is wanted.
        claim: Box<Wanted>,
    },
    /// Is there room for one more request of this tenant, and of this person? Asked last, alone and once, and with it the
    /// seat that the request needs, if it does: where there is none, nothing is spent.
    Budget {
        /// The app, by index.
        app: usize,
        /// What it costs.
        claim: Box<BudgetClaim>,
        /// The seat.
        seat: Option<Box<SeatClaim>>,
    },
    /// Is there a licence seat? Asked last, alone and once: whoever has one is let in.
    Seat {
        /// The app, by index.
        app: usize,
        /// Who wants one, and of whom.
        claim: Box<SeatClaim>,
    },
}

impl Question {
    /// Whether nothing else may be asked beside it: where the answer is yes, the request is permitted.
    pub(super) fn is_last(&self) -> bool {
        matches!(self, Self::Seat { .. } | Self::Budget { .. })
    }
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
    /// Whether there was room for a request from an address.
    Arrived {
        /// The app, by index.
        app: usize,
        /// What became of the claim.
        budgeted: Budgeted,
    },
    /// Whether there was room for one more request.
    Budgeted {
        /// The app, by index.
        app: usize,
        /// What became of the claim.
        budgeted: Budgeted,
        /// What became of the seat, if one was asked for and there was room.
        seated: Option<Seated>,
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
    pub(super) occasion: Occasion,
}

/// Whether a judgement is of something that happens now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    /// A request, or an event.
    Now,
    /// What was permitted before is looked at again: it costs nothing more.
    Again,
}

impl Course {
    pub(super) fn of_request(shown: Shown, now: Timestamp) -> Self {
        Self { shown, known: Known::default(), event: None, now, occasion: Occasion::Now }
    }

    /// Of an opening that was permitted before.
    pub(super) fn again(shown: Shown, now: Timestamp) -> Self {
        Self { occasion: Occasion::Again, ..Self::of_request(shown, now) }
    }

    pub(super) fn of_event(
        at: OperationRef,
        caller: Arc<VerifiedToken>,
        known: Known,
        now: Timestamp,
    ) -> Self {
        Self { known, event: Some(at), ..Self::of_request(Shown::Verified(caller), now) }
    }

    pub(super) fn learn(&mut self, answer: Answer) {
        match answer {
            Answer::Verified(verified) => self.shown = Shown::of(verified),
            Answer::Body(body) => self.known.body = Some(body),
            Answer::LookedUp { app, look_up, answer } => self.known.learn(app, look_up, answer),
            Answer::Seated { app, seated } => self.known.seat(app, seated),
            Answer::Arrived { app, budgeted } => self.known.budget(app, Stage::Arrival, budgeted),
            Answer::Budgeted { app, budgeted, seated } => {
                self.known.budget(app, Stage::Permission, budgeted);
                if let Some(seated) = seated {
                    self.known.seat(app, seated);
                }
            }
        }
    }

    /// Goes on as if nobody had an answer, but for seats and rates: there is always one, and always room.
    pub(super) fn suppose_nothing(&mut self, question: &Question) {
        match question {
            Question::Verify { .. } => {}
            Question::Body => self.known.body = Some(Arc::new(Json::Null)),
            Question::LookUp(own) => self.known.learn(own.app, own.look_up, LookedUp::Nothing),
            Question::Seat { app, .. } => self.known.seat(*app, Seated::Held),
            Question::Arrival { app, .. } => self.known.budget(*app, Stage::Arrival, Budgeted::Within),
            Question::Budget { app, .. } => self.known.budget(*app, Stage::Permission, Budgeted::Within),
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
    /// What is looked at once there is room for the request's address.
    brought: Option<Brought>,
}

impl Pending {
    pub(super) fn of(
        snapshot: Arc<Snapshot>,
        questions: Vec<Question>,
        course: Course,
        evidence: Evidence,
    ) -> Self {
        Self { snapshot, questions, course, evidence, brought: None }
    }

    pub(super) fn verify(snapshot: &Arc<Snapshot>, token: &str, course: Course) -> Self {
        let questions = vec![Question::Verify { token: token.into() }];
        Self::of(snapshot.clone(), questions, course, Evidence::default())
    }

    /// A request that waits to be looked at.
    pub(super) fn arrive(
        snapshot: &Arc<Snapshot>,
        questions: Vec<Question>,
        credential: Credential<'_>,
        now: Timestamp,
    ) -> Self {
        let course = Course::of_request(Shown::Nothing, now);
        let brought = Some(Brought::of(credential));
        Self { brought, ..Self::of(snapshot.clone(), questions, course, Evidence::default()) }
    }

    /// What must be found out, all of it.
    #[must_use]
    pub fn questions(&self) -> &[Question] {
        &self.questions
    }

    /// Whether all that is left is to be spent: a seat, room within a rate.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.questions.iter().any(Question::is_last)
    }

    /// What it rests on so far.
    #[must_use]
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// The body, if it was read.
    #[must_use]
    pub fn body(&self) -> Option<&Arc<Json>> {
        self.course.known.body.as_ref()
    }

    /// The snapshot that it began with.
    #[must_use]
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// Goes on with the answers.
    pub fn settle(mut self, request: &RequestView<'_>, answers: Vec<Answer>) -> Ruling {
        answers.into_iter().for_each(|answer| self.course.learn(answer));
        match &self.brought {
            Some(brought) if !rates::is_turned_away(&self.snapshot, request, &self.course.known) => {
                identify(&self.snapshot, request, brought.credential(), self.course)
            }
            _ => conclude(&self.snapshot, request, self.course),
        }
    }

    /// Ends it: a question can't be put, because the request itself is at fault.
    pub fn refuse(self, rejection: Rejection) -> Ruling {
        Ruling::Refuse(rejection, self.evidence)
    }
}
