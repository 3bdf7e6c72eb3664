//! A connection that has left HTTP behind: bytes both ways.

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

/// Bytes both ways to a server, in the clear or over TLS.
pub type Pipe = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Takes a connection back from hyper, with what was read already. hyper's own wrapper would cost a box and a buffer
/// for as long as the socket is open.
pub(super) fn pipe(upgraded: Upgraded) -> Option<(Pipe, Bytes)> {
    let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => return Some((Either::Left(parts.io.into_inner()), parts.read_buf)),
        Err(upgraded) => upgraded,
    };
    let parts = upgraded.downcast::<TokioIo<TlsStream<TcpStream>>>().ok()?;
    Some((Either::Right(Box::new(parts.io.into_inner())), parts.read_buf))
}
