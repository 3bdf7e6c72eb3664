//! What is remembered for how long, and what a write makes of it.

use serde_json::json;

use super::*;

const ROOM: Room = Room { entries: 50_000, bytes: 64 * 1024 * 1024 };
const TTL: Duration = Duration::from_secs(30);
const MS: Duration = Duration::from_millis(1);

fn key(tenant: &str, target: &str) -> LookUpKey {
    LookUpKey {
        revision: 1,
        app: "connect".into(),
        tenant: tenant.into(),
        namespace: "user".into(),
        upstream: 0,
        target: target.into(),
    }
}

fn forget(key: &LookUpKey) -> Forget {
    Forget { app: key.app.clone(), tenant: key.tenant.clone(), namespace: key.namespace.clone() }
}

fn found(number: u64) -> LookedUp {
    LookedUp::Found(Arc::new(json!({ "role": number })))
}

#[track_caller]
fn take_off(memory: &Arc<Memory>, key: &LookUpKey, now: Instant) -> (Awaited, Landing) {
    match memory.join(key, now) {
        Some(Joined::First(awaited, landing)) => (awaited, landing),
        _ => panic!("someone else asks"),
    }
}

fn answer(memory: &Arc<Memory>, key: &LookUpKey, answer: LookedUp, asked: Instant, answered: Instant) {
    let (_awaited, landing) = take_off(memory, key, asked);
    landing.land(answer, TTL, Hits::default(), answered);
}

#[test]
fn an_answer_is_as_old_as_its_question() {
    let (memory, asked, key) = (Memory::new(ROOM), Instant::now(), key("acme", "/members/1"));
    let unavailable = LookedUp::Unavailable(NoAnswer::Timeout);
    for (said, lasts, after) in [
        (found(1), TTL, 40 * MS),
        (LookedUp::Nothing, NOTHING_MAX, 40 * MS),
        (unavailable, 2000 * MS + FAILURE, 2000 * MS),
    ] {
        memory.forget(&forget(&key));
        answer(&memory, &key, said.clone(), asked, asked + after);
        assert_eq!(memory.get(&key, asked + lasts - MS), Some(said.clone()));
        assert_eq!(memory.get(&key, asked + lasts), None, "{said:?}");
    }
    assert!(FAILURE < Duration::from_secs(1), "a caller who does as `Retry-After` says is asked for");
}

#[test]
fn a_late_or_unasked_answer_is_not_remembered() {
    let (memory, asked, key) = (Memory::new(ROOM), Instant::now(), key("acme", "/members/1"));
    answer(&memory, &key, found(1), asked, asked + TTL);
    answer(&memory, &key, LookedUp::Unavailable(NoAnswer::Unaskable), asked, asked);
    let large = LookedUp::Found(Arc::new(json!(vec![json!({ "a": 1 }); 2000])));
    answer(&memory, &key, large, asked, asked);
    assert_eq!(memory.len(), (0, 0));
}

#[test]
fn every_part_of_the_key_counts() {
    let (memory, now, asked) = (Memory::new(ROOM), Instant::now(), key("acme", "/members/1"));
    answer(&memory, &asked, found(1), now, now);
    let others = [
        LookUpKey { revision: 2, ..asked.clone() },
        LookUpKey { app: "desk".into(), ..asked.clone() },
        LookUpKey { tenant: "globex".into(), ..asked.clone() },
        LookUpKey { namespace: "asset".into(), ..asked.clone() },
        LookUpKey { upstream: 1, ..asked.clone() },
        LookUpKey { target: "/members/2".into(), ..asked.clone() },
    ];
    for other in others {
        assert_eq!(memory.get(&other, now), None, "{other:?}");
    }
    assert_eq!(memory.get(&asked.clone(), now), Some(found(1)));
}

