//! A request's body on its way onto a stream of an HTTP/2 connection: no faster than the server takes it. The beginning
//! is kept until the server answers, so that a request that it refused can be sent elsewhere.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body as _;
use tokio::task::JoinHandle;

use super::Outgoing;
use super::line::Line;
use super::outgoing::BodyFault;

/// How much of a body is kept to be sent again.
const KEPT_BYTES: usize = 16 * 1024;

/// A body that is being sent.
#[derive(Debug)]
pub(super) struct Upload {
    body: Outgoing,
    out: SendStream<Bytes>,
    /// Taken from the client, and not yet by the server's window.
    next: Option<Bytes>,
    kept: Option<Vec<Bytes>>,
    kept_bytes: usize,
    is_over: bool,
}

impl Upload {
    pub(super) fn new(body: Outgoing, out: SendStream<Bytes>) -> Self {
        // An end that stands in the head needs no more.
        let is_over = body.is_end_stream();
        Self { body, out, next: None, kept: Some(Vec::new()), kept_bytes: 0, is_over }
    }

    /// Sends what can be sent. Ready when nothing is left to send, or nobody to take it, or when the client's side of it
    /// failed, which resets the stream.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyFault>> {
        while !self.is_over {
            // What it was reset for is told by the answer.
            if !matches!(self.out.poll_reset(cx), Poll::Pending) {
                self.is_over = true;
                break;
            }
            if let Some(data) = self.next.take() {
                match self.poll_room(cx) {
                    Poll::Ready(Room::Some) => self.send(data),
                    Poll::Ready(Room::Gone) => self.is_over = true,
                    Poll::Pending => {
                        self.next = Some(data);
                        return Poll::Pending;
                    }
                }
                continue;
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => self.end(),
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    self.keep(&data);
                    // Claims no more of the connection's window than it has something for.
                    self.out.reserve_capacity(1);
                    self.next = Some(data).filter(|data| !data.is_empty());
                }
                Some(Err(fault)) => {
                    self.is_over = true;
                    self.out.send_reset(Reason::CANCEL);
                    return Poll::Ready(Err(fault));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Room> {
        while self.out.capacity() == 0 {
            match ready!(self.out.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(Room::Gone),
            }
        }
        Poll::Ready(Room::Some)
    }

    fn send(&mut self, data: Bytes) {
        let is_last = self.body.is_end_stream();
        self.is_over = self.out.send_data(data, is_last).is_err() || is_last;
    }

    fn end(&mut self) {
        self.is_over = true;
        self.out.reserve_capacity(0);
        // One that is closed already has heard what matters.
        let _ = self.out.send_data(Bytes::new(), true);
    }

    fn keep(&mut self, data: &Bytes) {
        self.kept_bytes = self.kept_bytes.saturating_add(data.len());
        match &mut self.kept {
            // What is all here costs nothing to keep.
            Some(kept) if self.kept_bytes <= KEPT_BYTES || matches!(self.body, Outgoing::Whole(_)) => {
                kept.push(data.clone());
            }
            _ => self.kept = None,
        }
    }

    /// The body as it was before anything of it was sent, if so much of it is still here.
    pub(super) fn take_back(self) -> Option<Outgoing> {
        let kept = self.kept?;
        Some(self.body.again(kept))
    }
}

enum Room {
    Some,
    Gone,
}

/// A body that is still being sent when its answer has begun. It ends with the answer at the latest.
#[derive(Debug)]
pub(super) struct Uploading(Option<JoinHandle<()>>);

impl Uploading {
    pub(super) fn after(mut upload: Upload, line: Arc<Line>) -> Self {
        upload.kept = None;
        if upload.is_over {
            return Self(None);
        }
        Self(Some(tokio::spawn(async move {
            let _ = std::future::poll_fn(|cx| upload.poll(cx)).await;
            drop(line);
        })))
    }
}

impl Drop for Uploading {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}
