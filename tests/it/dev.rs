//! `gatewarden dev`, by the built binary: it shows what it promises, and the nine rules that keep it harmless.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_gatewarden");
const PATIENCE: Duration = Duration::from_secs(20);

/// A `gatewarden` verb that serves, in a directory of its own.
pub(crate) struct Serving {
    child: Child,
    place: TempDir,
    banner: String,
    pub(crate) gateway: SocketAddr,
    admin: SocketAddr,
}

/// A verb in a directory, without anything of this process' environment that could matter.
fn verb(place: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).current_dir(place).env_remove("NOTIFY_SOCKET").stdin(Stdio::null());
    command
}

impl Serving {
    pub(crate) fn dev() -> Self {
        Self::start(tempfile::tempdir().unwrap(), &["--listen", "127.0.0.1:0"], &[])
    }

    fn start(place: TempDir, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = verb(place.path(), &["dev", "--admin", "127.0.0.1:0"]);
        command.args(arguments).envs(environment.iter().copied());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut banner = String::new();
        for line in lines.by_ref() {
            let line = line.unwrap();
            banner.push_str(&line);
            banner.push('\n');
            if line.contains("--eject") {
                break;
            }
        }
        // What is said later goes nowhere, but must not block the program.
        std::thread::spawn(move || lines.for_each(drop));
        let mut address = |word: &str| -> SocketAddr {
            let line = banner.lines().find(|line| line.trim_start().starts_with(word));
            let line = line.unwrap_or_else(|| panic!("no {word} in: {banner}{}", rest(&mut child)));
            let url = line.split_whitespace().find_map(|text| text.strip_prefix("http://")).unwrap();
            url.parse().unwrap()
        };
        let (gateway, admin) = (address("gateway"), address("admin"));
        Self { child, place, banner, gateway, admin }
    }

    fn token(&self, arguments: &[&str]) -> Output {
        verb(self.place.path(), &["token", "dev"]).args(arguments).output().unwrap()
    }

    pub(crate) fn token_of(&self, who: &str) -> String {
        let output = self.token(&["--as", who]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn get(&self, path: &str, token: Option<&str>) -> Answer {
        ask(self.gateway, "GET", path, token)
    }

    fn metric(&self, name: &str) -> Option<String> {
        let text = ask(self.admin, "GET", "/metrics", None).body;
        text.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(' ')?.to_owned()))
    }

    pub(crate) fn files(&self) -> PathBuf {
        self.place.path().join("gatewarden-dev")
    }

    fn private(&self) -> PathBuf {
        self.files().join(".run")
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn rest(child: &mut Child) -> String {
    let _ = child.kill();
    let mut text = String::new();
    let _ = child.stderr.take().unwrap().read_to_string(&mut text);
    text
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    fn has_header(&self, line: &str) -> bool {
        self.head.lines().any(|own| own.eq_ignore_ascii_case(line))
    }
}

pub(crate) fn ask(address: SocketAddr, method: &str, path: &str, token: Option<&str>) -> Answer {
    let authorization = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    exchange(address, &format!("{method} {path} HTTP/1.1\r\n{authorization}"), "")
}

/// As [`ask`], with a document.
fn send(address: SocketAddr, method: &str, path: &str, token: &str, document: &str) -> Answer {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n"
    );
    exchange(address, &head, document)
}

pub(crate) fn exchange(address: SocketAddr, head: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let request =
        format!("{head}host: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { whole(body) } else { body.to_owned() };
    Answer { status, head: head.to_owned(), body }
}

/// What came in chunks, without them.
fn whole(mut chunks: &str) -> String {
    let mut body = String::new();
    while let Some((size, rest)) = chunks.split_once("\r\n") {
        let size = usize::from_str_radix(size.split(';').next().unwrap().trim(), 16).unwrap();
        body.push_str(&rest[..size]);
        chunks = rest[size..].strip_prefix("\r\n").unwrap();
        if size == 0 {
            break;
        }
    }
    body
}

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

fn header(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap()).unwrap()
}

#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn an_agent_sees_customers_but_not_their_schema() {
    let dev = Serving::dev();
    let token = dev.token_of("agent-desk/agent");
    let allowed = dev.get("/cim/customers", Some(&token));
    assert_eq!(allowed.status, 200, "{}", allowed.body);
    let received = allowed.json()["_received"]["headers"].clone();
    assert_eq!(received["x-gatewarden-subject"], "dev-agent");
    assert_eq!(received["x-gatewarden-roles"], "agent");
    assert_eq!(received["x-gatewarden-permission"], "customer-list#view");
    let refused = dev.get("/cim/customerSchema", Some(&token));
    assert_eq!(refused.status, 403);
    assert!(refused.json()["request_id"].is_string());
    assert_eq!(dev.get("/cim/customers", None).status, 401);
    assert_eq!(dev.get("/nowhere", Some(&token)).status, 404);
}

