//! What is live and what is wrong with the files, for operators: written by `reload`, read by `admin`.

use std::sync::Arc;

use arc_swap::ArcSwap;
use serde_json::{Value, json};

use super::sources;
use crate::config::diagnostic::Style;
use crate::config::{Diagnostics, FileKind, SourceFile, Sources};
use crate::request::Timestamp;

/// The state of the configuration.
#[derive(Clone, Debug)]
pub struct Status {
    /// Counts what went live since the start.
    pub revision: u64,
    /// The live set's hash.
    pub hash: String,
    /// The live set's files, each with its hash.
    pub files: Vec<(Arc<str>, String)>,
    /// The live set's files as they were compiled.
    pub sources: Arc<Sources>,
    /// What the live set does that the one before didn't, in a sentence, once that is known.
    pub does: Option<String>,
    /// When the live set went live.
    pub loaded_at: Timestamp,
    /// What stands on disk instead, if it was refused.
    pub rejected: Option<Refusal>,
    /// What the live files expect and isn't so: they went live because they only narrow, and can't be started with.
    pub unexpected: Vec<String>,
    /// Files of a promotion that was broken off: what stands under their names isn't what counts.
    pub promoting: Vec<String>,
    /// Keys of `gateway.toml` whose change waits for a restart.
    pub pending_restart: Vec<&'static str>,
}

/// A set that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its hash, if it could be read.
    pub hash: Option<String>,
    /// How many mistakes it has.
    pub errors: usize,
    /// The first of them in one line.
    pub first: String,
    /// All of them, for a person.
    pub rendered: String,
    /// When it was refused.
    pub at: Timestamp,
}

impl Refusal {
    /// Of a set, or of what could be read of it.
    #[must_use]
    pub fn of(sources: &Sources, why: &Diagnostics, at: Timestamp) -> Self {
        Self {
            hash: (!sources.hash.is_empty()).then(|| sources.hash.clone()),
            errors: why.errors(),
            first: why.first_line(&sources.files),
            rendered: why.render(&sources.files, Style::Plain),
            at,
        }
    }

    /// The operators' view.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "hash": self.hash,
            "errors": self.errors,
            "first": self.first,
            "rendered": self.rendered,
            "at": self.at.0,
        })
    }
}

impl Status {
    /// The state after `sources` went live.
    #[must_use]
    pub fn live(
        revision: u64,
        sources: Arc<Sources>,
        loaded_at: Timestamp,
        pending_restart: Vec<&'static str>,
    ) -> Self {
        let file = |file: &SourceFile| (file.path.clone(), sources::file_hash(&file.text));
        let files = sources.files.iter().map(file).collect();
        Self {
            revision,
            hash: sources.hash.clone(),
            files,
            sources,
            does: None,
            loaded_at,
            rejected: None,
            unexpected: Vec::new(),
            promoting: Vec::new(),
            pending_restart,
        }
    }

    /// The live set's files with their texts. No secret stands in them: where one is needed, a file names its place.
    #[must_use]
    pub fn sources_to_json(&self) -> Value {
        let file = |file: &SourceFile| {
            let kind = match file.kind {
                FileKind::Gateway => "gateway",
                FileKind::Tenants => "tenants",
                FileKind::Rules => "rules",
            };
            json!({ "kind": kind, "path": *file.path, "text": file.text })
        };
        json!({
            "schema": "gatewarden.sources/1",
            "revision": self.revision,
            "hash": self.hash,
            "files": self.sources.files.iter().map(file).collect::<Vec<_>>(),
        })
    }

    /// The operators' view.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let files: Vec<_> =
            self.files.iter().map(|(path, hash)| json!({ "path": **path, "sha256": hash })).collect();
        let refusal = self.rejected.as_ref().map(Refusal::to_json);
        json!({
            "schema": "gatewarden.rules/1",
            "state": if refusal.is_some() { "rejected" } else { "live" },
            "revision": self.revision,
            "hash": self.hash,
            "files": files,
            "loaded_at": self.loaded_at.0,
            "does": self.does,
            "last_error": refusal,
            "unexpected": self.unexpected,
            "promoting": self.promoting,
            "pending_restart": self.pending_restart,
        })
    }
}

/// The current state; cheap to read.
#[derive(Debug)]
pub struct Board(ArcSwap<Status>);

impl Board {
    /// A board that shows `status`.
    #[must_use]
    pub fn new(status: Status) -> Self {
        Self(ArcSwap::from_pointee(status))
    }

    /// What it shows.
    #[must_use]
    pub fn read(&self) -> Arc<Status> {
        self.0.load_full()
    }

    /// Shows another state. Only `reload` writes.
    pub(super) fn show(&self, status: Status) {
        self.0.store(Arc::new(status));
    }

    /// Changes what it shows, whoever else changes something of it. Only `reload` writes.
    pub(super) fn change(&self, change: impl Fn(&mut Status)) {
        self.0.rcu(|status| {
            let mut status = (**status).clone();
            change(&mut status);
            status
        });
    }
}
