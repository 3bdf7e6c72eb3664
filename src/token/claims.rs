//! What a token says about itself, judged: times, audience, subject, and that it is an access token at all.
//!
//! A registered claim of the wrong type is refused, never taken for an absent one. What only Entra has (tenant,
//! versions, personal accounts) is in [`entra`](super::entra); which roles a token carries is no question here.

use serde_json::{Map, Value};

use super::{Issuer, IssuerKind, TokenError, entra};
use crate::request::Timestamp;

/// Longest `sub`, in bytes.
pub const SUBJECT_MAX_BYTES: usize = 256;
/// How far ahead `iat` may be, in seconds.
const ISSUED_AHEAD_S: u64 = 300;
/// The end of the year 9999: no token means a later moment, and sums with it can't overflow.
const MOMENT_MAX: u64 = 253_402_300_799;

/// The claims that must be text where they are present (RFC 7519 §4.1, RFC 9068 §2.2, and who the client is).
const TEXTS: [&str; 7] = ["iss", "sub", "jti", "azp", "appid", "client_id", "typ"];

/// In `cnf`: SHA-256 of the certificate that a token is bound to (RFC 8705 §3.1).
pub(super) const THUMBPRINT: &str = "x5t#S256";

/// Judges the claims of a token that names `issuer`, and returns its `exp`.
pub(super) fn judge(
    claims: &Map<String, Value>,
    issuer: &Issuer,
    now: Timestamp,
) -> Result<Timestamp, TokenError> {
    if TEXTS.iter().any(|name| claims.get(*name).is_some_and(|value| !value.is_string())) {
        return Err(TokenError::Malformed);
    }
    judge_confirmation(claims)?;
    let expires = judge_times(claims, issuer.leeway_s, now)?;
    judge_audience(claims, &issuer.audience)?;
    judge_subject(claims)?;
    match issuer.kind {
        IssuerKind::Entra => entra::judge(claims)?,
        IssuerKind::Keycloak => judge_keycloak(claims)?,
        IssuerKind::Oidc => judge_oidc(claims)?,
    }
    Ok(expires)
}

/// What the token may be shown with is never taken for absent because it can't be read, or is something that a caller
/// isn't asked to prove: a key of DPoP (RFC 9449 §6.1), a key or its name (RFC 7800 §3).
fn judge_confirmation(claims: &Map<String, Value>) -> Result<(), TokenError> {
    let ways = match claims.get("cnf") {
        None => return Ok(()),
        Some(Value::Object(ways)) => ways,
        Some(_) => return Err(TokenError::Malformed),
    };
    match (ways.get(THUMBPRINT), ways.len()) {
        (Some(Value::String(_)), 1) => Ok(()),
        (Some(Value::String(_)) | None, _) => Err(TokenError::Unprovable),
        (Some(_), _) => Err(TokenError::Malformed),
    }
}

fn judge_times(claims: &Map<String, Value>, leeway_s: u64, now: Timestamp) -> Result<Timestamp, TokenError> {
    let expires = moment(claims, "exp")?.ok_or(TokenError::ClaimMissing)?;
    let not_before = moment(claims, "nbf")?;
    let issued = moment(claims, "iat")?;
    if is_over(expires, leeway_s, now) {
        return Err(TokenError::Expired);
    }
    let early = not_before.is_some_and(|begin| begin.0 > now.0.saturating_add(leeway_s));
    let ahead = issued.is_some_and(|issued| issued.0 > now.0.saturating_add(ISSUED_AHEAD_S));
    if early || ahead { Err(TokenError::NotYetValid) } else { Ok(expires) }
}

/// Whether a token that expires then is over now: at `exp` it is (RFC 7519 §4.1.4), give or take the leeway.
pub(super) fn is_over(expires: Timestamp, leeway_s: u64, now: Timestamp) -> bool {
    now.0 >= expires.0.saturating_add(leeway_s)
}

fn moment(claims: &Map<String, Value>, name: &str) -> Result<Option<Timestamp>, TokenError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = match (value.as_u64(), value.as_f64()) {
        (Some(whole), _) => Some(whole),
        // A NumericDate may have a fraction (RFC 7519 §2).
        (None, Some(real)) if real >= 0.0 && real <= MOMENT_MAX as f64 => Some(real as u64),
        _ => None,
    };
    match seconds {
        Some(seconds) if seconds <= MOMENT_MAX => Ok(Some(Timestamp(seconds))),
        _ => Err(TokenError::Malformed),
    }
}

