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
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Server;
use super::pool::Connection;
use crate::plumbing::Scheme;

/// Smallest read buffer that hyper takes.
const BUFFER_MIN: usize = 8 * 1024;

/// Opens a connection within the time.
pub(super) async fn open(server: &Server, timeout: Duration, head_bytes: usize) -> io::Result<Connection> {
    tokio::time::timeout(timeout, connect(server, head_bytes)).await?
}

async fn connect(server: &Server, head_bytes: usize) -> io::Result<Connection> {
    let address = server.address();
    let stream = match server.ip {
        Some(ip) => TcpStream::connect(SocketAddr::new(ip, address.port)).await?,
        None => TcpStream::connect((address.host.as_str(), address.port)).await?,
    };
    stream.set_nodelay(true)?;
    match address.scheme {
        Scheme::Http => speak(stream, head_bytes).await,
        Scheme::Https => {
            let name = ServerName::try_from(address.host.clone()).map_err(io::Error::other)?;
            speak(tls()?.connect(name, stream).await?, head_bytes).await
        }
    }
}

async fn speak<S>(stream: S, head_bytes: usize) -> io::Result<Connection>
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
    let task = tokio::spawn(async move { drop(connection.await) });
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
