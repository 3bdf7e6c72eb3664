//! The judge of tokens: finds the issuer that a token names, has everything checked by that issuer's measure, and
//! remembers what passed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value};

use super::cache::{Cache, Entry};
use super::{
    Algorithm, CacheLimits, DEV_ISSUER, DEV_KEY_PREFIX, DevTokens, Issuer, IssuerKind, Key, LEEWAY_MAX_S,
    Refused, TokenError, VerifiedToken, claims, entra, jws,
};
use crate::request::Timestamp;

/// Why a list of issuers can't judge anything safely; each names the issuer in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// Any audience would be accepted, or none.
    #[error("issuer {0} accepts no audience")]
    NoAudience(Arc<str>),
    /// No signature could be checked.
    #[error("issuer {0} accepts no signature algorithm")]
    NoAlgorithm(Arc<str>),
    /// Expired tokens would live on.
    #[error("issuer {0} has a leeway of more than five minutes")]
    Leeway(Arc<str>),
    /// `iss` would match nothing, or anything.
    #[error("issuer {0} has no usable issuer to expect")]
    Issuer(Arc<str>),
    /// A token would have two judges.
    #[error("issuers {0} and {1} would both judge the same token")]
    Overlap(Arc<str>, Arc<str>),
}

#[derive(Clone, Debug)]
struct Judge {
    issuer: Issuer,
    /// Tags what this configuration of the issuer has verified.
    stamp: u64,
}

/// Judges tokens, and remembers those that passed.
#[derive(Debug)]
pub struct Verifier {
    judges: Vec<Judge>,
    dev: DevTokens,
    memory: Arc<Memory>,
}

/// What outlives a reload.
#[derive(Debug)]
struct Memory {
    cache: Cache,
    stamps: AtomicU64,
}

impl Verifier {
    /// A verifier with an empty cache.
    pub fn new(issuers: Vec<Issuer>, dev: DevTokens, limits: CacheLimits) -> Result<Self, SetupError> {
        let memory = Arc::new(Memory { cache: Cache::new(limits), stamps: AtomicU64::new(0) });
        Self { judges: Vec::new(), dev, memory }.carry(issuers)
    }

    /// A verifier for `issuers` that keeps what this one remembers of those whose configuration is the same.
    pub fn carry(&self, issuers: Vec<Issuer>) -> Result<Self, SetupError> {
        check_setup(&issuers)?;
        let judge = |issuer: Issuer| {
            let same = self.judges.iter().find(|judge| judge.issuer.judges_like(&issuer));
            let fresh = || self.memory.stamps.fetch_add(1, Ordering::Relaxed);
            Judge { stamp: same.map_or_else(fresh, |judge| judge.stamp), issuer }
        };
        let judges = issuers.into_iter().map(judge).collect();
        Ok(Self { judges, dev: self.dev, memory: Arc::clone(&self.memory) })
    }

    /// The issuers whose tokens are accepted.
    pub fn issuers(&self) -> impl Iterator<Item = &Issuer> {
        self.judges.iter().map(|judge| &judge.issuer)
    }

    /// Whether tokens of the development issuer count.
    #[must_use]
    pub fn dev_tokens(&self) -> DevTokens {
        self.dev
    }

