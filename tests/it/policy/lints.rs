//! Remarks on rules that load: each is made where it is true, at its place, and not where it isn't.

use gatewarden::analysis::lint::Weight;
use gatewarden::config::{Carried, Sources, compile, lint};

use super::{GATEWAY, file, shipped};

const TENANTS: &str = "[tenant.acme]\nids = [\"acme\"]\napps = [\"shop\"]\n[tenant.acme.settings]\nnode = \"acme\"\nnets = []\n";

const SHOP: &str = r#"app = "shop"
base = "/shop"
issuer = "keycloak"
roles = "token.roles"
tenant = "acme"
[facts.token]
roles = "set"
groups = "set"
tier = "string"
level = "int"
node = "node"
[facts.tenant]
node = "node"
nets = "nets"
[when]
CONDITIONS
gold = "token.tier = 'gold'"
[resource.orders]
view = ["GET /orders", "GET /orders/{order}"]
manage = ["POST /orders"]
[role.clerk]
view = ["orders"]
[role.boss]
view = ["orders"]
manage = ["orders if gold", "orders if GRANTED"]
"#;

/// What is remarked on the shop, as the code, what the caret stands under, and how much it matters.
fn remarks(shop: &str) -> Vec<(&'static str, String, Weight, String)> {
    let files = vec![
        file("gateway.toml", GATEWAY),
        file("rules/shop.toml", shop),
        file("rules/tenants.toml", TENANTS),
    ];
    of(&Sources { files, hash: String::new() })
}

fn of(sources: &Sources) -> Vec<(&'static str, String, Weight, String)> {
    let compiled = match compile(sources, Carried::nothing()) {
        Ok(compiled) => compiled,
        Err(mistakes) => panic!("{}", super::rendered(&mistakes, sources)),
    };
    let told = lint::remarks(sources, &compiled.snapshot).into_iter();
    told.map(|(weight, own)| {
        let span = own.primary.unwrap().0;
        let text = &sources.files[span.file as usize].text;
        (own.code.0, text[span.start as usize..span.end as usize].to_owned(), weight, own.message)
    })
    .collect()
}

/// Whether a condition is said to never hold, to hold always, or neither.
#[track_caller]
fn says(condition: &str, expected: Option<Weight>) {
    let shop = SHOP.replace("CONDITIONS", &format!("tried = {condition}")).replace("GRANTED", "tried");
    let found = remarks(&shop).into_iter().find(|(code, at, ..)| *code == "GW3013" && at == "tried");
    assert_eq!(found.as_ref().map(|own| own.2), expected, "{condition}: {found:?}");
}

#[test]
fn a_condition_that_never_holds_is_found_by_what_its_tests_say() {
    for never in [
        r#"{ all = ["token.tier = 'a'", "token.tier = 'b'"] }"#,
        r#"{ all = ["gold", { not = "gold" }] }"#,
        r#"{ all = ["token.tier in ['a', 'b']", "token.tier != 'a'", "token.tier != 'b'"] }"#,
        r#"{ all = ["client.time >= '20:00'", "client.time < '06:00'"] }"#,
        r#"{ all = ["client.time > '2027-02-01'", "client.time < '2027-01-01'"] }"#,
        r#"{ all = ["client.weekday in ['sat', 'sun']", "client.weekday in ['mon']"] }"#,
        r#"{ all = ["token.level > 5", "token.level < 6"] }"#,
        r#"{ all = ["client.ip within ['10.1.0.0/16']", { not = "client.ip within ['10.0.0.0/8']" }] }"#,
        r#"{ all = ["token.node under 'a/b'", { not = "token.node under 'a'" }] }"#,
        r#"{ all = ["token.groups has 'x'", { not = "token.groups meets ['x', 'y']" }] }"#,
        r#""token.tier in []""#,
    ] {
        says(never, Some(Weight::Warning));
    }
}

#[test]
fn a_condition_that_never_fails_tests_nothing() {
    for always in [
        r#"{ any = ["token.tier != 'a'", "token.tier != 'b'"] }"#,
        r#"{ any = ["token.level > 5", "token.level < 7"] }"#,
        r#""client.ip within ['0.0.0.0/0', '::/0']""#,
        r#"{ any = ["client.time >= '08:00'", "client.time < '08:00'"] }"#,
        r#"{ any = ["client.weekday in ['mon', 'tue', 'wed']", "client.weekday in ['thu', 'fri', 'sat', 'sun']"] }"#,
    ] {
        says(always, Some(Weight::Note));
    }
}

#[test]
fn what_can_be_either_is_left_alone() {
    for either in [
        r#"{ all = ["token.tier = 'a'", "token.groups has 'b'"] }"#,
        r#"{ all = ["token.groups has 'a'", "token.groups has 'b'"] }"#,
        r#"{ any = ["client.time >= '20:00'", "client.time < '06:00'"] }"#,
        r#"{ all = ["client.time > '2027-02-01'", "client.time < '08:00'"] }"#,
        r#"{ all = ["token.node under 'a'", { not = "token.node under 'a/b'" }] }"#,
        r#"{ all = ["token.node under tenant.node", { not = "tenant.node under token.node" }] }"#,
        r#"{ all = ["client.ip within ['10.0.0.0/8']", { not = "client.ip within ['10.1.0.0/16']" }] }"#,
        r#"{ all = ["client.ip within tenant.nets", { not = "client.ip within ['10.0.0.0/8']" }] }"#,
        r#"{ all = ["token.tier in token.groups", { not = "token.groups has 'gold'" }] }"#,
        r#"{ all = ["token.level >= 5", "token.level <= 5"] }"#,
        r#""client.ip within ['0.0.0.0/0']""#,
    ] {
        says(either, None);
    }
}

#[test]
fn a_grant_that_another_one_covers_is_told_of_at_its_own_term() {
    let shop = SHOP.replace("CONDITIONS", "silver = \"token.tier in ['gold', 'silver']\"");
    let idle = |granted: &str| -> Vec<String> {
        let all = remarks(&shop.replace("GRANTED", granted));
        all.into_iter().filter(|own| own.0 == "GW3016").map(|own| own.1).collect()
    };
    assert_eq!(idle("gold"), ["orders if gold"]);
    // Which of the two stands first doesn't matter: gold is silver, too.
    assert_eq!(idle("silver"), ["orders if gold"]);
    let both = shop.replace("\"orders if GRANTED\"", "\"orders\"");
    let found: Vec<_> = remarks(&both).into_iter().filter(|own| own.0 == "GW3016").map(|own| own.1).collect();
    assert_eq!(found, ["orders if gold"]);
}

#[test]
fn the_shipped_rules_are_remarked_on_little_and_truly() {
    let all = of(&shipped());
    let shown: Vec<_> =
        all.iter().filter(|own| own.2 > Weight::Reading).map(|own| (own.0, &*own.1)).collect();
    assert_eq!(shown, [("GW3019", "\"Restricted\"")].map(|(code, at)| (code, at.trim_matches('"'))));
    assert!(all.len() > 10 && all.len() < 40, "{all:#?}");
}
