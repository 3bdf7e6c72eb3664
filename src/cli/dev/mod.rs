//! `gatewarden dev`: the real gateway with embedded demo applications and tokens, nothing else to install.
//!
//! Everything that a request meets is what `run` would start. What differs is said to this verb alone and can't be
//! said in a file or by the environment: whose tokens count (`issuer`), where they are asked for (`socket`), and what
//! stands behind the gateway (`backends`). It never serves anything but its own demo applications.

mod backends;
mod banner;
mod desk_socket;
mod files;
mod issuer;
mod made;
mod people;
mod persona;
mod socket;
mod store;

use std::ffi::OsStr;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, io};

use self::backends::Backend;
use self::banner::Banner;
use self::files::{Listen, Workplace, Written};
use self::issuer::DevIssuer;
use self::persona::{Files, Wish};
use self::socket::TokenSocket;
use super::Exit;
use super::load::print;
use super::serve::{self, Addresses, Inherited, Start};
use crate::config::Trust;
use crate::request::Timestamp;
use crate::telemetry::Mode;

/// Where `dev` keeps its files unless it is told otherwise.
const DIRECTORY: &str = "gatewarden-dev";

/// The real gateway with embedded demo applications and tokens; nothing else to install.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Where callers come in. Anything but the loopback lets others in, who still need a token from this machine.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Where operators come in; a loopback address.
    #[arg(long, default_value = "127.0.0.1:9901", value_name = "ADDRESS")]
    pub admin: SocketAddr,
    /// Where the rule files are put that you can edit.
    #[arg(long, default_value = DIRECTORY, value_name = "DIR")]
    pub directory: PathBuf,
    /// Write files to start from into a new directory, and do nothing else.
    #[arg(long, value_name = "DIR")]
    pub eject: Option<PathBuf>,
}

/// A token of the `gatewarden dev` that runs in this directory.
#[derive(Clone, Debug, clap::Args)]
pub struct TokenArgs {
    /// Whose: APP/ROLE, such as agent-desk/agent; several roles as a+b, none as `anyone`.
    #[arg(long = "as", value_name = "APP/ROLE")]
    pub who: String,
    /// The caller's tenant or organisation, by its name or id in tenants.toml.
    #[arg(long)]
    pub tenant: Option<String>,
    /// A further claim, as dotted.path=value; JSON where it is JSON. Repeatable.
    #[arg(long = "claim", value_name = "CLAIM=VALUE")]
    pub claims: Vec<String>,
    /// Where `gatewarden dev` keeps its files.
    #[arg(long, default_value = DIRECTORY, value_name = "DIR")]
    pub directory: PathBuf,
}

