//! The last decisions, in memory, for whoever asks after one by its id. Bounded in number and bytes. Refusals of callers
//! who prove nothing have a small room of their own: whoever makes many of them washes nothing else away.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Most bytes of lines that are held.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// What part of the room is theirs who prove nothing.
const OF_NOBODY: usize = 4;

/// The last decisions' lines.
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

#[derive(Debug, Default)]
struct Held {
    lines: VecDeque<(Box<str>, Arc<str>)>,
    bytes: usize,
}

impl Recent {
    /// Holds one more, and lets the oldest go where there are more than `most`.
    pub(super) fn hold(&self, whose: Whose, (id, line): (&str, &str), most: usize) {
        let (held, most, bytes_max) = match whose {
            Whose::Known => (&self.known, most, BYTES_MAX),
            Whose::Nobodys => (&self.nobodys, most.div_ceil(OF_NOBODY), BYTES_MAX / OF_NOBODY),
        };
        let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
        if most > 0 {
            held.bytes += line.len();
            held.lines.push_back((id.into(), line.into()));
        }
        while held.lines.len() > most || held.bytes > bytes_max {
            let Some((_, oldest)) = held.lines.pop_front() else { break };
            held.bytes = held.bytes.saturating_sub(oldest.len());
        }
    }

    /// The line of this id.
    pub(super) fn find(&self, id: &str) -> Option<Arc<str>> {
        let find = |held: &Mutex<Held>| {
            let held = held.lock().unwrap_or_else(PoisonError::into_inner);
            held.lines.iter().rev().find(|(own, _)| **own == *id).map(|(_, line)| line.clone())
        };
        find(&self.known).or_else(|| find(&self.nobodys))
    }
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
