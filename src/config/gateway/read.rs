//! Reads `gateway.toml` as a whole, and what its parts are made of. Every mistake is collected; what is wrong keeps its default, so that the other files' references can still be checked.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::SourceFile;
use super::super::diagnostic::{Diagnostic, Diagnostics, Span, code};
use super::super::raw::{self, Entry, Fields, Node, Raw, Table};
use super::{DRAIN, GatewayConfig, LogFormat, RULES_DIRECTORY, issuers, units, upstreams};

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
        let candidate = self.candidate(&mut fields, &rules);
        let config = GatewayConfig {
            directory: self.base.clone(),
            listen,
            admin,
            metrics,
            rules,
            candidate,
            issuers: self.issuers(fields.take("issuers")),
            upstreams: self.upstreams(fields.take("upstreams")),
            limits: self.limits(fields.take("limits")),
            trusted_proxies: self.parsed_list(fields.take("trusted-proxies"), units::net),
            drain_delay: self.duration(fields.take("drain-delay"), Duration::ZERO, Duration::from_secs(600)),
            drain: self.duration(fields.take("drain"), DRAIN, Duration::from_secs(3600)),
            log: self.telemetry(fields.take("telemetry")),
            ledger: self.ledger(&mut fields),
            decisions: self.decisions(&mut fields),
        };
        fields.finish(self.diagnostics);
        config
    }

    fn issuers(&mut self, node: Option<&Node>) -> Vec<super::IssuerConfig> {
        let mut issuers: Vec<_> =
            self.named(node).into_iter().map(|(entry, table)| issuers::issuer(self, entry, table)).collect();
        issuers.sort_by(|a, b| a.name.cmp(&b.name));
        issuers
    }

    fn upstreams(&mut self, node: Option<&Node>) -> Vec<super::UpstreamConfig> {
        let mut places = Vec::new();
        let mut upstreams: Vec<_> = self
            .named(node)
            .into_iter()
            .map(|(entry, table)| upstreams::upstream(self, entry, table, &mut places))
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

    pub(super) fn section<'n>(&mut self, root: &mut Fields<'n>, key: &'static str) -> Option<&'n Table> {
        root.take(key).and_then(|node| node.table(self.diagnostics))
    }

    pub(super) fn address(&mut self, node: Option<&Node>) -> Option<SocketAddr> {
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

    pub(super) fn size(&mut self, node: Option<&Node>, least: u64, most: u64) -> Option<u64> {
        let value = self.parsed(node, units::size)?;
        if (least..=most).contains(&value) {
            return Some(value);
        }
        self.mistake(node?.span, &format!("must be between {least} and {most} bytes"));
        None
    }

    pub(super) fn count(&mut self, node: &Node, least: usize, most: usize) -> usize {
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

/// Whether it is `[]`, which is no mistake of type.
pub(super) fn is_empty_list(node: &Node) -> bool {
    matches!(&node.value, Raw::List(items) if items.is_empty())
}
