//! Reads `gateway.toml`: listeners, limits and the rest that is neither issuer nor upstream. Every mistake is
//! collected; what is wrong keeps its default, so that the other files' references can still be checked.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::SourceFile;
use super::super::diagnostic::{Diagnostic, Diagnostics, Span, code};
use super::super::raw::{self, Entry, Fields, Node, Raw, Table};
use super::{
    ADMIN_ADDRESS, DRAIN, GatewayConfig, LISTEN_ADDRESS, Limits, ListenConfig, LogFormat, RULES_DIRECTORY,
    parts, units,
};

/// Reads the file with this index among the sources. The result is fit for use only if nothing was reported.
pub fn read(file: u32, source: &SourceFile, diagnostics: &mut Diagnostics) -> GatewayConfig {
    let root = raw::parse(file, &source.text, diagnostics);
    let base = Path::new(&*source.path).parent().map(Path::to_owned).unwrap_or_default();
    Reader { base, diagnostics }.root(&root)
}

/// Where mistakes go, and what paths are relative to.
pub(super) struct Reader<'d> {
    pub(super) base: PathBuf,
    pub(super) diagnostics: &'d mut Diagnostics,
}

impl Reader<'_> {
    fn root(mut self, root: &Table) -> GatewayConfig {
        let mut fields = Fields::new(root);
        let listen = self.listen(&mut fields);
        let admin = self.admin(&mut fields);
        let metrics = self.metrics(&mut fields);
        self.distinct_listeners(root, &listen, admin, metrics);
        let rules = fields.take("rules").and_then(|node| node.text(self.diagnostics));
        let rules = self.base.join(rules.map_or(RULES_DIRECTORY, |text| text.value));
        let config = GatewayConfig {
            listen,
            admin,
            metrics,
            rules,
            issuers: self.issuers(fields.take("issuers")),
            upstreams: self.upstreams(fields.take("upstreams")),
            limits: self.limits(fields.take("limits")),
            trusted_proxies: self.parsed_list(fields.take("trusted-proxies"), units::net),
            drain_delay: self.duration(fields.take("drain-delay"), Duration::ZERO, Duration::from_secs(600)),
            drain: self.duration(fields.take("drain"), DRAIN, Duration::from_secs(3600)),
            log: self.telemetry(fields.take("telemetry")),
            ledger: self.ledger(&mut fields),
        };
        fields.finish(self.diagnostics);
        config
    }

    fn issuers(&mut self, node: Option<&Node>) -> Vec<super::IssuerConfig> {
        let mut issuers: Vec<_> =
            self.named(node).into_iter().map(|(entry, table)| parts::issuer(self, entry, table)).collect();
        issuers.sort_by(|a, b| a.name.cmp(&b.name));
        issuers
    }

    fn upstreams(&mut self, node: Option<&Node>) -> Vec<super::UpstreamConfig> {
        let mut places = Vec::new();
        let mut upstreams: Vec<_> = self
            .named(node)
            .into_iter()
            .map(|(entry, table)| parts::upstream(self, entry, table, &mut places))
            .collect();
        upstreams.sort_by(|a, b| a.name.cmp(&b.name));
        upstreams
    }

    /// The tables of `[issuers.NAME]` and the like. A name becomes a label and a word in logs, so it is plain.
    fn named<'n>(&mut self, node: Option<&'n Node>) -> Vec<(&'n Entry, &'n Table)> {
        let Some(outer) = node.and_then(|node| node.table(self.diagnostics)) else { return Vec::new() };
        let mut found = Vec::new();
        for entry in &outer.entries {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
            if entry.key.is_empty() || entry.key.len() > 64 || !entry.key.bytes().all(plain) {
                let message = "a name is up to 64 letters, digits, `-`, `_` and `.`";
                self.mistake(entry.span, message);
            }
            found.extend(entry.value.table(self.diagnostics).map(|table| (entry, table)));
        }
        found
    }

    fn listen(&mut self, root: &mut Fields<'_>) -> ListenConfig {
        let mut listen = ListenConfig { address: LISTEN_ADDRESS, workers: None };
        let Some(table) = self.section(root, "listen") else { return listen };
        let mut fields = Fields::new(table);
        listen.address = self.address(fields.take("address")).unwrap_or(listen.address);
        listen.workers = fields.take("workers").map(|node| self.count(node, 1, 512));
        self.unsupported(&mut fields, "tls", "terminate TLS in front of the gateway");
        fields.finish(self.diagnostics);
        listen
    }

    fn admin(&mut self, root: &mut Fields<'_>) -> SocketAddr {
        let Some(table) = self.section(root, "admin") else { return ADMIN_ADDRESS };
        let mut fields = Fields::new(table);
        let node = fields.take("address");
        let address = self.address(node).unwrap_or(ADMIN_ADDRESS);
        if let Some(node) = node.filter(|_| !address.ip().is_loopback()) {
            self.diagnostics.push(
                Diagnostic::error(code::BAD_VALUE, "operators' endpoints would be open to the network")
                    .at(node.span, "not a loopback address")
                    .help("use \"127.0.0.1:9901\"; for scrapers and probes there is `[metrics] address`"),
            );
        }
        for key in ["tls", "token"] {
            self.unsupported(&mut fields, key, "the admin listener stays on a loopback address");
        }
        fields.finish(self.diagnostics);
        address
    }

    fn metrics(&mut self, root: &mut Fields<'_>) -> Option<SocketAddr> {
        let table = self.section(root, "metrics")?;
        let mut fields = Fields::new(table);
        let address = self.address(fields.take("address"));
        fields.finish(self.diagnostics);
        address
    }

    /// A second listener on one address would fail to bind, or share the port silently.
    fn distinct_listeners(
        &mut self,
        root: &Table,
        listen: &ListenConfig,
        admin: SocketAddr,
        metrics: Option<SocketAddr>,
    ) {
        let clash = |a: SocketAddr, b: SocketAddr| a.port() != 0 && a == b;
        let both = [
            ("admin", clash(listen.address, admin)),
            ("metrics", metrics.is_some_and(|m| clash(m, listen.address) || clash(m, admin))),
        ];
        for (section, clashes) in both {
            let span = root.get(section).or(root.get("listen")).map(|entry| entry.span);
            if let Some(span) = span.filter(|_| clashes) {
                self.mistake(span, "another listener has the same address");
            }
        }
    }

    fn ledger(&mut self, root: &mut Fields<'_>) -> Option<PathBuf> {
        let table = self.section(root, "ledger")?;
        let mut fields = Fields::new(table);
        let file = fields.take("file").and_then(|node| node.text(self.diagnostics));
        fields.finish(self.diagnostics);
        let text = file?;
        if text.value.is_empty() || text.value.ends_with('/') {
            self.mistake(text.span, "names no file");
        }
        Some(self.base.join(text.value))
    }

    fn telemetry(&mut self, node: Option<&Node>) -> LogFormat {
        let Some(table) = node.and_then(|node| node.table(self.diagnostics)) else {
            return LogFormat::default();
        };
        let mut fields = Fields::new(table);
        let text = fields.take("log").and_then(|node| node.text(self.diagnostics));
        let format = match text.map(|text| text.value) {
            None | Some("human") => LogFormat::Human,
            Some("json") => LogFormat::Json,
            Some(other) => {
                let span = text.map_or(Span { file: 0, start: 0, end: 0 }, |text| text.inner());
                self.diagnostics.push(
                    Diagnostic::error(code::BAD_VALUE, format!("unknown log format `{other}`"))
                        .at(span, "")
                        .nearest(span, other, ["human", "json"]),
                );
                LogFormat::default()
            }
        };
        fields.finish(self.diagnostics);
        format
    }

    fn limits(&mut self, node: Option<&Node>) -> Limits {
        let mut limits = Limits::default();
        let Some(table) = node.and_then(|node| node.table(self.diagnostics)) else { return limits };
        let mut fields = Fields::new(table);
        let counts: [(&'static str, &mut usize, usize); 8] = [
            ("connections", &mut limits.connections, 1_000_000),
            ("connections-per-client", &mut limits.connections_per_client, 1_000_000),
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
        let times: [(&'static str, &mut Duration); 4] = [
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

    fn section<'n>(&mut self, root: &mut Fields<'n>, key: &'static str) -> Option<&'n Table> {
        root.take(key).and_then(|node| node.table(self.diagnostics))
    }

    fn address(&mut self, node: Option<&Node>) -> Option<SocketAddr> {
        self.parsed(node, |text| {
            text.parse().map_err(|_| "an address is an IP address and a port, such as \"0.0.0.0:8443\"")
        })
    }

    /// A key of the design that this version would not carry out, so it refuses to load it.
    pub(super) fn unsupported(&mut self, fields: &mut Fields<'_>, key: &'static str, instead: &str) {
        if let Some(entry) = fields.entry(key) {
            self.diagnostics.push(
                Diagnostic::error(code::NOT_SUPPORTED, format!("`{key}` is not supported yet"))
                    .at(entry.span, "would have no effect")
                    .help(instead),
            );
        }
    }

    pub(super) fn mistake(&mut self, span: Span, message: &str) {
        self.diagnostics.push(Diagnostic::error(code::BAD_VALUE, message).at(span, ""));
    }

    /// A string in one of the small languages of `units`.
    pub(super) fn parsed<T>(
        &mut self,
        node: Option<&Node>,
        read: impl Fn(&str) -> Result<T, &'static str>,
    ) -> Option<T> {
        let text = node?.text(self.diagnostics)?;
        read(text.value).map_err(|message| self.mistake(text.inner(), message)).ok()
    }

    /// An array of such strings; what can't be read is reported and left out.
    pub(super) fn parsed_list<T>(
        &mut self,
        node: Option<&Node>,
        read: impl Fn(&str) -> Result<T, &'static str>,
    ) -> Vec<T> {
        let items = node.and_then(|node| node.list(self.diagnostics)).unwrap_or_default();
        items.iter().filter_map(|item| self.parsed(Some(item), &read)).collect()
    }

    /// A duration that isn't zero: no limit is optional.
    pub(super) fn duration(&mut self, node: Option<&Node>, default: Duration, most: Duration) -> Duration {
        if let Some(Node { span, value: Raw::Int(number) }) = node {
            self.diagnostics.push(
                Diagnostic::error(code::WRONG_TYPE, "a duration is a string with its unit")
                    .at(*span, "")
                    .help(format!("`\"{number}s\"` if seconds are meant")),
            );
            return default;
        }
        let Some(value) = self.parsed(node, units::duration) else { return default };
        if value.is_zero() || value > most {
            let message = format!("must be more than nothing and at most {}s", most.as_secs());
            node.into_iter().for_each(|node| self.mistake(node.span, &message));
            return default;
        }
        value
    }

    fn size(&mut self, node: Option<&Node>, least: u64, most: u64) -> Option<u64> {
        let value = self.parsed(node, units::size)?;
        if (least..=most).contains(&value) {
            return Some(value);
        }
        self.mistake(node?.span, &format!("must be between {least} and {most} bytes"));
        None
    }

    fn count(&mut self, node: &Node, least: usize, most: usize) -> usize {
        let Some(value) = node.int(self.diagnostics) else { return least };
        match usize::try_from(value) {
            Ok(value) if (least..=most).contains(&value) => value,
            _ => {
                self.mistake(node.span, &format!("must be between {least} and {most}"));
                least
            }
        }
    }
}
