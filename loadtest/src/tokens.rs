//! A signing key made at start, its public key set, and tokens signed with it.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::{Result, echo};

/// The `aud` of every token here.
pub const AUDIENCE: &str = "loadtest";

/// Signs RS256, what identity providers send most.
pub struct Signer {
    key: KeyPair,
    issued: u64,
}

impl Signer {
    /// A new key of 2048 bits.
    pub fn new() -> Result<Self> {
        let key = KeyPair::generate(KeySize::Rsa2048).map_err(|_| "no RSA key could be made")?;
        Ok(Self { key, issued: SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() })
    }

    /// The public key set that the gateway fetches.
    pub fn jwks(&self) -> String {
        let public = self.key.public_key();
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({ "keys": [{
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": "load-1",
            "n": part(public.modulus().big_endian_without_leading_zero()),
            "e": part(public.exponent().big_endian_without_leading_zero()),
        }] })
        .to_string()
    }

    /// A token for this subject and role, of the size that identity providers' tokens have (about 1 KiB).
    pub fn token(&self, subject: usize, role: &str) -> Result<String> {
        let claims = json!({
            "iss": echo::ISSUER, "aud": AUDIENCE, "sub": format!("{subject:08}-5f1d-4d1e-9a4e-3f6b7c8d9e0f"),
            "iat": self.issued, "nbf": self.issued, "exp": self.issued + 3600,
            "jti": format!("{subject:08}-0c1b-4b52-a9d3-6d2f1e0a9b8c"), "azp": "loadtest-client",
            "scope": "openid email profile", "preferred_username": format!("user-{subject}@customer.example"),
            "realm_access": { "roles": ["default-roles-customer", "offline_access", "uma_authorization"] },
            "roles": ["staff", "reports", "north", "weekdays", "phone", role],
        });
        self.sign(&claims)
    }

    fn sign(&self, claims: &Value) -> Result<String> {
        let header = json!({ "alg": "RS256", "typ": "JWT", "kid": "load-1" });
        let message = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature)
            .map_err(|_| "a token could not be signed")?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
