//! Who is measured: each with its configuration, its process, and whether it can be had on this machine.
//!
//! All listen on a free port of the loopback, have one worker, keep connections to the same upstream and check the same
//! tokens for the same rules; what a peer's own configuration says beyond that stands in its file.

mod envoy;
mod floor;
pub mod gateway;
mod haproxy;
mod nginx;

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::process::{self, Guarded, Usage};
use crate::tokens::Issuer;
use crate::{Options, Result, client, echo};

pub use floor::serve as serve_floor;

/// Resources of the rules, each with a scope for reading and one for writing.
pub const RESOURCES: usize = 20;
/// What is asked with a token; the token must hold `READER`.
pub const GUARDED_PATH: &str = "/load/r11/4711";
/// The same for an answer of one MiB.
pub const MIB_PATH: &str = "/load/r11/mib";
/// The role that the guarded paths take.
pub const READER: &str = "r11-read";
/// A role for something else.
pub const STRANGER: &str = "r12-read";
/// What is asked without a token.
pub const OPEN_PATH: &str = "/load/open";
/// How long a peer may take to listen.
const LISTENS_WITHIN: Duration = Duration::from_secs(10);

/// Everyone who is asked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord, clap::ValueEnum)]
pub enum Peer {
    /// The upstream itself.
    Direct,
    /// Debian's nginx, passing through.
    Nginx,
    /// Debian's HAProxy, passing through.
    Haproxy,
    /// HAProxy with `jwt_verify` and the rules.
    HaproxyJwt,
    /// Envoy with `jwt_authn` and `rbac`, which verifies every token anew: its default.
    Envoy,
    /// The same with its token cache on.
    EnvoyCache,
    /// A minimal proxy on the gateway's own stack, passing through.
    Floor,
    /// What all this is about.
    Gateway,
}

/// What is spoken to a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// HTTP/1.1 in the clear.
    Plain,
    /// HTTP/2 over TLS.
    Tls,
}

impl Peer {
    /// What the tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct, no proxy",
            Self::Nginx => "nginx, pass-through",
            Self::Haproxy => "HAProxy, pass-through",
            Self::HaproxyJwt => "HAProxy JWT",
            Self::Envoy => "Envoy JWT+RBAC",
            Self::EnvoyCache => "Envoy JWT+RBAC, cache",
            Self::Floor => "floor, pass-through",
            Self::Gateway => "gatewarden",
        }
    }

    /// Whether it judges requests rather than only passing them through.
    pub fn judges(self) -> bool {
        matches!(self, Self::HaproxyJwt | Self::Envoy | Self::EnvoyCache | Self::Gateway)
    }

    /// Starts it anew and waits until it listens.
    pub fn start(self, stage: &Stage, transport: Transport) -> Result<Running> {
        let child = match self {
            Self::Direct => return Ok(Running { address: stage.upstream, process: None, _directory: None }),
            Self::Nginx => nginx::start(stage, transport)?,
            Self::Haproxy => haproxy::start(stage, transport, haproxy::Judges::Nothing)?,
            Self::HaproxyJwt => haproxy::start(stage, transport, haproxy::Judges::Tokens)?,
            Self::Envoy => envoy::start(stage, transport, envoy::Cache::Off)?,
            Self::EnvoyCache => envoy::start(stage, transport, envoy::Cache::On)?,
            Self::Floor => floor::start(stage, transport)?,
            Self::Gateway => return start_gateway(stage, transport),
        };
        child.listening()
    }
}

fn start_gateway(stage: &Stage, transport: Transport) -> Result<Running> {
    let listener = match transport {
        Transport::Plain => gateway::Listener::Plain,
        Transport::Tls => gateway::Listener::Tls(&stage.certificate, &stage.key),
    };
    let started =
        gateway::Gateway::start(&stage.gateway, stage.upstream, &gateway::measured_rules(), listener)?;
    let (address, directory) = (started.address, started.directory);
    match transport {
        // It listens before it has its issuer's keys.
        Transport::Plain => {
            let gateway = gateway::Gateway { directory, ..started };
            gateway.wait_for(&client::request(GUARDED_PATH, Some(&stage.token)))?;
            Ok(Running { address, process: Some(gateway.process), _directory: Some(gateway.directory) })
        }
        Transport::Tls => Child { address, process: started.process, directory }.listening(),
    }
}

/// Someone to ask.
pub struct Running {
    /// Where.
    pub address: SocketAddr,
    /// Whose processor time counts.
    pub process: Option<Guarded>,
    _directory: Option<TempDir>,
}

impl Running {
    /// What its processes have used so far.
    pub fn usage(&self) -> Option<Usage> {
        process::usage(self.process.as_ref()?.id()).ok()
    }
}

/// A peer's process, which may not listen yet.
struct Child {
    address: SocketAddr,
    process: Guarded,
    directory: TempDir,
}

impl Child {
    /// Starts a program whose files and arguments `prepare` makes in a directory of its own.
    fn start(
        address: SocketAddr,
        program: &Path,
        prepare: impl FnOnce(&Path) -> Result<Vec<String>>,
    ) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let arguments = prepare(directory.path())?;
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let process = Guarded::start(program, &arguments, directory.path())?;
        Ok(Self { address, process, directory })
    }

    fn listening(mut self) -> Result<Running> {
        let begun = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            self.process.still_running()?;
            if begun.elapsed() > LISTENS_WITHIN {
                return Err(format!("it does not listen: {}", self.process.said()).into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Running { address: self.address, process: Some(self.process), _directory: Some(self.directory) })
    }
}

/// What all peers share.
pub struct Stage {
    /// Where all of them forward to.
    pub upstream: SocketAddr,
    /// Who signs the tokens.
    pub issuer: Issuer,
    /// A good token that `READER` is in.
    pub token: String,
    /// The gateway's binary.
    pub gateway: PathBuf,
    /// Envoy's binary, wherever it may be.
    pub envoy: Option<PathBuf>,
    /// A self-signed certificate for `localhost`.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Both in one file, as HAProxy reads them.
    pub certificate_and_key: PathBuf,
    /// The public key of RS256 tokens.
    pub rsa_pem: PathBuf,
    /// The public key of ES256 tokens.
    pub ec_pem: PathBuf,
    _directory: TempDir,
}

impl Stage {
    /// Makes keys and certificate, and starts the upstream.
    pub fn set(options: &Options, issuer: Issuer) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let path = |name: &str| directory.path().join(name);
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        fs::write(path("cert.pem"), &certificate)?;
        fs::write(path("key.pem"), &key)?;
        fs::write(path("both.pem"), format!("{certificate}{key}"))?;
        let (rsa_pem, ec_pem) = issuer.write_pem(directory.path())?;
        Ok(Self {
            upstream: echo::start(&issuer.jwks())?,
            token: issuer.token(1, READER)?,
            issuer,
            gateway: options.gateway()?,
            envoy: options.envoy(),
            certificate: path("cert.pem"),
            key: path("key.pem"),
            certificate_and_key: path("both.pem"),
            rsa_pem,
            ec_pem,
            _directory: directory,
        })
    }
}

/// A port that was free a moment ago.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// The first of these that exists.
pub fn installed(places: &[&str], package: &str) -> Result<PathBuf> {
    let found = places.iter().map(Path::new).find(|path| path.exists());
    Ok(found.ok_or_else(|| format!("not installed; `apt-get install {package}` does that"))?.to_owned())
}
