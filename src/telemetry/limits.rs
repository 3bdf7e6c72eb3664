//! The limits that can be reached, as they are counted. One that is reached often is too low, or somebody is trying it.

use crate::outcome::{Ending, Outcome};

/// A limit that can be reached, by its key in `[limits]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Open client connections.
    Connections,
    /// Open client connections of one address.
    ConnectionsPerClient,
    /// TLS handshakes under way.
    Handshakes,
    /// A TLS handshake that took too long.
    HandshakeTimeout,
    /// Requests in flight.
    Requests,
    /// Requests that are with one upstream's servers.
    UpstreamInFlight,
    /// Bytes or lines of a request's head, or bytes of its target.
    Head,
    /// Bytes of a request's body.
    Body,
    /// A head that took too long.
    HeadTimeout,
    /// A body that arrived too slowly.
    BodyTimeout,
    /// A connection on which nothing happened.
    IdleTimeout,
    /// Requests of one connection.
    RequestsPerConnection,
    /// A client of HTTP/2 that broke the protocol's bounds: too many resets, too much of a head.
    H2Flood,
    /// File descriptors, so that callers had to wait to be accepted: times that it began.
    Descriptors,
}

impl Limit {
    /// Every limit.
    pub const ALL: [Self; 14] = [
        Self::Connections,
        Self::ConnectionsPerClient,
        Self::Handshakes,
        Self::HandshakeTimeout,
        Self::Requests,
        Self::UpstreamInFlight,
        Self::Head,
        Self::Body,
        Self::HeadTimeout,
        Self::BodyTimeout,
        Self::IdleTimeout,
        Self::RequestsPerConnection,
        Self::H2Flood,
        Self::Descriptors,
    ];

    /// The label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::ConnectionsPerClient => "connections-per-client",
            Self::Handshakes => "handshakes",
            Self::HandshakeTimeout => "handshake-timeout",
            Self::Requests => "requests",
            Self::UpstreamInFlight => "upstream-in-flight",
            Self::Head => "head",
            Self::Body => "body",
            Self::HeadTimeout => "head-timeout",
            Self::BodyTimeout => "body-timeout",
            Self::IdleTimeout => "idle-timeout",
            Self::RequestsPerConnection => "requests-per-connection",
            Self::H2Flood => "h2-flood",
            Self::Descriptors => "descriptors",
        }
    }

    /// The limit that ended a request, if one did.
    pub(super) fn of(outcome: &Outcome) -> Option<Self> {
        let Ending::Own(reason) = outcome.ending else { return None };
        match reason {
            "overloaded" => Some(Self::Requests),
            "upstream-overloaded" => Some(Self::UpstreamInFlight),
            "target-too-long" => Some(Self::Head),
            "body-too-large" => Some(Self::Body),
            "request-timeout" => Some(Self::BodyTimeout),
            _ => None,
        }
    }
}
