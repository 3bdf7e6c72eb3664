//! Where a server is when it has a name: its addresses, looked up off the request path and remembered. A look-up that
//! fails changes nothing; connections to an address that is gone end with their next request.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwapOption;

use crate::plumbing::ServerAddress;

/// Most addresses of one name that are kept.
const ADDRESSES_MAX: usize = 16;

/// A look-up on its way.
pub type Looking = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;
/// Looks a name up.
pub type Resolve = fn(String, u16) -> Looking;

/// Asks the operating system.
#[must_use]
pub fn system(host: String, port: u16) -> Looking {
    Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
}

/// The addresses of one server.
#[derive(Debug)]
pub(super) enum Names {
    /// It has no name.
    Fixed(SocketAddr),
    /// They may change.
    Named { known: ArcSwapOption<Vec<SocketAddr>>, turn: AtomicUsize },
}

impl Names {
    pub(super) fn new(address: &ServerAddress) -> Self {
        match address.host.parse::<IpAddr>() {
            Ok(ip) => Self::Fixed(SocketAddr::new(ip, address.port)),
            Err(_) => Self::Named { known: ArcSwapOption::empty(), turn: AtomicUsize::new(0) },
        }
    }

    /// Whether there is anything to look up.
    pub(super) fn is_named(&self) -> bool {
        matches!(self, Self::Named { .. })
    }

    /// The addresses in the order in which to try them; none if nobody has looked them up yet.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        match self {
            Self::Fixed(address) => vec![*address],
            Self::Named { known, turn } => {
                let known = known.load();
                let Some(known) = known.as_ref() else { return Vec::new() };
                let mut rotated = known.to_vec();
                let turn = turn.fetch_add(1, Ordering::Relaxed);
                rotated.rotate_left(turn.checked_rem(known.len()).unwrap_or(0));
                rotated
            }
        }
    }

    /// Whether connections to this address may go on.
    pub(super) fn has(&self, address: &SocketAddr) -> bool {
        match self {
            Self::Fixed(_) => true,
            Self::Named { known, .. } => known.load().as_ref().is_none_or(|known| known.contains(address)),
        }
    }

    /// What a look-up found. Nothing, or a failure, leaves the addresses as they are.
    pub(super) fn learn(&self, found: io::Result<Vec<SocketAddr>>) -> bool {
        let (Self::Named { known, .. }, Ok(mut found)) = (self, found) else { return false };
        found.truncate(ADDRESSES_MAX);
        if found.is_empty() {
            return false;
        }
        known.store(Some(Arc::new(found)));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plumbing::Scheme;

    fn names(host: &str) -> Names {
        Names::new(&ServerAddress { scheme: Scheme::Http, host: host.into(), port: 80 })
    }

    fn at(last: &[u8]) -> Vec<SocketAddr> {
        last.iter().map(|last| SocketAddr::new([10, 0, 0, *last].into(), 80)).collect()
    }

    #[test]
    fn several_addresses_take_turns() {
        let names = names("app.example");
        assert!(names.is_named() && names.addresses().is_empty());
        assert!(names.learn(Ok(at(&[1, 2, 3]))));
        assert_eq!([0, 1, 2].map(|_| names.addresses()), [at(&[1, 2, 3]), at(&[2, 3, 1]), at(&[3, 1, 2])]);
    }

    #[test]
    fn a_look_up_that_fails_changes_nothing() {
        let names = names("app.example");
        names.learn(Ok(at(&[1])));
        assert!(!names.learn(Err(io::ErrorKind::TimedOut.into())));
        assert!(!names.learn(Ok(Vec::new())));
        assert_eq!(names.addresses(), at(&[1]));
    }

    #[test]
    fn what_is_no_longer_an_address_is_known_as_such() {
        let names = names("app.example");
        let [old, new] = at(&[1, 2])[..] else { panic!() };
        assert!(names.has(&old), "nobody has looked yet");
        names.learn(Ok(vec![old, new]));
        names.learn(Ok(vec![new]));
        assert!(!names.has(&old) && names.has(&new));
    }

    #[test]
    fn an_address_needs_no_look_up() {
        let names = names("10.0.0.1");
        assert!(!names.is_named() && !names.learn(Ok(at(&[2]))));
        assert_eq!(names.addresses(), at(&[1]));
    }
}
