//! A difference as a document: `gatewarden.diff/1`.

use serde_json::{Map, Value, json};

use super::{Access, Answer, Outcome, Setting, SnapshotDiff, Witness};
use crate::analysis::posed::{Caller, Posed};
use crate::policy::lookup::LookedUp;

impl SnapshotDiff {
    /// The document.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "schema": "gatewarden.diff/1",
            "old": self.old,
            "new": self.new,
            "widens": self.widens(),
            "narrows": self.narrows(),
            "access": self.access.iter().map(Access::to_json).collect::<Vec<_>>(),
            "settings": self.settings.iter().map(Setting::to_json).collect::<Vec<_>>(),
            "not_compared": self.not_compared,
        })
    }

    /// The numbers, and the first rows in words, for a line of a log.
    #[must_use]
    pub fn to_record(&self) -> Value {
        const ROWS_MAX: usize = 100;
        let [gains, loses, differently] = self.counts();
        let rows: Vec<Value> = self
            .access
            .iter()
            .take(ROWS_MAX)
            .map(|own| json!({ "effect": own.effect.as_str(), "text": own.sentence() }))
            .collect();
        let settings: Vec<Value> = self.settings.iter().take(ROWS_MAX).map(Setting::to_json).collect();
        json!({
            "rows": rows,
            "set": settings,
            "gains": gains,
            "losses": loses,
            "differently": differently,
            "settings": self.settings.len(),
            "widens": self.widens(),
            "narrows": self.narrows(),
        })
    }
}

impl Outcome {
    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gains => "gains",
            Self::Loses => "loses",
            Self::Differently => "differently",
        }
    }
}

impl Setting {
    fn to_json(&self) -> Value {
        json!({ "effect": self.effect.as_str(), "of": self.of, "text": self.text })
    }
}

impl Access {
    fn to_json(&self) -> Value {
        json!({
            "outcome": self.outcome.as_str(),
            "effect": self.effect.as_str(),
            "app": &*self.app,
            "who": self.who,
            "permission": self.permission,
            "operations": self.operations,
            "detail": self.detail,
            "when": self.when,
            "tenants": self.tenants.iter().map(|own| &**own).collect::<Vec<&str>>(),
            "wildcard": self.wildcard,
            "decided": self.decided,
            "confirmed": self.is_confirmed(),
            "witness": self.witness.as_ref().map(Witness::to_json),
        })
    }
}

impl Witness {
    fn to_json(&self) -> Value {
        let answer =
            |own: &Answer| json!({ "allowed": own.allowed, "says": own.says, "rule": own.rule.as_deref() });
        json!({ "request": request(&self.posed), "old": answer(&self.old), "new": answer(&self.new) })
    }
}

/// A request as a document.
pub(super) fn request(posed: &Posed) -> Value {
    let headers: Map<String, Value> = posed
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    let (issuer, claims) = match &posed.caller {
        Caller::Nobody => (None, Value::Null),
        Caller::Verified(token) => (Some(token.issuer().to_string()), Value::Object(token.claims().clone())),
        Caller::Claims(issuer, claims) => (Some(issuer.to_string()), Value::Object(claims.clone())),
    };
    let answers: Vec<Value> = posed
        .answers
        .iter()
        .map(|own| {
            let answer = match &own.answer {
                LookedUp::Found(found) => (**found).clone(),
                LookedUp::Nothing | LookedUp::Unavailable(_) => Value::Null,
            };
            json!({ "app": own.app, "look_up": own.look_up, "answer": answer })
        })
        .collect();
    json!({
        "method": posed.method.as_str(),
        "target": posed.target,
        "host": posed.host.as_str(),
        "event": posed.event.as_ref().map(|own| &own.name),
        "headers": headers,
        "client": posed.client.to_string(),
        "issuer": issuer,
        "claims": claims,
        "answers": answers,
        "body": posed.body.as_deref(),
        "now": posed.now.0,
    })
}
