//! Bytes → proof: what makes a bearer token a [`VerifiedToken`].

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::request::Timestamp;

/// Who signed a token, what kind of identity provider that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IssuerKind {
    /// Microsoft Entra ID: `{tenantid}` issuer template, per-key issuers.
    Entra,
    /// Keycloak.
    Keycloak,
    /// Any OpenID Connect provider.
    Oidc,
}

/// A token whose signature, issuer, audience and times have been checked. Only [`Verifier::verify`] makes one
/// from bytes; `hypothetical` makes one for `can`, `explain` and tests, which forward nothing.
#[derive(Debug)]
pub struct VerifiedToken {
    issuer: Arc<str>,
    kind: IssuerKind,
    subject: String,
    claims: Map<String, Value>,
    expires: Timestamp,
}

impl VerifiedToken {
    /// The issuer's name in the configuration.
    #[must_use]
    pub fn issuer(&self) -> &Arc<str> {
        &self.issuer
    }
    /// The kind of issuer.
    #[must_use]
    pub fn kind(&self) -> IssuerKind {
        self.kind
    }
    /// `sub`.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }
    /// Every claim.
    #[must_use]
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }
    /// `exp`.
    #[must_use]
    pub fn expires(&self) -> Timestamp {
        self.expires
    }
    /// A token that nobody signed, for questions about what would be decided.
    #[must_use]
    pub fn hypothetical(issuer: Arc<str>, kind: IssuerKind, claims: Map<String, Value>) -> Self {
        let subject = claims.get("sub").and_then(Value::as_str).unwrap_or("someone").to_owned();
        Self { issuer, kind, subject, claims, expires: Timestamp(u64::MAX) }
    }
}

/// Why a token proves nothing. All are 401, but for [`TokenError::KeysUnavailable`] (503).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not three base64url parts of bounded size.
    #[error("the token is malformed")]
    Malformed,
    /// The issuer has no keys, or they are too old to be trusted.
    #[error("the issuer's keys are not available")]
    KeysUnavailable,
}

impl TokenError {
    /// The word for logs and metrics.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::KeysUnavailable => "keys-unavailable",
        }
    }
}
