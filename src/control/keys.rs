//! Keeps each issuer's keys fresh, in the background: from a file, from a key set's URL, or by discovery.
//!
//! The first keys may be late and later ones may never come: a gateway starts without them, answers 503 for tokens
//! that it can't judge, and keeps the last good set for a day. A key id that isn't known brings the next fetch
//! forward, at most once a minute, and no request ever waits for one. A task ends when no snapshot holds its cell.

use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::fetch::{FetchError, Fetcher, is_tls};
use crate::plumbing::{IssuerConfig, KeySource};
use crate::request::Timestamp;
use crate::snapshot::Snapshot;
use crate::token::{IssuerKind, KeyCell, KeySet, KeySetError, V2_TEMPLATE};

/// Largest key file that is read.
const FILE_MAX_BYTES: u64 = 256 * 1024;
/// What metadata of Entra's version 1 calls its issuer; its tokens are taken where [`V2_TEMPLATE`] is configured.
const ENTRA_V1_METADATA: &str = "https://sts.windows.net/{tenantid}/";

/// When keys are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cadence {
    /// Between two good fetches over the network.
    pub refresh: Duration,
    /// Added to each, so that many gateways don't ask at once.
    pub jitter: Duration,
    /// Between two looks at a file.
    pub file: Duration,
    /// Least time from one fetch to another that an unknown key id asks for.
    pub unknown_key: Duration,
    /// After the first failure; doubled by each further one.
    pub retry_first: Duration,
    /// At most, after many.
    pub retry_most: Duration,
    /// How often it is looked whether something is due.
    pub tick: Duration,
}

impl Default for Cadence {
    fn default() -> Self {
        Self {
            refresh: Duration::from_secs(15 * 60),
            jitter: Duration::ZERO,
            file: Duration::from_secs(2),
            unknown_key: Duration::from_secs(60),
            retry_first: Duration::from_secs(1),
            retry_most: Duration::from_secs(60),
            tick: Duration::from_secs(1),
        }
    }
}

