//! Which role, resource or scope a document means: by its very name, by `[reading.alias]`, or by the same letters in another
//! case, with other spaces or dashes.

use crate::config::diagnostic::code;
use crate::config::raw::{Raw, Table};
use crate::config::{Diagnostic, Diagnostics, Span};
use crate::policy::App;

/// The names of an app, and what documents call them.
pub(super) struct Names<'a> {
    pub app: &'a App,
    alias: Vec<(String, String)>,
    /// Resources and roles that the document doesn't have.
    pub additions: Vec<String>,
}

/// What a name is looked for among.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Role,
    Resource,
    Scope,
}

impl<'a> Names<'a> {
    /// Those of an app; `reading` is that table of its file.
    pub(super) fn of(app: &'a App, reading: Option<&Table>) -> Self {
        let alias = reading.and_then(|table| table.get("alias")).and_then(|own| own.value.as_table());
        let entries = alias.map_or(&[][..], |table| &table.entries);
        let alias = entries
            .iter()
            .filter_map(|own| Some((own.key.clone(), own.value.as_text()?.value.to_owned())))
            .collect();
        let items = reading.and_then(|table| table.get("addition")).map(|own| &own.value.value);
        let items = if let Some(Raw::List(items)) = items { items.as_slice() } else { &[] };
        let additions = items.iter().filter_map(|own| Some(own.as_text()?.value.to_owned())).collect();
        Self { app, alias, additions }
    }

    /// The names of a kind, each once, in the order of the file.
    pub(super) fn all(&self, kind: Kind) -> Vec<&'a str> {
        let mut names: Vec<&str> = match kind {
            Kind::Role => self.app.roles.iter().map(|own| &*own.name).collect(),
            Kind::Resource => self.app.permissions.iter().map(|(_, own)| &*own.resource).collect(),
            Kind::Scope => self.app.permissions.iter().map(|(_, own)| &*own.scope).collect(),
        };
        let mut seen = Vec::new();
        names.retain(|name| {
            let new = !seen.contains(name);
            seen.push(*name);
            new
        });
        names
    }

    /// The name that a text means. What stands in brackets behind it is the document's remark.
    pub(super) fn find(&self, kind: Kind, text: &str) -> Option<&'a str> {
        let text = text.trim();
        let without = |text: &'_ str| text.split_once('(').map(|(before, _)| before.trim().to_owned());
        self.exactly(kind, text).or_else(|| self.exactly(kind, &without(text)?))
    }

    fn exactly(&self, kind: Kind, text: &str) -> Option<&'a str> {
        let names = self.all(kind);
        let by = |text: &str| names.iter().copied().find(|own| *own == text);
        let alias = || self.alias.iter().find(|(own, _)| *own == *text).and_then(|(_, own)| by(own));
        by(text).or_else(alias).or_else(|| {
            let wanted = letters(text);
            let mut found = names.iter().filter(|own| letters(own) == wanted && !wanted.is_empty());
            // Two that differ in nothing else are told apart by their very names alone.
            found.next().copied().filter(|_| found.next().is_none())
        })
    }

    /// Reports a text that means nothing.
    pub(super) fn unknown(
        &self,
        (span, text): (Span, &str),
        kinds: &[Kind],
        what: &str,
        diagnostics: &mut Diagnostics,
    ) {
        let names: Vec<&str> = kinds.iter().flat_map(|kind| self.all(*kind)).collect();
        let aliases = self.alias.iter().map(|(name, _)| name.as_str());
        let message = format!("`{}` is no {what} of `{}`", text.replace('\n', " "), self.app.name);
        let mistake = Diagnostic::error(code::UNKNOWN_RESOURCE, message)
            .at(span, "[reading.alias] can say what it means")
            .nearest(span, text, names.into_iter().chain(aliases));
        // What is near may be right, but a vendor's table isn't edited: the alias is the remedy.
        diagnostics.push(Diagnostic { suggestion: None, ..mistake });
    }

    /// The scopes of a resource.
    pub(super) fn scopes(&self, resource: &str) -> Vec<&'a str> {
        let own = self.app.permissions.iter().filter(|(_, own)| *own.resource == *resource);
        own.map(|(_, own)| &*own.scope).collect()
    }
}

/// What is left of a name without case, spaces and dashes.
pub(super) fn letters(text: &str) -> String {
    text.chars().filter(|own| own.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}
