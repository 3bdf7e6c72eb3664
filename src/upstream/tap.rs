//! Remembers the bytes of the request that went out last on a connection, so that one whose connection turned out to be
//! dead can be sent again. Copying bytes once costs a tenth of copying a head header by header, which nearly never is needed.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Outgoing;

/// Longest head that is remembered; a longer one isn't sent again.
const BYTES_MAX: usize = 16 * 1024;
/// Most header lines of one.
const LINES_MAX: usize = 256;

/// What went out.
#[derive(Default)]
pub(super) struct Written {
    is_wanted: AtomicBool,
    bytes: Mutex<Vec<u8>>,
}

/// There may be secrets in it.
impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Written").finish_non_exhaustive()
    }
}

impl Written {
    /// Forgets what was before, and begins to remember or doesn't.
    pub(super) fn begin(&self, is_wanted: bool) {
        self.is_wanted.store(is_wanted, Ordering::Relaxed);
        if is_wanted {
            self.bytes.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    fn note(&self, piece: &[u8]) {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes.len() + piece.len() > BYTES_MAX {
            self.is_wanted.store(false, Ordering::Relaxed);
            return;
        }
        bytes.extend_from_slice(piece);
    }

    /// Whether what went out can be had again.
    pub(super) fn is_whole(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    /// The request that went out, if all of it was remembered. It has no body.
    pub(super) fn request(&self) -> Option<Request<Outgoing>> {
        if !self.is_whole() {
            return None;
        }
        let bytes =
            Bytes::from(std::mem::take(&mut *self.bytes.lock().unwrap_or_else(PoisonError::into_inner)));
        read(&bytes)
    }
}

/// Reads what hyper wrote.
fn read(bytes: &Bytes) -> Option<Request<Outgoing>> {
    let mut lines = [httparse::EMPTY_HEADER; LINES_MAX];
    let mut head = httparse::Request::new(&mut lines);
    let httparse::Status::Complete(length) = head.parse(bytes).ok()? else { return None };
    if length != bytes.len() {
        return None;
    }
    let mut request = Request::new(Outgoing::Empty);
    *request.method_mut() = Method::from_bytes(head.method?.as_bytes()).ok()?;
    let target = PathAndQuery::from_maybe_shared(bytes.slice_ref(head.path?.as_bytes())).ok()?;
    *request.uri_mut() = Uri::from(target);
    for line in head.headers.iter() {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(line.value)).ok()?;
        request.headers_mut().append(name, value);
    }
    Some(request)
}

/// A stream whose written bytes are remembered.
#[derive(Debug)]
pub(super) struct Tap<S> {
    stream: S,
    written: Arc<Written>,
}

impl<S> Tap<S> {
    pub(super) fn new(stream: S) -> (Self, Arc<Written>) {
        let written = Arc::<Written>::default();
        (Self { stream, written: written.clone() }, written)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        if self.written.is_wanted.load(Ordering::Relaxed) {
            // What couldn't be written because the connection is dead is what will be wanted.
            let length = *wrote.as_ref().unwrap_or(&bytes.len());
            self.written.note(bytes.get(..length).unwrap_or(bytes));
        }
        Poll::Ready(wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, pieces));
        if self.written.is_wanted.load(Ordering::Relaxed) {
            let mut left = *wrote.as_ref().unwrap_or(&usize::MAX);
            for piece in pieces {
                let part = piece.get(..left.min(piece.len())).unwrap_or_default();
                self.written.note(part);
                left -= part.len();
            }
        }
        Poll::Ready(wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_out_is_read_back() {
        let written = Written::default();
        written.begin(true);
        written.note(b"GET /a?b=c HTTP/1.1\r\nhost: h\r\n");
        assert!(written.request().is_none(), "half of it");
        written.begin(true);
        written.note(b"GET /a?b=c HTTP/1.1\r\nhost: h\r\n");
        written.note(b"x: \xff1\r\nx: 2\r\n\r\n");
        let request = written.request().unwrap();
        assert_eq!((request.method(), request.uri().to_string()), (&Method::GET, "/a?b=c".to_owned()));
        let values: Vec<_> = request.headers().get_all("x").iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(values, [&b"\xff1"[..], b"2"]);
        assert_eq!(request.headers().len(), 3);
    }

    #[test]
    fn what_is_too_long_or_was_not_wanted_is_not_there() {
        let written = Written::default();
        written.begin(false);
        assert!(written.request().is_none());
        written.begin(true);
        written.note(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n");
        written.note(&vec![b'a'; BYTES_MAX]);
        assert!(written.request().is_none());
    }
}
