//! The book of one tenant in one app: the running month, the running quarter of an hour, and what past months came to.
//!
//! A clock that is put back frees no seat: months only go forward, so a month that a clock ran ahead into stays until it is
//! over. A quarter of an hour waits up to a day for the clock to come back to it; beyond that it was the time before that
//! was wrong.

use std::collections::{BTreeMap, HashSet};

use super::{PERSONS_MAX, PersonId, SeatClaim, Seated, Seats, WINDOW_S, Which};
use crate::request::Timestamp;
use crate::zone::{Month, Zone};

/// How many past months are remembered.
pub const PAST_MONTHS: usize = 12;
/// How far a clock may be put back before the time that it is put back to counts.
const PUT_BACK_MAX_S: u64 = 24 * 3600;

/// The seats of one tenant in one app.
#[derive(Clone, Debug)]
pub struct Book {
    seats: Seats,
    zone: Zone,
    latest: Timestamp,
    month: Month,
    named: HashSet<PersonId>,
    present: HashSet<PersonId>,
    peak: Peak,
    tally: Tally,
    since_start: Tally,
    past: BTreeMap<Month, Summary>,
    changes: u64,
}

/// The most people in the same quarter of an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peak {
    /// How many.
    pub people: u32,
    /// When that quarter of an hour began.
    pub at: Timestamp,
}

impl Default for Peak {
    fn default() -> Self {
        Self { people: 0, at: Timestamp(0) }
    }
}

/// How often there was no seat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// People who were let in over the named number.
    pub named_reported: u64,
    /// Requests that were refused for want of a named seat.
    pub named_refused: u64,
    /// People, by quarter of an hour, who were let in over the concurrent number.
    pub concurrent_reported: u64,
    /// Requests that were refused for want of a concurrent seat.
    pub concurrent_refused: u64,
}

/// What a month came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// People who were let in.
    pub named: u32,
    /// The most in the same quarter of an hour.
    pub peak: Peak,
    /// The seats that there were at its end.
    pub seats: Seats,
    /// How often there was none.
    pub tally: Tally,
}

/// What a book says at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Where its months begin.
    pub zone: Zone,
    /// The running month.
    pub month: Month,
    /// What the running month has come to.
    pub now: Summary,
    /// People in the running quarter of an hour.
    pub concurrent: u32,
    /// How often there was no seat since this gateway started.
    pub since_start: Tally,
    /// The months before.
    pub past: BTreeMap<Month, Summary>,
}

/// What a book must know to go on after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Current {
    /// The number of seats, and what follows without one.
    pub seats: Seats,
    /// Where its months begin.
    pub zone: Zone,
    /// The book's clock.
    pub latest: Timestamp,
    /// The running month.
    pub month: Month,
    /// Who holds a named seat.
    pub named: Vec<PersonId>,
    /// Who was there in the running quarter of an hour.
    pub present: Vec<PersonId>,
    /// The month's peak.
    pub peak: Peak,
    /// How often there was no seat this month.
    pub tally: Tally,
    /// The months before.
    pub past: BTreeMap<Month, Summary>,
}

impl Book {
    /// An empty book.
    #[must_use]
    pub fn new(seats: Seats, zone: Zone, at: Timestamp) -> Self {
        let month = zone.month(at);
        Self {
            seats,
            zone,
            latest: at,
            month,
            named: HashSet::new(),
            present: HashSet::new(),
            peak: Peak::default(),
            tally: Tally::default(),
            since_start: Tally::default(),
            past: BTreeMap::new(),
            changes: 0,
        }
    }

    /// A book as it was left. What is more than a book may hold is cut off.
    #[must_use]
    pub fn resume(current: Current) -> Self {
        let Current { seats, zone, latest, month, named, present, peak, tally, mut past } = current;
        while past.len() > PAST_MONTHS {
            past.pop_first();
        }
        Self {
            named: named.into_iter().take(PERSONS_MAX).collect(),
            present: present.into_iter().take(PERSONS_MAX).collect(),
            since_start: Tally::default(),
            seats,
            zone,
            latest,
            month,
            peak,
            tally,
            past,
            changes: 0,
        }
    }

