//! `rules/tenants.toml`: who the customers are, by which ids, and what is set for them.
//!
//! A tenant's settings are the facts that its apps declare under `[facts.tenant]`, every one of them, so that a
//! file that is cut off can't leave a guard without its value.

mod seats;

use std::collections::HashMap;
use std::sync::Arc;

use super::diagnostic::{Diagnostic, Diagnostics, Span, code};
use super::raw::{Entry, Fields, Node, Raw, Table, Text};
use crate::fact::{Literal, Type};
use crate::seat::{Over, Seats};
use crate::tenant::{Directory, Settings, Tenant};
use crate::zone::Zone;

/// What an app declares that its tenants have set.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) app: Arc<str>,
    pub(super) name: Box<str>,
    pub(super) kind: Type,
    pub(super) members: Members,
}

impl Setting {
    fn described(&self) -> String {
        match self.members {
            Members::Tenants => "a set of tenants and organisations".to_owned(),
            Members::Strings => format!("a {} as it is written", self.kind),
        }
    }
}

/// What the strings of a set are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Members {
    /// Strings as they are.
    Strings,
    /// Names of tenants and organisations, read as their ids.
    Tenants,
}

/// The file while it is read.
#[derive(Debug, Default)]
pub(super) struct Draft<'n> {
    rows: Vec<Row<'n>>,
    organisations: Vec<(Box<str>, Vec<Box<str>>)>,
}

#[derive(Debug)]
struct Row<'n> {
    name: Arc<str>,
    span: Span,
    ids: Vec<Box<str>>,
    apps: Vec<Text<'n>>,
    apps_span: Span,
    settings: Option<&'n Entry>,
    seats: Option<(&'n Entry, Seats)>,
    zone: (Option<&'n Entry>, Zone),
}

/// Reads names, ids and apps; settings wait for what the apps declare.
pub(super) fn read<'n>(table: &'n Table, diagnostics: &mut Diagnostics) -> Draft<'n> {
    let mut fields = Fields::new(table);
    let tenants = fields.take("tenant").and_then(|node| node.table(diagnostics));
    let organisations = fields.take("organisation").and_then(|node| node.table(diagnostics));
    fields.finish(diagnostics);
    let mut draft = Draft::default();
    let mut owners: HashMap<Box<str>, Span> = HashMap::new();
    let mut names: HashMap<&str, Span> = HashMap::new();
    for (entry, is_tenant) in
        entries(tenants).map(|own| (own, true)).chain(entries(organisations).map(|own| (own, false)))
    {
        check_name(entry, &mut names, diagnostics);
        let Some(inner) = entry.value.table(diagnostics) else { continue };
        let mut fields = Fields::new(inner);
        let ids =
            fields.require("ids", entry.span, diagnostics).map(|node| ids(node, &mut owners, diagnostics));
        let ids = ids.unwrap_or_default();
        if is_tenant {
            let apps = fields.require("apps", entry.span, diagnostics);
            let zone = fields.entry("time-zone");
            draft.rows.push(Row {
                name: entry.key.as_str().into(),
                span: entry.span,
                ids,
                apps: apps.and_then(|node| node.texts(diagnostics)).unwrap_or_default(),
                apps_span: apps.map_or(entry.span, |node| node.span),
                settings: fields.entry("settings"),
                seats: fields.entry("seats").map(|entry| (entry, seats::seats(entry, diagnostics))),
                zone: (zone, zone.and_then(|own| seats::zone(&own.value, diagnostics)).unwrap_or_default()),
            });
        } else {
            draft.organisations.push((entry.key.as_str().into(), ids));
        }
        fields.finish(diagnostics);
    }
    draft
}

fn entries(table: Option<&Table>) -> impl Iterator<Item = &Entry> {
    table.map_or(&[][..], |table| &table.entries).iter()
}

fn check_name<'n>(entry: &'n Entry, names: &mut HashMap<&'n str, Span>, diagnostics: &mut Diagnostics) {
    let plain = entry.key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !plain || entry.key.is_empty() || entry.key.len() > 64 {
        let message = format!("`{}` is no name for a tenant", entry.key);
        diagnostics.push(
            Diagnostic::error(code::BAD_VALUE, message).at(entry.span, "lower-case letters, digits and `-`"),
        );
    }
    if let Some(first) = names.insert(&entry.key, entry.span) {
        diagnostics.push(
            Diagnostic::error(code::DUPLICATE, format!("`{}` is a tenant and an organisation", entry.key))
                .at(entry.span, "again here")
                .also(first, "first here"),
        );
    }
}

