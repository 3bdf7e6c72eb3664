//! What must become of a request, in the words of tables, and what became of it.

use crate::authorize::Ruling;
use crate::rejection::Rejection;

/// What must become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// It is forwarded.
    Allow,
    /// It is refused, for whatever reason.
    Deny,
    /// There is no such operation.
    Missing,
    /// It is refused for this reason.
    For(&'static str),
}

/// Reasons that a table may name, beside `allow`, `deny` and `missing`. `condition`, `requirement` and `tenant` stand for
/// several; the others are the log's.
const REASONS: [&str; 22] = [
    "no-permission",
    "condition",
    "condition-failed",
    "condition-unknown",
    "requirement",
    "requirement-failed",
    "requirement-unknown",
    "step-up",
    "tenant",
    "tenant-missing",
    "tenant-unknown",
    "tenant-not-proven",
    "tenant-not-allowed",
    "token-missing",
    "wrong-issuer",
    "personal-account",
    "claim-missing",
    "audience",
    "body-field",
    "no-seat",
    "unanswered",
    "inject-unknown",
];

impl Expected {
    /// Those that documents' rows name, each by its own key.
    pub(super) const KEYS: [(Self, &'static str); 3] =
        [(Self::Allow, "allow"), (Self::Deny, "deny"), (Self::Missing, "missing")];

    /// The word of a table.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Missing => "missing",
            Self::For(reason) => reason,
        }
    }

    /// Reads a table's word.
    pub(super) fn parse(word: &str) -> Option<Self> {
        let plain = Self::KEYS.iter().find(|(_, own)| *own == word).map(|(own, _)| *own);
        plain.or_else(|| REASONS.iter().find(|own| **own == word).map(|own| Self::For(own)))
    }

    /// Every word that there is.
    pub(super) fn words() -> impl Iterator<Item = &'static str> {
        Self::KEYS.iter().map(|(_, word)| *word).chain(REASONS)
    }
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Allowed, denied or missing.
    pub effect: Expected,
    /// Why, in the words of the log.
    pub reason: String,
    /// Whether a stronger log-in would do.
    step_up: bool,
}

impl Found {
    /// What became of a request that came to no ruling.
    pub(super) fn of(effect: Expected, reason: impl Into<String>) -> Self {
        Self { effect, reason: reason.into(), step_up: false }
    }

    /// What a ruling says.
    pub(super) fn by(ruling: &Ruling) -> Self {
        match ruling {
            Ruling::Permit(_, evidence) => {
                Self::of(Expected::Allow, evidence.verdict.map_or("", |own| own.reason))
            }
            Ruling::Refuse(rejection, evidence) => {
                let effect = match rejection {
                    Rejection::NoRoute | Rejection::MethodNotAllowed { .. } => Expected::Missing,
                    _ => Expected::Deny,
                };
                let reason = evidence.verdict.map_or(rejection.reason(), |own| own.reason);
                Self { step_up: matches!(rejection, Rejection::StepUp(_)), ..Self::of(effect, reason) }
            }
            Ruling::Ask(_) => Self::of(Expected::Deny, "unanswered"),
        }
    }

    /// Whether it is what was expected.
    pub(super) fn is(&self, expected: Expected) -> bool {
        let Expected::For(reason) = expected else { return self.effect == expected };
        let begins = |stage: &str| self.reason.strip_prefix(stage).is_some_and(|rest| rest.starts_with('-'));
        self.effect == Expected::Deny
            && match reason {
                "step-up" => self.step_up,
                "condition" | "requirement" | "tenant" => begins(reason),
                reason => self.reason == reason,
            }
    }

    /// `deny (no-permission)`.
    pub(super) fn text(&self) -> String {
        let more = if self.step_up { ", step-up" } else { "" };
        format!("{} ({}{more})", self.effect.word(), self.reason)
    }
}
