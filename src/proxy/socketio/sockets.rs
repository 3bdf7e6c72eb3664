//! Everything that is open: how many there are, which sessions poll, and which rules hold, for whoever has to know when
//! they change.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use tokio::sync::{Semaphore, SemaphorePermit, watch};

use super::session::Session;
use crate::proxy::plane::Plane;
use crate::proxy::upgrade::Asking;
use crate::rejection::Rejection;
use crate::telemetry::Counted;

/// How many sockets are judged again at once. One write may concern all of them, and each may have something to ask of
/// the application, which has to have room for what requests ask.
const TURNS: usize = 32;

/// The sockets of one gateway.
#[derive(Debug)]
pub(in crate::proxy) struct Sockets {
    open: AtomicUsize,
    table: Mutex<Table>,
    revision: watch::Sender<u64>,
    /// Turns at being judged again.
    turns: Semaphore,
}

#[derive(Debug, Default)]
struct Table {
    /// By their ids, the sessions that poll.
    sessions: HashMap<Box<str>, Arc<Session>>,
    per_client: HashMap<IpAddr, usize>,
}

impl Sockets {
    pub(in crate::proxy) fn new() -> Self {
        Self {
            open: AtomicUsize::new(0),
            table: Mutex::default(),
            revision: watch::Sender::new(0),
            turns: Semaphore::new(TURNS),
        }
    }

    /// How many are open.
    pub(in crate::proxy) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Tells the sockets that these rules hold, unless they know.
    pub(in crate::proxy) fn announce(&self, mark: u64) {
        self.revision.send_if_modified(|known| std::mem::replace(known, mark) != mark);
    }

    /// A turn at being judged again.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.acquire().await.ok()
    }

    /// Changes when the rules do.
    pub(super) fn revision(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    pub(super) fn find(&self, sid: &str) -> Option<Arc<Session>> {
        self.table().sessions.get(sid).cloned()
    }

    /// Keeps a session. One whose id is taken is refused: an application that gives out an id twice can't be bound to.
    pub(super) fn keep(&self, session: &Arc<Session>) -> bool {
        let mut table = self.table();
        let is_new = !table.sessions.contains_key(&session.sid);
        if is_new {
            table.sessions.insert(session.sid.clone(), session.clone());
        }
        is_new
    }

    /// Forgets a session: its id means nothing any more.
    pub(super) fn forget(&self, session: &Session) {
        let forgotten = self.table().sessions.remove(&session.sid);
        // Outside of the lock: a session that goes gives back its place.
        if let Some(forgotten) = forgotten {
            forgotten.end();
        }
    }

    /// Forgets the sessions that nobody asked for in time.
    pub(in crate::proxy) fn sweep(&self, now: Instant) {
        let mut over = Vec::new();
        {
            let mut table = self.table();
            if table.sessions.is_empty() {
                return;
            }
            table.sessions.retain(|_, session| {
                let is_over = session.is_over(now);
                if is_over {
                    over.push(session.clone());
                }
                !is_over
            });
        }
        for session in over {
            session.end();
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket's place among those that are open.
#[derive(Debug)]
pub(in crate::proxy) struct Place {
    /// Not the plane itself: a session that polls is part of it.
    plane: Weak<Plane>,
    client: IpAddr,
    _gauge: Option<Counted>,
}

impl Place {
    /// Takes a place while there is one, in all and for the client.
    pub(in crate::proxy) fn take(
        asking: Asking<'_>,
        app: &Arc<str>,
        client: IpAddr,
    ) -> Result<Self, Rejection> {
        let (plane, limits) = (&asking.client.plane, &asking.snapshot.gateway.limits);
        let sockets = &plane.sockets;
        if sockets.open.fetch_add(1, Ordering::Relaxed) >= limits.sockets {
            sockets.open.fetch_sub(1, Ordering::Relaxed);
            return Err(Rejection::Overloaded);
        }
        // From here on it is given back when it is dropped.
        *sockets.table().per_client.entry(client).or_default() += 1;
        let place = Self { plane: Arc::downgrade(plane), client, _gauge: plane.metrics().socket(app) };
        let of_client = sockets.table().per_client.get(&client).copied().unwrap_or_default();
        let is_proxy = asking.snapshot.gateway.trusted_proxies.iter().any(|net| net.contains(&client));
        let most = if is_proxy { limits.sockets } else { limits.connections_per_client };
        if of_client > most { Err(Rejection::Overloaded) } else { Ok(place) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(plane) = self.plane.upgrade() else { return };
        let sockets = &plane.sockets;
        sockets.open.fetch_sub(1, Ordering::Relaxed);
        let mut table = sockets.table();
        if let Some(of_client) = table.per_client.get_mut(&self.client) {
            *of_client = of_client.saturating_sub(1);
            if *of_client == 0 {
                table.per_client.remove(&self.client);
            }
        }
    }
}
