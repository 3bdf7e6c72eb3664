//! Asking together: who waits for whom, and for how long.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::sync::oneshot;

use super::*;
use crate::telemetry::{Hits, Mode};

const TTL: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_secs(20);

struct Bench {
    memory: Arc<Memory>,
    metrics: Arc<Metrics>,
    key: LookUpKey,
    flights: AtomicUsize,
}

impl Bench {
    fn new() -> Arc<Self> {
        let key = LookUpKey {
            revision: 1,
            app: "connect".into(),
            tenant: "acme".into(),
            namespace: "user".into(),
            upstream: 0,
            target: "/members/1".into(),
        };
        let metrics = Arc::new(Metrics::new(Mode::Run).unwrap());
        Arc::new(Self { memory: Memory::new(ROOM), metrics, key, flights: AtomicUsize::new(0) })
    }

    /// Asks, with this for the app's answer; every flight is counted.
    async fn ask(&self, timeout: Duration, app: impl Fn(Landing)) -> LookedUp {
        let until = Moment::now() + timeout;
        let fly = |landing| {
            self.flights.fetch_add(1, Ordering::SeqCst);
            app(landing);
        };
        wait(&self.memory, &self.metrics, &self.key, until, fly).await
    }

    fn flights(&self) -> usize {
        self.flights.load(Ordering::SeqCst)
    }
}

fn answer() -> LookedUp {
    LookedUp::Found(Arc::new(json!({ "role": "owner" })))
}

/// Lands when it is told to.
fn when_told(told: oneshot::Receiver<()>) -> impl Fn(Landing) {
    let told = std::cell::Cell::new(Some(told));
    move |landing| {
        let told = told.take().unwrap();
        tokio::spawn(async move {
            told.await.unwrap();
            landing.land(answer(), TTL, Hits::default(), Moment::now().into_std());
        });
    }
}

fn never(landing: Landing) {
    tokio::spawn(async move {
        let _landing = landing;
        pending::<()>().await;
    });
}

#[tokio::test]
async fn many_askers_are_one_question() {
    let bench = Bench::new();
    let (tell, told) = oneshot::channel();
    let first = bench.ask(LONG, when_told(told));
    let others = (0..100).map(|_| bench.ask(LONG, never));
    let all = async {
        let (first, others) = tokio::join!(first, async {
            let mut answers = Vec::new();
            for asker in others.collect::<Vec<_>>() {
                answers.push(asker.await);
            }
            answers
        });
        assert_eq!(first, answer());
        assert_eq!(others, vec![answer(); 100]);
    };
    let telling = async {
        tokio::task::yield_now().await;
        tell.send(()).unwrap();
    };
    tokio::join!(all, telling);
    assert_eq!(bench.flights(), 1);
}

#[tokio::test]
async fn the_asker_who_came_first_may_leave() {
    let bench = Bench::new();
    let (tell, told) = oneshot::channel();
    {
        let leaver = bench.ask(LONG, when_told(told));
        tokio::select! {
            biased;
            _ = leaver => panic!("nothing was answered yet"),
            () = tokio::task::yield_now() => {}
        }
    }
    tell.send(()).unwrap();
    assert_eq!(bench.ask(LONG, never).await, answer());
    assert_eq!(bench.flights(), 1);
    assert_eq!(bench.memory.get(&bench.key, Moment::now().into_std()), Some(answer()));
}

#[tokio::test]
async fn nobody_waits_longer_than_he_may() {
    let bench = Bench::new();
    for _ in 0..2 {
        let answered = bench.ask(Duration::from_millis(20), never).await;
        assert_eq!(answered, LookedUp::Unavailable(NoAnswer::Timeout));
    }
    assert_eq!(bench.flights(), 1, "the second asker waited for the first one's question");
}

#[tokio::test]
async fn a_lost_flight_is_flown_again_once() {
    let bench = Bench::new();
    let answered = bench.ask(LONG, |landing| {
        if bench.flights() == 1 {
            drop(landing);
        } else {
            landing.land(answer(), TTL, Hits::default(), Moment::now().into_std());
        }
    });
    assert_eq!(answered.await, answer());
    let bench = Bench::new();
    assert_eq!(bench.ask(LONG, drop).await, LookedUp::Unavailable(NoAnswer::Broken));
    assert_eq!(bench.flights(), 2);
}
