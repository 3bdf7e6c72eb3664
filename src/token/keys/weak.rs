//! RSA moduli whose primes were made by a library with a known fault, so that anyone can find them (CVE-2017-15361, "ROCA").
//!
//! Such a prime is a power of 65537 modulo many small primes, and so is the product of two. That is rare enough by chance
//! (one in 2³⁰) to refuse a key for it.

/// The small primes that tell.
const SMALL_PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103,
    107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

/// Whether the private half of a key can be found from this big-endian modulus.
pub(super) fn is_factorable(modulus: &[u8]) -> bool {
    SMALL_PRIMES.iter().all(|prime| {
        let rest = modulus.iter().fold(0, |rest, byte| (rest << 8 | u32::from(*byte)) % prime);
        is_power(rest, *prime)
    })
}

/// Whether a number is a power of 65537 modulo a prime.
fn is_power(number: u32, prime: u32) -> bool {
    let mut power = 1;
    for _ in 0..prime {
        if power == number {
            return true;
        }
        power = power * 65537 % prime;
    }
    false
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::super::super::Algorithm;
    use super::super::{KeySet, KeySetError};
    use super::*;
    use crate::token::signer::Signer;

    /// A key of Project Wycheproof, made by the faulty library.
    const FAULTY: &str = "AanFpofbj7KjD4Lf-N2hVMKR7yewSyXhhbirIMTGpfYEhZ_lnt5UoK98DnKIgArXGTu3MaW_HhFw16HGaTDUHqPrId7fe4r1\
        1CqRw09yBFuW79V8sYIwHdzCaWflUI6auImYbVfoN9_nD5n8N8SY9DwXw7mwZM9wREPXoDPgOoIWl6q_MPsp7n0zs3Z5ZaiQ\
        WOOzl1S9OhwAfSiiOwz6efnXEaxuTEtPd7BjSx7NaFka8Dx9U7YqXy2RFj1O9PjyaDGuRh7YXsX3iMUSP_wSyHQg_c_qHRtK\
        UsNSGCT7OZg0hzm2KphtjnayKJvC64vAbROBR4Ubg6Bxg9IQVZ-QYyE";

    #[test]
    fn a_key_that_anyone_can_find_is_left_out() {
        assert!(is_factorable(&URL_SAFE_NO_PAD.decode(FAULTY).unwrap()));
        let set = json!({ "keys": [{"kty": "RSA", "kid": "k", "n": FAULTY, "e": "AQAB"}] }).to_string();
        assert_eq!(KeySet::parse_jwks(set.as_bytes()), Err(KeySetError::NoUsableKey));
    }

    #[test]
    fn ordinary_keys_stay() {
        let jwk = Signer::generate(Algorithm::Rs256, "k").unwrap().jwk();
        assert!(!is_factorable(&URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap()));
    }
}
