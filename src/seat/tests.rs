//! What holds of every book, whoever comes in whatever order.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::zone::Month;

/// 2026-11-21 12:00 UTC, where a quarter of an hour begins.
const NOON: u64 = 1_795_262_400;
const DAY: u64 = 24 * 3600;

fn claim(who: u8, at: u64, seats: Seats) -> SeatClaim {
    SeatClaim {
        tenant: "acme".into(),
        app: "calling".into(),
        person: PersonId::of("entra", "t", &who.to_string()),
        at: Timestamp(at),
        seats,
        zone: Zone::named("Europe/Berlin").unwrap(),
    }
}

fn book(seats: Seats) -> Book {
    let first = claim(0, NOON, seats);
    Book::new(seats, first.zone, first.at)
}

fn at(book: &mut Book, at: u64) -> Standing {
    book.standing(Timestamp(at))
}

fn seats(named: impl Into<Option<u32>>, concurrent: impl Into<Option<u32>>, over: Over) -> Seats {
    Seats { named: named.into(), concurrent: concurrent.into(), over }
}

fn month(text: &str) -> Month {
    text.parse().unwrap()
}

fn any_seats() -> impl Strategy<Value = Seats> {
    let limit = || prop_oneof![Just(None), (0u32..8).prop_map(Some)];
    let over = prop_oneof![Just(Over::Report), Just(Over::Refuse)];
    (limit(), limit(), over).prop_map(|(named, concurrent, over)| Seats { named, concurrent, over })
}

/// People and when they come: some days, forward and back.
fn visits() -> impl Strategy<Value = Vec<(u8, u64)>> {
    prop::collection::vec((0u8..12, NOON - 40 * DAY..NOON + 40 * DAY), 0..60)
}

proptest! {
    #[test]
    fn the_order_of_people_makes_no_difference(
        people in prop::collection::vec(0u8..20, 1..40), seed in any::<u64>(), seats in any_seats()
    ) {
        let mut other = people.clone();
        let len = other.len();
        for i in 0..len {
            other.swap(i, (seed as usize).wrapping_mul(i + 7) % len);
        }
        let [mut one, mut two] = [people, other].map(|people| {
            let mut book = book(seats);
            for who in people {
                book.take(&claim(who, NOON, seats));
            }
            book
        });
        let (one, two) = (at(&mut one, NOON), at(&mut two, NOON));
        prop_assert_eq!((one.now.named, one.now.peak, one.concurrent), (two.now.named, two.now.peak, two.concurrent));
    }

    #[test]
    fn no_more_people_than_seats_where_the_others_are_refused(visits in visits(), seats in any_seats()) {
        let seats = Seats { over: Over::Refuse, ..seats };
        let mut book = book(seats);
        for (who, at) in visits {
            let before = book.current();
            let seated = book.take(&claim(who, at, seats));
            let now = book.current();
            prop_assert!(seats.named.is_none_or(|most| now.named.len() <= most as usize));
            prop_assert!(seats.concurrent.is_none_or(|most| now.present.len() <= most as usize));
            prop_assert!(!matches!(seated, Seated::Over(_)));
            if let Seated::Refused(_) = seated {
                prop_assert!(now.named.len() <= before.named.len() && now.present.len() <= before.present.len());
                prop_assert!(now.peak.people <= before.peak.people, "a refusal spends nothing");
            }
        }
    }

    #[test]
    fn nobody_is_refused_where_the_others_are_reported(visits in visits(), seats in any_seats()) {
        let seats = Seats { over: Over::Report, ..seats };
        let mut book = book(seats);
        let mut reported = 0;
        for (who, at) in visits {
            let seated = book.take(&claim(who, at, seats));
            prop_assert!(!matches!(seated, Seated::Refused(_)));
            reported += u64::from(seated != Seated::Held);
            let person = claim(who, at, seats).person;
            let now = book.current();
            prop_assert!(now.named.contains(&person) && now.present.contains(&person));
            prop_assert!(now.peak.people as usize >= now.present.len().min(now.named.len()));
        }
        let tally = at(&mut book, NOON).since_start;
        prop_assert!(tally.named_reported + tally.concurrent_reported >= reported);
        prop_assert_eq!(tally.named_refused + tally.concurrent_refused, 0);
    }

    #[test]
    fn who_is_seated_stays_seated_and_changes_nothing(visits in visits(), seats in any_seats()) {
        let mut book = book(seats);
        for (who, at) in visits {
            let first = book.take(&claim(who, at, seats));
            let before = book.current();
            let again = book.take(&claim(who, at, seats));
            if let Seated::Refused(_) = first {
                prop_assert_eq!(again, first);
            } else {
                prop_assert_eq!(again, Seated::Held);
                let now = book.current();
                prop_assert_eq!((now.named.len(), now.present.len(), now.peak), (before.named.len(), before.present.len(), before.peak));
                prop_assert_eq!(now.tally, before.tally);
            }
        }
    }

    #[test]
    fn a_named_seat_is_given_back_only_by_a_later_month(visits in visits(), seats in any_seats()) {
        let mut book = book(seats);
        for (who, at) in visits {
            let before = book.current();
            book.take(&claim(who, at, seats));
            let now = book.current();
            prop_assert!(now.month >= before.month);
            let held: HashSet<_> = now.named.iter().collect();
            prop_assert!(now.month > before.month || before.named.iter().all(|own| held.contains(own)));
        }
    }

    #[test]
    fn two_books_make_one_that_forgets_nobody(
        ours in visits(), theirs in visits(), seats in any_seats()
    ) {
        let [mut ours, theirs] = [ours, theirs].map(|visits| {
            let mut book = book(seats);
            for (who, at) in visits {
                book.take(&claim(who, at, seats));
            }
            book.current()
        }).map(Book::resume);
        let (left, right) = (ours.current(), theirs.current());
        ours.merge(&theirs.current());
        let merged = ours.current();
        prop_assert_eq!(merged.month, left.month.max(right.month));
        for part in [&left, &right] {
            let here: HashSet<_> = merged.named.iter().collect();
            if part.month == merged.month {
                prop_assert!(part.named.iter().all(|own| here.contains(own)));
                prop_assert!(merged.peak.people >= part.peak.people);
            } else {
                prop_assert!(merged.past.contains_key(&part.month));
            }
        }
        prop_assert!(!merged.past.contains_key(&merged.month));
        let changes = ours.changes();
        ours.merge(&theirs.current());
        prop_assert_eq!(ours.changes(), changes, "what is known changes nothing");
    }

    #[test]
    fn a_book_goes_on_where_it_was_left(visits in visits(), seats in any_seats(), cut in 0usize..60) {
        let mut whole = book(seats);
        let mut resumed = book(seats);
        for (index, (who, at)) in visits.into_iter().enumerate() {
            if index == cut {
                resumed = Book::resume(resumed.current());
            }
            prop_assert_eq!(whole.take(&claim(who, at, seats)), resumed.take(&claim(who, at, seats)));
        }
    }
}

