//! What `gateway.toml` may say, and what each mistake in it is told.

use std::path::PathBuf;
use std::time::Duration;

use super::super::diagnostic::{Diagnostics, Style};
use super::super::{FileKind, SourceFile};
use super::*;

fn read_text(text: &str) -> (GatewayConfig, Diagnostics, String) {
    let source = SourceFile { kind: FileKind::Gateway, path: "etc/gateway.toml".into(), text: text.into() };
    let mut diagnostics = Diagnostics::default();
    let config = read(0, &source, &mut diagnostics);
    diagnostics.sort();
    let rendered = diagnostics.render(&[source], Style::Plain);
    (config, diagnostics, rendered)
}

#[track_caller]
fn good(text: &str) -> GatewayConfig {
    let (config, diagnostics, rendered) = read_text(text);
    assert!(diagnostics.is_empty(), "{rendered}");
    config
}

#[track_caller]
fn mistakes(text: &str, expected: &[&str]) {
    let (_, diagnostics, rendered) = read_text(text);
    assert_eq!(diagnostics.errors(), expected.len(), "{rendered}");
    for part in expected {
        assert!(rendered.contains(part), "{part} not in\n{rendered}");
    }
}

#[test]
fn an_empty_file_is_the_defaults_and_open_to_nobody_else() {
    let config = good("");
    assert!(config.listen.address.ip().is_loopback());
    assert!(config.admin.ip().is_loopback());
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.rules, PathBuf::from("etc/rules"));
    assert_eq!((config.metrics, config.drain), (None, DRAIN));
}

#[test]
fn every_key_is_read() {
    let config = good(
        r#"
        rules           = "permissions"
        drain           = "5s"
        trusted-proxies = ["10.0.0.0/8", "::1"]
        [listen]
        address = "0.0.0.0:8443"
        workers = 4
        [admin]
        address = "[::1]:9901"
        [metrics]
        address = "0.0.0.0:9902"
        [telemetry]
        log = "json"
        [ledger]
        file = "state/seats.json"
        [issuers.entra]
        kind     = "entra"
        audience = ["api://gatewarden"]
        metadata = "http://127.0.0.1:9/openid-configuration"
        [issuers.sso]
        kind       = "keycloak"
        issuer     = "https://sso.example/realms/x"
        audience   = ["cim", "desk"]
        algorithms = ["ES256", "RS256"]
        jwks       = "keys/sso.json"
        leeway     = "10s"
        [issuers.third]
        kind     = "oidc"
        issuer   = "https://third.example/"
        audience = ["x"]
        [upstreams.desk]
        at              = ["/desk", "desk.example/"]
        servers         = ["http://127.0.0.1:7001", "https://b.example"]
        connect-timeout = "250ms"
        read-timeout    = "1m"
        total-timeout   = "2h"
        try-timeout     = "2s"
        retries         = 1
        balance         = "least-requests"
        health          = { path = "/health?a=b", every = "1s", expect = 204, healthy = 1, unhealthy = 5 }
        limits          = { in-flight = 10, pending = 0, pending-timeout = "50ms" }
        connection-age  = "1m"
        resolve-every   = "5s"
        [upstreams.calling]
        at      = ["/calling/v2"]
        servers = ["http://127.0.0.1:7003"]
        strip   = "/calling"
        credential = { file = "secrets/calling" }
        [limits]
        body        = "1GiB"
        head        = "16KiB"
        connections = 5
        h2-streams  = 7
        idle-timeout = "90s"
        "#,
    );
    assert_eq!(config.rules, PathBuf::from("etc/permissions"));
    assert_eq!(config.listen.workers, Some(4));
    assert_eq!((config.trusted_proxies.len(), config.log), (2, LogFormat::Json));
    assert_eq!(config.ledger, Some(PathBuf::from("etc/state/seats.json")));
    let [entra, sso, third] = &config.issuers[..] else { panic!("{:?}", config.issuers) };
    assert_eq!((&*entra.issuer, &*entra.algorithms), (ENTRA_ISSUER, &["RS256".to_owned()][..]));
    assert_eq!(sso.keys, KeySource::File("etc/keys/sso.json".into()));
    assert_eq!(sso.leeway, Duration::from_secs(10));
    let discovered = "https://third.example/.well-known/openid-configuration";
    assert_eq!(third.keys, KeySource::Metadata(discovered.into()));
    let [calling, desk] = &config.upstreams[..] else { panic!("{:?}", config.upstreams) };
    assert_eq!((&*calling.name, calling.strip.as_deref()), ("calling", Some("/calling")));
    assert_eq!((desk.at.len(), desk.servers.len()), (2, 2));
    let secret = CredentialSource::File("etc/secrets/calling".into());
    assert_eq!((&calling.credential, &desk.credential), (&Some(Credential::new(secret)), &None));
    assert_eq!(desk.connect_timeout, Duration::from_millis(250));
    assert_eq!((desk.balance, calling.balance), (Balance::LeastRequests, Balance::RoundRobin));
    assert_eq!((desk.try_timeout, desk.retries), (Some(Duration::from_secs(2)), 1));
    let second = Duration::from_secs(1);
    let path = "/health?a=b".to_owned();
    let check = HealthCheck { path, every: second, timeout: second, expect: 204, healthy: 1, unhealthy: 5 };
    assert_eq!((desk.health.as_ref(), calling.health.as_ref()), (Some(&check), None));
    assert_eq!((desk.in_flight, desk.pending, desk.pending_timeout), (10, 0, Duration::from_millis(50)));
    assert_eq!((desk.connection_age, desk.resolve_every), (second * 60, second * 5));
    assert_eq!((config.limits.body_bytes, config.limits.head_bytes), (1 << 30, 16 << 10));
    assert_eq!((config.limits.connections, config.limits.h2_streams), (5, 7));
}

