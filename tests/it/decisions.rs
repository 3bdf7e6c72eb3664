//! The decision log: what a line holds, that it can be decided again, what becomes of it when it can't be written.

mod files;

use std::path::Path;

use gatewarden::record::{Effect, Record, lines};
use serde_json::{Value, json};

use crate::process::{FREE_PORTS, Files, Process};
use crate::support::{Gateway, Upstream, eventually};

/// Users see things, and change those that they say are small.
const RULES: &str = r#"
app    = "app"
base   = "/app"
issuer = "test"
roles  = "token.roles"
tenant = "default"
public = ["GET /open"]
[facts.token]
roles = "set"
email = "string"
sub   = "string"
[facts.header]
x-why = "string"
[facts.query]
kind = { type = "string", default = "'big'" }
[facts.body]
size = { at = "/size", type = "int" }
[when]
explained = "header.x-why = 'because'"
small     = "body.size < 10"
own       = "path.id = token.sub"
[audit]
"PUT /things/{id}" = ["body.size", "token.email"]
[resource.things]
view = ["GET /things/{id}"]
edit = ["PUT /things/{id}"]
look = ["GET /look/{id}"]
[role.user]
view = ["things"]
edit = ["things if small"]
look = ["things if explained, own"]
"#;

/// A gateway that writes to a file, and where that is.
fn logging(upstream: &Upstream, more: &str) -> (Gateway, tempfile::TempDir) {
    let place = tempfile::tempdir().unwrap();
    let file = format!("file = {:?}\n{more}", place.path().join("log/d.ndjson"));
    let gateway =
        Gateway::setup().upstream("app", &[upstream.address]).rules("app", RULES).decisions(&file).start();
    (gateway, place)
}

fn read(place: &Path) -> Vec<Record> {
    let text = std::fs::read(place.join("log/d.ndjson")).unwrap_or_default();
    lines(text.as_slice()).map(|line| line.unwrap().1).collect()
}

/// What stands in the log once there are so many lines.
#[track_caller]
fn written(place: &tempfile::TempDir, count: usize) -> Vec<Record> {
    eventually("the lines are written", || read(place.path()).len() >= count);
    let found = read(place.path());
    assert_eq!(found.len(), count, "{found:#?}");
    found
}

fn asks(gateway: &Gateway, line: &str, headers: &[&str], body: &str) -> (u16, String) {
    let mut all: Vec<String> = headers.iter().map(ToString::to_string).collect();
    if !body.is_empty() {
        all.push("Content-Type: application/json".to_owned());
        all.push(format!("Content-Length: {}", body.len()));
    }
    let head: String = all.iter().map(|line| format!("{line}\r\n")).collect();
    let answer = gateway.client().ask(format!("{line} HTTP/1.1\r\nHost: localhost\r\n{head}\r\n{body}"));
    (answer.status, answer.header("x-request-id").unwrap().to_owned())
}