#[test]
fn a_month_ends_where_the_tenant_is() {
    let seats = seats(1, None, Over::Refuse);
    let mut book = book(seats);
    let midnight = 1_796_079_600; // 2026-12-01 00:00 in Berlin
    assert_eq!(book.take(&claim(1, midnight - 1, seats)), Seated::Held);
    assert_eq!(book.take(&claim(2, midnight - 1, seats)), Seated::Refused(Which::Named));
    assert_eq!(book.take(&claim(2, midnight, seats)), Seated::Held);
    assert_eq!(book.take(&claim(1, midnight, seats)), Seated::Refused(Which::Named));
    let standing = at(&mut book, midnight);
    assert_eq!(standing.month, month("2026-12"));
    let november = standing.past[&month("2026-11")];
    assert_eq!((november.named, november.peak.people, november.tally.named_refused), (1, 1, 1));
    assert!(november.is_over());
}

#[test]
fn the_peak_is_of_people_in_the_same_quarter_of_an_hour() {
    let seats = seats(None, 2, Over::Report);
    let mut book = book(seats);
    for (who, minute, seated) in [
        (1, 0, Seated::Held),
        (2, 14, Seated::Held),
        (3, 15, Seated::Held),
        (1, 16, Seated::Held),
        (1, 17, Seated::Held),
        (2, 29, Seated::Over(Which::Concurrent)),
        (2, 29, Seated::Held),
        (1, 30, Seated::Held),
    ] {
        assert_eq!(book.take(&claim(who, NOON + 60 * minute, seats)), seated, "{who} after {minute} min");
    }
    let standing = at(&mut book, NOON + 60 * 31);
    assert_eq!((standing.now.named, standing.concurrent), (3, 1));
    assert_eq!(standing.now.peak, Peak { people: 3, at: Timestamp(NOON + 60 * 15) });
    assert_eq!(standing.now.tally.concurrent_reported, 1);
    assert_eq!(at(&mut book, NOON + 60 * 45).concurrent, 0, "nobody has come since");
}

