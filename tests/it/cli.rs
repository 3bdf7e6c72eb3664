//! The verbs that ask about rules, as they are typed: what they print and how they exit.

use std::process::{Command, Output};

fn gatewarden(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gatewarden"))
        .args(arguments)
        .env_remove("GATEWARDEN_CONFIG")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap()
}

/// Runs, and holds the exit code and words on standard output against what is expected.
#[track_caller]
pub(crate) fn says(arguments: &[&str], code: i32, words: &[&str]) -> String {
    let output = gatewarden(arguments);
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{out}\n{err}");
    for word in words {
        assert!(out.contains(word) || err.contains(word), "{arguments:?}: no {word:?} in\n{out}\n{err}");
    }
    out
}

#[test]
fn check_is_content_with_what_is_shipped() {
    says(&["check", "--config", "gateway.toml"], 0, &["ok: 6 files, 4 apps"]);
    let json: serde_json::Value =
        serde_json::from_str(&says(&["check", "--format", "json"], 0, &[])).unwrap();
    assert_eq!((&json["ok"], &json["errors"]), (&true.into(), &0.into()));
}

#[test]
fn check_points_at_the_token_and_exits_3() {
    let place = tempfile::tempdir().unwrap();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::create_dir(place.path().join("rules")).unwrap();
    std::fs::copy(root.join("gateway.toml"), place.path().join("gateway.toml")).unwrap();
    for entry in std::fs::read_dir(root.join("rules")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, place.path().join("rules").join(path.file_name().unwrap())).unwrap();
        }
    }
    let calling = place.path().join("rules/calling.toml");
    let text = std::fs::read_to_string(&calling).unwrap();
    std::fs::write(
        &calling,
        text.replacen("use    = [\"create-call if may-call\"", "use    = [\"create-call if may-cal\"", 1),
    )
    .unwrap();
    let config = place.path().join("gateway.toml");
    let config = config.to_str().unwrap();
    says(
        &["check", "--config", config],
        3,
        &["GW2001", "calling.toml:133:27", "did you mean `may-call`?", "nothing was applied"],
    );
    says(
        &["can", "--config", config, "--app", "agent-desk", "--role", "agent", "GET", "/cim/customers"],
        3,
        &["GW2001"],
    );
    says(&["run", "--config", config], 3, &["GW2001"]);
}

#[test]
fn check_writes_json_also_where_nothing_can_be_read() {
    let nowhere = ["check", "--config", "/nowhere/gateway.toml", "--format", "json"];
    let out = says(&nowhere, 4, &[]);
    let said: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&said["ok"], &said["errors"]), (&false.into(), &1.into()), "{out}");
    assert_eq!(said["diagnostics"][0]["code"], "GW9001", "{out}");
}

/// File, what stands there, what is written instead, and the part of it that the caret must be under.
const MISTAKES: [(&str, &str, &str, &str); 12] = [
    (
        "gateway.toml",
        "servers = [\"http://127.0.0.1:7011\"]",
        "server = [\"http://127.0.0.1:7011\"]",
        "server =",
    ),
    ("gateway.toml", "\"http://127.0.0.1:7021\"", "\"127.0.0.1:7021\"", "127.0.0.1:7021"),
    ("gateway.toml", "\"30s\"", "30", "30 "),
    ("gateway.toml", "audience = [\"cim\"]", "audience = []", "[]"),
    ("rules/agent-desk.toml", "issuer = \"keycloak\"", "issuer = \"keyclock\"", "keyclock"),
    ("rules/agent-desk.toml", "\"GET /cim/customers\"", "\"GTE /cim/customers\"", "GTE "),
    (
        "rules/agent-desk.toml",
        "\"state-change\", \"subscribed",
        "\"state-chnge\", \"subscribed",
        "state-chnge",
    ),
    ("rules/agent-desk.toml", "[role.agent]", "[role.agent", " "),
    ("rules/agent-desk.toml", "\"agent GET /cim/customers\"", "\"agnet GET /cim/customers\"", "agnet"),
    ("rules/calling.toml", "proven-by = \"member\"", "proven-by = \"membre\"", "membre"),
    ("rules/admin.toml", "shared-with", "shared-wiht", "shared-wiht"),
    ("rules/tenants.toml", "apps  = [\"calling\"]", "apps  = [\"caling\"]", "caling"),
];

