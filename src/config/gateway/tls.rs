//! Reads `[listen] tls`: one certificate, or a list of them, and what callers may present themselves.

use std::path::PathBuf;
use std::sync::Arc;

use super::super::diagnostic::{Diagnostic, Span, code};
use super::super::raw::{Fields, Node, Raw};
use super::read::{Reader, is_empty_list};
use super::{CertificateFiles, ClientTrust, Presence, TlsConfig};

/// One table, several in `certificates`, or a list of tables. What can't be read is reported, and left out.
pub(super) fn tls(reader: &mut Reader<'_>, node: &Node) -> Option<TlsConfig> {
    if let Raw::List(items) = &node.value {
        let certificates = certificates(reader, node, items);
        return Some(TlsConfig::new(certificates, None));
    }
    let table = node.table(reader.diagnostics)?;
    let mut fields = Fields::new(table);
    let clients = fields.take("clients").and_then(|node| clients(reader, node));
    let certificates = match fields.take("certificates") {
        Some(list) => {
            let items = list.list(reader.diagnostics).unwrap_or_default();
            certificates(reader, list, items)
        }
        None => pair(reader, &mut fields, node.span).into_iter().map(|(files, _)| files).collect(),
    };
    fields.finish(reader.diagnostics);
    Some(TlsConfig::new(certificates, clients))
}

fn certificates(reader: &mut Reader<'_>, list: &Node, items: &[Node]) -> Vec<CertificateFiles> {
    if is_empty_list(list) {
        reader.mistake(list.span, "names no certificate");
    }
    let mut found: Vec<(CertificateFiles, Span)> = Vec::new();
    for item in items {
        let Some(table) = item.table(reader.diagnostics) else { continue };
        let mut fields = Fields::new(table);
        let read = pair(reader, &mut fields, item.span);
        if let Some(node) = table.get("clients") {
            fields.take("clients");
            reader.diagnostics.push(
                Diagnostic::error(code::BAD_VALUE, "`clients` is for all certificates of the listener")
                    .at(node.span, "")
                    .help("`tls = { certificates = [{ … }, { … }], clients = { … } }`"),
            );
        }
        fields.finish(reader.diagnostics);
        let Some((files, span)) = read else { continue };
        if let Some((_, first)) = found.iter().find(|(other, _)| other.certificate == files.certificate) {
            reader.diagnostics.push(
                Diagnostic::error(code::DUPLICATE, "this certificate is named twice")
                    .at(span, "")
                    .also(*first, "here too"),
            );
        }
        found.push((files, span));
    }
    found.into_iter().map(|(files, _)| files).collect()
}

/// `certificate` and `key`, and where the first stands.
fn pair(reader: &mut Reader<'_>, fields: &mut Fields<'_>, owner: Span) -> Option<(CertificateFiles, Span)> {
    let certificate = fields.require("certificate", owner, reader.diagnostics);
    let key = fields.require("key", owner, reader.diagnostics).and_then(|node| file(reader, node));
    let (name, path) = file(reader, certificate?)?;
    let (_, key) = key?;
    Some((CertificateFiles { name, certificate: path, key }, certificate?.span))
}

fn clients(reader: &mut Reader<'_>, node: &Node) -> Option<ClientTrust> {
    let table = node.table(reader.diagnostics)?;
    let mut fields = Fields::new(table);
    let ca = fields.require("ca", node.span, reader.diagnostics).and_then(|node| file(reader, node));
    let required = fields.require("required", node.span, reader.diagnostics);
    let required = required.and_then(|node| node.bool(reader.diagnostics));
    fields.finish(reader.diagnostics);
    let presence = if required? { Presence::Required } else { Presence::Optional };
    Some(ClientTrust { authorities: ca?.1, presence })
}

/// A file beside `gateway.toml`, as it is called there and where it is.
fn file(reader: &mut Reader<'_>, node: &Node) -> Option<(Arc<str>, PathBuf)> {
    let text = node.text(reader.diagnostics)?;
    if text.value.trim().is_empty() || text.value.contains('\0') || text.value.ends_with('/') {
        reader.mistake(text.inner(), "names no file");
        return None;
    }
    Some((text.value.into(), reader.base.join(text.value)))
}
