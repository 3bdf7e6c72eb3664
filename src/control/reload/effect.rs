//! What a set does to callers, told once it is live: nobody waits for that, and it has an end. And whether a set may go
//! live although what its files expect isn't met, because nobody may do more by it than before.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Semaphore;

use super::blocking;
use super::set::Needs;
use crate::analysis::diff::{SnapshotDiff, diff};
use crate::config::diagnostic::{Severity, code};
use crate::config::{Compiled, Diagnostic, Diagnostics, Sources};
use crate::snapshot::{Live, Snapshot};

/// How long it may take to find out.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// Most lines about what isn't as it is expected.
const UNEXPECTED_MAX: usize = 100;

/// What may go live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// What its files expect.
    Expected,
    /// That, and what proves to widen nothing.
    Narrower,
}

/// One comparison at a time, of each kind: one that nobody waits for any more computes on.
static OF_LIVE: Semaphore = Semaphore::const_new(1);
static OF_CANDIDATES: Semaphore = Semaphore::const_new(1);

/// Compares what was live with what is.
pub(super) async fn of(old: Arc<Snapshot>, new: Arc<Snapshot>) -> Option<SnapshotDiff> {
    compared(&OF_LIVE, old, new).await
}

/// Compares what is live with what is tried out beside it.
pub(in super::super) async fn beside(live: Arc<Snapshot>, candidate: Arc<Snapshot>) -> Option<SnapshotDiff> {
    compared(&OF_CANDIDATES, live, candidate).await
}

async fn compared(
    places: &'static Semaphore,
    old: Arc<Snapshot>,
    new: Arc<Snapshot>,
) -> Option<SnapshotDiff> {
    let found = async {
        let place = places.acquire().await.ok()?;
        let found = blocking(move || {
            let found = diff(&old, &new);
            drop(place);
            found
        });
        found.await.ok()
    };
    tokio::time::timeout(PATIENCE, found).await.ok()?
}

/// Tells it in the log, and returns what the decision log is told.
pub(super) fn tell(found: Option<&SnapshotDiff>, revision: u64, wanted: Wanted) -> Option<Value> {
    let Some(found) = found else {
        tracing::warn!(
            rev = revision,
            "what the change does isn't found out: it takes too long, or another one is live already"
        );
        return None;
    };
    let [gains, losses, differently] = found.counts();
    tracing::info!(
        rev = revision,
        gains,
        losses,
        differently,
        settings = found.settings.len(),
        widens = found.widens(),
        narrows = found.narrows(),
        "what the change does"
    );
    let mut record = found.to_record();
    if let (Value::Object(members), Wanted::Narrower) = (&mut record, wanted) {
        members.insert("narrow_only".to_owned(), true.into());
    }
    Some(record)
}

/// Whether nothing stands against a set but what its files expect.
pub(super) fn is_unexpected(why: &Diagnostics) -> bool {
    why.iter().all(|own| own.severity != Severity::Error || own.code == code::EXPECT)
}

/// A set whose files expect something else, if it is proven that nobody may do more by it.
pub(super) async fn narrower(
    needs: Needs,
    live: Arc<Live>,
    sources: Arc<Sources>,
    why: Diagnostics,
) -> Result<(Compiled, Vec<String>), Diagnostics> {
    let unexpected = lines(&why, &sources);
    let before = live.load();
    let judged = blocking(move || {
        let compiled = needs.compile_unexpected(&sources, Some(&before))?;
        let found = diff(&before, &compiled.snapshot);
        if !found.widens() {
            return Ok(compiled);
        }
        let mut why = why;
        let widening = found.access.iter().find(|own| !own.is_confirmed() || own.effect.widens());
        let widening = widening.map(|own| own.sentence()).unwrap_or_else(|| found.verdict());
        why.push(Diagnostic::note(code::EXPECT, format!("it doesn't only narrow: {widening}")));
        Err(why)
    });
    let compiled = judged.await??;
    tracing::warn!("what `[expect]` says isn't met; the rules go live because nobody may do more by them");
    Ok((compiled, unexpected))
}

/// What isn't as it is expected, a line for each.
fn lines(why: &Diagnostics, sources: &Sources) -> Vec<String> {
    let errors = why.iter().filter(|own| own.severity == Severity::Error);
    errors.take(UNEXPECTED_MAX).map(|own| own.line(&sources.files)).collect()
}
