//! One server and what is known of it across requests and reloads: how much it has to do, whether it is well, and what was
//! counted. What follows from a failure is `balance`'s to say.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::gate::Gate;
use super::names::Names;
use crate::balance::{self, Checked, FAILURES_IN_ROW, Mark, Share, Standing};
use crate::plumbing::ServerAddress;

/// Bits of [`Server::load`] that count requests in flight; those above count all that there were.
const IN_FLIGHT_BITS: u32 = 24;
const IN_FLIGHT: u64 = (1 << IN_FLIGHT_BITS) - 1;
/// One more of both.
const ONE_MORE: u64 = (1 << IN_FLIGHT_BITS) + 1;

/// One server, with what is known of it across requests.
#[derive(Debug)]
pub struct Server {
    /// Names its idle connections; never used again for another server.
    pub(super) id: u64,
    key: u64,
    address: ServerAddress,
    pub(super) names: Names,
    pub(super) gate: Arc<Gate>,
    born: Instant,
    load: AtomicU64,
    in_row: AtomicU32,
    mark: AtomicU64,
    is_well: AtomicBool,
    checked: Mutex<Checked>,
    opened: AtomicU64,
    ejections: AtomicU64,
}

/// What a failure says of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It can't be reached.
    Unreachable,
    /// It gave no good answer to one request.
    Answer,
}

impl Server {
    pub(super) fn new(address: ServerAddress, gate: Arc<Gate>) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            key: balance::stable(format!("{}:{}", address.host, address.port).as_bytes()),
            names: Names::new(&address),
            address,
            gate,
            born: Instant::now(),
            load: AtomicU64::new(0),
            in_row: AtomicU32::new(0),
            mark: AtomicU64::new(0),
            is_well: AtomicBool::new(true),
            checked: Mutex::default(),
            opened: AtomicU64::new(0),
            ejections: AtomicU64::new(0),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> &ServerAddress {
        &self.address
    }

    /// Tells it apart from every other, also from one that was at the same address before.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Requests that it hasn't answered to the end.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        usize::try_from(self.load.load(Ordering::SeqCst) & IN_FLIGHT).unwrap_or(usize::MAX)
    }

    /// Requests that it was given, each try counted.
    pub(super) fn requests(&self) -> u64 {
        self.load.load(Ordering::Relaxed) >> IN_FLIGHT_BITS
    }

    /// Whether probes say that it is well. It counts as well until they say otherwise.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.is_well.load(Ordering::Relaxed)
    }

    /// Whether it failed so lately that it is left alone.
    #[must_use]
    pub fn is_ejected(&self, now: Instant) -> bool {
        self.mark().is_out(self.age_ms(now))
    }

    /// How often it was left alone because it failed.
    #[must_use]
    pub fn ejections(&self) -> u64 {
        self.ejections.load(Ordering::Relaxed)
    }

    /// Connections that were opened to it.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// What a probe found. Says whether that changed anything.
    pub fn probed(&self, passed: bool, healthy: u32, unhealthy: u32, now: Instant) -> bool {
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        let before = checked.is_well;
        *checked = checked.after(passed, healthy, unhealthy);
        let is_well = checked.is_well;
        drop(checked);
        if is_well && !before {
            self.mark.store(self.mark().returning(self.age_ms(now)).bits(), Ordering::Relaxed);
        }
        self.is_well.store(is_well, Ordering::Relaxed);
        is_well != before
    }

    /// Forgets what probes said: nobody asks any more.
    pub fn unprobed(&self) {
        *self.checked.lock().unwrap_or_else(PoisonError::into_inner) = Checked::default();
        self.is_well.store(true, Ordering::Relaxed);
    }

    pub(super) fn connected(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    /// It gave a good answer.
    pub(super) fn answered(&self) {
        if self.in_row.load(Ordering::Relaxed) != 0 {
            self.in_row.store(0, Ordering::Relaxed);
        }
    }

    /// It failed; `among` are all servers of its upstream.
    pub(super) fn failed(&self, fault: Fault, among: &[Arc<Self>], now: Instant) {
        let row = self.in_row.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if among.len() < 2 {
            return;
        }
        let (before, at) = (self.mark(), self.age_ms(now));
        let mark = if before.is_over(at) { Mark::NONE } else { before };
        let is_enough = fault == Fault::Unreachable || mark != Mark::NONE || row >= FAILURES_IN_ROW;
        let out = || among.iter().filter(|server| server.is_ejected(now)).count();
        if mark.is_out(at) || !is_enough || !balance::may_eject(among.len(), out()) {
            return;
        }
        let (before, after) = (before.bits(), mark.again(at).bits());
        let is_first =
            self.mark.compare_exchange(before, after, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if is_first {
            self.in_row.store(0, Ordering::Relaxed);
            self.ejections.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether the time must be known to say how much it gets.
    pub(super) fn is_marked(&self) -> bool {
        self.mark.load(Ordering::Relaxed) != 0
    }

    /// What the balancing wants to know; without a time, marks don't count.
    pub(super) fn standing(&self, now: Option<Instant>) -> Standing {
        let share = match now {
            _ if !self.is_well() => Share::NONE,
            None => Share::ALL,
            Some(now) => {
                let (mark, at) = (self.mark(), self.age_ms(now));
                if mark != Mark::NONE && mark.is_over(at) {
                    // Nobody needs to look at the clock for it any more.
                    let _ = self.mark.compare_exchange(mark.bits(), 0, Ordering::Relaxed, Ordering::Relaxed);
                }
                mark.share(at)
            }
        };
        Standing { key: self.key, load: self.in_flight(), share }
    }

    fn mark(&self) -> Mark {
        Mark::from_bits(self.mark.load(Ordering::Relaxed))
    }

    fn age_ms(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.born).as_millis()).unwrap_or(u64::MAX)
    }
}

/// A request that is with a server, counted there as long as this lives.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) server: Arc<Server>,
}

impl Slot {
    /// Takes one if the server has fewer than `most`.
    pub(super) fn take(server: &Arc<Server>, most: usize) -> Option<Self> {
        let most = u64::try_from(most).unwrap_or(u64::MAX).min(IN_FLIGHT);
        let more = |load: u64| (load & IN_FLIGHT < most).then(|| load.wrapping_add(ONE_MORE));
        server.load.fetch_update(Ordering::SeqCst, Ordering::Relaxed, more).ok()?;
        Some(Self { server: server.clone() })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.server.load.fetch_sub(1, Ordering::SeqCst);
        self.server.gate.left();
    }
}
