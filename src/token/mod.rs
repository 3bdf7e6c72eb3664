//! Bytes → proof: what makes a bearer token a [`VerifiedToken`].
//!
//! A token is judged by the one issuer that it names, by that issuer's audiences, algorithms and keys, and by
//! nothing that the token brings along. Its claims are judged before its signature: what would be refused anyway need not
//! cost a signature check, and nothing is believed before both have passed. Fetching keys is `control::keys`' work;
//! which organisation or role counts is for `identity` and the policy.

mod algorithm;
mod cache;
mod claims;
mod entra;
mod jws;
mod keys;
mod memo;
pub mod signer;
mod verifier;
#[cfg(test)]
mod wycheproof;

use std::sync::Arc;

use http::HeaderValue;
use serde_json::{Map, Value};

use crate::request::{ClientCertificate, Timestamp};
use crate::spelling;

pub use algorithm::{Algorithm, KeyType, UnknownAlgorithm};
pub use cache::CacheLimits;
pub use claims::SUBJECT_MAX_BYTES;
pub use entra::V2_TEMPLATE;
pub use jws::{HEADER_MAX_BYTES, KID_MAX_BYTES};
pub use keys::{HeldKeys, KEYS_MAX, Key, KeyCell, KeySet, KeySetError, KeyStatus, STALE_AFTER_S};
pub use memo::Purpose;
pub use verifier::{SetupError, Verifier};

use self::memo::Memo;

/// How the issuer of every development token begins.
pub const DEV_ISSUER: &str = "urn:gatewarden:dev";
/// How the id of every development key begins.
pub const DEV_KEY_PREFIX: &str = "dev-";
/// The longest leeway that an issuer may be given, in seconds.
pub const LEEWAY_MAX_S: u64 = 300;

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

/// Whether tokens of the development issuer count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DevTokens {
    /// They are refused, whatever keys are configured. This is so wherever a gateway serves.
    Refused,
    /// They are judged like any other: the `dev` verb, with demo apps behind it.
    Accepted,
}

/// One identity provider whose tokens are accepted.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// The name in the configuration.
    pub name: Arc<str>,
    /// The kind, which decides what else a token must say.
    pub kind: IssuerKind,
    /// The exact `iss`; for Entra a template with `{tenantid}`, or one tenant's.
    pub issuer: String,
    /// Accepted audiences, compared exactly; at least one.
    pub audience: Vec<String>,
    /// Accepted algorithms; at least one.
    pub algorithms: Vec<Algorithm>,
    /// How far clocks may differ, in seconds; at most [`LEEWAY_MAX_S`].
    pub leeway_s: u64,
    /// Its keys, shared with the task that fetches them.
    pub keys: Arc<KeyCell>,
}

impl Issuer {
    fn is_named_by(&self, iss: &str) -> bool {
        match self.kind {
            IssuerKind::Entra => entra::names(&self.issuer, iss),
            IssuerKind::Keycloak | IssuerKind::Oidc => self.issuer == iss,
        }
    }

    fn judges_like(&self, other: &Self) -> bool {
        self.name == other.name
            && self.kind == other.kind
            && self.issuer == other.issuer
            && self.audience == other.audience
            && self.algorithms == other.algorithms
            && self.leeway_s == other.leeway_s
            && Arc::ptr_eq(&self.keys, &other.keys)
    }
}

/// A token whose signature, issuer, audience and times have been checked. Only [`Verifier::verify`] makes one
/// from bytes; `hypothetical` makes one for `can`, `explain` and tests, which forward nothing.
#[derive(Debug)]
pub struct VerifiedToken {
    issuer: Arc<str>,
    kind: IssuerKind,
    subject: String,
    subject_header: HeaderValue,
    claims: Map<String, Value>,
    expires: Timestamp,
    memo: Memo,
    /// The one certificate that it may be shown with.
    bound: Option<Box<str>>,
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
    /// `sub`, as upstreams are told.
    #[must_use]
    pub fn subject_header(&self) -> &HeaderValue {
        &self.subject_header
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
    /// The application that the token was issued to: `azp`, or what other providers and versions call it.
    #[must_use]
    pub fn client(&self) -> Option<&str> {
        CLIENT_CLAIMS.iter().find_map(|name| self.claims.get(*name)).and_then(Value::as_str)
    }
    /// What was worked out of this token's claims alone for this purpose, or what `work` makes of them now.
    pub fn memo<T: Clone + Send + Sync + 'static>(&self, purpose: &Purpose, work: impl FnOnce() -> T) -> T {
        self.memo.get(purpose, work)
    }
    /// A token that nobody signed, for questions about what would be decided.
    #[must_use]
    pub fn hypothetical(issuer: Arc<str>, kind: IssuerKind, claims: Map<String, Value>) -> Self {
        let subject = claims.get("sub").and_then(Value::as_str).unwrap_or("someone").to_owned();
        Self::new(issuer, kind, subject, claims, Timestamp(u64::MAX))
    }

