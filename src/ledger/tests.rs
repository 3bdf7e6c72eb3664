//! Books in memory and in a file.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::seat::{Over, PersonId, Seats, Which};
use crate::zone::Zone;

/// 2026-11-21 12:00 UTC, where a quarter of an hour begins.
const NOON: Timestamp = Timestamp(1_795_262_400);

fn claim(tenant: &str, app: &str, who: &str) -> SeatClaim {
    SeatClaim {
        tenant: tenant.into(),
        app: app.into(),
        person: PersonId::of("entra", "t", who),
        at: NOON,
        seats: Seats { named: Some(2), concurrent: Some(5), over: Over::Refuse },
        zone: Zone::named("Europe/London").unwrap(),
    }
}

fn used(ledger: &Ledger) -> Vec<(String, String, u32, u32)> {
    let of = |own: Seating| {
        (own.tenant.to_string(), own.app.to_string(), own.standing.now.named, own.standing.concurrent)
    };
    ledger.seatings(NOON).into_iter().map(of).collect()
}

#[test]
fn tenants_and_apps_have_their_own_seats() {
    let ledger = Ledger::default();
    for (tenant, app) in [("acme", "calling"), ("acme", "desk"), ("zen", "calling")] {
        for who in ["ada", "bob", "ada"] {
            assert_eq!(ledger.take(&claim(tenant, app, who)), Seated::Held, "{tenant} {app} {who}");
        }
        assert_eq!(ledger.take(&claim(tenant, app, "eve")), Seated::Refused(Which::Named));
    }
    let two = |tenant: &str, app: &str| (tenant.to_owned(), app.to_owned(), 2, 2);
    assert_eq!(used(&ledger), [two("acme", "calling"), two("acme", "desk"), two("zen", "calling")]);
}

#[test]
fn many_at_once_take_no_more_than_there_are() {
    let ledger = Ledger::default();
    let held: usize = std::thread::scope(|scope| {
        let ledger = &ledger;
        let takers: Vec<_> = (0..8)
            .map(|taker| {
                scope.spawn(move || {
                    let people = (0..50).map(|n| format!("{}", (n + taker) % 50));
                    people.filter(|who| ledger.take(&claim("acme", "calling", who)) == Seated::Held).count()
                })
            })
            .collect();
        takers.into_iter().map(|taker| taker.join().unwrap()).sum()
    });
    assert_eq!(used(&ledger)[0].2, 2);
    assert!(held >= 2, "{held}");
}

#[test]
fn the_books_outlive_the_process() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("state/seats.json");
    let first = Keeper::open(Some(&path), NOON);
    first.ledger().take(&claim("acme", "calling", "ada"));
    first.ledger().take(&claim("acme", "calling", "bob"));
    first.ledger().take(&claim("acme", "calling", "eve"));
    first.write();
    let before = first.ledger().kept();
    let second = Keeper::open(Some(&path), NOON);
    assert_eq!(second.ledger().kept(), before);
    assert_eq!(second.ledger().take(&claim("acme", "calling", "ada")), Seated::Held);
    assert_eq!(second.ledger().take(&claim("acme", "calling", "eve")), Seated::Refused(Which::Named));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains("ada") && text.contains("\"schema\":\"gatewarden.seats/1\""), "{text}");
}

#[test]
fn only_what_changed_is_written() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("seats.json");
    let keeper = Keeper::open(Some(&path), NOON);
    keeper.ledger().take(&claim("acme", "calling", "ada"));
    keeper.write();
    let before = file::version(&path);
    keeper.ledger().take(&claim("acme", "calling", "ada"));
    keeper.write();
    assert_eq!(file::version(&path), before, "who is seated changes nothing");
    keeper.ledger().take(&claim("acme", "calling", "bob"));
    keeper.write();
    assert_eq!(read(&path).unwrap()[0].current.named.len(), 2);
    fs::remove_file(&path).unwrap();
    keeper.write();
    assert_eq!(read(&path).unwrap()[0].current.named.len(), 2, "what was removed is missed");
}

#[test]
fn a_broken_file_is_set_aside() {
    let whole = {
        let ledger = Ledger::default();
        ledger.take(&claim("acme", "calling", "ada"));
        file::encode(&ledger.kept())
    };
    assert!(file::decode(&whole).is_ok());
    let cut = whole.split_at(whole.len() / 2).0;
    let other = whole.replace("seats/1", "seats/9");
    let person = whole.replacen(&PersonId::of("entra", "t", "ada").to_string(), "Ada", 1);
    for broken in
        ["", "{}", cut, &other, &person, &whole.replace("2026-11", "2026-13"), &whole.replace("refuse", "no")]
    {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("seats.json");
        fs::write(&path, broken).unwrap();
        let keeper = Keeper::open(Some(&path), NOON);
        assert!(used(keeper.ledger()).is_empty(), "{broken}");
        assert_eq!(fs::read_to_string(place.path().join("seats.json.broken")).unwrap(), broken);
        keeper.ledger().take(&claim("acme", "calling", "ada"));
        keeper.write();
        assert_eq!(read(&path).unwrap().len(), 1, "counting goes on");
    }
}

#[test]
fn a_place_that_cannot_be_written_is_counted_and_tried_again() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("state/seats.json");
    fs::write(place.path().join("state"), "a file where a directory should be").unwrap();
    let keeper = Keeper::open(Some(&path), NOON);
    let failures = keeper.ledger().failures();
    assert_eq!(failures, 1, "told of at the start");
    keeper.ledger().take(&claim("acme", "calling", "ada"));
    keeper.write();
    assert!(keeper.ledger().failures() > failures);
    fs::remove_file(place.path().join("state")).unwrap();
    keeper.write();
    assert_eq!(read(&path).unwrap()[0].current.named.len(), 1);
}

#[test]
fn two_gateways_with_one_file_learn_of_each_other() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("seats.json");
    let (ending, beginning) = (Keeper::open(Some(&path), NOON), Keeper::open(Some(&path), NOON));
    ending.ledger().take(&claim("acme", "calling", "ada"));
    ending.ledger().take(&claim("zen", "calling", "ada"));
    beginning.ledger().take(&claim("acme", "calling", "bob"));
    ending.write();
    beginning.write();
    let both = |who: u32| {
        [("acme".to_owned(), "calling".to_owned(), who, who), ("zen".to_owned(), "calling".to_owned(), 1, 1)]
    };
    assert_eq!(used(beginning.ledger()), both(2));
    assert_eq!(beginning.ledger().take(&claim("acme", "calling", "eve")), Seated::Refused(Which::Named));
    ending.write();
    assert_eq!(used(ending.ledger()), both(2));
    beginning.write();
    ending.write();
    let settled = file::version(&path);
    beginning.write();
    ending.write();
    assert_eq!(file::version(&path), settled, "nothing new, nothing written");
    fs::write(&path, file::encode(&[])).unwrap();
    ending.write();
    assert_eq!(read(&path).unwrap().len(), 2, "what another has not known is written again");
}
