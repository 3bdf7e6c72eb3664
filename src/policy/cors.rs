//! What an app's file says of pages of other origins: which of them may read its answers, and what they may send.
//!
//! That is for browsers to hold, and no access control: a request that names a foreign origin is judged like any other.

use std::sync::Arc;

use http::HeaderValue;

/// What pages of other origins may do.
#[derive(Clone, Debug)]
pub struct Cors {
    /// Whose pages.
    pub origins: Origins,
    /// Whether the browser may send what it holds by itself: cookies, certificates.
    pub credentials: Credentials,
    /// The headers that a page may send, as browsers are told.
    pub headers: HeaderValue,
    /// The headers of an answer that a page may read, as browsers are told.
    pub expose: HeaderValue,
    /// For how many seconds a browser may remember what a preflight was answered.
    pub max_age: HeaderValue,
    /// Where it stands.
    pub place: Arc<str>,
}

/// Whose pages may read answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// Everyone's.
    Any,
    /// Those of these origins, each a scheme, a host and perhaps a port.
    Listed(Box<[HeaderValue]>),
}

/// Whether a browser may send what it holds by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// It may.
    Sent,
    /// It may not.
    Omitted,
}

impl Cors {
    /// What the browser is told is allowed to read, for a page of this origin; nothing for one that isn't.
    #[must_use]
    pub fn allowed(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        match &self.origins {
            Origins::Any => Some(HeaderValue::from_static("*")),
            Origins::Listed(listed) => listed.iter().find(|own| *own == origin).cloned(),
        }
    }
}
