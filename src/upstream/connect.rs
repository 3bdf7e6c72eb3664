//! Opening a connection to a server: name, socket, TLS where the server is spoken to over it, and the protocol.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::connection::{Connection, Own, Past};
use super::dial::dial as reach;
use super::line::Line;
use super::tap::Tap;
use super::{Server, opening, pool};
use crate::balance;
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
    /// Every obstacle.
    pub const ALL: [Self; 5] = [Self::Name, Self::Refused, Self::Timeout, Self::Tls, Self::Protocol];

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
    /// How old a connection may become.
    pub(super) age: Duration,
}

/// What a connection was opened by. One of another mark was opened under another configuration, and isn't used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark(Protocol, Option<[u8; 32]>);

impl Link {
    /// When a connection that is opened now has served long enough: not all of them at once.
    fn until(&self) -> Instant {
        let mut random = [0; 8];
        let _ = aws_lc_rs::rand::fill(&mut random);
        Instant::now() + balance::jittered(self.age, u64::from_ne_bytes(random))
    }

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
    Ok(opening::own(server, dial(link, server, used).await?))
}

/// A new connection.
pub(super) enum Dialed {
    Own(Own),
    Line(Arc<Line>),
}

/// Opens a connection of one's own within the time, and counts what came of it.
pub(super) async fn dial(link: &Link, server: &Server, used: Use) -> Result<Dialed, Obstacle> {
    let opened = tokio::time::timeout(link.timeout, connect(link, server, used)).await;
    let late = || Err(if server.names.is_known() { Obstacle::Timeout } else { Obstacle::Name });
    let opened = opened.unwrap_or_else(|_elapsed| late());
    match &opened {
        Ok(_) => server.connected(),
        Err(obstacle) => server.gate.not_opened(*obstacle),
    }
    opened
}

async fn connect(link: &Link, server: &Server, used: Use) -> Result<Dialed, Obstacle> {
    let address = server.address();
    let addresses = server.names.found().await;
    if addresses.is_empty() {
        return Err(Obstacle::Name);
    }
    let (stream, peer) = reach(&addresses).await.map_err(|_| Obstacle::Refused)?;
    stream.set_nodelay(true).map_err(|_| Obstacle::Refused)?;
    let made = (link.mark(), peer, link.until());
    match address.scheme {
        Scheme::Http => match (used, link.protocol) {
            (Use::Http, Protocol::Http2) => share(link, server, stream, made).await,
            _ => speak(link, stream, used, made).await.map_err(|_| Obstacle::Refused),
        },
        Scheme::Https => {
            let stream = secure(link, server, stream, used).await.map_err(|_| Obstacle::Tls)?;
            let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            match (used, link.protocol) {
                (Use::Http, Protocol::Http2 | Protocol::Auto) if is_h2 => {
                    share(link, server, stream, made).await
                }
                (Use::Http, Protocol::Http2) => Err(Obstacle::Protocol),
                _ => speak(link, stream, used, made).await.map_err(|_| Obstacle::Tls),
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

/// What a connection was opened by, whom it leads to, and when it has served long enough.
type Made = (Mark, SocketAddr, Instant);

async fn speak<S>(link: &Link, stream: S, used: Use, (mark, peer, until): Made) -> io::Result<Dialed>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut builder = http1::Builder::new();
    builder.max_buf_size(link.head_bytes.max(BUFFER_MIN)).max_header_size(link.head_bytes);
    // An exchange learns of its connection's errors by itself.
    let (sender, task, written) = match used {
        Use::Http => {
            let (stream, written) = Tap::new(stream);
            let handshake = builder.handshake(TokioIo::new(stream));
            let (sender, connection) = handshake.await.map_err(io::Error::other)?;
            (sender, tokio::spawn(async move { drop(connection.await) }), Some(written))
        }
        Use::Switch => {
            let handshake = builder.handshake(TokioIo::new(stream));
            let (sender, connection) = handshake.await.map_err(io::Error::other)?;
            (sender, tokio::spawn(async move { drop(connection.with_upgrades().await) }), None)
        }
    };
    Ok(Dialed::Own(Own { sender, task, past: Box::new(Past { mark, written, peer, until }) }))
}

async fn share<S>(link: &Link, server: &Server, stream: S, made: Made) -> Result<Dialed, Obstacle>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let line = Line::open(stream, server.address(), link.head_bytes, made).await;
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
