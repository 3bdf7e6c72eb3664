//! What ends a gateway, and how: signals, a new process in its place, the drain.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

use super::handover::{Failed, PATIENCE, Program, Successor};
use super::sockets::Listening;
use super::{Exit, cannot, service};
use crate::audit::Log;
use crate::control::admin::{Phase, Readiness};
use crate::control::candidate::Candidates;
use crate::control::reload::Handle;
use crate::ledger::Keeper;
use crate::proxy::{Drained, Running};
use crate::telemetry::Trigger;

/// The signals that a gateway hears.
pub(super) struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    replace: Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Reload,
    Replace,
    End,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            replace: signal(SignalKind::user_defined2())?,
        })
    }

    async fn next(&mut self) -> Heard {
        tokio::select! {
            _ = self.hangup.recv() => Heard::Reload,
            _ = self.terminate.recv() => Heard::End,
            _ = self.interrupt.recv() => Heard::End,
            _ = self.replace.recv() => Heard::Replace,
        }
    }
}

/// A gateway that serves, and what ends with it.
pub(super) struct Life {
    pub(super) signals: Signals,
    pub(super) running: Running,
    pub(super) reload: Handle,
    pub(super) candidates: Arc<Candidates>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) keeper: Arc<Keeper>,
    pub(super) log: Arc<Log>,
    /// What only the process does that serves: accepting operators and scrapers, telling a manager that it lives.
    pub(super) duties: Vec<JoinHandle<()>>,
    /// The listeners once more, for a process that takes over; and how to start one, where that may be.
    pub(super) sockets: Vec<Listening>,
    pub(super) program: Option<Program>,
    pub(super) delay: Duration,
    pub(super) drain: Duration,
}

/// Why a gateway ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// A signal says so.
    Asked,
    /// This process serves in its place.
    Replaced(u32),
}

impl Life {
    /// SIGHUP reloads; SIGUSR2 lets a new process take over; the first SIGTERM or SIGINT drains; the second ends at once.
    /// One that was replaced drains already: there, the first changes nothing.
    pub(super) async fn until_the_end(mut self) -> Exit {
        match self.serving().await {
            End::Replaced(pid) => self.hand_over(pid),
            End::Asked => {
                self.readiness.set(Phase::Draining);
                service::stopping();
                if !self.delayed().await {
                    return cut_off();
                }
            }
        }
        tracing::info!(at_most = format_args!("{}s", self.drain.as_secs_f64()), "draining");
        // Nobody could connect to be heard.
        self.sockets.clear();
        match self.readiness.phase() {
            Phase::Replaced => self.running.replaced(),
            _ => self.running.stop(),
        }
        let Self { running, mut signals, reload, readiness, .. } = self;
        tokio::select! {
            ended = tokio::task::spawn_blocking(move || running.join()) => match ended {
                Ok(Ok(Drained::Whole)) => {
                    tracing::info!("drained");
                    Exit::Yes
                }
                Ok(Ok(Drained::CutOff)) => {
                    tracing::warn!("requests were cut off: they took longer than `drain`");
                    Exit::No
                }
                Ok(Err(why)) => cannot("drain", why),
                Err(why) => cannot("drain", why),
            },
            () = ended_at_once(&mut signals, &reload, &readiness) => cut_off(),
        }
    }

    /// Serves until it has to end.
    async fn serving(&mut self) -> End {
        let mut successor: Option<Successor> = None;
        loop {
            tokio::select! {
                heard = self.signals.next() => match heard {
                    Heard::Reload => {
                        // Whoever moves logs away says so by this signal.
                        self.log.reopen();
                        reload(&self.reload, &self.readiness);
                    }
                    Heard::Replace if successor.is_some() => {
                        tracing::warn!("a new process is being started already");
                    }
                    Heard::Replace => successor = self.successor().await,
                    // A new process that isn't ready goes with this one.
                    Heard::End => return End::Asked,
                },
                news = readiness(successor.as_mut()) => match news {
                    Ok(pid) => return End::Replaced(pid),
                    Err(why) => {
                        successor = None;
                        not_replaced(&why);
                    }
                },
            }
        }
    }

