//! A connection as an exchange sees it: one of its own, or a share in one.

use std::error::Error;

use http::{Request, Response};
use hyper::client::conn::http1;
use tokio::task::JoinHandle;

use super::Outgoing;
use super::answer::Source;
use super::connect::Mark;
use super::exchange::{Failure, Lost};
use super::line::Share;
use super::outgoing::BodyFault;

/// A connection that an exchange can be had on.
#[derive(Debug)]
pub(super) enum Connection {
    /// One exchange after the other.
    Own(Own),
    /// Many at the same time.
    Shared(Share),
}

/// An open HTTP/1.1 connection. Dropping it closes it at once, whatever it was doing.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) sender: http1::SendRequest<Outgoing>,
    pub(super) task: JoinHandle<()>,
    pub(super) mark: Mark,
}

impl Drop for Own {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Connection {
    /// Sends a request and waits for the head of its answer, however long that takes.
    pub(super) async fn send(&mut self, request: Request<Outgoing>) -> Result<Response<Source>, Lost> {
        match self {
            Self::Own(own) => match own.sender.try_send_request(request).await {
                Ok(response) => Ok(response.map(Source::Own)),
                Err(mut lost) => Err(match lost.take_message() {
                    Some(request) => Lost::Unsent(Box::new(request)),
                    None => classify(lost.error()),
                }),
            },
            Self::Shared(share) => share.send(request).await,
        }
    }

    /// The answer didn't come in time.
    pub(super) fn was_late(&self) {
        if let Self::Shared(share) = self {
            share.retire();
        }
    }
}

fn classify(error: &hyper::Error) -> Lost {
    if let Some(fault) = error.source().and_then(|source| source.downcast_ref::<BodyFault>()) {
        return Lost::Failed(Failure::Client(*fault));
    }
    if error.is_parse() || error.is_user() { Lost::Failed(Failure::Broken) } else { Lost::Hangup }
}
