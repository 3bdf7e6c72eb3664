//! An issuer's public keys: a parsed set, and the cell that holds the current one across reloads.
//!
//! Nothing here fetches. `control::keys` reads a key set from a file or an identity provider and publishes it into
//! the [`KeyCell`]; verification only ever looks into the cell, without a lock and without waiting.

mod weak;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::{ArcSwapOption, Guard};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};

use super::TokenError;
use super::algorithm::{Algorithm, KeyType};
use crate::json::strict::{self, Strictness};
use crate::request::Timestamp;

/// Most keys that a set may hold.
pub const KEYS_MAX: usize = 100;
/// How long the last good key set is trusted when no newer one can be had, in seconds.
pub const STALE_AFTER_S: u64 = 24 * 3600;

const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Why bytes are no key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Not a JSON object with an array `keys`, or one that can be read in two ways.
    #[error("not a JSON Web Key Set")]
    NotAKeySet,
    /// More than [`KEYS_MAX`] keys.
    #[error("more than {KEYS_MAX} keys")]
    TooMany,
    /// No key that a signature could be checked with.
    #[error("no key that signatures can be checked with")]
    NoUsableKey,
}

/// One public key.
#[derive(Clone)]
pub struct Key {
    id: Option<String>,
    key_type: KeyType,
    /// `alg` of the key, where it says one: then it is good for that one only.
    algorithm: Option<Algorithm>,
    /// The one issuer, or template, that it may sign for, where it says one (Entra).
    issuer: Option<String>,
    /// The public numbers, to compare two sets.
    material: Vec<u8>,
    decoding: DecodingKey,
}

impl Key {
    /// The one issuer, or template, that it may sign for.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        algorithm.fits(self.key_type) && self.algorithm.is_none_or(|only| only == algorithm)
    }

    /// Whether `signature` (base64url) over `signed` was made with this key's private half.
    pub(super) fn has_signed(&self, signed: &[u8], signature: &str, algorithm: Algorithm) -> bool {
        let check = || jsonwebtoken::crypto::verify(signature, signed, &self.decoding, algorithm.jose());
        self.fits(algorithm) && check().unwrap_or(false)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
            && self.key_type == other.key_type
            && self.algorithm == other.algorithm
            && self.issuer == other.issuer
            && self.material == other.material
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).field("type", &self.key_type).finish_non_exhaustive()
    }
}

/// The keys that an issuer signs with at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<Key>,
}

impl KeySet {
    /// Reads a JSON Web Key Set (RFC 7517 §5). Keys for another purpose, of another type, too weak, or malformed
    /// are left out; symmetric and private keys are never read.
    pub fn parse_jwks(bytes: &[u8]) -> Result<Self, KeySetError> {
        let set = strict::object(bytes, Strictness::TOKEN).map_err(|_| KeySetError::NotAKeySet)?;
        let listed = set.get("keys").and_then(Value::as_array).ok_or(KeySetError::NotAKeySet)?;
        if listed.len() > KEYS_MAX {
            return Err(KeySetError::TooMany);
        }
        let mut keys: Vec<Key> = listed.iter().filter_map(Value::as_object).filter_map(read_key).collect();
        if keys.is_empty() {
            return Err(KeySetError::NoUsableKey);
        }
        // Providers list the same keys in any order; only another key makes it another set.
        keys.sort_by(|a, b| (&a.id, &a.material).cmp(&(&b.id, &b.material)));
        Ok(Self { keys })
    }