#[test]
fn each_mistake_is_pointed_at() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for (file, right, wrong, token) in MISTAKES {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir(place.path().join("rules")).unwrap();
        std::fs::copy(root.join("gateway.toml"), place.path().join("gateway.toml")).unwrap();
        for entry in std::fs::read_dir(root.join("rules")).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                std::fs::copy(&path, place.path().join("rules").join(path.file_name().unwrap())).unwrap();
            }
        }
        let text = std::fs::read_to_string(place.path().join(file)).unwrap();
        let start = text.find(right).unwrap_or_else(|| panic!("{file} has no {right}"));
        let text = text.replacen(right, wrong, 1);
        let at = start + text[start..].find(token).unwrap();
        let line = text[..at].matches('\n').count() + 1;
        let column = text[..at].rsplit('\n').next().unwrap().chars().count() + 1;
        std::fs::write(place.path().join(file), text).unwrap();
        let config = place.path().join("gateway.toml");
        let out = gatewarden(&["check", "--config", config.to_str().unwrap()]);
        let stderr = String::from_utf8(out.stderr).unwrap();
        assert_eq!(out.status.code(), Some(3), "{stderr}");
        assert!(
            stderr.contains(&format!("{file}:{line}:{column}\n")),
            "{file}:{line}:{column} not in\n{stderr}"
        );
    }
}

#[test]
fn what_cannot_be_read_is_the_machines_matter() {
    for verb in [&["check"][..], &["matrix"], &["can", "--anonymous", "GET", "/"], &["run"]] {
        says(&[verb, &["--config", "nowhere/gateway.toml"]].concat(), 4, &["GW9001", "nowhere/gateway.toml"]);
    }
}

/// A regression: only the missing directory was told, not the misspelt key that made it missing.
#[test]
fn a_mistake_in_the_gateways_file_is_told_also_where_the_rules_are_not() {
    let place = tempfile::tempdir().unwrap();
    let config = place.path().join("gateway.toml");
    std::fs::write(&config, "rlues = \"elsewhere\"\n").unwrap();
    says(
        &["check", "--config", config.to_str().unwrap()],
        3,
        &["GW1001", "did you mean `rules`?", "no rule file"],
    );
}

#[test]
fn can_answers_yes_and_no_and_who_could() {
    let agent = |method, path| ["can", "--app", "agent-desk", "--role", "agent", method, path];
    says(&agent("GET", "/cim/customers"), 0, &["yes"]);
    says(
        &agent("DELETE", "/cim/customerSchema/age"),
        1,
        &["no (no-permission)", "roles that could: supervisor; admin"],
    );
    says(&agent("GET", "/cim/nothing"), 1, &["no (no-such-operation)"]);
    says(&agent("GET", "/cim/customers/../x"), 2, &["dot segment"]);
    says(
        &["can", "--app", "agent-desk", "--role", "agnt", "GET", "/cim/customers"],
        2,
        &["did you mean `agent`?"],
    );
    says(
        &["can", "--app", "agent-dsk", "--role", "agent", "GET", "/cim/customers"],
        2,
        &["did you mean `agent-desk`?"],
    );
    says(&["can", "--anonymous", "GET", "/ccm/widget-configs/7"], 0, &["public"]);
    says(&["can"], 2, &["required"]);
}