#[test]
fn every_command_that_it_prints_does_what_it_says() {
    let dev = Serving::dev();
    let commands: Vec<&str> = dev.banner.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    let shell = |command: &str| {
        Command::new("sh").args(["-c", command]).current_dir(dev.place.path()).output().unwrap()
    };
    let token = commands.iter().find(|line| line.starts_with("T=$(")).unwrap();
    let token = shell(&format!("{token}; printf %s \"$T\"")).stdout;
    let token = String::from_utf8(token).unwrap();
    let curls: Vec<&&str> = commands.iter().filter(|line| line.starts_with("curl ")).collect();
    assert_eq!(curls.len(), 2, "{}", dev.banner);
    for curl in curls {
        let (command, status) = curl.split_once('#').unwrap();
        let url = command.split_whitespace().last().unwrap();
        let path = url.strip_prefix(&format!("http://{}", dev.gateway)).unwrap();
        assert_eq!(dev.get(path, Some(&token)).status.to_string(), status.trim(), "{curl}");
    }
    for (verb, code, says) in [
        (" explain ", 1, "agent-desk.toml:"),
        (" matrix ", 0, "customer-schema"),
        (" --eject ", 0, "README.md"),
    ] {
        let line = commands.iter().find(|line| line.contains(verb)).unwrap();
        let output = shell(line);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains(says), "{line}: {text}");
    }
}

#[test]
fn every_app_answers_its_roles() {
    let dev = Serving::dev();
    let cases = [
        (&["--as", "calling/Customer Admins"][..], "/calling/calls", 200),
        (&["--as", "calling/Customer ReadOnly Users", "--tenant", "acme-housing"], "/calling/calls/c1", 200),
        (&["--as", "calling/Customer Users"], "/calling/config", 403),
        (&["--as", "calling/anyone"], "/calling/about", 200),
        (&["--as", "calling/user-a"], "/calling/calls/c1", 200),
        (&["--as", "calling/user-b"], "/calling/calls/c1", 403),
        (&["--as", "calling/config-admin"], "/calling/calls/c3", 403),
        (&["--as", "calling/mfa-user"], "/calling/about", 401),
        (&["--as", "admin/admin"], "/unified-admin/reasons", 200),
        (&["--as", "agent-desk/supervisor"], "/unified-admin/reasons", 200),
        (&["--as", "agent-desk/supervisor"], "/routing-engine/agents", 403),
        (&["--as", "connect/Owner"], "/connect/t/acme/sso", 200),
        (&["--as", "connect/owner"], "/connect/t/zenith/sso", 403),
        (&["--as", "connect/Full Access User"], "/connect/t/acme/services/s1/key", 403),
        (&["--as", "connect/Full Access User"], "/connect/t/acme/profile-key", 200),
        (&["--as", "connect/group-user"], "/connect/t/acme/services/s2", 200),
        (&["--as", "connect/group-user"], "/connect/t/acme/services/s1", 403),
        (&["--as", "connect/team-user"], "/connect/t/acme/apps/a3", 200),
        (&["--as", "connect/restricted"], "/connect/t/acme/services", 403),
    ];
    for (who, path, status) in cases {
        let output = dev.token(who);
        let token = String::from_utf8(output.stdout).unwrap();
        let answer = dev.get(path, Some(token.trim()));
        assert_eq!(answer.status, status, "{who:?} {path}: {}", answer.body);
    }
    assert_eq!(dev.get("/ccm/widget-configs/shop", None).status, 200, "public");
}

