//! What happened to one request, written once by whoever ends it and read by metrics and log.
//!
//! Values only: nothing here decides, counts or prints.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method};

pub use crate::authorize::{Effect, Evidence, Verdict};

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The upstream's answer went to its last byte.
    Answered,
    /// The gateway answered on its own: a refusal's reason word, or `endpoint` for its own routes.
    Own(&'static str),
    /// The client left before the end.
    ClientLeft,
    /// The upstream broke off in the middle of its answer.
    UpstreamBroke,
    /// The upstream's answer was being edited, and in the middle of it couldn't be read any more.
    AnswerWithheld,
}

/// One request, ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The id that the caller was given as `X-Request-Id`.
    pub request_id: HeaderValue,
    /// The method; `None` for one outside the closed list.
    pub method: Option<Method>,
    /// The status that the client was answered with; 499 if it left before one.
    pub status: u16,
    /// How it ended.
    pub ending: Ending,
    /// What the decision rested on.
    pub evidence: Evidence,
    /// From the request's head to the end.
    pub total: Duration,
    /// Time spent on reading and deciding, signature checks included.
    pub deciding: Duration,
    /// From sending to the upstream's response head, if it was asked.
    pub upstream: Option<Duration>,
    /// The upstream's name, if it was asked.
    pub upstream_name: Option<Arc<str>>,
    /// Body bytes sent to the client.
    pub bytes_sent: u64,
    /// The rule set's revision that judged it.
    pub revision: u64,
}

impl Outcome {
    /// Of a request of which nothing is known yet, by this id.
    #[must_use]
    pub fn of(request_id: HeaderValue, status: u16) -> Self {
        Self {
            request_id,
            method: None,
            status,
            ending: Ending::ClientLeft,
            evidence: Evidence::default(),
            total: Duration::ZERO,
            deciding: Duration::ZERO,
            upstream: None,
            upstream_name: None,
            bytes_sent: 0,
            revision: 0,
        }
    }
}

/// What stands for the method in the outcome of a socket's event.
pub const EVENT_METHOD: &str = "EMIT";

/// Whether an outcome's method is that of a socket's event: no request has it.
#[must_use]
pub fn is_event(method: &Method) -> bool {
    method.as_str() == EVENT_METHOD
}
