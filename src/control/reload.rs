//! The only publisher: finds changed files, has them compiled whole, and swaps them in or refuses them whole.
//!
//! What was refused changes nothing: the last good set stays, and the refusal is visible in one log line, in the
//! metrics and at the admin listener until it is repaired or taken back. When to look and what a look means is
//! decided in `machine`, without a clock; this file waits, reads and reports.

mod effect;
mod machine;
mod set;
mod teller;
mod unended;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;

use self::effect::Wanted;
pub(super) use self::effect::beside;
use self::machine::{Machine, Step};
pub use self::set::Needs;
pub(super) use self::teller::InTurn;
use self::teller::{Change, Teller};
use self::unended::Unended;
pub use self::watch::Hints;
use self::watch::Watches;
use super::candidate::Candidates;
use super::status::{Board, Refusal, Status};
use super::{certificates, credentials, mounts, sources, upstream_tls};
use crate::audit::{ConfigEvent, Happened, Log};
use crate::config::diagnostic::{Severity, code};
use crate::config::{Diagnostic, Diagnostics, SourceFile, Sources};
use crate::plumbing::GatewayConfig;
use crate::request::Timestamp;
use crate::shadow::Shadow;
use crate::snapshot::{Live, Snapshot};
use crate::telemetry::{Metrics, Trigger};

/// The answer to someone who asked for a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// What stands on disk was live already.
    Unchanged,
    /// It is live now.
    Applied,
    /// It was refused.
    Rejected(Refusal),
}

/// Asks for reloads, from any task.
#[derive(Clone, Debug)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
}

#[derive(Debug)]
struct Request {
    trigger: Trigger,
    wanted: Wanted,
    answer: oneshot::Sender<Reloaded>,
}

impl Handle {
    /// Looks at the files now and answers with what came of it; nothing if the gateway is ending.
    pub async fn reload(&self, trigger: Trigger) -> Option<Reloaded> {
        self.ask(trigger, Wanted::Expected).await
    }

    /// The same; what isn't as the files expect goes live too, if it is proven that nobody may do more by it.
    pub async fn narrow(&self, trigger: Trigger) -> Option<Reloaded> {
        self.ask(trigger, Wanted::Narrower).await
    }

    async fn ask(&self, trigger: Trigger, wanted: Wanted) -> Option<Reloaded> {
        let (answer, result) = oneshot::channel();
        self.requests.send(Request { trigger, wanted, answer }).await.ok()?;
        result.await.ok()
    }
}

/// Keeps the live set at what stands on disk.
pub struct Reloader {
    gateway: PathBuf,
    needs: Needs,
    live: Arc<Live>,
    metrics: Arc<Metrics>,
    board: Arc<Board>,
    /// `gateway.toml` as the process was started with it: listeners are still as it says.
    started: GatewayConfig,
    machine: Machine,
    candidates: Option<Arc<Candidates>>,
    requests: mpsc::Receiver<Request>,
    teller: Teller,
    unended: Unended,
}

/// A gateway's configuration, live, and what keeps it so.
pub struct Loaded {
    /// What judges.
    pub live: Arc<Live>,
    /// To be run.
    pub reloader: Reloader,
    /// To ask it for a reload.
    pub handle: Handle,
    /// To see what it did.
    pub board: Arc<Board>,
    /// How many warnings there are.
    pub warnings: usize,
}

/// Why there is nothing to start with.
#[derive(Debug)]
pub struct NotLoaded {
    /// The files that the mistakes stand in.
    pub files: Vec<SourceFile>,
    /// The mistakes.
    pub why: Diagnostics,
}

