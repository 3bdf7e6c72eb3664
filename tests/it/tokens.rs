//! Tokens as callers, strangers and other identity providers could send them, against the whole verifier.

use std::sync::{Arc, LazyLock};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gatewarden::request::{TOKEN_MAX_BYTES, Timestamp};
use gatewarden::token::signer::Signer;
use gatewarden::token::{
    Algorithm, CacheLimits, DEV_ISSUER, DevTokens, Issuer, IssuerKind, KeyCell, KeySet, TokenError,
    V2_TEMPLATE, Verifier,
};
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp(1_700_000_000);
const SSO: &str = "https://sso.example/realms/a";
const TENANT: &str = "452fb554-60fc-49fc-b403-9cabece4d68c";
const CONSUMERS: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

/// RSA keys take long to make; one is enough.
static RSA: LazyLock<Signer> = LazyLock::new(|| Signer::generate(Algorithm::Rs256, "rsa").unwrap());
static EC: LazyLock<Signer> = LazyLock::new(|| Signer::generate(Algorithm::Es256, "ec").unwrap());
static ED: LazyLock<Signer> = LazyLock::new(|| Signer::generate(Algorithm::EdDsa, "ed").unwrap());

fn cell(jwks: &[Value]) -> Arc<KeyCell> {
    let keys = KeySet::parse_jwks(json!({ "keys": jwks }).to_string().as_bytes()).unwrap();
    Arc::new(KeyCell::holding(keys, NOW))
}

fn issuer(kind: IssuerKind, iss: &str, keys: Arc<KeyCell>) -> Issuer {
    Issuer {
        name: iss.into(),
        kind,
        issuer: iss.into(),
        audience: vec!["api".into()],
        algorithms: vec![Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa],
        leeway_s: 30,
        keys,
    }
}

fn verifier(issuers: Vec<Issuer>) -> Verifier {
    Verifier::new(issuers, DevTokens::Refused, CacheLimits::default()).unwrap()
}

/// One plain provider with one key of each type.
fn plain() -> Verifier {
    verifier(vec![issuer(IssuerKind::Oidc, SSO, cell(&[RSA.jwk(), EC.jwk(), ED.jwk()]))])
}

fn claims() -> Value {
    json!({"iss": SSO, "sub": "ada", "aud": "api", "iat": NOW.0, "exp": NOW.0 + 300})
}

/// The claims with some changed; `null` takes one away.
fn but(mut claims: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    claims
}

fn verdict(verifier: &Verifier, raw: &str) -> Result<(), TokenError> {
    let judged = verifier.verify(raw, NOW);
    let remembered = verifier.cached(raw.as_bytes(), NOW);
    assert_eq!(judged.is_ok(), remembered.is_some(), "only what passed is remembered");
    judged.map(|_| ()).map_err(|refused| refused.error)
}

