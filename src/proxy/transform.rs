//! Carries out on an answer what the permit asks for: values hidden, elements left out. An answer that should be
//! edited and can't be read is not passed on.
//!
//! The beginning of an answer is held back, so that one which fits in there has its true length, and a clean refusal
//! where it can't be read. A longer one is edited as it streams; a fault then ends it in the middle, which the client
//! sees.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    IF_RANGE, LAST_MODIFIED, RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;

use super::forward::reject;
use crate::json::{Editor, Edits, media};
use crate::rejection::Rejection;
use crate::upstream::{Answer, Failure};

/// How much of an answer is held back.
const HELD_BYTES: usize = 64 * 1024;
/// Asks for a difference to an earlier answer (RFC 3229).
const DELTA: HeaderName = HeaderName::from_static("a-im");
/// What a cache or a check would take for the application's own answer, and what speaks over `Cache-Control`.
const DISOWNED: [HeaderName; 9] = [
    ETAG,
    LAST_MODIFIED,
    ACCEPT_RANGES,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("cdn-cache-control"),
    HeaderName::from_static("surrogate-control"),
];

/// The body of an answer on its way to the client.
#[derive(Debug)]
pub(super) enum Passing {
    /// As it comes.
    AsItComes(Answer),
    /// Edited to its end.
    Whole(Option<Bytes>),
    /// Edited as it comes.
    Edited(Box<Editing>),
}

/// A body that is edited as it comes.
pub(super) struct Editing {
    first: Option<Bytes>,
    answer: Answer,
    editor: Editor,
    is_over: bool,
}

impl std::fmt::Debug for Editing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Editing").field("answer", &self.answer).finish_non_exhaustive()
    }
}

/// Why a body ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Cut {
    /// The upstream's doing.
    #[error(transparent)]
    Upstream(#[from] Failure),
    /// It couldn't be read on.
    #[error("the answer can't be read")]
    Unreadable,
}

/// Makes a request ask for an answer that can be edited: the whole of it, and not compressed.
pub(super) fn prepare(headers: &mut HeaderMap) {
    for name in [RANGE, IF_RANGE, IF_NONE_MATCH, IF_MODIFIED_SINCE, DELTA] {
        headers.remove(name);
    }
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}

/// Edits an answer.
pub(super) async fn carry_out(
    response: Response<Answer>,
    edits: &Edits,
) -> Result<Response<Passing>, Rejection> {
    let (mut parts, mut answer) = response.into_parts();
    if matches!(parts.status, StatusCode::PARTIAL_CONTENT | StatusCode::IM_USED) {
        return Err(Rejection::AnswerWithheld);
    }
    disown(&mut parts.headers);
    if answer.is_end_stream() {
        return Ok(Response::from_parts(parts, Passing::Whole(None)));
    }
    if media(&parts.headers).is_none() {
        return Err(Rejection::AnswerWithheld);
    }
    let mut editor = Editor::new(edits);
    // A list that isn't where the rules say may be anywhere else in the answer, whole. An error has none.
    let is_list = parts.status.is_success();
    let (mut out, mut read) = (Vec::new(), 0_usize);
    while read <= HELD_BYTES {
        let Some(frame) = answer.frame().await else {
            // Nothing at all hides nothing.
            if read > 0 {
                editor.finish().map_err(|_| Rejection::AnswerWithheld)?;
                hold_to_lists(&editor, is_list)?;
            }
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(out.len()));
            let whole = Some(Bytes::from(out)).filter(|bytes| !bytes.is_empty());
            return Ok(Response::from_parts(parts, Passing::Whole(whole)));
        };
        let Ok(data) = frame.map_err(reject)?.into_data() else { continue };
        read = read.saturating_add(data.len());
        editor.feed(&data, &mut out).map_err(|_| Rejection::AnswerWithheld)?;
    }
    hold_to_lists(&editor, is_list)?;
    let first = Some(Bytes::from(out)).filter(|bytes| !bytes.is_empty());
    let editing = Editing { first, answer, editor, is_over: false };
    Ok(Response::from_parts(parts, Passing::Edited(Box::new(editing))))
}

fn hold_to_lists(editor: &Editor, is_list: bool) -> Result<(), Rejection> {
    if is_list && !editor.has_met_its_lists() { Err(Rejection::AnswerWithheld) } else { Ok(()) }
}

/// What was said of the application's answer isn't true of the edited one, which is this caller's alone.
fn disown(headers: &mut HeaderMap) {
    for name in DISOWNED {
        headers.remove(name);
    }
    headers.remove(CONTENT_LENGTH);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
}

impl Editing {
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        while !self.is_over {
            let frame = ready!(Pin::new(&mut self.answer).poll_frame(cx));
            let mut out = Vec::new();
            let read = match frame {
                None => {
                    self.is_over = true;
                    self.editor.finish()
                }
                Some(frame) => match frame?.into_data() {
                    Ok(data) => {
                        out.reserve(data.len());
                        self.editor.feed(&data, &mut out)
                    }
                    Err(_trailers) => continue,
                },
            };
            if read.is_err() {
                self.is_over = true;
                return Poll::Ready(Some(Err(Cut::Unreadable)));
            }
            if !out.is_empty() {
                return Poll::Ready(Some(Ok(Bytes::from(out))));
            }
        }
        Poll::Ready(None)
    }
}

impl Body for Passing {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self.get_mut() {
            Self::AsItComes(answer) => Pin::new(answer).poll_frame(cx).map_err(Cut::Upstream),
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Edited(editing) => editing.poll_data(cx).map(|item| item.map(|data| data.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::AsItComes(answer) => answer.is_end_stream(),
            Self::Whole(bytes) => bytes.is_none(),
            Self::Edited(editing) => editing.first.is_none() && editing.is_over,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::AsItComes(answer) => answer.size_hint(),
            Self::Whole(bytes) => {
                let length = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Self::Edited(_) => SizeHint::default(),
        }
    }
}