    /// How many people hold a named seat.
    #[must_use]
    pub fn holders(&self) -> usize {
        self.named.len()
    }

    /// How often anything changed that a restart must not forget.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// What must be known to go on from here.
    #[must_use]
    pub fn current(&self) -> Current {
        Current {
            seats: self.seats,
            zone: self.zone.clone(),
            latest: self.latest,
            month: self.month,
            named: self.named.iter().copied().collect(),
            present: self.present.iter().copied().collect(),
            peak: self.peak,
            tally: self.tally,
            past: self.past.clone(),
        }
    }

    /// Gives the person a seat, or not. Nothing is spent by a refusal.
    pub fn take(&mut self, claim: &SeatClaim) -> Seated {
        if self.seats != claim.seats || self.zone != claim.zone {
            self.seats = claim.seats;
            self.zone = claim.zone.clone();
            self.changes += 1;
        }
        self.roll(claim.at);
        let holds = self.named.contains(&claim.person);
        let is_here = self.present.contains(&claim.person);
        if holds && is_here {
            return Seated::Held;
        }
        let over_named = !holds && !has_room(&self.named, self.seats.named);
        let over_concurrent = !is_here && !has_room(&self.present, self.seats.concurrent);
        let lacking = [(over_named, Which::Named), (over_concurrent, Which::Concurrent)];
        let seated = lacking
            .into_iter()
            .find_map(|(over, which)| over.then_some(self.seats.over.seated(which)))
            .unwrap_or(Seated::Held);
        if let Seated::Refused(_) = seated {
            self.count(seated);
            return seated;
        }
        for (_, which) in lacking.into_iter().filter(|(over, _)| *over) {
            self.count(Seated::Over(which));
        }
        self.changes += 1;
        remember(&mut self.named, claim.person);
        remember(&mut self.present, claim.person);
        let people = number(&self.present);
        if people > self.peak.people {
            self.peak = Peak { people, at: Timestamp(window(self.latest) * WINDOW_S) };
        }
        seated
    }

    /// Takes in what another gateway wrote of the same tenant and app: everyone who has a seat there has one here. The number
    /// of seats stays what it is here.
    pub fn merge(&mut self, other: &Current) {
        let before = self.measure();
        if other.month > self.month {
            self.past.insert(self.month, self.summary());
            self.begin(other.month);
        }
        for (month, summary) in &other.past {
            self.past.entry(*month).or_insert(*summary);
        }
        if other.month < self.month {
            self.past.entry(other.month).or_insert_with(|| other.summary());
        } else {
            self.merge_month(other);
        }
        self.past.remove(&self.month);
        while self.past.len() > PAST_MONTHS {
            self.past.pop_first();
        }
        if self.measure() != before {
            self.changes += 1;
        }
    }

    fn merge_month(&mut self, other: &Current) {
        if window(other.latest) > window(self.latest) {
            self.present.clear();
            self.latest = other.latest;
        }
        if window(other.latest) == window(self.latest) {
            other.present.iter().for_each(|own| remember(&mut self.present, *own));
        }
        other.named.iter().for_each(|own| remember(&mut self.named, *own));
        self.tally = self.tally.highest(other.tally);
        let present = Peak { people: number(&self.present), at: Timestamp(window(self.latest) * WINDOW_S) };
        for peak in [other.peak, present] {
            if peak.people > self.peak.people {
                self.peak = peak;
            }
        }
    }

    /// What a merge can make more of.
    fn measure(&self) -> (Month, u64, usize, usize, Peak, Tally, usize) {
        let window = window(self.latest);
        (self.month, window, self.named.len(), self.present.len(), self.peak, self.tally, self.past.len())
    }

