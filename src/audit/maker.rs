//! Makes the record of a request that has ended as `[decisions]` wants it: what is to be masked left out, and subjects
//! hashed where they are.

use std::path::Path;

use aws_lc_rs::hmac;

use crate::outcome::Outcome;
use crate::plumbing::{CredentialSource, DecisionsConfig, Subject};
use crate::record::{Captured, Record, mirrored};

/// Makes records.
#[derive(Debug)]
pub(super) struct Maker {
    key: Option<hmac::Key>,
    /// Facts that aren't shown, by revision and app.
    mirrored: Vec<(u64, String, Vec<Box<str>>)>,
}

impl Maker {
    /// One that hashes with the key that is named.
    pub(super) fn of(config: &DecisionsConfig) -> Self {
        Self { key: told_key(config), mirrored: Vec::new() }
    }

    /// A request's record, as the rules that judged it say what is hidden.
    pub(super) fn record(&mut self, captured: &Captured, outcome: &Outcome) -> Record {
        let mut record = Record::of(captured, outcome);
        let config = &captured.snapshot.gateway.decisions;
        let at = record.app.clone().map(|app| self.hidden(captured, app));
        let key = &self.key;
        let hash = |name: &str| {
            let tag = hmac::sign(key.as_ref()?, name.as_bytes());
            let hex: String = tag.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
            Some(format!("hmac:{hex}"))
        };
        let hidden = at.and_then(|at| self.mirrored.get(at)).map_or(&[][..], |own| &own.2);
        record.erase(config, hidden, &hash);
        record
    }

    /// Where it stands what an app's masks hide.
    fn hidden(&mut self, captured: &Captured, app: String) -> usize {
        let revision = captured.snapshot.revision;
        let found = self.mirrored.iter().position(|own| own.0 == revision && own.1 == app);
        found.unwrap_or_else(|| {
            self.mirrored.retain(|own| own.0 + 1 >= revision);
            let own = captured.snapshot.app(&app).map(mirrored).unwrap_or_default();
            self.mirrored.push((revision, app, own));
            self.mirrored.len() - 1
        })
    }
}

/// The key that subjects are hashed with. Without one they aren't written at all.
fn told_key(config: &DecisionsConfig) -> Option<hmac::Key> {
    key(config).unwrap_or_else(|why| {
        tracing::error!(%why, "the key of [decisions] can't be used: no decision says whose it is");
        None
    })
}

/// Reads the key that subjects are hashed with, if they are; else says why it can't be used.
pub fn key(config: &DecisionsConfig) -> Result<Option<hmac::Key>, String> {
    let Subject::Hash(source) = &config.subject else { return Ok(None) };
    let secret = match source {
        CredentialSource::File(path) => read(path),
        // The value isn't in the error: not even one that isn't text.
        CredentialSource::Env(name) => {
            std::env::var(name).map_err(|_| format!("environment variable `{name}` isn't set, or isn't text"))
        }
    }?;
    match secret.trim_end_matches(['\r', '\n']) {
        own if own.len() < KEY_MIN_BYTES => Err(format!("it is shorter than {KEY_MIN_BYTES} bytes")),
        own => Ok(Some(hmac::Key::new(hmac::HMAC_SHA256, own.as_bytes()))),
    }
}

/// Shorter keys can be found by trying.
const KEY_MIN_BYTES: usize = 16;

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|why| format!("{}: {why}", path.display()))
}