fn encode(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// Another signature on the same header and claims.
fn resigned(raw: &str, signature: &[u8]) -> String {
    let (signed, _) = raw.rsplit_once('.').unwrap();
    format!("{signed}.{}", encode(signature))
}

fn signature_of(raw: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(raw.rsplit_once('.').unwrap().1).unwrap()
}

#[test]
fn every_algorithm_proves_its_own_tokens_and_no_others() {
    for algorithm in Algorithm::ALL {
        let signer = Signer::generate(algorithm, "k").unwrap();
        let accepts = |algorithms: Vec<Algorithm>| {
            let mut issuer = issuer(IssuerKind::Oidc, SSO, cell(&[signer.jwk()]));
            issuer.algorithms = algorithms;
            verifier(vec![issuer])
        };
        let raw = signer.sign(&claims()).unwrap();
        let token = accepts(vec![algorithm]).verify(&raw, NOW).unwrap();
        assert_eq!((token.subject(), &**token.issuer()), ("ada", SSO));
        let others = Algorithm::ALL.into_iter().filter(|other| *other != algorithm).collect();
        assert_eq!(verdict(&accepts(others), &raw), Err(TokenError::Algorithm), "{algorithm}");

        let signature = signature_of(&raw);
        for (at, bit) in [(0, 0x80), (signature.len() / 2, 1), (signature.len() - 1, 1)] {
            let mut broken = signature.clone();
            broken[at] ^= bit;
            let raw = resigned(&raw, &broken);
            assert_eq!(
                verdict(&accepts(vec![algorithm]), &raw),
                Err(TokenError::BadSignature),
                "{algorithm} {at}"
            );
        }
        let stranger = Signer::generate(algorithm, "k").unwrap().sign(&claims()).unwrap();
        assert_eq!(
            verdict(&accepts(vec![algorithm]), &stranger),
            Err(TokenError::BadSignature),
            "{algorithm}"
        );
    }
}

#[test]
fn the_token_never_chooses_how_it_is_checked() {
    let verifier = plain();
    let payload = claims().to_string();
    for alg in ["none", "None", "NONE", "", "HS256", "HS384", "HS512", "rs256", "ES512", "ES256K", "RSA-OAEP"]
    {
        for kid in ["rsa", "ec", "ed"] {
            let raw = RSA.sign_parts(&json!({"alg": alg, "kid": kid}).to_string(), &payload).unwrap();
            assert_eq!(verdict(&verifier, &raw), Err(TokenError::Algorithm), "{alg}");
        }
    }
    // A known algorithm with a key of another type, and one that the key itself rules out.
    for (alg, kid) in [("RS256", "ec"), ("ES256", "rsa"), ("EdDSA", "ec"), ("RS256", "ed")] {
        let raw = RSA.sign_parts(&json!({"alg": alg, "kid": kid}).to_string(), &payload).unwrap();
        assert_eq!(verdict(&verifier, &raw), Err(TokenError::Algorithm), "{alg} {kid}");
    }
    // The public key as an HMAC secret: the classic confusion.
    let header = json!({"alg": "HS256", "kid": "rsa"}).to_string();
    let signed = format!("{}.{}", encode(header), encode(&payload));
    let secret =
        aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, RSA.jwk()["n"].to_string().as_bytes());
    let forged = format!("{signed}.{}", encode(aws_lc_rs::hmac::sign(&secret, signed.as_bytes())));
    assert_eq!(verdict(&verifier, &forged), Err(TokenError::Algorithm));
}

#[test]
fn a_signature_has_one_spelling() {
    let verifier = plain();
    let raw = EC.sign(&claims()).unwrap();
    assert_eq!(verdict(&verifier, &raw), Ok(()));
    let made = signature_of(&raw);
    let (r, s) = made.split_at(32);
    let positive = |number: &[u8]| [&[0_u8][..], number].concat();
    let (r, s) = (positive(r), positive(s));
    let mut der = vec![0x30, 70, 0x02, 33];
    der.extend_from_slice(&r);
    der.extend_from_slice(&[0x02, 33]);
    der.extend_from_slice(&s);
    for (name, signature) in [
        ("all zero", vec![0; 64]),
        ("DER", der),
        ("too short", made[..63].to_vec()),
        ("too long", [made.clone(), vec![0]].concat()),
        ("r is zero", [vec![0; 32], made[32..].to_vec()].concat()),
        ("all ones", vec![0xff; 64]),
    ] {
        assert_eq!(verdict(&verifier, &resigned(&raw, &signature)), Err(TokenError::BadSignature), "{name}");
    }
    let (signed, signature) = raw.rsplit_once('.').unwrap();
    for raw in [
        format!("{signed}."),
        format!("{signed}.{signature}="),
        format!("{signed}.{signature}=="),
        format!("{signed}.{signature}\n"),
        format!("{signed}.{}+{}", &signature[..1], &signature[2..]),
    ] {
        assert_eq!(verdict(&verifier, &raw), Err(TokenError::Malformed));
    }
}