#[test]
fn an_edited_rule_file_is_in_force_and_a_broken_one_is_not() {
    let dev = Serving::dev();
    let token = dev.token_of("agent-desk/agent");
    let file = dev.files().join("rules/agent-desk.toml");
    let text = fs::read_to_string(&file).unwrap();
    let without_labels = text.replacen("\"state-change\", \"customer-labels\"", "\"state-change\"", 1);
    assert_ne!(text, without_labels);
    fs::write(&file, "this is no rule file").unwrap();
    eventually("the broken file is reported", || {
        dev.metric("gatewarden_config_last_reload_successful").as_deref() == Some("0")
    });
    assert_eq!(dev.get("/cim/label", Some(&token)).status, 200);
    fs::write(&file, without_labels).unwrap();
    eventually("the edit is in force", || dev.get("/cim/label", Some(&token)).status == 403);
}

/// What one may and another may not is seen in the demo: own calls, keys hidden, places, a role that changes at once.
#[test]
fn what_the_rules_can_say_is_seen_in_the_demo() {
    let dev = Serving::dev();
    let ids = |answer: &Answer| -> Vec<String> {
        let items = answer.json()["items"].as_array().unwrap_or_else(|| panic!("{}", answer.body)).clone();
        items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    };
    let list = |who: &str, path: &str| ids(&dev.get(path, Some(&dev.token_of(who))));
    // A list is narrowed to one's own calls, or to the customer's.
    assert_eq!(list("calling/user-a", "/calling/calls"), ["c1"]);
    assert_eq!(list("calling/user-b", "/calling/calls?creator=x&customer=sunrise-homes"), ["c2"]);
    assert_eq!(list("calling/config-admin", "/calling/calls"), ["c1", "c2", "c4", "c5"]);
    // Apps are seen where they were made, or are shared.
    assert_eq!(list("connect/read-only", "/connect/t/acme/apps"), ["a1", "a2"]);
    assert_eq!(list("connect/group-user", "/connect/t/acme/apps"), ["a1", "a3"]);
    assert_eq!(list("connect/team-user", "/connect/t/acme/apps"), ["a3", "a4"]);
    assert_eq!(list("connect/group-user", "/connect/t/acme/services"), ["s2"]);
    // Keys are hidden but on the page that shows them.
    let owner = dev.token_of("connect/owner");
    let service = dev.get("/connect/t/acme/services/s1", Some(&owner));
    assert!(!service.body.contains("sk-acme") && !service.body.contains("jwt-acme"), "{}", service.body);
    let page = dev.get("/connect/t/acme/services/s1/key", Some(&owner));
    assert!(page.body.contains("sk-acme") && page.body.contains("jwt-acme"), "{}", page.body);
    // A role that is taken away is gone with the answer to who took it.
    let limited = dev.token_of("connect/limited-access");
    let numbers = "/connect/t/acme/numbers";
    assert_eq!(dev.get(numbers, Some(&limited)).status, 200);
    let member = "/connect/t/acme/members/dev-limited-access";
    let changed = send(dev.gateway, "PATCH", member, &owner, r#"{"role":"Read Only"}"#);
    assert_eq!(changed.status, 200, "{}", changed.body);
    assert_eq!(dev.get(numbers, Some(&limited)).status, 403);
    let smuggled = send(dev.gateway, "PATCH", member, &owner, r#"{"role":"Read Only","node":"acme/retail"}"#);
    assert_eq!(smuggled.status, 403, "{}", smuggled.body);
}

/// Four seats, and a fifth person is refused, who still sees the page that takes none.
#[test]
fn a_fifth_person_finds_no_seat() {
    let dev = Serving::dev();
    for (seat, status) in
        [("seat-1", 200), ("seat-2", 200), ("seat-3", 200), ("seat-4", 200), ("seat-5", 403)]
    {
        let token = dev.token_of(&format!("calling/{seat}"));
        let answer = dev.get("/calling/calls", Some(&token));
        assert_eq!(answer.status, status, "{seat}: {}", answer.body);
        assert_eq!(dev.get("/calling/about", Some(&token)).status, 200, "{seat}");
    }
}

/// (a) No key of any file, and no other verb, starts a development issuer.
#[test]
fn no_file_can_ask_for_it() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("rules")).unwrap();
    for line in ["dev = true", "mode = \"dev\"", "[dev]\nissuer = true", "[issuers.x]\nkind = \"dev\""] {
        fs::write(place.path().join("gateway.toml"), format!("{line}\n")).unwrap();
        let output = verb(place.path(), &["run", "--config", "gateway.toml"]).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{line}");
    }
}