#[test]
fn all_mistakes_are_told_at_once() {
    mistakes(
        r#"
        drian = "5s"
        [listen]
        address = "everywhere"
        tls     = { certificate = "a" }
        workers = 0
        [telemetry]
        log = "jsn"
        [limits]
        body = 3
        conections = 5
        head-timeout = "0s"
        "#,
        &[
            "did you mean `drain`?",
            "an address is an IP address and a port",
            "`key` is missing",
            "must be between 1 and 512",
            "did you mean `json`?",
            "expected a string, found an integer",
            "did you mean `connections`?",
            "must be more than nothing",
        ],
    );
}

#[test]
fn operators_endpoints_stay_on_this_machine() {
    mistakes("[admin]\naddress = \"0.0.0.0:9901\"\n", &["would be open to the network"]);
    mistakes("[admin]\ntoken = \"x\"\n", &["`token` is not supported yet"]);
    mistakes("[admin]\naddress = \"127.0.0.1:8080\"\n", &["another listener has the same address"]);
}

#[test]
fn an_issuer_says_whom_it_believes() {
    mistakes("[issuers.a]\n", &["`kind` is missing", "`issuer` is missing", "`audience` is missing"]);
    mistakes(
        "[issuers.a]\nkind = \"keycloack\"\nissuer = \"x\"\naudience = []\nalgorithms = [\"HS256\"]\n",
        &["did you mean `keycloak`?", "a token for anyone", "anyone who can check such a token can make one"],
    );
    let two = "metadata = \"https://a/m\"\njwks = \"https://a/k\"\n";
    let head = "[issuers.a]\nkind = \"oidc\"\nissuer = \"https://a\"\naudience = [\"x\"]\n";
    mistakes(&format!("{head}{two}"), &["two sources"]);
    mistakes(&format!("{head}jwks = \"ftp://a/k\"\n"), &["only https and http"]);
    mistakes(&format!("{head}jwks = \"http://keycloak:8080/k\"\n"), &["could replace the keys"]);
}

