//! `[candidate]`: where rules stand that are tried out beside the live ones, and whose requests they answer.

use std::path::PathBuf;

/// Rules that are tried out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CandidateConfig {
    /// `rules`: a directory whose files stand for those of their names in the rule directory. It needn't be there.
    pub rules: PathBuf,
    /// `tenants`: the acting tenants whose requests the candidate answers; of all others it is only compared.
    pub tenants: Vec<Box<str>>,
    /// `remote`: whether rules may be sent to the operators' listener, and tenants be named there. Off, what answers
    /// callers is the files' to say alone.
    pub remote: bool,
}

/// Default of `[candidate] rules`, beside the rule directory.
pub const CANDIDATE_DIRECTORY: &str = "rules-next";
