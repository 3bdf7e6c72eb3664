//! A client's bytes once HTTP is left behind: its whole connection, or one stream of HTTP/2.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::patience::Watched;
use super::tls::ClientIo;

/// What is left of HTTP.
#[derive(Debug)]
pub(super) enum Left {
    /// The connection.
    Connection(Watched<ClientIo>),
    /// One stream of it.
    Stream(TokioIo<Upgraded>),
}

impl AsyncRead for Left {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Connection(own) => Pin::new(own).poll_read(cx, buffer),
            Self::Stream(own) => Pin::new(own).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Left {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Connection(own) => Pin::new(own).poll_write(cx, bytes),
            Self::Stream(own) => Pin::new(own).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Connection(own) => Pin::new(own).poll_write_vectored(cx, bytes),
            Self::Stream(own) => Pin::new(own).poll_write_vectored(cx, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Connection(own) => own.is_write_vectored(),
            Self::Stream(own) => own.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Connection(own) => Pin::new(own).poll_flush(cx),
            Self::Stream(own) => Pin::new(own).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Connection(own) => Pin::new(own).poll_shutdown(cx),
            Self::Stream(own) => Pin::new(own).poll_shutdown(cx),
        }
    }
}
