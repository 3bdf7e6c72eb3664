//! `gateway.toml` → [`plumbing`](crate::plumbing): what each key means, and what is a mistake in it.

mod candidate;
mod decisions;
mod issuers;
mod limits;
mod listen;
mod read;
mod robust;
mod tls;
#[cfg(test)]
mod tests;
mod units;
mod upstream_tls;
mod upstreams;

pub(super) use units::duration;

pub use crate::plumbing::*;
pub use read::read;
