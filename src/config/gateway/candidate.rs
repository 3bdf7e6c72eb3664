//! Reads `[candidate]`.

use std::path::Path;

use super::super::raw::Fields;
use super::read::{Reader, is_empty_list};
use crate::plumbing::{CANDIDATE_DIRECTORY, CandidateConfig};

impl Reader<'_> {
    pub(super) fn candidate(&mut self, root: &mut Fields<'_>, rules: &Path) -> CandidateConfig {
        let beside = rules.parent().unwrap_or(Path::new("")).join(CANDIDATE_DIRECTORY);
        let mut candidate = CandidateConfig { rules: beside, tenants: Vec::new(), remote: false };
        let Some(table) = self.section(root, "candidate") else { return candidate };
        let mut fields = Fields::new(table);
        if let Some(text) = fields.take("rules").and_then(|node| node.text(self.diagnostics)) {
            let directory = self.base.join(text.value);
            if text.value.is_empty() || directory == *rules {
                self.mistake(text.inner(), "must be another directory than that of the live rules");
            }
            candidate.rules = directory;
        }
        if let Some(node) = fields.take("tenants").filter(|node| !is_empty_list(node)) {
            let named = node.texts(self.diagnostics).unwrap_or_default();
            candidate.tenants = named.iter().map(|text| text.value.into()).collect();
        }
        let remote = fields.take("remote").and_then(|node| node.bool(self.diagnostics));
        candidate.remote = remote.unwrap_or(false);
        fields.finish(self.diagnostics);
        candidate
    }
}
