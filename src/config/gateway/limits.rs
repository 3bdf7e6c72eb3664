//! Reads `[limits]`.

use std::time::Duration;

use super::super::raw::{Fields, Node};
use super::Limits;
use super::read::Reader;

impl Reader<'_> {
    pub(super) fn limits(&mut self, node: Option<&Node>) -> Limits {
        let mut limits = Limits::default();
        let Some(table) = node.and_then(|node| node.table(self.diagnostics)) else { return limits };
        let mut fields = Fields::new(table);
        let counts: [(&'static str, &mut usize, usize); 9] = [
            ("connections", &mut limits.connections, 1_000_000),
            ("connections-per-client", &mut limits.connections_per_client, 1_000_000),
            ("handshakes", &mut limits.handshakes, 1_000_000),
            ("requests", &mut limits.requests, 1_000_000),
            ("headers", &mut limits.headers, 1_000),
            ("upstream-idle-connections", &mut limits.upstream_idle_connections, 10_000),
            ("cached-tokens", &mut limits.cached_tokens, 1_000_000),
            ("sockets", &mut limits.sockets, 1_000_000),
            ("socket-packets-per-second", &mut limits.socket_packets_per_second, 100_000),
        ];
        for (key, value, most) in counts {
            if let Some(node) = fields.take(key) {
                *value = self.count(node, 1, most);
            }
        }
        let sizes: [(&'static str, &mut usize); 2] =
            [("head", &mut limits.head_bytes), ("upstream-head", &mut limits.upstream_head_bytes)];
        for (key, value) in sizes {
            let bytes = self.size(fields.take(key), 8 << 10, 1 << 20);
            *value = bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(*value);
        }
        let message = self.size(fields.take("socket-message"), 1 << 10, 1 << 26);
        let message = message.and_then(|bytes| usize::try_from(bytes).ok());
        limits.socket_message_bytes = message.unwrap_or(limits.socket_message_bytes);
        limits.body_bytes = self.size(fields.take("body"), 0, 1 << 40).unwrap_or(limits.body_bytes);
        let rule_body = self.size(fields.take("rule-body"), 1 << 10, 1 << 20);
        limits.rule_body_bytes = rule_body.unwrap_or(limits.rule_body_bytes);
        let hour = Duration::from_secs(3600);
        let times: [(&'static str, &mut Duration); 5] = [
            ("handshake-timeout", &mut limits.handshake_timeout),
            ("head-timeout", &mut limits.head_timeout),
            ("body-timeout", &mut limits.body_timeout),
            ("idle-timeout", &mut limits.idle_timeout),
            ("upstream-idle-timeout", &mut limits.upstream_idle_timeout),
        ];
        for (key, value) in times {
            *value = self.duration(fields.take(key), *value, hour);
        }
        if let Some(node) = fields.take("h2-streams") {
            limits.h2_streams = u32::try_from(self.count(node, 1, 10_000)).unwrap_or(limits.h2_streams);
        }
        if let Some(node) = fields.take("requests-per-connection") {
            limits.requests_per_connection = self.count(node, 1, 1_000_000_000) as u64;
        }
        fields.finish(self.diagnostics);
        limits
    }
}
