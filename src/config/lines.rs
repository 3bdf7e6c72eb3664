//! Where a byte of a file stands, as `path:line`: the address that evidence and explanations carry.

use std::sync::Arc;

use super::SourceFile;
use super::diagnostic::Span;

/// The line starts of one file.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    path: Arc<str>,
    starts: Vec<u32>,
}

impl Lines {
    /// Counts a file's lines once.
    #[must_use]
    pub(super) fn of(file: &SourceFile) -> Self {
        let ends = file.text.match_indices('\n').filter_map(|(at, _)| u32::try_from(at + 1).ok());
        Self { path: file.path.clone(), starts: std::iter::once(0).chain(ends).collect() }
    }

    /// `path:line`, counted from 1.
    #[must_use]
    pub(super) fn place(&self, span: Span) -> Arc<str> {
        let line = self.starts.partition_point(|start| *start <= span.start);
        format!("{}:{line}", self.path).into()
    }
}
