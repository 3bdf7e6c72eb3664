//! Corners of what an allow carries along: each of these once let something through that the rules meant to hold back.

use std::sync::Arc;

use gatewarden::authorize::{Permit, Ruling, Supposed, suppose};
use gatewarden::config::{Carried, Sources, compile};
use gatewarden::policy::Known;
use gatewarden::policy::lookup::{Forget, LookedUp, NoAnswer};
use gatewarden::rejection::Rejection;
use gatewarden::request::{CanonicalPath, Host, Query, RequestView};
use gatewarden::token::{IssuerKind, VerifiedToken};
use http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::{GATEWAY, compiled, file, rendered};

const TENANTS: &str = "[tenant.acme]\nids = [\"acme\"]\napps = [\"calls\"]\n";

const CALLS: &str = r#"app = "calls"
base = "/calls"
issuer = "keycloak"
roles = "token.roles"
tenant = { from = ["query.customer", "token.tenant"], proven-by = "mine" }
isolation = "upstream"
[facts.token]
roles = "set"
sub = "string"
tenant = "string"
[facts.query]
customer = "string"
scope = "string"
limit = { type = "int", default = 50 }
[facts.header]
x-view = { type = "string", default = "'own'" }
[facts.tenant]
ids = "set"
[facts.call]
get = "/calls/{path.call}"
ttl = "30s"
forget = ["POST /calls"]
creator = { at = "/creator", type = "string" }
locked = { at = "/state/locked", type = "bool", default = false }
[when]
mine = "token.tenant in tenant.ids"
own = "call.creator = token.sub"
open = "call.locked = false"
few = "query.limit <= 100"
team = "query.scope in ['team']"
[require]
mine = "mine"
[narrow.own]
"GET /calls" = { query = "creator", pass = ["customer", "limit"] }
[filter]
"GET /open" = { items = "/items", as = "call", keep = "open" }
[body]
"POST /calls" = { only = ["/to"] }
[inject]
"X-View" = "header.x-view"
[resource.calls]
list = ["GET /calls"]
view = ["GET /calls/{call}"]
open = ["GET /open"]
make = ["POST /calls"]
[role.user]
only = "mine"
list = ["calls if own, few"]
view = ["calls if open"]
open = ["calls"]
"#;

const DESK: &str = r#"app = "desk"
base = "/calls"
owns = ["/desk"]
issuer = "keycloak"
roles = "token.desk"
tenant = "acme"
[facts.token]
desk = "set"
[resource.calls]
make = ["POST /calls"]
[role.agent]
make = ["calls"]
"#;

fn set(rules: &[&str]) -> Sources {
    let mut files = vec![file("gateway.toml", GATEWAY)];
    let tenants = match rules {
        [_] => TENANTS.to_owned(),
        _ => TENANTS.replace("[\"calls\"]", "[\"calls\", \"desk\"]"),
    };
    files.push(file("rules/tenants.toml", &tenants));
    files.extend(rules.iter().zip(0..).map(|(text, at)| file(&format!("rules/{at}.toml"), text)));
    Sources { files, hash: "test".into() }
}

fn ask(sources: &Sources, line: &str, headers: &[(&'static str, &'static str)], known: Known) -> Ruling {
    let Value::Object(claims) = json!({"sub": "ada", "tenant": "acme", "roles": ["user"], "desk": ["agent"]})
    else {
        panic!("claims are an object")
    };
    let (method, target) = line.split_once(' ').unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: HeaderMap =
        headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    let view = RequestView {
        method: &Method::from_bytes(method.as_bytes()).unwrap(),
        host: &Host::parse("any.example").unwrap(),
        path: &CanonicalPath::parse(path).unwrap(),
        query: Query::parse(query).unwrap(),
        headers: &headers,
        client: [192, 0, 2, 1].into(),
        certificate: None,
    };
    let caller = VerifiedToken::hypothetical("keycloak".into(), IssuerKind::Keycloak, claims);
    let supposed = Supposed { known, ..Supposed::default() };
    suppose(&compiled(sources), &view, Some(Arc::new(caller)), supposed)
}