/// Why the verb ends without having served.
#[derive(Debug, thiserror::Error)]
enum DevError {
    /// Started as a service.
    #[error("`dev` was started by a service manager (NOTIFY_SOCKET is set); `run` is the verb for that")]
    Service,
    /// Files, sockets or threads.
    #[error("{0}: {1}")]
    Environment(String, io::Error),
    /// No random key could be had.
    #[error(transparent)]
    Key(#[from] issuer::IssuerError),
    /// The running `dev` has no such token to give.
    #[error("{0}")]
    Wish(String),
}

impl DevError {
    fn exit(&self) -> Exit {
        match self {
            Self::Wish(_) => Exit::No,
            Self::Service | Self::Environment(..) | Self::Key(_) => Exit::Environment,
        }
    }
}

/// What stands beside the gateway, running.
struct Surroundings {
    workplace: Workplace,
    kept: files::Kept,
    issuer: Arc<DevIssuer>,
    backends: Vec<Backend>,
    /// The text of the gateway's own file: it must stay this.
    gateway: String,
}

/// `dev`: serves until a signal ends it, or writes files to start from.
pub fn run(args: &Args) -> Exit {
    let done = match &args.eject {
        Some(into) => eject(into),
        None => {
            surround(args, std::env::var_os("NOTIFY_SOCKET").as_deref()).map(|around| serve(args, around))
        }
    };
    done.unwrap_or_else(|error| failed(&error))
}

/// `token dev`: prints a token.
pub fn token(args: &TokenArgs) -> Exit {
    match ask(args) {
        Ok(token) => {
            print(&token);
            Exit::Yes
        }
        Err(error) => failed(&error),
    }
}

fn failed(error: &DevError) -> Exit {
    let _ = writeln!(io::stderr(), "error: {error}");
    error.exit()
}

fn eject(into: &Path) -> Result<Exit, DevError> {
    let shown = into.display();
    let written = files::eject(into)
        .map_err(|error| DevError::Environment(format!("nothing is written to {shown}"), error))?;
    let written: String = written.iter().map(|path| format!("{}\n", path.display())).collect();
    let config = quoted(&into.join("gateway.toml"));
    let program = program();
    let _ = write!(
        io::stdout(),
        "{written}next: read {shown}/README.md, then\n  {program} check --config {config}\n  {program} run --config {config}\n"
    );
    Ok(Exit::Yes)
}

fn serve(args: &Args, around: Surroundings) -> Exit {
    let Surroundings { workplace, kept, issuer, backends, gateway } = around;
    let directory = (args.directory != Path::new(DIRECTORY)).then(|| quoted(&args.directory));
    let announce = {
        let files = quoted(&args.directory);
        let apps: Vec<String> = backends.into_iter().map(|backend| backend.name).collect();
        Box::new(move |addresses: &Addresses| {
            let banner = Banner {
                program: &program(),
                gateway: addresses.gateway,
                admin: addresses.admin,
                files: &files,
                directory: directory.as_deref(),
                kept,
                apps: &apps,
            };
            let _ = io::stdout().write_all(banner.text().as_bytes());
        })
    };
    serve::serve(Start {
        config: workplace.config(),
        mode: Mode::Dev,
        trust: Arc::new(move || Trust::Development(issuer.issuers())),
        fixed: Some(gateway.into()),
        announce,
        inherited: Inherited::default(),
    })
}

/// Starts everything but the gateway. `service` is the value of `NOTIFY_SOCKET`: a development gateway is nobody's
/// service.
fn surround(args: &Args, service: Option<&OsStr>) -> Result<Surroundings, DevError> {
    if service.is_some() {
        return Err(DevError::Service);
    }
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: io::Error| DevError::Environment(what, error)
    };
    let workplace = Workplace::new(&args.directory);
    let shown = args.directory.display();
    let kept = workplace.prepare().map_err(failed(&format!("{shown} can't be prepared")))?;
    let issuer = Arc::new(DevIssuer::new(now())?);
    let secret: Arc<str> = secret().map_err(failed("no random secret can be had"))?.into();
    let backends = start_beside(workplace.clone(), issuer.clone(), secret.clone())
        .map_err(failed("the demo applications can't be started"))?;
    let listen = Listen { gateway: args.listen, admin: args.admin };
    let gateway = workplace
        .configure(listen, Written { jwks: &issuer.jwks(), secret: &secret }, &backends)
        .map_err(failed(&format!("{shown} can't be written")))?;
    Ok(Surroundings { workplace, kept, issuer, backends, gateway })
}

