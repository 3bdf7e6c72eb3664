//! `token inspect`: what a token says, whether it would be accepted, and if not, why.
//!
//! For an operator at a terminal, who may be told more than a caller. The signature is never printed: what is printed here
//! can't be used as a token.

use std::fmt::Write;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::Exit;
use super::hypothesis::Unposed;
use super::load::{Files, print, tell};
use crate::control::fetch::{FetchLimits, Fetcher};
use crate::control::keys::{Cadence, Keyring};
use crate::request::Timestamp;
use crate::snapshot::Snapshot;
use crate::token::{Refused, TokenError, VerifiedToken, Verifier};

/// What a token says, whether it would be accepted here, and if not, why
#[derive(Clone, Debug, clap::Args)]
pub struct InspectArgs {
    #[command(flatten)]
    files: Files,
    /// Only take it apart; ask no issuer for keys
    #[arg(long)]
    offline: bool,
    /// The token; from standard input if it is `-` or left out, so that it needn't stand in a shell's history
    token: Option<String>,
}

/// How long issuers' keys are waited for.
const KEYS_WAIT: Duration = Duration::from_secs(6);

/// Inspects; exit 0 for a token that would be accepted, 1 for one that wouldn't, or that wasn't checked.
pub fn run(args: &InspectArgs) -> Exit {
    let raw = match text_of(args.token.as_deref().unwrap_or("-")) {
        Ok(raw) => raw,
        Err(why) => {
            tell(&why);
            return Exit::Environment;
        }
    };
    if args.offline {
        print(inspect(&raw, None, now()).trim_end());
        return Exit::No;
    }
    let snapshot = match args.files.load() {
        Ok(snapshot) => snapshot,
        Err(exit) => return exit,
    };
    if let Err(why) = fetch_keys(&snapshot) {
        tell(&why);
        return Exit::Environment;
    }
    print(inspect(&raw, Some(&snapshot.verifier), now()).trim_end());
    if snapshot.verifier.verify(&raw, now()).is_ok() { Exit::Yes } else { Exit::No }
}

/// A real token for a question about the rules, verified with the issuers' keys of now; or why it isn't.
pub(super) fn verified(snapshot: &Arc<Snapshot>, token: &str) -> Result<Arc<VerifiedToken>, Unposed> {
    let environment = |why| Unposed { why, exit: Exit::Environment };
    let raw = text_of(token).map_err(environment)?;
    fetch_keys(snapshot).map_err(environment)?;
    let refused = |refused: Refused| Unposed {
        why: format!("the token is refused: {} ({})", refused.error, refused.error.reason()),
        exit: Exit::No,
    };
    snapshot.verifier.verify(&raw, now()).map_err(refused)
}

/// The token itself, read from standard input for `-`.
fn text_of(token: &str) -> Result<String, String> {
    let mut raw = token.to_owned();
    if raw == "-" {
        raw.clear();
        let limit = u64::try_from(INPUT_MAX_BYTES).unwrap_or(u64::MAX) + 1;
        let read = std::io::stdin().take(limit).read_to_string(&mut raw);
        read.map_err(|why| format!("can't read a token from standard input: {why}"))?;
    }
    let trimmed = raw.trim();
    Ok(trimmed.strip_prefix("Bearer ").unwrap_or(trimmed).to_owned())
}

fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// Asks every issuer once, as the gateway would, and waits until each has answered or failed.
fn fetch_keys(snapshot: &Arc<Snapshot>) -> Result<(), String> {
    let cannot = |why: &dyn std::fmt::Display| format!("can't ask the issuers for keys: {why}");
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|why| cannot(&why))?;
    let fetcher = Fetcher::new(FetchLimits::default()).map_err(|why| cannot(&why))?;
    let keyring = Keyring::new(fetcher, Cadence::default());
    runtime.block_on(async {
        keyring.tend_all(snapshot);
        let answered = async {
            let unanswered =
                |status: crate::token::KeyStatus| status.last_success.is_none() && status.failures == 0;
            while snapshot.verifier.issuers().any(|own| unanswered(own.keys.status())) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        // Whoever hasn't answered by then has no keys, and the verdict says so.
        let _ = tokio::time::timeout(KEYS_WAIT, answered).await;
    });
    Ok(())
}

/// Longest input that is taken apart, in bytes; what is over it is no token of anyone's.
const INPUT_MAX_BYTES: usize = 64 * 1024;

/// Takes a token apart for a person to read. Without a verifier nothing is said about its validity.
#[must_use]
pub fn inspect(raw: &str, verifier: Option<&Verifier>, now: Timestamp) -> String {
    let raw = raw.trim();
    let raw = raw.strip_prefix("Bearer ").unwrap_or(raw);
    if raw.len() > INPUT_MAX_BYTES {
        return "not a token: too long\n".to_owned();
    }
    let mut parts = raw.split('.');
    let (header, claims) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let mut text = String::new();
    // Writing to a String can't fail.
    let _ = writeln!(text, "header\n{}\nclaims\n{}", readable(header), readable(claims));
    for (name, word) in [("iat", "issued"), ("nbf", "valid from"), ("exp", "expires")] {
        if let Some(seconds) = decode(claims).as_ref().and_then(|claims| claims.get(name)?.as_u64()) {
            let _ = writeln!(text, "{word:<10} {}", relative(Timestamp(seconds), now));
        }
    }
    let _ = writeln!(text, "{:<10} {}", "verdict", verdict(raw, verifier, now));
    text
}

