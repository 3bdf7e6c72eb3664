//! HTTP/2 over TLS is driven by `h2load`, of Debian's nghttp2-client: eight connections of eight streams each.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::Result;
use crate::client::Run;
use crate::peers::installed;
use crate::process::{Core, on_core};

/// Where it is.
pub fn program() -> Result<PathBuf> {
    installed(&["/usr/bin/h2load", "/usr/local/bin/h2load"], "nghttp2-client")
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
    let directory = tempfile::tempdir()?;
    let log = directory.path().join("requests");
    let mut child = on_core(Core::Client, &program()?)
        .args(["-c", "8", "-m", "8", "-t", "1", "-D", &format!("{}ms", time.as_millis())])
        .args(["-H", &format!("authorization: Bearer {token}"), "-H", "accept: */*"])
        .arg(format!("--log-file={}", log.display()))
        .arg(format!("https://{target}{path}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    std::thread::sleep(time / 2);
    halfway();
    let status = child.wait()?;
    match status.success() {
        true => read(&log, time),
        false => Err(format!("h2load ended with {status}").into()),
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
