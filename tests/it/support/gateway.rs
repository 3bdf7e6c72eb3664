//! A gateway in this process, on a free port.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use gatewarden::audit::Log;
use gatewarden::config::{Carried, FileKind, SourceFile, Sources, compile};
use gatewarden::control::health;
use gatewarden::ledger::Ledger;
use gatewarden::plumbing::{GatewayConfig, Limits, Scheme, TlsConfig, UpstreamConfig};
use gatewarden::proxy::{Plane, Running, Server};
use gatewarden::request::Timestamp;
use gatewarden::snapshot::{Live, Snapshot};
use gatewarden::telemetry::{Metrics, Mode};
use gatewarden::token::KeySet;
use gatewarden::token::signer::Signer;
use gatewarden::upstream::system_resolver;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::{Client, PATIENCE, Response, eventually};

/// What a test sets that no file says.
type Change = Box<dyn FnOnce(&mut Snapshot)>;

/// What a test wants of its gateway.
pub(crate) struct Setup {
    apps: Vec<(String, Vec<SocketAddr>)>,
    places: HashMap<String, Vec<String>>,
    rules: HashMap<String, String>,
    tenants: Option<String>,
    changes: Vec<Change>,
    tenant: &'static str,
    drain: Duration,
    workers: usize,
    leeway: u64,
    socket: Option<String>,
    decisions: String,
    is_tended: bool,
}

impl Setup {
    /// Another application, under `/NAME`, where everything is public, and `/NAME-guarded`, where nothing is.
    pub(crate) fn upstream(mut self, name: &str, servers: &[SocketAddr]) -> Self {
        self.apps.push((name.to_owned(), servers.to_vec()));
        self
    }

    /// The rules of an application, in place of those that it would have.
    pub(crate) fn rules(mut self, name: &str, text: &str) -> Self {
        self.rules.insert(name.to_owned(), text.to_owned());
        self
    }

    /// Where an application is, in place of where it would be.
    pub(crate) fn at(mut self, name: &str, places: &[&str]) -> Self {
        self.places.insert(name.to_owned(), places.iter().map(ToString::to_string).collect());
        self
    }

    /// The tenants, in place of the one that there would be.
    pub(crate) fn tenants(mut self, text: &str) -> Self {
        self.tenants = Some(text.to_owned());
        self
    }

    pub(crate) fn limits(self, set: impl FnOnce(&mut Limits) + 'static) -> Self {
        self.change(|config| set(&mut config.limits))
    }

    pub(crate) fn read_timeout(self, timeout: Duration) -> Self {
        self.change(move |config| {
            for upstream in &mut config.upstreams {
                upstream.read_timeout = timeout;
            }
        })
    }

    /// What every upstream's table says besides.
    pub(crate) fn upstreams_as(self, set: impl Fn(&mut UpstreamConfig) + 'static) -> Self {
        self.change(move |config| config.upstreams.iter_mut().for_each(set))
    }

    /// Has the servers looked after, as the running program does.
    pub(crate) fn tended(mut self) -> Self {
        self.is_tended = true;
        self
    }

    pub(crate) fn over_tls(self) -> Self {
        self.change(|config| {
            let servers = config.upstreams.iter_mut().flat_map(|upstream| &mut upstream.servers);
            servers.for_each(|server| server.scheme = Scheme::Https);
        })
    }

    /// Callers are presented these certificates, and may have to present their own.
    pub(crate) fn presenting(self, tls: TlsConfig) -> Self {
        self.change(|config| config.listen.tls = Some(tls))
    }

    pub(crate) fn trusting(self, nets: &'static str) -> Self {
        self.change(|config| config.trusted_proxies.push(nets.parse().unwrap()))
    }

    /// What the row of the one tenant says besides.
    pub(crate) fn tenant(mut self, row: &'static str) -> Self {
        self.tenant = row;
        self
    }

    pub(crate) fn drain(mut self, drain: Duration) -> Self {
        self.drain = drain;
        self
    }

    pub(crate) fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    pub(crate) fn compiled(self, change: impl FnOnce(&mut Snapshot) + 'static) -> Self {
        self.alter(change)
    }

    /// How far clocks may differ.
    pub(crate) fn leeway(mut self, seconds: u64) -> Self {
        self.leeway = seconds;
        self
    }

