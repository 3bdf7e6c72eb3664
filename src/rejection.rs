//! Every way to say no, with its status, its code and its public text, in one place.
//!
//! What a caller reads here names the stage that refused, never a rule, a role or a condition; those are in the
//! evidence of the outcome, for the log and for `explain`.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};

use crate::budget::Kind;
use crate::request::Malformed;
use crate::socket::handshake::Fault;
use crate::token::TokenError;

pub use crate::identity::PrincipalError;

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The request can be read in two ways, or in none.
    Malformed(Malformed),
    /// No operation has this path.
    NoRoute,
    /// The path has operations, but none of this method.
    MethodNotAllowed {
        /// The methods that the path has.
        allow: Vec<Method>,
    },
    /// The operation needs a principal, and no token was sent.
    CredentialMissing,
    /// A token was sent that proves nothing.
    Token(TokenError),
    /// The verified token is not one that this app takes: another issuer's, or of an unknown organisation.
    Principal(PrincipalError),
    /// The acting tenant is missing, unknown, or not one that the caller may act for.
    Tenant(TenantError),
    /// The rules don't permit it.
    Denied,
    /// The rules would go on if the caller had logged in more strongly.
    StepUp(Challenge),
    /// Only an unanswered question stands against it.
    Unanswered,
    /// A rule reads the body, and it isn't JSON.
    UnsupportedBody,
    /// The body has a field that the rules don't let through.
    FieldNotPermitted,
    /// Every licence seat is taken.
    NoSeat,
    /// A rate that the rules set is used up.
    RateLimited {
        /// Whom it holds for.
        kind: Kind,
        /// Seconds until there is room again.
        wait_s: u32,
    },
    /// Not how a socket is opened or used.
    Socket(Fault),
    /// The body is longer than the limit.
    BodyTooLarge,
    /// The client sent its request too slowly.
    ClientTooSlow,
    /// The client went away before its request was whole; whether anyone reads this answer isn't known.
    ClientLeft,
    /// It must be on record, and can't be just now.
    AuditUnavailable,
    /// A question of the gateway's own came back to it.
    Loop,
    /// The gateway is draining.
    Draining,
    /// Too many requests are in flight.
    Overloaded,
    /// No server of the upstream can be reached.
    UpstreamUnreachable,
    /// Too many requests are with the application's servers already.
    UpstreamOverloaded,
    /// The upstream took too long to answer.
    UpstreamTimeout,
    /// The upstream answered with something that isn't HTTP.
    UpstreamBroken,
    /// A gRPC call to an upstream that isn't spoken to over HTTP/2.
    NoGrpc,
    /// The upstream's answer should have been edited, and couldn't be read.
    AnswerWithheld,
    /// A fault of the gateway's own.
    Internal,
}

/// How a stronger log-in is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// RFC 9470 §3: one of these authentication contexts.
    Contexts(Vec<Box<str>>),
    /// Entra's claims challenge, for a client that says it understands one.
    EntraClaims(Box<str>),
}

impl Challenge {
    fn text(&self) -> String {
        match self {
            Self::Contexts(acr) => format!(
                "Bearer error=\"insufficient_user_authentication\", \
                 error_description=\"A stronger log-in is needed\", acr_values=\"{}\"",
                acr.join(" ")
            ),
            Self::EntraClaims(context) => {
                let claims =
                    format!(r#"{{"access_token":{{"acrs":{{"essential":true,"value":"{context}"}}}}}}"#);
                format!(
                    "Bearer realm=\"\", \
                     authorization_uri=\"https://login.microsoftonline.com/common/oauth2/authorize\", \
                     error=\"insufficient_claims\", claims=\"{}\"",
                    STANDARD.encode(claims)
                )
            }
        }
    }
}

/// Why there is no acting tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TenantError {
    /// No source that the app names is present.
    Missing,
    /// The id belongs to no tenant of the app.
    Unknown,
    /// The requirement that proves the caller may act there doesn't hold.
    NotProven,
}

impl Rejection {
    /// Whether it is rules that refused: another set of them could have answered something else.
    #[must_use]
    pub fn is_the_rules(&self) -> bool {
        matches!(
            self,
            Self::NoRoute
                | Self::MethodNotAllowed { .. }
                | Self::CredentialMissing
                | Self::Principal(_)
                | Self::Tenant(_)
                | Self::Denied
                | Self::StepUp(_)
                | Self::Unanswered
                | Self::FieldNotPermitted
                | Self::NoSeat
        )
    }

