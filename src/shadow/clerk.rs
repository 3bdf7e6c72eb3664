//! The one thread that asks the candidate. It has the live rules make their decision once more, to see what they asked
//! whom, and answers the candidate's questions by that alone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use super::asked::Asked;
use crate::analysis::posed::Caller;
use crate::analysis::trial::{Side, verdict};
use crate::authorize::{Answer, Effect, Question};
use crate::budget::Budgeted;
use crate::policy::lookup::{LookUpKey, LookedUp};
use crate::policy::{Known, Stage};
use crate::seat::{Over, SeatClaim, Seated};
use crate::snapshot::Snapshot;
use crate::telemetry::{Dropped, Metrics};
use crate::token::VerifiedToken;

/// How far behind others the thread stands for a processor.
const NICE: i32 = 10;
/// Tokens of which a copy is kept.
const TWINS: usize = 256;

/// Asks until nobody can bring anything any more.
pub(super) fn run(waiting: &Receiver<Box<Asked>>, metrics: &Metrics) {
    // Where it isn't allowed, it stands with the others.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
    let mut twins = Twins(vec![None; TWINS]);
    while let Ok(asked) = waiting.recv() {
        let judged = catch_unwind(AssertUnwindSafe(|| judge(&asked, &mut twins, metrics)));
        if !judged.unwrap_or(false) {
            metrics.shadow_dropped(Dropped::NotReplayed);
        }
    }
}

/// Puts the request to both; `false` where the live answer doesn't come out again.
fn judge(asked: &Asked, twins: &mut Twins, metrics: &Metrics) -> bool {
    let (live_set, set) = (&asked.live, &asked.candidate.snapshot);
    let mut found = Found { asked, look_ups: Vec::new(), seats: Vec::new() };
    let mut again = |question: &Question| found.live(question);
    let Ok(Ok(live)) =
        asked.posed.decide_knowing(live_set, &mut again, |_, ruling| Side::of(live_set, ruling))
    else {
        return false;
    };
    // What nobody answered is a refusal to the caller, whatever it may be another time.
    if live.effect.unwrap_or(Effect::Deny) != asked.effect {
        return false;
    }
    let candidate = ask(asked, &found, twins);
    let said = verdict(&live, &candidate);
    let app = live.evidence.app.as_ref().or(candidate.evidence.app.as_ref());
    let effect = asked.effect;
    metrics.shadow_decided(
        live.evidence.tenant.as_deref(),
        app.map(|app| &**app),
        (effect.as_str(), said.as_str()),
    );
    asked.candidate.tally.count(asked, (&live, live_set), (&candidate, set), said);
    true
}

/// The candidate's answer.
fn ask(asked: &Asked, found: &Found<'_>, twins: &mut Twins) -> Side {
    let mut posed = asked.posed.clone();
    // The token's own memory is for those who answer its bearer.
    if let Caller::Verified(token) = &mut posed.caller {
        *token = twins.of(token);
    }
    let set = &asked.candidate.snapshot;
    let decided = |found: &Found<'_>| {
        let mut answer = |question: &Question| found.candidate(set, question);
        match posed.decide_knowing(set, &mut answer, |_, ruling| Side::of(set, ruling)) {
            Ok(Ok(side)) => side,
            Ok(Err(question)) => Side::asking(&question),
            // It was read once already.
            Err(why) => Side::unknown(why.reason().to_owned()),
        }
    };
    let side = decided(found);
    // Where a token would have had to be verified, only what is refused without one is certain.
    let leads_nowhere = side.evidence.judged.is_none() && side.effect == Some(Effect::Deny);
    if asked.is_unidentified && !leads_nowhere {
        let mut unknown = Side::unknown("would verify the token".to_owned());
        unknown.evidence = side.evidence;
        return unknown;
    }
    side
}

/// What was found out for the live rules.
struct Found<'a> {
    asked: &'a Asked,
    look_ups: Vec<(LookUpKey, LookedUp)>,
    seats: Vec<(SeatClaim, Seated)>,
}

