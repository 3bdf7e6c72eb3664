//! What else the log tells: which files decide from now on, and which were refused.

use serde_json::{Value, json};

use crate::telemetry::Trigger;

/// The schema of such a line.
const SCHEMA: &str = "gatewarden.config/1";

/// A set of files was read.
#[derive(Clone, Debug)]
pub struct ConfigEvent {
    /// What became of it.
    pub happened: Happened,
    /// What made it be read.
    pub trigger: Trigger,
    /// The revision that is live now.
    pub revision: u64,
    /// The set's hash; none where it couldn't be read.
    pub hash: Option<String>,
    /// The hash of what was live before.
    pub was: Option<String>,
    /// How many mistakes it was refused for.
    pub errors: usize,
    /// The first of them.
    pub first: Option<String>,
    /// Who gains and who loses what by it.
    pub diff: Option<Value>,
}

/// What became of a set of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// It decides.
    Applied,
    /// It was refused; what was live stays.
    Refused,
}

impl ConfigEvent {
    /// The line, without its end.
    pub(super) fn line(&self, at: jiff::Timestamp) -> String {
        let mut line = json!({
            "schema": SCHEMA,
            "ts": format!("{at:.6}"),
            "version": env!("CARGO_PKG_VERSION"),
            "result": match self.happened {
                Happened::Applied => "applied",
                Happened::Refused => "refused",
            },
            "trigger": self.trigger.as_str(),
            "revision": self.revision,
            "hash": self.hash,
            "was": self.was,
        });
        if let (Value::Object(members), Happened::Refused) = (&mut line, self.happened) {
            members.insert("errors".to_owned(), self.errors.into());
            members.insert("first".to_owned(), self.first.clone().into());
        }
        if let (Value::Object(members), Some(diff)) = (&mut line, &self.diff) {
            members.insert("diff".to_owned(), diff.clone());
        }
        line.to_string()
    }
}
