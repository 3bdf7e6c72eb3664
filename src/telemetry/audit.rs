//! What the rules want on record: for operations that name facts to be recorded, one line per request that was decided,
//! allowed or not, once it has ended.
//!
//! Values may be the caller's own words, so they are written as quoted text: no line of the log is ever theirs.

use serde_json::{Map, Value};

use crate::outcome::{Effect, Outcome};

/// Where these lines come from, for whoever filters the log.
const TARGET: &str = "gatewarden::audit";

/// Writes what is to be recorded of a request, if anything is.
pub(crate) fn record(outcome: &Outcome) {
    let evidence = &outcome.evidence;
    if evidence.audited.is_empty() {
        return;
    }
    let word = |text: &Option<std::sync::Arc<str>>| text.as_deref().unwrap_or("-").to_owned();
    let caller = evidence.caller.as_ref();
    let subject = caller.and_then(|token| token.subject_header().to_str().ok()).unwrap_or("-");
    let facts: Map<String, Value> = evidence
        .audited
        .iter()
        .map(|(name, value)| (name.to_string(), Value::from(value.as_str())))
        .collect();
    let facts = Value::Object(facts).to_string();
    tracing::info!(
        target: TARGET,
        request_id = outcome.request_id.to_str().unwrap_or("-"),
        tenant = word(&evidence.tenant),
        app = word(&evidence.app),
        issuer = word(&evidence.issuer),
        subject,
        method = outcome.method.as_ref().map_or("-", http::Method::as_str),
        route = word(&evidence.route),
        effect = evidence.verdict.map_or(Effect::Deny, |verdict| verdict.effect).as_str(),
        reason = evidence.verdict.map_or("-", |verdict| verdict.reason),
        rule = word(&evidence.rule),
        status = outcome.status,
        facts,
        "recorded"
    );
}
