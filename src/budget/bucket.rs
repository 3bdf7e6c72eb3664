//! One bucket: the generic cell rate algorithm, whose whole state is the moment at which the bucket is full again.

use super::Rate;

const SECOND: u64 = 1_000_000_000;

/// A moment: nanoseconds on a clock that never goes back, from a beginning that only this process knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

/// How long until there is a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wait(u64);

impl Wait {
    /// Where nobody can say how long.
    pub const LONG: Self = Self(60 * SECOND);

    /// In seconds, rounded up, and never none.
    #[must_use]
    pub fn seconds(self) -> u32 {
        u32::try_from(self.0.div_ceil(SECOND)).unwrap_or(u32::MAX).max(1)
    }
}

/// A bucket. A new one is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    full_at: Moment,
}

impl Bucket {
    /// Takes a token, or says how long there is none. A clock that is put back gives nothing.
    pub fn take(&mut self, rate: Rate, now: Moment) -> Result<(), Wait> {
        let most = rate.interval().saturating_mul(u64::from(rate.burst()));
        let then = self.full_at.max(now).0.saturating_add(rate.interval());
        match then.saturating_sub(now.0).checked_sub(most) {
            None | Some(0) => {
                self.full_at = Moment(then);
                Ok(())
            }
            Some(missing) => Err(Wait(missing)),
        }
    }

    /// Puts back a token that was taken for nothing.
    pub fn give_back(&mut self, rate: Rate) {
        self.full_at = Moment(self.full_at.0.saturating_sub(rate.interval()));
    }

    /// Whether it holds all that it can: a new one would be the same.
    #[must_use]
    pub fn is_full(self, now: Moment) -> bool {
        self.full_at <= now
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Per;
    use super::*;

    fn rate(count: u32, burst: u32) -> Rate {
        Rate::new(count, Per::Second, burst).unwrap()
    }

    #[test]
    fn a_burst_and_then_one_by_one() {
        let (mut bucket, rate) = (Bucket::default(), rate(10, 3));
        let at = |ms: u64| Moment(7 * SECOND + ms * 1_000_000);
        for _ in 0..3 {
            assert_eq!(bucket.take(rate, at(0)), Ok(()));
        }
        assert_eq!(bucket.take(rate, at(0)), Err(Wait(SECOND / 10)));
        assert_eq!(bucket.take(rate, at(99)).map_err(Wait::seconds), Err(1));
        assert_eq!(bucket.take(rate, at(100)), Ok(()));
        assert_eq!(bucket.take(rate, at(150)), Err(Wait(SECOND / 20)));
        assert!(!bucket.is_full(at(399)) && bucket.is_full(at(400)));
    }

    #[test]
    fn a_slow_rate_says_how_long() {
        let (mut bucket, rate) = (Bucket::default(), Rate::new(2, Per::Hour, 1).unwrap());
        assert_eq!(bucket.take(rate, Moment(0)), Ok(()));
        assert_eq!(bucket.take(rate, Moment(1)).map_err(Wait::seconds), Err(1800));
        assert_eq!(bucket.take(rate, Moment(1799 * SECOND + 1)).map_err(Wait::seconds), Err(1));
    }

    proptest! {
        /// In every window no more than the burst and what came back meanwhile, whatever was put back in between; what
        /// is refused leaves the bucket as it was, and a clock put back gives nothing.
        #[test]
        fn never_more_than_burst_and_rate(
            count in 1u32..50,
            burst in 1u32..20,
            steps in proptest::collection::vec((0u64..400_000_000, 0u8..8), 1..200),
        ) {
            let rate = rate(count, burst);
            let (mut bucket, mut now) = (Bucket::default(), 5 * SECOND);
            let mut let_in: Vec<u64> = Vec::new();
            for (step, act) in steps {
                now += step;
                let before = bucket;
                match act {
                    // An older moment than the last one.
                    0 => {
                        let earlier = Moment(now.saturating_sub(3 * SECOND));
                        let (mut then, mut other) = (bucket, bucket);
                        prop_assert!(then.take(rate, earlier).is_err() || other.take(rate, Moment(now)).is_ok());
                    }
                    1 => {
                        if bucket.take(rate, Moment(now)).is_ok() {
                            bucket.give_back(rate);
                            prop_assert!(bucket == before || (before.is_full(Moment(now)) && bucket.is_full(Moment(now))));
                        }
                    }
                    _ => match bucket.take(rate, Moment(now)) {
                        Ok(()) => let_in.push(now),
                        Err(wait) => {
                            prop_assert_eq!(bucket, before, "a refusal spends nothing");
                            let (mut later, mut sooner) = (bucket, bucket);
                            prop_assert!(later.take(rate, Moment(now + wait.0)).is_ok());
                            prop_assert!(sooner.take(rate, Moment(now + wait.0 - 1)).is_err());
                        }
                    },
                }
            }
            for (first, from) in let_in.iter().enumerate() {
                for (last, to) in let_in.iter().enumerate().skip(first) {
                    let came = (last - first + 1) as u64;
                    let most = u64::from(burst) + (to - from) / rate.interval();
                    prop_assert!(came <= most, "{came} in {} ns at {rate}", to - from);
                }
            }
        }
    }
}
