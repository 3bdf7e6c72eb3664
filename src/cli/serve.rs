//! A gateway's life, for every verb that serves: load, bind, serve, drain.
//!
//! Whatever can go wrong goes wrong before the first request: a mistake in a file, an address that someone else
//! has. What happens while it serves is reported by the parts that it happens in.

use std::io::{self, IsTerminal, Write};
use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Exit;
use crate::config::diagnostic::Style;
use crate::config::{Carried, Trust, compile};
use crate::control::admin::{self, Admin, Phase, Reach, Readiness};
use crate::control::fetch::{FetchLimits, Fetcher};
use crate::control::keys::{Cadence, Keyring};
use crate::control::reload::{self, Handle, Hints, Loaded, Needs, NotLoaded};
use crate::control::sources;
use crate::ledger::Keeper;
use crate::plumbing::GatewayConfig;
use crate::proxy::{Plane, Running, Server};
use crate::request::Timestamp;
use crate::snapshot::Live;
use crate::telemetry::{Metrics, Mode, Trigger, log};
use crate::token::KeyStatus;

/// How long issuers' keys are waited for before the gateway calls itself ready.
const KEYS_WAIT: Duration = Duration::from_secs(6);
/// How often it is looked whether they are there.
const KEYS_POLL: Duration = Duration::from_millis(20);

/// What to serve.
pub struct Start {
    /// `gateway.toml`.
    pub config: PathBuf,
    /// What the gateway is started as.
    pub mode: Mode,
    /// Whose tokens count.
    pub trust: Arc<dyn Fn() -> Trust + Send + Sync>,
    /// What `gateway.toml` must say, where the plumbing isn't an operator's to change.
    pub fixed: Option<Arc<str>>,
    /// Told the addresses once everything listens.
    pub announce: Box<dyn FnOnce(&Addresses)>,
}

/// Where the gateway listens, with the ports that were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Where callers come in.
    pub gateway: SocketAddr,
    /// Where operators come in.
    pub admin: SocketAddr,
    /// Where scrapers come in, if they have a listener of their own.
    pub metrics: Option<SocketAddr>,
}

/// Serves until a signal ends it.
pub fn serve(start: Start) -> Exit {
    match Gateway::load(&start.config, start.mode, start.trust, start.fixed) {
        Ok(gateway) => gateway.serve(start.announce),
        Err(exit) => exit,
    }
}

/// Reads and compiles everything and serves nothing: no key is fetched, no address bound.
pub fn check_only(config: &Path) -> Exit {
    let sources = match sources::read_steady(config, std::thread::sleep) {
        Ok(sources) => sources,
        Err(why) => return invalid(&NotLoaded { files: Vec::new(), why }),
    };
    match compile(&sources, Carried::nothing_at(now())) {
        Ok(_) => {
            let _ = writeln!(io::stdout(), "ok: {} files, {}", sources.files.len(), sources.hash);
            Exit::Yes
        }
        Err(why) => invalid(&NotLoaded { files: sources.files, why }),
    }
}

/// A gateway that is loaded and doesn't listen yet.
struct Gateway {
    runtime: Runtime,
    signals: Signals,
    loaded: Loaded,
    metrics: Arc<Metrics>,
}

/// Says that the gateway is ready once every issuer's keys were asked for, got or not: until then its callers would be
/// told to try again.
async fn ready_with_keys(live: Arc<Live>, readiness: Arc<Readiness>) {
    let asked = async {
        let unasked = |status: KeyStatus| status.last_success.is_none() && status.failures == 0;
        while live.load().verifier.issuers().any(|own| unasked(own.keys.status())) {
            tokio::time::sleep(KEYS_POLL).await;
        }
    };
    // An issuer that takes longer than that is as good as down, and others' callers can be served.
    let _ = tokio::time::timeout(KEYS_WAIT, asked).await;
    readiness.ready();
    tracing::info!("ready");
}

