//! `[decisions]`: where decisions are written down, and how much of each.

use std::path::PathBuf;
use std::time::Duration;

use super::CredentialSource;

/// `[decisions]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionsConfig {
    /// `file` or `to`: where lines go; nothing is written without.
    pub sink: Option<Sink>,
    /// `recent`: how many decisions are held in memory for operators; without a sink, refusals alone.
    pub recent: usize,
    /// `queue`: how many may wait to be written.
    pub queue: usize,
    /// `queue-size`: how many bytes they may take.
    pub queue_bytes: u64,
    /// `mask`: facts whose values aren't written.
    pub mask: Box<[Mask]>,
    /// `path`: whether paths are written.
    pub path: Written,
    /// `subject`: how the caller is named.
    pub subject: Subject,
    /// `sample.allow`: one in so many allows is written; every refusal is.
    pub sample_allow: u32,
    /// `chain`: whether each line holds a hash over those before it.
    pub chain: Chain,
}

/// Facts whose values aren't written: one, or with `.*` at the end all whose names begin so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask(Box<str>);

impl Mask {
    /// Reads `token.email` or `body.*`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let name = text.strip_suffix(".*").unwrap_or(text);
        let plain = |part: &str| !part.is_empty() && !part.contains(['*', ' ']);
        let is_one = name.split('.').all(plain) && (name.contains('.') || text.ends_with(".*"));
        is_one.then(|| Self(text.into()))
    }

    /// Whether a fact is meant.
    #[must_use]
    pub fn hides(&self, fact: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => fact.starts_with(beginning),
            None => *self.0 == *fact,
        }
    }

    /// Whether a parameter of a path is meant, or several.
    #[must_use]
    pub fn is_of_path(&self) -> bool {
        self.0.starts_with("path.")
    }
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// To a file.
    File {
        /// The file.
        path: PathBuf,
        /// When it gives way to another.
        rotate: Option<Rotate>,
    },
    /// To standard output.
    Stdout,
}

/// When a file gives way to another, and how many stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotate {
    /// `size`: once it is so long.
    pub bytes: u64,
    /// `every`: once it is so old.
    pub every: Option<Duration>,
    /// `keep`: how many stay beside the one that is written to.
    pub keep: usize,
}

/// Whether something is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is.
    Yes,
    /// It isn't.
    No,
}

/// Whether lines are chained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chain {
    /// They are.
    Yes,
    /// They aren't.
    No,
}

/// How the caller is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// As the token names him.
    Plain,
    /// By an HMAC-SHA-256 under the key that stands there, so that one person's decisions can be told to be his.
    Hash(CredentialSource),
    /// Not at all.
    Off,
}

impl Default for DecisionsConfig {
    fn default() -> Self {
        Self {
            sink: None,
            recent: 1_000,
            queue: 10_000,
            queue_bytes: 64 * 1024 * 1024,
            mask: Box::default(),
            path: Written::Yes,
            subject: Subject::Plain,
            sample_allow: 1,
            chain: Chain::No,
        }
    }
}

impl DecisionsConfig {
    /// Whether anybody is interested in what is allowed.
    #[must_use]
    pub fn wants_allows(&self) -> bool {
        self.sink.is_some()
    }

    /// Whether anybody is interested in what is refused.
    #[must_use]
    pub fn wants_refusals(&self) -> bool {
        self.sink.is_some() || self.recent > 0
    }
}