#[test]
fn upstreams_serve_places_of_their_own() {
    mistakes("[upstreams.a]\n", &["`at` is missing", "`servers` is missing"]);
    mistakes("[upstreams.a]\nat = []\nservers = []\n", &["names no place", "names no server"]);
    mistakes(
        "[upstreams.a]\nat = [\"/a\"]\nservers = [\"http://h:1\"]\n\
         [upstreams.b]\nat = [\"/a\"]\nservers = [\"http://h:1/x\"]\nstrip = \"/c\"\n",
        &["served twice", "a server has no path", "doesn't begin with that"],
    );
    let half = "[upstreams.a]\nat = [\"/calling-two\"]\nservers = [\"http://h:1\"]\nstrip = \"/calling\"\n";
    mistakes(half, &["doesn't begin with that"]);
}

#[test]
fn how_servers_are_looked_after_is_said_exactly() {
    let with =
        |more: &str| format!("[upstreams.a]\nat = [\"/a\"]\nservers = [\"http://127.0.0.1:1\"]\n{more}\n");
    mistakes(&with("balance = \"round-rubin\""), &["did you mean `round-robin`?"]);
    mistakes(&with("health = {}"), &["`path` is missing"]);
    mistakes(&with("health = { path = \"health\" }"), &["not a plain path"]);
    mistakes(&with("health = { path = \"/a/../b\" }"), &["not a plain path"]);
    mistakes(&with("health = { path = \"/h\", every = \"1s\", timeout = \"2s\" }"), &["at most 1s"]);
    mistakes(
        &with("health = { path = \"/h\", expect = 101, healthy = 0 }"),
        &["from 200 to 599", "between 1 and 100"],
    );
    mistakes(&with("limits = { in-flight = 0, pendnig = 5 }"), &["between 1 and", "did you mean `pending`?"]);
    mistakes(&with("retries = 11"), &["between 0 and 10"]);
    // A try over HTTP/2 isn't given up for another.
    mistakes(&with("protocol = \"h2\"\ntry-timeout = \"1s\""), &["has no effect beside `protocol = \"h2\"`"]);
    let both = with("protocol = \"auto\"\ntry-timeout = \"1s\"").replace("http:", "https:");
    assert_eq!(good(&both).upstreams[0].try_timeout, Some(Duration::from_secs(1)));
    let many: Vec<_> = (1..=65).map(|port| format!("http://127.0.0.1:{port}")).collect();
    mistakes(&format!("[upstreams.a]\nat = [\"/a\"]\nservers = {many:?}\n"), &["at most 64 servers"]);
}

#[test]
fn a_secret_is_named_and_never_told() {
    let upstream = "[upstreams.a]\nat = [\"/a\"]\nservers = [\"http://127.0.0.1:1\"]\ncredential = ";
    let with = |credential: &str| format!("{upstream}{credential}\n");
    let config = good(&with("{ env = \"CALLING_KEY\" }"));
    let source = config.upstreams[0].credential.as_ref().map(Credential::source);
    assert_eq!(source, Some(&CredentialSource::Env("CALLING_KEY".into())));
    mistakes(&with("\"hunter2\""), &["a secret doesn't stand in this file"]);
    mistakes(&with("{}"), &["comes from one place"]);
    mistakes(&with("{ file = \"a\", env = \"A\" }"), &["comes from one place"]);
    mistakes(&with("{ file = \"\" }"), &["names nothing"]);
    mistakes(&with("{ value = \"hunter2\" }"), &["unknown key `value`", "comes from one place"]);
}