fn verdict(raw: &str, verifier: Option<&Verifier>, now: Timestamp) -> String {
    let Some(verifier) = verifier else { return "not checked: no issuers to check it against".to_owned() };
    match verifier.verify(raw, now) {
        Ok(token) => {
            let client = token.client().unwrap_or("unknown");
            let said =
                format!("accepted: issuer {}, subject {}, client {client}", token.issuer(), token.subject());
            visible(&said)
        }
        Err(refused) => {
            let issuer = refused.issuer.map(|name| format!(", judged by issuer {name}")).unwrap_or_default();
            let hint = match refused.error {
                TokenError::DevToken => "; only the `gatewarden dev` that made it takes it",
                _ => "",
            };
            format!("refused: {}{hint} ({}{issuer})", refused.error, refused.error.reason())
        }
    }
}

fn decode(part: &str) -> Option<Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

fn readable(part: &str) -> String {
    let pretty = decode(part).and_then(|value| serde_json::to_string_pretty(&value).ok());
    pretty.map_or_else(|| "(not base64url of JSON)".to_owned(), |text| visible(&text))
}

/// Escapes what could move a terminal's cursor or turn text around; JSON escapes the rest on its own.
fn visible(text: &str) -> String {
    let unseen = |c: char| {
        c != '\n' && c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if unseen(c) { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    shown
}

fn relative(moment: Timestamp, now: Timestamp) -> String {
    let distance = moment.0.abs_diff(now.0);
    let amount = match distance {
        0..=119 => format!("{distance} s"),
        120..=7_199 => format!("{} min", distance / 60),
        7_200..=172_799 => format!("{} h", distance / 3_600),
        _ => format!("{} days", distance / 86_400),
    };
    if moment > now { format!("in {amount} ({})", moment.0) } else { format!("{amount} ago ({})", moment.0) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::token::signer::Signer;
    use crate::token::{Algorithm, CacheLimits, DevTokens, Issuer, IssuerKind, KeyCell, KeySet};

    const NOW: Timestamp = Timestamp(1_700_000_000);

    fn setup() -> (Signer, Verifier) {
        let signer = Signer::from_seed(&[1; 32], "k").unwrap();
        let keys = KeySet::parse_jwks(signer.jwks().as_bytes()).unwrap();
        let issuer = Issuer {
            name: "sso".into(),
            kind: IssuerKind::Oidc,
            issuer: "https://sso.example".into(),
            audience: vec!["api".into()],
            algorithms: vec![Algorithm::EdDsa],
            leeway_s: 0,
            keys: Arc::new(KeyCell::holding(keys, NOW)),
        };
        (signer, Verifier::new(vec![issuer], DevTokens::Refused, CacheLimits::default()).unwrap())
    }

    fn claims(life: u64) -> Value {
        json!({"iss": "https://sso.example", "sub": "ada\u{202e}", "aud": "api", "azp": "desk",
            "iat": NOW.0 - 60, "exp": NOW.0 + life})
    }

    #[test]
    fn an_accepted_token_says_whose_it_is() {
        let (signer, verifier) = setup();
        let raw = signer.sign(&claims(3_600)).unwrap();
        let text = inspect(&format!("Bearer {raw}\n"), Some(&verifier), NOW);
        assert!(text.contains("accepted: issuer sso, subject ada\\u{202e}, client desk"), "{text}");
        assert!(text.contains("issued     60 s ago"), "{text}");
        assert!(text.contains("expires    in 60 min"), "{text}");
        assert!(text.contains("\"alg\": \"EdDSA\""), "{text}");
    }

    #[test]
    fn a_refused_token_says_why() {
        let (signer, verifier) = setup();
        let raw = signer.sign(&claims(0)).unwrap();
        let text = inspect(&raw, Some(&verifier), NOW);
        assert!(text.contains("refused: the token has expired (expired, judged by issuer sso)"), "{text}");
        assert!(inspect(&raw, None, NOW).contains("not checked"));
        assert!(inspect("nonsense", Some(&verifier), NOW).contains("(malformed)"));
        let dev = json!({"iss": "urn:gatewarden:dev://sso", "sub": "ada", "aud": "api", "exp": NOW.0 + 60});
        let text = inspect(&signer.sign(&dev).unwrap(), Some(&verifier), NOW);
        assert!(text.contains("only the `gatewarden dev` that made it"), "{text}");
        assert!(inspect(&"x".repeat(70_000), None, NOW).contains("too long"));
    }

    #[test]
    fn the_signature_is_never_shown() {
        let (signer, verifier) = setup();
        let raw = signer.sign(&claims(60)).unwrap();
        let signature = raw.rsplit('.').next().unwrap();
        assert!(!inspect(&raw, Some(&verifier), NOW).contains(signature));
    }
}
