//! `gateway.toml`.

use serde_json::Value;

use super::{either, flag, int, list, named, one_of, said, table, text, texts};

/// The schema of the gateway's file.
pub(super) fn root() -> Value {
    table(
        &[
            ("listen", said(listen(), "Where callers come in")),
            ("admin", said(table(&[("address", text())], &[]), "For operators; on a loopback address")),
            ("metrics", said(table(&[("address", text())], &[]), "For scrapers and probes alone")),
            ("rules", said(text(), "The directory of the rule files")),
            ("candidate", said(candidate(), "Rules that are judged beside the live ones")),
            ("issuers", said(named(issuer()), "Who signs tokens")),
            ("upstreams", said(named(upstream()), "Where the applications are")),
            ("limits", said(limits(), "What there is at most of everything")),
            ("trusted-proxies", said(texts(), "Networks whose X-Forwarded-For counts")),
            ("drain-delay", said(duration(), "How long callers are still let in after a stop is asked for")),
            ("drain", said(duration(), "How long requests in flight have to end")),
            ("telemetry", said(table(&[("log", one_of(&["human", "json"]))], &[]), "How the log is written")),
            ("decisions", said(decisions(), "What becomes of decisions: kept for a while, and written down")),
            ("ledger", said(table(&[("file", text())], &[]), "Where seats are kept over a restart")),
        ],
        &[],
    )
}

/// `"30s"`, `"250ms"`: a number without a unit is a mistake.
fn duration() -> Value {
    text()
}

fn candidate() -> Value {
    table(&[("rules", text()), ("tenants", texts()), ("remote", flag())], &[])
}

fn decisions() -> Value {
    let rotate = table(&[("size", text()), ("every", duration()), ("keep", int())], &[]);
    let keys = [
        ("recent", int()),
        ("queue", int()),
        ("queue-size", text()),
        ("mask", texts()),
        ("path", flag()),
        ("sample", table(&[("allow", int())], &[])),
        ("chain", flag()),
        ("file", text()),
        ("to", one_of(&["stdout"])),
        ("rotate", rotate),
        ("subject", one_of(&["plain", "hash", "off"])),
        ("key", table(&[("file", text()), ("env", text())], &[])),
    ];
    table(&keys, &[])
}

fn listen() -> Value {
    let pair = || [("certificate", text()), ("key", text())];
    let clients = table(&[("ca", text()), ("required", flag())], &["ca", "required"]);
    let certificates = || list(table(&pair(), &["certificate", "key"]));
    let mut keys = pair().to_vec();
    keys.extend([("certificates", certificates()), ("clients", clients)]);
    let tls = either(vec![table(&keys, &[]), certificates()]);
    table(&[("address", text()), ("workers", int()), ("proxy-protocol", texts()), ("tls", tls)], &[])
}

fn issuer() -> Value {
    let keys = [
        ("kind", said(one_of(&["entra", "keycloak", "oidc"]), "How its tokens are read")),
        ("issuer", said(text(), "What tokens say in `iss`, exactly")),
        ("audience", said(texts(), "What tokens say in `aud`: one of these")),
        (
            "algorithms",
            list(one_of(&["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"])),
        ),
        ("metadata", text()),
        ("jwks", text()),
        ("leeway", duration()),
    ];
    table(&keys, &["kind", "audience"])
}

fn upstream() -> Value {
    let health = [
        ("path", text()),
        ("every", duration()),
        ("timeout", duration()),
        ("expect", int()),
        ("healthy", int()),
        ("unhealthy", int()),
    ];
    let tls = [("ca", text()), ("certificate", text()), ("key", text()), ("server-name", text())];
    let limits = [("in-flight", int()), ("pending", int()), ("pending-timeout", duration())];
    let keys = [
        ("at", said(texts(), "Path prefixes, and hosts, that it serves")),
        ("servers", said(texts(), "Its servers, such as http://127.0.0.1:7001")),
        ("strip", said(text(), "What is cut off the path")),
        ("protocol", one_of(&["http1", "h2", "auto"])),
        ("grpc", flag()),
        ("tls", table(&tls, &[])),
        (
            "credential",
            said(table(&[("file", text()), ("env", text())], &[]), "What look-ups authenticate with"),
        ),
        ("connect-timeout", duration()),
        ("read-timeout", duration()),
        ("total-timeout", duration()),
        ("try-timeout", duration()),
        ("balance", one_of(&crate::plumbing::Balance::ALL.map(crate::plumbing::Balance::as_str))),
        ("health", table(&health, &["path"])),
        ("retries", int()),
        ("limits", table(&limits, &[])),
        ("connection-age", duration()),
        ("resolve-every", duration()),
    ];
    table(&keys, &["at", "servers"])
}

fn limits() -> Value {
    let counts = [
        "connections",
        "connections-per-client",
        "handshakes",
        "requests",
        "headers",
        "upstream-idle-connections",
        "cached-tokens",
        "sockets",
        "socket-packets-per-second",
        "h2-streams",
        "requests-per-connection",
    ];
    let texts = [
        "head",
        "upstream-head",
        "socket-message",
        "body",
        "rule-body",
        "handshake-timeout",
        "head-timeout",
        "body-timeout",
        "idle-timeout",
        "upstream-idle-timeout",
    ];
    let keys: Vec<(&str, Value)> = counts
        .into_iter()
        .map(|key| (key, int()))
        .chain(texts.into_iter().map(|key| (key, text())))
        .collect();
    table(&keys, &[])
}
