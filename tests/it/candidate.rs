//! Rules that are tried out beside the live ones: what is counted, what stays as it is, and how they become the live ones.

mod canary;
mod compared;
mod promoted;
mod state;

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use gatewarden::token::signer::Signer;
use serde_json::{Value, json};

use crate::process::{FREE_PORTS, Files, Process, ask};
use crate::support::{Response, Upstream, eventually};

/// Agents see customers; bosses change them too.
const RULES: &str = r#"
app       = "desk"
base      = "/desk"
issuer    = "sso"
roles     = "token.roles"
tenant    = { from = ["token.tid"] }
isolation = "upstream"
public    = ["GET /open"]
[facts.token]
roles = "set"
tid   = "string"
sub   = "string"
[facts.customer]
get   = "/owners/{path.id}"
ttl   = "10s"
owner = { at = "/owner", type = "string" }
[when]
own = "customer.owner = token.sub"
[resource.customers]
view = ["GET /customers/{id}"]
edit = ["PUT /customers/{id}"]
[resource.owners]
view = ["GET /owners/{id}"]
[role.agent]
view = ["customers"]
[role.boss]
view = ["customers"]
edit = ["customers"]
"#;
const TENANTS: &str =
    "[tenant.acme]\nids = [\"1\"]\napps = [\"desk\"]\n[tenant.bodgit]\nids = [\"2\"]\napps = [\"desk\"]\n";

/// Lets rules be sent and tenants be named while the gateway runs.
const REMOTE: &str = "[candidate]\nremote = true\n";

/// Agents no longer see customers, but change them.
fn turned() -> String {
    RULES.replace("[role.agent]\nview", "[role.agent]\nedit")
}

/// A gateway with tenants, callers and a way to be asked by the verbs.
struct Trial {
    process: Process,
    signer: Signer,
    _upstream: Upstream,
}

impl Trial {
    fn start(more: &str, prepare: impl FnOnce(&Files)) -> Self {
        Self::before(Upstream::echo(), more, prepare)
    }

    fn before(upstream: Upstream, more: &str, prepare: impl FnOnce(&Files)) -> Self {
        let signer = Signer::from_seed(&[9; 32], "k").unwrap();
        let files = Files::new(upstream.address, FREE_PORTS);
        files.write("keys.json", &signer.jwks());
        let gateway = std::fs::read_to_string(files.path("gateway.toml")).unwrap();
        let gateway = gateway.replace("jwks =", "algorithms = [\"EdDSA\"]\njwks =");
        files.write("gateway.toml", &format!("{gateway}{more}"));
        files.write("rules/desk.toml", RULES);
        files.write("rules/tenants.toml", TENANTS);
        prepare(&files);
        let process = Process::start(files);
        let trial = Self { process, signer, _upstream: upstream };
        let address = trial.process.address("operators");
        let text = std::fs::read_to_string(trial.files().path("gateway.toml")).unwrap();
        // The verbs find the gateway by its file, which leaves the port to the system.
        let text = text.replace("admin.address = \"127.0.0.1:0\"", &format!("admin.address = \"{address}\""));
        trial.files().write("verbs.toml", &text);
        trial
    }

    fn files(&self) -> &Files {
        &self.process.files
    }

    /// Writes a file of the candidate's and has the gateway look.
    fn try_out(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.files().path("rules-next")).unwrap();
        self.files().write(&format!("rules-next/{name}"), text);
        self.look();
    }

    fn look(&self) -> Value {
        let answer = self.process.admin("POST /reload", &["Accept: application/json"]);
        serde_json::from_slice(&answer.body).unwrap()
    }

    fn candidate(&self) -> Value {
        serde_json::from_slice(&self.process.admin("GET /candidate", &[]).body).unwrap()
    }

    fn sends(&self, line: &str, document: &Value) -> Response {
        let body = document.to_string();
        let address = self.process.address("operators");
        crate::support::Client::connect(address).ask(format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    }

    fn token(&self, tenant: &str, roles: &[&str]) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims = json!({
            "iss": "https://sso.example", "aud": "desk", "sub": "ada", "roles": roles, "tid": tenant,
            "iat": now, "exp": now + 300,
        });
        format!("Authorization: Bearer {}", self.signer.sign(&claims).unwrap())
    }

    /// The status of one request of acme's.
    #[track_caller]
    fn asks(&self, roles: &[&str], line: &str) -> u16 {
        self.asks_as("1", roles, line)
    }

    #[track_caller]
    fn asks_as(&self, tenant: &str, roles: &[&str], line: &str) -> u16 {
        ask(self.process.address("callers"), line, &[&self.token(tenant, roles)]).status
    }

    /// Waits until a cell has this count.
    #[track_caller]
    fn cell(&self, live: &str, candidate: &str, count: u64) {
        let mut seen = Value::Null;
        eventually(&format!("{count} {live} -> {candidate}"), || {
            seen = self.candidate();
            seen["decisions"]["cells"][live][candidate] == count
        });
    }

    /// Runs a verb: its exit code, and what it printed.
    fn verb(&self, arguments: &[&str]) -> (i32, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_gatewarden"))
            .args(arguments)
            .arg("--config")
            .arg(self.files().path("verbs.toml"))
            .env_remove("GATEWARDEN_CONFIG")
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    }

    fn rule(&self) -> String {
        std::fs::read_to_string(self.files().path("rules/desk.toml")).unwrap()
    }

    /// A line of the metrics.
    #[track_caller]
    fn counts(&self, line: &str) {
        eventually(line, || self.process.admin("GET /metrics", &[]).text().lines().any(|own| own == line));
    }
}
