//! The plane that carries requests: `server` accepts and drains, `tls` shakes hands, `connection` speaks HTTP on one of them, `handle` is
//! a request's life, with `inbound`, `forward`, `respond` and `record` as its steps; `upgrade` and `socketio` carry what is
//! no request any more. It decides nothing itself, and
//! it forwards nothing without a permit.

mod answering;
mod body;
mod connection;
mod crossing;
mod dialect;
mod forward;
mod handle;
mod inbound;
mod patience;
mod plane;
mod pulse;
mod preamble;
mod ending;
mod reading;
mod record;
mod respond;
mod server;
mod socketio;
mod taking;
pub mod tls;
mod transform;
mod upgrade;

pub use plane::Plane;
pub use pulse::Pulse;
pub use server::{Drained, Running, Server};
