//! Why a TLS handshake with a caller failed, as it is counted: a closed set, and nothing that the caller said.

/// What came in the way of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeFailure {
    /// It took too long.
    Timeout,
    /// The caller left in the middle, or the network broke.
    Left,
    /// What the caller sent is no TLS, such as HTTP in the clear.
    NotTls,
    /// The caller knows no version that is spoken here.
    Version,
    /// No cipher, group or signature that both know.
    NothingInCommon,
    /// The caller wants neither HTTP/2 nor HTTP/1.1.
    Protocol,
    /// The caller has no certificate, and must have one.
    NoCertificate,
    /// The caller's certificate doesn't count.
    BadCertificate,
    /// The caller broke it off: it may not trust the certificate.
    Alert,
    /// Anything else.
    Other,
}

impl HandshakeFailure {
    /// Every reason.
    pub const ALL: [Self; 10] = [
        Self::Timeout,
        Self::Left,
        Self::NotTls,
        Self::Version,
        Self::NothingInCommon,
        Self::Protocol,
        Self::NoCertificate,
        Self::BadCertificate,
        Self::Alert,
        Self::Other,
    ];

    /// The label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Left => "left",
            Self::NotTls => "not-tls",
            Self::Version => "version",
            Self::NothingInCommon => "nothing-in-common",
            Self::Protocol => "protocol",
            Self::NoCertificate => "no-certificate",
            Self::BadCertificate => "bad-certificate",
            Self::Alert => "alert",
            Self::Other => "other",
        }
    }
}