impl Found<'_> {
    /// The same answers that the live rules had.
    fn live(&mut self, question: &Question) -> Option<Answer> {
        let known: &Known = &self.asked.known;
        Some(match question {
            Question::LookUp(own) => {
                let answer = known.looked_up(own.app, own.look_up)?.clone();
                self.look_ups.push((own.key.clone(), answer.clone()));
                Answer::LookedUp { app: own.app, look_up: own.look_up, answer }
            }
            Question::Seat { app, claim } => {
                let seated = known.seated(*app)?;
                self.seats.push(((**claim).clone(), seated));
                Answer::Seated { app: *app, seated }
            }
            Question::Body => Answer::Body(known.body.clone()?),
            Question::Arrival { app, .. } => within(*app, Stage::Arrival),
            Question::Budget { app, .. } => within(*app, Stage::Permission),
            Question::Verify { .. } => return None,
        })
    }

    /// What is known of the candidate's questions: answers to the very same ones. There is always room within a rate,
    /// which says how often and not who.
    fn candidate(&self, set: &Snapshot, question: &Question) -> Option<Answer> {
        match question {
            Question::LookUp(own) => {
                let is_it = |(key, _): &&(LookUpKey, LookedUp)| {
                    is_same_question((key, &self.asked.live), (&own.key, set))
                };
                let answer = self.look_ups.iter().find(is_it)?.1.clone();
                Some(Answer::LookedUp { app: own.app, look_up: own.look_up, answer })
            }
            Question::Seat { app, claim } => {
                self.seat(claim).map(|seated| Answer::Seated { app: *app, seated })
            }
            Question::Body => Some(Answer::Body(self.asked.known.body.clone()?)),
            Question::Arrival { app, .. } => Some(within(*app, Stage::Arrival)),
            Question::Budget { app, .. } => Some(within(*app, Stage::Permission)),
            Question::Verify { .. } => None,
        }
    }

    /// The seat that the same person was given, or one that nobody is refused.
    fn seat(&self, claim: &SeatClaim) -> Option<Seated> {
        let is_it = |own: &SeatClaim| {
            own.tenant == claim.tenant
                && own.app == claim.app
                && own.person == claim.person
                && own.seats == claim.seats
        };
        let given = self.seats.iter().find(|(own, _)| is_it(own)).map(|(_, seated)| *seated);
        let seats = claim.seats;
        let is_bounded = seats.over == Over::Refuse && (seats.named.is_some() || seats.concurrent.is_some());
        given.or((!is_bounded).then_some(Seated::Held))
    }
}

fn within(app: usize, stage: Stage) -> Answer {
    let budgeted = Budgeted::Within;
    match stage {
        Stage::Arrival => Answer::Arrived { app, budgeted },
        Stage::Permission => Answer::Budgeted { app, budgeted, seated: None },
    }
}

/// Whether two sets ask the same of the same application, about the same tenant.
fn is_same_question((one, live): (&LookUpKey, &Snapshot), (other, set): (&LookUpKey, &Snapshot)) -> bool {
    let upstream = |set: &Snapshot, at: usize| set.gateway.upstreams.get(at).map(|own| own.name.clone());
    one.app == other.app
        && one.tenant == other.tenant
        && one.namespace == other.namespace
        && one.target == other.target
        && upstream(live, one.upstream) == upstream(set, other.upstream)
}

/// Copies of tokens, each with a memory of its own, for those that come often.
struct Twins(Vec<Option<(Arc<VerifiedToken>, Arc<VerifiedToken>)>>);

impl Twins {
    fn of(&mut self, token: &Arc<VerifiedToken>) -> Arc<VerifiedToken> {
        // Tokens are large: the low bits of where one stands say nothing.
        let slot = (Arc::as_ptr(token).addr() >> 6) % TWINS;
        let Some(slot) = self.0.get_mut(slot) else { return Arc::new(token.apart()) };
        match slot {
            Some((own, twin)) if Arc::ptr_eq(own, token) => twin.clone(),
            _ => {
                let twin = Arc::new(token.apart());
                *slot = Some((token.clone(), twin.clone()));
                twin
            }
        }
    }
}