fn judge_audience(claims: &Map<String, Value>, accepted: &[String]) -> Result<(), TokenError> {
    let is_ours = |audience: &str| accepted.iter().any(|ours| ours == audience);
    let ours = match claims.get("aud") {
        None => false,
        Some(Value::String(audience)) => is_ours(audience),
        Some(Value::Array(audiences)) if audiences.iter().all(Value::is_string) => {
            audiences.iter().filter_map(Value::as_str).any(is_ours)
        }
        Some(_) => return Err(TokenError::Malformed),
    };
    if ours { Ok(()) } else { Err(TokenError::Audience) }
}

fn judge_subject(claims: &Map<String, Value>) -> Result<(), TokenError> {
    match claims.get("sub").and_then(Value::as_str) {
        None | Some("") => Err(TokenError::ClaimMissing),
        Some(subject) if subject.len() > SUBJECT_MAX_BYTES => Err(TokenError::Malformed),
        Some(_) => Ok(()),
    }
}

/// Keycloak says in the payload what a token is for: `Bearer`, `ID`, `Refresh`, `Offline`, `Logout`.
fn judge_keycloak(claims: &Map<String, Value>) -> Result<(), TokenError> {
    match claims.get("typ").and_then(Value::as_str) {
        Some("Bearer") => Ok(()),
        _ => Err(TokenError::WrongType),
    }
}