#[test]
fn every_answer_has_its_line_and_the_line_is_decided_alike() {
    let upstream = Upstream::echo();
    let (gateway, place) = logging(&upstream, "");
    let user = gateway.token_saying(&json!({"sub": "ada", "roles": ["user"], "email": "ada@example.org"}));
    let nobody = gateway.token(&[]);
    let asked = [
        asks(&gateway, "GET /app/things/7", &[&user], ""),
        asks(&gateway, "PUT /app/things/7", &[&user], r#"{"size":3}"#),
        asks(&gateway, "PUT /app/things/7", &[&user], r#"{"size":30}"#),
        asks(&gateway, "GET /app/look/ada", &[&user, "X-Why: because"], ""),
        asks(&gateway, "GET /app/look/bob?kind=odd", &[&user, "X-Why: because"], ""),
        asks(&gateway, "GET /app/things/7", &[&nobody], ""),
        asks(&gateway, "GET /app/things/7", &[], ""),
        asks(&gateway, "GET /app/open", &[], ""),
        asks(&gateway, "GET /app/nowhere", &[&user], ""),
        asks(&gateway, "GET /app/things/7", &["Authorization: Bearer a.b.c"], ""),
        asks(&gateway, "GET /app//things", &[&user], ""),
    ];
    let mut found = written(&place, asked.len());
    let found: Vec<Record> = asked
        .iter()
        .map(|(_, id)| {
            let at = found.iter().position(|own| own.decision_id == *id).unwrap();
            found.remove(at)
        })
        .collect();
    let told: Vec<_> = found.iter().map(|own| (own.effect, &*own.reason)).collect();
    use Effect::{Allow, Deny};
    let expected = [
        (Allow, "granted"),
        (Allow, "granted"),
        (Deny, "condition-failed"),
        (Allow, "granted"),
        (Deny, "condition-failed"),
        (Deny, "no-permission"),
        (Deny, "token-missing"),
        (Allow, "public"),
        (Deny, "no-such-operation"),
        (Deny, "malformed"),
        (Deny, "path-empty-segment"),
    ];
    assert_eq!(told, expected);
    for ((status, _), own) in asked.iter().zip(&found) {
        assert_eq!(own.status, *status, "{}", own.line());
        assert!(own.us.total > 0 && own.rules.hash == "test" && own.rules.revision == 1, "{}", own.line());
    }
    let put = &found[1];
    assert_eq!(put.facts["body.size"], json!(3));
    assert_eq!(put.facts["header.x-why"], Value::Null, "it was known to be absent");
    assert_eq!(put.audited["token.email"], "'ada@example.org'");
    assert_eq!((put.sub.as_deref(), put.tenant.as_deref()), (Some("ada"), Some("default")));
    assert_eq!((put.upstream.as_deref(), put.us.upstream.is_some()), (Some("app"), true));
    assert_eq!((put.role.as_deref(), put.permission.as_deref()), (Some("user"), Some("things#edit")));
    assert_eq!(found[2].condition.as_deref(), Some("small"));
    assert_eq!(found[4].facts["query.kind"], "odd");
    let snapshot = gateway.snapshot();
    for own in &found[..9] {
        let posed = own.posed(&snapshot).unwrap();
        let again = posed.decide(&snapshot, |_, ruling| match ruling {
            gatewarden::authorize::Ruling::Permit(_, evidence) => (Allow, evidence.verdict.unwrap().reason),
            gatewarden::authorize::Ruling::Refuse(rejection, evidence) => {
                (Deny, evidence.verdict.map_or(rejection.reason(), |own| own.reason))
            }
            gatewarden::authorize::Ruling::Ask(_) => panic!("an open question"),
        });
        assert_eq!(again.unwrap(), (own.effect, &*own.reason), "{}", own.line());
    }
    assert!(found[9..].iter().all(|own| own.posed(&snapshot).is_err()));
}

#[test]
fn nobody_writes_a_line_but_the_gateway() {
    let upstream = Upstream::echo();
    let (gateway, place) = logging(&upstream, "");
    for evil in [
        "\"}\n{\"schema\":\"gatewarden.decision/1\"}",
        "a\r\nb",
        "\u{0}\u{1b}[31m\u{7f}",
        "\u{2028}\u{2029}\u{85}",
        "\\\",\"chain\":\"",
        "\u{202e}gpj",
    ] {
        let token = gateway.token_saying(&json!({"sub": evil, "email": evil, "roles": ["user", evil]}));
        assert_eq!(asks(&gateway, "PUT /app/things/7", &[&token], r#"{"size":3}"#).0, 200, "{evil:?}");
    }
    let found = written(&place, 6);
    assert_eq!(found[0].sub.as_deref(), Some("\"}\n{\"schema\":\"gatewarden.decision/1\"}"));
    let text = std::fs::read_to_string(place.path().join("log/d.ndjson")).unwrap();
    assert_eq!(text.lines().count(), 6);
    assert!(!text.chars().any(|c| c.is_control() && c != '\n' && c != '\u{7f}' && c != '\u{85}'), "{text:?}");
    assert!(!text.contains("eyJ"), "a token is never written");
}

#[test]
fn what_is_left_out_is_left_out_and_named() {
    let upstream = Upstream::echo();
    let place = tempfile::tempdir().unwrap();
    let key = place.path().join("key");
    std::fs::write(&key, "a key that nobody can guess\n").unwrap();
    let more =
        format!("mask = [\"token.email\", \"path.*\"]\nsubject = \"hash\"\nkey = {{ file = {key:?} }}\n");
    let (gateway, place) = logging(&upstream, &more);
    let user = gateway.token_saying(&json!({"sub": "ada", "roles": ["user"], "email": "ada@example.org"}));
    for line in ["GET /app/things/secret", "GET /app/look/ada"] {
        asks(&gateway, line, &[&user, "X-Why: because"], "");
    }
    asks(&gateway, "PUT /app/things/secret", &[&user], r#"{"size":3}"#);
    let found = written(&place, 3);
    let text = std::fs::read_to_string(place.path().join("log/d.ndjson")).unwrap();
    for word in ["secret", "ada"] {
        assert!(!text.contains(word), "{word} in {text}");
    }
    assert!(found[0].sub.as_deref().unwrap().starts_with("hmac:") && found[0].sub == found[1].sub);
    for pointer in ["/path", "/sub", "/facts/token.email", "/facts/token.sub"] {
        assert!(found.iter().all(|own| own.is_erased(pointer)), "{pointer}: {text}");
    }
    assert!(found[2].is_erased("/audited/token.email"), "{text}");
    // What doesn't rest on it can be decided again, and what does says that it can't.
    let snapshot = gateway.snapshot();
    let missing = |own: &Record| {
        let posed = own.posed(&snapshot).unwrap();
        let told = |evidence| own.missing(&snapshot, &evidence);
        posed
            .decide(&snapshot, |_, ruling| match ruling {
                gatewarden::authorize::Ruling::Permit(_, evidence)
                | gatewarden::authorize::Ruling::Refuse(_, evidence) => told(evidence),
                gatewarden::authorize::Ruling::Ask(_) => panic!("an open question"),
            })
            .unwrap()
    };
    assert!(missing(&found[0]).is_empty() && missing(&found[2]).is_empty());
    assert_eq!(missing(&found[1]).iter().map(|own| &**own).collect::<Vec<_>>(), ["path.id", "token.sub"]);
}

#[test]
fn of_allows_one_in_so_many_is_written_and_every_refusal() {
    let upstream = Upstream::echo();
    let (gateway, place) = logging(&upstream, "sample = { allow = 1000000 }");
    let (user, nobody) = (gateway.token(&["user"]), gateway.token(&[]));
    for _ in 0..20 {
        asks(&gateway, "GET /app/things/7", &[&user], "");
    }
    asks(&gateway, "GET /app/things/7", &[&nobody], "");
    // What the rules want on record isn't left to chance.
    asks(&gateway, "PUT /app/things/7", &[&user], r#"{"size":3}"#);
    eventually("the lines are written", || {
        let found = read(place.path());
        found.iter().any(|own| own.effect == Effect::Deny) && found.iter().any(|own| !own.audited.is_empty())
    });
    assert!(read(place.path()).iter().all(|own| own.sampled == 1));
}

/// Rules by which changing a thing must be on record.
fn strict() -> String {
    RULES.replace("[audit]\n", "[audit]\nrequired = [\"PUT /things/{id}\"]\n")
}

#[test]
fn what_must_be_on_record_is_refused_where_it_cant_be() {
    let upstream = Upstream::echo();
    let gateway = Gateway::setup()
        .upstream("app", &[upstream.address])
        .rules("app", &strict())
        .decisions("file = \"/dev/full\"\nqueue = 20")
        .start();
    let user = gateway.token(&["user"]);
    let put = || gateway_put(&gateway, &user);
    // Whether the disk is full is known when something was written.
    asks(&gateway, "GET /app/things/7", &[&user], "");
    gateway.counts("gatewarden_audit_write_errors_total", &["sink=\"file\""]);
    eventually("it is known that nothing can be written", || put().0 == 503);
    let before = upstream.heads().len();
    let (status, code, retry) = put();
    assert_eq!((status, &*code, &*retry), (503, "urn:gatewarden:audit-unavailable", "1"));
    assert_eq!(upstream.heads().len(), before, "it was forwarded all the same");
    for _ in 0..40 {
        assert_eq!(asks(&gateway, "GET /app/things/7", &[&user], "").0, 200, "others are served");
    }
    eventually("the queue is full", || gateway.log().waiting() == 20);
    gateway.counts("gatewarden_audit_queue_length 20", &[]);
    gateway.log().end();
}

fn gateway_put(gateway: &Gateway, token: &str) -> (u16, String, String) {
    let body = r#"{"size":3}"#;
    let answer = gateway.client().ask(format!(
        "PUT /app/things/7 HTTP/1.1\r\nHost: localhost\r\n{token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let retry = answer.header("retry-after").unwrap_or_default().to_owned();
    (answer.status, said["type"].as_str().unwrap_or_default().to_owned(), retry)
}

#[test]
fn what_must_be_on_record_is_done_where_it_can_be() {
    let upstream = Upstream::echo();
    let place = tempfile::tempdir().unwrap();
    let lines = format!("file = {:?}\nsample = {{ allow = 1000000 }}", place.path().join("log/d.ndjson"));
    let setup = Gateway::setup().upstream("app", &[upstream.address]).rules("app", &strict());
    let gateway = setup.decisions(&lines).start();
    let user = gateway.token(&["user"]);
    for _ in 0..3 {
        assert_eq!(gateway_put(&gateway, &user).0, 200);
    }
    assert!(written(&place, 3).iter().all(|own| own.effect == Effect::Allow));
    eventually("every place is given back", || gateway.log().waiting() == 0);
}

#[test]
fn without_a_log_the_last_refusals_can_be_asked_for() {
    let upstream = Upstream::echo();
    let process = Process::start(Files::new(upstream.address, FREE_PORTS));
    let callers = process.address("callers");
    let refused = crate::process::ask(callers, "GET /desk/customers/7", &[]);
    let allowed = crate::process::ask(callers, "GET /desk/open", &[]);
    let held = |id: &str| process.admin(&format!("GET /decisions/{id}"), &[]);
    let found = held(refused.header("x-request-id").unwrap());
    assert_eq!((found.status, found.header("content-type")), (200, Some("application/json")));
    let record: Record = serde_json::from_slice(&found.body).unwrap();
    assert_eq!(
        (record.status, &*record.reason, record.route.as_deref()),
        (401, "token-missing", Some("/desk/customers/{id}"))
    );
    let none = held(allowed.header("x-request-id").unwrap());
    assert_eq!(none.status, 404);
    assert!(none.text().contains("`recent` in [decisions]"), "{}", none.text());
    assert_eq!(held("").status, 404);
}