/// Reads, compiles and publishes the first set. There is nothing to fall back on: a mistake is the caller's. Must
/// be called on a runtime; blocks for a moment.
pub fn load(gateway: PathBuf, needs: Needs, metrics: Arc<Metrics>) -> Result<Loaded, NotLoaded> {
    let unread = |why| NotLoaded { files: Vec::new(), why };
    let sources = Arc::new(sources::read_steady(&gateway, std::thread::sleep).map_err(unread)?);
    let compiled = match needs.compile(&sources, None) {
        Ok(compiled) => compiled,
        Err(why) => return Err(NotLoaded { files: sources.files.clone(), why }),
    };
    for file in mounts::mounted_files(&sources) {
        tracing::warn!(file, "mounted as a file: changes may never be seen; mount its directory instead");
    }
    let now = now();
    let snapshot = compiled.snapshot;
    metrics.config_applied(Trigger::Start, &sources.hash, now, &set::loaded(&snapshot));
    metrics.grants_end(&set::ends(&snapshot));
    metrics.certificates_end(&certificates::ends(&snapshot.gateway));
    tracing::info!(
        rev = snapshot.revision,
        hash = short(&sources.hash),
        files = sources.files.len(),
        trigger = Trigger::Start.as_str(),
        "rules applied"
    );
    let board = Arc::new(Board::new(Status::live(snapshot.revision, sources.clone(), now, Vec::new())));
    let (sender, requests) = mpsc::channel(16);
    let machine = Machine::new(sources.hash.clone(), Instant::now());
    let started = snapshot.gateway.clone();
    let live = Arc::new(Live::new(snapshot));
    let mut unended = Unended::default();
    unended.found(sources::broken_off(&gateway), &board, Instant::now());
    let teller = Teller { live: live.clone(), board: board.clone(), log: None, turn: InTurn::default() };
    let reloader = Reloader {
        gateway,
        needs,
        live: live.clone(),
        metrics,
        board: board.clone(),
        started,
        machine,
        candidates: None,
        requests,
        teller,
        unended,
    };
    let warnings = compiled.remarks.iter().filter(|remark| remark.severity == Severity::Warning).count();
    Ok(Loaded { live, reloader, handle: Handle { requests: sender }, board, warnings })
}

impl Reloader {
    /// Has every set that is applied or refused from now on written to the decision log, and first the live one.
    #[must_use]
    pub fn writing_to(mut self, log: Arc<Log>) -> Self {
        let live = self.live.load();
        let event = ConfigEvent {
            happened: Happened::Applied,
            trigger: Trigger::Start,
            revision: live.revision,
            hash: Some(live.hash.to_string()),
            was: None,
            errors: 0,
            first: None,
            diff: None,
        };
        log.configured(event, &live.gateway.decisions);
        if let Some(candidates) = &self.candidates {
            candidates.writing_to(log.clone());
        }
        self.teller.log = Some(log);
        self
    }

    /// `gateway.toml` as it was loaded.
    #[must_use]
    pub fn started(&self) -> &GatewayConfig {
        &self.started
    }

    /// Looks after candidate rules too, which `shadow` judges by. To be called before it runs.
    pub fn beside(&mut self, shadow: Arc<Shadow>) -> Arc<Candidates> {
        let (live, board) = (self.live.clone(), self.board.clone());
        let candidates = Candidates::new(self.needs.clone(), (live, board), shadow, self.metrics.clone());
        self.candidates = Some(candidates.clone());
        candidates
    }

    /// Runs until nobody holds a [`Handle`].
    pub async fn run(mut self, from: Hints) {
        let hints = Arc::new(Notify::new());
        let watches = match from {
            Hints::FileSystem => Watches::new(hints.clone()),
            Hints::None => Watches::none(),
        };
        let mut watches = self.arm(watches).await;
        // Candidates are compiled in a task of their own, which ends with this one: nothing live waits for them.
        let mut beside = JoinSet::new();
        if let Some(candidates) = &self.candidates {
            beside.spawn(candidates.clone().tend());
        }
        loop {
            let wake = tokio::time::Instant::from_std(self.machine.wake_at());
            tokio::select! {
                request = self.requests.recv() => match request {
                    None => return,
                    Some(Request { trigger, wanted, answer }) => {
                        self.machine.looked(Instant::now());
                        let reloaded = self.look(trigger, wanted).await;
                        self.answer(reloaded, answer);
                        watches = self.arm(watches).await;
                    }
                },
                () = hints.notified() => self.machine.hint(Instant::now()),
                () = tokio::time::sleep_until(wake) => {
                    if let Some(trigger) = self.machine.wake(Instant::now()) {
                        self.look(trigger, Wanted::Expected).await;
                        watches = self.arm(watches).await;
                    }
                }
            }
        }
    }

