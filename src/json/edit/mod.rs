//! Editing a JSON document on its way through: some values hidden, some elements of arrays left out, every other byte
//! as it came. `plan` says what is looked for, `editor` reads and writes, with `scalar` for what isn't nested.
//!
//! A document is read by one strict grammar to its last byte. What can't be read isn't passed on, since nobody could
//! say what the reader behind would find in it.

mod editor;
mod plan;
mod scalar;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::Pattern;

pub use editor::Editor;

/// What stands in the place of a hidden value.
pub const HIDDEN: &str = "\"********\"";
/// Deepest nesting of arrays and objects in an edited document.
pub const DEPTH_MAX: usize = 128;
/// Longest name of a member that may be one of those looked for, as it is written.
pub const NAME_MAX_BYTES: usize = 4 * 1024;
/// Longest element of a filtered array.
pub const ELEMENT_MAX_BYTES: usize = 256 * 1024;

/// The document can't be read, or holds more than is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the JSON document can't be read")]
pub struct Unreadable;

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
    /// Where the array stands. Something else that stands there makes the document unreadable; nothing doesn't, but
    /// [`Editor::has_met_its_lists`] tells.
    pub items: Pattern,
    /// Which of its elements stay. It sees an element as it came, with what will be hidden in it.
    pub keep: Keep,
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter").field("items", &format_args!("{}", self.items)).finish_non_exhaustive()
    }
}
