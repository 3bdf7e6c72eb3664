//! Mistakes in a file that fits on a page. Each of these once loaded, or was told of in a way that led astray.

use std::sync::Arc;

use gatewarden::authorize::{Ruling, Supposed, suppose};
use gatewarden::config::{Carried, Diagnostics, Sources, compile};
use gatewarden::rejection::Rejection;
use gatewarden::request::{CanonicalPath, Host, Malformed, Query, RequestView};
use gatewarden::token::{IssuerKind, VerifiedToken};
use http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::super::{GATEWAY, compiled, file, rendered};

const TENANTS: &str = "[tenant.acme]\nids = [\"acme\"]\napps = [\"shop\", \"till\"]\n";

const SHOP: &str = r#"app = "shop"
base = "/shop"
shared-with = ["till"]
issuer = "keycloak"
roles = "token.roles"
tenant = "acme"
public = ["GET /open"]
[facts.token]
roles = "set"
tier = "string"
groups = { type = "set", default = [] }
[facts.header]
x-view = "string"
[when]
gold = "token.tier = 'gold'"
[resource.orders]
view = ["GET /orders", "GET /orders/{id}", "GET /orders/mine"]
manage = ["POST /orders", "DELETE /orders/{id}"]
[resource.later]
reserved = true
view = ["GET /later"]
[role.clerk]
view = ["orders"]
[role.boss]
view = ["*"]
manage = ["orders if gold"]
[expect]
"clerk GET /orders" = "allow"
"#;

const TILL: &str = r#"app = "till"
owns = ["/till"]
issuer = "keycloak"
roles = "token.roles"
tenant = "acme"
[facts.token]
roles = "set"
[resource.orders]
view = ["GET /shop/orders"]
[role.cashier]
view = ["orders"]
"#;

fn set(shop: &str, till: &str, tenants: &str) -> Sources {
    let files = vec![
        file("gateway.toml", GATEWAY),
        file("rules/shop.toml", shop),
        file("rules/tenants.toml", tenants),
        file("rules/till.toml", till),
    ];
    Sources { files, hash: String::new() }
}

/// What is told of the shop's file with one thing replaced.
#[track_caller]
fn told(from: &str, to: &str) -> String {
    assert!(SHOP.contains(from), "the file has no {from}");
    all_told(&set(&SHOP.replacen(from, to, 1), TILL, TENANTS))
}

fn all_told(sources: &Sources) -> String {
    match compile(sources, Carried::nothing()) {
        Ok(compiled) => rendered(&compiled.remarks, sources),
        Err(mistakes) => rendered(&mistakes, sources),
    }
}

#[track_caller]
fn refused(from: &str, to: &str, words: &str) {
    let out = told(from, to);
    assert!(out.contains("error[") && out.contains(words), "{to}: no {words} in\n{out}");
}

/// Whether nothing is wrong; what is only said for reading may be there.
fn is_quiet(out: &str) -> bool {
    !out.contains("error[") && !out.contains("warning[")
}

fn errors(sources: &Sources) -> Diagnostics {
    compile(sources, Carried::nothing()).map(|_| ()).unwrap_err()
}

#[test]
fn the_small_file_itself_loads() {
    compiled(&set(SHOP, TILL, TENANTS));
}

#[test]
fn a_credential_is_no_fact() {
    for name in ["authorization", "proxy-authorization"] {
        refused("x-view = ", &format!("{name} = "), "holds a credential");
    }
}

#[test]
fn a_route_is_a_method_and_a_path_that_do_not_run_together_with_the_base() {
    refused("\"POST /orders\"", "\"POST\"", "GW1008");
    refused("\"POST /orders\"", "\"POST orders\"", "GW1008");
}

#[test]
fn with_dotted_keys_nothing_that_guards_stands_after_a_grant_either() {
    let shop = "app = \"shop\"\nissuer = \"keycloak\"\nroles = \"token.roles\"\ntenant = \"acme\"\nowns = [\"/shop\"]\n\
                facts.token.roles = \"set\"\nresource.a.view = [\"GET /shop/a\"]\nrole.clerk.view = [\"a\"]\n";
    let till = TILL.replace("/shop/orders", "/till/orders");
    compiled(&set(shop, &till, TENANTS));
    for late in
        ["hosts = [\"a.example\"]", "authorization = \"strip\"", "public = []", "isolation = \"upstream\""]
    {
        let out = all_told(&set(&format!("{shop}{late}\n"), &till, TENANTS));
        assert!(out.contains("GW1005"), "{late}\n{out}");
    }
    let matrix = "role.clerk.claim = \"c\"\nmatrix.columns = [\"clerk\"]\nmatrix.f = [\"yes\"]\nroutes.f = [\"GET /shop/f\"]\n\
                  role.clerk.only = \"c\"\n";
    let shop = shop.replace("resource.a.view = [\"GET /shop/a\"]\nrole.clerk.view = [\"a\"]\n", matrix);
    let shop = shop.replace("facts.token.roles", "when.c = \"token.roles has 'c'\"\nfacts.token.roles");
    let out = all_told(&set(&shop, &till, TENANTS));
    assert!(out.contains("`only` of a matrix column stands before [matrix]"), "{out}");
    refused("[role.clerk]", "[facts.token.deep]\na = \"set\"\n[role.clerk]", "GW1005");
}