/// Why no new keys were had.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The document couldn't be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The file can't be read.
    #[error("the key file can't be read")]
    File(#[source] std::io::Error),
    /// The file is larger than a key set.
    #[error("the key file is too large")]
    FileTooLarge,
    /// The document is no key set.
    #[error(transparent)]
    KeySet(#[from] KeySetError),
    /// The metadata isn't JSON with an issuer and a `jwks_uri`.
    #[error("the metadata names no issuer and key set")]
    Metadata,
    /// The metadata is another issuer's.
    #[error("the metadata is of another issuer")]
    OtherIssuer,
    /// The metadata came over TLS and its keys would not.
    #[error("the metadata leads to keys without TLS")]
    Downgrade,
}

/// Tends the cells of all issuers. A cell that a reload carries over goes on being tended by its one task.
pub struct Keyring {
    fetcher: Fetcher,
    cadence: Cadence,
    tended: Mutex<Vec<Weak<KeyCell>>>,
}

impl Keyring {
    /// A ring that tends nothing yet.
    #[must_use]
    pub fn new(fetcher: Fetcher, cadence: Cadence) -> Self {
        Self { fetcher, cadence, tended: Mutex::default() }
    }

    /// Tends the cells of every issuer of a snapshot: to be called before it is published, on a runtime.
    pub fn tend_all(&self, snapshot: &Snapshot) {
        for issuer in snapshot.verifier.issuers() {
            let configured =
                snapshot.gateway.issuers.iter().find(|configured| configured.name == issuer.name);
            if let Some(configured) = configured {
                self.tend(configured, &issuer.keys);
            }
        }
    }

    /// Keeps a cell fresh, with a task of its own, for as long as someone holds it. A file is read at once; other
    /// keys come when they come.
    pub fn tend(&self, issuer: &IssuerConfig, cell: &Arc<KeyCell>) {
        let held = Arc::downgrade(cell);
        let mut tended = self.tended.lock().unwrap_or_else(PoisonError::into_inner);
        tended.retain(|cell| cell.strong_count() > 0);
        if tended.iter().any(|known| known.ptr_eq(&held)) {
            return;
        }
        tended.push(Weak::clone(&held));
        if let KeySource::File(path) = &issuer.keys {
            note(cell, read_file(path));
        }
        tokio::spawn(keep_fresh(issuer.clone(), held, self.fetcher.clone(), self.cadence));
    }
}

/// Keeps `cell` fresh until nobody else holds it.
async fn keep_fresh(issuer: IssuerConfig, cell: Weak<KeyCell>, fetcher: Fetcher, cadence: Cadence) {
    let mut schedule = Schedule::new(matches!(issuer.keys, KeySource::File(_)), cadence, Instant::now());
    let mut told = None;
    while let Some(held) = cell.upgrade() {
        if schedule.is_due(Instant::now(), || held.take_wanted()) {
            let found = find(&issuer, &fetcher).await;
            told = report(&issuer, &found, told);
            schedule.tried(Instant::now(), note(&held, found));
        }
        drop(held);
        tokio::time::sleep(cadence.tick.min(cadence.file)).await;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tried {
    Good,
    Failed,
}

/// Puts what was found into the cell; a failure leaves what it holds.
fn note(cell: &KeyCell, found: Result<KeySet, KeysError>) -> Tried {
    match found {
        Ok(keys) => {
            cell.publish(keys, now());
            Tried::Good
        }
        Err(_) => {
            cell.note_failure();
            Tried::Failed
        }
    }
}

/// Says once what went wrong, again where it is another thing, and that it is over; the metrics count every try.
fn report(issuer: &IssuerConfig, found: &Result<KeySet, KeysError>, told: Option<String>) -> Option<String> {
    let name = &*issuer.name;
    let Err(error) = found else {
        if told.is_some() {
            tracing::info!(issuer = name, "keys are fresh again");
        }
        return None;
    };
    let why = match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    if told.as_ref() != Some(&why) {
        let from = match &issuer.keys {
            KeySource::File(path) => path.to_string_lossy(),
            KeySource::Url(url) | KeySource::Metadata(url) => url.as_str().into(),
        };
        tracing::warn!(issuer = name, %from, why, "keys can't be refreshed");
    }
    Some(why)
}

/// When the next try is due: a value, so that it can be tested without waiting.
#[derive(Debug)]
struct Schedule {
    cadence: Cadence,
    is_file: bool,
    next: Instant,
    last: Option<Instant>,
    failures: u32,
}

impl Schedule {
    fn new(is_file: bool, cadence: Cadence, now: Instant) -> Self {
        Self { cadence, is_file, next: now, last: None, failures: 0 }
    }

    /// `take_wanted` is asked only when a wish could be granted, so that one made too early isn't lost.
    fn is_due(&self, now: Instant, take_wanted: impl FnOnce() -> bool) -> bool {
        let may_hurry = self.last.is_none_or(|last| now.duration_since(last) >= self.cadence.unknown_key);
        let hurried = may_hurry && self.failures == 0 && take_wanted();
        hurried || now >= self.next
    }

    fn tried(&mut self, now: Instant, tried: Tried) {
        self.last = Some(now);
        let pause = match tried {
            Tried::Good | Tried::Failed if self.is_file => self.cadence.file,
            Tried::Good => self.cadence.refresh + self.cadence.jitter,
            Tried::Failed => {
                let doubled = self.cadence.retry_first * 2_u32.pow(self.failures.min(16));
                doubled.min(self.cadence.retry_most)
            }
        };
        self.failures = match tried {
            Tried::Good => 0,
            Tried::Failed => self.failures.saturating_add(1),
        };
        self.next = now + pause;
    }
}

async fn find(issuer: &IssuerConfig, fetcher: &Fetcher) -> Result<KeySet, KeysError> {
    match &issuer.keys {
        KeySource::File(path) => {
            let path = path.clone();
            let read = tokio::task::spawn_blocking(move || read_file(&path)).await;
            read.unwrap_or_else(|error| Err(KeysError::File(std::io::Error::other(error))))
        }
        KeySource::Url(url) => Ok(KeySet::parse_jwks(&fetcher.get(url).await?)?),
        KeySource::Metadata(url) => {
            let jwks_uri = discover(issuer, &fetcher.get(url).await?)?;
            if is_tls(url) && !is_tls(&jwks_uri) {
                return Err(KeysError::Downgrade);
            }
            Ok(KeySet::parse_jwks(&fetcher.get(&jwks_uri).await?)?)
        }
    }
}

fn read_file(path: &Path) -> Result<KeySet, KeysError> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(KeysError::File)?;
    file.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes).map_err(KeysError::File)?;
    if bytes.len() as u64 > FILE_MAX_BYTES {
        return Err(KeysError::FileTooLarge);
    }
    Ok(KeySet::parse_jwks(&bytes)?)
}

/// The `jwks_uri` of metadata that is this issuer's own (OpenID Connect Discovery §4.3).
fn discover(issuer: &IssuerConfig, metadata: &[u8]) -> Result<String, KeysError> {
    let metadata: Value = serde_json::from_slice(metadata).map_err(|_| KeysError::Metadata)?;
    let text = |name: &str| metadata.get(name).and_then(Value::as_str).ok_or(KeysError::Metadata);
    let found = text("issuer")?;
    let is_template =
        issuer.kind == IssuerKind::Entra && issuer.issuer.to_ascii_lowercase().contains("{tenantid}");
    let same = match is_template {
        true => found.eq_ignore_ascii_case(&issuer.issuer),
        false => found == issuer.issuer,
    };
    let older = is_template
        && issuer.issuer.eq_ignore_ascii_case(V2_TEMPLATE)
        && found.eq_ignore_ascii_case(ENTRA_V1_METADATA);
    if same || older { Ok(text("jwks_uri")?.to_owned()) } else { Err(KeysError::OtherIssuer) }
}

fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn failures_are_retried_later_and_later() {
        let start = Instant::now();
        let mut schedule = Schedule::new(false, Cadence::default(), start);
        assert!(schedule.is_due(start, || false));
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            schedule.tried(start, Tried::Failed);
            assert_eq!(schedule.next, start + Duration::from_secs(seconds));
        }
        schedule.tried(start, Tried::Good);
        assert_eq!(schedule.next, start + 15 * MINUTE);
        schedule.tried(start, Tried::Failed);
        assert_eq!(schedule.next, start + Duration::from_secs(1));
    }

    #[test]
    fn an_unknown_key_hurries_once_a_minute() {
        let start = Instant::now();
        let mut schedule = Schedule::new(false, Cadence::default(), start);
        schedule.tried(start, Tried::Good);
        assert!(!schedule.is_due(start + MINUTE / 2, || panic!("the wish must be kept for later")));
        assert!(!schedule.is_due(start + MINUTE, || false));
        assert!(schedule.is_due(start + MINUTE, || true));
        schedule.tried(start + MINUTE, Tried::Failed);
        assert!(!schedule.is_due(start + MINUTE, || true), "a failing provider isn't hurried");
    }

    #[test]
    fn metadata_must_be_the_issuers_own() {
        let configured = |kind, issuer: &str| IssuerConfig {
            name: "sso".into(),
            kind,
            issuer: issuer.into(),
            audience: vec!["api".into()],
            algorithms: vec!["RS256".into()],
            keys: KeySource::Url(String::new()),
            leeway: Duration::ZERO,
        };
        let found = |configured: &IssuerConfig, issuer: &str| {
            let metadata = json!({"issuer": issuer, "jwks_uri": "https://sso.example/keys"});
            discover(configured, metadata.to_string().as_bytes())
        };
        let realm = configured(IssuerKind::Keycloak, "https://sso.example/realms/a");
        assert_eq!(found(&realm, "https://sso.example/realms/a").unwrap(), "https://sso.example/keys");
        for other in
            ["https://sso.example/realms/b", "https://sso.example/realms/A", "https://sso.example/realms/a/"]
        {
            assert!(matches!(found(&realm, other), Err(KeysError::OtherIssuer)), "{other}");
        }
        let entra = configured(IssuerKind::Entra, V2_TEMPLATE);
        assert!(found(&entra, "https://login.microsoftonline.com/{TenantId}/v2.0").is_ok());
        assert!(found(&entra, ENTRA_V1_METADATA).is_ok());
        assert!(
            found(&entra, "https://login.microsoftonline.com/452fb554-60fc-49fc-b403-9cabece4d68c/v2.0")
                .is_err()
        );
        for broken in ["", "[]", "{}", r#"{"issuer":"https://sso.example/realms/a"}"#] {
            assert!(matches!(discover(&realm, broken.as_bytes()), Err(KeysError::Metadata)), "{broken}");
        }
    }
}
