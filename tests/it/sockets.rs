//! Sockets through the gateway: Socket.IO by polling and over WebSockets, and plain tunnels.

mod backend;
mod client;
mod extended;
mod frames;
mod hostile;
mod lives;
mod polling;
mod real;
mod recorded;
mod reference;
mod tried;
mod tunnel;

use std::net::SocketAddr;

use self::backend::Backend;
use crate::support::Gateway;
use crate::support::gateway::Setup;

/// A gateway before this backend, whose clients show their tokens in the header.
fn desk(backend: &Backend) -> Gateway {
    desk_with(backend, &["header"])
}

/// The same, with tokens in these places.
fn desk_with(backend: &Backend, token: &[&str]) -> Gateway {
    desk_before(&[backend.address()], token)
}

fn desk_before(servers: &[SocketAddr], token: &[&str]) -> Gateway {
    setup(servers, token).start()
}

/// An app with a Socket.IO socket that tells it the caller's roles.
fn setup(servers: &[SocketAddr], token: &[&str]) -> Setup {
    let path = client::PATH.trim_end_matches('/');
    let auth = r#"{ agent = { json = { roles = "roles" } }, keep = ["fcm"] }"#;
    let socket = format!("path = \"{path}\"\ntoken = {token:?}\nauth = {auth}");
    Gateway::setup().upstream("app", servers).socket(&socket)
}
