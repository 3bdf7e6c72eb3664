//! What is remembered across requests: who has a seat, and who has come how often.
//!
//! The books are in memory, behind [`Ledger`], which is all that the rest of the program knows of; [`Keeper`] writes them
//! to a file and reads them again after a restart. Gateways that share a file know of each other's people after some
//! seconds; others each give every seat once. How seats are counted is `seat`'s business.

mod buckets;
mod file;
mod keeper;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

pub use buckets::Buckets;
pub use file::{Unread, read};
pub use keeper::Keeper;

use crate::budget::{BudgetClaim, Budgeted};
use crate::request::Timestamp;
use crate::seat::{Book, Current, SeatClaim, Seated, Seating, Which};

/// Most books: tenants times apps, those of a year ago included.
const BOOKS_MAX: usize = 100_000;

/// The books of all tenants and apps.
#[derive(Debug, Default)]
pub struct Ledger {
    books: RwLock<Books>,
    buckets: Buckets,
    dirty: AtomicBool,
    failures: AtomicU64,
}

/// By tenant, then by app.
type Books = HashMap<Arc<str>, Apps>;
type Apps = HashMap<Arc<str>, Arc<Mutex<Book>>>;
/// A book after its tenant and app.
type Shelved = (Arc<str>, Arc<str>, Arc<Mutex<Book>>);

/// A book that outlives the process, with whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The tenant.
    pub tenant: Arc<str>,
    /// The app.
    pub app: Arc<str>,
    /// The book.
    pub current: Current,
}

impl Ledger {
    /// A ledger that goes on from these books.
    #[must_use]
    pub fn resume(kept: impl IntoIterator<Item = Kept>) -> Self {
        let mut books = Books::new();
        for Kept { tenant, app, current } in kept.into_iter().take(BOOKS_MAX) {
            books.entry(tenant).or_default().insert(app, Arc::new(Mutex::new(Book::resume(current))));
        }
        Self { books: RwLock::new(books), ..Self::default() }
    }

    /// Gives the person a seat, or not. Quick: whoever is seated already costs two look-ups in a set.
    pub fn take(&self, claim: &SeatClaim) -> Seated {
        let first = || Book::new(claim.seats, claim.zone.clone(), claim.at);
        match self.book(&claim.tenant, &claim.app, first) {
            Some(book) => self.noting(&book, |book| book.take(claim)),
            None => claim.seats.over.seated(Which::Named),
        }
    }

    /// What rates have left.
    #[must_use]
    pub fn buckets(&self) -> &Buckets {
        &self.buckets
    }

    /// Takes what a request costs, and then the seat that it needs: where there is none, it cost nothing.
    pub fn admit(
        &self,
        claim: &BudgetClaim,
        seat: Option<&SeatClaim>,
        now: Instant,
    ) -> (Budgeted, Option<Seated>) {
        let budgeted = self.buckets.spend(claim, now);
        let seated = seat.filter(|_| budgeted == Budgeted::Within).map(|seat| self.take(seat));
        if let Some(Seated::Refused(_)) = seated {
            self.buckets.refund(claim);
        }
        (budgeted, seated)
    }

    /// What all books say at `now`, by tenant and app.
    #[must_use]
    pub fn seatings(&self, now: Timestamp) -> Vec<Seating> {
        let mut found: Vec<_> = self
            .all()
            .into_iter()
            .map(|(tenant, app, book)| Seating { tenant, app, standing: lock(&book).standing(now) })
            .collect();
        found.sort_by(|a, b| (&a.tenant, &a.app).cmp(&(&b.tenant, &b.app)));
        found
    }

    /// How often the books could not be written.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Takes in what another gateway wrote; what it doesn't know yet is to be written again.
    fn merge(&self, kept: Vec<Kept>) {
        let known: HashMap<_, _> =
            kept.iter().map(|own| ((own.tenant.clone(), own.app.clone()), own.current.named.len())).collect();
        for Kept { tenant, app, current } in kept {
            let first = || Book::new(current.seats, current.zone.clone(), current.latest);
            if let Some(book) = self.book(&tenant, &app, first) {
                self.noting(&book, |book| book.merge(&current));
            }
        }
        let is_new = |(tenant, app, book): Shelved| {
            known.get(&(tenant, app)).is_none_or(|holders| lock(&book).holders() > *holders)
        };
        if self.all().into_iter().any(is_new) {
            self.dirty.store(true, Ordering::Release);
        }
    }

    /// Does something to a book, and notes whether that changed it.
    fn noting<T>(&self, book: &Mutex<Book>, act: impl FnOnce(&mut Book) -> T) -> T {
        let mut book = lock(book);
        let before = book.changes();
        let result = act(&mut book);
        if book.changes() != before {
            self.dirty.store(true, Ordering::Release);
        }
        result
    }

    /// What must outlive the process, if it differs from what was asked for last.
    fn changed(&self) -> Option<Vec<Kept>> {
        self.dirty.swap(false, Ordering::AcqRel).then(|| self.kept())
    }

    /// The books could not be written: next time, then.
    fn not_written(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.dirty.store(true, Ordering::Release);
    }

    fn kept(&self) -> Vec<Kept> {
        let mut kept: Vec<_> = self
            .all()
            .into_iter()
            .map(|(tenant, app, book)| Kept { tenant, app, current: lock(&book).current() })
            .collect();
        kept.sort_by(|a, b| (&a.tenant, &a.app).cmp(&(&b.tenant, &b.app)));
        for Kept { current, .. } in &mut kept {
            current.named.sort_unstable();
            current.present.sort_unstable();
        }
        kept
    }

    fn all(&self) -> Vec<Shelved> {
        let books = self.books.read().unwrap_or_else(PoisonError::into_inner);
        let of_tenant = |(tenant, apps): (&Arc<str>, &Apps)| -> Vec<_> {
            apps.iter().map(|(app, book)| (tenant.clone(), app.clone(), book.clone())).collect()
        };
        books.iter().flat_map(of_tenant).collect()
    }

    /// The book of a tenant in an app; a new one where there is room for it.
    fn book(
        &self,
        tenant: &Arc<str>,
        app: &Arc<str>,
        first: impl FnOnce() -> Book,
    ) -> Option<Arc<Mutex<Book>>> {
        let find = |books: &Books| books.get(tenant)?.get(app).cloned();
        let found = find(&self.books.read().unwrap_or_else(PoisonError::into_inner));
        if found.is_some() {
            return found;
        }
        let mut books = self.books.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = find(&books) {
            return Some(found);
        }
        if books.values().map(HashMap::len).sum::<usize>() >= BOOKS_MAX {
            return None;
        }
        let book = Arc::new(Mutex::new(first()));
        books.entry(tenant.clone()).or_default().insert(app.clone(), book.clone());
        Some(book)
    }
}

/// A book is never left half written: what panicked has not begun to write.
fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}
