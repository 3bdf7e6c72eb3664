//! Accepting connections and ending in good order. One process, some threads, each with a runtime of its own that
//! never waits for another; all accept from the one socket, so that a second gateway on the address fails to bind.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use super::connection::{self, Arrival};
use super::plane::Plane;
use crate::headers::Peer;
use crate::upstream;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;
/// How long to wait when no connection can be accepted, as when there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often idle upstream connections are looked at.
const SWEEP: Duration = Duration::from_secs(1);
/// Threads of one worker for what blocks: signature checks and name look-ups.
const BLOCKING_THREADS: usize = 8;

/// Where a server stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    Draining,
}

/// A bound address that doesn't accept yet.
#[derive(Debug)]
pub struct Server {
    listener: StdListener,
    address: SocketAddr,
}

impl Server {
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
        let mut threads = Vec::new();
        for number in 0..workers.max(1) {
            let worker = Worker {
                listener: self.listener.try_clone()?,
                plane: plane.clone(),
                phase: watched.clone(),
                drain,
            };
            let thread = thread::Builder::new().name(format!("worker-{number}"));
            threads.push(thread.spawn(move || worker.run())?);
        }
        Ok(Running { phase, threads, address: self.address })
    }
}

/// A server that accepts.
#[derive(Debug)]
pub struct Running {
    phase: watch::Sender<Phase>,
    threads: Vec<JoinHandle<io::Result<()>>>,
    address: SocketAddr,
}

impl Running {
    /// The address that it accepts on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting; requests in flight go on until they end or the drain time is over.
    pub fn stop(&self) {
        self.phase.send_replace(Phase::Draining);
    }

    /// Waits for the end of every worker. Blocks.
    pub fn join(self) -> io::Result<()> {
        let ends = self.threads.into_iter().map(|thread| {
            let died = |_| io::Error::other("a worker thread ended in a fault");
            thread.join().unwrap_or_else(|fault| Err(died(fault)))
        });
        ends.collect::<Vec<_>>().into_iter().collect()
    }
}

struct Worker {
    listener: StdListener,
    plane: Arc<Plane>,
    phase: watch::Receiver<Phase>,
    drain: Duration,
}

impl Worker {
    fn run(self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .build()?;
        let result = runtime.block_on(self.serve());
        // What is still open after the drain is closed by this.
        runtime.shutdown_background();
        result
    }

    async fn serve(mut self) -> io::Result<()> {
        let listener = TcpListener::from_std(self.listener.try_clone()?)?;
        tokio::spawn(sweep(self.plane.clone()));
        // Every connection holds a sender; when all are gone, so are the connections.
        let (open, mut all_closed) = mpsc::channel::<()>(1);
        loop {
            let accepted = tokio::select! {
                biased;
                _ = self.phase.wait_for(|phase| *phase == Phase::Draining) => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => self.welcome(stream, address, open.clone()),
                Err(error) if is_peers(&error) => {}
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
        // Who waits to be accepted is better off being told to go elsewhere.
        drop((listener, self.listener, open));
        let _ = tokio::time::timeout(self.drain, all_closed.recv()).await;
        Ok(())
    }

    fn welcome(&self, stream: TcpStream, address: SocketAddr, open: mpsc::Sender<()>) {
        let (peer, snapshot) = (Peer::new(address.ip()), self.plane.load());
        let Some(seat) = self.plane.connect(&peer, &snapshot) else { return };
        if stream.set_nodelay(true).is_err() {
            return;
        }
        // Not the snapshot itself: a connection may outlive many of them.
        let limits = snapshot.gateway.limits.clone();
        let (plane, phase) = (self.plane.clone(), self.phase.clone());
        let arrival = Arrival { stream, plane, peer, seat, phase, open };
        tokio::spawn(async move { connection::serve(arrival, &limits).await });
    }
}

/// Errors of one connection, not of accepting.
fn is_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

async fn sweep(plane: Arc<Plane>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let (snapshot, now) = (plane.load(), Instant::now());
        upstream::sweep(snapshot.gateway.limits.upstream_idle_timeout, now);
        plane.sockets.sweep(now);
        plane.sockets.announce(snapshot.revision);
    }
}
