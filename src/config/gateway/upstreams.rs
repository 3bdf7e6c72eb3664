//! Reads `[upstreams.NAME]`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::super::diagnostic::{Diagnostic, Span, code};
use super::super::raw::{Entry, Fields, Node, Raw, Table};
use super::read::{Reader, is_empty_list};
use super::{Credential, CredentialSource, Place, UpstreamConfig, robust, units, upstream_tls};

/// A place that an upstream has taken, and where it says so.
pub(super) type Taken = (Place, Span);

pub(super) fn upstream(
    reader: &mut Reader<'_>,
    entry: &Entry,
    table: &Table,
    taken: &mut Vec<Taken>,
) -> UpstreamConfig {
    let mut fields = Fields::new(table);
    let at_node = fields.require("at", entry.span, reader.diagnostics);
    let at = places(reader, at_node, taken);
    let servers_node = fields.require("servers", entry.span, reader.diagnostics);
    let servers = reader.parsed_list(servers_node, units::server);
    for (node, message) in [(at_node, "names no place to serve"), (servers_node, "names no server")] {
        if let Some(node) = node.filter(|node| is_empty_list(node)) {
            reader.mistake(node.span, message);
        }
    }
    if let Some(node) = servers_node.filter(|_| servers.len() > UpstreamConfig::SERVERS_MAX) {
        reader.mistake(node.span, &format!("at most {} servers", UpstreamConfig::SERVERS_MAX));
    }
    let protocol = upstream_tls::protocol(reader, fields.take("protocol"), &servers);
    let tls = fields.entry("tls").and_then(|entry| upstream_tls::tls(reader, entry, &servers));
    let calls = upstream_tls::calls(reader, fields.take("grpc"), protocol);
    let strip = strip(reader, fields.take("strip"), &at);
    let credential = fields.entry("credential").and_then(|entry| credential(reader, entry));
    let (minute, day) = (Duration::from_secs(60), Duration::from_secs(24 * 3600));
    let connect_timeout =
        reader.duration(fields.take("connect-timeout"), UpstreamConfig::CONNECT_TIMEOUT, minute);
    let read_timeout = reader.duration(fields.take("read-timeout"), UpstreamConfig::READ_TIMEOUT, day);
    let total_timeout = reader.duration(fields.take("total-timeout"), UpstreamConfig::TOTAL_TIMEOUT, day);
    let name = Arc::from(entry.key.as_str());
    let config = UpstreamConfig {
        at,
        protocol,
        calls,
        tls,
        strip,
        credential,
        connect_timeout,
        read_timeout,
        total_timeout,
        ..UpstreamConfig::new(name, servers)
    };
    let config = robust::robust(reader, &mut fields, config);
    fields.finish(reader.diagnostics);
    config
}

/// Where a secret is, never what it is.
fn credential(reader: &mut Reader<'_>, entry: &Entry) -> Option<Credential> {
    if let Raw::Text(..) = entry.value.value {
        reader.diagnostics.push(
            Diagnostic::error(code::WRONG_TYPE, "a secret doesn't stand in this file")
                .at(entry.value.span, "")
                .help("`{ file = \"secrets/NAME\" }`, or `{ env = \"NAME\" }`"),
        );
        return None;
    }
    let table = entry.value.table(reader.diagnostics)?;
    let mut fields = Fields::new(table);
    let (file, env) = (fields.take("file"), fields.take("env"));
    fields.finish(reader.diagnostics);
    let text = |reader: &mut Reader<'_>, node: &Node| {
        let text = node.text(reader.diagnostics)?;
        let is_name = !text.value.trim().is_empty() && !text.value.contains(['\0', '=']);
        if !is_name {
            reader.mistake(text.inner(), "names nothing");
        }
        is_name.then(|| text.value.to_owned())
    };
    let source = match (file, env) {
        (Some(file), None) => {
            let name = text(reader, file)?;
            CredentialSource::File(reader.base.join(name))
        }
        (None, Some(env)) => CredentialSource::Env(text(reader, env)?),
        _ => {
            reader.mistake(entry.value.span, "a credential comes from one place: `file` or `env`");
            return None;
        }
    };
    Some(Credential::new(source))
}

fn places(reader: &mut Reader<'_>, node: Option<&Node>, taken: &mut Vec<Taken>) -> Vec<Place> {
    let mut places = BTreeSet::new();
    for item in node.and_then(|node| node.list(reader.diagnostics)).unwrap_or_default() {
        let Some(place) = reader.parsed(Some(item), units::place) else { continue };
        if let Some((_, first)) = taken.iter().find(|(other, _)| *other == place) {
            reader.diagnostics.push(
                Diagnostic::error(code::DUPLICATE, "this place is served twice")
                    .at(item.span, "")
                    .also(*first, "here too"),
            );
        }
        taken.push((place.clone(), item.span));
        places.insert(place);
    }
    places.into_iter().collect()
}

/// What is cut off must stand at the front of everything that the upstream serves; otherwise some requests
/// would be forwarded with it and some without.
fn strip(reader: &mut Reader<'_>, node: Option<&Node>, at: &[Place]) -> Option<String> {
    let prefix = reader.parsed(node, units::prefix).filter(|prefix| prefix != "/")?;
    let under = |place: &&Place| {
        place.prefix.strip_prefix(&prefix).is_none_or(|rest| !rest.is_empty() && !rest.starts_with('/'))
    };
    if let Some((outside, node)) = at.iter().find(under).zip(node) {
        let message = format!("`at` serves `{}`, which doesn't begin with that", outside.prefix);
        reader.mistake(node.span, &message);
    }
    Some(prefix)
}
