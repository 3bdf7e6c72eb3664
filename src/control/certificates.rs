//! Reads the certificates that callers are presented, and the authorities of those that callers present, when the gateway
//! starts, when it reloads, and whenever the files are looked at: a certificate that was exchanged is used by the next
//! handshake, without a reload. What can't be used refuses a new set, at the place that names it; the live one keeps what
//! it read last.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::diagnostic::{Code, code};
use crate::config::raw::{self, Raw, Table};
use crate::config::{Diagnostic, Diagnostics, FileKind, Sources, Span, gateway};
use crate::plumbing::{GatewayConfig, TlsConfig};
use crate::proxy::tls::present::{Material, Pair, Part, Unfit};
use crate::request::Timestamp;

/// Longest file that is read.
const FILE_MAX_BYTES: u64 = 1 << 20;

/// Reads every certificate of a set that is about to be live.
pub fn read_all(sources: &Sources, config: &GatewayConfig, now: Timestamp) -> Result<(), Diagnostics> {
    let Some(tls) = &config.listen.tls else { return Ok(()) };
    let material = read(tls).map_err(|unfit| told(sources, tls, &unfit, code::UNREADABLE))?;
    let presented = material.present().map_err(|unfit| told(sources, tls, &unfit, code::BAD_VALUE))?;
    for (name, end) in &presented.ends {
        if *end <= now {
            tracing::warn!(certificate = &**name, "has expired: callers will refuse it");
        }
    }
    tls.hold(presented);
    Ok(())
}

/// Reads the live set's certificates again.
pub fn refresh(config: &GatewayConfig) {
    let Some(tls) = &config.listen.tls else { return };
    // What stands in the way is told where the set as a whole is judged again.
    let Ok(material) = read(tls) else { return };
    if is_held(tls, &material) {
        return;
    }
    if let Ok(presented) = material.present() {
        let ends = presented.ends.iter().map(|(name, end)| format!("{name} until {}", day(*end)));
        let certificates = ends.collect::<Vec<_>>().join(", ");
        tls.hold(presented);
        tracing::info!(certificates, "certificates exchanged");
    }
}

/// What can't be used of the certificates that a set names: nothing where all is well. Two looks at the same files differ in
/// it when a certificate breaks or is mended, though nothing else has changed.
#[must_use]
pub fn unusable(sources: &Sources, live: &GatewayConfig) -> String {
    let mut files = sources.files.iter().zip(0u32..);
    let Some((file, index)) = files.find(|(file, _)| file.kind == FileKind::Gateway) else {
        return String::new();
    };
    let config = gateway::read(index, file, &mut Diagnostics::default());
    let Some(tls) = &config.listen.tls else { return String::new() };
    let unfit = match read(tls) {
        // Making it anew costs more than looking whether it is what is held.
        Ok(material) if live.listen.tls.as_ref().is_some_and(|live| is_held(live, &material)) => None,
        Ok(material) => material.present().err(),
        Err(unfit) => Some(unfit),
    };
    unfit.map(|unfit| format!(" -{:?}: {unfit}", unfit.part)).unwrap_or_default()
}

/// When each of the live set's certificates ends.
#[must_use]
pub fn ends(config: &GatewayConfig) -> Vec<(Arc<str>, Timestamp)> {
    let held = config.listen.tls.as_ref().and_then(TlsConfig::held);
    held.map(|held| held.ends.clone()).unwrap_or_default()
}

/// The files that a set is read from besides.
pub fn files(config: &GatewayConfig) -> impl Iterator<Item = &PathBuf> {
    let tls = config.listen.tls.iter();
    tls.flat_map(|tls| {
        let pairs = tls.certificates.iter().flat_map(|files| [&files.certificate, &files.key]);
        pairs.chain(tls.clients.iter().map(|clients| &clients.authorities))
    })
}

fn is_held(tls: &TlsConfig, material: &Material) -> bool {
    tls.held().is_some_and(|held| held.digest == material.digest())
}

fn read(tls: &TlsConfig) -> Result<Material, Unfit> {
    let unread = |part: Part| move |why: io::Error| Unfit { part, why: format!("can't be read: {why}") };
    let mut pairs = Vec::new();
    for (index, files) in tls.certificates.iter().enumerate() {
        pairs.push(Pair {
            name: files.name.clone(),
            certificate: read_file(&files.certificate).map_err(unread(Part::Certificate(index)))?,
            key: read_file(&files.key).map_err(unread(Part::Key(index)))?,
        });
    }
    let clients = tls.clients.as_ref().map(|clients| {
        let authorities = read_file(&clients.authorities).map_err(unread(Part::Authorities))?;
        Ok((authorities, clients.presence))
    });
    Ok(Material { pairs, clients: clients.transpose()? })
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    file.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_MAX_BYTES {
        return Err(io::Error::other("it is longer than 1 MiB"));
    }
    Ok(bytes)
}

/// The mistake, at the place in `gateway.toml` that names the file.
fn told(sources: &Sources, tls: &TlsConfig, unfit: &Unfit, code: Code) -> Diagnostics {
    let path = match unfit.part {
        Part::Certificate(index) => tls.certificates.get(index).map(|files| &files.certificate),
        Part::Key(index) => tls.certificates.get(index).map(|files| &files.key),
        Part::Authorities => tls.clients.as_ref().map(|clients| &clients.authorities),
        Part::All => None,
    };
    let message = match path {
        Some(path) => format!("`{}` {}", path.display(), unfit.why),
        None => format!("callers can't be shown a certificate: {}", unfit.why),
    };
    let diagnostic = Diagnostic::error(code, message);
    let mut diagnostics = Diagnostics::default();
    diagnostics.push(match place(sources, unfit.part) {
        Some(span) => diagnostic.at(span, ""),
        None => diagnostic,
    });
    diagnostics
}

/// Where a file is named. It is looked for only when there is something to say about it.
fn place(sources: &Sources, part: Part) -> Option<Span> {
    let mut files = sources.files.iter().zip(0u32..);
    let (file, index) = files.find(|(file, _)| file.kind == FileKind::Gateway)?;
    let root = raw::parse(index, &file.text, &mut Diagnostics::default());
    let tls = root.get("listen")?.value.as_table()?.get("tls")?;
    let pair = |number: usize| -> Option<&Table> {
        let list = match &tls.value.value {
            Raw::Table(table) => match table.get("certificates") {
                Some(entry) => &entry.value.value,
                None => return Some(table),
            },
            other => other,
        };
        match list {
            Raw::List(items) => items.get(number)?.as_table(),
            _ => None,
        }
    };
    let entry = match part {
        Part::Certificate(number) => pair(number)?.get("certificate")?,
        Part::Key(number) => pair(number)?.get("key")?,
        Part::Authorities => tls.value.as_table()?.get("clients")?.value.as_table()?.get("ca")?,
        Part::All => tls,
    };
    Some(entry.value.span)
}

fn day(at: Timestamp) -> String {
    let at = i64::try_from(at.0).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    at.map_or_else(String::new, |at| at.strftime("%Y-%m-%d").to_string())
}
