//! What all requests share: the snapshot's pointer, the upstreams that fit it, the counters and the bounds.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;

use super::socketio::Sockets;
use crate::audit::Log;
use crate::budget::customer;
use crate::headers::Peer;
use crate::ledger::Ledger;
use crate::lookup::LookUps;
use crate::shadow::Shadow;
use crate::snapshot::{Live, Snapshot};
use crate::telemetry::{Counted, Limit, Metrics};
use crate::upstream::Upstreams;

/// How long callers must have been accepted without waiting for descriptors, for the next wait to be news.
const CALM: Duration = Duration::from_secs(10);

/// What all requests of one gateway share.
#[derive(Debug)]
pub struct Plane {
    live: Arc<Live>,
    metrics: Arc<Metrics>,
    lookups: Arc<LookUps>,
    ledger: Arc<Ledger>,
    shadow: Arc<Shadow>,
    log: Arc<Log>,
    upstreams: ArcSwap<Fitting>,
    requests: AtomicUsize,
    handshakes: AtomicUsize,
    connections: Mutex<Connections>,
    /// Connections that there are file descriptors for.
    room: AtomicUsize,
    /// Signature checks that may run at once; the rest wait, and never in a request's way.
    pub(super) checks: Semaphore,
    /// The sockets that are open.
    pub(super) sockets: Sockets,
}

/// The upstreams that a snapshot's indices point into.
#[derive(Debug)]
struct Fitting {
    revision: u64,
    upstreams: Arc<Upstreams>,
}

#[derive(Debug, Default)]
struct Connections {
    total: usize,
    /// By customer: an address, or a network of IPv6.
    per_client: HashMap<IpAddr, usize>,
    /// When callers last had to wait for descriptors.
    crowded: Option<Instant>,
}

impl Plane {
    /// A plane for what `live` points to, whose decisions nobody writes down.
    #[must_use]
    pub fn new(live: Arc<Live>, metrics: Arc<Metrics>, ledger: Arc<Ledger>) -> Arc<Self> {
        let log = Log::nowhere(metrics.clone());
        Self::with_log(live, metrics, ledger, log)
    }

    /// A plane for what `live` points to.
    #[must_use]
    pub fn with_log(live: Arc<Live>, metrics: Arc<Metrics>, ledger: Arc<Ledger>, log: Arc<Log>) -> Arc<Self> {
        let snapshot = live.load();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Arc::new(Self {
            upstreams: ArcSwap::from_pointee(Fitting::new(&snapshot, None)),
            live,
            lookups: Arc::new(LookUps::new(metrics.clone())),
            ledger,
            shadow: Arc::new(Shadow::new(metrics.clone())),
            log,
            metrics,
            requests: AtomicUsize::new(0),
            handshakes: AtomicUsize::new(0),
            connections: Mutex::default(),
            room: AtomicUsize::new(usize::MAX),
            checks: Semaphore::new(cores),
            sockets: Sockets::new(),
        })
    }

    /// The current snapshot.
    pub(super) fn load(&self) -> Arc<Snapshot> {
        self.live.load()
    }

    /// The current snapshot, and a number that is another one whenever a request could be judged by other rules.
    pub(super) fn load_marked(&self) -> (Arc<Snapshot>, u64) {
        // First of all: rules that come in between make the mark an old one, never a new one of old rules.
        let generation = self.shadow.generation();
        let snapshot = self.live.load();
        let mark = snapshot.revision.wrapping_add(generation << 32);
        (snapshot, mark)
    }

    /// The counters.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What was asked of apps.
    #[must_use]
    pub fn lookups(&self) -> &Arc<LookUps> {
        &self.lookups
    }

    /// Candidate rules, if there are any.
    #[must_use]
    pub fn shadow(&self) -> &Arc<Shadow> {
        &self.shadow
    }

    /// Who has a licence seat.
    #[must_use]
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Where decisions are written down.
    #[must_use]
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// The upstreams of this snapshot. The first request after a reload builds them; a server that stays keeps its
    /// connections.
    pub fn upstreams(&self, snapshot: &Snapshot) -> Arc<Upstreams> {
        let current = self.upstreams.load();
        if current.revision == snapshot.revision {
            return current.upstreams.clone();
        }
        let fitting = Arc::new(Fitting::new(snapshot, Some(&current.upstreams)));
        let upstreams = fitting.upstreams.clone();
        // Two first requests may both build; the sets are alike, and the later one stays.
        if current.revision < snapshot.revision {
            self.upstreams.store(fitting);
        }
        upstreams
    }

    /// The upstreams of now.
    #[must_use]
    pub fn current_upstreams(&self) -> Arc<Upstreams> {
        self.upstreams(&self.load())
    }

