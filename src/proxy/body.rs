//! The body of a response, with the request's record on board.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::record::Recorder;
use super::taking::Taking;
use super::transform::{Cut, Passing};
use crate::outcome::Ending;

/// A response's body: one of our own, or an upstream's on its way through.
#[derive(Debug)]
pub(super) struct Body {
    content: Content,
    recorder: Recorder,
    /// On HTTP/2, where a stalled client isn't a stalled socket.
    taking: Option<Taking>,
}

#[derive(Debug)]
enum Content {
    Own(Option<Bytes>),
    Upstream(Passing),
}

impl Body {
    pub(super) fn own(bytes: Bytes, recorder: Recorder, taking: Option<Taking>) -> Self {
        Self { content: Content::Own(Some(bytes).filter(|bytes| !bytes.is_empty())), recorder, taking }
    }

    pub(super) fn upstream(passing: Passing, mut recorder: Recorder, taking: Option<Taking>) -> Self {
        if passing.is_end_stream() {
            recorder.ended(Ending::Answered);
        }
        Self { content: Content::Upstream(passing), recorder, taking }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let body = self.get_mut();
        if let Some(taking) = &mut body.taking {
            taking.asked_for();
        }
        let frame = match &mut body.content {
            Content::Own(bytes) => bytes.take().map(|bytes| Ok(Frame::data(bytes))),
            Content::Upstream(passing) => {
                let frame = ready!(Pin::new(&mut *passing).poll_frame(cx));
                match frame {
                    Some(Err(Cut::Upstream(_))) => body.recorder.ended(Ending::UpstreamBroke),
                    Some(Err(Cut::Unreadable)) => body.recorder.ended(Ending::AnswerWithheld),
                    // Nothing is asked for after trailers.
                    Some(Ok(ref last)) if last.is_trailers() => body.recorder.ended(Ending::Answered),
                    _ if frame.is_none() || passing.is_end_stream() => body.recorder.ended(Ending::Answered),
                    _ => {}
                }
                frame
            }
        };
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(Frame::data_ref) {
            body.recorder.sent(data.len());
            if let Some(taking) = &mut body.taking {
                taking.handed_on();
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Own(bytes) => bytes.is_none(),
            Content::Upstream(passing) => passing.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Own(bytes) => {
                let length = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Content::Upstream(passing) => passing.size_hint(),
        }
    }
}
