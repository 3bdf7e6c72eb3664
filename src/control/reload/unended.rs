//! A promotion that was broken off: its files count under names that nobody sees, so whoever edits the visible ones is told.

use std::time::{Duration, Instant};

use crate::control::status::Board;

/// How often the log is told.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// What is known of it.
#[derive(Debug, Default)]
pub(super) struct Unended {
    told: Option<Instant>,
}

impl Unended {
    /// Takes what a look has found; nothing, if no promotion was broken off.
    pub(super) fn found(&mut self, files: Vec<String>, board: &Board, now: Instant) {
        let is_known = board.read().promoting == files;
        if files.is_empty() {
            self.told = None;
        } else if !is_known || self.told.is_none_or(|told| now.duration_since(told) >= TOLD_EVERY) {
            self.told = Some(now);
            tracing::error!(
                files = files.join(", "),
                "a promotion was broken off: edits of these files don't count until `gatewarden promote` ends it"
            );
        }
        if !is_known {
            board.change(|status| status.promoting.clone_from(&files));
        }
    }
}
