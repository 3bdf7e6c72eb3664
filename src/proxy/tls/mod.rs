//! TLS towards callers: what is presented (`present`, `names`), the handshake, and the stream that comes of it. Which
//! files it is made from, and when they are read again, is `control::certificates`'s.

mod handshake;
mod names;
pub mod present;

pub(super) use handshake::{ClientIo, Spoken, shake};
