//! What scrapers and logs see. [`Metrics`] is a facade: no other module names the metrics crate. `log` sets the
//! log up, and `audit` writes what the rules want on record. Nothing here decides anything, and on the request path only the
//! record of a request that has ended calls the log.

mod audit;
mod cache;
mod decisions;
mod family;
pub mod faults;
mod handshakes;
mod labels;
mod limits;
pub mod log;
mod lookups;
mod metrics;
mod process;
mod specs;
mod seats;
mod shadow;
#[cfg(test)]
mod tests;
mod upstreams;

pub(crate) use audit::record as record_audit;
pub use handshakes::HandshakeFailure;
pub use limits::Limit;
pub use lookups::Hits;
pub use metrics::{Counted, Metrics, MetricsError, Mode, Trigger};
pub use shadow::{CandidateState, Dropped};
