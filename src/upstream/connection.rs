//! A connection as an exchange sees it: one of its own, or a share in one.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use http::{Request, Response};
use hyper::client::conn::http1;
use tokio::task::JoinHandle;

use super::Outgoing;
use super::answer::Source;
use super::connect::Mark;
use super::exchange::{Failure, Lost, is_safe};
use super::line::Share;
use super::outgoing::BodyFault;
use super::tap::Written;

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
    /// Apart from it, so that an answer that holds it is small to move.
    pub(super) past: Box<Past>,
}

/// What is remembered of a connection.
#[derive(Debug)]
pub(super) struct Past {
    /// What it was opened by.
    pub(super) mark: Mark,
    /// The request that went out last on it.
    pub(super) written: Option<Arc<Written>>,
    /// Whom it leads to.
    pub(super) peer: SocketAddr,
    /// When it has served long enough.
    pub(super) until: Instant,
}

impl Own {
    /// The request that went out last, if it may be sent again.
    fn again(&self) -> Option<Box<Request<Outgoing>>> {
        self.past.written.as_ref()?.request().map(Box::new)
    }
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
            Self::Own(own) => {
                if let Some(written) = &own.past.written {
                    written.begin(is_safe(&request));
                }
                match own.sender.try_send_request(request).await {
                    Ok(response) => Ok(response.map(Source::Own)),
                    Err(mut lost) => Err(match lost.take_message() {
                        Some(request) => Lost::Unsent(Box::new(request)),
                        None => classify(lost.error(), own),
                    }),
                }
            }
            Self::Shared(share) => share.send(request).await,
        }
    }

    /// The answer didn't come in time. The request once more, if it may be sent again.
    pub(super) fn was_late(&self) -> Option<Box<Request<Outgoing>>> {
        match self {
            Self::Own(own) => own.again(),
            Self::Shared(share) => {
                share.retire();
                None
            }
        }
    }

    /// Where the request that is sent is remembered, if it is without having been copied.
    pub(super) fn written(&self) -> Option<Arc<Written>> {
        match self {
            Self::Own(own) => own.past.written.clone(),
            Self::Shared(_) => None,
        }
    }
}

fn classify(error: &hyper::Error, own: &Own) -> Lost {
    if let Some(fault) = error.source().and_then(|source| source.downcast_ref::<BodyFault>()) {
        return Lost::Failed(Failure::Client(*fault));
    }
    if error.is_parse() || error.is_user() {
        return Lost::Failed(Failure::Broken);
    }
    Lost::Hangup { again: own.again() }
}