/// The listeners, bound before anything serves: a gateway is whole or not there.
struct Bound {
    gateway: Server,
    admin: StdListener,
    metrics: Option<StdListener>,
    addresses: Addresses,
}

impl Gateway {
    fn load(
        config: &Path,
        mode: Mode,
        trust: Arc<dyn Fn() -> Trust + Send + Sync>,
        fixed: Option<Arc<str>>,
    ) -> Result<Self, Exit> {
        log::start(sources::peek(config).map(|config| config.log).unwrap_or_default());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(CONTROL_THREADS)
            .thread_name("control")
            .enable_all()
            .build()
            .map_err(|why| cannot("start", why))?;
        let inside = runtime.enter();
        // First of all: a signal that comes while the files are read is heard when they are.
        let signals = Signals::listen().map_err(|why| cannot("hear signals", why))?;
        let metrics = Arc::new(Metrics::new(mode).map_err(|why| cannot("count", why))?);
        let fetcher = Fetcher::new(FetchLimits::default()).map_err(|why| cannot("fetch keys", why))?;
        let needs = Needs { trust, fixed, keyring: Arc::new(Keyring::new(fetcher, Cadence::default())) };
        let loaded = reload::load(config.to_owned(), needs, metrics.clone()).map_err(|not| invalid(&not))?;
        drop(inside);
        if loaded.warnings > 0 {
            tracing::warn!(
                warnings = loaded.warnings,
                "`gatewarden check` has something to say about the rules"
            );
        }
        Ok(Self { runtime, signals, loaded, metrics })
    }

    fn serve(self, announce: Box<dyn FnOnce(&Addresses)>) -> Exit {
        let config = self.loaded.live.load().gateway.clone();
        let bound = match Bound::bind(&config) {
            Ok(bound) => bound,
            Err(exit) => return exit,
        };
        let addresses = bound.addresses;
        let keeper = Keeper::open(config.ledger.as_deref(), now());
        let plane = Plane::new(self.loaded.live.clone(), self.metrics.clone(), keeper.ledger().clone());
        let workers = config.listen.workers.unwrap_or_else(cores);
        let running = match bound.gateway.start(&plane, workers, config.drain) {
            Ok(running) => running,
            Err(why) => return cannot("start workers", why),
        };
        let readiness = Arc::new(Readiness::default());
        let live = self.loaded.live.clone();
        let admin = Admin {
            board: self.loaded.board,
            reload: self.loaded.handle.clone(),
            metrics: self.metrics,
            readiness: readiness.clone(),
            keys: Arc::new(move || {
                live.load().verifier.issuers().map(|own| (own.name.clone(), own.keys.status())).collect()
            }),
            ledger: keeper.ledger().clone(),
        };
        self.runtime.spawn(keeper.clone().run());
        self.runtime.spawn(self.loaded.reloader.run(Hints::FileSystem));
        for (listener, reach) in [(Some(bound.admin), Reach::Operators), (bound.metrics, Reach::Scrapers)] {
            if let Some(listener) = listener {
                self.runtime.spawn(serve_operators(listener, admin.clone(), reach));
            }
        }
        self.runtime.spawn(ready_with_keys(self.loaded.live.clone(), readiness.clone()));
        tracing::info!(address = %addresses.gateway, workers, "listening for callers");
        tracing::info!(address = %addresses.admin, "listening for operators");
        if let Some(address) = addresses.metrics {
            tracing::info!(%address, "listening for scrapers");
        }
        announce(&addresses);
        let end = until_the_end(
            self.signals,
            running,
            &self.loaded.handle,
            &readiness,
            (config.drain_delay, config.drain),
        );
        let exit = self.runtime.block_on(end);
        keeper.write();
        self.runtime.shutdown_background();
        exit
    }
}