    /// Watches what there is to watch now: a look may have found another rule directory, or a new one under the
    /// old name.
    async fn arm(&self, mut watches: Watches) -> Watches {
        let gateway = self.gateway.clone();
        let armed = blocking(move || {
            watches.arm(&gateway);
            watches
        });
        armed.await.unwrap_or_else(|_| Watches::none())
    }

    async fn look(&mut self, trigger: Trigger, wanted: Wanted) -> Reloaded {
        let reloaded = self.judge(trigger, wanted).await;
        let gateway = self.gateway.clone();
        if let Ok(files) = blocking(move || sources::broken_off(&gateway)).await {
            self.unended.found(files, &self.board, Instant::now());
        }
        self.metrics.certificates_end(&certificates::ends(&self.live.load().gateway));
        if let Some(candidates) = &self.candidates {
            candidates.hint();
        }
        reloaded
    }

    /// Answers who asked, when what came of it is told and the candidate is looked at, unless that takes long.
    fn answer(&mut self, reloaded: Reloaded, answer: oneshot::Sender<Reloaded>) {
        let candidates = self.candidates.clone();
        let look = candidates.map(|own| tokio::spawn(async move { own.look(Trigger::Admin).await }));
        self.teller.turn.then(async move {
            if let Some(look) = look {
                let _ = tokio::time::timeout(effect::PATIENCE, look).await;
            }
            let _ = answer.send(reloaded);
        });
    }

    async fn judge(&mut self, trigger: Trigger, wanted: Wanted) -> Reloaded {
        let began = Instant::now();
        let (gateway, live) = (self.gateway.clone(), self.live.clone());
        let reading = blocking(move || {
            let live = live.load();
            credentials::refresh(&live.gateway);
            upstream_tls::refresh(&live.gateway);
            let reading = sources::read_steady(&gateway, std::thread::sleep);
            // After the pause that makes sure of the set: a certificate and its key are seldom exchanged at one moment.
            certificates::refresh(&live.gateway);
            let mut found = sources::fingerprint(&reading);
            if let Ok(sources) = &reading {
                found += &credentials::unreadable(sources);
                found += &upstream_tls::unreadable(sources);
                found += &certificates::unusable(sources, &live.gateway);
            }
            (found, reading)
        });
        let (found, reading) = reading.await.unwrap_or_else(|why| (why.first_line(&[]), Err(why)));
        let settled = began.elapsed();
        match self.machine.judge(trigger, &found) {
            Step::Nothing => return self.unchanged(trigger),
            Step::Reverted => return self.revert(),
            Step::Compile => {}
        }
        let sources = match reading {
            Ok(sources) => Arc::new(sources),
            Err(why) => return self.reject(trigger, found, &Sources::default(), why),
        };
        let (needs, live, input) = (self.needs.clone(), self.live.clone(), sources.clone());
        let compiling = Instant::now();
        let compiled = blocking(move || needs.compile(&input, Some(&live.load()))).await;
        let compiled = match compiled.and_then(|compiled| compiled) {
            Err(why) if wanted == Wanted::Narrower && effect::is_unexpected(&why) => {
                let (needs, live) = (self.needs.clone(), self.live.clone());
                effect::narrower(needs, live, sources.clone(), why).await
            }
            compiled => compiled.map(|compiled| (compiled, Vec::new())),
        };
        match compiled {
            Ok((compiled, unexpected)) => {
                let before = self.live.load();
                self.apply(
                    trigger,
                    &sources,
                    (compiled.snapshot, unexpected),
                    (settled, compiling.elapsed()),
                );
                self.teller.applied(Change { before, now: self.live.load(), trigger, wanted });
                Reloaded::Applied
            }
            Err(why) => self.reject(trigger, found, &sources, why),
        }
    }