#[test]
fn what_callers_are_presented_is_files() {
    let tls = |text: &str| good(&format!("listen.tls = {text}")).listen.tls.unwrap();
    let one = tls("{ certificate = \"a.pem\", key = \"/k/a.key\" }");
    let [files] = &one.certificates[..] else { panic!("{one:?}") };
    assert_eq!((&*files.name, &one.clients), ("a.pem", &None));
    assert_eq!((&files.certificate, &files.key), (&"etc/a.pem".into(), &"/k/a.key".into()));
    let pairs = "[{ certificate = \"a\", key = \"k\" }, { certificate = \"b\", key = \"k\" }]";
    assert_eq!(tls(pairs).certificates.len(), 2);
    let all = tls(&format!("{{ certificates = {pairs}, clients = {{ ca = \"ca\", required = false }} }}"));
    let trust = ClientTrust { authorities: "etc/ca".into(), presence: Presence::Optional };
    assert_eq!((all.certificates.len(), all.clients), (2, Some(trust)));

    let wrong = |text: &str, expected: &[&str]| mistakes(&format!("listen.tls = {text}"), expected);
    wrong("\"a.pem\"", &["expected a table"]);
    wrong("[]", &["names no certificate"]);
    wrong("{ certificates = [] }", &["names no certificate"]);
    wrong("{ certificate = \"\", key = \"certs/\" }", &["names no file", "names no file"]);
    let twice = "{ certificate = \"a\", key = \"k\" }";
    wrong(&format!("[{twice}, {twice}]"), &["named twice"]);
    wrong("[{ certificate = \"a\", key = \"k\", clients = {} }]", &["for all certificates"]);
    wrong("{ certificate = \"a\", key = \"k\", clients = { ca = \"c\" } }", &["`required` is missing"]);
    wrong("{ certificate = \"a\", key = \"k\", protocols = 1 }", &["unknown key `protocols`"]);
}

#[test]
fn who_may_say_whose_connection_it_is_is_named() {
    assert_eq!(good("listen.proxy-protocol = [\"10.0.0.0/8\", \"::1\"]").listen.proxy_protocol.len(), 2);
    mistakes(
        "listen.proxy-protocol = [\"0.0.0.0/0\", \"x\"]",
        &["every address would be believed", "a net is"],
    );
    mistakes("listen.proxy-protocol = true", &["expected an array"]);
}

#[test]
fn a_ledger_is_a_file() {
    assert_eq!(good("").ledger, None);
    mistakes("ledger.file = \"state/\"", &["names no file"]);
    mistakes("ledger.flie = \"seats.json\"", &["did you mean `file`?"]);
    mistakes("ledger = \"seats.json\"", &["expected a table"]);
}

#[test]
fn an_upstream_says_what_it_speaks_and_whom_it_trusts() {
    let upstream = |servers: &str, more: &str| {
        format!("[upstreams.a]\nat = [\"/a\"]\nservers = [\"{servers}\"]\n{more}\n")
    };
    let config = good(&upstream("http://h:1", ""));
    assert_eq!((config.upstreams[0].protocol, &config.upstreams[0].tls), (Protocol::Http1, &None));
    let calls = |more: &str| good(&upstream("http://h:1", more)).upstreams[0].calls;
    assert_eq!(calls("protocol = \"h2\""), Calls::Refused);
    assert_eq!(calls("protocol = \"h2\"\ngrpc = true"), Calls::Passed);
    assert_eq!(calls("grpc = false"), Calls::Refused);
    let tls = "protocol = \"auto\"\ntls = { ca = \"ca.pem\", certificate = \"own.pem\", key = \"own.key\", server-name = \"a.internal\" }";
    let config = good(&upstream("https://10.0.0.1", tls));
    let tls = config.upstreams[0].tls.as_ref().unwrap();
    assert_eq!(config.upstreams[0].protocol, Protocol::Auto);
    assert_eq!(tls.authorities, Some("etc/ca.pem".into()));
    assert_eq!(tls.identity.as_ref().unwrap().key, PathBuf::from("etc/own.key"));
    assert!(tls.server_name.is_some());
    for (servers, more, told) in [
        ("http://h:1", "protocol = \"auto\"", "only TLS lets a server choose"),
        ("http://h:1", "protocol = \"http2\"", "unknown protocol `http2`"),
        ("http://h:1", "tls = { ca = \"ca.pem\" }", "no server here is spoken to over TLS"),
        ("http://h:1", "grpc = true", "gRPC needs HTTP/2"),
        ("http://h:1", "grpc = \"yes\"\nprotocol = \"h2\"", "expected true or false"),
        ("https://h", "tls = { certificate = \"own.pem\" }", "come together"),
        ("https://h", "tls = { server-name = \"a b\" }", "not a host name"),
        ("https://h", "tls = { verify = false }", "unknown key `verify`"),
        ("https://h", "tls = { ca = \"\" }", "names no file"),
    ] {
        mistakes(&upstream(servers, more), &[told]);
    }
}
