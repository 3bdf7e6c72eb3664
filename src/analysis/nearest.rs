//! Who could do what was refused: every role of the app that has a grant of the operation.

use std::sync::Arc;

use super::guard::{self, Standing};
use crate::policy::{App, Operation};

/// A role that could, and under which conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The role.
    pub role: Arc<str>,
    /// Alternatives, each a list of conditions that must all hold; one empty list is no condition.
    pub conditions: Vec<Vec<Box<str>>>,
}

impl Candidate {
    /// `supervisor`, or `Customer Users if caller, may-call`.
    #[must_use]
    pub fn text(&self) -> String {
        self.under().map_or_else(|| self.role.to_string(), |under| format!("{} {under}", self.role))
    }

    /// `if caller, may-call`, or `if home, or if reader`; nothing where it could under no condition.
    #[must_use]
    pub fn under(&self) -> Option<String> {
        if self.conditions.is_empty() || self.conditions.iter().any(Vec::is_empty) {
            return None;
        }
        let alternatives: Vec<String> = self.conditions.iter().map(|own| own.join(", ")).collect();
        Some(format!("if {}", alternatives.join(", or if ")))
    }
}

/// The roles that could do an operation, in the order of the file; `anyone` is among them where it could.
#[must_use]
pub fn roles(app: &App, operation: &Operation) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    for (index, role) in app.roles.iter().enumerate() {
        if guard::standing(app, index, operation) == Standing::Nothing {
            continue;
        }
        let mut conditions: Vec<Vec<Box<str>>> =
            guard::guards(app, index, operation).iter().map(|own| names(app, own)).collect();
        conditions.sort();
        conditions.dedup();
        found.push(Candidate { role: role.name.clone(), conditions });
    }
    found
}

/// The names of a grant's conditions, but for those that a requirement on every operation asks for anyway.
#[must_use]
pub fn names(app: &App, conditions: &[usize]) -> Vec<Box<str>> {
    let own = conditions.iter().filter(|index| !app.required_everywhere.contains(index));
    own.filter_map(|index| app.conditions.get(*index)).map(|own| own.name.clone()).collect()
}