    /// Gives the applications a socket: these lines are their `[socket]`. Who may use things may send
    /// `publishCimEvent`, and a boss alone `deletePullModeRequest`.
    pub(crate) fn socket(mut self, lines: &str) -> Self {
        self.socket = Some(lines.to_owned());
        self
    }

    /// Decisions are written down: these lines are `[decisions]`.
    pub(crate) fn decisions(mut self, lines: &str) -> Self {
        self.decisions = format!("[decisions]\n{lines}\n");
        self
    }

    fn change(self, change: impl FnOnce(&mut GatewayConfig) + 'static) -> Self {
        self.alter(|snapshot| change(&mut snapshot.gateway))
    }

    /// What no file can say.
    pub(crate) fn alter(mut self, change: impl FnOnce(&mut Snapshot) + 'static) -> Self {
        self.changes.push(Box::new(change));
        self
    }

    fn sources(&self) -> Sources {
        let file = |kind, path: &str, text| SourceFile { kind, path: path.into(), text };
        let mut gateway =
            "[issuers.test]\nkind = \"oidc\"\nissuer = \"https://sso.test\"\naudience = [\"api\"]\n\
             algorithms = [\"EdDSA\"]\njwks = \"keys.json\"\n"
                .to_owned();
        gateway += &format!("leeway = \"{}s\"\n", self.leeway);
        gateway += &self.decisions;
        let mut files = Vec::new();
        for (name, servers) in &self.apps {
            let servers: Vec<_> = servers.iter().map(|server| format!("http://{server}")).collect();
            let usual = || vec![format!("/{name}"), format!("/{name}-guarded")];
            let places = self.places.get(name).cloned().unwrap_or_else(usual);
            gateway += &format!("[upstreams.{name}]\nat = {places:?}\nservers = {servers:?}\n");
            let verbs = ["GET", "POST", "PUT", "DELETE"];
            let all = |prefix: &str| verbs.map(|verb| format!("{verb} /{prefix}/{{rest...}}"));
            let (public, mut guarded) = (all(name), all(&format!("{name}-guarded")).to_vec());
            let mut more = vec![format!("PUT /{name}-guarded")];
            let mut socket = String::new();
            if let Some(lines) = &self.socket {
                socket = format!("[socket]\n{lines}\n");
                if !lines.contains("websocket") {
                    guarded.push("EMIT publishCimEvent".to_owned());
                    more.push("EMIT deletePullModeRequest".to_owned());
                }
            }
            let plain = || {
                format!(
                    "app = \"{name}\"\nowns = [\"/{name}\", \"/{name}-guarded\"]\nissuer = \"test\"\nroles = \"token.roles\"\n\
                     tenant = \"default\"\npublic = {public:?}\n[facts.token]\nroles = \"set\"\n{socket}\
                     [resource.things]\nuse = {guarded:?}\n[resource.more]\nuse = {more:?}\n\
                     [role.user]\nuse = [\"things\"]\n[role.boss]\nuse = [\"things\", \"more\"]\n"
                )
            };
            let rules = self.rules.get(name).cloned().unwrap_or_else(plain);
            files.push(file(FileKind::Rules, &format!("rules/{name}.toml"), rules));
        }
        let apps: Vec<_> = self.apps.iter().map(|(name, _)| name).collect();
        let row = &self.tenant;
        let tenants = format!("[tenant.default]\n{row}\nids = [\"default\"]\napps = {apps:?}\n");
        let tenants = self.tenants.clone().unwrap_or(tenants);
        files.push(file(FileKind::Tenants, "rules/tenants.toml", tenants));
        files.push(file(FileKind::Gateway, "gateway.toml", gateway));
        Sources { files, hash: "test".to_owned() }
    }

    fn snapshot(&mut self, keys: &Signer) -> Snapshot {
        let sources = self.sources();
        let mut snapshot = match compile(&sources, Carried::nothing()) {
            Ok(compiled) => compiled.snapshot,
            Err(mistakes) => panic!("{mistakes:?}\n{sources:?}"),
        };
        for issuer in snapshot.verifier.issuers() {
            issuer.keys.publish(KeySet::parse_jwks(keys.jwks().as_bytes()).unwrap(), now());
        }
        for upstream in &mut snapshot.gateway.upstreams {
            upstream.read_timeout = PATIENCE;
        }
        for change in self.changes.drain(..) {
            change(&mut snapshot);
        }
        snapshot
    }

