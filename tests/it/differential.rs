//! What is decided against what others read: for any target that a client can write, no upstream receives one that any
//! common way of reading it leads into a place that the same caller would be refused.
//!
//! `targets` writes them, `readings` reads them as servers do, `decided` asks the pure half and `wire` a gateway with its
//! sockets.

mod decided;
mod readings;
mod targets;
mod wire;

use crate::support::{Gateway, Upstream};

/// What everyone with the role `user` may do, and what only a `boss` may. Both stand where one is easily taken for the
/// other: literals beside parameters, beside the rest of a path, and below them.
const OPEN: &[&str] = &[
    "/app",
    "/app/{name}",
    "/app/{name}/info",
    "/app/files/{name}",
    "/app/files/{name}/{part}",
    "/app/open/{rest...}",
    "/app/caf%C3%A9/{rest...}",
];
const PROTECTED: &[&str] = &[
    "/app/admin",
    "/app/admin/{rest...}",
    "/app/{name}/secret",
    "/app/files/secret",
    "/app/files/{name}/secret",
    "/app/files/{name}/secret/{rest...}",
    "/app/open/private",
    "/app/open/private/{rest...}",
    "/app/Upper",
    "/app/Upper/{rest...}",
];

fn rules() -> String {
    let operations = |templates: &[&str]| -> Vec<String> {
        templates.iter().flat_map(|own| ["GET", "POST"].map(|verb| format!("{verb} {own}"))).collect()
    };
    format!(
        "app = \"app\"\nowns = [\"/app\"]\nissuer = \"test\"\nroles = \"token.roles\"\ntenant = \"default\"\n\
         [facts.token]\nroles = \"set\"\n\
         [resource.things]\nuse = {:?}\n[resource.more]\nuse = {:?}\n\
         [role.user]\nuse = [\"things\"]\n[role.boss]\nuse = [\"things\", \"more\"]\n",
        operations(OPEN),
        operations(PROTECTED)
    )
}

fn gateway(upstream: &Upstream) -> Gateway {
    Gateway::setup().upstream("app", &[upstream.address]).rules("app", &rules()).start()
}

/// The part of a target that names a path, as everyone agrees: what stands before a query.
fn path_of(target: &str) -> &str {
    target.split('?').next().unwrap_or_default()
}