    /// How many keys are usable.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none; never so for a parsed set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys that a token of this `kid` and algorithm may be signed with. Without `kid` the set must leave no
    /// choice. A second key of the same id is rare, but providers do reuse an id for another type or issuer.
    pub fn candidates(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<impl Iterator<Item = &Key>, TokenError> {
        let named = move |key: &&Key| kid.is_none() || key.id.as_deref() == kid;
        let fitting = move |key: &&Key| key.fits(algorithm);
        let found = self.keys.iter().filter(named).filter(fitting).count();
        match (kid, found) {
            (Some(_), 0) if self.keys.iter().any(|key| named(&key)) => Err(TokenError::Algorithm),
            (_, 0) => Err(TokenError::UnknownKey),
            (None, 2..) => Err(TokenError::UnknownKey),
            _ => Ok(self.keys.iter().filter(named).filter(fitting)),
        }
    }
}

fn read_key(jwk: &Map<String, Value>) -> Option<Key> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    // A key whose private half is published proves nothing.
    if jwk.contains_key("d") || jwk.contains_key("k") || !is_for_signatures(jwk) {
        return None;
    }
    let id = optional_text(jwk, "kid")?;
    let issuer = optional_text(jwk, "issuer")?;
    let algorithm = match optional_text(jwk, "alg")? {
        None => None,
        Some(name) => Some(name.parse::<Algorithm>().ok()?),
    };
    let (key_type, material, decoding) = match (text("kty")?, text("crv")) {
        ("RSA", None) => read_rsa(text("n")?, text("e")?)?,
        ("EC", Some("P-256")) => read_ec(KeyType::P256, 32, text("x")?, text("y")?)?,
        ("EC", Some("P-384")) => read_ec(KeyType::P384, 48, text("x")?, text("y")?)?,
        ("OKP", Some("Ed25519")) => read_ed25519(text("x")?)?,
        _ => return None,
    };
    if algorithm.is_some_and(|only| !only.fits(key_type)) {
        return None;
    }
    Some(Key { id, key_type, algorithm, issuer, material, decoding })
}

/// Absent is `Some(None)`; another type than text is `None`.
fn optional_text(jwk: &Map<String, Value>, name: &str) -> Option<Option<String>> {
    match jwk.get(name) {
        None => Some(None),
        Some(Value::String(text)) => Some(Some(text.clone())),
        Some(_) => None,
    }
}

fn is_for_signatures(jwk: &Map<String, Value>) -> bool {
    let used = jwk.get("use").is_none_or(|usage| usage == "sig");
    let operation = match jwk.get("key_ops") {
        None => true,
        Some(Value::Array(operations)) => operations.iter().any(|operation| operation == "verify"),
        Some(_) => false,
    };
    used && operation
}

fn read_rsa(n: &str, e: &str) -> Option<(KeyType, Vec<u8>, DecodingKey)> {
    let modulus = number(n)?;
    let exponent = number(e)?;
    let leading = usize::try_from(modulus.first()?.leading_zeros()).ok()?;
    let bits = modulus.len() * 8 - leading;
    let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
    let exponent_fits = odd(&exponent) && exponent.len() <= 4 && exponent != [1];
    if !RSA_BITS.contains(&bits) || !odd(&modulus) || !exponent_fits || weak::is_factorable(&modulus) {
        return None;
    }
    let decoding = DecodingKey::from_rsa_raw_components(&modulus, &exponent);
    Some((KeyType::Rsa, [modulus, exponent].concat(), decoding))
}

/// A big-endian number without leading zero bytes, which some providers add.
fn number(text: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    Some(bytes.into_iter().skip_while(|byte| *byte == 0).collect())
}

fn read_ec(key_type: KeyType, width: usize, x: &str, y: &str) -> Option<(KeyType, Vec<u8>, DecodingKey)> {
    let point = [URL_SAFE_NO_PAD.decode(x).ok()?, URL_SAFE_NO_PAD.decode(y).ok()?];
    if point.iter().any(|coordinate| coordinate.len() != width) {
        return None;
    }
    Some((key_type, point.concat(), DecodingKey::from_ec_components(x, y).ok()?))
}

fn read_ed25519(x: &str) -> Option<(KeyType, Vec<u8>, DecodingKey)> {
    let point = URL_SAFE_NO_PAD.decode(x).ok()?;
    if point.len() != 32 {
        return None;
    }
    Some((KeyType::Ed25519, point, DecodingKey::from_ed_components(x).ok()?))
}

/// A key set and its place in the cell's history.
#[derive(Debug)]
pub struct HeldKeys {
    /// The keys.
    pub keys: KeySet,
    /// Which set this is: another number means other keys.
    pub generation: u64,
}

/// How an issuer's keys are doing, for metrics and readiness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyStatus {
    /// When a good set was last had.
    pub last_success: Option<Timestamp>,
    /// Attempts that failed since the start.
    pub failures: u64,
    /// Usable keys in the current set.
    pub keys: usize,
}

