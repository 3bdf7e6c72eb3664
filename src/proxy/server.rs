//! Accepting connections and ending in good order. One process, some threads, each with a runtime of its own that
//! never waits for another; all accept from the one socket, so that a second gateway on the address fails to bind.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use super::connection::{self, Arrival, Opening};
use super::plane::Plane;
use super::pulse::Pulse;
use crate::headers::Peer;
use crate::plumbing::{ListenConfig, TlsConfig};
use crate::upstream;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;
/// How long to wait when no connection can be accepted, as when there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often idle upstream connections are looked at.
const SWEEP: Duration = Duration::from_secs(1);
/// Threads of one worker for what blocks: signature checks and name look-ups.
const BLOCKING_THREADS: usize = 8;

/// How long connections that wait for a request are kept when the gateway ends: a request may be on its way on them.
const IDLE_GRACE: Duration = Duration::from_secs(1);
/// The same when another process has taken over: nobody waits for this one.
const IDLE_GRACE_REPLACED: Duration = Duration::from_secs(5);

/// Where a server stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    Draining {
        /// How long a connection may still wait for a request.
        idle: Duration,
        /// Whose the connections are that wait to be accepted.
        queue: Queue,
    },
}

/// Who accepts what waits to be accepted when a gateway ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    /// This process: nobody comes after it.
    Own,
    /// The process that has taken over.
    Successors,
}

impl Phase {
    pub(super) fn is_draining(self) -> bool {
        self != Self::Open
    }

    /// How long a connection may wait for a request from now on.
    pub(super) fn idle(self) -> Duration {
        match self {
            Self::Open => Duration::MAX,
            Self::Draining { idle, .. } => idle,
        }
    }

    /// Whether what waits to be accepted is this process's to answer.
    fn has_queue(self) -> bool {
        !matches!(self, Self::Draining { queue: Queue::Successors, .. })
    }
}

/// A bound address that doesn't accept yet.
#[derive(Debug)]
pub struct Server {
    listener: StdListener,
    address: SocketAddr,
}

impl Server {
    /// A server on a socket that listens already.
    pub fn on(listener: StdListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self { address: listener.local_addr()?, listener })
    }

    /// The socket itself, for a process that takes over.
    pub fn socket(&self) -> io::Result<StdListener> {
        self.listener.try_clone()
    }

    /// Binds the address; port 0 takes any free port. Fails if anyone else is listening there.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // Past connections of a former gateway don't keep the address; a listening one does.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let listener = StdListener::from(socket);
        Ok(Self { address: listener.local_addr()?, listener })
    }

    /// The address, with the port that was taken.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts accepting on `workers` threads. `drain` is how long requests in flight may take after a stop.
    pub fn start(self, plane: &Arc<Plane>, workers: usize, drain: Duration) -> io::Result<Running> {
        let (phase, watched) = watch::channel(Phase::Open);
        let transport = Transport::of(&plane.load().gateway.listen)?;
        let mut threads = Vec::new();
        let pulse = Pulse::new(workers.max(1), Instant::now());
        for number in 0..workers.max(1) {
            let worker = Worker {
                number,
                pulse: pulse.clone(),
                listener: self.listener.try_clone()?,
                plane: plane.clone(),
                phase: watched.clone(),
                transport: transport.clone(),
                drain,
            };
            let thread = thread::Builder::new().name(format!("worker-{number}"));
            threads.push(thread.spawn(move || worker.run())?);
        }
        Ok(Running { phase, threads, address: self.address, drain, pulse })
    }
}

/// What became of those who were connected when a gateway ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Drained {
    /// Everyone who had asked for something was answered.
    Whole,
    /// The time was over, and there were requests in flight or sockets open.
    CutOff,
}

/// A server that accepts.
#[derive(Debug)]
pub struct Running {
    phase: watch::Sender<Phase>,
    threads: Vec<JoinHandle<io::Result<Drained>>>,
    address: SocketAddr,
    drain: Duration,
    pulse: Pulse,
}

impl Running {
    /// The address that it accepts on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether its workers turn.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// Stops accepting; requests in flight go on until they end or the drain time is over.
    pub fn stop(&self) {
        self.leave(IDLE_GRACE, Queue::Own);
    }

    /// The same for a gateway whose address another process serves by now: who is connected has more time to learn of
    /// it with an answer.
    pub fn replaced(&self) {
        self.leave(IDLE_GRACE_REPLACED, Queue::Successors);
    }

    fn leave(&self, idle: Duration, queue: Queue) {
        self.phase.send_replace(Phase::Draining { idle: idle.min(self.drain / 2), queue });
    }

    /// Waits for the end of every worker. Blocks.
    pub fn join(self) -> io::Result<Drained> {
        let ends = self.threads.into_iter().map(|thread| {
            let died = |_| io::Error::other("a worker thread ended in a fault");
            thread.join().unwrap_or_else(|fault| Err(died(fault)))
        });
        let ends: Vec<_> = ends.collect();
        ends.into_iter().try_fold(Drained::Whole, |worst, end| Ok(worst.max(end?)))
    }
}

