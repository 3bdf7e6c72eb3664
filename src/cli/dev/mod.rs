//! `gatewarden dev`: the real gateway with embedded demo applications and tokens, nothing else to install.

pub mod backends;
pub mod persona;
pub mod store;
