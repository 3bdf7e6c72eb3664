//! What a peer must answer before its speed is worth anything: good tokens pass, bad ones don't.

use gatewarden::token::Algorithm;
use serde_json::{Value, json};

use crate::Result;
use crate::client::{self, Connection};
use crate::peers::{GUARDED_PATH, OPEN_PATH, READER, Running, STRANGER, Stage};
use crate::tokens::{self, Issuer};

/// One request and the answers that are right.
struct Case {
    name: &'static str,
    request: Vec<u8>,
    right: &'static [u16],
}

/// Asks a judging peer everything that it must get right.
pub fn check(stage: &Stage, running: &Running) -> Result<()> {
    let cases = cases(stage)?;
    crate::runtime()?.block_on(async {
        for case in cases {
            // A connection of its own: a peer may close one behind a refusal.
            let mut connection = Connection::open(running.address).await?;
            let status =
                connection.ask(&case.request).await.map_err(|error| format!("{}: {error}", case.name))?;
            if !case.right.contains(&status) {
                return Err(format!("it answers {} with {status}", case.name).into());
            }
        }
        Ok(())
    })
}

fn cases(stage: &Stage) -> Result<Vec<Case>> {
    let issuer = &stage.issuer;
    let claims = issuer.claims(7, READER);
    let good = issuer.sign(Algorithm::Rs256, &claims)?;
    let changed = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        issuer.sign(Algorithm::Rs256, &claims)
    };
    let with =
        |name, token: &str, right| Case { name, request: client::request(GUARDED_PATH, Some(token)), right };
    let elsewhere = |name, text: &str, right| Case {
        name,
        request: String::from_utf8_lossy(&client::request(GUARDED_PATH, Some(&good)))
            .replace(&format!("GET {GUARDED_PATH}"), text)
            .into_bytes(),
        right,
    };
    const PASS: &[u16] = &[200];
    const UNKNOWN: &[u16] = &[401];
    const BAD: &[u16] = &[401, 403];
    const REFUSED: &[u16] = &[403, 404, 405];
    Ok(vec![
        Case { name: "a public operation", request: client::request(OPEN_PATH, None), right: PASS },
        with("a good RS256 token", &good, PASS),
        with("a good ES256 token", &issuer.sign(Algorithm::Es256, &claims)?, PASS),
        Case { name: "no token", request: client::request(GUARDED_PATH, None), right: UNKNOWN },
        with("no token but a word", "word", UNKNOWN),
        with("RS256 by another key", &Issuer::new()?.sign(Algorithm::Rs256, &claims)?, BAD),
        with("ES256 by another key", &Issuer::new()?.sign(Algorithm::Es256, &claims)?, BAD),
        with("`alg` none", &tokens::unsigned(&claims), BAD),
        with("a changed claim", &tampered(&good, &issuer.token(8, READER)?), BAD),
        with("an expired token", &changed("exp", json!(1_600_000_000))?, BAD),
        with("another issuer", &changed("iss", json!("https://elsewhere.invalid"))?, BAD),
        with("another audience", &changed("aud", json!("elsewhere"))?, BAD),
        with("a token without the role", &issuer.token(9, STRANGER)?, &[403]),
        elsewhere("a method without the role", "PUT /load/r11/4711", REFUSED),
        elsewhere("a path of another role", "GET /load/r12/4711", &[403]),
        elsewhere("a path that no rule has", "GET /load/unknown/4711", REFUSED),
    ])
}

/// The claims of one token under the signature of another.
fn tampered(signed: &str, claims: &str) -> String {
    let part = |token: &str, index: usize| token.split('.').nth(index).unwrap_or_default().to_owned();
    format!("{}.{}.{}", part(signed, 0), part(claims, 1), part(signed, 2))
}