    /// Starts a new process in the place of this one.
    async fn successor(&self) -> Option<Successor> {
        let Some(program) = &self.program else {
            tracing::warn!("this gateway can't be replaced while it runs: end it and start another one");
            return None;
        };
        // What it reads first should be what stands in the books now.
        self.write_books().await;
        match Successor::start(program, &self.sockets) {
            Ok(successor) => {
                let (pid, path) = (successor.id(), program.path().display());
                tracing::info!(pid, program = %path, "starting a new process");
                Some(successor)
            }
            Err(why) => {
                not_replaced(&why);
                None
            }
        }
    }

    async fn write_books(&self) {
        let keeper = self.keeper.clone();
        let _ = tokio::task::spawn_blocking(move || keeper.write()).await;
    }

    /// The new process has the listeners for itself from now on.
    fn hand_over(&self, pid: u32) {
        service::replaced_by(pid);
        self.duties.iter().for_each(JoinHandle::abort);
        self.readiness.set(Phase::Replaced);
        self.keeper.write();
        let candidates = self.candidates.clone();
        tokio::spawn(async move { candidates.hand_over().await });
        tracing::info!(pid, "another process serves from now on");
    }

    /// Lets callers in for a while longer; no, if that was cut short.
    async fn delayed(&mut self) -> bool {
        if self.delay.is_zero() {
            return true;
        }
        tracing::info!(
            r#for = format_args!("{}s", self.delay.as_secs_f64()),
            "no longer ready; callers are still let in"
        );
        tokio::select! {
            () = tokio::time::sleep(self.delay) => true,
            () = ended(&mut self.signals, &self.reload, &self.readiness) => false,
        }
    }
}

/// What becomes of a new process; nothing, where there is none.
async fn readiness(successor: Option<&mut Successor>) -> Result<u32, Failed> {
    match successor {
        Some(successor) => successor.ready(PATIENCE).await,
        None => std::future::pending().await,
    }
}

/// Waits for the signal that ends a gateway that drains. One that was replaced drains without having been told to: its
/// first signal is no second one, as when a manager signals every process that is left.
async fn ended_at_once(signals: &mut Signals, handle: &Handle, readiness: &Arc<Readiness>) {
    if readiness.phase() == Phase::Replaced {
        ended(signals, handle, readiness).await;
        tracing::info!("draining already; the same signal again ends it at once");
    }
    ended(signals, handle, readiness).await;
}

/// Waits for a signal that ends the gateway. Files are read until then: who was let in must obey them.
async fn ended(signals: &mut Signals, handle: &Handle, readiness: &Arc<Readiness>) {
    loop {
        match signals.next().await {
            Heard::End => return,
            Heard::Reload => reload(handle, readiness),
            Heard::Replace => tracing::warn!("a gateway that ends isn't replaced"),
        }
    }
}

/// Reads the files again. A service manager is told while it serves: before that and afterwards it isn't ready when it
/// has read them.
fn reload(handle: &Handle, readiness: &Arc<Readiness>) {
    let (handle, readiness) = (handle.clone(), readiness.clone());
    tokio::spawn(async move {
        let is_told = readiness.phase() == Phase::Ready;
        if is_told {
            service::reloading();
        }
        handle.reload(Trigger::Signal).await;
        // A service that was said to reload has to be said to be ready, also when another process is it by now.
        if is_told && readiness.phase() != Phase::Draining {
            service::ready("serving");
        }
    });
}

fn not_replaced(why: &Failed) {
    tracing::error!(%why, "no new process took over: this one goes on serving");
}

fn cut_off() -> Exit {
    tracing::warn!("ended at once: requests in flight were cut off");
    Exit::No
}
