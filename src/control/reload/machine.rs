//! When to look at the files, and what a look means. Values in, values out: `now` is an argument, nothing waits.
//!
//! Events of the file system are hints, the content's hash is the truth. A hint starts a quiet time, so that an
//! editor's burst of events is one look; a poll makes sure that nothing is missed where there are no events.

use std::time::{Duration, Instant};

use crate::telemetry::Trigger;

/// How long it must be quiet after a hint.
pub(super) const QUIET: Duration = Duration::from_millis(150);
/// How long hints may put a look off.
pub(super) const QUIET_MOST: Duration = Duration::from_secs(2);
/// How often the files are looked at without a hint.
pub(super) const POLL: Duration = Duration::from_secs(2);

/// What is known about the files.
#[derive(Debug)]
pub(super) struct Machine {
    /// The fingerprint of what is live.
    live: String,
    /// The fingerprint of what was refused last, while it stands on disk.
    refused: Option<String>,
    settling: Option<Settling>,
    next_poll: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Settling {
    first: Instant,
    last: Instant,
}

impl Settling {
    fn due(self) -> Instant {
        (self.last + QUIET).min(self.first + QUIET_MOST)
    }
}

/// What to do about what was found on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It is what is live, or what has been refused already.
    Nothing,
    /// It is what is live again: the refusal is over.
    Reverted,
    /// It is new, or someone asked to hear about it again.
    Compile,
}

impl Machine {
    pub(super) fn new(live: String, now: Instant) -> Self {
        Self { live, refused: None, settling: None, next_poll: now + POLL }
    }

    /// Something may have changed.
    pub(super) fn hint(&mut self, now: Instant) {
        let first = self.settling.map_or(now, |settling| settling.first);
        self.settling = Some(Settling { first, last: now });
    }

    /// When [`Machine::wake`] wants to be called next.
    pub(super) fn wake_at(&self) -> Instant {
        self.settling.map_or(self.next_poll, Settling::due)
    }

    /// Whether it is time to look, and why.
    pub(super) fn wake(&mut self, now: Instant) -> Option<Trigger> {
        if now < self.wake_at() {
            return None;
        }
        let trigger = if self.settling.is_some() { Trigger::Watch } else { Trigger::Poll };
        self.looked(now);
        Some(trigger)
    }

    /// A look begins: hints so far are answered by it.
    pub(super) fn looked(&mut self, now: Instant) {
        self.settling = None;
        self.next_poll = now + POLL;
    }

    /// What was found on disk, as a fingerprint → what to do.
    pub(super) fn judge(&self, trigger: Trigger, found: &str) -> Step {
        let asked_for = matches!(trigger, Trigger::Signal | Trigger::Admin);
        match &self.refused {
            None if found == self.live => Step::Nothing,
            Some(_) if found == self.live => Step::Reverted,
            Some(refused) if found == refused && !asked_for => Step::Nothing,
            _ => Step::Compile,
        }
    }

    /// It went live.
    pub(super) fn applied(&mut self, found: String) {
        self.live = found;
        self.refused = None;
    }

    /// It was refused.
    pub(super) fn refused(&mut self, found: String) {
        self.refused = Some(found);
    }

    /// What is live stands on disk again.
    pub(super) fn reverted(&mut self) {
        self.refused = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_burst_of_hints_is_one_look_after_it_is_quiet() {
        let start = Instant::now();
        let mut machine = Machine::new("a".into(), start);
        for at in [0, 40, 80] {
            machine.hint(start + at * MS);
            assert_eq!(machine.wake(start + (at + 39) * MS), None);
        }
        assert_eq!(machine.wake_at(), start + 230 * MS);
        assert_eq!(machine.wake(start + 230 * MS), Some(Trigger::Watch));
        assert_eq!(machine.wake(start + 231 * MS), None);
    }

    #[test]
    fn hints_without_end_put_a_look_off_for_two_seconds_at_most() {
        let start = Instant::now();
        let mut machine = Machine::new("a".into(), start);
        for at in (0..2000).step_by(100) {
            machine.hint(start + at * MS);
            assert_eq!(machine.wake(start + at * MS), None, "{at}");
        }
        assert_eq!(machine.wake(start + QUIET_MOST), Some(Trigger::Watch));
    }

    #[test]
    fn without_hints_the_files_are_polled() {
        let start = Instant::now();
        let mut machine = Machine::new("a".into(), start);
        assert_eq!(machine.wake(start + POLL - MS), None);
        assert_eq!(machine.wake(start + POLL), Some(Trigger::Poll));
        assert_eq!(machine.wake_at(), start + POLL + POLL);
    }

    #[test]
    fn break_revert_break_is_three_events_and_no_more() {
        let mut machine = Machine::new("good".into(), Instant::now());
        assert_eq!(machine.judge(Trigger::Poll, "good"), Step::Nothing);
        assert_eq!(machine.judge(Trigger::Watch, "bad"), Step::Compile);
        machine.refused("bad".into());
        assert_eq!(machine.judge(Trigger::Poll, "bad"), Step::Nothing);
        assert_eq!(machine.judge(Trigger::Admin, "bad"), Step::Compile);
        assert_eq!(machine.judge(Trigger::Poll, "good"), Step::Reverted);
        machine.reverted();
        assert_eq!(machine.judge(Trigger::Poll, "good"), Step::Nothing);
        assert_eq!(machine.judge(Trigger::Poll, "bad"), Step::Compile);
        machine.refused("bad".into());
        assert_eq!(machine.judge(Trigger::Poll, "better"), Step::Compile);
        machine.applied("better".into());
        assert_eq!(machine.judge(Trigger::Poll, "better"), Step::Nothing);
        assert_eq!(machine.judge(Trigger::Poll, "good"), Step::Compile);
    }
}
