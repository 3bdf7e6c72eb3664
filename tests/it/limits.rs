//! `[limit]` through a gateway: who is counted, when, and what a caller over the rate is told.
//!
//! Rates are by the hour, so that nothing comes back while a test runs, but where that is what it is about.

use std::time::{SystemTime, UNIX_EPOCH};

use gatewarden::token::signer::Signer;
use serde_json::Value;

use crate::process::{FREE_PORTS, Files, Process, ask};
use crate::support::{Gateway, Response, Upstream, eventually};

/// An application with this `[limit]`. A clerk views and a boss views and edits things; `/app/open` is anyone's.
fn rules(limit: &str) -> String {
    format!(
        "app = \"app\"\nowns = [\"/app\"]\nissuer = \"test\"\nroles = \"token.roles\"\n\
         tenant = {{ from = [\"header.x-customer\"], proven-by = \"own\" }}\nisolation = \"upstream\"\n\
         public = [\"GET /app/open\"]\n[facts.token]\nroles = \"set\"\ncustomers = \"set\"\n[facts.tenant]\n\
         [when]\nown = \"token.customers meets tenant.ids\"\n[require]\nown = \"own\"\n[limit]\n{limit}\n\
         [resource.things]\nview = [\"GET /app/things\"]\nedit = [\"PUT /app/things\"]\n\
         [role.clerk]\nonly = \"own\"\nview = [\"things\"]\n\
         [role.boss]\nonly = \"own\"\nview = [\"things\"]\nedit = [\"things\"]\n"
    )
}

const TENANTS: &str =
    "[tenant.acme]\nids = [\"acme\"]\napps = [\"app\"]\n[tenant.zen]\nids = [\"zen\"]\napps = [\"app\"]\n";

fn gateway(upstream: &Upstream, limit: &str) -> Gateway {
    Gateway::setup()
        .upstream("app", &[upstream.address])
        .rules("app", &rules(limit))
        .tenants(TENANTS)
        .trusting("127.0.0.1/32")
        .start()
}

/// Someone who asks.
struct Person<'g> {
    gateway: &'g Gateway,
    token: String,
    from: &'static str,
}

impl<'g> Person<'g> {
    fn new(gateway: &'g Gateway, name: &str, roles: &[&str]) -> Self {
        let claims = serde_json::json!({ "sub": name, "roles": roles, "customers": ["acme", "zen"] });
        Self { gateway, token: gateway.token_saying(&claims), from: "192.0.2.1" }
    }

    fn from(self, from: &'static str) -> Self {
        Self { from, ..self }
    }

    #[track_caller]
    fn ask(&self, line: &str, tenant: &str) -> Response {
        let (from, tenant) = (format!("X-Forwarded-For: {}", self.from), format!("X-Customer: {tenant}"));
        self.gateway.request(line, &[&self.token, &from, &tenant])
    }

    #[track_caller]
    fn views(&self, tenant: &str) -> u16 {
        self.ask("GET /app/things", tenant).status
    }
}

#[test]
fn a_tenant_over_its_rate_waits_and_no_other_does() {
    let upstream = Upstream::echo();
    let gateway = gateway(&upstream, "tenant = \"3/h\"");
    let (ada, bob) = (Person::new(&gateway, "ada", &["clerk"]), Person::new(&gateway, "bob", &["boss"]));
    assert_eq!([ada.views("acme"), bob.views("acme"), ada.views("acme")], [200; 3]);
    let refused = bob.ask("GET /app/things", "acme");
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    let wait: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1190..=1200).contains(&wait), "a third of an hour, not {wait} s");
    let problem: Value = serde_json::from_slice(&refused.body).unwrap();
    assert_eq!(problem["type"], "urn:gatewarden:rate-limited");
    let told = refused.text().to_lowercase();
    for inner in ["tenant", "acme", "3/h", "clerk", "boss", "rules"] {
        assert!(!told.contains(inner), "{told}");
    }
    assert_eq!(ada.views("zen"), 200);
    assert_eq!(upstream.heads().len(), 4, "what is refused isn't forwarded");
    let parts = ["tenant=\"acme\"", "app=\"app\"", "effect=\"deny\"", "reason=\"limit-tenant\"", " 1"];
    gateway.counts("gatewarden_decisions_total", &parts);
    gateway.counts("gatewarden_requests_total", &["tenant=\"acme\"", "code=\"429\"", "/app/things", " 1"]);
}

