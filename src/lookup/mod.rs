//! Look-ups: facts that only the protected app knows, asked of it when a decision needs them.
//!
//! `fetch` puts one question; `memory` keeps answers for as long as they may be used and lets those who want to know the
//! same wait for one answer. Which questions there are, and what an answer means, was said by the rules; here nothing is
//! decided. Whatever goes wrong, an asker hears in time that there is no answer, and without one nothing is granted.
//!
//! A question is asked by a task of its own: an asker who leaves takes nobody's answer away. It waits for its turn at the
//! upstream and is taken back if by then nobody waits for it, so there are never more questions on their way than an
//! upstream's turns and the requests in flight.

mod fetch;
mod forgetting;
mod memory;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue};
use tokio::sync::watch;
use tokio::time::{Instant as Moment, timeout_at};

pub use self::forgetting::Forgetting;
use self::memory::{Joined, Landing, Memory, Room};
use crate::policy::lookup::{Forget, LookUpKey, LookedUp, NoAnswer};
use crate::telemetry::Metrics;
use crate::upstream::{Upstream, Upstreams};

/// How long an asker waits, from the question to the answer's last byte, waiting for a turn included.
pub const TIMEOUT: Duration = Duration::from_secs(2);
/// What is remembered: answers, and the memory that they take, about.
const ROOM: Room = Room { entries: 50_000, bytes: 64 * 1024 * 1024 };

/// A question, with all that it takes to ask it.
#[derive(Clone, Debug)]
pub struct Question {
    /// What is asked, and of whom.
    pub key: LookUpKey,
    /// What the app must be told along with it: the acting tenant, where it keeps tenants apart by a header. It must
    /// follow from the key, because askers with one key share one answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How long an answer may be used, from when it was asked for.
    pub ttl: Duration,
    /// How long to wait.
    pub timeout: Duration,
}

/// Everything that was asked of apps, and is.
#[derive(Debug)]
pub struct LookUps {
    memory: Arc<Memory>,
    metrics: Arc<Metrics>,
    changes: watch::Sender<u64>,
}

impl LookUps {
    /// Nothing asked yet.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { memory: Memory::new(ROOM), metrics, changes: watch::Sender::new(0) }
    }

    /// The answer, if it is known and still good. Waits for nothing and allocates nothing.
    #[must_use]
    pub fn cached(&self, key: &LookUpKey, now: Instant) -> Option<LookedUp> {
        self.memory.get(key, now)
    }

    /// The answer, whatever it takes, for as long as the question may take. `upstreams` are those of the revision that
    /// asks. Must be called on a worker's runtime.
    pub async fn ask(&self, upstreams: &Upstreams, question: &Question) -> LookedUp {
        let Some(upstream) = upstreams.get(question.key.upstream) else {
            return LookedUp::Unavailable(NoAnswer::Unaskable);
        };
        let until = Moment::now() + question.timeout;
        let (metrics, key) = (&self.metrics, &question.key);
        let fly = |landing| {
            tokio::spawn(fly(upstream.clone(), question.clone(), until, metrics.clone(), landing));
        };
        wait(&self.memory, metrics, key, until, fly).await
    }

    /// Drops every answer of these namespaces, also those that are still on their way, and lets open sockets know. To be
    /// called when a write has ended, however it ended, and before its caller hears of it: [`Forgetting`] is.
    pub fn forget_all(&self, stale: &[Forget]) {
        stale.iter().for_each(|forget| self.memory.forget(forget));
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Moves whenever something of this app was forgotten.
    #[must_use]
    pub fn written(&self, app: &str) -> u64 {
        self.memory.written(app)
    }

    /// Moves whenever something was forgotten: what was allowed may no longer be.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

/// Takes part in the question until it is answered. `fly` starts the one who asks it.
async fn wait(
    memory: &Arc<Memory>,
    metrics: &Metrics,
    key: &LookUpKey,
    until: Moment,
    fly: impl Fn(Landing),
) -> LookedUp {
    /// A flight is lost where its worker ends; then another one is made, by a worker that doesn't.
    const FLIGHTS: usize = 2;
    for _ in 0..FLIGHTS {
        let mut awaited = match memory.join(key, Moment::now().into_std()) {
            Some(Joined::Known(answer, hits)) => {
                hits.count();
                return answer;
            }
            Some(Joined::Shared(awaited)) => {
                metrics.looked_up(&key.app, &key.namespace, "shared");
                awaited
            }
            Some(Joined::First(awaited, landing)) => {
                fly(landing);
                awaited
            }
            None => break,
        };
        let answered = timeout_at(until, awaited.wait_for(Option::is_some)).await;
        match answered.map(|answer| answer.ok().and_then(|answer| answer.clone())) {
            Ok(Some(answer)) => return answer,
            Ok(None) => {}
            Err(_) => return LookedUp::Unavailable(NoAnswer::Timeout),
        }
    }
    LookedUp::Unavailable(NoAnswer::Broken)
}

/// Asks the app for all who wait.
async fn fly(
    upstream: Arc<Upstream>,
    question: Question,
    until: Moment,
    metrics: Arc<Metrics>,
    landing: Landing,
) {
    let began = Moment::now();
    let Some(request) = fetch::request(&upstream, &question.key.target, &question.headers) else {
        return end(landing, &question, LookedUp::Unavailable(NoAnswer::Unaskable), &metrics);
    };
    let asking = async {
        let turn = tokio::select! {
            biased;
            turn = upstream.asking().acquire() => turn.ok()?,
            () = landing.abandoned() => return None,
        };
        let answer = fetch::ask(&upstream, request).await;
        drop(turn);
        Some(answer)
    };
    let answer = match timeout_at(until, asking).await {
        Ok(Some(answer)) => answer,
        Ok(None) => return,
        Err(_) => LookedUp::Unavailable(NoAnswer::Timeout),
    };
    let LookUpKey { app, namespace, .. } = &question.key;
    metrics.look_up_took(app, namespace, began.elapsed());
    end(landing, &question, answer, &metrics);
}

fn end(landing: Landing, question: &Question, answer: LookedUp, metrics: &Metrics) {
    let LookUpKey { app, namespace, .. } = &question.key;
    let result = match &answer {
        LookedUp::Found(_) => "found",
        LookedUp::Nothing => "nothing",
        LookedUp::Unavailable(why) => why.as_str(),
    };
    metrics.looked_up(app, namespace, result);
    // Whoever is told of a failure a moment later hasn't been answered either.
    let again = if matches!(answer, LookedUp::Unavailable(_)) { result } else { "hit" };
    let hits = metrics.look_up_hits(app, namespace, again);
    landing.land(answer, question.ttl, hits, Moment::now().into_std());
}

#[cfg(test)]
mod tests;