    /// The response's status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(Malformed::TargetTooLong) => StatusCode::URI_TOO_LONG,
            Self::Malformed(_) | Self::Socket(_) | Self::ClientLeft => StatusCode::BAD_REQUEST,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Token(TokenError::KeysUnavailable)
            | Self::Unanswered
            | Self::AuditUnavailable
            | Self::Draining
            | Self::Overloaded
            | Self::UpstreamOverloaded
            | Self::UpstreamUnreachable => StatusCode::SERVICE_UNAVAILABLE,
            Self::CredentialMissing | Self::Token(_) | Self::Principal(_) | Self::StepUp(_) => {
                StatusCode::UNAUTHORIZED
            }
            Self::Tenant(_) | Self::Denied | Self::FieldNotPermitted | Self::NoSeat => StatusCode::FORBIDDEN,
            Self::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Loop => StatusCode::LOOP_DETECTED,
            Self::UnsupportedBody => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ClientTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::UpstreamBroken | Self::NoGrpc | Self::AnswerWithheld => StatusCode::BAD_GATEWAY,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The stable code a caller may branch on; the `type` of the problem document ends in it.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed-request",
            Self::NoRoute => "no-such-operation",
            Self::MethodNotAllowed { .. } => "method-not-allowed",
            Self::Token(TokenError::KeysUnavailable) => "identity-unavailable",
            Self::CredentialMissing => "not-authenticated",
            Self::Token(_) | Self::Principal(_) => "invalid-token",
            Self::Tenant(_) | Self::Denied => "not-permitted",
            Self::StepUp(_) => "step-up-required",
            Self::Unanswered => "decision-unavailable",
            Self::AuditUnavailable => "audit-unavailable",
            Self::UnsupportedBody => "unsupported-body",
            Self::FieldNotPermitted => "field-not-permitted",
            Self::NoSeat => "no-licence-seat",
            Self::RateLimited { .. } => "rate-limited",
            Self::Socket(_) => "bad-socket",
            Self::BodyTooLarge => "body-too-large",
            Self::ClientTooSlow => "request-timeout",
            Self::ClientLeft => "client-left",
            Self::Loop => "loop-detected",
            Self::Draining => "shutting-down",
            Self::Overloaded => "overloaded",
            Self::UpstreamUnreachable => "upstream-unreachable",
            Self::UpstreamOverloaded => "upstream-overloaded",
            Self::UpstreamTimeout => "upstream-timeout",
            Self::UpstreamBroken => "upstream-broken",
            Self::NoGrpc => "upstream-without-grpc",
            Self::AnswerWithheld => "answer-withheld",
            Self::Internal => "internal",
        }
    }

    /// The word for metrics and logs: a closed set, finer than [`Rejection::code`].
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(why) => why.reason(),
            Self::Token(why) => why.reason(),
            Self::Principal(PrincipalError::WrongIssuer) => "wrong-issuer",
            Self::Principal(PrincipalError::UnknownOrganisation) => "tenant-not-allowed",
            Self::Principal(PrincipalError::PersonalAccount) => "personal-account",
            Self::Principal(PrincipalError::ClaimMissing) => "claim-missing",
            Self::Tenant(TenantError::Missing) => "tenant-missing",
            Self::Tenant(TenantError::Unknown) => "tenant-unknown",
            Self::Tenant(TenantError::NotProven) => "tenant-not-proven",
            Self::CredentialMissing => "token-missing",
            Self::RateLimited { kind, .. } => kind.reason(),
            other => other.code(),
        }
    }

    /// The sentence that the caller reads.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::Malformed(why) => why.to_string(),
            Self::NoRoute => "there is no such operation".into(),
            Self::MethodNotAllowed { .. } => "the path has no operation of this method".into(),
            Self::CredentialMissing => "a bearer token is needed".into(),
            Self::Token(TokenError::KeysUnavailable) => {
                "the identity provider can't be asked; try again".into()
            }
            Self::Token(_) | Self::Principal(_) => "the bearer token is not valid here".into(),
            Self::Tenant(_) | Self::Denied => "the caller may not do this".into(),
            Self::StepUp(_) => "a stronger log-in is needed for this".into(),
            Self::Unanswered => "what the decision needs can't be asked just now; try again".into(),
            Self::AuditUnavailable => {
                "what is done here must be written down, and can't be just now; try again".into()
            }
            Self::UnsupportedBody => "the request body must be JSON, not compressed".into(),
            Self::FieldNotPermitted => "the request body has a field that may not be set here".into(),
            Self::NoSeat => "every licence seat is taken".into(),
            Self::RateLimited { .. } => "too many requests; try again later".into(),
            Self::Socket(fault) => fault.to_string(),
            Self::BodyTooLarge => "the request body is too large".into(),
            Self::ClientTooSlow => "the request took too long to arrive".into(),
            Self::ClientLeft => "the request broke off".into(),
            Self::Loop => "what the gateway asks came back to it".into(),
            Self::Draining => "the gateway is shutting down; try again".into(),
            Self::Overloaded => "too many requests are in flight; try again".into(),
            Self::UpstreamUnreachable => "the application can't be reached; try again".into(),
            Self::UpstreamOverloaded => "the application has enough to do; try again".into(),
            Self::UpstreamTimeout => "the application took too long to answer".into(),
            Self::UpstreamBroken => "the application's answer can't be understood".into(),
            Self::NoGrpc => "the application isn't spoken to in gRPC".into(),
            Self::AnswerWithheld => {
                "the application's answer can't be read, so what it may show isn't known".into()
            }
            Self::Internal => "the gateway failed".into(),
        }
    }

    /// The gRPC status code that says the same.
    #[must_use]
    pub fn grpc_status(&self) -> u16 {
        const CANCELLED: u16 = 1;
        const UNKNOWN: u16 = 2;
        const INVALID_ARGUMENT: u16 = 3;
        const DEADLINE_EXCEEDED: u16 = 4;
        const PERMISSION_DENIED: u16 = 7;
        const RESOURCE_EXHAUSTED: u16 = 8;
        const UNIMPLEMENTED: u16 = 12;
        const INTERNAL: u16 = 13;
        const UNAVAILABLE: u16 = 14;
        const UNAUTHENTICATED: u16 = 16;
        match (self, self.status().as_u16()) {
            (Self::ClientLeft, _) => CANCELLED,
            (Self::NoSeat, _) => RESOURCE_EXHAUSTED,
            (Self::NoGrpc, _) => UNIMPLEMENTED,
            // Asked again, it would be the same.
            (Self::AnswerWithheld | Self::Loop, _) => INTERNAL,
            (_, 400 | 414 | 415 | 422) => INVALID_ARGUMENT,
            (_, 401) => UNAUTHENTICATED,
            (_, 403) => PERMISSION_DENIED,
            (_, 404 | 405) => UNIMPLEMENTED,
            (_, 408 | 504) => DEADLINE_EXCEEDED,
            (_, 413 | 429) => RESOURCE_EXHAUSTED,
            (_, 502 | 503) => UNAVAILABLE,
            (_, 500) => INTERNAL,
            _ => UNKNOWN,
        }
    }

    /// Seconds after which trying again makes sense, where it does.
    #[must_use]
    pub fn retry_after_s(&self) -> Option<u32> {
        match (self, self.status()) {
            (Self::RateLimited { wait_s, .. }, _) => Some(*wait_s),
            (_, StatusCode::SERVICE_UNAVAILABLE) => Some(1),
            _ => None,
        }
    }

    /// The `WWW-Authenticate` value of RFC 6750 §3: no error code for a missing token, `invalid_token` for a bad
    /// one, `insufficient_scope` for a missing permission, and what is asked for where a stronger log-in would do.
    #[must_use]
    pub fn challenge(&self) -> Option<Cow<'static, str>> {
        match (self, self.status()) {
            (Self::CredentialMissing, _) => Some("Bearer".into()),
            (Self::StepUp(challenge), _) => Some(challenge.text().into()),
            (_, StatusCode::UNAUTHORIZED) => Some("Bearer error=\"invalid_token\"".into()),
            // Another token wouldn't help.
            (Self::FieldNotPermitted | Self::NoSeat, _) => None,
            (_, StatusCode::FORBIDDEN) => Some("Bearer error=\"insufficient_scope\"".into()),
            _ => None,
        }
    }
}

impl From<Malformed> for Rejection {
    fn from(why: Malformed) -> Self {
        Self::Malformed(why)
    }
}

impl From<Fault> for Rejection {
    fn from(why: Fault) -> Self {
        Self::Socket(why)
    }
}

impl From<TokenError> for Rejection {
    fn from(why: TokenError) -> Self {
        Self::Token(why)
    }
}
