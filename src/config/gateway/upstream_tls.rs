//! Reads `[upstreams.NAME] protocol`, `grpc` and `tls`. There is no key that turns verification off.

use std::path::PathBuf;

use rustls::pki_types::ServerName;

use super::super::diagnostic::{Diagnostic, code};
use super::super::raw::{Entry, Fields, Node};
use super::read::Reader;
use super::{Calls, ClientIdentity, Protocol, Scheme, ServerAddress, UpstreamTls};

pub(super) fn protocol(reader: &mut Reader<'_>, node: Option<&Node>, servers: &[ServerAddress]) -> Protocol {
    let Some(text) = node.and_then(|node| node.text(reader.diagnostics)) else { return Protocol::default() };
    match text.value {
        "http1" => Protocol::Http1,
        "h2" => Protocol::Http2,
        "auto" => {
            if servers.iter().any(|server| server.scheme == Scheme::Http) {
                reader.mistake(text.inner(), "only TLS lets a server choose: say `http1` or `h2`");
            }
            Protocol::Auto
        }
        other => {
            reader.diagnostics.push(
                Diagnostic::error(code::BAD_VALUE, format!("unknown protocol `{other}`"))
                    .at(text.inner(), "")
                    .nearest(text.inner(), other, ["http1", "h2", "auto"]),
            );
            Protocol::default()
        }
    }
}

pub(super) fn calls(reader: &mut Reader<'_>, node: Option<&Node>, protocol: Protocol) -> Calls {
    let Some(node) = node.filter(|node| node.bool(reader.diagnostics) == Some(true)) else {
        return Calls::Refused;
    };
    if protocol == Protocol::Http1 {
        reader.mistake(node.span, "gRPC needs HTTP/2: say `protocol = \"h2\"`, or `\"auto\"`");
    }
    Calls::Passed
}

pub(super) fn tls(reader: &mut Reader<'_>, entry: &Entry, servers: &[ServerAddress]) -> Option<UpstreamTls> {
    let mut fields = Fields::new(entry.value.table(reader.diagnostics)?);
    let authorities = file(reader, fields.take("ca"));
    let (certificate, key) = (fields.take("certificate"), fields.take("key"));
    let server_name = reader.parsed(fields.take("server-name"), |text| {
        ServerName::try_from(text.to_owned()).map_err(|_| "that is not a host name")
    });
    fields.finish(reader.diagnostics);
    let identity = match (certificate, key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => file(reader, Some(certificate))
            .zip(file(reader, Some(key)))
            .map(|(certificate, key)| ClientIdentity { certificate, key }),
        (Some(alone), None) | (None, Some(alone)) => {
            reader.mistake(alone.span, "a certificate and its key come together");
            None
        }
    };
    if !servers.is_empty() && servers.iter().all(|server| server.scheme == Scheme::Http) {
        reader.mistake(entry.span, "no server here is spoken to over TLS: say `https://`");
    }
    Some(UpstreamTls::new(authorities, identity, server_name))
}

fn file(reader: &mut Reader<'_>, node: Option<&Node>) -> Option<PathBuf> {
    let text = node?.text(reader.diagnostics)?;
    if text.value.is_empty() || text.value.ends_with('/') {
        reader.mistake(text.inner(), "names no file");
        return None;
    }
    Some(reader.base.join(text.value))
}
