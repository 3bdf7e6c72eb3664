//! How a connection ended, where a limit ended it: hyper answers what it can't take and closes, and nobody else hears of it.

use std::error::Error as _;
use std::io;

use crate::telemetry::{Limit, Metrics};

/// Counts the limit that ended a connection, if one did. `had_begun` says whether the request that was waited for had.
pub(super) fn count(metrics: &Metrics, end: hyper::Result<()>, had_begun: impl Fn() -> bool) {
    if let Some(limit) = end.err().and_then(|why| limit(&why, had_begun)) {
        metrics.limit_hit(limit);
    }
}

fn limit(why: &hyper::Error, had_begun: impl Fn() -> bool) -> Option<Limit> {
    if why.is_parse_too_large() {
        return Some(Limit::Head);
    }
    if why.is_timeout() {
        return Some(if had_begun() { Limit::HeadTimeout } else { Limit::IdleTimeout });
    }
    let mut cause = why.source();
    while let Some(why) = cause {
        if let Some(why) = why.downcast_ref::<h2::Error>() {
            // Our own word to a client that made too much work, not what a client said.
            let is_ours = why.is_library() && why.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM);
            let is_stalled = why.get_io().is_some_and(is_timeout);
            return is_ours.then_some(Limit::H2Flood).or(is_stalled.then_some(Limit::IdleTimeout));
        }
        if why.downcast_ref::<io::Error>().is_some_and(is_timeout) {
            return Some(Limit::IdleTimeout);
        }
        cause = why.source();
    }
    None
}

fn is_timeout(why: &io::Error) -> bool {
    why.kind() == io::ErrorKind::TimedOut
}
