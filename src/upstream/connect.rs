//! Opening a connection to a server: name, socket, TLS where the server is spoken to over it, HTTP/1.1.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Server;
use super::pool::Connection;
use crate::plumbing::Scheme;

/// Smallest read buffer that hyper takes.
const BUFFER_MIN: usize = 8 * 1024;

/// What stood in the way of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The server's name has no address.
    Name,
    /// Nobody listens there, or it can't be reached.
    Refused,
    /// It took too long.
    Timeout,
    /// The server's certificate isn't trusted, or TLS failed otherwise.
    Tls,
}

impl Obstacle {
    /// The metric label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Tls => "tls",
        }
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Use {
    /// Requests and answers.
    Http,
    /// One request that asks for another protocol.
    Switch,
}

/// Opens a connection within the time.
pub(super) async fn open(
    server: &Server,
    timeout: Duration,
    head_bytes: usize,
    used: Use,
) -> Result<Connection, Obstacle> {
    let opened = tokio::time::timeout(timeout, connect(server, head_bytes, used)).await;
    opened.unwrap_or(Err(Obstacle::Timeout))
}

async fn connect(server: &Server, head_bytes: usize, used: Use) -> Result<Connection, Obstacle> {
    let address = server.address();
    let stream = match server.ip {
        Some(ip) => TcpStream::connect(SocketAddr::new(ip, address.port)).await,
        None => {
            let found = lookup_host((address.host.as_str(), address.port)).await;
            let found: Vec<SocketAddr> = found.map_err(|_| Obstacle::Name)?.collect();
            TcpStream::connect(found.as_slice()).await
        }
    }
    .map_err(|_| Obstacle::Refused)?;
    stream.set_nodelay(true).map_err(|_| Obstacle::Refused)?;
    match address.scheme {
        Scheme::Http => speak(stream, head_bytes, used).await.map_err(|_| Obstacle::Refused),
        Scheme::Https => {
            let stream = secure(&address.host, stream).await.map_err(|_| Obstacle::Tls)?;
            speak(stream, head_bytes, used).await.map_err(|_| Obstacle::Tls)
        }
    }
}

async fn secure(host: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    tls()?.connect(name, stream).await
}

async fn speak<S>(stream: S, head_bytes: usize, used: Use) -> io::Result<Connection>
where
    S: Send + Unpin + 'static,
    TokioIo<S>: Read + Write,
{
    let handshake = http1::Builder::new()
        .max_buf_size(head_bytes.max(BUFFER_MIN))
        .max_header_size(head_bytes)
        .handshake(TokioIo::new(stream));
    let (sender, connection) = handshake.await.map_err(io::Error::other)?;
    // An exchange learns of its connection's errors by itself.
    let task = match used {
        Use::Http => tokio::spawn(async move { drop(connection.await) }),
        Use::Switch => tokio::spawn(async move { drop(connection.with_upgrades().await) }),
    };
    Ok(Connection { sender, task })
}

/// The authorities of the machine (or of `SSL_CERT_FILE`), read once.
fn tls() -> io::Result<&'static TlsConnector> {
    static CONNECTOR: OnceLock<Result<TlsConnector, rustls::Error>> = OnceLock::new();
    let made = CONNECTOR.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsConnector::from(Arc::new(config)))
    });
    made.as_ref().map_err(|error| io::Error::other(error.clone()))
}