    /// What the book says at `now`.
    pub fn standing(&mut self, now: Timestamp) -> Standing {
        self.roll(now);
        Standing {
            zone: self.zone.clone(),
            month: self.month,
            now: self.summary(),
            concurrent: number(&self.present),
            since_start: self.since_start,
            past: self.past.clone(),
        }
    }

    /// Turns the page, if it is time to.
    fn roll(&mut self, at: Timestamp) {
        if at < self.latest {
            if self.latest.0 - at.0 > PUT_BACK_MAX_S {
                self.latest = at;
            }
            return;
        }
        let same_window = window(at) == window(self.latest);
        self.latest = at;
        if same_window {
            return;
        }
        self.changes += 1;
        self.present.clear();
        let month = self.zone.month(at);
        if month > self.month {
            self.past.insert(self.month, self.summary());
            while self.past.len() > PAST_MONTHS {
                self.past.pop_first();
            }
            self.begin(month);
        }
    }

    fn begin(&mut self, month: Month) {
        self.month = month;
        self.named.clear();
        self.present.clear();
        self.peak = Peak::default();
        self.tally = Tally::default();
    }

    fn summary(&self) -> Summary {
        Summary { named: number(&self.named), peak: self.peak, seats: self.seats, tally: self.tally }
    }

    fn count(&mut self, seated: Seated) {
        self.changes += 1;
        for tally in [&mut self.tally, &mut self.since_start] {
            tally.count(seated);
        }
    }
}

impl Current {
    /// What the running month has come to.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let named = u32::try_from(self.named.len()).unwrap_or(u32::MAX);
        Summary { named, peak: self.peak, seats: self.seats, tally: self.tally }
    }
}

impl Tally {
    /// The higher of each: what two counted may be the same.
    fn highest(self, other: Self) -> Self {
        Self {
            named_reported: self.named_reported.max(other.named_reported),
            named_refused: self.named_refused.max(other.named_refused),
            concurrent_reported: self.concurrent_reported.max(other.concurrent_reported),
            concurrent_refused: self.concurrent_refused.max(other.concurrent_refused),
        }
    }

    /// How often, by number and by what followed.
    #[must_use]
    pub fn get(&self, seated: Seated) -> u64 {
        match seated {
            Seated::Held => 0,
            Seated::Over(Which::Named) => self.named_reported,
            Seated::Over(Which::Concurrent) => self.concurrent_reported,
            Seated::Refused(Which::Named) => self.named_refused,
            Seated::Refused(Which::Concurrent) => self.concurrent_refused,
        }
    }

    fn count(&mut self, seated: Seated) {
        match seated {
            Seated::Held => {}
            Seated::Over(Which::Named) => self.named_reported += 1,
            Seated::Over(Which::Concurrent) => self.concurrent_reported += 1,
            Seated::Refused(Which::Named) => self.named_refused += 1,
            Seated::Refused(Which::Concurrent) => self.concurrent_refused += 1,
        }
    }
}

impl Summary {
    /// Whether there were too few seats at some time, whatever followed from it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let more = |used: u32, of: Option<u32>| of.is_some_and(|of| used > of);
        more(self.named, self.seats.named)
            || more(self.peak.people, self.seats.concurrent)
            || self.tally != Tally::default()
    }
}

/// The quarter of an hour that `at` falls in.
fn window(at: Timestamp) -> u64 {
    at.0 / WINDOW_S
}

/// Whether one more may be seated; what can't be remembered can't be.
fn has_room(seated: &HashSet<PersonId>, limit: Option<u32>) -> bool {
    let limit = limit.map_or(PERSONS_MAX, |limit| limit as usize);
    seated.len() < limit.min(PERSONS_MAX)
}

fn remember(seated: &mut HashSet<PersonId>, person: PersonId) {
    if seated.len() < PERSONS_MAX {
        seated.insert(person);
    }
}

fn number(seated: &HashSet<PersonId>) -> u32 {
    u32::try_from(seated.len()).unwrap_or(u32::MAX)
}
