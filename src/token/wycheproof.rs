//! Project Wycheproof's signatures through the keys that tokens are judged with: what is valid is accepted, what isn't is
//! refused, and so is what is valid by another measure than the algorithm's (RFC 7518 §3).
//!
//! Their messages are no tokens, so they come in where a token's signature is checked: a JSON Web Key in a set, a
//! choice by id and algorithm, and the signature in base64url.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use wycheproof::{EllipticCurve, HashFunction, TestResult, ecdsa, eddsa, rsa_pkcs1_verify, rsa_pss_verify};

use super::{Algorithm, KeySet};

/// How many vectors had which end.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    accepted: usize,
    refused: usize,
    /// Refused though they are valid, for another hash, salt or curve than the algorithm has; once per algorithm.
    foreign: usize,
}

/// What a group of vectors is for, from here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Measure {
    Ours,
    Another,
}

/// One vector.
struct Case<'v> {
    name: String,
    message: &'v [u8],
    signature: &'v [u8],
    result: TestResult,
}

impl Tally {
    /// Judges a vector with a set of that one key. `acceptable` ones are those that a strict verifier may refuse; this one
    /// does.
    fn judge(&mut self, jwk: &Value, algorithm: Algorithm, measure: Measure, case: &Case<'_>) {
        // What is invalid by another measure may well be valid by ours.
        if measure == Measure::Another && case.result != TestResult::Valid {
            return;
        }
        let accepted = has_signed(jwk, algorithm, case);
        let expected = measure == Measure::Ours && case.result == TestResult::Valid;
        assert_eq!(accepted, expected, "{} {algorithm} {:?}", case.name, case.result);
        match (measure, accepted) {
            (Measure::Another, _) => self.foreign += 1,
            (Measure::Ours, true) => self.accepted += 1,
            (Measure::Ours, false) => self.refused += 1,
        }
    }
}

fn has_signed(jwk: &Value, algorithm: Algorithm, case: &Case<'_>) -> bool {
    let Ok(set) = KeySet::parse_jwks(json!({ "keys": [jwk] }).to_string().as_bytes()) else { return false };
    let signature = URL_SAFE_NO_PAD.encode(case.signature);
    let candidates = set.candidates(Some("w"), algorithm);
    candidates.is_ok_and(|mut keys| keys.any(|key| key.has_signed(case.message, &signature, algorithm)))
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn rsa(modulus: &[u8], exponent: &[u8]) -> Value {
    json!({ "kty": "RSA", "kid": "w", "n": encode(modulus), "e": encode(exponent) })
}

/// A point as 0x04, x, y.
fn ec(curve: &str, point: &[u8]) -> Value {
    let (x, y) = point[1..].split_at(point.len() / 2);
    json!({ "kty": "EC", "kid": "w", "crv": curve, "x": encode(x), "y": encode(y) })
}

#[test]
fn rsa_signatures_with_the_old_padding() {
    let mut tally = Tally::default();
    for name in rsa_pkcs1_verify::TestName::all() {
        for group in rsa_pkcs1_verify::TestSet::load(name).unwrap().test_groups {
            let jwk = rsa(&group.key.n, &group.key.e);
            for test in &group.tests {
                let name = format!("{name:?} {}", test.tc_id);
                let case = Case { name, message: &test.msg, signature: &test.sig, result: test.result };
                for (algorithm, hash) in [
                    (Algorithm::Rs256, HashFunction::Sha2_256),
                    (Algorithm::Rs384, HashFunction::Sha2_384),
                    (Algorithm::Rs512, HashFunction::Sha2_512),
                ] {
                    let measure = if group.hash == hash { Measure::Ours } else { Measure::Another };
                    tally.judge(&jwk, algorithm, measure, &case);
                }
            }
        }
    }
    assert_eq!(tally, Tally { accepted: 89, refused: 3017, foreign: 430 });
}

#[test]
fn rsa_signatures_with_the_new_padding() {
    let mut tally = Tally::default();
    for name in rsa_pss_verify::TestName::all() {
        for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
            let jwk = rsa(&group.key.n, &group.key.e);
            for test in &group.tests {
                let name = format!("{name:?} {}", test.tc_id);
                let case = Case { name, message: &test.msg, signature: &test.sig, result: test.result };
                for (algorithm, hash, salt) in [
                    (Algorithm::Ps256, HashFunction::Sha2_256, 32),
                    (Algorithm::Ps384, HashFunction::Sha2_384, 48),
                    (Algorithm::Ps512, HashFunction::Sha2_512, 64),
                ] {
                    let fits = group.hash == hash
                        && group.mgf_hash.as_ref() == Some(&hash)
                        && group.salt_size == salt;
                    let measure = if fits { Measure::Ours } else { Measure::Another };
                    tally.judge(&jwk, algorithm, measure, &case);
                }
            }
        }
    }
    assert_eq!(tally, Tally { accepted: 775, refused: 411, foreign: 6449 });
}

#[test]
fn signatures_on_curves() {
    let mut tally = Tally::default();
    for name in ecdsa::TestName::all() {
        for group in ecdsa::TestSet::load(name).unwrap().test_groups {
            // Whatever the curve is, it is said to be one of ours too.
            for (algorithm, curve, hash, label) in [
                (Algorithm::Es256, EllipticCurve::Secp256r1, HashFunction::Sha2_256, "P-256"),
                (Algorithm::Es384, EllipticCurve::Secp384r1, HashFunction::Sha2_384, "P-384"),
            ] {
                let jwk = ec(label, &group.key.key);
                // The other spelling of a signature, DER, is none here.
                let is_plain = format!("{name:?}").ends_with("P1363");
                let fits = group.key.curve == curve && group.hash == hash && is_plain;
                let measure = if fits { Measure::Ours } else { Measure::Another };
                for test in &group.tests {
                    let name = format!("{name:?} {}", test.tc_id);
                    let case = Case { name, message: &test.msg, signature: &test.sig, result: test.result };
                    tally.judge(&jwk, algorithm, measure, &case);
                }
            }
        }
    }
    assert_eq!(tally, Tally { accepted: 366, refused: 176, foreign: 27106 });
}

#[test]
fn signatures_on_edwards_curves() {
    let mut tally = Tally::default();
    for name in eddsa::TestName::all() {
        for group in eddsa::TestSet::load(name).unwrap().test_groups {
            let jwk = json!({ "kty": "OKP", "kid": "w", "crv": "Ed25519", "x": encode(&group.key.pk) });
            let measure = match name {
                eddsa::TestName::Ed25519 => Measure::Ours,
                eddsa::TestName::Ed448 => Measure::Another,
            };
            for test in &group.tests {
                let name = format!("{name:?} {}", test.tc_id);
                let case = Case { name, message: &test.msg, signature: &test.sig, result: test.result };
                tally.judge(&jwk, Algorithm::EdDsa, measure, &case);
            }
        }
    }
    assert_eq!(tally, Tally { accepted: 88, refused: 63, foreign: 17 });
}
