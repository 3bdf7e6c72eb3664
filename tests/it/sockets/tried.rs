//! Events under rules that are tried out: compared with the live answer, and answered for a tenant that tries them.

use gatewarden::token::signer::Signer;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::client_with_config;

use super::backend::Backend;
use super::client::Socket;
use crate::process::{FREE_PORTS, Files, Process, RULES};
use crate::support::eventually;

/// Agents may send this event, of two.
fn rules(what: &str) -> String {
    let socket =
        "[socket]\npath = \"/socket.io\"\n[resource.customers]\ntell = [\"EMIT a\"]\nask = [\"EMIT b\"]";
    let rules = RULES.replace("[resource.customers]", socket);
    rules.replace("view = [\"customers\"]", &format!("{what} = [\"customers\"]"))
}

fn opened(gateway: &Process, keys: &Signer) -> Socket {
    let exp = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 300;
    let claims = json!({
        "iss": "https://sso.example", "aud": "desk", "sub": "ada", "roles": ["agent"], "iat": exp - 300, "exp": exp,
    });
    let token = keys.sign(&claims).unwrap();
    let stream = std::net::TcpStream::connect(gateway.address("callers")).unwrap();
    stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    let request = tokio_tungstenite::tungstenite::http::Request::get(
        "ws://gateway.test/desk/socket.io/?EIO=4&transport=websocket",
    )
    .header("Host", "gateway.test")
    .header("Connection", "Upgrade")
    .header("Upgrade", "websocket")
    .header("Sec-WebSocket-Version", "13")
    .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
    .header("Authorization", format!("Bearer {token}"));
    let mut socket = Socket(client_with_config(request.body(()).unwrap(), stream, None).unwrap().0);
    assert!(socket.text().starts_with('0'));
    socket.say("40");
    assert_eq!(socket.text(), r#"40{"sid":"io"}"#);
    socket
}

#[test]
fn an_open_socket_is_judged_by_the_rules_that_its_tenant_has_now() {
    let backend = Backend::start();
    let keys = Signer::from_seed(&[7; 32], "test").unwrap();
    let files = Files::new(backend.address(), FREE_PORTS);
    let text = std::fs::read_to_string(files.path("gateway.toml")).unwrap();
    let text = text.replace("jwks =", "algorithms = [\"EdDSA\"]\njwks =");
    files.write("gateway.toml", &format!("{text}[candidate]\nremote = true\n"));
    files.write("keys.json", &keys.jwks());
    files.write("rules/desk.toml", &rules("tell"));
    let gateway = Process::start(files);
    let mut socket = opened(&gateway, &keys);
    let passes = |socket: &mut Socket, event: &str| {
        socket.say(&format!(r#"421["{event}"]"#));
        socket.text() == "431[true]"
    };
    std::fs::create_dir(gateway.files.path("rules-next")).unwrap();
    gateway.files.write("rules-next/desk.toml", &rules("ask"));
    gateway.admin("POST /reload", &[]);
    assert!(passes(&mut socket, "a") && !passes(&mut socket, "b"));
    let candidate =
        || -> Value { serde_json::from_slice(&gateway.admin("GET /candidate", &[]).body).unwrap() };
    eventually("both events are compared", || {
        let cells = &candidate()["decisions"]["cells"];
        cells["allow"]["deny"] == 1 && cells["deny"]["allow"] == 1
    });
    let kinds = candidate()["decisions"]["kinds"].clone();
    assert!(kinds.as_array().unwrap().iter().all(|kind| kind["method"] == "EMIT"), "{kinds:#}");
    assert_eq!(kinds[0]["roles"], json!(["agent"]));

    let try_out = |tenants: &str| {
        let body = format!("{{\"tenants\":{tenants}}}");
        let length = format!("Content-Length: {}", body.len());
        let address = gateway.address("operators");
        let answer = crate::support::Client::connect(address).ask(format!(
            "PUT /candidate/tenants HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{length}\r\n\r\n{body}"
        ));
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    try_out("[\"acme\"]");
    assert!(passes(&mut socket, "b") && !passes(&mut socket, "a"));
    try_out("[]");
    assert!(passes(&mut socket, "a") && !passes(&mut socket, "b"));

    // A candidate that lets nobody open it ends what is open, once it answers.
    gateway.files.write("rules-next/desk.toml", &RULES.replace("[role.agent]", "[role.clerk]"));
    gateway.admin("POST /reload", &[]);
    assert!(passes(&mut socket, "a"));
    try_out("[\"acme\"]");
    assert_eq!(socket.closed().0, 4403);
}