    /// Requests in flight.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// Lets a request in, or doesn't if there are `most` already. It is counted as long as the slot lives.
    pub(super) fn enter(self: &Arc<Self>, most: usize) -> Slot {
        let before = self.requests.fetch_add(1, Ordering::Relaxed);
        Slot { plane: self.clone(), is_over: before >= most, _gauge: self.metrics.request() }
    }

    /// Lets a TLS handshake begin while fewer than `most` are under way, this one included as long as the result lives.
    pub(super) fn handshake(self: &Arc<Self>, most: usize) -> Option<UnderWay> {
        let before = self.handshakes.fetch_add(1, Ordering::Relaxed);
        let under_way = UnderWay(self.clone());
        (before < most).then_some(under_way)
    }

    /// No more connections than this are accepted: callers wait, rather than take the descriptors that are needed to
    /// answer them.
    pub fn bound_connections(&self, most: usize) {
        self.room.store(most, Ordering::Relaxed);
    }

    /// Whether there are descriptors for one more connection.
    pub(super) fn has_room(&self) -> bool {
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.total < self.room.load(Ordering::Relaxed)
    }

    /// Nobody can be accepted, for want of descriptors. Told and counted when it begins, not each time that it is found:
    /// what ends for less than [`CALM`] hasn't ended.
    pub(super) fn crowded(&self, now: Instant) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let before = connections.crowded.replace(now);
        drop(connections);
        if before.is_none_or(|before| now.saturating_duration_since(before) > CALM) {
            self.metrics.limit_hit(Limit::Descriptors);
            tracing::warn!("no file descriptors are left for callers: they wait until others leave");
        }
    }

    /// Lets a connection in while there is room for it, in all and from its peer.
    pub(super) fn connect(self: &Arc<Self>, peer: &Peer, snapshot: &Snapshot) -> Option<Seat> {
        let limits = &snapshot.gateway.limits;
        let address = peer.address();
        let most = most_of(address, snapshot);
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if connections.total >= limits.connections {
            self.metrics.limit_hit(Limit::Connections);
            return None;
        }
        let customer = customer(address);
        if !connections.take(customer, most) {
            self.metrics.limit_hit(Limit::ConnectionsPerClient);
            return None;
        }
        connections.total += 1;
        drop(connections);
        Some(Seat { plane: self.clone(), customer, _gauge: self.metrics.connection() })
    }
}

/// How many connections an address may have.
fn most_of(address: IpAddr, snapshot: &Snapshot) -> usize {
    let (gateway, limits) = (&snapshot.gateway, &snapshot.gateway.limits);
    let mut proxies = gateway.trusted_proxies.iter().chain(&gateway.listen.proxy_protocol);
    // Behind a trusted proxy there are many clients.
    if proxies.any(|net| net.contains(&address)) { limits.connections } else { limits.connections_per_client }
}

impl Connections {
    fn take(&mut self, customer: IpAddr, most: usize) -> bool {
        let of_client = self.per_client.entry(customer).or_default();
        let has_room = *of_client < most;
        *of_client += usize::from(has_room);
        has_room
    }

    fn give_back(&mut self, customer: IpAddr) {
        if let Some(of_client) = self.per_client.get_mut(&customer) {
            *of_client = of_client.saturating_sub(1);
            if *of_client == 0 {
                self.per_client.remove(&customer);
            }
        }
    }
}

impl Fitting {
    fn new(snapshot: &Snapshot, previous: Option<&Upstreams>) -> Self {
        let upstreams =
            Upstreams::build(snapshot.gateway.upstreams.iter(), &snapshot.gateway.limits, previous);
        Self { revision: snapshot.revision, upstreams: Arc::new(upstreams) }
    }
}

/// A request in flight.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) plane: Arc<Plane>,
    pub(super) is_over: bool,
    _gauge: Counted,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.plane.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A TLS handshake.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Plane>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.handshakes.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Seat {
    plane: Arc<Plane>,
    customer: IpAddr,
    _gauge: Counted,
}

impl Seat {
    /// Counts the connection as this client's, unless that has too many: the socket's address was a balancer's.
    pub(super) fn becomes(&mut self, peer: &Peer) -> bool {
        let (plane, address) = (&self.plane, peer.address());
        let most = most_of(address, &plane.load());
        let customer = customer(address);
        let mut connections = plane.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if !connections.take(customer, most) {
            plane.metrics.limit_hit(Limit::ConnectionsPerClient);
            return false;
        }
        connections.give_back(self.customer);
        drop(connections);
        self.customer = customer;
        true
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut connections = self.plane.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.total = connections.total.saturating_sub(1);
        connections.give_back(self.customer);
    }
}
