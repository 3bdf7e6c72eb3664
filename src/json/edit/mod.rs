//! What is hidden and what is left out of a JSON document on its way through.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::Pattern;

/// Whether an element of an array stays.
pub type Keep = Arc<dyn Fn(&Value) -> bool + Send + Sync>;

/// What is to be done to a document.
#[derive(Clone, Debug, Default)]
pub struct Edits {
    /// The values that are hidden, whatever their type.
    pub masks: Vec<Pattern>,
    /// The arrays from which elements are dropped.
    pub filters: Vec<Filter>,
}

/// An array from which elements are dropped.
#[derive(Clone)]
pub struct Filter {
    /// Where the array stands.
    pub items: Pattern,
    /// Which of its elements stay.
    pub keep: Keep,
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter").field("items", &format_args!("{}", self.items)).finish_non_exhaustive()
    }
}