    pub(crate) fn start(mut self) -> Gateway {
        let keys = Signer::from_seed(&[7; 32], "test").unwrap();
        let live = Arc::new(Live::new(self.snapshot(&keys)));
        let metrics = Arc::new(Metrics::new(Mode::Run).unwrap());
        let ledger = Arc::<Ledger>::default();
        let log = Log::start(&live.load().gateway.decisions, metrics.clone()).unwrap();
        let plane = Plane::with_log(live.clone(), metrics.clone(), ledger.clone(), log);
        let tended = self.is_tended.then(|| tend(plane.clone()));
        let server = Server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let running = server.start(&plane, self.workers, self.drain).unwrap();
        Gateway {
            address: running.address(),
            running: Some(running),
            live,
            plane,
            _tended: tended,
            metrics,
            ledger,
            keys,
        }
    }
}

fn tend(plane: Arc<Plane>) -> Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.spawn(health::tend(plane, system_resolver));
    runtime
}

fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs())
}

/// A gateway that runs until it is dropped.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    running: Option<Running>,
    live: Arc<Live>,
    plane: Arc<Plane>,
    _tended: Option<Runtime>,
    metrics: Arc<Metrics>,
    pub(crate) ledger: Arc<Ledger>,
    keys: Signer,
}

impl Gateway {
    pub(crate) fn setup() -> Setup {
        Setup {
            apps: Vec::new(),
            places: HashMap::new(),
            rules: HashMap::new(),
            tenants: None,
            changes: Vec::new(),
            tenant: "",
            drain: PATIENCE,
            workers: 1,
            leeway: 30,
            socket: None,
            decisions: String::new(),
            is_tended: false,
        }
    }

    /// The `Authorization` line of a caller with these roles.
    pub(crate) fn token(&self, roles: &[&str]) -> String {
        self.token_for("ada", roles, 300)
    }

    /// The `Authorization` line of this caller.
    pub(crate) fn token_of(&self, subject: &str, roles: &[&str]) -> String {
        self.token_for(subject, roles, 300)
    }

    /// The `Authorization` line of this caller, for so many seconds.
    pub(crate) fn token_for(&self, sub: &str, roles: &[&str], seconds: u64) -> String {
        self.token_saying(&json!({ "sub": sub, "roles": roles, "exp": now().0 + seconds }))
    }

    /// The same, with these claims beside what every token has, or in its place.
    pub(crate) fn token_saying(&self, more: &Value) -> String {
        let mut claims = json!({
            "iss": "https://sso.test", "aud": "api", "sub": "ada", "iat": now().0, "exp": now().0 + 300,
        });
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        format!("Authorization: Bearer {}", self.keys.sign(&claims).unwrap())
    }

    /// A gateway before one application, under `/app`, with nothing out of the ordinary.
    pub(crate) fn before(upstream: SocketAddr) -> Self {
        Self::setup().upstream("app", &[upstream]).start()
    }

    /// What it was configured with.
    pub(crate) fn config(&self) -> GatewayConfig {
        self.live.load().gateway.clone()
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// One request on a connection of its own.
    #[track_caller]
    pub(crate) fn request(&self, line: &str, headers: &[&str]) -> Response {
        self.client().request(line, headers)
    }

    /// What it judges by.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.live.load()
    }

    /// What became of requests that have ended, once it is written.
    pub(crate) fn log(&self) -> &Arc<Log> {
        self.plane.log()
    }

    pub(crate) fn stop(&self) {
        self.running.as_ref().unwrap().stop();
    }

    /// Waits for every worker's end.
    pub(crate) fn join(mut self) {
        self.running.take().unwrap().join().unwrap();
    }

    /// Waits until some counter's line holds all these parts.
    #[track_caller]
    pub(crate) fn counts(&self, metric: &str, parts: &[&str]) {
        let is_it = |line: &str| line.starts_with(metric) && parts.iter().all(|part| line.contains(part));
        let holds = || {
            self.metrics.show_upstreams(&self.plane.current_upstreams(), Instant::now());
            self.metrics.render().lines().any(is_it)
        };
        eventually(&format!("{metric} with {parts:?}"), holds);
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.stop();
        }
    }
}
