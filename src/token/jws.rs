//! The outside of a token: three base64url parts of bounded size, and a header that asks for nothing unusual.
//!
//! Nothing here is proof of anything. The header's `alg` and `kid` only choose among what the issuer's configuration
//! and key set already allow; members that bring a key along, or change how the token is read, are refused.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::TokenError;
use crate::json::strict::{self, Strictness};
use crate::request::TOKEN_MAX_BYTES;

/// Longest header that is read, in decoded bytes.
pub const HEADER_MAX_BYTES: usize = 2 * 1024;
/// Longest `kid` that is looked up, in bytes.
pub const KID_MAX_BYTES: usize = 256;

/// Members that bring a key along, change how the token is read, or must be understood to be safe
/// (RFC 7515 §4.1, RFC 7797). `x5t` only names a certificate and is harmless.
const REFUSED_MEMBERS: [&str; 8] = ["crit", "b64", "zip", "cty", "jwk", "jku", "x5u", "x5c"];

/// A token taken apart, unverified.
#[derive(Debug)]
pub(super) struct Parts<'t> {
    /// What the signature covers: header, dot, payload, as they came.
    pub(super) signed: &'t str,
    /// The signature, still in base64url.
    pub(super) signature: &'t str,
    /// The header, read.
    pub(super) header: Header,
    /// The payload's claims, unverified.
    pub(super) claims: Map<String, Value>,
}

/// What of a header is used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// `alg` as it stands there; judged against the issuer's list.
    pub(super) alg: String,
    /// `kid`.
    pub(super) kid: Option<String>,
}

/// Takes a token apart.
pub(super) fn split(raw: &str) -> Result<Parts<'_>, TokenError> {
    if raw.len() > TOKEN_MAX_BYTES {
        return Err(TokenError::Malformed);
    }
    let (signed, signature) = raw.rsplit_once('.').ok_or(TokenError::Malformed)?;
    // A fourth part would leave a dot here, and a dot isn't base64url.
    let (header, payload) = signed.split_once('.').ok_or(TokenError::Malformed)?;
    if header.len() > HEADER_MAX_BYTES.div_ceil(3) * 4 {
        return Err(TokenError::Malformed);
    }
    let header = read_header(&decode_object(header)?)?;
    let claims = decode_object(payload)?;
    if signature.is_empty() || URL_SAFE_NO_PAD.decode(signature).is_err() {
        return Err(TokenError::Malformed);
    }
    Ok(Parts { signed, signature, header, claims })
}

fn decode_object(part: &str) -> Result<Map<String, Value>, TokenError> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed)?;
    strict::object(&bytes, Strictness::TOKEN).map_err(|_| TokenError::Malformed)
}

fn read_header(header: &Map<String, Value>) -> Result<Header, TokenError> {
    if REFUSED_MEMBERS.iter().any(|member| header.contains_key(*member)) {
        return Err(TokenError::Malformed);
    }
    let alg = header.get("alg").and_then(Value::as_str).ok_or(TokenError::Malformed)?;
    let kid = match header.get("kid") {
        None => None,
        Some(Value::String(kid)) if kid.len() <= KID_MAX_BYTES => Some(kid.clone()),
        Some(_) => return Err(TokenError::Malformed),
    };
    match header.get("typ") {
        None => {}
        Some(Value::String(typ)) if is_access_token(typ) => {}
        Some(Value::String(_)) => return Err(TokenError::WrongType),
        Some(_) => return Err(TokenError::Malformed),
    }
    Ok(Header { alg: alg.to_owned(), kid })
}

/// `typ` is a media type, compared without case, `application/` left out or not (RFC 7515 §4.1.9, RFC 9068 §4).
fn is_access_token(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    matches!(typ.strip_prefix("application/").unwrap_or(&typ), "jwt" | "at+jwt")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, payload: &str) -> String {
        format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
    }

    #[track_caller]
    fn refused(raw: &str, why: TokenError) {
        assert_eq!(split(raw).map(|_| ()), Err(why), "{raw}");
    }

    #[test]
    fn three_parts_are_taken_apart() {
        let raw = token(r#"{"alg":"RS256","kid":"k","x5t":"k","typ":"JWT"}"#, r#"{"iss":"a"}"#);
        let parts = split(&raw).unwrap();
        assert_eq!(parts.header, Header { alg: "RS256".into(), kid: Some("k".into()) });
        assert_eq!(parts.claims.get("iss"), Some(&Value::from("a")));
        assert_eq!(format!("{}.{}", parts.signed, parts.signature), raw);
    }

    #[test]
    fn other_shapes_are_refused() {
        let good = token(r#"{"alg":"RS256"}"#, "{}");
        let (head, rest) = good.split_once('.').unwrap();
        for raw in [
            String::new(),
            "a".into(),
            "a.b".into(),
            "..".into(),
            format!("{good}.x"),
            format!("{good}.x.y"),
            format!("{head}..sig"),
            format!(".{rest}"),
            format!("{head}=.{rest}"),
            format!("{good}="),
            format!("{good} "),
            format!(" {good}"),
            good.replace("c2ln", ""),
            good.replace("c2ln", "c2l+"),
            good.replace("c2ln", "c2lnYh"), // the last character has bits that stand for nothing
            ".".repeat(8000),
            "a".repeat(TOKEN_MAX_BYTES + 1),
        ] {
            refused(&raw, TokenError::Malformed);
        }
    }

    #[test]
    fn a_header_that_brings_its_own_rules_is_refused() {
        for member in REFUSED_MEMBERS {
            for value in ["null", "[]", "true", "\"x\"", "{}"] {
                refused(
                    &token(&format!(r#"{{"alg":"RS256","{member}":{value}}}"#), "{}"),
                    TokenError::Malformed,
                );
            }
        }
        for header in [
            "{}",
            r#"{"alg":1}"#,
            r#"{"alg":"RS256","alg":"none"}"#,
            r#"{"alg":"RS256","kid":7}"#,
            r#"{"alg":"RS256","typ":7}"#,
            r#"["RS256"]"#,
            "not json",
        ] {
            refused(&token(header, "{}"), TokenError::Malformed);
        }
        let long = "k".repeat(KID_MAX_BYTES + 1);
        refused(&token(&format!(r#"{{"alg":"RS256","kid":"{long}"}}"#), "{}"), TokenError::Malformed);
        let wide = "x".repeat(HEADER_MAX_BYTES);
        refused(&token(&format!(r#"{{"alg":"RS256","pad":"{wide}"}}"#), "{}"), TokenError::Malformed);
    }

    #[test]
    fn the_media_type_must_be_an_access_tokens() {
        for typ in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/JWT"] {
            assert!(split(&token(&format!(r#"{{"alg":"RS256","typ":"{typ}"}}"#), "{}")).is_ok(), "{typ}");
        }
        for typ in ["logout+jwt", "dpop+jwt", "JWE", "", "application/json", "application/application/jwt"] {
            refused(&token(&format!(r#"{{"alg":"RS256","typ":"{typ}"}}"#), "{}"), TokenError::WrongType);
        }
    }

    #[test]
    fn two_claims_of_one_name_are_refused() {
        refused(&token(r#"{"alg":"RS256"}"#, r#"{"sub":"a","sub":"b"}"#), TokenError::Malformed);
        refused(
            &token(r#"{"alg":"RS256"}"#, r#"{"realm_access":{"roles":[],"roles":["a"]}}"#),
            TokenError::Malformed,
        );
    }
}