/// Ids are compared byte for byte and travel in headers, so they are visible ASCII; one belongs to one row.
fn ids(node: &Node, owners: &mut HashMap<Box<str>, Span>, diagnostics: &mut Diagnostics) -> Vec<Box<str>> {
    let texts = node.texts(diagnostics).unwrap_or_default();
    if texts.is_empty() {
        diagnostics.push(Diagnostic::error(code::MISSING, "no id").at(node.span, "what do tokens call it?"));
    }
    for text in &texts {
        if text.value.is_empty() || !text.value.bytes().all(|b| b.is_ascii_graphic()) {
            diagnostics.push(Diagnostic::error(code::BAD_VALUE, "an id is visible ASCII").at(text.span, ""));
        }
        if text.value == CONSUMERS {
            let message = "this is the tenant of personal accounts, whose tokens are always refused";
            diagnostics.push(Diagnostic::error(code::BAD_VALUE, message).at(text.inner(), ""));
        }
        if let Some(first) = owners.insert(text.value.into(), text.inner()) {
            diagnostics.push(
                Diagnostic::error(code::DUPLICATE, format!("id `{}` belongs to two rows", text.value))
                    .at(text.inner(), "again here")
                    .also(first, "first here"),
            );
        }
    }
    texts.iter().map(|text| text.value.into()).collect()
}

/// Entra's tenant of personal accounts.
const CONSUMERS: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

