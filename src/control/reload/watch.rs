//! Listens to the file system. What it says is only ever a hint, so its kind and path are not looked at; but a
//! file that is read is no change, or every look would be the hint for the next one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use super::super::{certificates, sources};

/// Watches the directory of `gateway.toml`, that of the rules and the one above it, and those of certificates.
pub(super) struct Watches {
    watcher: Option<RecommendedWatcher>,
    armed: Vec<(PathBuf, Identity)>,
}

/// Whether the file system is listened to, or the files are only polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hints {
    /// Listened to, where it speaks.
    FileSystem,
    /// Polled only.
    None,
}

/// Which directory a path led to: a replaced directory has the same path and another identity.
type Identity = (u64, u64);

impl Watches {
    /// Tells `hints` about changes. Where the system has no events, the poll finds them.
    pub(super) fn new(hints: Arc<Notify>) -> Self {
        let told = move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| !is_reading(event.kind)) {
                hints.notify_one();
            }
        };
        let watcher = notify::recommended_watcher(told)
            .inspect_err(|why| tracing::warn!(%why, "no file events: changes are found by polling"))
            .ok();
        Self { watcher, armed: Vec::new() }
    }

    /// Watches nothing.
    pub(super) fn none() -> Self {
        Self { watcher: None, armed: Vec::new() }
    }

    /// Watches what `gateway` leads to now.
    pub(super) fn arm(&mut self, gateway: &Path) {
        let Some(watcher) = &mut self.watcher else { return };
        let mut wanted = vec![sources::parent(gateway).to_owned()];
        if let Some(config) = sources::peek(gateway) {
            wanted.push(sources::parent(&config.rules).to_owned());
            wanted.extend(certificates::files(&config).map(|file| sources::parent(file).to_owned()));
            wanted.push(sources::parent(&config.candidate.rules).to_owned());
            wanted.push(config.candidate.rules);
            wanted.push(config.rules);
        }
        wanted.sort();
        wanted.dedup();
        let wanted: Vec<_> =
            wanted.into_iter().filter_map(|path| identity(&path).map(|identity| (path, identity))).collect();
        for (path, _) in self.armed.iter().filter(|armed| !wanted.contains(armed)) {
            // It fails where the directory is gone, and its watch with it.
            let _ = watcher.unwatch(path);
        }
        self.armed.retain(|armed| wanted.contains(armed));
        for new in wanted {
            if !self.armed.contains(&new) && watcher.watch(&new.0, RecursiveMode::NonRecursive).is_ok() {
                self.armed.push(new);
            }
        }
    }
}

fn is_reading(kind: EventKind) -> bool {
    matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

#[cfg(unix)]
fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(path: &Path) -> Option<Identity> {
    std::fs::metadata(path).ok().map(|_| (0, 0))
}
