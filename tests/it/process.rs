//! The gateway as operators run it: the binary, its files, its standard error and its signals.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::support::{Client, PATIENCE, Response, eventually};

/// A gateway's files: one application with one operation that everyone may do.
pub(crate) struct Files {
    directory: tempfile::TempDir,
}

pub(crate) const RULES: &str = r#"
app    = "desk"
base   = "/desk"
issuer = "sso"
roles  = "token.roles"
tenant = "acme"
public = ["GET /open", "GET /open/{name}"]
[facts.token]
roles = "set"
[resource.customers]
view = ["GET /customers/{id}"]
[role.agent]
view = ["customers"]
"#;

impl Files {
    /// Files whose application is at `upstream`; `more` comes first in `gateway.toml`, before its tables.
    pub(crate) fn new(upstream: SocketAddr, more: &str) -> Self {
        let files = Self { directory: tempfile::tempdir().unwrap() };
        fs::create_dir(files.path("rules")).unwrap();
        files.write("keys.json", "{\"keys\":[]}");
        files.write("rules/tenants.toml", "[tenant.acme]\nids = [\"1\"]\napps = [\"desk\"]\n");
        files.write("rules/desk.toml", RULES);
        files.write("gateway.toml", &format!(
            "{more}\n[issuers.sso]\nkind = \"oidc\"\nissuer = \"https://sso.example\"\naudience = [\"desk\"]\njwks = \"keys.json\"\n\
             [upstreams.desk]\nat = [\"/desk\"]\nservers = [\"http://{upstream}\"]\n"
        ));
        files
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// `gatewarden run` on these files, with these arguments too.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatewarden"));
        command.arg("run").arg("--config").arg(self.path("gateway.toml")).args(arguments);
        command.env_remove("GATEWARDEN_LOG").env_remove("GATEWARDEN_CONFIG");
        command
    }

    /// Runs it to its end.
    pub(crate) fn ended(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }
}

/// Any free port, for both listeners that every gateway has.
pub(crate) const FREE_PORTS: &str = "listen.address = \"127.0.0.1:0\"\nadmin.address = \"127.0.0.1:0\"\n";

/// A running gateway; it is killed when the test is over.
pub(crate) struct Process {
    child: Child,
    log: Arc<Mutex<String>>,
    pub(crate) files: Files,
}

impl Process {
    /// Starts it and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(files: Files) -> Self {
        let process = Self::begin(files);
        process.until("ready");
        process
    }

    /// The same, as soon as operators can ask it how it is.
    pub(crate) fn begin(files: Files) -> Self {
        let command = files.command(&[]);
        Self::begin_as(files, command)
    }

    /// The same, started by this command.
    pub(crate) fn begin_as(files: Files, mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (stderr, written) = (child.stderr.take().unwrap(), log.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                let Ok(line) = line else { return };
                written.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        let process = Self { child, log, files };
        process.until("listening for operators");
        process
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits for a line with this in it.
    #[track_caller]
    pub(crate) fn until(&self, part: &str) {
        let started = Instant::now();
        while !self.log().contains(part) {
            assert!(started.elapsed() < PATIENCE, "never logged: {part}\n{}", self.log());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// The address of `listening for WHOM`.
    #[track_caller]
    pub(crate) fn address(&self, whom: &str) -> SocketAddr {
        let log = self.log();
        let line = log.lines().find(|line| line.contains(&format!("listening for {whom}"))).unwrap();
        let address = line.split("address=").nth(1).unwrap();
        address.split(' ').next().unwrap().parse().unwrap()
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(name, self.child.id());
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end and says how it ended.
    #[track_caller]
    pub(crate) fn end(&mut self) -> i32 {
        let mut code = None;
        eventually("the end of the process", || {
            code = self.child.try_wait().unwrap().map(|status| status.code().unwrap());
            code.is_some()
        });
        code.unwrap()
    }

    /// Waits for its end, however it comes.
    pub(crate) fn gone(&mut self) {
        self.child.wait().unwrap();
    }

    /// Starts it again, once it has ended, on the files that it leaves behind.
    #[track_caller]
    pub(crate) fn again(mut self) -> Self {
        let files = std::mem::replace(&mut self.files, Files { directory: tempfile::tempdir().unwrap() });
        Self::start(files)
    }

    /// Asks the operators' listener.
    #[track_caller]
    pub(crate) fn admin(&self, line: &str, headers: &[&str]) -> Response {
        ask(self.address("operators"), line, headers)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(mut rest) = self.child.stdout.take() {
            let _ = rest.read_to_string(&mut String::new());
        }
    }
}

/// Sends a signal to a process.
pub(crate) fn signal(name: &str, process: u32) {
    let sent = format!("kill -{name} {process}");
    assert!(Command::new("sh").args(["-c", &sent]).status().unwrap().success());
}

/// One request on a connection of its own, addressed to `localhost` unless the headers say otherwise.
#[track_caller]
pub(crate) fn ask(address: SocketAddr, line: &str, headers: &[&str]) -> Response {
    let host =
        if headers.iter().any(|header| header.starts_with("Host:")) { "" } else { "Host: localhost\r\n" };
    let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    Client::connect(address).ask(format!("{line} HTTP/1.1\r\n{host}{lines}\r\n"))
}
