//! One decision as a line of the decision log, and a line of the log as a request that can be decided again.
//!
//! A [`Record`] is made of what a request's outcome rested on and of what was kept of the request itself
//! ([`Captured`]). It holds the facts that were known when it was decided, so that it can be put to any rules
//! ([`Record::posed`]), and says what it doesn't hold ([`Record::missing`], `erased`). Who writes lines, where to, and
//! when, is `audit`; nothing here has a clock or a file.

mod captured;
mod erase;
mod facts;
mod lines;
mod posed;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::captured::{Asked, Captured, obligations};
pub use self::erase::{hides_path, mirrored};
pub use self::lines::{LINE_MAX_BYTES, Lines, Unread, Why, lines, parse};
pub use self::posed::Unreplayable;

/// The schema of a decision's line.
pub const SCHEMA: &str = "gatewarden.decision/1";

/// One decision, as the log has it. What isn't known is left out of the line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: String,
    /// When it was decided: RFC 3339, in microseconds.
    pub ts: String,
    /// The id that the caller was given as `X-Request-Id`.
    pub decision_id: String,
    /// The gateway's version.
    #[serde(default)]
    pub version: String,
    /// Whether development tokens counted.
    #[serde(default)]
    pub mode: Mode,
    /// The rules that decided.
    #[serde(default)]
    pub rules: Rules,
    /// The acting tenant's name, once it was proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The name of the issuer that the token named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The verified token's subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// The caller's roles, as the rule file names them; `anyone` aside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// The method; `EMIT` for an event of a socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The host that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The path as it came, without its query; for an event, of the request that opened its socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The operation's path template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The event's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// The app whose operation it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// What was granted, or what the nearest grant would have been of: `resource#scope`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission: Option<String>,
    /// The role whose grant it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// What was decided.
    pub effect: Effect,
    /// Why: a word of a closed set.
    pub reason: String,
    /// Where the grant, or the rule that stood against it, stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The condition or requirement that didn't hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// What the allow carried along.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub obligations: Vec<String>,
    /// The status that the caller was answered with.
    #[serde(default)]
    pub status: u16,
    /// The upstream that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// Body bytes that the caller was sent.
    #[serde(default)]
    pub bytes: u64,
    /// How long it took.
    #[serde(default)]
    pub us: Times,
    /// The facts that were known, by name. `null` was known to be absent; `{}` was there, and not of its type.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub facts: Map<String, Value>,
    /// What came of each look-up that was asked: `found`, `nothing`, or why there is no answer.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub answers: Map<String, Value>,
    /// Facts that the rules want on record, as text.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub audited: Map<String, Value>,
    /// What was left out on purpose: JSON pointers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub erased: Vec<String>,
    /// How many records were lost before this one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped_before: u64,
    /// It stands for so many of its kind.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub sampled: u64,
    /// SHA-256 over the chain's value before, and this line without this member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
}

/// Which rules decided.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Their number since the gateway's start.
    pub revision: u64,
    /// Their hash.
    #[serde(default)]
    pub hash: String,
}

/// How long a decision took, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// Reading and deciding.
    #[serde(default)]
    pub decide: u64,
    /// From sending to the upstream to the head of its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<u64>,
    /// To the last byte.
    #[serde(default)]
    pub total: u64,
}

/// What kind of gateway decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// One that serves.
    #[default]
    Enforce,
    /// One that takes development tokens.
    Dev,
}

/// What was decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// It was forwarded, or would have been.
    Allow,
    /// It was refused.
    #[default]
    Deny,
}

impl Record {
    /// The line, without its end. Text is JSON's: whatever a client said of itself, the line is one.
    #[must_use]
    pub fn line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// When it was decided.
    #[must_use]
    pub fn at(&self) -> Option<jiff::Timestamp> {
        self.ts.parse().ok()
    }

    /// Whether a member was left out on purpose, by its JSON pointer.
    #[must_use]
    pub fn is_erased(&self, pointer: &str) -> bool {
        self.erased.iter().any(|own| own == pointer)
    }
}

fn one() -> u64 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_one(number: &u64) -> bool {
    *number == 1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
