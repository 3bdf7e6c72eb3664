//! Opening a connection to a server: name, socket, TLS where the server is spoken to over it, and the protocol.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::connection::{Connection, Own};
use super::line::Line;
use super::{Server, opening, pool};
use crate::plumbing::{Protocol, Scheme, UpstreamTls};

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
    /// It doesn't speak the protocol that it should.
    Protocol,
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
            Self::Protocol => "protocol",
        }
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Requests and answers.
    Http,
    /// One request that asks for another protocol.
    Switch,
}

/// How the servers of an upstream are spoken to.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) protocol: Protocol,
    pub(super) tls: Option<UpstreamTls>,
    pub(super) timeout: Duration,
    pub(super) head_bytes: usize,
}

/// What a connection was opened by. One of another mark was opened under another configuration, and isn't used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark(Protocol, Option<[u8; 32]>);

impl Link {
    pub(super) fn mark(&self) -> Mark {
        Mark(self.protocol, self.tls.as_ref().map(UpstreamTls::digest))
    }

    /// What is offered over TLS, most wanted first.
    fn offered(&self, used: Use) -> Vec<Vec<u8>> {
        let (h1, h2) = (b"http/1.1".to_vec(), b"h2".to_vec());
        match (used, self.protocol) {
            (Use::Switch, _) | (Use::Http, Protocol::Http1) => vec![h1],
            (Use::Http, Protocol::Http2) => vec![h2],
            (Use::Http, Protocol::Auto) => vec![h2, h1],
        }
    }
}

/// Opens a connection within the time, or takes part in one that many share.
pub(super) async fn open(link: &Link, server: &Arc<Server>, used: Use) -> Result<Connection, Obstacle> {
    let is_shared = match (used, link.protocol) {
        (Use::Switch, _) | (Use::Http, Protocol::Http1) => false,
        (Use::Http, Protocol::Http2) => true,
        // What it chose before it will choose again.
        (Use::Http, Protocol::Auto) => pool::has_lines(server),
    };
    if is_shared {
        return opening::share(link, server).await;
    }
    match dial(link, server, used).await? {
        Dialed::Own(own) => Ok(Connection::Own(own)),
        Dialed::Line(line) => {
            pool::keep(server, &line);
            Ok(Connection::Shared(line.share()))
        }
    }
}

/// A new connection.
pub(super) enum Dialed {
    Own(Own),
    Line(Arc<Line>),
}

/// Opens a connection of one's own within the time.
pub(super) async fn dial(link: &Link, server: &Server, used: Use) -> Result<Dialed, Obstacle> {
    let opened = tokio::time::timeout(link.timeout, connect(link, server, used)).await;
    opened.unwrap_or(Err(Obstacle::Timeout))
}

async fn connect(link: &Link, server: &Server, used: Use) -> Result<Dialed, Obstacle> {
    let (address, mark) = (server.address(), link.mark());
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
        Scheme::Http => match (used, link.protocol) {
            (Use::Http, Protocol::Http2) => share(link, server, stream, mark).await,
            _ => speak(link, stream, used, mark).await.map_err(|_| Obstacle::Refused),
        },
        Scheme::Https => {
            let stream = secure(link, server, stream, used).await.map_err(|_| Obstacle::Tls)?;
            let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            match (used, link.protocol) {
                (Use::Http, Protocol::Http2 | Protocol::Auto) if is_h2 => {
                    share(link, server, stream, mark).await
                }
                (Use::Http, Protocol::Http2) => Err(Obstacle::Protocol),
                _ => speak(link, stream, used, mark).await.map_err(|_| Obstacle::Tls),
            }
        }
    }
}

async fn secure(
    link: &Link,
    server: &Server,
    stream: TcpStream,
    used: Use,
) -> io::Result<TlsStream<TcpStream>> {
    let (named, config) = match &link.tls {
        None => (None, machines()?),
        Some(tls) => {
            let held = tls.held().ok_or_else(|| io::Error::other("its files weren't read"))?;
            (tls.server_name.clone(), held.config.clone())
        }
    };
    let name = match named {
        Some(name) => name,
        None => ServerName::try_from(server.address().host.clone()).map_err(io::Error::other)?,
    };
    TlsConnector::from(config).with_alpn(link.offered(used)).connect(name, stream).await
}

async fn speak<S>(link: &Link, stream: S, used: Use, mark: Mark) -> io::Result<Dialed>
where
    S: Send + Unpin + 'static,
    TokioIo<S>: Read + Write,
{
    let handshake = http1::Builder::new()
        .max_buf_size(link.head_bytes.max(BUFFER_MIN))
        .max_header_size(link.head_bytes)
        .handshake(TokioIo::new(stream));
    let (sender, connection) = handshake.await.map_err(io::Error::other)?;
    // An exchange learns of its connection's errors by itself.
    let task = match used {
        Use::Http => tokio::spawn(async move { drop(connection.await) }),
        Use::Switch => tokio::spawn(async move { drop(connection.with_upgrades().await) }),
    };
    Ok(Dialed::Own(Own { sender, task, mark }))
}

async fn share<S>(link: &Link, server: &Server, stream: S, mark: Mark) -> Result<Dialed, Obstacle>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let line = Line::open(stream, server.address(), link.head_bytes, mark).await;
    line.map(Dialed::Line).map_err(|_| Obstacle::Protocol)
}

/// Trusts the authorities of the machine (or of `SSL_CERT_FILE`), which are read once.
fn machines() -> io::Result<Arc<ClientConfig>> {
    static CONFIG: OnceLock<Result<Arc<ClientConfig>, rustls::Error>> = OnceLock::new();
    let made = CONFIG.get_or_init(|| {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(machine_roots())
            .with_no_client_auth();
        Ok(Arc::new(config))
    });
    made.clone().map_err(io::Error::other)
}

/// The authorities of the machine (or of `SSL_CERT_FILE`).
#[must_use]
pub fn machine_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}
