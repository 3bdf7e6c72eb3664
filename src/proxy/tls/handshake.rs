//! The handshake with a caller: bounded in time and number, and counted when it fails.

use std::io;
use std::sync::Arc;

use rustls::{Error, PeerIncompatible, ServerConfig};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use super::super::connection::Protocol;
use super::super::plane::Plane;
use super::present;
use crate::plumbing::Limits;
use crate::request::ClientCertificate;
use crate::telemetry::{HandshakeFailure, Limit};

/// A caller's bytes, in the clear or over TLS.
pub(in super::super) type ClientIo = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// What a handshake came to.
pub(in super::super) struct Spoken {
    pub(in super::super) io: ClientIo,
    pub(in super::super) protocol: Protocol,
    /// What the caller presented.
    pub(in super::super) certificate: Option<Arc<ClientCertificate>>,
}

/// Shakes hands, or counts why not. A connection that isn't let in is closed, with an alert where there is one to tell.
pub(in super::super) async fn shake(
    plane: &Arc<Plane>,
    stream: TcpStream,
    config: Arc<ServerConfig>,
    limits: &Limits,
) -> Option<Spoken> {
    let metrics = plane.metrics();
    // Who says nothing takes nobody's turn.
    if !matches!(timeout(limits.handshake_timeout, stream.readable()).await, Ok(Ok(()))) {
        metrics.limit_hit(Limit::HandshakeTimeout);
        metrics.handshake_failed(HandshakeFailure::Timeout);
        return None;
    }
    let Some(_under_way) = plane.handshake(limits.handshakes) else {
        metrics.limit_hit(Limit::Handshakes);
        return None;
    };
    match timeout(limits.handshake_timeout, TlsAcceptor::from(config).accept(stream)).await {
        Ok(Ok(stream)) => {
            let protocol = protocol(&stream);
            let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            let certificate = certificate.map(|own| Arc::new(present::describe(own)));
            Some(Spoken { io: Either::Right(Box::new(stream)), protocol, certificate })
        }
        Ok(Err(why)) => {
            metrics.handshake_failed(reason(&why));
            None
        }
        Err(_) => {
            metrics.limit_hit(Limit::HandshakeTimeout);
            metrics.handshake_failed(HandshakeFailure::Timeout);
            None
        }
    }
}

/// What was agreed on; HTTP/1.1 with who doesn't say.
fn protocol(stream: &TlsStream<TcpStream>) -> Protocol {
    match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        _ => Protocol::Http1,
    }
}

fn reason(why: &io::Error) -> HandshakeFailure {
    use HandshakeFailure as Is;
    let Some(why) = why.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return Is::Left;
    };
    match why {
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } => Is::NotTls,
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        ) => Is::Version,
        Error::PeerIncompatible(_) => Is::NothingInCommon,
        Error::NoApplicationProtocol => Is::Protocol,
        Error::NoCertificatesPresented => Is::NoCertificate,
        Error::InvalidCertificate(_) => Is::BadCertificate,
        Error::AlertReceived(_) => Is::Alert,
        _ => Is::Other,
    }
}