    fn apply(
        &mut self,
        trigger: Trigger,
        sources: &Arc<Sources>,
        (snapshot, unexpected): (Snapshot, Vec<String>),
        (settled, compiled): (Duration, Duration),
    ) {
        let before = self.board.read();
        let now = now();
        let pending = pending_restart(&self.started, &snapshot.gateway);
        let mut status = Status::live(snapshot.revision, sources.clone(), now, pending);
        status.unexpected = unexpected;
        let (loaded, ends) = (set::loaded(&snapshot), set::ends(&snapshot));
        self.live.publish(snapshot);
        let changed = status.files.iter().filter(|file| !before.files.contains(file)).count()
            + before.files.iter().filter(|(path, _)| !status.files.iter().any(|(p, _)| p == path)).count();
        tracing::info!(
            rev = status.revision,
            hash = short(&status.hash),
            was = short(&before.hash),
            files = status.files.len(),
            changed,
            trigger = trigger.as_str(),
            settle = format_args!("{}ms", settled.as_millis()),
            compile = format_args!("{}ms", compiled.as_millis()),
            "rules applied"
        );
        if !status.pending_restart.is_empty() {
            tracing::warn!(
                keys = status.pending_restart.join(", "),
                "changes of gateway.toml wait for a restart"
            );
        }
        if let Some(first) = status.unexpected.first() {
            tracing::warn!(
                first,
                "a restart will refuse these files until what they expect is met or mended"
            );
        }
        self.metrics.config_applied(trigger, &status.hash, now, &loaded);
        self.metrics.config_unexpected(status.unexpected.len());
        self.metrics.grants_end(&ends);
        self.machine.applied(status.hash.clone());
        self.board.show(status);
    }

    fn reject(
        &mut self,
        trigger: Trigger,
        found: String,
        sources: &Sources,
        mut why: Diagnostics,
    ) -> Reloaded {
        why.sort();
        let refusal = Refusal::of(sources, &why, now());
        let status = self.board.read();
        tracing::error!(
            disk = refusal.hash.as_deref().map_or("unreadable", short),
            live = short(&status.hash),
            rev = status.revision,
            errors = refusal.errors,
            first = refusal.first,
            trigger = trigger.as_str(),
            "rules rejected, the live ones stay"
        );
        self.teller.write(ConfigEvent {
            happened: Happened::Refused,
            trigger,
            revision: status.revision,
            hash: refusal.hash.clone(),
            was: Some(status.hash.clone()),
            errors: refusal.errors,
            first: Some(refusal.first.clone()),
            diff: None,
        });
        self.metrics.config_rejected(trigger);
        self.machine.refused(found);
        self.board.change(|status| status.rejected = Some(refusal.clone()));
        Reloaded::Rejected(refusal)
    }

    /// Who sent a signal has no other answer than the log.
    fn unchanged(&self, trigger: Trigger) -> Reloaded {
        if matches!(trigger, Trigger::Signal | Trigger::Admin) {
            let status = self.board.read();
            tracing::info!(
                rev = status.revision,
                live = short(&status.hash),
                trigger = trigger.as_str(),
                "rules unchanged"
            );
        }
        Reloaded::Unchanged
    }

    fn revert(&mut self) -> Reloaded {
        let status = self.board.read();
        tracing::info!(
            rev = status.revision,
            live = short(&status.hash),
            "the live rules stand on disk again"
        );
        self.metrics.config_in_order(now());
        self.machine.reverted();
        self.board.change(|status| status.rejected = None);
        Reloaded::Unchanged
    }
}

/// Keys whose new value only a restart brings in.
fn pending_restart(started: &GatewayConfig, now: &GatewayConfig) -> Vec<&'static str> {
    let keys = [
        ("listen.address", started.listen.address != now.listen.address),
        ("listen.workers", started.listen.workers != now.listen.workers),
        ("listen.tls", started.listen.tls.is_some() != now.listen.tls.is_some()),
        ("admin.address", started.admin != now.admin),
        ("metrics.address", started.metrics != now.metrics),
        ("telemetry.log", started.log != now.log),
        ("ledger.file", started.ledger != now.ledger),
        ("drain-delay", started.drain_delay != now.drain_delay),
        ("drain", started.drain != now.drain),
        ("limits.cached-tokens", started.limits.cached_tokens != now.limits.cached_tokens),
    ];
    keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
}

/// Runs what may block or compute for long away from the runtime. A panic there refuses the set, whatever it was.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Diagnostics> {
    tokio::task::spawn_blocking(work).await.map_err(|_| {
        let mut why = Diagnostics::default();
        why.push(Diagnostic::error(code::UNREADABLE, "the gateway failed to read or compile the files"));
        why
    })
}

pub(super) fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// Enough of a hash for a log line.
pub(super) fn short(hash: &str) -> &str {
    hash.get(..8).unwrap_or(hash)
}