    /// How many tokens are remembered.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.memory.cache.len()
    }

    /// What is known of a token without checking its signature: `None` unless it was verified before, by the
    /// configuration and the keys of now. A remembered token that is over is answered as expired.
    #[must_use]
    pub fn cached(&self, raw: &[u8], now: Timestamp) -> Option<Result<Arc<VerifiedToken>, Refused>> {
        let entry = self.memory.cache.get(raw)?;
        let judge = self.judges.iter().find(|judge| judge.stamp == entry.stamp)?;
        let held = judge.issuer.keys.current(now).ok()?;
        if held.as_ref()?.generation != entry.generation {
            return None;
        }
        if now >= entry.dies {
            let issuer = Some(Arc::clone(&judge.issuer.name));
            return Some(Err(Refused { issuer, error: TokenError::Expired }));
        }
        Some(Ok(entry.token))
    }

    /// Judges a token, and remembers it if it passes. This may cost a signature check, some tens of microseconds.
    pub fn verify(&self, raw: &str, now: Timestamp) -> Result<Arc<VerifiedToken>, Refused> {
        if let Some(known) = self.cached(raw.as_bytes(), now) {
            return known;
        }
        let parts = jws::split(raw)?;
        let iss = match parts.claims.get("iss") {
            Some(Value::String(iss)) => iss,
            Some(_) => return Err(TokenError::Malformed.into()),
            None => return Err(TokenError::ClaimMissing.into()),
        };
        let is_dev = iss.starts_with(DEV_ISSUER)
            || parts.header.kid.as_deref().is_some_and(|kid| kid.starts_with(DEV_KEY_PREFIX));
        if is_dev && self.dev == DevTokens::Refused {
            return Err(TokenError::DevToken.into());
        }
        let judge = self.judges.iter().find(|judge| judge.issuer.is_named_by(iss));
        let judge = judge.ok_or(TokenError::UnknownIssuer)?;
        let named = |error| Refused { issuer: Some(Arc::clone(&judge.issuer.name)), error };
        let (expires, generation) = prove(&parts, iss, &judge.issuer, now).map_err(named)?;
        let token = Arc::new(accept(parts.claims, &judge.issuer, expires));
        let dies = Timestamp(expires.0.saturating_add(judge.issuer.leeway_s));
        self.memory
            .cache
            .put(raw.as_bytes(), Entry { token: Arc::clone(&token), stamp: judge.stamp, generation, dies });
        Ok(token)
    }
}

/// The whole proof: claims, algorithm, key, signature. Returns `exp` and the generation of the keys.
fn prove(
    parts: &jws::Parts<'_>,
    iss: &str,
    issuer: &Issuer,
    now: Timestamp,
) -> Result<(Timestamp, u64), TokenError> {
    let algorithm: Algorithm = parts.header.alg.parse().map_err(|_| TokenError::Algorithm)?;
    if !issuer.algorithms.contains(&algorithm) {
        return Err(TokenError::Algorithm);
    }
    let expires = claims::judge(&parts.claims, issuer, now)?;
    let held = issuer.keys.current(now)?;
    let held = held.as_ref().ok_or(TokenError::KeysUnavailable)?;
    let candidates = match held.keys.candidates(parts.header.kid.as_deref(), algorithm) {
        Err(TokenError::UnknownKey) => {
            issuer.keys.want_refresh();
            return Err(TokenError::UnknownKey);
        }
        candidates => candidates?,
    };
    let tenant = parts.claims.get("tid").and_then(Value::as_str).unwrap_or_default();
    let may_sign = |key: &Key| match issuer.kind {
        IssuerKind::Entra => entra::may_sign(key, &issuer.issuer, iss, tenant),
        IssuerKind::Keycloak | IssuerKind::Oidc => true,
    };
    let has_signed = |key: &Key| key.has_signed(parts.signed.as_bytes(), parts.signature, algorithm);
    let mut candidates = candidates.filter(|key| may_sign(key)).peekable();
    if candidates.peek().is_none() {
        return Err(TokenError::UnknownKey);
    }
    if candidates.any(has_signed) { Ok((expires, held.generation)) } else { Err(TokenError::BadSignature) }
}

fn accept(claims: Map<String, Value>, issuer: &Issuer, expires: Timestamp) -> VerifiedToken {
    let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default().to_owned();
    VerifiedToken::new(Arc::clone(&issuer.name), issuer.kind, subject, claims, expires)
}

