//! How many files and sockets the process may have open, and what follows for callers.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For files, listeners, metrics and log; each worker has some of its own.
const OWN: usize = 64;
const OWN_PER_WORKER: usize = 8;

/// Takes as many descriptors as the process may have; how many that are.
pub(super) fn raise() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    let most = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX)
}

/// Callers' connections that there are descriptors for: each may need another one to an upstream.
pub(super) fn room(descriptors: usize, workers: usize) -> usize {
    (descriptors.saturating_sub(OWN.saturating_add(OWN_PER_WORKER.saturating_mul(workers))) / 2).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_leaves_room_for_one_to_an_upstream() {
        assert_eq!((room(1024, 2), room(80, 2), room(10, 2)), (472, 1, 1));
        assert!(room(usize::MAX, 2) > 1 << 40);
    }
}