/// (b) The key is made at each start and is in no file.
#[test]
fn a_token_dies_with_the_gateway_that_gave_it() {
    let first = Serving::dev();
    let token = first.token_of("agent-desk/agent");
    for file in fs::read_dir(first.private()).unwrap() {
        let path = file.unwrap().path();
        let text = fs::read_to_string(&path).unwrap_or_default();
        assert!(!text.contains("\"d\""), "{} holds a private key", path.display());
    }
    let second = Serving::dev();
    assert_ne!(header(&token)["kid"], header(&second.token_of("agent-desk/agent"))["kid"]);
    assert_eq!(second.get("/cim/customers", Some(&token)).status, 401);
}

/// (c) Another gateway refuses its tokens, even with its key set and its issuer configured.
#[test]
fn run_refuses_its_tokens_whatever_is_configured() {
    let dev = Serving::dev();
    let token = dev.token_of("agent-desk/agent");
    assert!(claims(&token)["iss"].as_str().unwrap().starts_with("urn:gatewarden:dev"));
    assert!(header(&token)["kid"].as_str().unwrap().starts_with("dev-"));
    // The very files that the development gateway runs with.
    let text = fs::read_to_string(dev.files().join("gateway.toml")).unwrap();
    let port = free_port();
    let text = text.replacen("127.0.0.1:0", &format!("127.0.0.1:{port}"), 1);
    let config = dev.files().join("stolen.toml");
    fs::write(&config, text).unwrap();
    let run = verb(dev.place.path(), &["run", "--config", &config.to_string_lossy()])
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let address: SocketAddr = ([127, 0, 0, 1], port).into();
    let _end = Ended(run);
    eventually("run serves", || TcpStream::connect(address).is_ok());
    assert_eq!(ask(address, "GET", "/cim/customers", Some(&token)).status, 401);
    assert_eq!(ask(address, "GET", "/ccm/widget-configs/shop", None).status, 200, "it serves at all");
    assert_eq!(dev.get("/cim/customers", Some(&token)).status, 200, "the token is good where it was made");
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// (d) Tokens are asked for at a socket that only its owner opens, and nowhere else.
#[test]
fn tokens_are_given_at_a_private_socket_only() {
    let dev = Serving::dev();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dev.private()), 0o700);
    assert_eq!(mode(&dev.private().join("token.sock")), 0o600);
    for address in [dev.gateway, dev.admin] {
        assert!(address.ip().is_loopback());
        for path in ["/token", "/dev/token", "/mint"] {
            let answer = ask(address, "POST", path, None);
            assert!([401, 403, 404, 405].contains(&answer.status), "{path}: {}", answer.status);
        }
    }
}

/// (d) What stands behind it is its own demo applications: its file can't be edited to name another server.
#[test]
fn nothing_but_the_demo_applications_stands_behind_it() {
    let dev = Serving::start(tempfile::tempdir().unwrap(), &["--listen", "0.0.0.0:0"], &[]);
    assert!(dev.banner.contains("DEV MODE"), "{}", dev.banner);
    let gateway: SocketAddr = ([127, 0, 0, 1], dev.gateway.port()).into();
    let token = dev.token_of("agent-desk/agent");
    let own = dev.files().join("gateway.toml");
    let text = fs::read_to_string(&own).unwrap();
    let mut other = String::new();
    for line in text.lines() {
        let is_servers = line.starts_with("servers");
        other.push_str(if is_servers { "servers = [\"http://127.0.0.1:1\"]" } else { line });
        other.push('\n');
    }
    fs::write(&own, other).unwrap();
    eventually("the edit is refused", || {
        dev.metric("gatewarden_config_last_reload_successful").as_deref() == Some("0")
    });
    assert_eq!(ask(gateway, "GET", "/cim/customers", Some(&token)).status, 200);
}