#[test]
fn can_takes_stated_facts_and_a_tenant() {
    let user = ["can", "--role", "Customer Users", "--with", "token.amr=pwd,mfa"];
    let ask = |more: &[&'static str]| -> Vec<&'static str> {
        [&user[..], more, &["POST", "/calling/calls"]].concat()
    };
    says(&ask(&["--tenant", "sunrise-homes"]), 0, &["yes"]);
    says(
        &ask(&["--tenant", "acme-housing", "--with", "token.client=the-portal"]),
        1,
        &["condition-failed", "Customer Admins if home"],
    );
    says(
        &ask(&["--tenant", "acme-housing", "--with", "token.client=7c1d6a52-3f0b-4f3e-8a7e-2b9f0c4d1e60"]),
        0,
        &["yes"],
    );
    says(&ask(&[]), 1, &["no (claim-missing)", "state it with --tenant"]);
    says(&ask(&["--with", "token.nothing=1"]), 2, &["read no fact"]);
}

#[test]
fn can_takes_a_real_token_and_says_why_it_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let signer =
        gatewarden::token::signer::Signer::generate(gatewarden::token::Algorithm::Es256, "k1").unwrap();
    std::fs::write(place.path().join("keys.json"), signer.jwks()).unwrap();
    std::fs::create_dir(place.path().join("rules")).unwrap();
    for (name, text) in [
        (
            "gateway.toml",
            "[issuers.sso]\nkind = \"oidc\"\nissuer = \"https://sso.example\"\naudience = [\"orders\"]\nalgorithms = [\"ES256\"]\njwks = \"keys.json\"\n[upstreams.orders]\nat = [\"/orders\"]\nservers = [\"http://127.0.0.1:1\"]\n",
        ),
        ("rules/tenants.toml", "[tenant.default]\nids = [\"default\"]\napps = [\"orders\"]\n"),
        (
            "rules/orders.toml",
            "app = \"orders\"\nowns = [\"/orders\"]\nissuer = \"sso\"\nroles = \"token.roles\"\ntenant = \"default\"\n[facts.token]\nroles = \"set\"\n[resource.order]\nview = [\"GET /orders\"]\nedit = [\"PUT /orders\"]\n[role.clerk]\nview = [\"order\"]\n",
        ),
    ] {
        std::fs::write(place.path().join(name), text).unwrap();
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let token = |expires: u64| {
        let claims = serde_json::json!({ "iss": "https://sso.example", "aud": "orders", "sub": "ann", "iat": now - 60, "exp": expires, "roles": ["clerk"] });
        signer.sign(&claims).unwrap()
    };
    let config = place.path().join("gateway.toml");
    let ask = |token: &str, method: &str, code, words: &[&str]| {
        says(
            &["explain", "--config", config.to_str().unwrap(), "--token", token, method, "/orders"],
            code,
            words,
        );
    };
    ask(&token(now + 600), "GET", 0, &["ALLOW", "subject ann: clerk"]);
    ask(&token(now + 600), "PUT", 1, &["DENY", "no-permission"]);
    ask(&token(now - 600), "GET", 1, &["the token is refused: the token has expired (expired)"]);
}

#[test]
fn can_answers_for_events_of_a_socket() {
    let can = |role, event, code, words: &[&str]| says(&["can", "--role", role, "EMIT", event], code, words);
    can("agent", "deletePullModeRequest", 1, &["no (no-permission)", "roles that could: supervisor; admin"]);
    can("supervisor", "deletePullModeRequest", 0, &["yes (granted, rules/agent-desk.toml:"]);
    let arguments = ["can", "--role", "agent", "EMIT", "deletePullModeReqest"];
    says(&arguments, 2, &["no socket has an event", "did you mean `deletePullModeRequest`?"]);
    let explain = ["explain", "--role", "agent", "EMIT", "deletePullModeRequest"];
    says(&explain, 1, &["EMIT deletePullModeRequest -> agent-desk: subscribed-list#manage"]);
}

#[test]
fn can_lists_what_a_role_may_do() {
    let listed = says(
        &["can", "--app", "connect", "--role", "Read Only", "--list"],
        0,
        &["GET     /connect/t/{tenant}/apps"],
    );
    assert!(listed.lines().skip(3).all(|line| line.starts_with("GET ")), "{listed}");
    says(&["can", "--app", "connect", "--role", "Restricted", "--list"], 1, &[]);
    // What a list doesn't take into account isn't taken without a word.
    for more in [["--tenant", "acme-retail"], ["--with", "token.tenant=acme"]] {
        says(&[&["can", "--app", "connect", "--role", "Owner", "--list"], &more[..]].concat(), 2, &[]);
    }
    let both = [
        "can",
        "--app",
        "calling",
        "--role",
        "Customer Admins",
        "--role",
        "Customer ReadOnly Users",
        "--list",
    ];
    let csv = says(&[&both[..], &["--format", "csv"]].concat(), 0, &[]);
    let row = "\"GET\",\"/calling/calls\",\"yes if home\",\"yes if reader\",\"call-resources#search\"";
    assert!(csv.lines().any(|line| line == row), "{csv}");
    let table = says(
        &both,
        0,
        &["a: if home", "home: token.tid in tenant.ids", "reader: home or guest or guest-caller"],
    );
    assert!(table.starts_with("calling\nMethod  Path"), "{table}");
    let json = says(&[&both[..], &["--format", "json"]].concat(), 0, &[]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["operations"][0]["roles"]["Customer Admins"]["if"][0][0], "home", "{json}");
    let page = says(&[&both[..], &["--format", "html"]].concat(), 0, &["<!doctype html>"]);
    assert!(page.contains("title=\"if home\">"), "{page}");
    says(
        &["can", "--app", "calling", "--role", "Customer Admin", "--list"],
        2,
        &["did you mean `Customer Admins`?"],
    );
}

#[test]
fn explain_names_what_is_near_a_path_that_no_rule_has() {
    let explain = ["explain", "--role", "agent"];
    let of = |method, path| [&explain[..], &[method, path]].concat();
    says(
        &of("DELETE", "/cim/customers"),
        1,
        &["the path has no DELETE; it has GET", "GET /cim/customers -> "],
    );
    says(&of("GET", "/cim/custmers"), 1, &["the nearest are", "GET /cim/customers -> "]);
    says(&of("GET", "/q"), 1, &["no rule has the path"]);
}

#[test]
fn explain_shows_each_step_with_its_place_and_the_false_test() {
    let asked = [
        "explain",
        "--tenant",
        "acme-housing",
        "--role",
        "Customer Users",
        "--with",
        "token.amr=mfa",
        "--with",
        "token.client=x",
    ];
    let refused = [&asked[..], &["POST", "/calling/calls"]].concat();
    says(
        &refused,
        1,
        &[
            "DENY  403  condition-failed",
            "create-call#use",
            "rules/calling.toml:",
            "FAILS    portal-open: tenant.portal-create = true    false = true",
        ],
    );
    says(
        &["explain", "--anonymous", "GET", "/cim/customers"],
        1,
        &["DENY  401  token-missing", "customer-list#view"],
    );
    let json = says(&[&refused[..], &["--format", "json"]].concat(), 1, &[]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["effect"], &json["status"]), (&"deny".into(), &403.into()));
}

