//! The departures that a rule file names under `[reading]`: keys that are a role and a resource, perhaps with a scope. Other
//! keys explain what is in no cell of a table.

use super::names::{Kind, Names};
use crate::config::Span;
use crate::config::raw::{Entry, Table};

/// What a rule file says of the document that it was made from.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Departures of cells.
    pub departures: Vec<Departure>,
    /// Every key.
    keys: Vec<String>,
}

/// A cell that departs, as the file names it.
#[derive(Debug)]
pub(super) struct Departure {
    /// Where it is named.
    pub span: Span,
    /// As it is written.
    pub key: String,
    /// The role.
    pub role: String,
    /// The resource.
    pub resource: String,
    scope: Option<String>,
    /// What the rules do instead, where the file says so: `{ is = "no", why = "…" }`.
    pub is: Option<Instead>,
}

/// What the rules do where they depart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instead {
    /// They grant.
    Yes,
    /// They don't.
    No,
    /// They grant under conditions.
    If,
}

impl Reading {
    /// Reads the table.
    pub(super) fn of(table: Option<&Table>, names: &Names<'_>) -> Self {
        let mut own = Self::default();
        for entry in table.map_or(&[][..], |table| &table.entries) {
            match entry.key.as_str() {
                "alias" | "addition" => {}
                key => {
                    own.keys.push(key.to_owned());
                    own.departures.extend(departure(key, entry, names));
                }
            }
        }
        own
    }

    /// The departures that name a cell.
    pub(super) fn of_cell(&self, role: &str, resource: &str, scope: &str) -> impl Iterator<Item = usize> {
        let is_it = move |own: &Departure| {
            own.role == role && own.resource == resource && own.scope.as_ref().is_none_or(|own| own == scope)
        };
        self.departures.iter().enumerate().filter(move |(_, own)| is_it(own)).map(|(at, _)| at)
    }

    /// Whether it says something of a resource, or a scope of it, whatever the role.
    pub(super) fn explains(&self, resource: &str, scope: Option<&str>) -> bool {
        let scoped = scope.map(|scope| format!("{resource}#{scope}"));
        self.keys.iter().any(|key| key == resource || Some(key) == scoped.as_ref())
    }
}

/// `supervisor customer-labels#manage`, or `Full Access User Profile Key`.
fn departure(key: &str, entry: &Entry, names: &Names<'_>) -> Option<Departure> {
    let spaces = key.match_indices(' ').map(|(at, _)| at);
    // A role's name may be the beginning of another's: the longest that leaves a resource counts.
    let mut found = spaces.filter_map(|at| {
        let (role, rest) = key.split_at_checked(at)?;
        let role = names.find(Kind::Role, role)?;
        let rest = rest.trim();
        if let Some(resource) = names.find(Kind::Resource, rest) {
            return Some((role, resource, None));
        }
        let (resource, scope) = rest.split_once('#')?;
        Some((role, names.find(Kind::Resource, resource)?, Some(scope.trim().to_owned())))
    });
    let (role, resource, scope) = found.next_back()?;
    let said = entry.value.as_table().and_then(|table| table.get("is")).and_then(|own| own.value.as_text());
    let is = said.and_then(|text| match text.value {
        "yes" => Some(Instead::Yes),
        "no" => Some(Instead::No),
        "if" => Some(Instead::If),
        _ => None,
    });
    let (role, resource) = (role.to_owned(), resource.to_owned());
    Some(Departure { span: entry.span, key: key.to_owned(), role, resource, scope, is })
}
