//! What is told of a set once it judges, or was refused: in the log, on the board, in the decision log. One after another
//! in a task of its own, so that the next look waits for nothing but the files.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::effect::{self, Wanted};
use crate::audit::{ConfigEvent, Happened, Log};
use crate::control::status::Board;
use crate::snapshot::{Live, Snapshot};
use crate::telemetry::Trigger;

/// Work that nobody waits for, each piece after the one before.
#[derive(Debug, Default)]
pub(in super::super) struct InTurn(Option<JoinHandle<()>>);

impl InTurn {
    /// Has this done when everything before is. It must have an end.
    pub(in super::super) fn then(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        let last = self.0.take();
        self.0 = Some(tokio::spawn(async move {
            if let Some(last) = last {
                let _ = last.await;
            }
            work.await;
        }));
    }
}

/// A set that has just gone live.
pub(super) struct Change {
    pub(super) before: Arc<Snapshot>,
    pub(super) now: Arc<Snapshot>,
    pub(super) trigger: Trigger,
    pub(super) wanted: Wanted,
}

/// Tells.
pub(super) struct Teller {
    pub(super) live: Arc<Live>,
    pub(super) board: Arc<Board>,
    pub(super) log: Option<Arc<Log>>,
    pub(super) turn: InTurn,
}

impl Teller {
    /// Writes to the decision log what became of a set. The rules of now decide how.
    pub(super) fn write(&mut self, event: ConfigEvent) {
        if let Some(log) = self.log.clone() {
            let live = self.live.load();
            self.turn.then(async move { log.configured(event, &live.gateway.decisions) });
        }
    }

    /// Tells what the set does that has just gone live.
    pub(super) fn applied(&mut self, change: Change) {
        let (live, board, log) = (self.live.clone(), self.board.clone(), self.log.clone());
        self.turn.then(async move {
            let Change { before, now, trigger, wanted } = change;
            let is_last = live.load().revision == now.revision;
            // Where sets come faster than they are compared, only the last is.
            let found = if is_last { effect::of(before.clone(), now.clone()).await } else { None };
            let diff = effect::tell(found.as_ref(), now.revision, wanted);
            if let Some(log) = log {
                let event = ConfigEvent {
                    happened: Happened::Applied,
                    trigger,
                    revision: now.revision,
                    hash: Some(now.hash.to_string()),
                    was: Some(before.hash.to_string()),
                    errors: 0,
                    first: None,
                    diff,
                };
                log.configured(event, &live.load().gateway.decisions);
            }
            board.change(|status| {
                if status.revision == now.revision {
                    status.does = found.as_ref().map(|own| own.verdict());
                }
            });
        });
    }
}