#[test]
fn conditions_that_name_each_other_can_not_outgrow_a_request() {
    let doubled: String =
        (1..60).map(|i| format!("c{i} = {{ any = [\"c{0}\", \"c{0}\"] }}\n", i - 1)).collect();
    refused("gold =", &format!("c0 = \"token.tier = 'x'\"\n{doubled}gold ="), "more than 1000 tests");
    let chained: String = (1..20_000).map(|i| format!("c{i} = \"c{}\"\n", i - 1)).collect();
    refused("gold =", &format!("c0 = \"token.tier = 'x'\"\n{chained}gold ="), "more than 32 names");
    let many = "\"gold\", ".repeat(1_001);
    refused(
        "[resource.orders]",
        &format!("[require]\nx = {{ all = [{many}] }}\n[resource.orders]"),
        "more than 1000 tests",
    );
    refused("gold =", "a = \"b\"\nb = \"a\"\nleads = \"b\"\ngold =", "condition `a` rests on itself");
}

#[test]
fn a_public_operation_is_everyones_to_never_and_to_expect() {
    refused("[resource.orders]", "[never]\nclerk = [\"GET /open\"]\n[resource.orders]", "it is public at");
    refused("\"clerk GET /orders\" = \"allow\"", "\"clerk GET /open\" = \"deny\"", "the rules say `allow`");
    let out = told("\"clerk GET /orders\" = \"allow\"", "\"clerk GET /open\" = \"allow\"");
    assert!(!out.contains("error["), "{out}");
}

#[test]
fn an_expectation_is_of_the_operation_that_a_request_would_reach() {
    let row = "\"clerk GET /orders\" = \"allow\"";
    refused(row, "\"boss DELETE /orders/mine\" = \"if gold\"", "no operation is `DELETE /orders/mine`");
    let out = told(row, "\"boss DELETE /orders/mine\" = \"deny\"");
    assert!(is_quiet(&out), "the path has other methods alone, so it is refused:\n{out}");
    let out = told(row, "\"clerk GET /ordres\" = \"deny\"");
    assert!(out.contains("warning[GW2009]") && out.contains("this row can't fail"), "{out}");
    let out = told(row, "\"boss DELETE /orders/{id}\" = \"if gold\"");
    assert!(is_quiet(&out), "an operation's own template names it:\n{out}");
}

#[test]
fn apps_share_whole_templates_only() {
    for (route, loads) in [
        ("GET /shop/orders", true),
        ("GET /shop/orders/{id}", true),
        ("GET /shop/orders/special", false),
        ("PUT /shop/orders/special", false),
        ("GET /shop/{thing}", false),
        ("GET /shop/{rest...}", false),
        ("GET /shop/unnamed", true),
    ] {
        let sources = set(SHOP, &TILL.replace("GET /shop/orders", route), TENANTS);
        let out = all_told(&sources);
        assert_eq!(out.contains("have paths in common"), !loads, "{route}\n{out}");
        assert_eq!(compile(&sources, Carried::nothing()).is_ok(), loads, "{route}\n{out}");
    }
}

/// Cut off before its literal, the file would have left the path to the public parameter.
#[test]
fn a_public_parameter_stands_beside_no_guarded_literal() {
    refused("public = [\"GET /open\"]", "public = [\"GET /{any}/parts\"]", "takes paths from what is public");
    refused(
        "public = [\"GET /open\"]",
        "public = [\"GET /{any}\"]",
        "`/shop/orders` takes paths from what is public",
    );
}

#[test]
fn what_its_owner_made_public_no_other_app_can_guard() {
    let out = all_told(&set(SHOP, &TILL.replace("GET /shop/orders", "GET /shop/open"), TENANTS));
    assert!(out.contains("is public, so `till` can't guard it"), "{out}");
}

/// Addresses are compared in their plain form: such a network held nobody, and under `not` everybody.
#[test]
fn a_network_is_written_in_the_form_that_addresses_are_compared_in() {
    let rule = |net: &str| format!("near = \"client.ip within ['{net}']\"\ngold =");
    refused("gold =", &rule("::ffff:10.0.0.0/104"), "GW3007");
    assert!(is_quiet(&told("gold =", &rule("10.0.0.0/8"))));
    let shop = SHOP.replacen("[when]", "[facts.tenant]\nnear = \"nets\"\n[when]", 1);
    let row = format!("{TENANTS}[tenant.acme.settings]\nnear = [\"::ffff:10.0.0.0/104\"]\n");
    let out = all_told(&set(&shop, TILL, &row));
    assert!(out.contains("`::ffff:10.0.0.0/104` is no network"), "{out}");
}

