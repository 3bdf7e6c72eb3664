//! The last decisions, in memory, for whoever asks after one by its id. Bounded in number and bytes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Most bytes of lines that are held.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// The last decisions' lines.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    lines: VecDeque<(Box<str>, Arc<str>)>,
    bytes: usize,
}

impl Recent {
    /// Holds one more, and lets the oldest go where there are more than `most`.
    pub(super) fn hold(&self, id: &str, line: &str, most: usize) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if most > 0 {
            held.bytes += line.len();
            held.lines.push_back((id.into(), line.into()));
        }
        while held.lines.len() > most || held.bytes > BYTES_MAX {
            let Some((_, oldest)) = held.lines.pop_front() else { break };
            held.bytes = held.bytes.saturating_sub(oldest.len());
        }
    }

    /// The line of this id.
    pub(super) fn find(&self, id: &str) -> Option<Arc<str>> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.lines.iter().rev().find(|(own, _)| **own == *id).map(|(_, line)| line.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first() {
        let recent = Recent::default();
        for id in 0..5 {
            recent.hold(&id.to_string(), &format!("line {id}"), 3);
        }
        assert_eq!(recent.find("4").as_deref(), Some("line 4"));
        assert_eq!(recent.find("2").as_deref(), Some("line 2"));
        assert_eq!(recent.find("1"), None);
        let large = "x".repeat(BYTES_MAX - 8);
        recent.hold("large", &large, 3);
        assert!(recent.find("4").is_some() && recent.find("3").is_none());
        recent.hold("none", "y", 0);
        assert!(recent.find("large").is_none() && recent.find("none").is_none());
    }
}
