//! A new process in the place of this one: started with the listening sockets themselves, so that no connection that waits to
//! be accepted is lost, and let have them alone once it says that it is ready.
//!
//! Until then this process serves as if nothing were. A new one that ends, or isn't ready in time, changes nothing.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram as StdDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};
use tokio::net::UnixDatagram;

use super::sockets::{HANDOVER, Listening};

/// How long a new process may take to be ready.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether it still runs.
const LOOK: Duration = Duration::from_millis(50);
/// What it says when it is ready.
const READY: &[u8] = b"READY";
/// The first descriptor that is handed over, as systemd has it.
const FIRST: i32 = 3;

/// How this process was started, as far as starting it again goes.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// To be asked at the start: later the file may be another one, or none.
    pub(super) fn current() -> io::Result<Self> {
        let mut arguments = std::env::args_os();
        // As it was called, if that was by a path: a link may lead to another version by the time it is needed.
        let called = arguments.next().map(PathBuf::from).filter(|path| path.components().count() > 1);
        let called = called.and_then(|path| std::path::absolute(path).ok()).filter(|path| path.is_file());
        let path = called.map_or_else(std::env::current_exe, Ok)?;
        Ok(Self { path, arguments: arguments.collect() })
    }

    /// The file that is started.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Why a new process didn't take over.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("it can't be started: {0}")]
    NotStarted(io::Error),
    #[error("{}", ended(*.0))]
    Ended(ExitStatus),
    #[error("it wasn't ready within {} s", .0.as_secs())]
    TooSlow(Duration),
    #[error("it can't be watched: {0}")]
    Unseen(io::Error),
}

fn ended(status: ExitStatus) -> String {
    match status.code() {
        Some(3) => "rules or configuration are invalid".to_owned(),
        _ => format!("it ended before it was ready ({status})"),
    }
}

/// A new process that isn't ready yet. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Successor {
    /// Taken when it is on its own.
    child: Option<Child>,
    news: UnixDatagram,
    started: Instant,
}

impl Successor {
    /// Starts the program anew with these sockets. Must be called on a runtime.
    pub(super) fn start(program: &Program, sockets: &[Listening]) -> Result<Self, Failed> {
        Self::spawn(program, sockets).map_err(Failed::NotStarted)
    }

    fn spawn(program: &Program, sockets: &[Listening]) -> io::Result<Self> {
        let (own, theirs) = StdDatagram::pair()?;
        own.set_nonblocking(true)?;
        let news = UnixDatagram::from_std(own)?;
        let mut names: Vec<String> = sockets.iter().map(Listening::label).collect();
        let again = |own: &Listening| Ok(OwnedFd::from(own.listener.try_clone()?));
        let mut passed = sockets.iter().map(again).collect::<io::Result<Vec<OwnedFd>>>()?;
        names.push(HANDOVER.to_owned());
        passed.push(theirs.into());
        let mut command = Command::new(&program.path);
        command.arg0(&program.path).args(&program.arguments);
        // Without `LISTEN_PID`: its number isn't known before it runs. What is named for this process isn't for that one.
        command.env_remove("LISTEN_PID").env_remove("WATCHDOG_PID");
        command.env("LISTEN_FDS", passed.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
        let numbered = passed.into_iter().zip(FIRST..);
        let mappings = numbered.map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd }).collect();
        command.fd_mappings(mappings).map_err(io::Error::other)?;
        Ok(Self { child: Some(command.spawn()?), news, started: Instant::now() })
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Waits until it is ready and lets it go; its process id. May be given up and asked again.
    pub(super) async fn ready(&mut self, patience: Duration) -> Result<u32, Failed> {
        let left = patience.saturating_sub(self.started.elapsed());
        let ended = tokio::time::timeout(left, self.news()).await;
        ended.unwrap_or(Err(Failed::TooSlow(patience)))?;
        let pid = self.id();
        self.child = None;
        Ok(pid)
    }

    async fn news(&mut self) -> Result<(), Failed> {
        let mut word = [0; 16];
        loop {
            tokio::select! {
                biased;
                length = self.news.recv(&mut word) => {
                    let length = length.map_err(Failed::Unseen)?;
                    if word.get(..length) == Some(READY) {
                        return Ok(());
                    }
                }
                () = tokio::time::sleep(LOOK) => {
                    let child = self.child.as_mut();
                    if let Some(status) = child.and_then(|child| child.try_wait().transpose()) {
                        return Err(status.map_or_else(Failed::Unseen, Failed::Ended));
                    }
                }
            }
        }
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Tells the gateway that started this one that it may go. One that is gone already doesn't mind.
pub(super) fn tell_ready(predecessor: &StdDatagram) {
    let _ = predecessor.send(READY);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result_of(script: &str, patience: Duration) -> Result<u32, Failed> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let program = Program { path: "/bin/sh".into(), arguments: vec!["-c".into(), script.into()] };
        runtime.block_on(async { Successor::start(&program, &[]).unwrap().ready(patience).await })
    }

    #[test]
    fn one_that_ends_or_is_never_ready_is_told_apart() {
        assert!(matches!(result_of("exit 3", PATIENCE), Err(why) if why.to_string().contains("invalid")));
        assert!(matches!(result_of("exit 1", PATIENCE), Err(Failed::Ended(_))));
        let slow = result_of("exec sleep 600", Duration::from_millis(100));
        assert!(matches!(slow, Err(Failed::TooSlow(_))));
        let nowhere = Program { path: "/nowhere/at/all".into(), arguments: Vec::new() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        assert!(matches!(Successor::start(&nowhere, &[]), Err(Failed::NotStarted(_))));
    }
}
