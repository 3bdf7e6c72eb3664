//! What a running gateway judges by meanwhile. Where none answers soon, nothing is said of it: a check needs none.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::Value;

use super::super::rulesets;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_millis(800);

/// What stays as it is while the files are as they are.
pub(super) fn stays(config: &Path) -> String {
    revision(config).unwrap_or_else(|| ", and a running gateway keeps what it has".to_owned())
}

/// `; revision 41 (4be1c09a) stays live`.
fn revision(config: &Path) -> Option<String> {
    let (status, body) = ask(config, "/rules")?;
    if status != StatusCode::OK {
        return None;
    }
    let said: Value = serde_json::from_slice(&body).ok()?;
    let (revision, hash) = (said.get("revision")?.as_u64()?, said.get("hash")?.as_str()?);
    Some(format!("; revision {revision} ({}) stays live", hash.get(..8).unwrap_or(hash)))
}

fn ask(config: &Path, path: &'static str) -> Option<(StatusCode, Bytes)> {
    let (sender, answer) = mpsc::channel();
    let config = config.to_owned();
    std::thread::spawn(move || {
        let _ = sender.send(rulesets::ask(&config, &Method::GET, path, Bytes::new()).ok());
    });
    answer.recv_timeout(PATIENCE).ok().flatten()
}
