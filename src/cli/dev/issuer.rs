//! The development issuer: stands in for every identity provider that the rule files name.
//!
//! Its key is made at each start and is never written anywhere; its tokens live an hour at most. A gateway that was
//! not started by `dev` refuses them whatever keys it has been given, which [`token`](crate::token) sees to.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::persona::Persona;
use crate::request::Timestamp;
use crate::token::signer::{Signer, SignerError};
use crate::token::{Algorithm, DEV_ISSUER, DEV_KEY_PREFIX, Issuer, IssuerKind, KeyCell, KeySet, KeySetError};

/// The longest life of a token, in seconds.
pub(super) const LIFE_MAX_S: u64 = 3600;

/// One identity provider that is stood in for.
#[derive(Clone, Copy, Debug)]
pub(super) struct StandIn {
    /// The issuer's name in `gateway.toml`.
    pub name: &'static str,
    /// Its kind: what else its tokens say.
    pub kind: IssuerKind,
    /// What its tokens call themselves after [`DEV_ISSUER`].
    tail: &'static str,
    /// The audience that its tokens are for.
    pub audience: &'static str,
}

/// The identity providers of the demo applications.
pub(super) const STAND_INS: [StandIn; 2] = [
    // An Entra issuer is a template whose first path segment is the caller's tenant.
    StandIn {
        name: "entra",
        kind: IssuerKind::Entra,
        tail: "://entra/{tenantid}/v2.0",
        audience: "api://gatewarden",
    },
    StandIn { name: "keycloak", kind: IssuerKind::Keycloak, tail: "://keycloak", audience: "cim" },
];

impl StandIn {
    /// The expected `iss`, as `gateway.toml` says it.
    #[must_use]
    pub(super) fn issuer(&self) -> String {
        format!("{DEV_ISSUER}{}", self.tail)
    }
}

/// Signs tokens for personas.
pub(super) struct DevIssuer {
    signer: Signer,
    keys: Arc<KeyCell>,
}

/// Why there is no development issuer.
#[derive(Debug, thiserror::Error)]
pub(super) enum IssuerError {
    /// No key could be made.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// Its public half can't be used.
    #[error(transparent)]
    Keys(#[from] KeySetError),
}

impl DevIssuer {
    /// An issuer with a new random key.
    pub(super) fn new(now: Timestamp) -> Result<Self, IssuerError> {
        let kid = format!("{DEV_KEY_PREFIX}{}", Uuid::now_v7());
        let signer = Signer::generate(Algorithm::EdDsa, &kid)?;
        let keys = KeySet::parse_jwks(signer.jwks().as_bytes())?;
        Ok(Self { signer, keys: Arc::new(KeyCell::holding(keys, now)) })
    }

    /// What a gateway that takes its tokens trusts.
    #[must_use]
    pub(super) fn issuers(&self) -> Vec<Issuer> {
        let issuer = |stand_in: &StandIn| Issuer {
            name: stand_in.name.into(),
            kind: stand_in.kind,
            issuer: stand_in.issuer(),
            audience: vec![stand_in.audience.to_owned()],
            algorithms: vec![self.signer.algorithm()],
            leeway_s: 0,
            keys: self.keys.clone(),
        };
        STAND_INS.iter().map(issuer).collect()
    }

    /// Says that the keys are still the right ones: old keys aren't trusted, and nobody else will.
    pub(super) fn confirm(&self, now: Timestamp) {
        if let Ok(keys) = KeySet::parse_jwks(self.jwks().as_bytes()) {
            self.keys.publish(keys, now);
        }
    }

    /// The public half of its key, as a key set.
    #[must_use]
    pub(super) fn jwks(&self) -> String {
        self.signer.jwks()
    }

