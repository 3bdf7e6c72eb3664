//! HTTP/2 over TLS is driven by `h2load`, of Debian's nghttp2-client: eight connections of eight streams each.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Result;
use crate::client::Run;
use crate::peers::installed;
use crate::process::{Core, on_core};

/// Where it is.
pub fn program() -> Result<PathBuf> {
    installed(&["/usr/bin/h2load", "/usr/local/bin/h2load"], "nghttp2-client")
}

/// How long it may take beyond its time.
const ENDS_WITHIN: Duration = Duration::from_secs(20);

/// Asks a few times, as a try or to warm up; all answers must be 200.
pub fn ask(target: SocketAddr, path: &str, token: &str, requests: usize) -> Result<()> {
    let mut child = Child::start(&["-n", &requests.to_string()], target, path, token)?;
    child.read(Duration::ZERO).map(|_| ())
}

/// Asks for this path with this token as fast as the answers come; all of them must be 200. `halfway` is called when half
/// the time is over and all connections are open.
pub fn drive(
    target: SocketAddr,
    path: &str,
    token: &str,
    time: Duration,
    mut halfway: impl FnMut(),
) -> Result<Run> {
    let mut child = Child::start(&["-D", &format!("{}ms", time.as_millis())], target, path, token)?;
    std::thread::sleep(time / 2);
    halfway();
    child.read(time)
}

/// A running `h2load`, which ends with this value.
struct Child {
    process: std::process::Child,
    directory: TempDir,
}

impl Child {
    fn start(arguments: &[&str], target: SocketAddr, path: &str, token: &str) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let process = on_core(Core::Client, &program()?)
            .args(["-c", "8", "-m", "8", "-t", "1"])
            .args(arguments)
            .args(["-H", &format!("authorization: Bearer {token}"), "-H", "accept: */*"])
            .arg(format!("--log-file={}", directory.path().join("requests").display()))
            .arg(format!("https://{target}{path}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { process, directory })
    }

    /// Waits for its end and reads what it has logged. It doesn't always end by itself where the machine is so busy that
    /// a handshake takes longer than the whole time.
    fn read(&mut self, time: Duration) -> Result<Run> {
        let begun = Instant::now();
        let status = loop {
            match self.process.try_wait()? {
                Some(status) => break status,
                None if begun.elapsed() > time + ENDS_WITHIN => return Err("h2load does not end".into()),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        match status.success() {
            true => read(&self.directory.path().join("requests"), time),
            false => Err(format!("h2load ended with {status}").into()),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Each line: when it was sent, the status, microseconds to the end of the answer.
fn read(log: &Path, elapsed: Duration) -> Result<Run> {
    let mut latencies = Vec::new();
    for line in fs::read_to_string(log)?.lines() {
        let mut fields = line.split('\t').skip(1);
        match fields.next() {
            Some("200") => {}
            status => return Err(format!("over h2 it answers {}", status.unwrap_or("nothing")).into()),
        }
        let micros: u32 = fields.next().unwrap_or_default().parse()?;
        latencies.push(micros.saturating_mul(1000));
    }
    if latencies.is_empty() {
        return Err("over h2 it answers nothing".into());
    }
    latencies.sort_unstable();
    Ok(Run { latencies, elapsed, connections: Vec::new() })
}
