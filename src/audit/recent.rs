//! The last decisions, in memory, for whoever asks after one by its id. Bounded in number and bytes. Refusals of callers
//! who prove nothing have a small room of their own: whoever makes many of them washes nothing else away.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::maker::Maker;
use crate::outcome::Outcome;
use crate::record::Captured;

/// Most bytes of lines that are held.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// What part of the room is theirs who prove nothing.
const OF_NOBODY: usize = 4;

/// The last decisions. Where nothing is written, a line is made only of what somebody asks after.
#[derive(Debug, Default)]
pub(super) struct Recent {
    known: Mutex<Held>,
    nobodys: Mutex<Held>,
}

/// Whose decision it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// Somebody's whose token was verified, or one that was permitted.
    Known,
    /// A refusal of somebody who proved nothing.
    Nobodys,
}

impl Whose {
    /// Whose it is.
    pub(super) fn of(captured: &Captured, outcome: &Outcome) -> Self {
        if captured.is_of_nobody(&outcome.evidence) { Self::Nobodys } else { Self::Known }
    }
}

#[derive(Debug, Default)]
struct Held {
    decisions: VecDeque<Kept>,
    bytes: usize,
}

#[derive(Clone, Debug)]
enum Kept {
    Line(Box<str>, Arc<str>),
    Unwritten(Arc<(Captured, Outcome)>),
}

impl Kept {
    fn weight(&self) -> usize {
        match self {
            Self::Line(_, line) => line.len(),
            Self::Unwritten(own) => own.0.weight(&own.1.evidence),
        }
    }

    fn is(&self, id: &str) -> bool {
        match self {
            Self::Line(own, _) => **own == *id,
            Self::Unwritten(own) => own.1.request_id.as_bytes() == id.as_bytes(),
        }
    }

    fn line(&self) -> Arc<str> {
        match self {
            Self::Line(_, line) => line.clone(),
            Self::Unwritten(own) => {
                let (captured, outcome) = &**own;
                let config = &captured.snapshot.gateway.decisions;
                Maker::of(config).record(captured, outcome).line().into()
            }
        }
    }
}

impl Held {
    fn push(&mut self, kept: Kept, most: usize, bytes_max: usize) {
        if most > 0 {
            self.bytes += kept.weight();
            self.decisions.push_back(kept);
        }
        while self.decisions.len() > most || self.bytes > bytes_max {
            let Some(oldest) = self.decisions.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(oldest.weight());
        }
    }
}

impl Recent {
    /// Holds a line more, and lets the oldest go where there are more than `most`.
    pub(super) fn hold(&self, whose: Whose, (id, line): (&str, &str), most: usize) {
        self.push(whose, Kept::Line(id.into(), line.into()), most);
    }

    /// Holds a decision that nobody writes.
    pub(super) fn keep(&self, captured: Captured, outcome: Outcome) {
        let most = captured.snapshot.gateway.decisions.recent;
        let whose = Whose::of(&captured, &outcome);
        self.push(whose, Kept::Unwritten(Arc::new((captured, outcome))), most);
    }

    fn push(&self, whose: Whose, kept: Kept, most: usize) {
        let (held, most, bytes_max) = match whose {
            Whose::Known => (&self.known, most, BYTES_MAX),
            Whose::Nobodys => (&self.nobodys, most.div_ceil(OF_NOBODY), BYTES_MAX / OF_NOBODY),
        };
        locked(held).push(kept, most, bytes_max);
    }

    /// The line of this id.
    pub(super) fn find(&self, id: &str) -> Option<Arc<str>> {
        let find = |held| locked(held).decisions.iter().rev().find(|own| own.is(id)).cloned();
        // Made after the lock is gone: requests that end need it.
        find(&self.known).or_else(|| find(&self.nobodys)).map(|own| own.line())
    }

    /// Makes lines of what isn't one yet, so that nothing is held but they.
    pub(super) fn write_down(&self) {
        for held in [&self.known, &self.nobodys] {
            let unwritten = locked(held).decisions.clone();
            for kept in unwritten.iter().filter(|own| matches!(own, Kept::Unwritten(_))) {
                let Kept::Unwritten(own) = kept else { continue };
                let id = own.1.request_id.to_str().unwrap_or_default();
                let line = Kept::Line(id.into(), kept.line());
                let held = &mut *locked(held);
                if let Some(old) = held.decisions.iter_mut().find(|old| old.is(id)) {
                    held.bytes = (held.bytes + line.weight()).saturating_sub(old.weight());
                    *old = line;
                }
            }
        }
    }
}

fn locked(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first() {
        let recent = Recent::default();
        for id in 0..5 {
            recent.hold(Whose::Known, (&id.to_string(), &format!("line {id}")), 3);
        }
        assert_eq!(recent.find("4").as_deref(), Some("line 4"));
        assert_eq!(recent.find("2").as_deref(), Some("line 2"));
        assert_eq!(recent.find("1"), None);
        let large = "x".repeat(BYTES_MAX - 8);
        recent.hold(Whose::Known, ("large", &large), 3);
        assert!(recent.find("4").is_some() && recent.find("3").is_none());
        recent.hold(Whose::Known, ("none", "y"), 0);
        assert!(recent.find("large").is_none() && recent.find("none").is_none());
    }

    #[test]
    fn nobody_washes_away_what_others_did() {
        let recent = Recent::default();
        recent.hold(Whose::Known, ("mine", "line"), 8);
        for id in 0..100 {
            recent.hold(Whose::Nobodys, (&id.to_string(), "line"), 8);
        }
        assert!(recent.find("mine").is_some());
        assert!(recent.find("99").is_some() && recent.find("98").is_some() && recent.find("97").is_none());
    }
}