/// (e) A token lives an hour at most, whatever is asked for.
#[test]
fn a_token_lives_an_hour_at_most() {
    let dev = Serving::dev();
    let claims = claims(&dev.token_of("calling/Customer Admins"));
    let life = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    assert!(life <= 3600, "{life}");
    let longer = dev.token(&["--as", "agent-desk/agent", "--claim", "exp=9999999999"]);
    assert_eq!(longer.status.code(), Some(1), "{}", String::from_utf8_lossy(&longer.stderr));
    assert!(longer.stdout.is_empty());
}

/// (f) The banner and every answer say what it is.
#[test]
fn every_answer_says_what_it_is() {
    let dev = Serving::dev();
    assert!(dev.banner.contains("DEV MODE"), "{}", dev.banner);
    let token = dev.token_of("agent-desk/agent");
    for (path, token) in [
        ("/cim/customers", Some(token.as_str())),
        ("/cim/customerSchema", Some(&token)),
        ("/cim/customers", None),
        ("/nowhere", None),
        ("//", None),
    ] {
        let answer = dev.get(path, token);
        assert!(answer.has_header("x-gatewarden-mode: dev"), "{path}: {}", answer.head);
    }
}

/// (g) A scraper sees it.
#[test]
fn the_metrics_say_what_it_is() {
    let dev = Serving::dev();
    assert_eq!(dev.metric("gatewarden_dev_mode").as_deref(), Some("1"));
}

/// (h) It is nobody's service.
#[test]
fn a_service_manager_can_not_start_it() {
    let place = tempfile::tempdir().unwrap();
    let output = verb(place.path(), &["dev", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .env("NOTIFY_SOCKET", "/run/systemd/notify")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&output.stderr).contains("NOTIFY_SOCKET"));
    assert!(!place.path().join("gatewarden-dev").exists());
}

/// (i) The environment changes none of it.
#[test]
fn the_environment_changes_nothing() {
    let environment = [
        ("GATEWARDEN_LISTEN", "0.0.0.0:0"),
        ("GATEWARDEN_DEV", "0"),
        ("GATEWARDEN_MODE", "run"),
        ("GATEWARDEN_DEV_KEY", "secret"),
        ("GATEWARDEN_DIRECTORY", "/tmp"),
        ("GATEWARDEN_TTL", "999999"),
    ];
    let place = tempfile::tempdir().unwrap();
    let dev = Serving::start(place, &["--listen", "127.0.0.1:0"], &environment);
    assert!(dev.gateway.ip().is_loopback());
    let token = dev.token_of("agent-desk/agent");
    assert!(dev.get("/cim/customers", Some(&token)).has_header("x-gatewarden-mode: dev"));
    let claims = claims(&token);
    assert!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap() <= 3600);
    assert_eq!(claims["realm_access"], json!({ "roles": ["agent"] }));
}

#[test]
fn ejected_files_are_in_order_and_overwrite_nothing() {
    let place = tempfile::tempdir().unwrap();
    let ejected = verb(place.path(), &["dev", "--eject", "mine"]).output().unwrap();
    assert!(ejected.status.success(), "{}", String::from_utf8_lossy(&ejected.stderr));
    let check = verb(place.path(), &["check", "--config", "mine/gateway.toml"]).output().unwrap();
    assert_eq!(check.status.code(), Some(0), "{}", String::from_utf8_lossy(&check.stderr));
    let again = verb(place.path(), &["dev", "--eject", "mine"]).output().unwrap();
    assert_eq!(again.status.code(), Some(4));
}
