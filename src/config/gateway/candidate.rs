//! Reads `[candidate]`.

use std::path::Path;

use super::super::raw::Fields;
use super::read::Reader;
use crate::plumbing::{CANDIDATE_DIRECTORY, CandidateConfig};

impl Reader<'_> {
    pub(super) fn candidate(&mut self, root: &mut Fields<'_>, rules: &Path) -> CandidateConfig {
        let beside = rules.parent().unwrap_or(Path::new("")).join(CANDIDATE_DIRECTORY);
        let mut candidate = CandidateConfig { rules: beside, tenants: Vec::new() };
        let Some(table) = self.section(root, "candidate") else { return candidate };
        let mut fields = Fields::new(table);
        if let Some(text) = fields.take("rules").and_then(|node| node.text(self.diagnostics)) {
            let directory = self.base.join(text.value);
            if text.value.is_empty() || directory == *rules {
                self.mistake(text.inner(), "must be another directory than that of the live rules");
            }
            candidate.rules = directory;
        }
        self.unsupported(&mut fields, "tenants", "candidate rules are compared, and answer nobody yet");
        fields.finish(self.diagnostics);
        candidate
    }
}
