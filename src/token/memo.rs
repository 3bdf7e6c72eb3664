//! What was worked out of one token for one purpose, kept with the token: its bearer asks again with every request.
//!
//! One value at a time: the next purpose takes the place of the last. A purpose is a number that is never given twice in a
//! process, so that nothing that was worked out by other rules is ever found.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;

/// What a value was worked out for. A clone is another one: what it stands in was copied to be changed.
#[derive(Debug, PartialEq, Eq)]
pub struct Purpose(u64);

impl Purpose {
    /// One that nobody had before.
    #[must_use]
    pub fn unique() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl Clone for Purpose {
    fn clone(&self) -> Self {
        Self::unique()
    }
}

/// Room for one value.
#[derive(Default)]
pub(super) struct Memo(ArcSwapOption<Kept>);

struct Kept {
    purpose: u64,
    value: Box<dyn Any + Send + Sync>,
}

impl Memo {
    /// What was worked out for this purpose, or what `work` makes of it now.
    pub(super) fn get<T: Clone + Send + Sync + 'static>(
        &self,
        purpose: &Purpose,
        work: impl FnOnce() -> T,
    ) -> T {
        if let Some(kept) = &*self.0.load()
            && kept.purpose == purpose.0
            && let Some(value) = kept.value.downcast_ref::<T>()
        {
            return value.clone();
        }
        let value = work();
        self.0.store(Some(Arc::new(Kept { purpose: purpose.0, value: Box::new(value.clone()) })));
        value
    }
}

impl fmt::Debug for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memo")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_worked_out_once_for_each_purpose_in_turn() {
        let (memo, one, other) = (Memo::default(), Purpose::unique(), Purpose::unique());
        assert_eq!(memo.get(&one, || 1), 1);
        assert_eq!(memo.get(&one, || 2), 1);
        assert_eq!(memo.get(&other, || 3), 3);
        assert_eq!(memo.get(&one, || 4), 4);
        assert_eq!(memo.get(&one, || "of another type"), "of another type");
        assert_ne!(one.clone(), one);
    }
}
