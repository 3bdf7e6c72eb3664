//! The integration tests: one binary, one module per room of the house.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test says what it expects by failing"
)]

mod alerts;
mod architecture;
mod attacks;
mod candidate;
mod check;
mod cli;
mod clock;
mod cors;
mod decisions;
mod dev;
mod diff;
mod diff_fooled;
mod diff_size;
mod differential;
mod explain;
mod faults;
mod forwarding;
mod grpc;
mod h2_upstreams;
mod hindsight;
mod imports;
mod keys;
mod limits;
mod lookups;
mod metrics;
mod policy;
mod process;
mod readme;
mod reload;
mod replay;
mod restart;
mod run_cli;
mod seats;
mod soak;
mod sockets;
mod suggest;
mod support;
mod tls;
mod tokens;
mod upstreams;
mod who;