struct Worker {
    number: usize,
    pulse: Pulse,
    listener: StdListener,
    plane: Arc<Plane>,
    phase: watch::Receiver<Phase>,
    transport: Transport,
    drain: Duration,
}

/// What is below HTTP on a listener. It begins as one and stays it: the other takes a restart.
#[derive(Clone, Debug)]
enum Transport {
    Clear,
    /// With what was presented last.
    Tls(Arc<ServerConfig>),
}

impl Transport {
    fn of(listen: &ListenConfig) -> io::Result<Self> {
        let Some(tls) = &listen.tls else { return Ok(Self::Clear) };
        let held = tls.held().ok_or_else(|| io::Error::other("the certificates weren't read"))?;
        Ok(Self::Tls(held.config.clone()))
    }

    /// What the next connection is presented: what the files say now, if they say anything.
    fn now(&mut self, listen: &ListenConfig) -> Option<Arc<ServerConfig>> {
        let Self::Tls(last) = self else { return None };
        if let Some(held) = listen.tls.as_ref().and_then(TlsConfig::held) {
            *last = held.config.clone();
        }
        Some(last.clone())
    }
}

impl Worker {
    fn run(self) -> io::Result<Drained> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .build()?;
        let result = runtime.block_on(self.serve());
        // What is still open after the drain is closed by this.
        runtime.shutdown_background();
        result
    }

    async fn serve(mut self) -> io::Result<Drained> {
        let listener = TcpListener::from_std(self.listener.try_clone()?)?;
        tokio::spawn(sweep(self.plane.clone(), self.pulse.clone(), self.number));
        // Every connection holds a sender; when all are gone, so are the connections.
        let (open, mut all_closed) = mpsc::channel::<()>(1);
        // Connections take theirs from the other one, to which the change will be news.
        let mut told = self.phase.clone();
        loop {
            let accepted = tokio::select! {
                biased;
                _ = told.wait_for(|phase| phase.is_draining()) => break,
                accepted = accept(&listener, &self.plane) => accepted,
            };
            match accepted {
                Ok((stream, address)) => self.welcome(stream, address, open.clone()),
                Err(error) if is_peers(&error) => {}
                Err(_) => {
                    self.plane.crowded(Instant::now());
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        self.welcome_waiting(&open);
        drop((listener, self.listener, open));
        let all = tokio::time::timeout(self.drain, all_closed.recv()).await;
        // Looked at before the runtime ends, which closes them. Who was connected and never asked loses nothing.
        let is_cut_off = all.is_err() && (self.plane.requests() > 0 || self.plane.sockets.open() > 0);
        Ok(if is_cut_off { Drained::CutOff } else { Drained::Whole })
    }

    /// Who is connected already, as far as his system knows, may have sent a request. The listener doesn't block, and
    /// descriptors are kept for answering those who are in.
    fn welcome_waiting(&mut self, open: &mpsc::Sender<()>) {
        if !self.phase.borrow().has_queue() {
            return;
        }
        for _ in 0..BACKLOG {
            if !self.plane.has_room() {
                break;
            }
            let Ok((stream, address)) = self.listener.accept() else { break };
            if stream.set_nonblocking(true).is_ok()
                && let Ok(stream) = TcpStream::from_std(stream)
            {
                self.welcome(stream, address, open.clone());
            }
        }
    }

    fn welcome(&mut self, stream: TcpStream, address: SocketAddr, open: mpsc::Sender<()>) {
        let (peer, snapshot) = (Peer::new(address.ip()), self.plane.load());
        let Some(seat) = self.plane.connect(&peer, &snapshot) else { return };
        if stream.set_nodelay(true).is_err() {
            return;
        }
        // Not the snapshot itself: a connection may outlive many of them.
        let limits = snapshot.gateway.limits.clone();
        let listen = &snapshot.gateway.listen;
        let is_behind = listen.proxy_protocol.iter().any(|net| net.contains(&peer.address()));
        let opening = if is_behind { Opening::Proxied } else { Opening::Direct };
        let tls = self.transport.now(&snapshot.gateway.listen);
        let (plane, phase) = (self.plane.clone(), self.phase.clone());
        let arrival = Arrival { stream, opening, tls, plane, peer, seat, phase, open };
        tokio::spawn(async move { connection::serve(arrival, &limits).await });
    }
}

/// The next connection that there is room for.
async fn accept(listener: &TcpListener, plane: &Plane) -> io::Result<(TcpStream, SocketAddr)> {
    while !plane.has_room() {
        plane.crowded(Instant::now());
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
    listener.accept().await
}

/// Errors of one connection, not of accepting.
fn is_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

async fn sweep(plane: Arc<Plane>, pulse: Pulse, worker: usize) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let ((snapshot, mark), now) = (plane.load_marked(), Instant::now());
        pulse.beat(worker, now);
        upstream::sweep(snapshot.gateway.limits.upstream_idle_timeout, now);
        plane.sockets.sweep(now);
        plane.sockets.announce(mark);
    }
}
