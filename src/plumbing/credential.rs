//! What the gateway shows an upstream when it asks on its own account. The secret is read elsewhere, again and again, and
//! put here for whoever needs it; it is never printed.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::HeaderValue;

/// Longest secret, in bytes.
pub const SECRET_MAX_BYTES: usize = 8 * 1024;

/// Where a secret comes from: never from the configuration itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialSource {
    /// A file that holds it, and nothing else but a line's end.
    File(PathBuf),
    /// An environment variable.
    Env(String),
}

/// An upstream's `credential`. Copies share what they hold.
#[derive(Clone)]
pub struct Credential {
    source: CredentialSource,
    held: Arc<ArcSwapOption<HeaderValue>>,
}

/// Why a text is no secret that can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSecret {
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// Longer than [`SECRET_MAX_BYTES`].
    #[error("it is longer than {SECRET_MAX_BYTES} bytes")]
    TooLong,
    /// A blank, a line's end or another character that no token has.
    #[error("it holds a character that no token has")]
    Character,
}

impl Credential {
    /// From this source, and not read yet.
    #[must_use]
    pub fn new(source: CredentialSource) -> Self {
        Self { source, held: Arc::default() }
    }

    /// Where it comes from.
    #[must_use]
    pub fn source(&self) -> &CredentialSource {
        &self.source
    }

    /// Takes what was read at its source.
    pub fn hold(&self, text: &str) -> Result<(), NoSecret> {
        let header = header(text)?;
        if self.header().as_ref() != Some(&header) {
            self.held.store(Some(Arc::new(header)));
        }
        Ok(())
    }

    /// The `Authorization` value; none before it was read.
    #[must_use]
    pub fn header(&self) -> Option<HeaderValue> {
        self.held.load().as_deref().cloned()
    }
}

/// Two are equal when they come from one place: what is held there may change at any time.
impl PartialEq for Credential {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Credential {}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("source", &self.source).finish_non_exhaustive()
    }
}

/// Whether this could be held.
pub fn examine(text: &str) -> Result<(), NoSecret> {
    header(text).map(drop)
}

fn header(text: &str) -> Result<HeaderValue, NoSecret> {
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err(NoSecret::Empty);
    }
    if secret.len() > SECRET_MAX_BYTES {
        return Err(NoSecret::TooLong);
    }
    if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(NoSecret::Character);
    }
    let mut value = HeaderValue::try_from(format!("Bearer {secret}")).map_err(|_| NoSecret::Character)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_sent_as_a_bearer_token_and_never_printed() {
        let credential = Credential::new(CredentialSource::Env("KEY".into()));
        assert_eq!(credential.header(), None);
        let copy = credential.clone();
        credential.hold("hunter2\r\n").unwrap();
        let header = copy.header().unwrap();
        assert_eq!(header, "Bearer hunter2");
        for shown in [format!("{copy:?}"), format!("{header:?}")] {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }

    #[test]
    fn what_is_no_secret_leaves_the_last_one_in_place() {
        let credential = Credential::new(CredentialSource::File("f".into()));
        credential.hold("good").unwrap();
        let long = "x".repeat(SECRET_MAX_BYTES + 1);
        for (text, why) in [
            ("", NoSecret::Empty),
            ("\n\n", NoSecret::Empty),
            ("two words", NoSecret::Character),
            ("a\r\nX-Evil: 1", NoSecret::Character),
            ("é", NoSecret::Character),
            (&long, NoSecret::TooLong),
        ] {
            assert_eq!(credential.hold(text), Err(why));
        }
        assert_eq!(credential.header().unwrap(), "Bearer good");
    }
}
