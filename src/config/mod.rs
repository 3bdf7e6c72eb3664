//! Text → snapshot. Every file is parsed once with spans, every mistake of every file is reported together,
//! and only what compiled whole is ever used. Reading files, watching them and publishing the result are
//! `control`'s work.

pub mod codes;
mod compile;
pub mod diagnostic;
mod lines;
pub mod lint;
mod rules;
mod tenants;
pub mod gateway;
pub mod raw;

use std::sync::Arc;

pub use compile::{Carried, Compiled, Trust, compile, compile_unexpected};
pub use diagnostic::{Diagnostic, Diagnostics, Span};

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// `gateway.toml`: plumbing.
    Gateway,
    /// `rules/tenants.toml`.
    Tenants,
    /// Any other `rules/*.toml`: one app.
    Rules,
}

/// One file's text, as it was read.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// What the file is for.
    pub kind: FileKind,
    /// The path as an operator knows it, for messages.
    pub path: Arc<str>,
    /// Its text.
    pub text: String,
}

/// Everything that a snapshot is compiled from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The files in a fixed order: the gateway's, then the rules' by name.
    pub files: Vec<SourceFile>,
    /// SHA-256 over the sorted paths and bytes, in hex, so that replicas can be compared.
    pub hash: String,
}
