//! What follows when a server fails: it is left alone for a while, longer each time, and gets its share back slowly.
//!
//! Two witnesses say that a server is unwell: requests that failed there ([`Mark`]), and probes ([`Checked`]).

use std::time::Duration;

/// Answers in a row that say a server can't, after which it is left alone. A connection that fails says it at once.
pub const FAILURES_IN_ROW: u32 = 5;
/// How long, the first time; doubled by each further one.
const FIRST: Duration = Duration::from_secs(1);
/// How long at most.
const MOST: Duration = Duration::from_secs(30);
/// How long it takes a server that comes back to get its whole share.
const RETURN: Duration = Duration::from_secs(10);
/// What it begins with.
const RETURN_LEAST: u64 = Share::WHOLE / 10;

/// How much of what would be a server's it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u64);

impl Share {
    const WHOLE: u64 = 1024;
    /// Nothing, while there is another.
    pub const NONE: Self = Self(0);
    /// All of it.
    pub const ALL: Self = Self(Self::WHOLE);

    /// Whether this draw is one of its.
    pub(super) fn admits(self, random: u64) -> bool {
        self.0 >= Self::WHOLE || random % Self::WHOLE < self.0
    }
}

/// That a server failed lately: until when it is left alone, and how often that was so in a row. Fits into one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark(u64);

const TIMES_BITS: u32 = 8;

impl Mark {
    /// No failure.
    pub const NONE: Self = Self(0);

    /// Reads a word.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The word.
    #[must_use]
    pub fn bits(self) -> u64 {
        self.0
    }

    fn until_ms(self) -> u64 {
        self.0 >> TIMES_BITS
    }

    fn times(self) -> u64 {
        self.0 & ((1 << TIMES_BITS) - 1)
    }

    /// Whether the server is left alone.
    #[must_use]
    pub fn is_out(self, now_ms: u64) -> bool {
        self.until_ms() > now_ms
    }

    /// Whether there is nothing left of it: the server has its whole share.
    #[must_use]
    pub fn is_over(self, now_ms: u64) -> bool {
        self == Self::NONE || self.until_ms().saturating_add(ms(RETURN)) <= now_ms
    }

    /// The mark of a server that failed again.
    #[must_use]
    pub fn again(self, now_ms: u64) -> Self {
        let times = self.times();
        let pause = ms(FIRST).saturating_mul(1 << times.min(16)).min(ms(MOST));
        let times = (times + 1).min((1 << TIMES_BITS) - 1);
        Self(now_ms.saturating_add(pause) << TIMES_BITS | times)
    }

    /// The mark of a server that is said to be well again now.
    #[must_use]
    pub fn returning(self, now_ms: u64) -> Self {
        Self(now_ms.max(1) << TIMES_BITS | self.times())
    }

    /// How much the server gets.
    #[must_use]
    pub fn share(self, now_ms: u64) -> Share {
        if self.is_over(now_ms) {
            return Share::ALL;
        }
        let Some(back) = now_ms.checked_sub(self.until_ms()) else { return Share::NONE };
        Share(RETURN_LEAST + (Share::WHOLE - RETURN_LEAST) * back / ms(RETURN))
    }
}

/// Whether one more server may be left alone: at most half of them at once. What ails more than that isn't the servers'
/// own, and the rest couldn't bear the load.
#[must_use]
pub fn may_eject(servers: usize, out: usize) -> bool {
    (out + 1) * 2 <= servers
}

/// What probes said of a server. One that nobody has probed yet counts as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Whether it is well.
    pub is_well: bool,
    /// Probes in a row that said otherwise.
    row: u32,
}

impl Default for Checked {
    fn default() -> Self {
        Self { is_well: true, row: 0 }
    }
}

impl Checked {
    /// What is known after one more probe. It takes `healthy` good ones in a row to bring a server back, and
    /// `unhealthy` bad ones to take it out.
    #[must_use]
    pub fn after(self, passed: bool, healthy: u32, unhealthy: u32) -> Self {
        if passed == self.is_well {
            return Self { row: 0, ..self };
        }
        let row = self.row.saturating_add(1);
        let enough = if self.is_well { unhealthy } else { healthy };
        if row >= enough { Self { is_well: passed, row: 0 } } else { Self { row, ..self } }
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_fails_is_left_alone_longer_each_time_and_comes_back_slowly() {
        let mut mark = Mark::NONE;

        let mut now = 100_000;
        for pause in [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
            mark = mark.again(now);
            assert!(mark.is_out(now + pause - 1) && !mark.is_out(now + pause), "{pause}");
            assert_eq!(mark.share(now), Share::NONE);
            now += pause;
            assert_eq!(mark.share(now), Share(RETURN_LEAST));
            assert!(mark.share(now + 5_000) > mark.share(now + 1_000));
            assert!(!mark.is_over(now + 9_999) && mark.is_over(now + 10_000));
            assert_eq!(mark.share(now + 10_000), Share::ALL);
        }
        for _ in 0..1000 {
            mark = mark.again(now);
        }
        assert!(mark.is_out(now + 29_999) && !mark.is_out(now + 30_000));
        assert_eq!(mark.returning(now).share(now), Share(RETURN_LEAST));
    }

    #[test]
    fn at_most_half_are_left_alone() {
        let most = |servers| (0..).find(|out| !may_eject(servers, *out)).unwrap();
        assert_eq!([1, 2, 3, 4, 5, 10].map(most), [0, 1, 1, 2, 2, 5]);
    }

    #[test]
    fn one_probe_alone_changes_nothing() {
        let after = |known: Checked, probes: &[bool]| {
            probes.iter().fold(known, |known, passed| known.after(*passed, 2, 3))
        };
        let new = Checked::default();
        assert!(after(new, &[false, false, true, false, false]).is_well);
        let down = after(new, &[false, false, false]);
        assert!(!down.is_well);
        assert!(!after(down, &[true, false, true]).is_well);
        assert!(after(down, &[true, true]).is_well);
    }
}
