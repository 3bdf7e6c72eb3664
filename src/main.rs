//! The `gatewarden` binary.
fn main() {}
