//! One of the last decisions, for operators: by the id that the caller was given as `X-Request-Id`.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::audit::Log;

/// Where they are asked for.
pub(super) const PREFIX: &str = "/decisions/";
/// How long what is being written is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// Longest id that is looked for.
const ID_MAX_BYTES: usize = 64;

/// The decision that a path names, as the log has it.
pub(super) async fn one(log: &Arc<Log>, path: &str) -> (StatusCode, String) {
    let id = path.strip_prefix(PREFIX).unwrap_or_default();
    if id.is_empty() || id.len() > ID_MAX_BYTES {
        return (StatusCode::NOT_FOUND, "a decision is asked for by its request's id\n".to_owned());
    }
    if let Some(line) = log.recent(id) {
        return (StatusCode::OK, format!("{line}\n"));
    }
    // It may just have ended.
    let waited = log.clone();
    let _ = tokio::task::spawn_blocking(move || waited.flush(PATIENCE)).await;
    match log.recent(id) {
        Some(line) => (StatusCode::OK, format!("{line}\n")),
        None => (
            StatusCode::NOT_FOUND,
            "no decision of this id is held: only the last ones are (`recent` in [decisions]), without a log \
             refusals alone\n"
                .to_owned(),
        ),
    }
}
