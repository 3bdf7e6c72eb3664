//! Policies, tenants and requests at random, small and often alike, so that tests hold about as often as not.

use proptest::collection::{btree_set, vec};
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value as Json, json};

use super::model::{Acting, Cond, Form, On, Policy, Requirement, Resource, Role, Term};
use super::value::Kind;
use super::words::{FACTS, LEAVES, OPERATIONS, SCOPES};
use super::world::{Ask, Tenant};

const CONDITIONS: usize = 4;

fn conditions() -> impl Strategy<Value = Cond> {
    let leaf = prop_oneof![
        4 => (0..LEAVES.len()).prop_map(Cond::Leaf),
        1 => (0..CONDITIONS).prop_map(Cond::Named),
    ];
    leaf.prop_recursive(3, 6, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|part| Cond::Not(Box::new(part))),
            vec(inner.clone(), 1..3).prop_map(Cond::All),
            vec(inner, 1..3).prop_map(Cond::Any),
        ]
    })
}

fn resources() -> impl Strategy<Value = Vec<Resource>> {
    let operations = || weighted(0.7, btree_set(0..OPERATIONS.len(), 0..5));
    let scopes = vec(operations(), SCOPES.len());
    let resource = (any::<bool>(), any::<bool>(), scopes)
        .prop_map(|(odd, odder, scopes)| Resource { reserved: odd && odder, scopes });
    vec(resource, 1..4)
}

fn roles(resources: usize) -> impl Strategy<Value = Role> {
    let term = prop_oneof![
        1 => Just(Term::Every),
        5 => (0..resources, vec(0..CONDITIONS, 0..3))
            .prop_map(|(resource, conditions)| Term::One { resource, conditions }),
        1 => (0..resources).prop_map(Term::Not),
    ];
    let grants = vec(vec(term, 0..4), SCOPES.len());
    let claims = prop_oneof![3 => Just(vec![]), 1 => Just(vec!["boss"]), 1 => Just(vec!["boss", "chief"])];
    (claims, weighted(0.3, 0..CONDITIONS), grants).prop_map(|(claims, only, grants)| Role {
        claims,
        only,
        grants,
    })
}

pub(super) fn policies() -> impl Strategy<Value = Policy> {
    let requirement = (
        0..CONDITIONS,
        vec(prop_oneof![Just(On::Parameter), (0..OPERATIONS.len()).prop_map(On::Operation)], 0..3),
        any::<bool>(),
    )
        .prop_map(|(is, on, step_up)| Requirement { is, on, step_up });
    let acting = prop_oneof![
        3 => Just(Acting::Constant),
        1 => Just(Acting::Own),
        2 => (0..CONDITIONS).prop_map(|proven_by| Acting::Named { proven_by }),
    ];
    let form = prop_oneof![3 => Just(Form::Resources), 1 => Just(Form::Matrix)];
    let head = (
        btree_set(0..FACTS.len(), 0..FACTS.len()),
        vec(conditions(), CONDITIONS),
        vec(requirement, 0..3),
        acting,
        form,
    );
    (resources(), head).prop_flat_map(|(resources, (defaults, conditions, requirements, acting, form))| {
        let count = resources.len();
        (vec(roles(count), 3), weighted(0.3, roles(count)), btree_set(0..OPERATIONS.len(), 0..2)).prop_map(
            move |(roles, anyone, public)| {
                let anyone = anyone.map(|role| Role { claims: vec![], ..role });
                Policy {
                    defaults: defaults.clone(),
                    conditions: conditions.clone(),
                    requirements: requirements.clone(),
                    acting,
                    public,
                    form,
                    resources: resources.clone(),
                    roles,
                    anyone,
                }
                .tidied()
            },
        )
    })
}

fn settings() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let one =
        |name: &'static str, pool: &'static [&'static str]| select(pool).prop_map(move |value| (name, value));
    (
        one("tenant.plan", &["'a'", "'b'"]),
        one("tenant.guests", &["[]", "['a']", "['a', 'b']"]),
        one("tenant.limit", &["1", "5", "-3"]),
        one("tenant.open", &["true", "false"]),
        one("tenant.top", &["'a'", "'a/b'"]),
        one("tenant.nets", &["[]", "['10.0.0.0/8']", "['0.0.0.0/0', '2001:db8::/33']"]),
        one("tenant.opens", &["'08:30'", "'2027-01-15'", "'2027-01-15T08:00:00Z'"]),
    )
        .prop_map(|(a, b, c, d, e, f, g)| vec![a, b, c, d, e, f, g])
}

pub(super) fn tenants() -> impl Strategy<Value = Vec<Tenant>> {
    let zone = select(&[("UTC", 0i64), ("Asia/Kolkata", 19_800), ("America/Phoenix", -25_200)][..]);
    vec((settings(), zone), 3).prop_map(|rows| {
        let names = [
            ("acme", &["acme-1", "acme-2"][..], true),
            ("other", &["other-1"], true),
            ("none", &["none-1"], false),
        ];
        let row =
            |((settings, zone), (name, ids, is_customer))| Tenant { name, ids, is_customer, settings, zone };
        rows.into_iter().zip(names).map(row).collect()
    })
}

