//! What has been found out for one request beside the request itself, and what its conditions still wanted to know.
//!
//! Pure values: who asks, and how, is for the effects side. A decision that can't be made without an answer says what
//! it [`Needs`]; it is made again when the answer is [`Known`].

use std::cell::Cell;
use std::sync::Arc;

use serde_json::Value as Json;

use super::lookup::LookedUp;
use crate::budget::Budgeted;
use crate::seat::Seated;

/// Most look-ups that one app may declare.
pub const LOOK_UPS_MAX: usize = 64;

/// The answers so far.
#[derive(Clone, Debug, Default)]
pub struct Known {
    looked_up: Vec<(usize, usize, LookedUp)>,
    /// The request's body, or an event's first argument, once it was read. `null` if there was none.
    pub body: Option<Arc<Json>>,
    seated: Vec<(usize, Seated)>,
    budgeted: Vec<(usize, Stage, Budgeted)>,
}

/// When tokens of a rate are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Before anything is known of who asks.
    Arrival,
    /// Last, when nothing else stands against it.
    Permission,
}

impl Known {
    /// Nothing but a body, if it was read.
    #[must_use]
    pub fn of_body(body: Option<Arc<Json>>) -> Self {
        Self { body, ..Self::default() }
    }

    /// What an app answered to one of its look-ups.
    #[must_use]
    pub fn looked_up(&self, app: usize, look_up: usize) -> Option<&LookedUp> {
        let mut answers = self.looked_up.iter();
        answers.find(|own| (own.0, own.1) == (app, look_up)).map(|(.., answer)| answer)
    }

    /// Whether the caller has a seat in an app, once one was asked for.
    #[must_use]
    pub fn seated(&self, app: usize) -> Option<Seated> {
        self.seated.iter().find(|(own, _)| *own == app).map(|(_, seated)| *seated)
    }

    /// Notes what became of a claim.
    pub fn seat(&mut self, app: usize, seated: Seated) {
        self.seated.push((app, seated));
    }

    /// Whether there was a token for the request in an app, once one was asked for.
    #[must_use]
    pub fn budgeted(&self, app: usize, stage: Stage) -> Option<&Budgeted> {
        let mut found = self.budgeted.iter();
        found.find(|(own, at, _)| (*own, *at) == (app, stage)).map(|(.., budgeted)| budgeted)
    }

    /// Notes what became of a claim on a rate.
    pub fn budget(&mut self, app: usize, stage: Stage, budgeted: Budgeted) {
        self.budgeted.push((app, stage, budgeted));
    }

    /// Takes over what was settled elsewhere.
    pub fn take(&mut self, other: Self) {
        for (app, look_up, answer) in other.looked_up {
            self.learn(app, look_up, answer);
        }
    }

    /// Notes an answer; the first one stays, so that one request is judged by one answer.
    pub fn learn(&mut self, app: usize, look_up: usize, answer: LookedUp) {
        if self.looked_up(app, look_up).is_none() {
            self.looked_up.push((app, look_up, answer));
        }
    }
}

/// What a decision still wants to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// A bit per look-up of the app.
    pub look_ups: u64,
    /// The request's body.
    pub body: bool,
}

impl Needs {
    /// Whether nothing is left to be found out.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { look_ups: self.look_ups | other.look_ups, body: self.body || other.body }
    }

    /// The look-ups by index.
    pub fn look_ups(self) -> impl Iterator<Item = usize> {
        (0..LOOK_UPS_MAX).filter(move |bit| self.look_ups >> bit & 1 == 1)
    }
}

/// What reading facts left behind: what was missing, what nobody would say, and which conditions became filters.
#[derive(Debug, Default)]
pub struct Trail {
    look_ups: Cell<u64>,
    body: Cell<bool>,
    unavailable: Cell<bool>,
    narrowed: Cell<u32>,
}

impl Trail {
    /// A look-up was wanted that nobody asked yet.
    pub fn wants_look_up(&self, look_up: usize) {
        self.look_ups.set(self.look_ups.get() | 1 << (look_up % LOOK_UPS_MAX));
    }

    /// The body was wanted, and wasn't read yet.
    pub fn wants_body(&self) {
        self.body.set(true);
    }

    /// A look-up was wanted that the app didn't answer.
    pub fn misses(&self) {
        self.unavailable.set(true);
    }

    /// The operation's narrowing of this index stands for a condition.
    pub fn narrows(&self, narrowing: usize) {
        self.narrowed.set(self.narrowed.get() | 1 << (narrowing % 32));
    }

    /// Forgets which conditions became filters since a [`Trail::narrowed`] of before.
    pub fn unnarrow(&self, before: u32) {
        self.narrowed.set(before);
    }

    /// Which narrowings stand for conditions, a bit each.
    #[must_use]
    pub fn narrowed(&self) -> u32 {
        self.narrowed.get()
    }

    /// What was wanted since the last time, and whether something was missed.
    pub fn take(&self) -> (Needs, Missed) {
        let needs = Needs { look_ups: self.look_ups.take(), body: self.body.take() };
        (needs, if self.unavailable.take() { Missed::Something } else { Missed::Nothing })
    }
}

/// Whether a fact was unknown because the app didn't answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// No: what is unknown is unknown for good.
    Nothing,
    /// Yes: another time the answer may be another.
    Something,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_answer_stays() {
        let mut known = Known::default();
        known.learn(0, 1, LookedUp::Nothing);
        known.learn(0, 1, LookedUp::Found(Arc::new(Json::Null)));
        assert!(matches!(known.looked_up(0, 1), Some(LookedUp::Nothing)));
        assert!(known.looked_up(1, 1).is_none());
    }

    #[test]
    fn needs_add_up() {
        let trail = Trail::default();
        trail.wants_look_up(0);
        trail.wants_look_up(63);
        let (needs, missed) = trail.take();
        assert_eq!((needs.look_ups().collect::<Vec<_>>(), missed), (vec![0, 63], Missed::Nothing));
        trail.wants_body();
        trail.misses();
        let (more, missed) = trail.take();
        assert_eq!((more.and(needs).look_ups().count(), more.body, missed), (2, true, Missed::Something));
        assert!(trail.take().0.is_empty());
    }
}
