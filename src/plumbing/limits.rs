//! `[limits]`: every bound, with the default that ships.

use std::time::Duration;

/// What bounds every request and connection. No limit is optional.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open client connections.
    pub connections: usize,
    /// Open client connections of one address; of IPv6, of one network of 64 bits.
    pub connections_per_client: usize,
    /// TLS handshakes that are under way.
    pub handshakes: usize,
    /// Time for a TLS handshake.
    pub handshake_timeout: Duration,
    /// Requests in flight.
    pub requests: usize,
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// Header lines of a request.
    pub headers: usize,
    /// Bytes of a request's body.
    pub body_bytes: u64,
    /// Bytes of a request's body that a rule reads.
    pub rule_body_bytes: u64,
    /// Time for a request's head to arrive.
    pub head_timeout: Duration,
    /// Time for the next piece of a request's body to arrive.
    pub body_timeout: Duration,
    /// Time that a connection may stay without a request.
    pub idle_timeout: Duration,
    /// Concurrent streams of an HTTP/2 connection.
    pub h2_streams: u32,
    /// Requests of one connection before it is closed.
    pub requests_per_connection: u64,
    /// Bytes of an upstream's response head.
    pub upstream_head_bytes: usize,
    /// Idle connections kept per server and worker.
    pub upstream_idle_connections: usize,
    /// Time that an idle upstream connection is kept.
    pub upstream_idle_timeout: Duration,
    /// Verified tokens that are remembered, per worker.
    pub cached_tokens: usize,
    /// Open sockets: WebSockets, and Socket.IO sessions over whatever transport.
    pub sockets: usize,
    /// Bytes of one message of a client on a socket.
    pub socket_message_bytes: usize,
    /// Packets of a client on a socket, per second and kept up.
    pub socket_packets_per_second: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_client: 200,
            handshakes: 1_000,
            handshake_timeout: Duration::from_secs(10),
            requests: 10_000,
            head_bytes: 32 * KIB,
            headers: 100,
            body_bytes: 10 * 1024 * 1024,
            rule_body_bytes: 64 * 1024,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            h2_streams: 100,
            requests_per_connection: 10_000,
            upstream_head_bytes: 64 * KIB,
            upstream_idle_connections: 64,
            upstream_idle_timeout: Duration::from_secs(30),
            cached_tokens: 10_000,
            sockets: 10_000,
            socket_message_bytes: 1024 * KIB,
            socket_packets_per_second: 100,
        }
    }
}

const KIB: usize = 1024;
