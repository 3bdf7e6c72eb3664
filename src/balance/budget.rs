//! How often requests may be sent again: a part of those that are sent anyway, so that an upstream in trouble isn't given
//! several times its load by those who try again.

/// What one request adds, in hundredths of a retry: 20 %.
const PER_REQUEST: u64 = 20;
/// What a millisecond adds: ten retries a second, for an upstream that is seldom asked.
const PER_MS: u64 = 1;
/// What a retry takes.
const RETRY: u64 = 100;
/// The most that is saved up: a hundred retries at once.
const MOST: u64 = 100 * RETRY;
/// Bits of the count of requests that is told.
const COUNT_BITS: u32 = 40;

/// What is left to spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    saved: u64,
    requests: u64,
    at_ms: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { saved: MOST, requests: 0, at_ms: 0 }
    }
}

impl Budget {
    /// Takes one retry out of it, if there is one. `requests` counts those that were sent so far, in 40 bits.
    pub fn take(&mut self, requests: u64, now_ms: u64) -> bool {
        let newer = requests.wrapping_sub(self.requests) & ((1 << COUNT_BITS) - 1);
        // A count that fell (a server is gone, and its part with it) looks like one that nearly went round.
        let newer = if newer >> (COUNT_BITS - 1) == 0 { newer } else { 0 };
        let passed = now_ms.saturating_sub(self.at_ms);
        let earned = newer.saturating_mul(PER_REQUEST).saturating_add(passed.saturating_mul(PER_MS));
        self.saved = self.saved.saturating_add(earned).min(MOST);
        (self.requests, self.at_ms) = (requests, now_ms.max(self.at_ms));
        match self.saved.checked_sub(RETRY) {
            Some(left) => {
                self.saved = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(budget: &mut Budget, requests: u64, now_ms: u64) -> usize {
        (0..1000).take_while(|_| budget.take(requests, now_ms)).count()
    }

    #[test]
    fn a_fifth_of_the_requests_and_ten_a_second() {
        let mut budget = Budget::default();
        assert_eq!(taken(&mut budget, 0, 0), 100, "what was saved up");
        assert_eq!(taken(&mut budget, 50, 0), 10);
        assert_eq!(taken(&mut budget, 50, 1000), 10);
        assert_eq!(taken(&mut budget, 50, 1001), 0);
        assert_eq!(taken(&mut budget, 1_000_000, 1001), 100, "never more at once");
        assert_eq!(taken(&mut budget, 1_000_000, 0), 0, "a clock that goes back earns nothing");
    }

    #[test]
    fn the_count_may_wrap() {
        let mut budget = Budget { saved: 0, requests: (1 << COUNT_BITS) - 5, at_ms: 0 };
        assert_eq!(taken(&mut budget, 5, 0), 2);
    }

    /// A reload that removed a server once refilled the budget.
    #[test]
    fn a_count_that_falls_earns_nothing() {
        let mut budget = Budget { saved: 0, requests: 5000, at_ms: 0 };
        assert_eq!(taken(&mut budget, 3000, 0), 0);
        assert_eq!(taken(&mut budget, 3010, 0), 2, "and goes on from there");
    }
}