#[test]
fn a_default_that_is_sent_on_is_a_header_value() {
    refused(
        "x-view = \"string\"",
        "x-view = { type = \"string\", default = \"'\u{e9}'\" }",
        "can't stand for",
    );
}

#[test]
fn nothing_that_is_written_is_taken_for_its_absence() {
    refused("issuer =", "hosts = []\nissuer =", "`hosts` names no host");
    refused("tenant = \"acme\"", "tenant = \"acme\"\nisolation = \"upstrem\"", "did you mean `upstream`?");
    refused("[role.clerk]\n", "[role.clerk]\nclaim = \"\"\n", "what a token calls it");
    refused("[role.clerk]\n", "[role.\"\"]\n", "can't be a role's name");
    refused("tier = \"string\"", "tier = \"string\"\n\"https://a.example/tier\" = \"string\"", "no dot");
}

#[test]
fn what_is_reserved_is_granted_to_nobody_by_name_either() {
    refused("view = [\"orders\"]\n", "view = [\"orders\", \"later\"]\n", "`later` is reserved");
}

#[test]
fn no_default_gives_a_role() {
    refused(
        "roles = \"set\"",
        "roles = { type = \"set\", default = [\"boss\"] }",
        "a default would give roles",
    );
}

/// Entra signs for every organisation that the tenants file knows; each names the roles of its own users.
#[test]
fn roles_of_any_organisation_do_not_count_in_the_one_tenant_of_an_app() {
    refused("issuer = \"keycloak\"", "issuer = \"entra\"", "role `boss` has no `only`");
}

#[test]
fn one_setting_can_not_mean_two_things_to_two_apps() {
    let block = "[facts.tenant]\nids = \"set\"\nblocked = \"tenants\"\n[when]\nhome = \"token.tier in tenant.ids\"\n\
                 blocked = \"token.tier in tenant.blocked\"\n";
    let shop = SHOP.replacen("[when]\n", block, 1);
    let tenants = format!("{TENANTS}[tenant.acme.settings]\nblocked = [\"acme\"]\n");
    let till =
        |kind: &str| TILL.replacen("[resource", &format!("[facts.tenant]\nblocked = {kind}\n[resource"), 1);
    let out = all_told(&set(&shop, &till("\"set\""), &tenants));
    assert!(out.contains("one value can't be both"), "{out}");
}

#[test]
fn a_setting_may_name_tenants_and_organisations() {
    let shop = |kind: &str| {
        let block = format!(
            "[facts.tenant]\nfriends = \"{kind}\"\n[when]\nfriend = \"token.tier in tenant.friends\"\n"
        );
        SHOP.replacen("[when]\n", &block, 1).replacen("orders if gold", "orders if friend", 1)
    };
    let tenants = |friend: &str| {
        format!(
            "{TENANTS}[tenant.acme.settings]\nfriends = [\"{friend}\"]\n[organisation.bodgit]\nids = [\"b-1\", \"b-2\"]\n"
        )
    };
    let posts = |kind: &str, tier: &str| {
        let caller = json!({"roles": ["boss"], "tier": tier});
        allowed(&set(&shop(kind), TILL, &tenants("bodgit")), "POST", "/shop/orders", &[], caller).is_ok()
    };
    assert_eq!(["b-1", "b-2", "bodgit"].map(|id| posts("tenants", id)), [true, true, false]);
    assert_eq!(["b-1", "bodgit"].map(|id| posts("set", id)), [false, true]);
    let out = all_told(&set(&shop("set"), TILL, &tenants("bodgit")));
    assert!(out.contains("`bodgit` is read as it is written, though a row has that name"), "{out}");
    let out = all_told(&set(&shop("tenants"), TILL, &tenants("bodgti")));
    assert!(
        out.contains("`bodgti` names no tenant or organisation") && out.contains("did you mean `bodgit`?"),
        "{out}"
    );
    let out = all_told(&set(&shop("tenant"), TILL, &tenants("bodgit")));
    assert!(out.contains("unknown type `tenant`") && out.contains("did you mean `tenants`?"), "{out}");
    let ids = shop("set").replacen("[facts.tenant]\n", "[facts.tenant]\nids = \"tenants\"\n", 1);
    let out = all_told(&set(&ids, TILL, &tenants("bodgit")));
    assert!(out.contains("`tenant.ids` is always a set"), "{out}");
    refused("tier = \"string\"", "tier = \"tenants\"", "unknown type `tenants`");
}

