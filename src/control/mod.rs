//! The control plane: what changes the things that requests meet. Nothing here is on a request's path.

pub mod admin;
pub mod candidate;
pub mod certificates;
pub mod credentials;
mod decisions;
pub mod fetch;
pub mod health;
pub mod keys;
pub mod mounts;
pub mod promotion;
pub mod provision;
pub mod reload;
pub mod sources;
pub mod status;
pub mod upstream_tls;