/// The demo applications and the token socket, on a thread of their own for the life of the process.
fn start_beside(workplace: Workplace, issuer: Arc<DevIssuer>, secret: Arc<str>) -> io::Result<Vec<Backend>> {
    let (started, outcome) = mpsc::sync_channel(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("demo".into()).spawn(move || {
        runtime.block_on(async move {
            // The socket first: it tells whether another one is running here.
            let socket = TokenSocket::bind(&workplace.socket()).await;
            let begun = match socket {
                Ok(socket) => backends::start(&secret).await.map(|backends| (socket, backends)),
                Err(error) => Err(error),
            };
            match begun {
                Ok((socket, backends)) => {
                    // Nobody waits any more: the process is ending.
                    let _ = started.send(Ok(backends));
                    tokio::spawn(confirm_keys(issuer.clone()));
                    socket.serve(move |wish| mint(&workplace, &issuer, wish)).await;
                }
                Err(error) => drop(started.send(Err(error))),
            }
        });
    })?;
    outcome.recv().map_err(|_| io::Error::other("the thread ended"))?
}

async fn confirm_keys(issuer: Arc<DevIssuer>) {
    let mut hours = tokio::time::interval(Duration::from_secs(3600));
    loop {
        hours.tick().await;
        issuer.confirm(now());
    }
}

/// A token for a wish, by the rule files as they stand on disk now.
fn mint(workplace: &Workplace, issuer: &DevIssuer, wish: &Wish) -> Result<String, String> {
    let read = |name: &str| {
        let path = workplace.rules().join(name);
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let name = persona::app_of(wish)?;
    let file = format!("{name}.toml");
    if !workplace.rules().join(&file).is_file() {
        return Err(format!("there is no app `{name}`: no {file} in {}", workplace.rules().display()));
    }
    let (app, tenants) = (read(&file)?, read("tenants.toml")?);
    let persona = persona::persona(wish, Files { app: &app, tenants: &tenants })?;
    issuer.mint(&persona, now())
}

/// What the demo applications know the gateway by, made at each start.
fn secret() -> io::Result<String> {
    let mut bytes = [0_u8; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// Asks the `gatewarden dev` that runs in this directory.
fn ask(args: &TokenArgs) -> Result<String, DevError> {
    let path = Workplace::new(&args.directory).socket();
    let wish = Wish { who: args.who.clone(), tenant: args.tenant.clone(), claims: args.claims.clone() };
    let failed = |error| {
        let what = format!("no `gatewarden dev` runs here (nobody answers at {})", path.display());
        DevError::Environment(what, error)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(socket::ask(&path, &wish)).map_err(failed)?.map_err(DevError::Wish)
}

/// How to call this program from the current directory.
fn program() -> String {
    let exe = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("gatewarden"));
    let here = std::env::current_dir().unwrap_or_default();
    quoted(&from(&here, &exe))
}

/// A program as a shell in `here` finds it: a bare name would be looked for elsewhere.
fn from(here: &Path, exe: &Path) -> PathBuf {
    match exe.strip_prefix(here) {
        Ok(below) if below.components().count() == 1 => Path::new(".").join(below),
        Ok(below) => below.to_owned(),
        Err(_) => exe.to_owned(),
    }
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./+".contains(c);
    match text.chars().all(plain) && !text.is_empty() {
        true => text.into_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_quoted_for_the_shell_only_where_it_must_be() {
        assert_eq!(quoted(Path::new("target/release/gatewarden")), "target/release/gatewarden");
        assert_eq!(quoted(Path::new("my dir/it's")), r"'my dir/it'\''s'");
    }

    #[test]
    fn the_program_is_named_as_a_shell_finds_it() {
        let named = |here: &str| from(Path::new(here), Path::new("/opt/gw/bin/gatewarden"));
        assert_eq!(named("/opt/gw"), Path::new("bin/gatewarden"));
        assert_eq!(named("/opt/gw/bin").to_string_lossy(), "./gatewarden");
        assert_eq!(named("/home"), Path::new("/opt/gw/bin/gatewarden"));
    }

    #[test]
    fn nobody_starts_it_as_a_service() {
        let place = tempfile::tempdir().unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let directory = place.path().join("d");
        let args = Args { listen: any, admin: any, directory: directory.clone(), eject: None };
        let refused = surround(&args, Some(OsStr::new("/run/systemd/notify")));
        assert!(matches!(refused, Err(DevError::Service)));
        assert!(!directory.exists(), "it had begun all the same");
    }

    #[test]
    fn tokens_are_asked_for_at_the_socket_by_the_rules_on_disk() {
        let place = tempfile::tempdir().unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let directory = place.path().join("d");
        let args = Args { listen: any, admin: any, directory: directory.clone(), eject: None };
        let around = surround(&args, None).unwrap();
        assert!(around.backends.iter().all(|backend| backend.address.ip().is_loopback()));
        let ask = |who: &str| {
            let directory = directory.clone();
            super::ask(&TokenArgs { who: who.to_owned(), tenant: None, claims: Vec::new(), directory })
        };
        assert_eq!(ask("agent-desk/agent").unwrap().split('.').count(), 3);
        assert!(matches!(ask("agent-desk/trainee"), Err(DevError::Wish(_))));
        assert!(matches!(ask("desk/agent"), Err(DevError::Wish(why)) if why.contains("no app `desk`")));
        let desk = directory.join("rules/agent-desk.toml");
        let text = fs::read_to_string(&desk).unwrap();
        fs::write(&desk, format!("{text}\n[role.trainee]\nview = [\"leave-chat\"]\n")).unwrap();
        assert!(ask("agent-desk/trainee").is_ok());
        let second = surround(&args, None);
        assert!(matches!(second, Err(DevError::Environment(..))), "two shared one directory");
    }
}