/// The current keys of one issuer. Snapshots share it by `Arc`, so a reload keeps the keys that were fetched.
///
/// One task publishes; everyone else only looks.
#[derive(Debug, Default)]
pub struct KeyCell {
    held: ArcSwapOption<HeldKeys>,
    /// Seconds since the epoch of the last success; zero is never.
    fetched: AtomicU64,
    failures: AtomicU64,
    wanted: AtomicBool,
}

impl KeyCell {
    /// A cell without keys: every token is answered with [`TokenError::KeysUnavailable`].
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// A cell that starts with keys.
    #[must_use]
    pub fn holding(keys: KeySet, now: Timestamp) -> Self {
        let cell = Self::empty();
        cell.publish(keys, now);
        cell
    }

    /// Makes `keys` the current set. The same set again only counts as fresh.
    pub fn publish(&self, keys: KeySet, now: Timestamp) {
        let held = self.held.load();
        let generation = held.as_ref().map_or(1, |held| held.generation + 1);
        if held.as_ref().is_none_or(|held| held.keys != keys) {
            self.held.store(Some(Arc::new(HeldKeys { keys, generation })));
        }
        self.fetched.store(now.0, Ordering::Release);
    }

    /// Counts an attempt that brought no keys; the last good set stays.
    pub fn note_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// The current keys, if there are any and they are not too old to be trusted.
    pub fn current(&self, now: Timestamp) -> Result<Guard<Option<Arc<HeldKeys>>>, TokenError> {
        if now.0.saturating_sub(self.fetched.load(Ordering::Acquire)) > STALE_AFTER_S {
            return Err(TokenError::KeysUnavailable);
        }
        let held = self.held.load();
        if held.is_some() { Ok(held) } else { Err(TokenError::KeysUnavailable) }
    }