#[test]
fn what_is_refused_spends_nothing() {
    let upstream = Upstream::echo();
    let gateway = gateway(&upstream, "tenant = \"2/h\"\nrole.clerk = \"1/h\"");
    let (ada, bob) = (Person::new(&gateway, "ada", &["clerk"]), Person::new(&gateway, "bob", &["clerk"]));
    for _ in 0..5 {
        assert_eq!(ada.ask("PUT /app/things", "acme").status, 403);
        assert_eq!(ada.ask("GET /app/nothing", "acme").status, 404);
    }
    assert_eq!(ada.views("acme"), 200);
    for _ in 0..5 {
        assert_eq!(ada.views("acme"), 429, "over the role's rate, and the tenant pays nothing");
    }
    assert_eq!(bob.views("acme"), 200);
    let boss = Person::new(&gateway, "boss", &["boss"]);
    for _ in 0..5 {
        assert_eq!(boss.views("acme"), 429, "the tenant's");
    }
}

#[test]
fn each_person_who_holds_a_role_has_its_rate_and_another_role_adds_to_it() {
    let upstream = Upstream::echo();
    let gateway = gateway(&upstream, "role.clerk = \"2/h\"\nrole.boss = \"3/h\"");
    let within =
        |who: &Person<'_>, line: &str| (0..9).filter(|_| who.ask(line, "acme").status == 200).count();
    let of = |name: &str, roles: &[&str]| Person::new(&gateway, name, roles);
    assert_eq!(within(&of("ada", &["clerk"]), "GET /app/things"), 2);
    assert_eq!(within(&of("ada", &["clerk"]), "GET /app/things"), 0, "another token is the same person");
    assert_eq!(within(&of("bob", &["clerk"]), "GET /app/things"), 2);
    assert_eq!(within(&of("eve", &["boss"]), "GET /app/things"), 3);
    assert_eq!(
        within(&of("zoe", &["clerk", "boss"]), "GET /app/things"),
        5,
        "a role more takes nothing away"
    );
    assert_eq!(within(&of("kim", &["clerk", "boss"]), "PUT /app/things"), 3, "a clerk doesn't edit");
    gateway.counts("gatewarden_decisions_total", &["reason=\"limit-role\"", "tenant=\"acme\""]);
}

#[test]
fn a_role_without_a_rate_is_not_held_to_anothers() {
    let upstream = Upstream::echo();
    let gateway = gateway(&upstream, "role.clerk = \"1/h\"");
    let both = Person::new(&gateway, "ada", &["clerk", "boss"]);
    assert!((0..5).all(|_| both.views("acme") == 200));
}

/// Before the signature is looked at: a flood of bad tokens costs nothing but its rate.
#[test]
fn an_address_is_counted_before_its_token_is_looked_at() {
    let upstream = Upstream::echo();
    let gateway = gateway(&upstream, "address = \"4/h\"");
    let clerk = |from| Person::new(&gateway, "ada", &["clerk"]).from(from);
    let flood = |headers: &[&str]| gateway.request("GET /app/things", headers).status;
    let from = "X-Forwarded-For: 203.0.113.7";
    assert_eq!(flood(&[from, "Authorization: Bearer a.b.c"]), 401);
    assert_eq!(flood(&[from]), 401);
    assert_eq!(flood(&[from, "Authorization: Basic eDp5"]), 401);
    assert_eq!(gateway.request("GET /app/open", &[from]).status, 200, "public operations too");
    for headers in [&[from][..], &[from, "Authorization: Bearer a.b.c"]] {
        let refused = gateway.request("GET /app/things", headers);
        assert_eq!((refused.status, refused.header("www-authenticate")), (429, None));
    }
    assert_eq!(gateway.request("GET /app/open", &[from]).status, 429);
    assert_eq!(gateway.request("GET /app/nowhere", &[from]).status, 404, "what leads nowhere isn't counted");
    assert_eq!(clerk("203.0.113.7").views("acme"), 429, "a good token doesn't help");
    assert_eq!(clerk("203.0.113.8").views("acme"), 200);
    gateway.counts("gatewarden_decisions_total", &["tenant=\"_unproven\"", "reason=\"limit-address\"", " 4"]);
    // One customer of a network has all of these.
    let v6 = ["2001:db8::1", "2001:db8::2", "2001:db8::3:1", "2001:db8::ffff", "2001:db8::5"];
    let told = v6.map(|own| gateway.request("GET /app/open", &[&format!("X-Forwarded-For: {own}")]).status);
    assert_eq!(told, [200, 200, 200, 200, 429]);
    assert_eq!(gateway.request("GET /app/open", &["X-Forwarded-For: 2001:db8:0:1::1"]).status, 200);
}

#[test]
fn tokens_come_back() {
    let upstream = Upstream::echo();
    let gateway = gateway(&upstream, "tenant = \"20/s burst 1\"");
    let ada = Person::new(&gateway, "ada", &["clerk"]);
    let mut client = gateway.client();
    let mut ask = || client.request("GET /app/things", &[&ada.token, "X-Customer: acme"]);
    eventually("a second one at once", || ask().status == 429);
    eventually("one later", || ask().status == 200);
    let refused = std::iter::repeat_with(ask).find(|own| own.status == 429).unwrap();
    assert_eq!(refused.header("retry-after"), Some("1"));
}

