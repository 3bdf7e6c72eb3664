//! The gateway under load: its files in a temporary directory, its process, and when it is ready.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{RESOURCES, free_address};
use crate::client::Connection;
use crate::process::Guarded;
use crate::{Result, echo, tokens};

/// How long it may take to answer its first request.
const READY_WITHIN: Duration = Duration::from_secs(10);

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

/// What callers speak to.
#[derive(Clone, Copy)]
pub enum Listener<'a> {
    /// Plain HTTP.
    Plain,
    /// TLS with this certificate and key.
    Tls(&'a Path, &'a Path),
}

impl Gateway {
    /// Writes its files, with this rule file for the one app, and starts it.
    pub fn start(program: &Path, upstream: SocketAddr, rules: &str, listener: Listener<'_>) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let (address, admin) = (free_address()?, free_address()?);
        let config = write(directory.path(), address, admin, upstream, rules, listener)?;
        let process =
            Guarded::start(program, &["run", "--config", &config.to_string_lossy()], directory.path())?;
        Ok(Self { address, admin, process, directory })
    }

    /// The app's rule file.
    pub fn rules(&self) -> PathBuf {
        self.directory.path().join("rules/load.toml")
    }

    /// Waits until this request is answered with 200.
    pub fn wait_for(&self, probe: &[u8]) -> Result<()> {
        let runtime = crate::runtime()?;
        let begun = Instant::now();
        loop {
            let answer: Result<u16> = runtime.block_on(async {
                let mut connection = Connection::open(self.address).await?;
                connection.ask(probe).await
            });
            match answer {
                Ok(200) => return Ok(()),
                _ if begun.elapsed() < READY_WITHIN => std::thread::sleep(Duration::from_millis(20)),
                Ok(status) => return Err(format!("the gateway answers the probe with {status}").into()),
                Err(error) => {
                    return Err(
                        format!("the gateway does not come up ({error}): {}", self.process.said()).into()
                    );
                }
            }
        }
    }
}

/// Writes `gateway.toml` and the rules into a directory; returns the path of the former.
pub fn write(
    directory: &Path,
    address: SocketAddr,
    admin: SocketAddr,
    upstream: SocketAddr,
    rules: &str,
    listener: Listener<'_>,
) -> Result<PathBuf> {
    let config = directory.join("gateway.toml");
    fs::write(&config, gateway_toml(address, admin, upstream, listener))?;
    fs::create_dir_all(directory.join("rules"))?;
    fs::write(directory.join("rules/tenants.toml"), TENANTS)?;
    fs::write(directory.join("rules/load.toml"), rules)?;
    Ok(config)
}

fn gateway_toml(
    address: SocketAddr,
    admin: SocketAddr,
    upstream: SocketAddr,
    listener: Listener<'_>,
) -> String {
    let tls = match listener {
        Listener::Plain => String::new(),
        Listener::Tls(certificate, key) => format!(
            "tls     = {{ certificate = \"{}\", key = \"{}\" }}\n",
            certificate.display(),
            key.display()
        ),
    };
    // Connections last as long as every peer's here; the cache is as large as Envoy's.
    format!(
        r#"[listen]
address = "{address}"
workers = 1
{tls}[admin]
address = "{admin}"
[limits]
cached-tokens = 20000
requests-per-connection = 1000000000
[issuers.load]
kind       = "oidc"
issuer     = "{issuer}"
audience   = ["{audience}"]
algorithms = ["RS256", "ES256"]
metadata   = "http://{upstream}/metadata"
[upstreams.load]
at      = ["/load", "/churn"]
servers = ["http://{upstream}"]
"#,
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

/// The rules that are measured: twenty resources of two scopes, and a role for each of the forty.
pub fn measured_rules() -> String {
    let mut text = GUARDS.to_owned();
    for index in 0..RESOURCES {
        // Writing to a String can't fail.
        let _ = write!(
            text,
            "[resource.r{index}]\nread  = [\"GET /load/r{index}/{{id}}\"]\nwrite = [\"PUT /load/r{index}/{{id}}\"]\n"
        );
    }
    for index in 0..RESOURCES {
        for scope in ["read", "write"] {
            let _ = write!(text, "[role.r{index}-{scope}]\n{scope} = [\"r{index}\"]\n");
        }
    }
    text
}