    /// Says that a token named a key that isn't in the set: it may be new.
    pub fn want_refresh(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    /// Whether someone wanted newer keys since the last call.
    pub fn take_wanted(&self) -> bool {
        self.wanted.swap(false, Ordering::Relaxed)
    }

    /// How the keys are doing.
    #[must_use]
    pub fn status(&self) -> KeyStatus {
        let fetched = self.fetched.load(Ordering::Acquire);
        KeyStatus {
            last_success: (fetched > 0).then_some(Timestamp(fetched)),
            failures: self.failures.load(Ordering::Relaxed),
            keys: self.held.load().as_ref().map_or(0, |held| held.keys.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::token::signer::Signer;

    fn parse(jwks: &Value) -> Result<KeySet, KeySetError> {
        KeySet::parse_jwks(jwks.to_string().as_bytes())
    }

    fn only(jwk: &Value) -> Result<usize, KeySetError> {
        parse(&json!({ "keys": [jwk] })).map(|set| set.len())
    }

    fn with(jwk: &Value, name: &str, value: Value) -> Value {
        let mut changed = jwk.clone();
        changed[name] = value;
        changed
    }

    #[test]
    fn every_type_of_key_is_read() {
        for algorithm in Algorithm::ALL {
            let jwk = Signer::generate(algorithm, "k").unwrap().jwk();
            assert_eq!(only(&jwk), Ok(1), "{algorithm}");
        }
    }

    #[test]
    fn what_cannot_check_a_signature_is_left_out() {
        let rsa = Signer::generate(Algorithm::Rs256, "k").unwrap().jwk();
        let ec = Signer::generate(Algorithm::Es256, "k").unwrap().jwk();
        let ed = Signer::generate(Algorithm::EdDsa, "k").unwrap().jwk();
        let short = URL_SAFE_NO_PAD.encode([0xc1; 128]);
        let even = URL_SAFE_NO_PAD.encode([0xc2; 256]);
        let huge = URL_SAFE_NO_PAD.encode([0xc1; 1025]);
        for jwk in [
            json!({"kty": "oct", "kid": "k", "k": "c2VjcmV0c2VjcmV0"}),
            json!({"kty": "RSA", "kid": "k"}),
            json!({"kid": "k"}),
            with(&rsa, "use", json!("enc")),
            with(&rsa, "use", json!(7)),
            with(&rsa, "key_ops", json!(["encrypt"])),
            with(&rsa, "alg", json!("RSA-OAEP")),
            with(&rsa, "alg", json!("HS256")),
            with(&rsa, "alg", json!("ES256")),
            with(&rsa, "kid", json!(7)),
            with(&rsa, "d", json!("AQAB")),
            with(&rsa, "e", json!("AQ")),
            with(&rsa, "e", json!("AAAA")),
            with(&rsa, "n", json!(short)),
            with(&rsa, "n", json!(even)),
            with(&rsa, "n", json!(huge)),
            with(&rsa, "n", json!("AAAA")),
            with(&ec, "crv", json!("P-521")),
            with(&ec, "crv", json!("P-384")),
            with(&ec, "crv", json!("secp256k1")),
            with(&ec, "x", json!("AAAA")),
            with(&ed, "crv", json!("Ed448")),
            with(&ed, "x", json!("AAAA")),
        ] {
            assert_eq!(only(&jwk), Err(KeySetError::NoUsableKey), "{jwk}");
        }
        assert_eq!(parse(&json!({ "keys": [{"kty": "oct"}, 7, rsa] })).unwrap().len(), 1);
    }

    #[test]
    fn the_set_itself_is_bounded() {
        for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#] {
            assert_eq!(KeySet::parse_jwks(text.as_bytes()), Err(KeySetError::NotAKeySet), "{text}");
        }
        let ed = Signer::generate(Algorithm::EdDsa, "k").unwrap().jwk();
        assert_eq!(parse(&json!({ "keys": vec![ed; KEYS_MAX + 1] })), Err(KeySetError::TooMany));
        assert_eq!(parse(&json!({ "keys": [] })), Err(KeySetError::NoUsableKey));
    }

    #[test]
    fn a_token_without_key_id_needs_a_set_without_choice() {
        let (one, two) = (
            Signer::generate(Algorithm::EdDsa, "one").unwrap().jwk(),
            Signer::generate(Algorithm::EdDsa, "two").unwrap().jwk(),
        );
        let ec = Signer::generate(Algorithm::Es256, "ec").unwrap().jwk();
        let count = |set: &KeySet, kid, algorithm| set.candidates(kid, algorithm).map(Iterator::count);
        let both = parse(&json!({ "keys": [one, two, ec] })).unwrap();
        assert_eq!(count(&both, None, Algorithm::EdDsa), Err(TokenError::UnknownKey));
        assert_eq!(count(&both, None, Algorithm::Es256), Ok(1));
        assert_eq!(count(&both, None, Algorithm::Rs256), Err(TokenError::UnknownKey));
        assert_eq!(count(&both, Some("one"), Algorithm::EdDsa), Ok(1));
        assert_eq!(count(&both, Some("one"), Algorithm::Es256), Err(TokenError::Algorithm));
        assert_eq!(count(&both, Some("ONE"), Algorithm::EdDsa), Err(TokenError::UnknownKey));
        assert_eq!(count(&both, Some(""), Algorithm::EdDsa), Err(TokenError::UnknownKey));
    }

    #[test]
    fn only_other_keys_make_another_generation() {
        let (one, two) = (
            Signer::generate(Algorithm::EdDsa, "one").unwrap().jwk(),
            Signer::generate(Algorithm::EdDsa, "two").unwrap().jwk(),
        );
        let generation =
            |cell: &KeyCell, now| cell.current(Timestamp(now)).map(|held| held.as_ref().unwrap().generation);
        let cell = KeyCell::empty();
        assert_eq!(generation(&cell, 5), Err(TokenError::KeysUnavailable));
        cell.publish(parse(&json!({ "keys": [one, two] })).unwrap(), Timestamp(10));
        cell.publish(parse(&json!({ "keys": [two, one] })).unwrap(), Timestamp(20));
        assert_eq!(generation(&cell, 20), Ok(1));
        cell.publish(parse(&json!({ "keys": [two] })).unwrap(), Timestamp(30));
        assert_eq!(generation(&cell, 30), Ok(2));
        assert_eq!(generation(&cell, 30 + STALE_AFTER_S), Ok(2));
        assert_eq!(generation(&cell, 31 + STALE_AFTER_S), Err(TokenError::KeysUnavailable));
        cell.note_failure();
        assert_eq!(cell.status(), KeyStatus { last_success: Some(Timestamp(30)), failures: 1, keys: 1 });
    }
}