#[test]
fn a_write_drops_what_was_asked_before_it() {
    let (memory, now, mine) = (Memory::new(ROOM), Instant::now(), key("acme", "/members/1"));
    // A namespace that doesn't happen to share the other's number.
    let number =
        |key: &LookUpKey| memory.stamp_of(&key.app, &key.tenant, &key.namespace).unwrap() as *const _;
    let other =
        (0..).map(|n| key(&format!("globex{n}"), "/members/1")).find(|own| number(own) != number(&mine));
    let other = other.unwrap();
    for key in [&mine, &other] {
        answer(&memory, key, found(1), now, now);
    }
    memory.forget(&forget(&mine));
    assert_eq!(memory.get(&mine, now), None);
    assert_eq!(memory.get(&other, now), Some(found(1)));

    // A question that is on its way when the write ends is answered to those who asked it, and to nobody else.
    let (before, landing) = take_off(&memory, &mine, now);
    memory.forget(&forget(&mine));
    let (after, second) = take_off(&memory, &mine, now);
    landing.land(found(2), TTL, Hits::default(), now);
    assert_eq!(*before.borrow(), Some(found(2)));
    assert_eq!(*after.borrow(), None);
    assert_eq!(memory.get(&mine, now), None);
    assert!(matches!(memory.join(&mine, now), Some(Joined::Shared(_))), "the second flight is still there");
    second.land(found(3), TTL, Hits::default(), now);
    assert_eq!(memory.get(&mine, now), Some(found(3)));
}

#[test]
fn an_answer_from_before_a_write_doesnt_replace_one_from_after_it() {
    let (memory, now, key) = (Memory::new(ROOM), Instant::now(), key("acme", "/members/1"));
    let (_before, late) = take_off(&memory, &key, now);
    memory.forget(&forget(&key));
    answer(&memory, &key, found(2), now, now);
    late.land(found(1), TTL, Hits::default(), now);
    assert_eq!(memory.get(&key, now), Some(found(2)));
}

#[test]
fn askers_of_one_question_hear_one_answer() {
    let (memory, now, key) = (Memory::new(ROOM), Instant::now(), key("acme", "/members/1"));
    let (first, landing) = take_off(&memory, &key, now);
    let Some(Joined::Shared(second)) = memory.join(&key, now) else { panic!("asked twice") };
    landing.land(LookedUp::Nothing, TTL, Hits::default(), now);
    for awaited in [first, second] {
        assert_eq!(*awaited.borrow(), Some(LookedUp::Nothing));
    }
    assert_eq!(memory.len(), (1, 0));
}

#[test]
fn a_lost_flight_is_known_to_be_lost() {
    let (memory, now, key) = (Memory::new(ROOM), Instant::now(), key("acme", "/members/1"));
    let (awaited, landing) = take_off(&memory, &key, now);
    drop(landing);
    assert!(awaited.has_changed().is_err());
    assert_eq!(memory.len(), (0, 0));
    take_off(&memory, &key, now);
}

#[tokio::test]
async fn a_question_that_nobody_waits_for_is_taken_back() {
    let (memory, now, key) = (Memory::new(ROOM), Instant::now(), key("acme", "/members/1"));
    let (first, landing) = take_off(&memory, &key, now);
    let mut leaving = Box::pin(landing.abandoned());
    let Some(Joined::Shared(second)) = memory.join(&key, now) else { panic!("asked twice") };
    drop(first);
    assert!(futures_poll(leaving.as_mut()).await.is_pending(), "someone still waits");
    drop(second);
    leaving.await;
    assert_eq!(memory.len(), (0, 0));
    drop(landing);
    take_off(&memory, &key, now);
}

async fn futures_poll<F: Future>(mut future: std::pin::Pin<&mut F>) -> std::task::Poll<()> {
    std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx).map(drop))).await
}

#[test]
fn memory_is_bounded() {
    let room = Room { entries: 640, bytes: usize::MAX };
    let (memory, now) = (Memory::new(room), Instant::now());
    for number in 0..10_000 {
        answer(&memory, &key("acme", &format!("/members/{number}")), found(number), now, now);
    }
    assert!(memory.len().0 <= room.entries, "{memory:?}");

    let large = LookedUp::Found(Arc::new(json!("x".repeat(4000))));
    let memory = Memory::new(Room { entries: usize::MAX, bytes: 1024 * 1024 });
    for number in 0..2_000 {
        answer(&memory, &key("acme", &format!("/members/{number}")), large.clone(), now, now);
    }
    assert!(memory.len().0 * 4000 <= 1024 * 1024, "{memory:?}");
}