/// Elsewhere an access token is told from an ID or logout token by what only those carry (OpenID Connect Core
/// §3.1.3.6 and §3.3.2.11, Back-Channel Logout §2.4); its audience, the client, is the first barrier.
fn judge_oidc(claims: &Map<String, Value>) -> Result<(), TokenError> {
    let elsewhere = ["at_hash", "c_hash", "events"].iter().any(|name| claims.contains_key(*name));
    let named = claims.get("token_use").is_some_and(|usage| usage != "access");
    if elsewhere || named { Err(TokenError::WrongType) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::super::{Algorithm, KeyCell};
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn issuer(kind: IssuerKind) -> Issuer {
        Issuer {
            name: "sso".into(),
            kind,
            issuer: "https://sso.example".into(),
            audience: vec!["api".into(), "cim".into()],
            algorithms: vec![Algorithm::EdDsa],
            leeway_s: 30,
            keys: Arc::new(KeyCell::empty()),
        }
    }

    fn judged(change: &Value) -> Result<Timestamp, TokenError> {
        let mut claims = json!({"iss": "https://sso.example", "sub": "ada", "aud": "api", "exp": NOW.0 + 60});
        for (name, value) in change.as_object().unwrap() {
            match value {
                Value::Null => claims.as_object_mut().unwrap().remove(name),
                value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
            };
        }
        judge(claims.as_object().unwrap(), &issuer(IssuerKind::Oidc), NOW)
    }

    #[test]
    fn times_are_kept_to_the_second() {
        let judged = |exp: Value| judged(&json!({ "exp": exp }));
        assert_eq!(judged(json!(NOW.0 + 60)), Ok(Timestamp(NOW.0 + 60)));
        assert_eq!(judged(json!(NOW.0 as f64 + 60.5)), Ok(Timestamp(NOW.0 + 60)));
        assert_eq!(judged(json!(NOW.0 - 29)), Ok(Timestamp(NOW.0 - 29)));
        assert_eq!(judged(json!(NOW.0 - 30)), Err(TokenError::Expired));
        assert_eq!(judged(json!(0)), Err(TokenError::Expired));
        assert_eq!(judged(Value::Null), Err(TokenError::ClaimMissing));
        for exp in
            [json!("1000060"), json!([1_000_060]), json!(true), json!(-1), json!(1e300), json!(u64::MAX)]
        {
            assert_eq!(judged(exp.clone()), Err(TokenError::Malformed), "{exp}");
        }
    }

    #[test]
    fn a_token_from_the_future_is_refused() {
        assert!(judged(&json!({ "nbf": NOW.0 + 30, "iat": NOW.0 + 300 })).is_ok());
        assert_eq!(judged(&json!({ "nbf": NOW.0 + 31 })), Err(TokenError::NotYetValid));
        assert_eq!(judged(&json!({ "iat": NOW.0 + 301 })), Err(TokenError::NotYetValid));
        assert_eq!(judged(&json!({ "nbf": "0" })), Err(TokenError::Malformed));
        assert_eq!(judged(&json!({ "iat": {} })), Err(TokenError::Malformed));
    }

    #[test]
    fn the_audience_is_one_of_ours() {
        for aud in [json!("api"), json!("cim"), json!(["api"]), json!(["other", "cim"])] {
            assert!(judged(&json!({ "aud": aud })).is_ok(), "{aud}");
        }
        for aud in [
            Value::Null,
            json!([]),
            json!(""),
            json!("API"),
            json!("api/"),
            json!(["other"]),
            json!("api cim"),
        ] {
            assert_eq!(judged(&json!({ "aud": aud })), Err(TokenError::Audience), "{aud}");
        }
        for aud in [json!(7), json!({"api": 1}), json!(["api", 7]), json!([["api"]]), json!(true)] {
            assert_eq!(judged(&json!({ "aud": aud })), Err(TokenError::Malformed), "{aud}");
        }
    }

    #[test]
    fn a_null_is_no_absent_claim() {
        let claims = json!({"sub": "ada", "aud": "api", "exp": NOW.0 + 60, "nbf": null});
        let judged = judge(claims.as_object().unwrap(), &issuer(IssuerKind::Oidc), NOW);
        assert_eq!(judged, Err(TokenError::Malformed));
    }

    #[test]
    fn a_token_is_bound_to_a_certificate_or_to_nothing() {
        assert!(judged(&json!({ "cnf": { "x5t#S256": "AAAA" } })).is_ok());
        for cnf in [
            json!({ "jkt": "AAAA" }),
            json!({ "jwk": { "kty": "OKP" } }),
            json!({ "kid": "own" }),
            json!({ "x5t#S256": "AAAA", "jkt": "AAAA" }),
            json!({}),
        ] {
            assert_eq!(judged(&json!({ "cnf": cnf })), Err(TokenError::Unprovable), "{cnf}");
        }
        for cnf in [json!("AAAA"), json!(["AAAA"]), json!({ "x5t#S256": ["AAAA"] })] {
            assert_eq!(judged(&json!({ "cnf": cnf })), Err(TokenError::Malformed), "{cnf}");
        }
    }

    #[test]
    fn a_subject_is_needed() {
        for sub in [Value::Null, json!("")] {
            assert_eq!(judged(&json!({ "sub": sub })), Err(TokenError::ClaimMissing));
        }
        for sub in [json!(7), json!(["ada"]), json!("a".repeat(257))] {
            assert_eq!(judged(&json!({ "sub": sub })), Err(TokenError::Malformed));
        }
        for name in TEXTS {
            assert_eq!(judged(&json!({ name: 7 })), Err(TokenError::Malformed), "{name}");
        }
    }

    #[test]
    fn only_access_tokens_count() {
        let keycloak = |typ: &Value| {
            let mut claims = json!({"sub": "ada", "aud": "cim", "exp": NOW.0 + 60, "typ": typ});
            if typ.is_null() {
                claims.as_object_mut().unwrap().remove("typ");
            }
            judge(claims.as_object().unwrap(), &issuer(IssuerKind::Keycloak), NOW)
        };
        assert!(keycloak(&json!("Bearer")).is_ok());
        for typ in ["ID", "Refresh", "Offline", "Logout", "bearer", ""] {
            assert_eq!(keycloak(&json!(typ)), Err(TokenError::WrongType), "{typ}");
        }
        assert_eq!(keycloak(&Value::Null), Err(TokenError::WrongType));
        assert_eq!(judged(&json!({ "at_hash": "x" })), Err(TokenError::WrongType));
        assert_eq!(judged(&json!({ "events": {} })), Err(TokenError::WrongType));
        assert_eq!(judged(&json!({ "token_use": "id" })), Err(TokenError::WrongType));
    }
}