    /// The same token with a memory of its own: for whoever works other things out of it than those who answer its bearer,
    /// and should not be in their way.
    #[must_use]
    pub fn apart(&self) -> Self {
        let (issuer, subject, claims) = (self.issuer.clone(), self.subject.clone(), self.claims.clone());
        Self::new(issuer, self.kind, subject, claims, self.expires)
    }

    fn new(
        issuer: Arc<str>,
        kind: IssuerKind,
        subject: String,
        claims: Map<String, Value>,
        expires: Timestamp,
    ) -> Self {
        let bound = claims.get("cnf").and_then(|own| own.get(claims::THUMBPRINT)).and_then(Value::as_str);
        let bound = bound.map(Into::into);
        Self {
            issuer,
            kind,
            subject_header: spelling::alone(&subject),
            subject,
            claims,
            expires,
            memo: Memo::default(),
            bound,
        }
    }

    /// Whether it may be shown over a connection with this certificate (RFC 8705 §3): one that is bound to no
    /// certificate may with any, and with none.
    #[must_use]
    pub fn fits(&self, certificate: Option<&ClientCertificate>) -> bool {
        let shown = || certificate.and_then(|own| own.thumbprint.as_deref());
        self.bound.as_deref().is_none_or(|bound| shown() == Some(bound))
    }
}

/// Whether an issuer's token with these claims would be accepted, were it signed: for questions about tokens that nobody
/// has.
pub fn would_accept(issuer: &Issuer, claims: &Map<String, Value>, now: Timestamp) -> Result<(), TokenError> {
    claims::judge(claims, issuer, now).map(drop)
}

/// Where the client stands, the first that is present counting: OpenID Connect and Entra v2, Entra v1, RFC 9068.
pub const CLIENT_CLAIMS: [&str; 3] = ["azp", "appid", "client_id"];

/// Why a token proves nothing. All are 401, but for [`TokenError::KeysUnavailable`] (503).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TokenError {
    /// Not three base64url parts of bounded size, or JSON that can be read in two ways, or a claim of a wrong type.
    #[error("the token is malformed")]
    Malformed,
    /// `iss` names no configured issuer, or another tenant than the token's.
    #[error("the token's issuer is not one that is trusted here")]
    UnknownIssuer,
    /// `kid` names no current key of the issuer, or there is none and the key set leaves a choice.
    #[error("the token names no current key of its issuer")]
    UnknownKey,
    /// `alg` isn't one of the issuer's, or not one that the key is for.
    #[error("the token's signature algorithm is not accepted from its issuer")]
    Algorithm,
    /// The signature wasn't made with the issuer's key.
    #[error("the token's signature is not its issuer's")]
    BadSignature,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `nbf` or `iat` lies ahead.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `aud` names none of the accepted audiences.
    #[error("the token is meant for another audience")]
    Audience,
    /// A claim that every token of the issuer must have is missing.
    #[error("a required claim is missing")]
    ClaimMissing,
    /// An ID, refresh or logout token, or one that no person stands behind.
    #[error("the token is not an access token for a person")]
    WrongType,
    /// A personal account, or the consumer tenant.
    #[error("the token is of a personal account")]
    PersonalAccount,
    /// A development token, where none is accepted.
    #[error("the token is a development token")]
    DevToken,
    /// It is bound to a certificate that the connection doesn't have.
    #[error("the token is bound to another certificate")]
    NotBound,
    /// It is bound to what a caller can't prove here: DPoP's key, for one.
    #[error("the token is bound to something else than a certificate")]
    Unprovable,
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
            Self::UnknownIssuer => "unknown-issuer",
            Self::UnknownKey => "unknown-key",
            Self::Algorithm => "algorithm",
            Self::BadSignature => "bad-signature",
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::Audience => "audience",
            Self::ClaimMissing => "claim-missing",
            Self::WrongType => "wrong-type",
            Self::PersonalAccount => "personal-account",
            Self::DevToken => "dev-token",
            Self::NotBound => "not-bound",
            Self::Unprovable => "other-binding",
            Self::KeysUnavailable => "keys-unavailable",
        }
    }
}

/// A refused token: why, and by which issuer's measure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Refused {
    /// The configured issuer that the token named, if it named one.
    pub issuer: Option<Arc<str>>,
    /// Why.
    pub error: TokenError,
}

impl From<TokenError> for Refused {
    fn from(error: TokenError) -> Self {
        Self { issuer: None, error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_named_in_three_ways() {
        for name in CLIENT_CLAIMS {
            let claims = Map::from_iter([(name.to_owned(), Value::from("desk"))]);
            let token = VerifiedToken::hypothetical("a".into(), IssuerKind::Oidc, claims);
            assert_eq!(token.client(), Some("desk"));
        }
        let token = VerifiedToken::hypothetical("a".into(), IssuerKind::Oidc, Map::new());
        assert_eq!(token.client(), None);
    }
}
