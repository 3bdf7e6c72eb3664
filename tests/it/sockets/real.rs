//! A real Socket.IO server behind the gateway and a real client before it. They want `node` and what `npm ci` puts into
//! `tests/node`: `make test-socketio` does both.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::desk_before;

fn place() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/node")
}

/// Whether they can be had. `GATEWARDEN_SOCKETIO` makes their absence a failure.
fn is_here() -> bool {
    let has_node =
        Command::new("node").arg("--version").stdout(Stdio::null()).status().is_ok_and(|own| own.success());
    let is_here = has_node && place().join("node_modules/socket.io").is_dir();
    let is_wanted = std::env::var_os("GATEWARDEN_SOCKETIO").is_some();
    assert!(is_here || !is_wanted, "node, or what `npm ci` in tests/node installs, is missing");
    if !is_here {
        let _ =
            writeln!(std::io::stderr(), "SKIPPED: no real Socket.IO here; `make test-socketio` installs it");
    }
    is_here
}

struct Server {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
    port: u16,
}

impl Server {
    fn start() -> Self {
        let mut child = Command::new("node")
            .arg("server.mjs")
            .current_dir(place())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        Self { child, out, port: line.trim().parse().unwrap() }
    }

    /// Ends it, and says what reached it.
    fn reached(mut self) -> Vec<Value> {
        drop(self.child.stdin.take());
        let mut said = String::new();
        self.out.read_to_string(&mut said).unwrap();
        self.child.wait().unwrap();
        serde_json::from_str(&said).unwrap()
    }
}

#[track_caller]
fn talk(transports: &str) {
    if !is_here() {
        return;
    }
    let server = Server::start();
    let gateway = desk_before(&[([127, 0, 0, 1], server.port).into()], &["header"]);
    let token = gateway.token(&["user"]);
    let said = Command::new("node")
        .arg("client.mjs")
        .arg(format!("http://{}", gateway.address))
        .arg(token.strip_prefix("Authorization: ").unwrap())
        .arg(transports)
        .current_dir(place())
        .output()
        .unwrap();
    assert!(said.status.success(), "{transports}: {}", String::from_utf8_lossy(&said.stderr));

    let reached = server.reached();
    let of = |name: &str| reached.iter().filter(|own| own[0] == name).collect::<Vec<_>>();
    assert_eq!(of("connect"), [&json!(["connect", { "agent": r#"{"roles":["user"]}"#, "fcm": "device-7" }])]);
    assert_eq!(of("publishCimEvent").len(), 23, "{reached:?}");
    assert_eq!(of("publishCimEvent")[0][1], json!({ "text": "hé ☎" }));
    assert_eq!(of("publishCimEvent")[1], &json!(["publishCimEvent", { "bytes": 70_000 }, "second"]));
    assert_eq!(
        of("answered"),
        [&json!(["answered", "heard", { "data": { "type": "Buffer", "data": [9] } }])]
    );
    assert!(of("deletePullModeRequest").is_empty());
    gateway.counts("gatewarden_sockets", &[" 0"]);
}

#[test]
fn a_real_client_polls() {
    talk("polling");
}

#[test]
fn a_real_client_speaks_websocket() {
    talk("websocket");
}

#[test]
fn a_real_client_polls_and_moves_on_to_a_websocket() {
    talk("polling,websocket");
}
