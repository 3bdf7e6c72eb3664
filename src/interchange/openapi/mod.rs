//! An OpenAPI document (3.0 and 3.1, JSON or YAML): as a rule file to begin with, or held against the rules that there
//! are. `spec` reads it, `suggest` makes the file, `cover` compares.

mod cover;
mod spec;
mod suggest;
#[cfg(test)]
mod tests;

pub use cover::{Coverage, cover};
pub use spec::{Operation, Spec};
pub use suggest::{Options, Suggested, suggest};
