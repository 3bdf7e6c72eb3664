//! A gateway's life, for every verb that serves: load, bind, serve, drain.
//!
//! Whatever can go wrong goes wrong before the first request: a mistake in a file, an address that someone else
//! has. What happens while it serves is reported by the parts that it happens in. `sockets` is where listeners come
//! from, `life` what ends a gateway, `handover` how another process takes its place, `service` what a service manager is told.

mod descriptors;
mod handover;
mod life;
mod service;
mod sockets;

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use self::handover::Program;
use self::life::{Life, Signals};
pub use self::sockets::Inherited;
use self::sockets::{Listening, NotBound, Role};
use super::Exit;
use super::load::print;
use crate::audit::Log;
use crate::config::diagnostic::Style;
use crate::config::{Carried, Trust, compile};
use crate::control::admin::{self, Admin, Phase, Reach, Readiness};
use crate::control::fetch::{FetchLimits, Fetcher};
use crate::control::health;
use crate::control::keys::{Cadence, Keyring};
use crate::control::reload::{self, Hints, Loaded, Needs, NotLoaded};
use crate::control::sources;
use crate::ledger::Keeper;
use crate::plumbing::GatewayConfig;
use crate::proxy::{Plane, Server};
use crate::request::Timestamp;
use crate::snapshot::Live;
use crate::telemetry::{Metrics, Mode, faults, log};
use crate::token::KeyStatus;
use crate::upstream::system_resolver;

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
    /// The sockets that the process was started with.
    pub inherited: Inherited,
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
        Ok(gateway) => gateway.serve(start.mode, start.inherited, start.announce),
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
            print(&format!("ok: {} files, {}", sources.files.len(), sources.hash));
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
    program: Option<Program>,
}

/// Waits until every issuer's keys were asked for, got or not: until then its callers would be told to try again.
async fn keys_asked_for(live: Arc<Live>) {
    let asked = async {
        let unasked = |status: KeyStatus| status.last_success.is_none() && status.failures == 0;
        while live.load().verifier.issuers().any(|own| unasked(own.keys.status())) {
            tokio::time::sleep(KEYS_POLL).await;
        }
    };
    // An issuer that takes longer than that is as good as down, and others' callers can be served.
    let _ = tokio::time::timeout(KEYS_WAIT, asked).await;
}

/// Says that the gateway is ready, to whomever it concerns, once it is.
async fn ready_with_keys(live: Arc<Live>, readiness: Arc<Readiness>, predecessor: Option<UnixDatagram>) {
    keys_asked_for(live).await;
    readiness.ready();
    // It may have been told to end meanwhile: nobody gives way to it then.
    if readiness.phase() != Phase::Ready {
        return;
    }
    if let Some(predecessor) = predecessor {
        handover::tell_ready(&predecessor);
    }
    service::ready("serving");
    tracing::info!("ready");
}

/// The listeners, bound before anything serves: a gateway is whole or not there.
struct Bound {
    all: Vec<Listening>,
    addresses: Addresses,
}

impl Gateway {
    fn load(
        config: &Path,
        mode: Mode,
        trust: Arc<dyn Fn() -> Trust + Send + Sync>,
        fixed: Option<Arc<str>>,
    ) -> Result<Self, Exit> {
        // As it is now: later the file may be another one.
        let program = Program::current().ok();
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
        faults::watch(metrics.clone());
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
        Ok(Self { runtime, signals, loaded, metrics, program })
    }

