//! What scrapers and logs see. [`Metrics`] is a facade: no other module names the metrics crate. `log` sets the
//! log up. Nothing here decides anything, and nothing on the request path calls the log.

mod cache;
mod family;
mod labels;
pub mod log;
mod lookups;
mod metrics;
mod process;
mod seats;
#[cfg(test)]
mod tests;

pub use lookups::Hits;
pub use metrics::{Counted, Metrics, MetricsError, Mode, Trigger};