impl Bound {
    fn bind(config: &GatewayConfig) -> Result<Self, Exit> {
        let gateway = Server::bind(config.listen.address)
            .map_err(|why| cannot_listen(config.listen.address, "[listen] address", &why))?;
        let admin = bind(config.admin, "[admin] address")?;
        let metrics = config.metrics.map(|address| bind(address, "[metrics] address")).transpose()?;
        let local = |listener: &StdListener| listener.local_addr().map_err(|why| cannot("listen", why));
        let addresses = Addresses {
            gateway: gateway.address(),
            admin: local(&admin)?,
            metrics: metrics.as_ref().map(local).transpose()?,
        };
        Ok(Self { gateway, admin, metrics, addresses })
    }
}

fn bind(address: SocketAddr, key: &str) -> Result<StdListener, Exit> {
    let listener = StdListener::bind(address).map_err(|why| cannot_listen(address, key, &why))?;
    listener.set_nonblocking(true).map_err(|why| cannot("listen", why))?;
    Ok(listener)
}

async fn serve_operators(listener: StdListener, admin: Admin, reach: Reach) {
    match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => admin::serve(listener, admin, reach).await,
        Err(why) => tracing::error!(%why, "operators can't be served"),
    }
}

/// The signals that a gateway hears.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Heard {
        tokio::select! {
            _ = self.hangup.recv() => Heard::Reload,
            _ = self.terminate.recv() => Heard::End,
            _ = self.interrupt.recv() => Heard::End,
        }
    }

    /// Waits for one that ends the gateway.
    async fn end(&mut self) {
        while self.next().await != Heard::End {}
    }
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Reload,
    End,
}

/// SIGHUP reloads; the first SIGTERM or SIGINT drains; the second ends at once.
async fn until_the_end(
    mut signals: Signals,
    running: Running,
    reload: &Handle,
    readiness: &Readiness,
    (delay, drain): (Duration, Duration),
) -> Exit {
    while signals.next().await == Heard::Reload {
        let handle = reload.clone();
        tokio::spawn(async move { handle.reload(Trigger::Signal).await });
    }
    readiness.set(Phase::Draining);
    if !delay.is_zero() {
        tracing::info!(
            r#for = format_args!("{}s", delay.as_secs_f64()),
            "no longer ready; callers are still let in"
        );
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = signals.end() => {
                tracing::warn!("ended at once: requests in flight were cut off");
                return Exit::No;
            }
        }
    }
    tracing::info!(at_most = format_args!("{}s", drain.as_secs_f64()), "draining");
    let began = Instant::now();
    running.stop();
    tokio::select! {
        ended = tokio::task::spawn_blocking(move || running.join()) => match ended {
            Ok(Ok(())) if began.elapsed() < drain => {
                tracing::info!("drained");
                Exit::Yes
            }
            Ok(Ok(())) => {
                tracing::warn!("requests were cut off: they took longer than `drain`");
                Exit::No
            }
            Ok(Err(why)) => cannot("drain", why),
            Err(why) => cannot("drain", why),
        },
        () = signals.end() => {
            tracing::warn!("ended at once: requests in flight were cut off");
            Exit::No
        }
    }
}

fn invalid(not: &NotLoaded) -> Exit {
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let style = if colour { Style::Colour } else { Style::Plain };
    let errors = not.why.errors();
    let mistakes = if errors == 1 { "one mistake".to_owned() } else { format!("{errors} mistakes") };
    say(&format!("{}{mistakes}: nothing was started\n", not.why.render(&not.files, style)));
    Exit::refused(&not.why)
}

fn cannot_listen(address: SocketAddr, key: &str, why: &io::Error) -> Exit {
    let why = match why.kind() {
        io::ErrorKind::AddrInUse => "another program listens there".to_owned(),
        io::ErrorKind::PermissionDenied => "this user may not use that port".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        _ => why.to_string(),
    };
    say(&format!("error: can't listen on {address} (`{key}`): {why}\n"));
    Exit::Environment
}

fn cannot(what: &str, why: impl std::fmt::Display) -> Exit {
    say(&format!("error: can't {what}: {why}\n"));
    Exit::Environment
}

fn say(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Operators, reload and keys share these; callers have their own.
const CONTROL_THREADS: usize = 2;
