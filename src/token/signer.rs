//! Makes keys and signs tokens: for the development issuer (`dev`, `token dev`) and for tests, for nothing else.
//!
//! No token that a gateway serves with is made here; a gateway only checks. [`Verifier`](super::Verifier) refuses
//! what the development issuer signs unless it is told otherwise when it is built. This is the one place of the
//! pure half that draws randomness, from the operating system, when a key is generated.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
    RSA_PSS_SHA384, RSA_PSS_SHA512, RsaKeyPair, RsaSignatureEncoding,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::algorithm::{Algorithm, KeyType};

/// The library could not make a key or a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key can't be made or used")]
pub struct SignerError;

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

/// A private key with the id and the algorithm that its tokens name.
pub struct Signer {
    kid: String,
    algorithm: Algorithm,
    pair: Pair,
}

impl Signer {
    /// A new random key.
    pub fn generate(algorithm: Algorithm, kid: &str) -> Result<Self, SignerError> {
        let ec = |curve: &'static EcdsaSigningAlgorithm| EcdsaKeyPair::generate(curve).map(Pair::Ec);
        let pair = match algorithm.key_type() {
            KeyType::Rsa => RsaKeyPair::generate(KeySize::Rsa2048).map(Pair::Rsa),
            KeyType::P256 => ec(&ECDSA_P256_SHA256_FIXED_SIGNING),
            KeyType::P384 => ec(&ECDSA_P384_SHA384_FIXED_SIGNING),
            KeyType::Ed25519 => Ed25519KeyPair::generate().map(Pair::Ed),
        };
        Ok(Self { kid: kid.to_owned(), algorithm, pair: pair.map_err(|_| SignerError)? })
    }

    /// The Ed25519 key of a seed, so that two processes can share one.
    pub fn from_seed(seed: &[u8; 32], kid: &str) -> Result<Self, SignerError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| SignerError)?;
        Ok(Self { kid: kid.to_owned(), algorithm: Algorithm::EdDsa, pair: Pair::Ed(pair) })
    }

    /// The id that its tokens name.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The algorithm that its tokens name.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public half as a JSON Web Key.
    #[must_use]
    pub fn jwk(&self) -> Value {
        let mut jwk = match &self.pair {
            Pair::Rsa(pair) => {
                let public = pair.public_key();
                json!({
                    "kty": "RSA",
                    "n": encode(public.modulus().big_endian_without_leading_zero()),
                    "e": encode(public.exponent().big_endian_without_leading_zero()),
                })
            }
            Pair::Ec(pair) => {
                // 0x04, then both coordinates.
                let point = pair.public_key().as_ref().get(1..).unwrap_or_default();
                let (x, y) = point.split_at(point.len() / 2);
                let curve = if point.len() == 64 { "P-256" } else { "P-384" };
                json!({ "kty": "EC", "crv": curve, "x": encode(x), "y": encode(y) })
            }
            Pair::Ed(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref()) })
            }
        };
        if let Value::Object(members) = &mut jwk {
            members.insert("kid".into(), self.kid.as_str().into());
            members.insert("use".into(), "sig".into());
            members.insert("alg".into(), self.algorithm.as_str().into());
        }
        jwk
    }

    /// The public half alone, as a JSON Web Key Set.
    #[must_use]
    pub fn jwks(&self) -> String {
        json!({ "keys": [self.jwk()] }).to_string()
    }

    /// A signed token with these claims and an ordinary header.
    pub fn sign(&self, claims: &Value) -> Result<String, SignerError> {
        let header = json!({ "alg": self.algorithm.as_str(), "kid": self.kid, "typ": "JWT" });
        self.sign_parts(&header.to_string(), &claims.to_string())
    }

    /// A token of any header and payload text, rightly signed: what a hostile or broken issuer could send.
    pub fn sign_parts(&self, header: &str, payload: &str) -> Result<String, SignerError> {
        let signed = format!("{}.{}", encode(header.as_bytes()), encode(payload.as_bytes()));
        let signature = self.signature(signed.as_bytes())?;
        Ok(format!("{signed}.{}", encode(&signature)))
    }

    fn signature(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ed(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::Ec(pair) => {
                pair.sign(&random, message).map(|made| made.as_ref().to_vec()).map_err(|_| SignerError)
            }
            Pair::Rsa(pair) => {
                let padding = padding(self.algorithm).ok_or(SignerError)?;
                let mut made = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut made).map_err(|_| SignerError)?;
                Ok(made)
            }
        }
    }
}

fn padding(algorithm: Algorithm) -> Option<&'static RsaSignatureEncoding> {
    match algorithm {
        Algorithm::Rs256 => Some(&RSA_PKCS1_SHA256),
        Algorithm::Rs384 => Some(&RSA_PKCS1_SHA384),
        Algorithm::Rs512 => Some(&RSA_PKCS1_SHA512),
        Algorithm::Ps256 => Some(&RSA_PSS_SHA256),
        Algorithm::Ps384 => Some(&RSA_PSS_SHA384),
        Algorithm::Ps512 => Some(&RSA_PSS_SHA512),
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => None,
    }
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_one_key() {
        let (one, same) =
            (Signer::from_seed(&[7; 32], "dev-1").unwrap(), Signer::from_seed(&[7; 32], "dev-1").unwrap());
        let claims = json!({ "sub": "ada" });
        assert_eq!(one.jwks(), same.jwks());
        assert_eq!(one.sign(&claims), same.sign(&claims));
        assert_ne!(one.jwks(), Signer::from_seed(&[8; 32], "dev-1").unwrap().jwks());
    }

    #[test]
    fn the_public_half_holds_nothing_private() {
        for algorithm in Algorithm::ALL {
            let jwk = Signer::generate(algorithm, "k").unwrap().jwk();
            for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
                assert!(jwk.get(private).is_none(), "{algorithm} {private}");
            }
        }
    }
}
