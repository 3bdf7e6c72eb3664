//! Snapshot × request × credential × now → ruling.

use http::{HeaderName, HeaderValue};

/// What becomes of the caller's own token towards the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenHandling {
    /// It is passed on.
    Pass,
    /// It is removed.
    Strip,
}

/// Who the upstream is told is calling; values are percent-encoded, so they are always valid header values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssertedIdentity {
    /// `X-Gatewarden-Subject`.
    pub subject: HeaderValue,
    /// `X-Gatewarden-Tenant`: the acting tenant's name.
    pub tenant: HeaderValue,
    /// `X-Gatewarden-Roles`: the roles that counted, comma-separated.
    pub roles: HeaderValue,
    /// `X-Gatewarden-Permission`: `resource#scope` that permitted it.
    pub permission: HeaderValue,
}

/// The right to forward one request: only [`authorize`](self) makes one.
#[derive(Debug)]
pub struct Permit {
    upstream: usize,
    target: String,
    identity: Option<AssertedIdentity>,
    authorization: TokenHandling,
    supplied: Vec<(HeaderName, HeaderValue)>,
}

impl Permit {
    /// Index of the upstream in the snapshot.
    #[must_use]
    pub fn upstream(&self) -> usize {
        self.upstream
    }
    /// Path and query to send, prefix already stripped.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }
    /// Who is calling; none on a public operation.
    #[must_use]
    pub fn identity(&self) -> Option<&AssertedIdentity> {
        self.identity.as_ref()
    }
    /// Whether the caller's token is passed on.
    #[must_use]
    pub fn authorization(&self) -> TokenHandling {
        self.authorization
    }
    /// Headers that the decision supplies or replaces: the tenant header, declared defaults.
    #[must_use]
    pub fn supplied(&self) -> &[(HeaderName, HeaderValue)] {
        &self.supplied
    }
}
