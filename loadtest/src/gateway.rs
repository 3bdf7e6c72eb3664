//! The gateway under load: its files in a temporary directory, its process, and when it is ready.

use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::client::{self, Connection};
use crate::process::Guarded;
use crate::{Options, Result, echo, tokens};

/// A running gateway.
pub struct Gateway {
    /// Where callers come in.
    pub address: SocketAddr,
    /// Where operators come in.
    pub admin: SocketAddr,
    /// Its process.
    pub process: Guarded,
    /// Its files; removed at the end.
    pub directory: TempDir,
}

impl Gateway {
    /// Writes its files, with this rule file for the one app, starts it and waits until `probe` is answered with 200.
    pub fn start(options: &Options, upstream: SocketAddr, rules: &str, probe: &[u8]) -> Result<Self> {
        let program = binary(options)?;
        let directory = tempfile::tempdir()?;
        let address = free_address()?;
        let admin = free_address()?;
        let config = directory.path().join("gateway.toml");
        fs::write(&config, gateway_toml(options, address, admin, upstream))?;
        fs::create_dir(directory.path().join("rules"))?;
        fs::write(directory.path().join("rules/tenants.toml"), TENANTS)?;
        fs::write(directory.path().join("rules/load.toml"), rules)?;
        let process = Guarded::start(&program, &["run", "--config", &config.to_string_lossy()])?;
        let mut gateway = Self { address, admin, process, directory };
        gateway.wait_until_ready(probe)?;
        Ok(gateway)
    }

    /// The app's rule file.
    pub fn rules(&self) -> PathBuf {
        self.directory.path().join("rules/load.toml")
    }

    fn wait_until_ready(&mut self, probe: &[u8]) -> Result<()> {
        let runtime = crate::runtime()?;
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let answer: Result<u16> = runtime.block_on(async {
                let mut connection = Connection::open(self.address).await?;
                connection.ask(probe).await
            });
            match answer {
                Ok(200) => return Ok(()),
                _ if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
                Ok(status) => return Err(format!("the gateway answers the probe with {status}").into()),
                Err(error) => return Err(format!("the gateway does not come up: {error}").into()),
            }
            self.process.still_running()?;
        }
    }
}

fn binary(options: &Options) -> Result<PathBuf> {
    let path = match &options.gateway {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.parent().unwrap_or(Path::new(".")).join("gatewarden"),
    };
    match path.exists() {
        true => Ok(path),
        false => Err(format!("{} isn't there; `cargo build --release` makes it", path.display()).into()),
    }
}

/// A port that was free a moment ago.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn gateway_toml(options: &Options, address: SocketAddr, admin: SocketAddr, upstream: SocketAddr) -> String {
    format!(
        r#"[listen]
address = "{address}"
workers = 1
[admin]
address = "{admin}"
[limits]
cached-tokens = {cached}
[issuers.load]
kind     = "oidc"
issuer   = "{issuer}"
audience = ["{audience}"]
metadata = "http://{upstream}/metadata"
[upstreams.load]
at      = ["/load", "/churn"]
servers = ["http://{upstream}"]
"#,
        // Room for every token at once: what is measured is the look-up, not the eviction.
        cached = options.tokens * 2 + 100,
        issuer = echo::ISSUER,
        audience = tokens::AUDIENCE,
    )
}

const TENANTS: &str = "[tenant.default]\nids  = [\"default\"]\napps = [\"load\"]\n";

/// Guards that every rule file here begins with.
pub const GUARDS: &str = r#"app    = "load"
owns   = ["/load", "/churn"]
issuer = "load"
roles  = "token.roles"
tenant = "default"
public = ["GET /load/open"]
[facts.token]
roles = "set"
"#;

/// The rules that are measured: twenty resources of two scopes; the workloads ask for the eleventh.
pub fn measured_rules() -> String {
    let mut text = GUARDS.to_owned();
    let mut names = Vec::new();
    for index in 0..20 {
        let _ = write!(
            text,
            "[resource.r{index}]\nread  = [\"GET /load/r{index}/{{id}}\"]\nwrite = [\"PUT /load/r{index}/{{id}}\"]\n"
        );
        names.push(format!("\"r{index}\""));
    }
    let names = names.join(", ");
    let _ = write!(text, "[role.reader]\nread  = [{names}]\n[role.writer]\nwrite = [{names}]\n");
    text
}

/// What is asked of the measured rules with a token.
pub const GUARDED_PATH: &str = "/load/r11/4711";
/// What is asked of them without one.
pub const OPEN_PATH: &str = "/load/open";

/// A request for the operation that needs no token.
pub fn open_request() -> Vec<u8> {
    client::request(OPEN_PATH, None)
}