/// On a route of two applications, one that has room suffices.
#[test]
fn where_apps_share_a_route_the_one_that_decides_counts() {
    let upstream = Upstream::echo();
    let app = |limit: &str| rules(limit).replace("owns", "shared-with = [\"other\"]\nowns");
    let other = rules("tenant = \"2/h\"\naddress = \"4/h\"")
        .replace("app = \"app\"", "app = \"other\"")
        .replace("\"/app\"", "\"/other\"")
        .replace("public = [\"GET /app/open\"]\n", "");
    let gateway = Gateway::setup()
        .upstream("app", &[upstream.address])
        .upstream("other", &[upstream.address])
        .rules("app", &app("tenant = \"1/h\""))
        .rules("other", &other)
        .tenants(&TENANTS.replace("[\"app\"]", "[\"app\", \"other\"]"))
        .start();
    let ada = Person::new(&gateway, "ada", &["clerk"]);
    let told = [0; 5].map(|_| ada.views("acme"));
    assert_eq!(told, [200, 200, 200, 429, 429], "one of the first, two of the second");
    // The address is turned away by the other alone.
    assert_eq!(ada.views("zen"), 200);
    assert_eq!(ada.views("zen"), 429);
}

#[test]
fn nothing_is_asked_where_there_is_no_rate() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(upstream.address);
    assert!((0..20).all(|_| gateway.request("GET /app/x", &[]).status == 200));
    assert!(gateway.ledger.buckets().is_empty());
}

/// An application as operators run it: three roles with rates, and a record of who views a customer.
const DESK: &str = r#"
app    = "desk"
base   = "/desk"
issuer = "sso"
roles  = "token.roles"
tenant = "acme"
public = ["GET /open"]
[facts.token]
roles = "set"
[limit]
address    = "3/h"
role.other = "1/h"
role.slow  = "1/h"
role.quick = "1/m"
[audit]
"GET /customers/{id}" = ["path.id"]
[resource.customers]
view = ["GET /customers/{id}"]
[role.other]
view = ["customers"]
[role.slow]
view = ["customers"]
[role.quick]
view = ["customers"]
"#;

fn run(upstream: &Upstream, signer: &Signer, rules: &str) -> Process {
    let files = Files::new(upstream.address, FREE_PORTS);
    files.write("keys.json", &signer.jwks());
    let gateway = std::fs::read_to_string(files.path("gateway.toml")).unwrap();
    files.write("gateway.toml", &gateway.replace("jwks =", "algorithms = [\"EdDSA\"]\njwks ="));
    files.write("rules/desk.toml", rules);
    Process::start(files)
}

/// The record once named the file's first role, whichever the caller held.
#[test]
fn the_record_names_the_rate_that_was_used_up() {
    let (upstream, signer) = (Upstream::echo(), Signer::from_seed(&[9; 32], "test").unwrap());
    let process = run(&upstream, &signer, DESK);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let token = signer.sign(&serde_json::json!({
        "iss": "https://sso.example", "aud": "desk", "sub": "ada", "roles": ["slow", "quick"],
        "iat": now, "exp": now + 300,
    }));
    let token = format!("Authorization: Bearer {}", token.unwrap());
    let view = || ask(process.address("callers"), "GET /desk/customers/7", &[&token]).status;
    assert_eq!([view(), view(), view()], [200, 200, 429]);
    process.until("reason=\"limit-role\"");
    let log = process.log();
    let record = log.lines().find(|line| line.contains("limit-role")).unwrap();
    let line = DESK.lines().position(|line| line.starts_with("role.quick")).unwrap() + 1;
    assert!(record.contains(&format!("rules/desk.toml:{line}")), "{record}");
}

#[test]
fn a_running_gateway_keeps_its_buckets_over_a_reload_while_their_line_is_the_same() {
    let (upstream, signer) = (Upstream::echo(), Signer::from_seed(&[9; 32], "test").unwrap());
    let process = run(&upstream, &signer, DESK);
    let open = || ask(process.address("callers"), "GET /desk/open", &[]).status;
    assert_eq!([open(), open(), open(), open()], [200, 200, 200, 429]);
    let reloaded = |rules: &str| {
        process.files.write("rules/desk.toml", rules);
        assert_eq!(process.admin("POST /reload", &[]).status, 200);
    };
    // Other lines change, and this one moves.
    let moved = DESK.replace("[limit]\n", "[limit]\n\ntenant = \"500/h\"\n");
    reloaded(&moved);
    assert_eq!(open(), 429);
    reloaded(&moved.replace("\"3/h\"", "\"4/h\""));
    assert_eq!(open(), 200, "another rate has buckets of its own");
}
