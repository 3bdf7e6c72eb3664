//! Verified token → principal.
use std::sync::Arc;

use serde_json::Value;

use crate::token::VerifiedToken;

/// A caller.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The token.
    pub token: Arc<VerifiedToken>,
}

impl Principal {
    /// A claim by its path.
    #[must_use]
    pub fn fact(&self, path: &[Box<str>]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.token.claims().get(&**first)?, |value, key| value.get(&**key))
    }
}