#[test]
fn matrix_prints_a_table_that_can_be_laid_beside_the_documents() {
    let table = says(&["matrix", "--app", "agent-desk"], 0, &[]);
    let row = |name: &str| {
        table
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap()
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(row("customer-list"), ["customer-list", "view", "manage", "view", "manage", "view", "manage"]);
    assert_eq!(row("state-change"), ["state-change", "view", "view", "-"]);
    let md = says(&["matrix", "--app", "connect", "--format", "md"], 0, &[]);
    assert!(md.contains("| SSO Configuration | yes | no | no | no | no |"), "{md}");
    let csv = says(&["matrix", "--format", "csv"], 0, &["\"connect\",\"SSO Configuration\","]);
    assert!(csv.lines().all(|line| line.split("\",\"").count() == 5), "{csv}");
    let csv = says(&["matrix", "--app", "connect", "--format", "csv"], 0, &[]);
    assert!(csv.contains("\"SSO Configuration\",\"yes\",\"no\""), "{csv}");
    let json = says(&["matrix", "--app", "admin", "--format", "json"], 0, &[]);
    assert!(
        serde_json::from_str::<serde_json::Value>(&json).unwrap()["rows"]
            .as_array()
            .is_some_and(|rows| rows.len() == 8)
    );
    says(&["matrix", "--app", "nothing"], 2, &["there is no app"]);
    let one = ["matrix", "--app", "calling", "--role", "Customer Users"];
    let one = says(&one, 0, &["a: if caller, own, reader", "own: call.creator = token.oid"]);
    assert!(!one.contains("Customer Admins"), "{one}");
    says(&["matrix", "--role", "Customer User"], 2, &["did you mean `Customer Users`?"]);
    let json = says(&["matrix", "--format", "json"], 0, &[]);
    let all: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(all["apps"].as_array().map(Vec::len), Some(4), "{json}");
    let page = says(&["matrix", "--format", "html"], 0, &["<!doctype html>", "<title>admin, agent-desk"]);
    assert!(!page.contains("<script") && !page.contains("http"), "{page}");
}

#[test]
fn routes_tells_what_is_open() {
    says(&["routes", "--app", "calling"], 0, &["call-resources#search"]);
    let open = says(&["routes", "--unguarded"], 1, &["/ccm/widget-configs/{id}"]);
    assert_eq!(open.lines().skip(2).count(), 4, "{open}");
    let csv = says(
        &["routes", "--unguarded", "--format", "csv"],
        1,
        &["\"/ccm/widget-configs/{id}\",\"admin\",\"public\""],
    );
    assert_eq!(csv.lines().skip(1).count(), 4, "{csv}");
    says(&["routes", "--unguarded", "--app", "calling"], 0, &["none: every operation needs a token"]);
    // Nothing is unguarded in an app that isn't there: a pipeline must not take that for good news.
    says(&["routes", "--unguarded", "--app", "callings"], 2, &[]);
}

#[test]
fn token_inspect_takes_a_token_apart_and_never_prints_its_signature() {
    let token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEiLCJleHAiOjF9.c2lnbmF0dXJl";
    let out = says(&["token", "inspect", "--offline", token], 1, &["ada", "not checked"]);
    assert!(!out.contains("c2lnbmF0dXJl"), "{out}");
}

#[test]
fn completions_are_made_for_the_usual_shells() {
    for shell in ["bash", "zsh", "fish"] {
        says(&["completions", shell], 0, &["gatewarden"]);
    }
}

#[test]
fn help_names_every_verb() {
    says(
        &["--help"],
        0,
        &["run", "dev", "check", "can", "explain", "matrix", "routes", "token", "completions"],
    );
}
