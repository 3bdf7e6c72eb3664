//! What a request and its answer go through on their way, and what never gets through.

mod bodies;
mod broken_upstreams;
mod flowing;
mod headers;
mod lives;
mod messages;
mod reading;
mod transforms;
