//! Everything that a set names outside of itself and can't do without: certificates, keys, authorities, secrets. Read before
//! the set is live, all of it, so that whoever mends it is told of everything at once, at the places that name it.

use super::{certificates, credentials, upstream_tls};
use crate::audit;
use crate::config::diagnostic::code;
use crate::config::raw::{self, Table};
use crate::config::{Diagnostic, Diagnostics, FileKind, Sources, Span};
use crate::plumbing::GatewayConfig;
use crate::request::Timestamp;

/// Reads what a set names.
pub fn read_all(sources: &Sources, config: &GatewayConfig, now: Timestamp) -> Result<(), Diagnostics> {
    let readings = [
        credentials::read_all(config, sources),
        upstream_tls::read_all(config, sources),
        certificates::read_all(sources, config, now),
        log_key(sources, config),
    ];
    let mut all = Diagnostics::default();
    for mistakes in readings.into_iter().filter_map(Result::err) {
        mistakes.iter().cloned().for_each(|own| all.push(own));
    }
    all.sort();
    if all.is_empty() { Ok(()) } else { Err(all) }
}

/// The key that the decision log hashes subjects with: without it no line would say whose it is.
fn log_key(sources: &Sources, config: &GatewayConfig) -> Result<(), Diagnostics> {
    let Err(why) = audit::key(&config.decisions) else { return Ok(()) };
    let message = format!("the key of [decisions] can't be used: {why}");
    let diagnostic = Diagnostic::error(code::UNREADABLE, message);
    let mut diagnostics = Diagnostics::default();
    diagnostics.push(match entry(sources, &["decisions", "key"]) {
        Some(span) => diagnostic.at(span, ""),
        None => diagnostic,
    });
    Err(diagnostics)
}

/// Where `gateway.toml` says something, if it does.
fn entry(sources: &Sources, [table, key]: &[&str; 2]) -> Option<Span> {
    let mut files = sources.files.iter().zip(0u32..);
    let (file, index) = files.find(|(file, _)| file.kind == FileKind::Gateway)?;
    let root = raw::parse(index, &file.text, &mut Diagnostics::default());
    Some(root.get(table)?.value.as_table()?.get(key)?.value.span)
}

/// Where an upstream says something of itself: the value that names `file`, if one does, else the whole. It is looked for
/// only when there is something to say about it.
pub(super) fn place(sources: &Sources, upstream: &str, key: &str, why: &str) -> Option<Span> {
    let mut files = sources.files.iter().zip(0u32..);
    let (file, index) = files.find(|(file, _)| file.kind == FileKind::Gateway)?;
    let root = raw::parse(index, &file.text, &mut Diagnostics::default());
    let own = root.get("upstreams")?.value.as_table()?.get(upstream)?.value.as_table()?.get(key)?;
    let named = own.value.as_table().and_then(|table| named(table, why));
    Some(named.unwrap_or(own.span))
}

/// The longest value that a sentence speaks of.
fn named(table: &Table, why: &str) -> Option<Span> {
    let texts = table.entries.iter().filter_map(|entry| entry.value.as_text());
    let spoken = texts.filter(|text| !text.value.is_empty() && why.contains(text.value));
    spoken.max_by_key(|text| text.value.len()).map(|text| text.inner())
}