fn check_setup(issuers: &[Issuer]) -> Result<(), SetupError> {
    for (index, issuer) in issuers.iter().enumerate() {
        let name = Arc::clone(&issuer.name);
        if issuer.audience.is_empty() || issuer.audience.iter().any(String::is_empty) {
            return Err(SetupError::NoAudience(name));
        }
        if issuer.algorithms.is_empty() {
            return Err(SetupError::NoAlgorithm(name));
        }
        if issuer.leeway_s > LEEWAY_MAX_S {
            return Err(SetupError::Leeway(name));
        }
        let example = example_iss(issuer).ok_or_else(|| SetupError::Issuer(Arc::clone(&name)))?;
        let overlaps = |other: &&Issuer| {
            let theirs = example_iss(other);
            other.is_named_by(&example) || theirs.is_some_and(|theirs| issuer.is_named_by(&theirs))
        };
        if let Some(other) = issuers.iter().skip(index + 1).find(overlaps) {
            return Err(SetupError::Overlap(name, Arc::clone(&other.name)));
        }
    }
    Ok(())
}

/// An `iss` that the issuer accepts; none if there can't be one.
fn example_iss(issuer: &Issuer) -> Option<String> {
    let example = match issuer.kind {
        IssuerKind::Entra => entra::example(&issuer.issuer),
        IssuerKind::Keycloak | IssuerKind::Oidc => issuer.issuer.clone(),
    };
    (!example.is_empty() && issuer.is_named_by(&example)).then_some(example)
}

#[cfg(test)]
mod tests {
    use super::super::{KeyCell, V2_TEMPLATE};
    use super::*;

    fn issuer(name: &str, kind: IssuerKind, iss: &str) -> Issuer {
        Issuer {
            name: name.into(),
            kind,
            issuer: iss.into(),
            audience: vec!["api".into()],
            algorithms: vec![Algorithm::Rs256],
            leeway_s: 30,
            keys: Arc::new(KeyCell::empty()),
        }
    }

    fn setup(issuers: Vec<Issuer>) -> Result<(), SetupError> {
        Verifier::new(issuers, DevTokens::Refused, CacheLimits::default()).map(|_| ())
    }

    #[test]
    fn an_issuer_that_accepts_anything_is_no_issuer() {
        let good = issuer("a", IssuerKind::Oidc, "https://a.example");
        assert_eq!(setup(vec![good.clone()]), Ok(()));
        let changed = |change: fn(&mut Issuer)| {
            let mut issuer = good.clone();
            change(&mut issuer);
            setup(vec![issuer]).unwrap_err()
        };
        assert_eq!(changed(|it| it.audience.clear()), SetupError::NoAudience("a".into()));
        assert_eq!(changed(|it| it.audience = vec![String::new()]), SetupError::NoAudience("a".into()));
        assert_eq!(changed(|it| it.algorithms.clear()), SetupError::NoAlgorithm("a".into()));
        assert_eq!(changed(|it| it.leeway_s = 301), SetupError::Leeway("a".into()));
        assert_eq!(changed(|it| it.issuer.clear()), SetupError::Issuer("a".into()));
        assert_eq!(changed(|it| it.kind = IssuerKind::Entra), SetupError::Issuer("a".into()));
    }

    #[test]
    fn a_token_has_one_judge() {
        let tenant = "https://login.microsoftonline.com/452fb554-60fc-49fc-b403-9cabece4d68c/v2.0";
        let old = "https://sts.windows.net/452fb554-60fc-49fc-b403-9cabece4d68c/";
        let many = issuer("many", IssuerKind::Entra, V2_TEMPLATE);
        for other in [
            issuer("other", IssuerKind::Entra, V2_TEMPLATE),
            issuer("other", IssuerKind::Entra, tenant),
            issuer("other", IssuerKind::Oidc, tenant),
            issuer("other", IssuerKind::Oidc, old),
        ] {
            let both = [many.clone(), other.clone()];
            assert!(matches!(setup(both.to_vec()), Err(SetupError::Overlap(..))), "{}", other.issuer);
            let swapped = [other.clone(), many.clone()];
            assert!(matches!(setup(swapped.to_vec()), Err(SetupError::Overlap(..))), "{}", other.issuer);
        }
        let apart = [many, issuer("realm", IssuerKind::Keycloak, "https://sso.example/realms/a")];
        assert_eq!(setup(apart.to_vec()), Ok(()));
    }
}