#[test]
fn a_key_id_only_looks_up() {
    let verifier = plain();
    let payload = claims().to_string();
    let with_kid =
        |kid: Value| ED.sign_parts(&json!({"alg": "EdDSA", "kid": kid}).to_string(), &payload).unwrap();
    assert_eq!(verdict(&verifier, &with_kid(json!("ed"))), Ok(()));
    for kid in
        ["ED", " ed", "ed ", "", "../ed", "ed\u{0}", "' OR 1=1 --", "https://evil.example/jwks", "rsa,ed"]
    {
        assert_eq!(verdict(&verifier, &with_kid(json!(kid))), Err(TokenError::UnknownKey), "{kid}");
    }
    for kid in [json!(7), json!(null), json!(["ed"]), json!({"kid": "ed"}), json!("k".repeat(257))] {
        assert_eq!(verdict(&verifier, &with_kid(kid.clone())), Err(TokenError::Malformed), "{kid}");
    }
    let without = ED.sign_parts(r#"{"alg":"EdDSA"}"#, &payload).unwrap();
    assert_eq!(verdict(&verifier, &without), Ok(()), "one key of the type leaves no choice");
}

#[test]
fn a_header_cannot_bring_a_key_along() {
    let stranger = Signer::generate(Algorithm::EdDsa, "ed").unwrap();
    let brought = [
        json!({"jwk": stranger.jwk()}),
        json!({"jku": "https://evil.example/jwks"}),
        json!({"x5u": "https://evil.example/cert"}),
        json!({"x5c": ["MIIB"]}),
        json!({"crit": ["exp"]}),
        json!({"b64": false, "crit": ["b64"]}),
        json!({"b64": true}),
        json!({"zip": "DEF"}),
        json!({"cty": "JWT"}),
    ];
    for extra in brought {
        let header = but(json!({"alg": "EdDSA", "kid": "ed"}), extra);
        for signer in [&*ED, &stranger] {
            let raw = signer.sign_parts(&header.to_string(), &claims().to_string()).unwrap();
            assert_eq!(verdict(&plain(), &raw), Err(TokenError::Malformed), "{header}");
        }
    }
}

#[test]
fn two_issuers_never_judge_for_each_other() {
    let (ours, theirs) =
        (Signer::generate(Algorithm::EdDsa, "k").unwrap(), Signer::generate(Algorithm::EdDsa, "k").unwrap());
    let other_iss = "https://sso.example/realms/b";
    let mut b = issuer(IssuerKind::Oidc, other_iss, cell(&[theirs.jwk()]));
    b.audience = vec!["b".into()];
    let both = verifier(vec![issuer(IssuerKind::Oidc, SSO, cell(&[ours.jwk()])), b]);
    let for_b = but(claims(), json!({"iss": other_iss, "aud": "b"}));
    assert_eq!(verdict(&both, &ours.sign(&claims()).unwrap()), Ok(()));
    assert_eq!(verdict(&both, &theirs.sign(&for_b).unwrap()), Ok(()));
    assert_eq!(verdict(&both, &theirs.sign(&claims()).unwrap()), Err(TokenError::BadSignature));
    assert_eq!(verdict(&both, &ours.sign(&for_b).unwrap()), Err(TokenError::BadSignature));
    let crossed = but(claims(), json!({"aud": "b"}));
    assert_eq!(verdict(&both, &ours.sign(&crossed).unwrap()), Err(TokenError::Audience));
    let refused = both.verify(&ours.sign(&for_b).unwrap(), NOW).unwrap_err();
    assert_eq!(
        refused.issuer.as_deref(),
        Some(other_iss),
        "the failure counts against the issuer that was named"
    );
}

#[test]
fn an_issuer_is_compared_whole() {
    let verifier = plain();
    for iss in [
        "https://sso.example/realms/a/",
        "https://sso.example/realms/A",
        "https://sso.example/realms/a#",
        "https://sso.example/realms/",
        "https://sso.example/realms/ab",
        " https://sso.example/realms/a",
        "http://sso.example/realms/a",
        "",
    ] {
        let raw = ED.sign(&but(claims(), json!({ "iss": iss }))).unwrap();
        let refused = verifier.verify(&raw, NOW).unwrap_err();
        assert_eq!((refused.error, refused.issuer), (TokenError::UnknownIssuer, None), "{iss}");
    }
    for iss in [json!([SSO]), json!(7), json!({ "iss": SSO })] {
        let raw = ED.sign(&but(claims(), json!({ "iss": iss }))).unwrap();
        assert_eq!(verdict(&verifier, &raw), Err(TokenError::Malformed));
    }
    let raw = ED.sign(&but(claims(), json!({ "iss": null }))).unwrap();
    assert_eq!(verdict(&verifier, &raw), Err(TokenError::ClaimMissing));
}

#[test]
fn claims_of_the_wrong_type_are_not_absent() {
    let verifier = plain();
    for (changes, why) in [
        (json!({"exp": null}), TokenError::ClaimMissing),
        (json!({"exp": (NOW.0 + 300).to_string()}), TokenError::Malformed),
        (json!({"exp": NOW.0 - 31}), TokenError::Expired),
        (json!({"exp": -1}), TokenError::Malformed),
        (json!({"nbf": (NOW.0 + 9000).to_string()}), TokenError::Malformed),
        (json!({"nbf": NOW.0 + 31}), TokenError::NotYetValid),
        (json!({"iat": NOW.0 + 301}), TokenError::NotYetValid),
        (json!({"aud": null}), TokenError::Audience),
        (json!({"aud": []}), TokenError::Audience),
        (json!({"aud": "other"}), TokenError::Audience),
        (json!({"aud": {"api": true}}), TokenError::Malformed),
        (json!({"sub": null}), TokenError::ClaimMissing),
        (json!({"sub": 7}), TokenError::Malformed),
        (json!({"sub": "a".repeat(300)}), TokenError::Malformed),
    ] {
        let raw = ED.sign(&but(claims(), changes.clone())).unwrap();
        assert_eq!(verdict(&verifier, &raw), Err(why), "{changes}");
    }
    for payload in [
        format!(r#"{{"iss":"{SSO}","sub":"ada","aud":"api","exp":{},"exp":1}}"#, NOW.0 + 300),
        format!(r#"{{"iss":"{SSO}","sub":"ada","aud":"api","exp":1e999}}"#),
        format!(r#"{{"iss":"{SSO}","sub":"ada","aud":"api","exp":NaN}}"#),
        format!(r#"{{"iss":"{SSO}","sub":"ada","aud":"api","exp":null}}"#),
        "[]".to_owned(),
        "\"text\"".to_owned(),
        String::new(),
    ] {
        let raw = ED.sign_parts(r#"{"alg":"EdDSA","kid":"ed"}"#, &payload).unwrap();
        assert_eq!(verdict(&verifier, &raw), Err(TokenError::Malformed), "{payload}");
    }
    let payload = claims().to_string();
    let raw = ED.sign_parts(r#"{"alg":"EdDSA","kid":"ed","kid":"rsa"}"#, &payload).unwrap();
    assert_eq!(verdict(&verifier, &raw), Err(TokenError::Malformed));
}

#[test]
fn size_and_shape_are_bounded() {
    let verifier = plain();
    let nested = |depth: usize| {
        let tower = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let payload = claims().to_string().replacen('{', &format!(r#"{{"deep":{tower},"#), 1);
        ED.sign_parts(r#"{"alg":"EdDSA","kid":"ed"}"#, &payload).unwrap()
    };
    assert_eq!(verdict(&verifier, &nested(15)), Ok(()));
    assert_eq!(verdict(&verifier, &nested(16)), Err(TokenError::Malformed));
    assert_eq!(verdict(&verifier, &nested(1_500)), Err(TokenError::Malformed));
    let padded = |bytes: usize| ED.sign(&but(claims(), json!({"pad": "x".repeat(bytes)}))).unwrap();
    assert_eq!(verdict(&verifier, &padded(5_000)), Ok(()));
    assert_eq!(verdict(&verifier, &padded(7_000)), Err(TokenError::Malformed));
    let good = ED.sign(&claims()).unwrap();
    for raw in [
        "e30.e30.e30.e30.e30".to_owned(), // five parts: encrypted
        format!("{good}.e30"),
        good.split('.').take(2).collect::<Vec<_>>().join("."),
        ".".repeat(TOKEN_MAX_BYTES),
        "x".repeat(1_000_000),
        String::new(),
    ] {
        assert_eq!(verdict(&verifier, &raw), Err(TokenError::Malformed));
    }
}

#[test]
fn development_tokens_are_refused_whatever_the_keys() {
    let signer = Signer::from_seed(&[9; 32], "dev-1").unwrap();
    let issuers = || {
        vec![
            issuer(IssuerKind::Oidc, DEV_ISSUER, cell(&[signer.jwk(), ED.jwk()])),
            issuer(IssuerKind::Oidc, SSO, cell(&[signer.jwk()])),
        ]
    };
    let dev_issuer = ED.sign(&but(claims(), json!({ "iss": DEV_ISSUER }))).unwrap();
    let dev_key = signer.sign(&claims()).unwrap();
    for raw in [&dev_issuer, &dev_key] {
        assert_eq!(verdict(&verifier(issuers()), raw), Err(TokenError::DevToken));
        let dev = Verifier::new(issuers(), DevTokens::Accepted, CacheLimits::default()).unwrap();
        assert_eq!(verdict(&dev, raw), Ok(()));
    }
}

fn entra_claims() -> Value {
    json!({
        "ver": "2.0", "iss": V2_TEMPLATE.replace("{tenantid}", TENANT), "aud": "api", "tid": TENANT, "oid": "o",
        "sub": "pairwise", "azp": "desk", "scp": "access_as_user", "iat": NOW.0, "exp": NOW.0 + 300,
    })
}

fn entra(jwks: &[Value]) -> Verifier {
    verifier(vec![issuer(IssuerKind::Entra, V2_TEMPLATE, cell(jwks))])
}

#[test]
fn entra_tokens_of_both_versions_are_taken() {
    let v1 = json!({"ver": "1.0", "iss": format!("https://sts.windows.net/{TENANT}/"), "azp": null, "appid": "desk"});
    let template = but(ED.jwk(), json!({"issuer": V2_TEMPLATE, "alg": null}));
    for jwk in [ED.jwk(), template] {
        let verifier = entra(&[jwk]);
        for claims in [entra_claims(), but(entra_claims(), v1.clone())] {
            let token = verifier.verify(&ED.sign(&claims).unwrap(), NOW).unwrap();
            assert_eq!(token.client(), Some("desk"));
        }
    }
    let guest = json!({"idp": "https://sts.windows.net/0b1f8c1e-1c5b-4f0e-9f3a-5a1d7b8f6c11/", "acct": 1});
    assert_eq!(verdict(&entra(&[ED.jwk()]), &ED.sign(&but(entra_claims(), guest)).unwrap()), Ok(()));
}

#[test]
fn an_entra_key_signs_only_for_the_issuer_that_it_names() {
    let raw = ED.sign(&entra_claims()).unwrap();
    let named = |issuer: &str| entra(&[but(ED.jwk(), json!({ "issuer": issuer }))]);
    let other = "0b1f8c1e-1c5b-4f0e-9f3a-5a1d7b8f6c11";
    assert_eq!(verdict(&named("https://login.microsoftonline.com/{TENANTID}/v2.0"), &raw), Ok(()));
    assert_eq!(verdict(&named(&V2_TEMPLATE.replace("{tenantid}", TENANT)), &raw), Ok(()));
    for tenant in [CONSUMERS, other] {
        let verifier = named(&V2_TEMPLATE.replace("{tenantid}", tenant));
        assert_eq!(verdict(&verifier, &raw), Err(TokenError::UnknownKey), "{tenant}");
    }
    assert_eq!(
        verdict(&named("https://login.evil.example/{tenantid}/v2.0"), &raw),
        Err(TokenError::UnknownKey)
    );
}

#[test]
fn an_entra_token_must_be_a_known_kind_of_persons() {
    let consumer = json!({"tid": CONSUMERS, "iss": V2_TEMPLATE.replace("{tenantid}", CONSUMERS)});
    let common = json!({"iss": V2_TEMPLATE.replace("{tenantid}", "common")});
    for (changes, why) in [
        (consumer, TokenError::PersonalAccount),
        (json!({"idp": "live.com"}), TokenError::PersonalAccount),
        (json!({"idp": format!("https://sts.windows.net/{CONSUMERS}/")}), TokenError::PersonalAccount),
        (common, TokenError::UnknownIssuer),
        (json!({"iss": V2_TEMPLATE}), TokenError::UnknownIssuer),
        (json!({"tid": "0b1f8c1e-1c5b-4f0e-9f3a-5a1d7b8f6c11"}), TokenError::UnknownIssuer),
        (json!({"tid": null}), TokenError::ClaimMissing),
        (json!({"tid": [TENANT]}), TokenError::Malformed),
        (json!({"ver": "1.0"}), TokenError::Malformed),
        (json!({"scp": null, "azp": null}), TokenError::WrongType),
        (json!({"scp": null, "sub": "o", "roles": ["CustomerAdmins"]}), TokenError::WrongType),
        (json!({"idtyp": "app", "roles": ["CustomerAdmins"]}), TokenError::WrongType),
    ] {
        let raw = ED.sign(&but(entra_claims(), changes.clone())).unwrap();
        assert_eq!(verdict(&entra(&[ED.jwk()]), &raw), Err(why), "{changes}");
    }
}

#[test]
fn keycloak_says_in_the_payload_what_a_token_is_for() {
    let keycloak = verifier(vec![issuer(IssuerKind::Keycloak, SSO, cell(&[ED.jwk()]))]);
    let of_type = |typ: Value| ED.sign(&but(claims(), json!({ "typ": typ }))).unwrap();
    assert_eq!(verdict(&keycloak, &of_type(json!("Bearer"))), Ok(()));
    for typ in
        [json!("ID"), json!("Refresh"), json!("Offline"), json!("Logout"), json!("bearer"), Value::Null]
    {
        assert_eq!(verdict(&keycloak, &of_type(typ.clone())), Err(TokenError::WrongType), "{typ}");
    }
}

#[test]
fn without_keys_nobody_is_blamed() {
    let raw = ED.sign(&claims()).unwrap();
    let empty = verifier(vec![issuer(IssuerKind::Oidc, SSO, Arc::new(KeyCell::empty()))]);
    assert_eq!(verdict(&empty, &raw), Err(TokenError::KeysUnavailable));
    let verifier = plain();
    let later = Timestamp(NOW.0 + 24 * 3600 + 1);
    let raw = ED.sign(&but(claims(), json!({"exp": later.0 + 300}))).unwrap();
    assert!(verifier.verify(&raw, Timestamp(later.0 - 1)).is_ok());
    assert_eq!(verifier.verify(&raw, later).unwrap_err().error, TokenError::KeysUnavailable);
}

#[test]
fn a_remembered_token_dies_at_its_end() {
    let verifier = plain();
    let raw = ED.sign(&claims()).unwrap();
    assert!(verifier.cached(raw.as_bytes(), NOW).is_none());
    let token = verifier.verify(&raw, NOW).unwrap();
    let last = Timestamp(NOW.0 + 329);
    assert!(Arc::ptr_eq(&token, &verifier.cached(raw.as_bytes(), last).unwrap().unwrap()));
    let over = Timestamp(NOW.0 + 330);
    assert_eq!(verifier.cached(raw.as_bytes(), over).unwrap().unwrap_err().error, TokenError::Expired);
    assert_eq!(verifier.verify(&raw, over).unwrap_err().error, TokenError::Expired);
    assert!(verifier.cached(format!("{raw}A").as_bytes(), NOW).is_none());
}

#[test]
fn other_keys_forget_what_the_old_ones_proved() {
    let keys = cell(&[ED.jwk()]);
    let verifier = verifier(vec![issuer(IssuerKind::Oidc, SSO, Arc::clone(&keys))]);
    let raw = ED.sign(&claims()).unwrap();
    verifier.verify(&raw, NOW).unwrap();
    let set = |jwk: Value| KeySet::parse_jwks(json!({ "keys": [jwk] }).to_string().as_bytes()).unwrap();
    keys.publish(set(ED.jwk()), NOW);
    assert!(verifier.cached(raw.as_bytes(), NOW).is_some(), "the same keys again change nothing");
    keys.publish(set(EC.jwk()), NOW);
    assert!(verifier.cached(raw.as_bytes(), NOW).is_none());
    assert_eq!(verifier.verify(&raw, NOW).unwrap_err().error, TokenError::UnknownKey);
    assert!(keys.take_wanted(), "an unknown key asks for a refresh");
    assert_eq!(verdict(&verifier, &EC.sign(&claims()).unwrap()), Ok(()));
}

#[test]
fn a_reload_keeps_only_what_the_same_configuration_proved() {
    let (one, two) = (cell(&[ED.jwk()]), cell(&[EC.jwk()]));
    let other = "https://sso.example/realms/b";
    let issuers = |leeway: u64| {
        let mut b = issuer(IssuerKind::Oidc, other, Arc::clone(&two));
        b.leeway_s = leeway;
        vec![issuer(IssuerKind::Oidc, SSO, Arc::clone(&one)), b]
    };
    let before = verifier(issuers(30));
    let (a, b) = (ED.sign(&claims()).unwrap(), EC.sign(&but(claims(), json!({ "iss": other }))).unwrap());
    before.verify(&a, NOW).unwrap();
    before.verify(&b, NOW).unwrap();
    let same = before.carry(issuers(30)).unwrap();
    assert!(same.cached(a.as_bytes(), NOW).is_some() && same.cached(b.as_bytes(), NOW).is_some());
    let changed = same.carry(issuers(10)).unwrap();
    assert!(changed.cached(a.as_bytes(), NOW).is_some() && changed.cached(b.as_bytes(), NOW).is_none());
    let gone = same.carry(issuers(30).split_off(1)).unwrap();
    assert!(gone.cached(a.as_bytes(), NOW).is_none() && gone.cached(b.as_bytes(), NOW).is_some());
    assert_eq!(gone.verify(&a, NOW).unwrap_err().error, TokenError::UnknownIssuer);
}
