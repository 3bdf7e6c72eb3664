//! Signing keys made at start, their public halves in the forms that the peers read, and tokens signed with them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::PublicKeyComponents;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use gatewarden::token::Algorithm;
use gatewarden::token::signer::Signer;
use serde_json::{Value, json};

use crate::{Result, echo};

/// The `aud` of every good token here.
pub const AUDIENCE: &str = "loadtest";

/// An identity provider with a key for RS256 and one for ES256.
pub struct Issuer {
    rsa: Signer,
    ec: Signer,
    issued: u64,
}

impl Issuer {
    /// New keys.
    pub fn new() -> Result<Self> {
        Ok(Self {
            rsa: Signer::generate(Algorithm::Rs256, "load-rs")?,
            ec: Signer::generate(Algorithm::Es256, "load-es")?,
            issued: SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
        })
    }

    /// The public key set that a gateway fetches.
    pub fn jwks(&self) -> String {
        json!({ "keys": [self.rsa.jwk(), self.ec.jwk()] }).to_string()
    }

    /// The public keys as PEM files (RS256's, ES256's) for who reads no key set.
    pub fn write_pem(&self, directory: &Path) -> Result<(PathBuf, PathBuf)> {
        let (rsa, ec) = (directory.join("rs256.pem"), directory.join("es256.pem"));
        fs::write(&rsa, pem(&rsa_der(&self.rsa.jwk())?))?;
        fs::write(&ec, pem(&p256_der(&self.ec.jwk())?))?;
        Ok((rsa, ec))
    }

    /// What a good token for this subject and role says; about 1 KiB with an RSA signature, as identity providers' have.
    pub fn claims(&self, subject: usize, role: &str) -> Value {
        json!({
            "iss": echo::ISSUER, "aud": AUDIENCE, "sub": format!("{subject:08}-5f1d-4d1e-9a4e-3f6b7c8d9e0f"),
            "iat": self.issued, "nbf": self.issued, "exp": self.issued + 7200,
            "jti": format!("{subject:08}-0c1b-4b52-a9d3-6d2f1e0a9b8c"), "azp": "loadtest-client",
            "scope": "openid email profile", "preferred_username": format!("user-{subject}@customer.example"),
            "realm_access": { "roles": ["default-roles-customer", "offline_access", "uma_authorization"] },
            "roles": ["staff", "reports", "north", "weekdays", "phone", role],
        })
    }

    /// Signs claims.
    pub fn sign(&self, algorithm: Algorithm, claims: &Value) -> Result<String> {
        let signer = if algorithm == Algorithm::Es256 { &self.ec } else { &self.rsa };
        Ok(signer.sign(claims)?)
    }

    /// A token for this subject and role, by RS256.
    pub fn token(&self, subject: usize, role: &str) -> Result<String> {
        self.sign(Algorithm::Rs256, &self.claims(subject, role))
    }

    /// Tokens of this many subjects, signed on all cores.
    pub fn tokens(&self, algorithm: Algorithm, count: usize, role: &str) -> Result<Vec<String>> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let share = count.div_ceil(cores).max(1);
        std::thread::scope(|scope| {
            let signing: Vec<_> = (0..count)
                .step_by(share)
                .map(|first| {
                    let subjects = first..count.min(first + share);
                    scope.spawn(move || {
                        let sign = |subject| self.sign(algorithm, &self.claims(subject, role));
                        subjects.map(sign).collect::<Result<Vec<_>>>()
                    })
                })
                .collect();
            let mut all = Vec::with_capacity(count);
            for part in signing {
                all.append(&mut part.join().map_err(|_| "signing panicked")??);
            }
            Ok(all)
        })
    }
}

/// A token that says that it needs no signature.
pub fn unsigned(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(&json!({ "alg": "none", "typ": "JWT" })), part(claims))
}

fn member(jwk: &Value, name: &str) -> Result<Vec<u8>> {
    let text = jwk.get(name).and_then(Value::as_str).ok_or("a key without its numbers")?;
    Ok(URL_SAFE_NO_PAD.decode(text)?)
}

fn rsa_der(jwk: &Value) -> Result<Vec<u8>> {
    let public = PublicKeyComponents { n: member(jwk, "n")?, e: member(jwk, "e")? };
    Ok(public.as_der().map_err(|_| "the RSA key can't be written")?.as_ref().to_vec())
}

/// What stands before the point in the `SubjectPublicKeyInfo` of every P-256 key.
const P256_PREFIX: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

fn p256_der(jwk: &Value) -> Result<Vec<u8>> {
    Ok([P256_PREFIX.to_vec(), member(jwk, "x")?, member(jwk, "y")?].concat())
}

fn pem(der: &[u8]) -> String {
    let mut text = "-----BEGIN PUBLIC KEY-----\n".to_owned();
    for (index, letter) in STANDARD.encode(der).chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            text.push('\n');
        }
        text.push(letter);
    }
    text + "\n-----END PUBLIC KEY-----\n"
}
