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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// It decides.
    Applied,
    /// It was refused; what was live stays.
    Refused,
    /// It is tried out beside what is live, or was to be.
    Candidate {
        /// How it is now.
        state: &'static str,
        /// Where it came from: a directory, `sent`, or nothing.
        from: String,
        /// The tenants whose requests it answers as long as it is judged.
        tenants: Vec<Box<str>>,
    },
}

impl ConfigEvent {
    /// The line, without its end.
    pub(super) fn line(&self, at: jiff::Timestamp) -> String {
        let mut line = json!({
            "schema": SCHEMA,
            "ts": format!("{at:.6}"),
            "version": env!("CARGO_PKG_VERSION"),
            "result": match &self.happened {
                Happened::Applied => "applied",
                Happened::Refused => "refused",
                Happened::Candidate { .. } => "candidate",
            },
            "trigger": self.trigger.as_str(),
            "revision": self.revision,
            "hash": self.hash,
            "was": self.was,
        });
        let is_refused = self.errors > 0 || self.happened == Happened::Refused;
        if let (Value::Object(members), true) = (&mut line, is_refused) {
            members.insert("errors".to_owned(), self.errors.into());
            members.insert("first".to_owned(), self.first.clone().into());
        }
        if let (Value::Object(members), Happened::Candidate { state, from, tenants }) =
            (&mut line, &self.happened)
        {
            members.insert("state".to_owned(), (*state).into());
            members.insert("from".to_owned(), from.as_str().into());
            members.insert("tenants".to_owned(), json!(tenants));
        }
        if let (Value::Object(members), Some(diff)) = (&mut line, &self.diff) {
            members.insert("diff".to_owned(), diff.clone());
        }
        line.to_string()
    }
}
