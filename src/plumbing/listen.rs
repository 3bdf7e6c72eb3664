//! `[listen]`: where callers come in.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;

use super::TlsConfig;

/// Where requests arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenConfig {
    /// The address; port 0 takes any free port.
    pub address: SocketAddr,
    /// How many runtimes share it; `None` is one per core.
    pub workers: Option<usize>,
    /// `tls`: what is presented to callers; `None` is HTTP in the clear.
    pub tls: Option<TlsConfig>,
    /// `proxy-protocol`: peers that begin with a header of the PROXY protocol, and must.
    pub proxy_protocol: Vec<IpNet>,
}

/// Default of `[listen] address`: this machine alone, so that a first try is open to nobody else.
pub const LISTEN_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
