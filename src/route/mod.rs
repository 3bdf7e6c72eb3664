//! Host + path + method → operation. A route names an operation by its place in the table's owner; what the
//! operation permits, and to whom, is `policy`'s.

mod beside;
mod table;
mod template;
mod trie;

pub use beside::{Step, Way, walk};
pub use table::{Match, RouteTable, RouteTableBuilder};
pub use template::{Segment, Template, TemplateError};

use std::fmt;

use http::Method;

/// What operations begin with: the methods of HTTP, and `EMIT` for an event on a socket. `HEAD` is judged as `GET`; no
/// other method is ever forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// `GET` and `HEAD`.
    Get,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
    /// `PATCH`.
    Patch,
    /// `DELETE`.
    Delete,
    /// `OPTIONS`.
    Options,
    /// `EMIT`: an event that a client sends on a socket. No request's method is ever read as it.
    Emit,
}

impl Verb {
    /// Every verb that is a method of HTTP.
    pub const ALL: [Self; 6] = [Self::Get, Self::Post, Self::Put, Self::Patch, Self::Delete, Self::Options];

    /// The verb that a request's method is judged as. Methods are case-sensitive (RFC 9110 §9.1).
    #[must_use]
    pub fn of(method: &Method) -> Option<Self> {
        if *method == Method::HEAD { Some(Self::Get) } else { Self::parse(method.as_str()) }
    }

    /// Reads a method's verb as rule files write it.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.as_str() == word)
    }

    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Emit => "EMIT",
        }
    }

    /// The methods that a caller may use for these verbs, for an `Allow` header.
    #[must_use]
    pub fn methods(verbs: &[Self]) -> Vec<Method> {
        let mut methods = Vec::new();
        for verb in verbs {
            methods.extend(match verb {
                Self::Get => vec![Method::GET, Method::HEAD],
                Self::Post => vec![Method::POST],
                Self::Put => vec![Method::PUT],
                Self::Patch => vec![Method::PATCH],
                Self::Delete => vec![Method::DELETE],
                Self::Options => vec![Method::OPTIONS],
                Self::Emit => Vec::new(),
            });
        }
        methods
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
