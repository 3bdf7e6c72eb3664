//! Answers the questions of a ruling, until there is none left: tokens are checked, bodies read, apps asked, seats and
//! tokens of rates taken.
//! What the answers mean is for the ruling to say.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use futures_util::future::join_all;
use http::request::Parts;
use hyper::body::Incoming;
use serde_json::Value as Json;

use super::plane::Plane;
use super::reading;
use crate::authorize::{
    Answer, Evidence, LookUpQuestion, Pending, Permit, Question, Ruling, must_be_on_record,
};
use crate::lookup;
use crate::plumbing::Limits;
use crate::policy::lookup::LookedUp;
use crate::rejection::Rejection;
use crate::request::{RequestView, Timestamp};
use crate::shadow::Candidate;
use crate::snapshot::Snapshot;
use crate::token::VerifiedToken;
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
    /// The rules that it began with.
    pub(super) snapshot: &'p Arc<Snapshot>,
}

/// How other rules are put the same: by the caller whose token was verified, and the body as far as it was read.
pub(super) type Instead<'i> =
    &'i (dyn Fn(&Arc<Snapshot>, &Arc<VerifiedToken>, Option<Arc<Json>>) -> Ruling + Sync);

/// What came of a ruling.
pub(super) struct Settled {
    pub(super) ruled: Result<Permit, Rejection>,
    pub(super) evidence: Evidence,
    /// The rules whose answer it is, where a candidate answers for the live ones.
    pub(super) candidate: Option<Arc<Candidate>>,
    /// What the live rules say, where a candidate answers for them.
    live: Necessity,
}

/// Whether a request may go on without a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Necessity {
    /// It may; what is lost is counted.
    Wanted,
    /// It may not.
    Required,
}

/// How far a ruling is carried.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// To its end.
    Settled,
    /// To where something would be spent: a seat, room within a rate.
    Spending,
}