    /// A token for this persona, from `now` on.
    pub(super) fn mint(&self, persona: &Persona, now: Timestamp) -> Result<String, String> {
        let stand_in = STAND_INS.iter().find(|stand_in| stand_in.name == persona.issuer);
        let stand_in = stand_in.ok_or_else(|| format!("no stand-in for the issuer `{}`", persona.issuer))?;
        // The tenant that the token states, which the wish may have changed.
        let tenant = persona.claims.get("tid").and_then(Value::as_str).or(persona.tenant.as_deref());
        let mut claims = persona.claims.clone();
        claims.extend(Map::from_iter([
            ("iss".to_owned(), json!(stand_in.issuer().replace("{tenantid}", tenant.unwrap_or_default()))),
            ("iat".to_owned(), json!(now.0)),
            ("nbf".to_owned(), json!(now.0)),
            ("exp".to_owned(), json!(now.0 + LIFE_MAX_S)),
            ("jti".to_owned(), json!(Uuid::now_v7().to_string())),
        ]));
        self.signer.sign(&Value::Object(claims)).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{CacheLimits, DevTokens, STALE_AFTER_S, TokenError, Verifier};

    const NOW: Timestamp = Timestamp(1_800_000_000);

    fn new() -> DevIssuer {
        DevIssuer::new(NOW).unwrap()
    }

    fn verifier(of: &DevIssuer, dev: DevTokens) -> Verifier {
        Verifier::new(of.issuers(), dev, CacheLimits::default()).unwrap()
    }

    fn personas() -> Vec<Persona> {
        let claims = |value: Value| value.as_object().unwrap().clone();
        let tid = "452fb554-60fc-49fc-b403-9cabece4d68c";
        vec![
            Persona {
                issuer: "entra".into(),
                tenant: Some(tid.into()),
                claims: claims(json!({ "ver": "2.0", "aud": "api://gatewarden", "tid": tid, "oid": "o",
                    "sub": "ann", "azp": "x", "scp": "access_as_user" })),
            },
            Persona {
                issuer: "keycloak".into(),
                tenant: None,
                claims: claims(json!({ "typ": "Bearer", "aud": "cim", "sub": "sara" })),
            },
        ]
    }

    #[test]
    fn a_gateway_started_by_dev_takes_its_tokens_and_no_other_does() {
        let issuer = new();
        for persona in personas() {
            let token = issuer.mint(&persona, NOW).unwrap();
            let accepted = verifier(&issuer, DevTokens::Accepted).verify(&token, NOW);
            assert_eq!(&**accepted.unwrap().issuer(), persona.issuer);
            // The key set is configured, and still.
            let refused = verifier(&issuer, DevTokens::Refused).verify(&token, NOW).unwrap_err();
            assert_eq!(refused.error, TokenError::DevToken);
        }
    }

    #[test]
    fn its_name_alone_or_its_key_alone_is_refused_too() {
        let issuer = new();
        let verifier = verifier(&issuer, DevTokens::Refused);
        let with = |header: Value, iss: &str| {
            let claims =
                json!({ "iss": iss, "typ": "Bearer", "aud": "cim", "sub": "sara", "exp": NOW.0 + 60 });
            issuer.signer.sign_parts(&header.to_string(), &claims.to_string()).unwrap()
        };
        let unnamed = with(json!({ "alg": "EdDSA" }), &STAND_INS[1].issuer());
        let disguised = with(json!({ "alg": "EdDSA", "kid": issuer.signer.kid() }), "https://sso.example");
        for token in [unnamed, disguised] {
            assert_eq!(verifier.verify(&token, NOW).unwrap_err().error, TokenError::DevToken);
        }
    }

    #[test]
    fn a_token_lives_an_hour_at_most() {
        let issuer = new();
        let verifier = verifier(&issuer, DevTokens::Accepted);
        for persona in personas() {
            let token = verifier.verify(&issuer.mint(&persona, NOW).unwrap(), NOW).unwrap();
            assert!(token.expires().0 <= NOW.0 + 3600);
        }
    }

    #[test]
    fn a_gateway_that_runs_for_days_still_takes_them() {
        let issuer = new();
        let verifier = verifier(&issuer, DevTokens::Accepted);
        let later = Timestamp(NOW.0 + STALE_AFTER_S + 1);
        let token = issuer.mint(&personas()[1], later).unwrap();
        assert_eq!(verifier.verify(&token, later).unwrap_err().error, TokenError::KeysUnavailable);
        issuer.confirm(later);
        assert!(verifier.verify(&token, later).is_ok());
    }

    #[test]
    fn every_start_has_a_key_of_its_own() {
        let (one, other) = (new(), new());
        assert_ne!(one.jwks(), other.jwks());
        let token = other.mint(&personas()[1], NOW).unwrap();
        assert!(verifier(&one, DevTokens::Accepted).verify(&token, NOW).is_err());
        assert!(!one.jwks().contains("\"d\""), "the private half is in the key set");
    }
}
