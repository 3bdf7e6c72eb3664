//! Everything that a set names outside of itself and can't do without: certificates, keys, authorities, secrets. Read before
//! the set is live, all of it, so that whoever mends it is told of everything at once, at the places that name it.

use super::{certificates, credentials, upstream_tls};
use crate::config::raw::{self, Table};
use crate::config::{Diagnostics, FileKind, Sources, Span};
use crate::plumbing::GatewayConfig;
use crate::request::Timestamp;

/// Reads what a set names.
pub fn read_all(sources: &Sources, config: &GatewayConfig, now: Timestamp) -> Result<(), Diagnostics> {
    let readings = [
        credentials::read_all(config, sources),
        upstream_tls::read_all(config, sources),
        certificates::read_all(sources, config, now),
    ];
    let mut all = Diagnostics::default();
    for mistakes in readings.into_iter().filter_map(Result::err) {
        mistakes.iter().cloned().for_each(|own| all.push(own));
    }
    all.sort();
    if all.is_empty() { Ok(()) } else { Err(all) }
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