#[test]
fn no_suggestion_widens() {
    let out = told("orders if gold", "orders if");
    assert!(out.contains("isn't `resource if condition") && !out.contains("did you mean"), "{out}");
    let out = told("token.tier = 'gold'", "token.tier == 'gold'");
    assert!(out.contains("did you mean `=`?"), "{out}");
    refused("orders if gold", "orders if gold until tomorrow", "`tomorrow` is no day");
    refused("token.tier = 'gold'", "token.tier='gold'", "three words");
}

#[test]
fn a_comma_in_quotes_is_part_of_a_list_item() {
    let shop = SHOP.replacen("token.tier = 'gold'", "token.tier in ['a,b', 'c']", 1);
    let sources = set(&shop, TILL, TENANTS);
    assert!(
        allowed(&sources, "POST", "/shop/orders", &[], json!({"roles": ["boss"], "tier": "a,b"})).is_ok()
    );
    assert!(allowed(&sources, "POST", "/shop/orders", &[], json!({"roles": ["boss"], "tier": "b"})).is_err());
    refused("token.tier = 'gold'", "token.tier in ['a',]", "GW3007");
}

#[test]
fn many_mistakes_are_told_without_looking_for_what_each_was_meant_to_be() {
    let terms: String = (0..5_000).map(|i| format!("\"nothing-{i}\", ")).collect();
    let names: String = (0..5_000).map(|i| format!("[resource.thing-{i}]\nsee = []\n")).collect();
    let shop = SHOP.replacen("view = [\"orders\"]\n", &format!("view = [{terms}]\n"), 1);
    let shop = shop.replacen("[role.clerk]", &format!("{names}[role.clerk]"), 1);
    let mistakes = errors(&set(&shop, TILL, TENANTS));
    let suggested = mistakes.iter().filter(|own| own.help.is_some()).count();
    assert!(mistakes.errors() >= 5_000 && suggested < 200, "{suggested} of {}", mistakes.errors());
}

fn allowed(
    sources: &Sources,
    method: &str,
    path: &str,
    headers: &[(&'static str, &'static str)],
    claims: Value,
) -> Result<(), Rejection> {
    let mut lines = HeaderMap::new();
    for (name, value) in headers {
        lines.append(*name, value.parse().unwrap());
    }
    let view = RequestView {
        method: &Method::from_bytes(method.as_bytes()).unwrap(),
        host: &Host::parse("gateway.example").unwrap(),
        path: &CanonicalPath::parse(path).unwrap(),
        query: Query::parse("").unwrap(),
        headers: &lines,
        client: std::net::Ipv4Addr::LOCALHOST.into(),
        certificate: None,
    };
    let mut claims = claims.as_object().unwrap().clone();
    claims.insert("sub".into(), "ada".into());
    let token = VerifiedToken::hypothetical("keycloak".into(), IssuerKind::Keycloak, claims);
    match suppose(&compiled(sources), &view, Some(Arc::new(token)), Supposed::default()) {
        Ruling::Permit(..) => Ok(()),
        Ruling::Refuse(why, _) => Err(why),
        Ruling::Ask(_) => panic!("nothing is to be asked"),
    }
}

/// Groups that didn't fit into a token are unknown; the default of the fact stood for them, and `not` made that a yes.
#[test]
fn no_default_stands_for_a_claim_that_is_elsewhere() {
    let shop = SHOP.replacen(
        "token.tier = 'gold'",
        "token.tier = 'gold'\"\nfree = { not = \"token.groups has 'barred'\" }\nx = \"gold",
        1,
    );
    let sources = set(&shop.replacen("orders if gold", "orders if free", 1), TILL, TENANTS);
    let ask = |claims: Value| allowed(&sources, "POST", "/shop/orders", &[], claims);
    assert_eq!(ask(json!({"roles": ["boss"]})), Ok(()), "no groups at all are none");
    assert_eq!(ask(json!({"roles": ["boss"], "groups": ["barred"]})), Err(Rejection::Denied));
    let elsewhere = json!({"roles": ["boss"], "_claim_names": {"groups": "src1"}});
    assert_eq!(ask(elsewhere), Err(Rejection::Denied), "too many groups to be listed are not none");
}

/// The till reads no header, so it let in what the shop, whose route it is, refuses to read.
#[test]
fn what_one_app_of_a_shared_route_can_not_read_no_other_lets_in() {
    let sources = set(SHOP, TILL, TENANTS);
    let ask =
        |headers: &[_]| allowed(&sources, "GET", "/shop/orders", headers, json!({"roles": ["cashier"]}));
    assert_eq!(ask(&[("x-view", "a")]), Ok(()));
    let twice = ask(&[("x-view", "a"), ("x-view", "b")]);
    assert_eq!(twice, Err(Rejection::Malformed(Malformed::HeaderAmbiguous)));
}