impl Answering<'_> {
    /// Goes on with a ruling until it is one.
    pub(super) async fn settle(
        self,
        ruling: Ruling,
        request: &RequestView<'_>,
        mut body: Option<Readable<'_>>,
        instead: Instead<'_>,
    ) -> Settled {
        if self.plane.shadow().answers_some() {
            return Box::pin(self.tried(ruling, request, body, instead)).await;
        }
        let ruling = self.carry(ruling, request, body.as_mut(), Until::Settled).await;
        Settled::of(ruling, None)
    }

    /// The live rules say who is acted for, a candidate answers for them where it is tried out there. It is asked before
    /// anything is spent, so that nothing is spent twice; where it sees another tenant, the live answer stands.
    async fn tried(
        self,
        ruling: Ruling,
        request: &RequestView<'_>,
        mut body: Option<Readable<'_>>,
        instead: Instead<'_>,
    ) -> Settled {
        let live = self.carry(ruling, request, body.as_mut(), Until::Spending).await;
        let mut wanted = Necessity::Wanted;
        let mut answer = (live, None);
        if let Some((tenant, candidate, theirs)) = self.other(&answer.0, instead) {
            let theirs = self.carry(theirs, request, body.as_mut(), Until::Spending).await;
            if is_about(&theirs, &tenant) {
                if must_be_on_record(self.snapshot, request, evidence_of(&answer.0)) {
                    wanted = Necessity::Required;
                }
                answer = (theirs, Some(candidate));
            }
        }
        let (ruling, candidate) = answer;
        let ruling = self.carry(ruling, request, body.as_mut(), Until::Settled).await;
        let settled = Settled { live: wanted, ..Settled::of(ruling, candidate) };
        if let Some(candidate) = &settled.candidate {
            self.plane.shadow().answered(candidate, &settled.evidence);
        }
        settled
    }

    /// What a candidate begins to say in the place of the live rules, if it answers for the tenant that they see.
    fn other(self, live: &Ruling, instead: Instead<'_>) -> Option<(Arc<str>, Arc<Candidate>, Ruling)> {
        let (evidence, body) = match live {
            Ruling::Ask(pending) => (pending.evidence(), pending.body()),
            Ruling::Refuse(rejection, _) if !rejection.is_the_rules() => return None,
            Ruling::Permit(_, evidence) | Ruling::Refuse(_, evidence) => {
                (evidence, evidence.judged.as_ref()?.known.body.as_ref())
            }
        };
        let tenant = evidence.judged.as_ref()?.tenant.as_ref()?.name.clone();
        let candidate = self.plane.shadow().answering(self.snapshot, &tenant)?;
        let ruling = instead(&candidate.snapshot, evidence.caller.as_ref()?, body.cloned());
        Some((tenant, candidate, ruling))
    }

    async fn carry(
        self,
        mut ruling: Ruling,
        request: &RequestView<'_>,
        mut body: Option<&mut Readable<'_>>,
        until: Until,
    ) -> Ruling {
        loop {
            let pending = match ruling {
                Ruling::Ask(pending) if until == Until::Settled || !pending.is_last() => pending,
                done => return done,
            };
            // What is known already is answered without waiting; the rest is seldom, and large.
            let answers = match self.at_once(&pending) {
                Some(answers) => Ok(answers),
                None => Box::pin(self.answers(&pending, body.as_deref_mut())).await,
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

impl Settled {
    /// The rules whose answer it is.
    pub(super) fn rules<'r>(&'r self, live: &'r Arc<Snapshot>) -> &'r Arc<Snapshot> {
        self.candidate.as_ref().map_or(live, |candidate| &candidate.snapshot)
    }

    /// Whether what is permitted may be done without a record.
    pub(super) fn necessity(&self) -> Necessity {
        match &self.ruled {
            Ok(permit) if permit.is_on_record() => Necessity::Required,
            Ok(_) => self.live,
            Err(_) => Necessity::Wanted,
        }
    }

    fn of(ruling: Ruling, candidate: Option<Arc<Candidate>>) -> Self {
        let (ruled, evidence) = match ruling {
            Ruling::Permit(permit, evidence) => (Ok(permit), evidence),
            Ruling::Refuse(rejection, evidence) => (Err(rejection), evidence),
            // It was carried to its end.
            Ruling::Ask(_) => (Err(Rejection::Internal), Evidence::default()),
        };
        Self { ruled, evidence, candidate, live: Necessity::Wanted }
    }
}

fn evidence_of(ruling: &Ruling) -> &Evidence {
    match ruling {
        Ruling::Permit(_, evidence) | Ruling::Refuse(_, evidence) => evidence,
        Ruling::Ask(pending) => pending.evidence(),
    }
}

/// Whether a ruling is about what this tenant's things are asked for, or refuses before it sees any tenant.
fn is_about(ruling: &Ruling, tenant: &str) -> bool {
    let (evidence, refusal) = match ruling {
        Ruling::Permit(_, evidence) => (evidence, None),
        Ruling::Refuse(rejection, evidence) => (evidence, Some(rejection)),
        Ruling::Ask(pending) => (pending.evidence(), None),
    };
    match evidence.judged.as_ref().and_then(|own| own.tenant.as_ref()) {
        Some(own) => *own.name == *tenant,
        None => refusal.is_some_and(Rejection::is_the_rules),
    }
}

fn looked_up(own: &LookUpQuestion, answer: LookedUp) -> Answer {
    Answer::LookedUp { app: own.app, look_up: own.look_up, answer }
}

/// Reads the body once. Where there is none to be read, nothing is known of it.
async fn read(body: Option<&mut Readable<'_>>) -> Result<Answer, Rejection> {
    let Some(Readable { parts, limits, body }) = body else {
        return Ok(Answer::Body(Arc::new(Json::Null)));
    };
    match std::mem::replace(*body, Received::Gone) {
        Received::Unread(incoming) => {
            let (bytes, value) = reading::json(parts, incoming, limits).await?;
            **body = Received::Read(bytes);
            Ok(Answer::Body(Arc::new(value)))
        }
        Received::Read(_) | Received::Gone => Err(Rejection::Internal),
    }
}

/// The time of day, in whole seconds.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Timestamp(since.map_or(0, |since| since.as_secs()))
}
