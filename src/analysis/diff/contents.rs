//! Files that the configuration only names: keys, authorities, credentials. What stands in them is no part of a set of
//! rules, so that whoever can read them on both sides says what they found, and where nobody can it is told that it wasn't
//! compared.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::settings::shown;
use super::{Effect, Setting, SnapshotDiff};
use crate::plumbing::{CredentialSource, GatewayConfig, KeySource};

/// What stands in files, as digests, by what names them; nothing where it isn't known.
pub type Contents = BTreeMap<String, Option<String>>;

/// The files that a configuration names, each by what it is for and where it is.
#[must_use]
pub fn named(config: &GatewayConfig) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    let mut add = |of: String, path: &Path| {
        found.insert(format!("{of}, {}", shown(config, path)), path.to_owned());
    };
    for own in &config.issuers {
        if let KeySource::File(path) = &own.keys {
            add(format!("keys of issuer {}", own.name), path);
        }
    }
    let clients = config.listen.tls.as_ref().and_then(|own| own.clients.as_ref());
    clients.into_iter().for_each(|own| add("authorities of clients".to_owned(), &own.authorities));
    for own in &config.upstreams {
        if let Some(path) = own.tls.as_ref().and_then(|tls| tls.authorities.as_ref()) {
            add(format!("authorities of upstream {}", own.name), path);
        }
        if let Some(CredentialSource::File(path)) = own.credential.as_ref().map(|own| own.source()) {
            add(format!("credential of upstream {}", own.name), path);
        }
    }
    found
}

impl SnapshotDiff {
    /// The same with what stands in files that both sides name.
    #[must_use]
    pub fn with_contents(mut self, old: &Contents, new: &Contents) -> Self {
        for (name, before) in old {
            match (before, new.get(name)) {
                // Another file is told as another setting.
                (_, None) => {}
                (Some(before), Some(Some(after))) if before == after => {}
                (Some(_), Some(Some(_))) => {
                    let text = "other contents".to_owned();
                    self.settings.insert(0, Setting { effect: Effect::Widens, of: name.clone(), text });
                }
                (_, Some(_)) => self.not_compared.push(name.clone()),
            }
        }
        self
    }
}
