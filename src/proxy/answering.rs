//! Answers the questions of a ruling, until there is none left: tokens are checked, bodies read, apps asked, seats and
//! tokens of rates taken.
//! What the answers mean is for the ruling to say.

use std::time::{Instant, SystemTime};

use bytes::Bytes;
use futures_util::future::join_all;
use http::request::Parts;
use hyper::body::Incoming;

use super::plane::Plane;
use super::reading;
use crate::authorize::{Answer, Evidence, LookUpQuestion, Pending, Permit, Question, Ruling};
use crate::lookup;
use crate::plumbing::Limits;
use crate::policy::lookup::LookedUp;
use crate::rejection::Rejection;
use crate::request::{RequestView, Timestamp};
use crate::upstream::Upstreams;

/// A request's body, as far as it was needed for the decision.
#[derive(Debug)]
pub(super) enum Received {
    /// Not read: it streams.
    Unread(Incoming),
    /// Read whole, because a rule reads it.
    Read(Bytes),
    /// Being read, or nothing that could be.
    Gone,
}

/// A body that a ruling may ask for.
pub(super) struct Readable<'r> {
    pub(super) parts: &'r Parts,
    pub(super) limits: &'r Limits,
    pub(super) body: &'r mut Received,
}

/// Everything that questions are answered with.
#[derive(Clone, Copy)]
pub(super) struct Answering<'p> {
    pub(super) plane: &'p Plane,
    pub(super) upstreams: &'p Upstreams,
}

impl Answering<'_> {
    /// Goes on with a ruling until it is one.
    pub(super) async fn settle(
        self,
        mut ruling: Ruling,
        request: &RequestView<'_>,
        mut body: Option<Readable<'_>>,
    ) -> (Result<Permit, Rejection>, Evidence) {
        loop {
            let pending = match ruling {
                Ruling::Permit(permit, evidence) => return (Ok(permit), evidence),
                Ruling::Refuse(rejection, evidence) => return (Err(rejection), evidence),
                Ruling::Ask(pending) => pending,
            };
            // What is known already is answered without waiting; the rest is seldom, and large.
            let answers = match self.at_once(&pending) {
                Some(answers) => Ok(answers),
                None => Box::pin(self.answers(&pending, body.as_mut())).await,
            };
            ruling = match answers {
                Ok(answers) => pending.settle(request, answers),
                Err(rejection) => pending.refuse(rejection),
            };
        }
    }

    fn at_once(self, pending: &Pending) -> Option<Vec<Answer>> {
        let now = Instant::now();
        let known = |question: &Question| match question {
            Question::LookUp(own) => Some(looked_up(own, self.plane.lookups().cached(&own.key, now)?)),
            other => self.taken(other, now),
        };
        pending.questions().iter().map(known).collect()
    }

    /// What the ledger answers: seats and tokens of rates. Each of these questions is put alone, or with its like.
    fn taken(self, question: &Question, now: Instant) -> Option<Answer> {
        let ledger = self.plane.ledger();
        match question {
            Question::Seat { app, claim } => Some(Answer::Seated { app: *app, seated: ledger.take(claim) }),
            Question::Arrival { app, claim } => {
                Some(Answer::Arrived { app: *app, budgeted: ledger.buckets().arrive(claim, now) })
            }
            Question::Budget { app, claim, seat } => {
                let (budgeted, seated) = ledger.admit(claim, seat.as_deref(), now);
                Some(Answer::Budgeted { app: *app, budgeted, seated })
            }
            Question::Verify { .. } | Question::Body | Question::LookUp(_) => None,
        }
    }

    async fn answers(
        self,
        pending: &Pending,
        mut body: Option<&mut Readable<'_>>,
    ) -> Result<Vec<Answer>, Rejection> {
        let mut answers = Vec::new();
        let mut asked = Vec::new();
        for question in pending.questions() {
            match question {
                Question::Verify { token } => answers.push(self.verify(pending, token).await?),
                Question::Body => answers.push(read(body.as_deref_mut()).await?),
                Question::LookUp(own) => asked.push(self.ask(own)),
                other => answers.extend(self.taken(other, Instant::now())),
            }
        }
        answers.extend(join_all(asked).await);
        Ok(answers)
    }

    async fn ask(self, own: &LookUpQuestion) -> Answer {
        let question = lookup::Question {
            key: own.key.clone(),
            headers: own.headers.clone(),
            ttl: own.ttl,
            timeout: own.timeout,
        };
        looked_up(own, self.plane.lookups().ask(self.upstreams, &question).await)
    }

    /// Checks a first-seen token's signature beside the requests, a few at a time.
    async fn verify(self, pending: &Pending, token: &str) -> Result<Answer, Rejection> {
        let turn = self.plane.checks.acquire().await.map_err(|_| Rejection::Internal)?;
        let (snapshot, token) = (pending.snapshot().clone(), token.to_owned());
        let check = tokio::task::spawn_blocking(move || snapshot.verifier.verify(&token, now()));
        let verified = check.await.map_err(|_| Rejection::Internal)?;
        drop(turn);
        Ok(Answer::Verified(verified))
    }
}

fn looked_up(own: &LookUpQuestion, answer: LookedUp) -> Answer {
    Answer::LookedUp { app: own.app, look_up: own.look_up, answer }
}

/// Reads the body once. Where there is none to be read, nothing is known of it.
async fn read(body: Option<&mut Readable<'_>>) -> Result<Answer, Rejection> {
    let Some(Readable { parts, limits, body }) = body else {
        return Ok(Answer::Body(std::sync::Arc::new(serde_json::Value::Null)));
    };
    match std::mem::replace(*body, Received::Gone) {
        Received::Unread(incoming) => {
            let (bytes, value) = reading::json(parts, incoming, limits).await?;
            **body = Received::Read(bytes);
            Ok(Answer::Body(std::sync::Arc::new(value)))
        }
        Received::Read(_) | Received::Gone => Err(Rejection::Internal),
    }
}

/// The time of day, in whole seconds.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Timestamp(since.map_or(0, |since| since.as_secs()))
}