impl Draft<'_> {
    /// Names, ids and apps, without settings: enough to link rule files.
    pub(super) fn outline(&self) -> Directory {
        self.directory(|_| Settings::default())
    }

    /// The finished directory. `declared` is what the apps say that tenants have.
    pub(super) fn finish(
        &self,
        declared: &[Setting],
        apps: &[Arc<str>],
        diagnostics: &mut Diagnostics,
    ) -> Directory {
        let mut settings: HashMap<Arc<str>, Settings> = HashMap::new();
        for row in &self.rows {
            for text in &row.apps {
                if !apps.iter().any(|app| **app == *text.value) {
                    diagnostics.push(
                        Diagnostic::error(code::UNKNOWN_APP, format!("unknown app `{}`", text.value))
                            .at(text.inner(), "no rule file is for it")
                            .nearest(text.inner(), text.value, apps.iter().map(|app| &**app)),
                    );
                }
            }
            settings.insert(row.name.clone(), self.settings(row, declared, diagnostics));
        }
        self.directory(|name| settings.remove(name).unwrap_or_default())
    }

    fn directory(&self, mut settings: impl FnMut(&str) -> Settings) -> Directory {
        let tenant = |row: &Row<'_>| {
            let apps = row.apps.iter().map(|text| text.value.into()).collect();
            let tenant = Tenant::new(row.name.clone(), row.ids.clone(), apps, settings(&row.name));
            let seats = row.seats.map(|(_, seats)| seats).unwrap_or_default();
            Arc::new(tenant.with_seats(seats).with_zone(row.zone.1.clone()))
        };
        let tenants = self.rows.iter().map(tenant).collect();
        Directory::new(tenants, self.organisations.iter().flat_map(|(_, ids)| ids.clone()))
    }

    fn settings(&self, row: &Row<'_>, declared: &[Setting], diagnostics: &mut Diagnostics) -> Settings {
        let wanted: Vec<_> =
            declared.iter().filter(|wanted| row.apps.iter().any(|own| *own.value == *wanted.app)).collect();
        let settings = row.settings.filter(|_| !wanted.is_empty()).map(|entry| entry.span);
        let last = settings.map_or(row.apps_span, |settings| settings.max(row.apps_span));
        let refusing = row.seats.filter(|(_, seats)| seats.over == Over::Refuse).map(|(entry, _)| entry);
        for entry in refusing.into_iter().chain(row.zone.0) {
            seats::check_place(entry, last, diagnostics);
        }
        let table = row.settings.and_then(|entry| entry.value.table(diagnostics));
        let mut found = Settings::default();
        for own in entries(table) {
            let Some(setting) = wanted.iter().find(|setting| *setting.name == *own.key) else {
                let names = wanted.iter().map(|setting| &*setting.name);
                diagnostics.push(
                    Diagnostic::error(code::UNKNOWN_KEY, format!("unknown setting `{}`", own.key))
                        .at(own.span, "none of the tenant's apps declares it under [facts.tenant]")
                        .nearest(own.span, &own.key, names),
                );
                continue;
            };
            let meaning = |setting: &Setting| (setting.kind, setting.members);
            let other =
                wanted.iter().find(|two| two.name == setting.name && meaning(two) != meaning(setting));
            if let Some(other) = other {
                let message = format!(
                    "`{}` is {} to `{}` and {} to `{}`",
                    own.key,
                    setting.described(),
                    setting.app,
                    other.described(),
                    other.app
                );
                diagnostics.push(
                    Diagnostic::error(code::TYPES, message)
                        .at(own.span, "one value can't be both")
                        .help("give it another name in one of the two apps"),
                );
            }
            if let Some(value) = self.value(&own.value, setting, diagnostics) {
                found.insert(own.key.as_str().into(), value);
            }
        }
        for Setting { app, name, .. } in wanted {
            if table.is_none_or(|table| table.get(name).is_none()) {
                let span = row.settings.map_or(row.span, |entry| entry.span);
                let message = format!("tenant `{}` has no setting `{name}`", row.name);
                let help = format!("`{app}` declares it; an empty list is a value too");
                diagnostics.push(
                    Diagnostic::error(code::MISSING, message).at(span, format!("needs `{name}`")).help(help),
                );
            }
        }
        found
    }

    fn value(&self, node: &Node, setting: &Setting, diagnostics: &mut Diagnostics) -> Option<Literal> {
        let kind = setting.kind;
        let value = match (&node.value, kind) {
            (Raw::Text(text, _), Type::String) => Some(Literal::Text(text.as_str().into())),
            (Raw::Text(text, _), Type::Node) if crate::fact::is_node(text) => {
                Some(Literal::Text(text.as_str().into()))
            }
            (Raw::Text(text, _), Type::Time) => crate::fact::Mark::parse(text).map(Literal::Time),
            (Raw::Text(text, _), Type::Ip) => text.parse().ok().map(Literal::Ip),
            (Raw::Bool(value), Type::Bool) => Some(Literal::Bool(*value)),
            (Raw::Int(value), Type::Int) => Some(Literal::Int(*value)),
            (Raw::List(_), Type::Set) => return Some(self.set(node, setting.members, diagnostics)),
            (Raw::List(_), Type::Nets) => {
                let texts = node.texts(diagnostics)?;
                let mut nets = Vec::new();
                for text in texts {
                    match crate::fact::network(text.value) {
                        Some(net) => nets.push(net),
                        None => {
                            let message = format!("`{}` is no network", text.value);
                            diagnostics.push(
                                Diagnostic::error(code::BAD_VALUE, message)
                                    .at(text.span, "expected `10.0.0.0/8`"),
                            );
                        }
                    }
                }
                Some(Literal::Nets(nets.into()))
            }
            _ => None,
        };
        if value.is_none() {
            let message = format!("expected a value of type {kind}, found {}", node.type_name());
            diagnostics.push(Diagnostic::error(code::WRONG_TYPE, message).at(node.span, ""));
        }
        value
    }

    fn set(&self, node: &Node, members: Members, diagnostics: &mut Diagnostics) -> Literal {
        let texts = node.texts(diagnostics).unwrap_or_default();
        if members == Members::Strings {
            if let Some(text) = texts.iter().find(|text| self.ids_of(text.value).is_some()) {
                let message =
                    format!("`{}` is read as it is written, though a row has that name", text.value);
                diagnostics.push(
                    Diagnostic::warning(code::TYPES, message)
                        .at(text.inner(), "tokens don't call anyone so")
                        .help("declare the setting as `tenants` in the rule file to have its ids"),
                );
            }
            return Literal::set(texts.iter().map(|text| text.value.into()).collect());
        }
        let mut items = Vec::new();
        for text in texts {
            match self.ids_of(text.value) {
                Some(ids) => items.extend_from_slice(ids),
                None => {
                    let message = format!("`{}` names no tenant or organisation", text.value);
                    let mut diagnostic = Diagnostic::error(code::UNKNOWN_TENANT, message)
                        .at(text.inner(), "not a row of this file");
                    if !diagnostics.is_crowded() {
                        diagnostic = diagnostic.nearest(text.inner(), text.value, self.names());
                    }
                    diagnostics.push(diagnostic);
                }
            }
        }
        Literal::set(items)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().map(|row| &*row.name).chain(self.organisations.iter().map(|(name, _)| &**name))
    }

    fn ids_of(&self, name: &str) -> Option<&[Box<str>]> {
        let tenant = self.rows.iter().find(|row| *row.name == *name).map(|row| &row.ids[..]);
        tenant.or_else(|| self.organisations.iter().find(|(own, _)| **own == *name).map(|(_, ids)| &ids[..]))
    }
}
