//! What is spoken on a socket, as values: Engine.IO packets ([`engine`]), the Socket.IO packets in them ([`packet`]), the
//! request that opens either ([`handshake`]), what the gateway says on its own ([`answer`]), and where the frames of a
//! plain WebSocket end ([`frame`]).
//!
//! A packet that two servers could read differently is refused instead of being understood: what is judged is what the
//! app reads. Who may send what is `authorize`'s; connections, sessions and time are `proxy`'s.

pub mod answer;
pub mod engine;
pub mod frame;
pub mod handshake;
pub mod packet;