#[test]
fn whoever_is_refused_a_concurrent_seat_takes_no_named_one() {
    let seats = seats(5, 1, Over::Refuse);
    let mut book = book(seats);
    book.take(&claim(1, NOON, seats));
    assert_eq!(book.take(&claim(2, NOON, seats)), Seated::Refused(Which::Concurrent));
    assert_eq!(book.take(&claim(1, NOON, seats)), Seated::Held);
    assert_eq!(at(&mut book, NOON).now.named, 1);
    assert_eq!(book.take(&claim(2, NOON + WINDOW_S, seats)), Seated::Held);
}

#[test]
fn fewer_seats_send_nobody_away_who_sits() {
    let many = seats(3, None, Over::Refuse);
    let few = seats(1, None, Over::Refuse);
    let mut book = book(many);
    for who in 1..=3 {
        book.take(&claim(who, NOON, many));
    }
    assert_eq!(book.take(&claim(3, NOON + 3600, few)), Seated::Held);
    assert_eq!(book.take(&claim(4, NOON + 3600, few)), Seated::Refused(Which::Named));
    assert!(at(&mut book, NOON + 3600).now.is_over());
}

#[test]
fn a_clock_that_is_put_back_frees_nothing() {
    let seats = seats(1, 1, Over::Refuse);
    for back in [1, 3600, DAY, 40 * DAY, NOON] {
        let mut book = book(seats);
        book.take(&claim(1, NOON, seats));
        let refused = [Seated::Refused(Which::Named); 2];
        assert_eq!([0, 1].map(|s| book.take(&claim(2, NOON - back + s, seats))), refused, "{back}");
        assert_eq!([0, 60].map(|s| book.take(&claim(2, NOON + s, seats))), refused, "{back}, and mended");
        assert_eq!(book.take(&claim(1, NOON, seats)), Seated::Held);
    }
}

#[test]
fn a_clock_that_ran_ahead_does_not_stop_the_quarters_of_an_hour() {
    let seats = seats(None, 1, Over::Refuse);
    let mut book = book(seats);
    book.take(&claim(1, NOON + 900 * DAY, seats));
    assert_eq!(
        book.take(&claim(2, NOON, seats)),
        Seated::Refused(Which::Concurrent),
        "the mended clock is taken"
    );
    assert_eq!(book.take(&claim(2, NOON + WINDOW_S, seats)), Seated::Held);
}

#[test]
fn a_year_of_months_is_remembered() {
    let seats = Seats::default();
    let mut book = book(seats);
    for month in 0..20 {
        book.take(&claim(1, NOON + month * 31 * DAY, seats));
    }
    let past = at(&mut book, NOON + 19 * 31 * DAY).past;
    assert_eq!(past.len(), PAST_MONTHS);
    assert!(past.values().all(|own| own.named == 1 && !own.is_over()));
}

#[test]
fn a_full_book_does_as_the_tenant_says() {
    for (over, seated) in
        [(Over::Report, Seated::Over(Which::Named)), (Over::Refuse, Seated::Refused(Which::Named))]
    {
        let seats = seats(None, None, over);
        let person = |n: usize| PersonId::of("entra", "t", &format!("p{n}"));
        let mut full = book(seats).current();
        full.named = (0..PERSONS_MAX + 5).map(person).collect();
        let mut book = Book::resume(full);
        assert_eq!(book.take(&claim(1, NOON, seats)), seated);
        assert_eq!(book.current().named.len(), PERSONS_MAX);
    }
}

#[test]
fn people_are_told_apart_and_not_named() {
    let ada = PersonId::of("entra", "t1", "ada");
    assert_eq!(ada, PersonId::of("entra", "t1", "ada"));
    for other in
        [("keycloak", "t1", "ada"), ("entra", "t2", "ada"), ("entra", "t1a", "da"), ("entrat", "1", "ada")]
    {
        assert_ne!(ada, PersonId::of(other.0, other.1, other.2), "{other:?}");
    }
    assert_eq!(PersonId::parse(&ada.to_string()), Some(ada));
    for bad in ["", "+1234567890123456789012345678901", "ADA00000000000000000000000000000", "12"] {
        assert_eq!(PersonId::parse(bad), None, "{bad}");
    }
}
