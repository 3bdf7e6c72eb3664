//! Reads `[listen]`, `[admin]` and `[metrics]`: who may come in where.

use std::net::SocketAddr;

use super::super::diagnostic::{Diagnostic, code};
use super::super::raw::{Fields, Table};
use super::read::Reader;
use super::{ADMIN_ADDRESS, LISTEN_ADDRESS, ListenConfig, tls, units};

impl Reader<'_> {
    pub(super) fn listen(&mut self, root: &mut Fields<'_>) -> ListenConfig {
        let mut listen =
            ListenConfig { address: LISTEN_ADDRESS, workers: None, tls: None, proxy_protocol: Vec::new() };
        let Some(table) = self.section(root, "listen") else { return listen };
        let mut fields = Fields::new(table);
        listen.address = self.address(fields.take("address")).unwrap_or(listen.address);
        listen.workers = fields.take("workers").map(|node| self.count(node, 1, 512));
        listen.proxy_protocol = self.parsed_list(fields.take("proxy-protocol"), units::net);
        listen.tls = fields.take("tls").and_then(|node| tls::tls(self, node));
        fields.finish(self.diagnostics);
        listen
    }

    pub(super) fn admin(&mut self, root: &mut Fields<'_>) -> SocketAddr {
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

    pub(super) fn metrics(&mut self, root: &mut Fields<'_>) -> Option<SocketAddr> {
        let table = self.section(root, "metrics")?;
        let mut fields = Fields::new(table);
        let address = self.address(fields.take("address"));
        fields.finish(self.diagnostics);
        address
    }

    /// A second listener on one address would fail to bind, or share the port silently.
    pub(super) fn distinct_listeners(
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
}
