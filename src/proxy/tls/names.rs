//! Which certificate a caller is presented: the one that has the name that it asks for, else the first.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Certificates by the names that stand in them.
#[derive(Debug)]
pub(super) struct Names {
    first: Arc<CertifiedKey>,
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// `*.a.example` by `a.example`: what a wildcard stands for is one label.
    below: HashMap<String, Arc<CertifiedKey>>,
}

impl Names {
    pub(super) fn new(first: Arc<CertifiedKey>) -> Self {
        Self { first, exact: HashMap::new(), below: HashMap::new() }
    }

    /// Adds a name of a certificate; `false` if another has it already.
    pub(super) fn add(&mut self, name: &str, key: &Arc<CertifiedKey>) -> bool {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let (map, name) = match name.strip_prefix("*.") {
            Some(parent) => (&mut self.below, parent.to_owned()),
            None => (&mut self.exact, name),
        };
        let owner = map.entry(name).or_insert_with(|| key.clone());
        Arc::ptr_eq(owner, key)
    }

    fn find(&self, name: &str) -> &Arc<CertifiedKey> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let below = || name.split_once('.').and_then(|(_, parent)| self.below.get(parent));
        self.exact.get(&name).or_else(below).unwrap_or(&self.first)
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let found = hello.server_name().map_or(&self.first, |name| self.find(name));
        Some(found.clone())
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::PrivateKeyDer;

    use super::*;

    fn key() -> Arc<CertifiedKey> {
        let own = rcgen::generate_simple_self_signed(vec!["x".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        Arc::new(CertifiedKey::from_der(vec![own.cert.der().clone()], key, &provider).unwrap())
    }

    #[test]
    fn the_name_itself_comes_before_a_wildcard_and_that_stands_for_one_label() {
        let [first, one, many] = [key(), key(), key()];
        let mut names = Names::new(first.clone());
        assert!(
            names.add("A.example", &one) && names.add("*.example", &many) && names.add("a.example", &one)
        );
        assert!(!names.add("a.example", &many) && !names.add("*.EXAMPLE", &one));
        for (asked, expected) in [
            ("a.example", &one),
            ("A.EXAMPLE.", &one),
            ("b.example", &many),
            ("c.b.example", &first),
            ("example", &first),
            ("other.test", &first),
            ("", &first),
        ] {
            assert!(Arc::ptr_eq(names.find(asked), expected), "{asked}");
        }
    }
}
