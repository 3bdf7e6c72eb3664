//! Where a server is when it has a name: its addresses, looked up off the request path and remembered. A look-up that
//! fails changes nothing; connections to an address that is gone end with their next request.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;

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
    Named(Box<Named>),
}

/// What is known of a name.
#[derive(Debug, Default)]
pub(super) struct Named {
    known: ArcSwapOption<Vec<SocketAddr>>,
    turn: AtomicUsize,
    /// Somebody looks it up just now.
    is_sought: AtomicBool,
    /// The last look-up found nothing.
    has_failed: AtomicBool,
    /// A look-up ended.
    ended: Notify,
}

/// A look-up that is under way for as long as this lives.
pub(super) struct Seeking<'n>(&'n Named);

impl Drop for Seeking<'_> {
    fn drop(&mut self) {
        self.0.is_sought.store(false, Ordering::Release);
    }
}

impl Names {
    pub(super) fn new(address: &ServerAddress) -> Self {
        match address.host.parse::<IpAddr>() {
            Ok(ip) => Self::Fixed(SocketAddr::new(ip, address.port)),
            Err(_) => Self::Named(Box::default()),
        }
    }

    /// Whether there is anything to look up.
    pub(super) fn is_named(&self) -> bool {
        matches!(self, Self::Named(_))
    }

    /// Whether there are addresses.
    pub(super) fn is_known(&self) -> bool {
        match self {
            Self::Fixed(_) => true,
            Self::Named(named) => named.known.load().is_some(),
        }
    }

    /// Leave to look the name up, unless there is none or somebody does already.
    pub(super) fn seek(&self) -> Option<Seeking<'_>> {
        let Self::Named(named) = self else { return None };
        (!named.is_sought.swap(true, Ordering::AcqRel)).then(|| Seeking(named))
    }

    /// The addresses, once there are any; none if the last look-up failed. Whoever asks for a connection waits for the
    /// look-up that is under way and never begins one: threads that wait for a silent name server are few.
    pub(super) async fn found(&self) -> Vec<SocketAddr> {
        let Self::Named(named) = self else { return self.addresses() };
        loop {
            let mut ended = pin!(named.ended.notified());
            ended.as_mut().enable();
            let addresses = self.addresses();
            if !addresses.is_empty() || named.has_failed.load(Ordering::Acquire) {
                return addresses;
            }
            ended.await;
        }
    }

    /// The addresses in the order in which to try them; none if nobody has looked them up yet.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        match self {
            Self::Fixed(address) => vec![*address],
            Self::Named(named) => {
                let known = named.known.load();
                let Some(known) = known.as_ref() else { return Vec::new() };
                let mut rotated = known.to_vec();
                let turn = named.turn.fetch_add(1, Ordering::Relaxed);
                rotated.rotate_left(turn.checked_rem(known.len()).unwrap_or(0));
                rotated
            }
        }
    }

    /// Whether connections to this address may go on.
    pub(super) fn has(&self, address: &SocketAddr) -> bool {
        match self {
            Self::Fixed(_) => true,
            Self::Named(named) => named.known.load().as_ref().is_none_or(|known| known.contains(address)),
        }
    }

    /// What a look-up found. Nothing, or a failure, leaves the addresses as they are.
    pub(super) fn learn(&self, found: io::Result<Vec<SocketAddr>>) -> bool {
        let Self::Named(named) = self else { return false };
        let mut found = found.unwrap_or_default();
        found.truncate(ADDRESSES_MAX);
        let is_news = !found.is_empty();
        if is_news {
            named.known.store(Some(Arc::new(found)));
        }
        named.has_failed.store(!is_news, Ordering::Release);
        named.ended.notify_waiters();
        is_news
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
