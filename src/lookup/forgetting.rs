//! What a write makes stale is dropped when the write ends, whichever way that is: nobody who carries a request can be
//! sure to be there at its end.

use std::sync::Arc;
use std::time::Duration;

use super::LookUps;
use crate::policy::lookup::Forget;

/// When to forget once more after a write whose end nobody saw: the app may have carried it out all the same, a little
/// later, with a question answered in between.
const AGAIN: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(13)];

/// A write on its way to an app. Dropping it forgets what the write makes stale.
#[derive(Debug)]
#[must_use = "what the write makes stale is forgotten when this is dropped"]
pub struct Forgetting {
    lookups: Arc<LookUps>,
    stale: Vec<Forget>,
    end: End,
    again: [Duration; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Seen,
    Unseen,
}

impl Forgetting {
    /// For a write that makes these stale.
    pub fn new(lookups: Arc<LookUps>, stale: Vec<Forget>) -> Self {
        Self { lookups, stale, end: End::Unseen, again: AGAIN }
    }

    /// The app has answered, and nobody has heard it yet: now.
    pub fn answered(mut self) {
        self.end = End::Seen;
    }
}

impl Drop for Forgetting {
    fn drop(&mut self) {
        if self.stale.is_empty() {
            return;
        }
        self.lookups.forget_all(&self.stale);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.end == End::Unseen {
            let (lookups, stale) = (self.lookups.clone(), std::mem::take(&mut self.stale));
            let again = self.again;
            runtime.spawn(async move {
                for pause in again {
                    tokio::time::sleep(pause).await;
                    lookups.forget_all(&stale);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Metrics, Mode};

    fn lookups() -> Arc<LookUps> {
        Arc::new(LookUps::new(Arc::new(Metrics::new(Mode::Run).unwrap())))
    }

    fn stale() -> Vec<Forget> {
        vec![Forget { app: "connect".into(), tenant: "acme".into(), namespace: "user".into() }]
    }

    #[tokio::test]
    async fn open_sockets_hear_of_every_write() {
        let lookups = lookups();
        let mut changes = lookups.changes();
        Forgetting::new(lookups.clone(), Vec::new()).answered();
        assert!(!changes.has_changed().unwrap());
        Forgetting::new(lookups.clone(), stale()).answered();
        changes.changed().await.unwrap();
        assert_eq!(*changes.borrow_and_update(), 1);
        assert_eq!(lookups.written("connect"), 1);
    }

    #[tokio::test]
    async fn a_write_whose_end_nobody_saw_is_forgotten_again() {
        let lookups = lookups();
        let mut changes = lookups.changes();
        let mut write = Forgetting::new(lookups.clone(), stale());
        write.again = [Duration::from_millis(1); 2];
        drop(write);
        assert_eq!(*changes.borrow_and_update(), 1);
        changes.wait_for(|count| *count == 3).await.unwrap();
    }
}
