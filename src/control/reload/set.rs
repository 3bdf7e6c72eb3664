//! One set of files on its way to being live: compiled whole, its issuers' keys tended, its things counted.

use std::sync::Arc;

use super::super::keys::Keyring;
use crate::config::{Carried, Compiled, Diagnostics, Sources, Trust, compile};
use crate::snapshot::Snapshot;

/// What a set needs beside its files.
#[derive(Clone)]
pub struct Needs {
    /// Whose tokens count.
    pub trust: Arc<dyn Fn() -> Trust + Send + Sync>,
    /// Who keeps the issuers' keys fresh.
    pub keyring: Arc<Keyring>,
}

impl Needs {
    /// Compiles a set. Its issuers have their keys before it can judge anything, where they come from a file; of the
    /// others those that were fetched before. Must be called on a runtime.
    pub(super) fn compile(
        &self,
        sources: &Sources,
        previous: Option<&Snapshot>,
    ) -> Result<Compiled, Diagnostics> {
        let trust = (self.trust)();
        let configured = matches!(trust, Trust::Configured);
        let compiled = compile(sources, Carried { previous, trust })?;
        if configured {
            self.keyring.tend_all(&compiled.snapshot);
        }
        Ok(compiled)
    }
}

/// How much a snapshot holds of each kind of thing.
pub(super) fn loaded(snapshot: &Snapshot) -> [(&'static str, usize); 6] {
    let sum = |of: fn(&crate::policy::App) -> usize| snapshot.apps.iter().map(of).sum();
    [
        ("apps", snapshot.apps.len()),
        ("roles", sum(|app| app.roles.len())),
        ("permissions", sum(|app| app.permissions.len())),
        ("operations", sum(|app| app.operations.len())),
        ("conditions", sum(|app| app.conditions.len())),
        ("tenants", snapshot.directory.tenants().len()),
    ]
}
