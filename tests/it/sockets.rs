//! Sockets through the gateway: Socket.IO by polling and over WebSockets, and plain tunnels.

mod backend;
mod client;
mod frames;
mod hostile;
mod lives;
mod polling;
mod real;
mod tunnel;

use std::net::SocketAddr;
use std::sync::Arc;

use gatewarden::policy::socket::{AuthPayload, SocketKind, SocketRules, TokenSource, Told};
use gatewarden::policy::{Access, App};
use gatewarden::snapshot::Snapshot;

use self::backend::Backend;
use crate::support::Gateway;
use crate::support::gateway::Setup;

/// A gateway before this backend, whose clients show their tokens in the header.
fn desk(backend: &Backend) -> Gateway {
    desk_with(backend, &["header"])
}

/// The same, with tokens in these places.
fn desk_with(backend: &Backend, token: &'static [&'static str]) -> Gateway {
    desk_before(&[backend.address()], token)
}

fn desk_before(servers: &[SocketAddr], token: &'static [&'static str]) -> Gateway {
    setup(servers, token).start()
}

/// An app with a socket under `/app/guarded`: who may use things there may send `publishCimEvent`, and a boss alone
/// `deletePullModeRequest`.
fn setup(servers: &[SocketAddr], token: &'static [&'static str]) -> Setup {
    Gateway::setup().upstream("app", servers).alter(|snapshot| declare(snapshot, token))
}

fn declare(snapshot: &mut Snapshot, token: &[&str]) {
    let app: &mut App = &mut snapshot.apps[0];
    let at = |method: &str, path: &str| {
        let is_it = |route: &str| route == path;
        let verb = gatewarden::route::Verb::of(&method.parse().unwrap());
        app.operations.iter().position(|own| is_it(&own.route) && Some(own.verb) == verb).unwrap()
    };
    let socket = "/app/guarded/{rest...}";
    let opening = [at("GET", socket), at("POST", socket)];
    let (allowed, refused) = (at("PUT", socket), at("PUT", "/app/more"));
    for index in opening {
        let own = &mut app.operations[index];
        if let Access::Guarded { masks, requirements } = &own.access {
            own.access = Access::Socket { masks: masks.clone(), requirements: requirements.clone() };
        }
    }
    app.events.insert("publishCimEvent".into(), allowed);
    app.events.insert("deletePullModeRequest".into(), refused);
    let source = |text: &&str| match text.split_once('.') {
        Some(("query", key)) => TokenSource::Query(key.into()),
        Some((_, member)) => TokenSource::Auth(member.into()),
        None => TokenSource::Header,
    };
    app.socket = Some(Arc::new(SocketRules {
        kind: SocketKind::SocketIo,
        path: app.operations[opening[0]].template.clone(),
        namespaces: ["/".into()].into(),
        token: token.iter().map(source).collect(),
        auth: AuthPayload {
            told: [("agent".into(), Told::Text([("roles".into(), Told::Roles)].into()))].into(),
            keep: ["fcm".into()].into(),
        },
    }));
}
