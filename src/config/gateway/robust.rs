//! Reads what of `[upstreams.NAME]` says how the gateway goes on when servers don't: balance, health, retries, limits.

use std::time::Duration;

use http::StatusCode;

use super::super::diagnostic::{Diagnostic, code};
use super::super::raw::{Fields, Node};
use super::read::Reader;
use super::{Balance, HealthCheck, Protocol, UpstreamConfig};
use crate::request::CanonicalPath;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Completes an upstream by these keys.
pub(super) fn robust(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'_>,
    mut config: UpstreamConfig,
) -> UpstreamConfig {
    config.balance = balance(reader, fields.take("balance"));
    config.health = fields.take("health").and_then(|node| health(reader, node));
    if let Some(node) = fields.take("try-timeout") {
        config.try_timeout = Some(reader.duration(Some(node), config.read_timeout, DAY));
        if config.protocol == Protocol::Http2 {
            reader.mistake(
                node.span,
                "has no effect beside `protocol = \"h2\"`: it is for tries over HTTP/1.1",
            );
        }
    }
    if let Some(node) = fields.take("retries") {
        config.retries = reader.count(node, 0, 10);
    }
    limits(reader, fields.take("limits"), &mut config);
    config.connection_age = reader.duration(fields.take("connection-age"), config.connection_age, DAY);
    config.resolve_every = reader.duration(fields.take("resolve-every"), config.resolve_every, DAY);
    config
}

fn balance(reader: &mut Reader<'_>, node: Option<&Node>) -> Balance {
    let Some(text) = node.and_then(|node| node.text(reader.diagnostics)) else { return Balance::default() };
    if let Some(found) = Balance::ALL.into_iter().find(|way| way.as_str() == text.value) {
        return found;
    }
    let span = text.inner();
    reader.diagnostics.push(
        Diagnostic::error(code::BAD_VALUE, format!("unknown way to balance `{}`", text.value))
            .at(span, "")
            .nearest(span, text.value, Balance::ALL.map(Balance::as_str)),
    );
    Balance::default()
}

fn health(reader: &mut Reader<'_>, node: &Node) -> Option<HealthCheck> {
    let mut fields = Fields::new(node.table(reader.diagnostics)?);
    let path = fields.require("path", node.span, reader.diagnostics);
    let path = reader.parsed(path, health_path);
    let every = reader.duration(fields.take("every"), HealthCheck::EVERY, Duration::from_secs(3600));
    let timeout = fields.take("timeout");
    let timeout = reader.duration(timeout, HealthCheck::TIMEOUT.min(every), every);
    let expect = fields.take("expect").map_or(HealthCheck::EXPECT, |node| status(reader, node));
    let mut row = |key, default| {
        let node = fields.take(key);
        node.map_or(default, |node| u32::try_from(reader.count(node, 1, 100)).unwrap_or(default))
    };
    let (healthy, unhealthy) =
        (row("healthy", HealthCheck::HEALTHY), row("unhealthy", HealthCheck::UNHEALTHY));
    fields.finish(reader.diagnostics);
    Some(HealthCheck { path: path?, every, timeout, expect, healthy, unhealthy })
}

/// A path, perhaps with a query, that goes out as it stands.
fn health_path(text: &str) -> Result<String, &'static str> {
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    CanonicalPath::parse(path).map_err(|_| "that is not a plain path, such as \"/health\"")?;
    let is_plain = query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    is_plain.then(|| text.to_owned()).ok_or("that is not a plain query")
}

fn status(reader: &mut Reader<'_>, node: &Node) -> u16 {
    let known = node.int(reader.diagnostics).and_then(|number| u16::try_from(number).ok());
    match known.and_then(|number| StatusCode::from_u16(number).ok()) {
        Some(status) if (200..600).contains(&status.as_u16()) => status.as_u16(),
        _ => {
            reader.mistake(node.span, "must be a status of a whole answer, from 200 to 599");
            HealthCheck::EXPECT
        }
    }
}

fn limits(reader: &mut Reader<'_>, node: Option<&Node>, config: &mut UpstreamConfig) {
    let Some(table) = node.and_then(|node| node.table(reader.diagnostics)) else { return };
    let mut fields = Fields::new(table);
    if let Some(node) = fields.take("in-flight") {
        config.in_flight = reader.count(node, 1, 1_000_000);
    }
    if let Some(node) = fields.take("pending") {
        config.pending = reader.count(node, 0, 1_000_000);
    }
    config.pending_timeout = reader.duration(fields.take("pending-timeout"), config.pending_timeout, MINUTE);
    fields.finish(reader.diagnostics);
}
