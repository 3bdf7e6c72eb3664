//! `gatewarden dev`: the real gateway with embedded demo applications and tokens, nothing else to install.

pub mod backends;
pub mod files;
pub mod issuer;
pub mod persona;
pub mod socket;
pub mod store;