#[track_caller]
fn permitted(ruling: Ruling) -> Permit {
    match ruling {
        Ruling::Permit(permit, _) => permit,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn mistake(rules: &str, told: &str) {
    let sources = set(&[rules]);
    let Err(diagnostics) = compile(&sources, Carried::nothing()) else { panic!("{told}: loads") };
    let out = rendered(&diagnostics, &sources);
    assert!(out.contains(told), "{told} not in\n{out}");
}

#[test]
fn a_narrowed_list_is_asked_for_its_own_alone() {
    let sources = set(&[CALLS]);
    for (query, target) in [
        ("", "/calls/calls?creator=ada&limit=50"),
        ("?creator=eve", "/calls/calls?creator=ada&limit=50"),
        ("?limit=7&customer=acme", "/calls/calls?limit=7&customer=acme&creator=ada"),
        ("?limit=7&%63reator=eve&Creator=eve&creator[]=eve&a=b", "/calls/calls?limit=7&creator=ada"),
        ("?limit=7&cre%61tor=eve&+creator=eve&creator%00=e", "refused"),
        ("?limit=7;creator=eve", "refused"),
    ] {
        match ask(&sources, &format!("GET /calls/calls{query}"), &[], Known::default()) {
            Ruling::Permit(permit, _) => assert_eq!(permit.target(), target, "{query}"),
            Ruling::Refuse(..) => assert_eq!("refused", target, "{query}"),
            Ruling::Ask(_) => panic!("{query}"),
        }
    }
}

/// The app judged one thing and was given another: a limit, or whose list it is, was judged and then left out.
#[test]
fn what_a_rule_reads_of_a_narrowed_query_passes() {
    let without = |keys: &str| CALLS.replace("pass = [\"customer\", \"limit\"]", keys);
    mistake(&without("pass = [\"limit\"]"), "`query.customer` is read here, but doesn't `pass`");
    mistake(&without("pass = [\"customer\"]"), "`query.limit` is read here, but doesn't `pass`");
    let team = CALLS.replace("calls if own, few", "calls if own, few, team");
    mistake(&team, "`query.scope` is read here, but doesn't `pass`");
}

/// Beside the filter the app was given a second `creator`: the default of a fact that was left out.
#[test]
fn no_default_stands_beside_the_filter() {
    let doubled = CALLS.replace("scope = \"string\"", "creator = { type = \"string\", default = \"'all'\" }");
    mistake(&doubled.replace("team = \"query.scope", "team = \"query.creator"), "is set by the gateway");
}

/// A default stood for a member of an answer that had no members at all.
#[test]
fn an_answer_of_another_shape_has_no_defaults() {
    let sources = set(&[CALLS]);
    for (answer, is_open) in [
        (json!({"creator": "eve"}), true),
        (json!({"state": {}}), true),
        (json!({"state": null}), true),
        (json!({"state": {"locked": null}}), true),
        (json!({"state": {"locked": true}}), false),
        (json!({"state": {"locked": "no"}}), false),
        (json!({"state": {"Locked": true}}), false),
        (json!({"State": {"locked": true}}), false),
        (json!({"state": "locked"}), false),
        (json!({"state": ["locked"]}), false),
        (json!(["locked"]), false),
        (json!("locked"), false),
        (json!(null), false),
    ] {
        let mut known = Known::default();
        known.learn(0, 0, LookedUp::Found(Arc::new(answer.clone())));
        let ruling = ask(&sources, "GET /calls/calls/7", &[], known);
        assert_eq!(matches!(ruling, Ruling::Permit(..)), is_open, "{answer}");
        let permit = permitted(ask(&sources, "GET /calls/open", &[], Known::default()));
        let edits = permit.edits().unwrap();
        assert_eq!((edits.filters[0].keep)(&answer), is_open, "as an element: {answer}");
    }
}

/// An app was asked what no answer of its could have changed; and if it had none, the caller was told to come again.
#[test]
fn nobody_is_asked_in_vain() {
    let rules = CALLS.replace("sub = \"string\"", "sub = \"string\"\nvip = \"bool\"");
    let timeout = LookedUp::Unavailable(NoAnswer::Timeout);
    for (open, why) in [
        ("{ all = [\"token.vip = true\", \"call.locked = false\"] }", Rejection::Denied),
        ("{ all = [\"call.locked = false\", { not = \"token.vip = true\" }] }", Rejection::Denied),
        ("{ not = { any = [\"call.locked = true\", \"token.vip = true\"] } }", Rejection::Denied),
        ("{ any = [\"token.vip = true\", \"call.locked = false\"] }", Rejection::Unanswered),
        ("{ all = [\"token.sub = 'ada'\", \"call.locked = false\"] }", Rejection::Unanswered),
    ] {
        let sources = set(&[&rules.replace("open = \"call.locked = false\"", &format!("open = {open}"))]);
        let mut known = Known::default();
        known.learn(0, 0, timeout.clone());
        match ask(&sources, "GET /calls/calls/7", &[], known) {
            Ruling::Refuse(told, _) => assert_eq!(told, why, "{open}"),
            other => panic!("{open}: {other:?}"),
        }
    }
}

/// Who was let in by the other app's file could tell the owner of the route any view.
#[test]
fn a_header_that_the_owner_proves_is_no_clients_under_another_app() {
    let calls = CALLS.replacen("issuer", "shared-with = [\"desk\"]\nissuer", 1);
    let told = |desk: &str| match compile(&set(&[&calls, desk]), Carried::nothing()) {
        Ok(_) => String::new(),
        Err(mistakes) => rendered(&mistakes, &set(&[&calls, desk])),
    };
    let open = told(DESK);
    assert!(open.contains("permits `POST /calls/calls` without the [body] of `calls`"), "{open}");
    let held = DESK.replacen("[resource", "[body]\n\"POST /calls\" = { only = [\"/to\"] }\n[resource", 1);
    assert_eq!(told(&held), "");
    let sources = set(&[&calls, &held]);
    let mut permit = permitted(ask(&sources, "POST /calls/calls", &[("x-view", "all")], Known::default()));
    assert_eq!(permit.identity().unwrap().permission, "calls#make");
    assert_eq!(permit.removed(), ["x-view"]);
    let stale = Forget { app: "calls".into(), tenant: "acme".into(), namespace: "call".into() };
    assert_eq!(permit.take_forgets(), [stale], "a write makes it stale, whoever's file permits it");
}
