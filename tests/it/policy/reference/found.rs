//! What generated policies brought to light, each as small as it can be.

use std::sync::Arc;

use gatewarden::authorize::{Ruling, Supposed, suppose};
use gatewarden::budget::{Budgeted, Kind};
use gatewarden::config::Sources;
use gatewarden::policy::lookup::{LookedUp, NoAnswer};
use gatewarden::policy::{Known, Stage};
use gatewarden::rejection::Rejection;
use gatewarden::request::{CanonicalPath, Host, Query, RequestView};
use gatewarden::seat::{Seated, Which};
use gatewarden::token::{IssuerKind, VerifiedToken};
use http::{HeaderMap, Method};
use serde_json::{Map, json};

use super::super::{GATEWAY, NOW, compiled, file};

/// Rules on `GET /g/things` of an app whose guards and resources these are, for an `a` of the organisation `a`.
fn ruling(guards: &str, resources: &str, known: Known) -> Ruling {
    let rules = format!(
        r#"app = "g"
base = "/g"
issuer = "keycloak"
roles = "token.roles"
tenant = "acme"
[facts.token]
roles = "set"
org = "string"
{guards}
{resources}
[role.a]
view = ["*"]
"#
    );
    let tenants = "[tenant.acme]\ntime-zone = \"Asia/Kolkata\"\nids = [\"acme\"]\napps = [\"g\"]\n";
    let files = vec![
        file("gateway.toml", GATEWAY),
        file("rules/g.toml", &rules),
        file("rules/tenants.toml", tenants),
    ];
    let snapshot = compiled(&Sources { files, hash: String::new() });
    let claims = Map::from_iter([("roles".to_owned(), json!(["a"])), ("org".to_owned(), json!("a"))]);
    let caller = VerifiedToken::hypothetical("keycloak".into(), IssuerKind::Keycloak, claims);
    let host = Host::parse("h").unwrap();
    let view = RequestView {
        method: &Method::GET,
        host: &host,
        path: &CanonicalPath::parse("/g/things").unwrap(),
        query: Query::parse("").unwrap(),
        headers: &HeaderMap::new(),
        client: [127, 0, 0, 1].into(),
        certificate: None,
    };
    suppose(&snapshot, &view, Some(Arc::new(caller)), Supposed { known, now: NOW, event: None })
}

#[test]
fn a_header_that_an_app_would_have_told_can_be_asked_for_again() {
    let guards = r#"[facts.me]
get = "/me/{token.org}"
ttl = "1s"
rank = { at = "/rank", type = "string" }
[inject]
"X-Rank" = "me.rank"
"#;
    let ruled = |answer: LookedUp| {
        let mut known = Known::default();
        known.learn(0, 0, answer);
        ruling(guards, "[resource.things]\nview = [\"GET /things\"]", known)
    };
    let unavailable = ruled(LookedUp::Unavailable(NoAnswer::Timeout));
    assert!(matches!(unavailable, Ruling::Refuse(Rejection::Unanswered, _)), "{unavailable:?}");
    let nothing = ruled(LookedUp::Nothing);
    assert!(matches!(nothing, Ruling::Refuse(Rejection::Denied, _)), "{nothing:?}");
}

#[test]
fn whoever_may_do_it_without_a_seat_needs_none() {
    let seated = "[resource.seated]\nview = { seat = true, operations = [\"GET /things\"] }";
    let full = || {
        let mut known = Known::default();
        known.seat(0, Seated::Refused(Which::Named));
        known
    };
    let refused = ruling("", seated, full());
    assert!(matches!(refused, Ruling::Refuse(Rejection::NoSeat, _)), "{refused:?}");
    let both = format!("{seated}\n[resource.free]\nview = [\"GET /things\"]");
    let allowed = ruling("", &both, full());
    assert!(matches!(allowed, Ruling::Permit(..)), "{allowed:?}");
}

#[test]
fn an_element_is_read_as_a_look_ups_own_answer_is() {
    let kept = |fact: &str, keep: &str, element: serde_json::Value| {
        let guards = format!(
            r#"[facts.thing]
get = "/things-of/{{path.id}}"
ttl = "1s"
own = {{ at = "/own", {fact} }}
[filter]
"GET /things" = {{ items = "", as = "thing", keep = "{keep}" }}
"#
        );
        let resources = "[resource.things]\nview = [\"GET /things\"]\none = [\"GET /things/{id}\"]";
        let Ruling::Permit(permit, _) = ruling(&guards, resources, Known::default()) else {
            panic!("it is granted")
        };
        (permit.edits().unwrap().filters[0].keep)(&element)
    };
    // 05:30 of the tenant's day.
    assert!(kept("type = \"time\"", "thing.own < '06:00'", json!({"own": 0})));
    assert!(!kept("type = \"time\"", "thing.own < '05:00'", json!({"own": 0})));
    let default = "type = \"string\", default = \"token.org\"";
    assert!(kept(default, "thing.own = 'a'", json!({})));
    assert!(!kept(default, "thing.own = 'a'", json!({"Own": "b"})));
}

#[test]
fn what_holds_without_a_filter_is_not_filtered() {
    let filtered = |org: &str| {
        let guards = format!(
            r#"[facts.thing]
get = "/things/{{path.id}}"
ttl = "1s"
maker = {{ at = "/maker", type = "string" }}
[when]
mine = "thing.maker = token.org"
boss = "token.org = '{org}'"
shown = {{ any = ["mine", "boss"] }}
[require]
shown = {{ is = "shown", on = ["GET /things"] }}
[narrow.mine]
"GET /things" = {{ query = "maker", pass = [] }}
"#
        );
        let resources = "[resource.things]\nview = [\"GET /things\"]\none = [\"GET /things/{id}\"]";
        match ruling(&guards, resources, Known::default()) {
            Ruling::Permit(_, evidence) => evidence.narrowed,
            other => panic!("it is granted: {other:?}"),
        }
    };
    assert_eq!(filtered("b"), [("maker".into(), "a".to_owned())]);
    assert_eq!(filtered("a"), []);
}

/// The record once named the first role of the file, which this caller doesn't even hold.
#[test]
fn a_rate_that_is_used_up_is_recorded_where_it_stands() {
    let guards = "[limit]\nrole.b = \"1/h\"\nrole.a = \"1/m\"\n[audit]\n\"GET /things\" = [\"token.org\"]";
    let resources = "[resource.things]\nview = [\"GET /things\"]\n[role.b]\nview = [\"*\"]";
    let mut known = Known::default();
    let place = "where role.a stands";
    known.budget(0, Stage::Permission, Budgeted::Over { kind: Kind::Role, wait_s: 7, place: place.into() });
    match ruling(guards, resources, known) {
        Ruling::Refuse(Rejection::RateLimited { kind: Kind::Role, wait_s: 7 }, evidence) => {
            assert_eq!(evidence.rule.as_deref(), Some(place));
            assert_eq!(evidence.audited, [("token.org".into(), "'a'".to_owned())]);
        }
        other => panic!("it is refused: {other:?}"),
    }
}