    fn serve(mut self, mode: Mode, mut inherited: Inherited, announce: Box<dyn FnOnce(&Addresses)>) -> Exit {
        let config = self.loaded.live.load().gateway.clone();
        let predecessor = inherited.predecessor();
        let bound = match Bound::obtain(&config, inherited) {
            Ok(bound) => bound,
            Err(exit) => return exit,
        };
        let addresses = bound.addresses;
        let (sockets, gateway, operators) = match bound.shared_out() {
            Ok(all) => all,
            Err(why) => return cannot("listen", why),
        };
        if predecessor.is_some() {
            // The one before serves until then, and better.
            self.runtime.block_on(keys_asked_for(self.loaded.live.clone()));
        }
        let keeper = Keeper::open(config.ledger.as_deref(), now());
        let log = match Log::start(&config.decisions, self.metrics.clone()) {
            Ok(log) => log,
            Err(why) => return cannot("write decisions", why),
        };
        let live = self.loaded.live.clone();
        let plane = Plane::with_log(live, self.metrics.clone(), keeper.ledger().clone(), log.clone());
        let workers = config.listen.workers.unwrap_or_else(cores);
        plane.bound_connections(room(&config, workers));
        let running = match gateway.start(&plane, workers, config.drain) {
            Ok(running) => running,
            Err(why) => return cannot("start workers", why),
        };
        let readiness = Arc::new(Readiness::default());
        let admin = Admin {
            board: self.loaded.board,
            reload: self.loaded.handle.clone(),
            candidates: self.loaded.reloader.beside(plane.shadow().clone()),
            metrics: self.metrics,
            readiness: readiness.clone(),
            keys: keys_of(self.loaded.live.clone()),
            ledger: keeper.ledger().clone(),
            upstreams: upstreams_of(plane.clone()),
            log: log.clone(),
        };
        self.runtime.spawn(health::tend(plane.clone(), system_resolver));
        self.runtime.spawn(keeper.clone().run());
        self.runtime.spawn(self.loaded.reloader.writing_to(log.clone()).run(Hints::FileSystem));
        let serve = |(listener, reach)| self.runtime.spawn(serve_operators(listener, admin.clone(), reach));
        let mut duties: Vec<_> = operators.into_iter().map(serve).collect();
        duties.push(self.runtime.spawn(service::stay_watched(running.pulse(), readiness.clone())));
        self.runtime.spawn(ready_with_keys(self.loaded.live.clone(), readiness.clone(), predecessor));
        announce_listeners(&addresses, workers);
        announce(&addresses);
        let life = Life {
            signals: self.signals,
            running,
            reload: self.loaded.handle,
            candidates: admin.candidates.clone(),
            readiness,
            keeper: keeper.clone(),
            log: log.clone(),
            duties,
            sockets,
            program: self.program.filter(|_| mode == Mode::Run),
            delay: config.drain_delay,
            drain: config.drain,
        };
        let exit = self.runtime.block_on(life.until_the_end());
        keeper.write();
        log.end();
        self.runtime.shutdown_background();
        exit
    }
}

fn keys_of(live: Arc<Live>) -> admin::Keys {
    Arc::new(move || {
        live.load().verifier.issuers().map(|own| (own.name.clone(), own.keys.status())).collect()
    })
}

fn upstreams_of(plane: Arc<Plane>) -> admin::Servers {
    Arc::new(move || plane.current_upstreams())
}

/// Callers' connections that there are descriptors for.
fn room(config: &GatewayConfig, workers: usize) -> usize {
    let descriptors = descriptors::raise();
    let room = descriptors::room(descriptors, workers);
    if room < config.limits.connections {
        tracing::warn!(
            descriptors,
            connections = room,
            limit = config.limits.connections,
            "too few file descriptors for `limits.connections`: raise the process's limit (LimitNOFILE, ulimit -n)"
        );
    }
    room
}

fn announce_listeners(addresses: &Addresses, workers: usize) {
    tracing::info!(address = %addresses.gateway, workers, "listening for callers");
    tracing::info!(address = %addresses.admin, "listening for operators");
    if let Some(address) = addresses.metrics {
        tracing::info!(%address, "listening for scrapers");
    }
}

/// The listeners to hand on, the callers' server, and the operators' listeners.
type SharedOut = (Vec<Listening>, Server, Vec<(std::net::TcpListener, Reach)>);

impl Bound {
    fn obtain(config: &GatewayConfig, inherited: Inherited) -> Result<Self, Exit> {
        let refused = |why: NotBound| {
            say(&format!("error: {why}\n"));
            Exit::Environment
        };
        let all = inherited.listen(config).map_err(refused)?;
        let address = |role| {
            let listening = all.iter().find(|own: &&Listening| own.role == role);
            listening.map(|own| own.listener.local_addr()).transpose()
        };
        let found = || -> io::Result<Addresses> {
            let missing = || io::Error::other("a listener is missing");
            Ok(Addresses {
                gateway: address(Role::Callers)?.ok_or_else(missing)?,
                admin: address(Role::Admin)?.ok_or_else(missing)?,
                metrics: address(Role::Metrics)?,
            })
        };
        let addresses = found().map_err(|why| cannot("listen", why))?;
        Ok(Self { all, addresses })
    }

    /// Every listener to whom it is for, and all of them once more to be handed on.
    fn shared_out(self) -> io::Result<SharedOut> {
        let sockets = self.all.iter().map(Listening::again).collect::<io::Result<_>>()?;
        let (mut gateway, mut operators) = (None, Vec::new());
        for Listening { role, listener, .. } in self.all {
            match role {
                Role::Callers => gateway = Some(Server::on(listener)?),
                Role::Admin => operators.push((listener, Reach::Operators)),
                Role::Metrics => operators.push((listener, Reach::Scrapers)),
            }
        }
        let gateway = gateway.ok_or_else(|| io::Error::other("a listener is missing"))?;
        Ok((sockets, gateway, operators))
    }
}

async fn serve_operators(listener: std::net::TcpListener, admin: Admin, reach: Reach) {
    let listener = listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener));
    match listener {
        Ok(listener) => admin::serve(listener, admin, reach).await,
        Err(why) => tracing::error!(%why, "operators can't be served"),
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

pub(super) fn cannot(what: &str, why: impl std::fmt::Display) -> Exit {
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
