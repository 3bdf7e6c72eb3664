//! What a ruling rested on, for whoever counts, logs or explains it.

use std::sync::Arc;

use crate::policy::{Decision, Known, RoleSet};
use crate::request::Timestamp;
use crate::snapshot::OperationRef;
use crate::tenant::Tenant;
use crate::token::VerifiedToken;

/// What a decision rested on, gathered on the way.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The app whose operation it is.
    pub app: Option<Arc<str>>,
    /// The operation's path template; never the path itself.
    pub route: Option<Arc<str>>,
    /// The acting tenant's name, once the rules have proven that the caller may act there.
    pub tenant: Option<Arc<str>>,
    /// The issuer's name in the configuration: of a verified token, or of the one that a bad token named.
    pub issuer: Option<Arc<str>>,
    /// The caller's verified token.
    pub caller: Option<Arc<VerifiedToken>>,
    /// What the policy decided, once it did.
    pub verdict: Option<Verdict>,
    /// Where the grant, or the rule that stood against it, stands: `rules/calling.toml:41`.
    pub rule: Option<Arc<str>>,
    /// How the decision was come to, for whoever explains it.
    pub judged: Option<Judged>,
    /// What a list was filtered by, instead of a test of each object.
    pub narrowed: Vec<(Box<str>, String)>,
    /// Facts that the rules want on record, by name.
    pub audited: Vec<(Box<str>, String)>,
}

/// One operation judged for one caller.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The operation.
    pub operation: OperationRef,
    /// The roles that the caller holds in the app.
    pub roles: RoleSet,
    /// The acting tenant, proven or not.
    pub tenant: Option<Arc<Tenant>>,
    /// The policy's decision, if it came to one.
    pub decision: Option<Decision>,
    /// What was found out for it.
    pub known: Known,
    /// When the request came.
    pub now: Timestamp,
}

impl Judged {
    pub(super) fn of(operation: OperationRef, now: Timestamp) -> Self {
        let (roles, known) = (RoleSet::default(), Known::default());
        Self { operation, roles, tenant: None, decision: None, known, now }
    }
}

impl Evidence {
    pub(super) fn refused(&mut self, reason: &'static str, audited: Vec<(Box<str>, String)>) {
        self.verdict = Some(Verdict { effect: Effect::Deny, reason });
        self.audited = audited;
    }

    pub(super) fn knows(&mut self, known: Known) {
        if let Some(judged) = &mut self.judged {
            judged.known = known;
        }
    }
}

/// The policy's answer as metrics count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Allow or deny.
    pub effect: Effect,
    /// Why: a word from a closed set.
    pub reason: &'static str,
}

/// Allow or deny.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Forwarded.
    Allow,
    /// Refused.
    Deny,
}

impl Effect {
    /// The metric label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}
