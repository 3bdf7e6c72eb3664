//! Who keeps the books: reads the file at the start, writes it while the gateway runs and when it ends.
//!
//! A file that can't be read stops nobody from working: it is set aside, that is said, and the count begins at nothing.
//! What can't be set aside isn't written over either. What another gateway wrote meanwhile, one that is about to end while
//! this one begins, is taken in before it is written over.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::file::{self, Unread, Version};
use super::{Kept, Ledger};
use crate::request::Timestamp;

/// How much a gateway that is killed may forget.
const EVERY: Duration = Duration::from_secs(5);

/// Keeps a ledger's books in a file.
#[derive(Debug)]
pub struct Keeper {
    ledger: Arc<Ledger>,
    file: Option<PathBuf>,
    /// There is one attempt at a time.
    last: Mutex<Last>,
}

/// What became of the last attempt to write.
#[derive(Debug)]
struct Last {
    done: Done,
    /// What the file was like after it.
    version: Option<Version>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Yes,
    No,
}

impl Keeper {
    /// A keeper of the books in `file`, or of books that end with the process.
    #[must_use]
    pub fn open(file: Option<&Path>, now: Timestamp) -> Arc<Self> {
        let (ledger, file) = match file {
            None => (Ledger::default(), None),
            Some(path) => match file::read(path) {
                Ok(kept) => {
                    tell_of_the_future(path, &kept, now);
                    (Ledger::resume(kept), Some(path.to_owned()))
                }
                Err(Unread::Absent) => (Ledger::default(), Some(path.to_owned())),
                Err(why) => (Ledger::default(), set_aside(path, &why)),
            },
        };
        // So that a directory that can't be written to is told of at the start.
        ledger.dirty.store(true, std::sync::atomic::Ordering::Release);
        let last = Last { done: Done::Yes, version: file.as_deref().and_then(file::version) };
        let keeper = Self { ledger: Arc::new(ledger), file, last: Mutex::new(last) };
        keeper.write();
        Arc::new(keeper)
    }

    /// The books.
    #[must_use]
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Writes the books every few seconds, if anything changed, until the task is dropped.
    pub async fn run(self: Arc<Self>) {
        if self.file.is_none() {
            return;
        }
        loop {
            tokio::time::sleep(EVERY).await;
            let keeper = self.clone();
            // A write that panicked is no reason not to try the next one.
            let _ = tokio::task::spawn_blocking(move || keeper.write()).await;
        }
    }

    /// Writes the books now, if anything changed.
    pub fn write(&self) {
        let Some(path) = &self.file else { return };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let found = file::version(path);
        if found != last.version {
            // What can't be read is nothing that could be lost.
            self.ledger.merge(file::read(path).unwrap_or_default());
            last.version = found;
        }
        let Some(kept) = self.ledger.changed() else { return };
        let done = match file::write(path, &kept) {
            Ok(()) => {
                if last.done == Done::No {
                    tracing::info!(file = %path.display(), "seats are written again");
                }
                Done::Yes
            }
            Err(why) => {
                self.ledger.not_written();
                if last.done == Done::Yes {
                    tracing::warn!(file = %path.display(), %why, "seats can't be written: a restart would forget them");
                }
                Done::No
            }
        };
        *last = Last { done, version: file::version(path) };
    }
}

/// Makes room for a new file, or says that there can be none.
fn set_aside(path: &Path, why: &Unread) -> Option<PathBuf> {
    let aside = file::beside(path, "broken");
    match fs::rename(path, &aside) {
        Ok(()) => {
            tracing::warn!(
                file = %path.display(), %why, aside = %aside.display(),
                "the file of seats was set aside: seats are counted from nothing"
            );
            Some(path.to_owned())
        }
        Err(stuck) => {
            tracing::warn!(
                file = %path.display(), %why, %stuck,
                "the file of seats can't be used: seats are counted from nothing, and a restart will forget them"
            );
            None
        }
    }
}

/// A month that a wrong clock began stays until it is over.
fn tell_of_the_future(path: &Path, kept: &[Kept], now: Timestamp) {
    let ahead = kept.iter().filter(|own| own.current.month > own.current.zone.month(now)).count();
    if ahead > 0 {
        tracing::warn!(
            file = %path.display(), books = ahead,
            "the file of seats is from a month that has not begun: seats are freed when that month ends; is the clock right?"
        );
    }
}