/// JSON of the right type, of a wrong one, or odd.
fn member(kind: Kind) -> impl Strategy<Value = Option<Json>> {
    let good: Vec<Json> = match kind {
        Kind::String => vec![json!("a"), json!("b"), json!("")],
        Kind::Bool => vec![json!(true), json!(false)],
        Kind::Int => vec![json!(1), json!(5), json!(-1), json!(9)],
        Kind::Set => vec![json!([]), json!(["a"]), json!(["b", "a"]), json!("a"), json!(["c"])],
        Kind::Ip => vec![json!("10.0.0.1"), json!("::1"), json!("::ffff:10.0.0.1"), json!("192.0.2.1")],
        Kind::Time => {
            vec![json!(1_800_000_000), json!("2027-01-15T08:00:00Z"), json!("2027-01-14T23:59:59Z"), json!(0)]
        }
        Kind::Node => vec![json!("a"), json!("a/b"), json!("a/b/c"), json!("ab")],
        Kind::Nets => vec![json!(["10.0.0.0/8"])],
    };
    let odd = vec![
        json!(null),
        json!({}),
        json!([]),
        json!({"a": "a"}),
        json!(["a", 1]),
        json!([["a"]]),
        json!("true"),
        json!("1"),
        json!(1.0),
        json!(1e300),
        json!(u64::MAX),
        json!(""),
        json!("a//b"),
        json!("a/b/c/d"),
        json!("A"),
        json!("a\u{0}"),
    ];
    prop_oneof![6 => select(good).prop_map(Some), 2 => Just(None), 2 => select(odd).prop_map(Some)]
}

fn claims() -> impl Strategy<Value = Map<String, Json>> {
    let facts: Vec<_> =
        FACTS.iter().filter_map(|fact| Some((fact.name.strip_prefix("token.")?, fact.kind))).collect();
    let members: Vec<_> = facts.iter().map(|(_, kind)| member(*kind).boxed()).collect();
    let role = select(&["role0", "role1", "role2", "boss", "chief", "nobody", "Role0", "anyone"][..]);
    let roles = prop_oneof![
        8 => vec(role, 0..4).prop_map(|all| Some(json!(all))),
        1 => Just(Some(json!("role0"))),
        1 => Just(Some(json!({"role0": true}))),
        1 => Just(None),
    ];
    let tid = prop_oneof![
        4 => Just(Some(json!("acme-1"))),
        1 => Just(Some(json!("other-1"))),
        1 => select(vec![None, Some(json!("none-1")), Some(json!(7)), Some(json!(null)), Some(json!(""))]),
    ];
    (members, roles, tid).prop_map(move |(values, roles, tid)| {
        let mut claims = Map::from_iter([("sub".to_owned(), json!("u"))]);
        claims.extend(roles.map(|own| ("roles".to_owned(), own)));
        claims.extend(tid.map(|own| ("tid".to_owned(), own)));
        for ((name, _), value) in facts.iter().zip(values) {
            let Some(value) = value else { continue };
            match name.split_once('.') {
                None => drop(claims.insert((*name).to_owned(), value)),
                Some((outer, inner)) => drop(claims.insert(outer.to_owned(), json!({ inner: value }))),
            }
        }
        claims
    })
}

const PATHS: &[&str] = &[
    "/g/things",
    "/g/things/a",
    "/g/things/mine",
    "/g/things/b/",
    "/g/things/%C3%A4",
    "/g/things/a/parts",
    "/g/things/mine/parts",
    "/g/files/x",
    "/g/files/x/y%20z",
    "/g/files",
    "/g",
    "/g/",
    "/g/anchor/a",
    "/g/none",
    "/",
];

pub(super) fn asks() -> impl Strategy<Value = Ask> {
    let method = select(&["GET", "GET", "GET", "POST", "PATCH", "DELETE", "HEAD", "PUT", "OPTIONS"][..]);
    let query = select(
        &[
            ("view", "a"),
            ("view", "b"),
            ("n", "1"),
            ("n", "x"),
            ("n", "7"),
            ("View", "a"),
            ("view[]", "a"),
            ("more", "%C3%A4"),
            ("view", ""),
        ][..],
    );
    let header = select(
        &[
            ("x-view", "a"),
            ("x-view", "b"),
            ("x-at", "a/b"),
            ("x-at", "a//b"),
            ("x-tenant", "acme-1"),
            ("x-tenant", "other-1"),
            ("x-tenant", "none-1"),
            ("x-more", "a"),
        ][..],
    );
    let client = select(&["10.0.0.1", "192.0.2.1", "::1", "::ffff:10.0.0.1", "2001:db8::1"][..])
        .prop_map(|text| text.parse().unwrap());
    let caller = (prop_oneof![15 => Just("keycloak"), 1 => Just("entra")], claims());
    (
        method,
        select(PATHS),
        vec(query, 0..3),
        vec(header, 0..3),
        client,
        1_799_900_000..1_800_100_000u64,
        weighted(0.95, caller),
    )
        .prop_map(|(method, path, query, headers, client, now, caller)| Ask {
            method,
            path,
            query,
            headers,
            client,
            now,
            caller,
        })
}
