//! Policies, tenants and requests at random, small and often alike, so that tests hold about as often as not.

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value as Json, json};

use super::model::{Acting, Cond, Form, NARROWABLE, On, Policy, Requirement, Resource, Role, Term};
use super::obligations::{Filter, Mask, Narrow, Obligations, Seat};
use super::value::Kind;
use super::words::{FACTS, LEAVES, OPERATIONS, SCOPES, namespace, place};
use super::world::{Answer, Ask, Tenant};

/// Two that may become filters, and four others.
const CONDITIONS: usize = NARROWABLE + 4;

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
    let until = select(&["2027-01-15", "2027-01-16", "2026-12-31", "2027-02-28"][..]);
    let term = prop_oneof![
        1 => Just(Term::Every),
        5 => (0..resources, vec(0..CONDITIONS, 0..3), weighted(0.2, until))
            .prop_map(|(resource, conditions, until)| Term::One { resource, conditions, until }),
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

fn leaf(text: &str) -> Cond {
    Cond::Leaf(LEAVES.iter().position(|own| own.text() == text).unwrap())
}

fn obligations() -> impl Strategy<Value = Obligations> {
    let pattern = || select(&["* *", "GET *", "* /things...", "GET /things", "PUT /anchor/{id}"][..]);
    let mask = (
        pattern(),
        weighted(0.2, pattern()),
        select(&["/secret", "/items/*/key"][..]),
        weighted(0.7, (0..3usize, weighted(0.5, 0..SCOPES.len()))),
    )
        .prop_map(|(on, except, field, unless)| Mask { on, except, field, unless });
    // Most narrowings are of the list, where the object isn't known.
    let narrow =
        (0..NARROWABLE, select(&[0usize, 0, 4, 8][..])).prop_map(|(condition, on)| Narrow { condition, on });
    let things: Vec<usize> =
        (0..LEAVES.len()).filter(|own| namespace(LEAVES[*own].fact.name) == "thing").collect();
    let keep = (select(things), conditions(), 0..3).prop_map(|(thing, other, how)| match how {
        0 => Cond::Leaf(thing),
        1 => Cond::Any(vec![Cond::Leaf(thing), other]),
        _ => Cond::All(vec![other, Cond::Leaf(thing)]),
    });
    let filter = (select(&[0usize, 4, 1, 5][..]), keep).prop_map(|(on, keep)| Filter { on, keep });
    let fields = proptest::sample::subsequence(vec!["/org", "/tags/*", "/in", "/n"], 0..4);
    let body = (select(&[2usize, 3, 9][..]), fields);
    let value =
        select(&["header.x-view", "token.org", "tenant.plan", "token.level", "me.rank", "client.ip"][..]);
    let inject = (select(&["x-view", "X-Told"][..]), value);
    (vec(narrow, 0..3), weighted(0.3, filter), vec(mask, 0..3), weighted(0.3, body), weighted(0.3, inject))
        .prop_map(|(narrows, filter, masks, body, inject)| Obligations {
            narrows,
            filter,
            masks,
            body,
            inject,
        })
}

/// What is read before any role counts.
fn heads()
-> impl Strategy<Value = (Vec<Cond>, Vec<Requirement>, Acting, bool, std::collections::BTreeSet<usize>)> {
    let on = prop_oneof![Just(On::Parameter), (0..OPERATIONS.len()).prop_map(On::Operation)];
    let requirement = (0..CONDITIONS, vec(on, 0..3), any::<bool>())
        .prop_map(|(is, on, step_up)| Requirement { is, on, step_up });
    let acting = prop_oneof![
        3 => Just(Acting::Constant),
        1 => Just(Acting::Own),
        2 => (0..CONDITIONS).prop_map(|proven_by| Acting::Named { proven_by }),
    ];
    let conditions = vec(conditions(), CONDITIONS - NARROWABLE).prop_map(|own| {
        let narrowable = vec![leaf("thing.owner = token.org"), leaf("thing.team = tenant.plan")];
        narrowable.into_iter().chain(own).collect()
    });
    let asks_roles = prop_oneof![4 => Just(false), 1 => Just(true)];
    (conditions, vec(requirement, 0..3), acting, asks_roles, btree_set(0..FACTS.len(), 0..FACTS.len()))
}

pub(super) fn policies() -> impl Strategy<Value = Policy> {
    let form = prop_oneof![3 => Just(Form::Resources), 1 => Just(Form::Matrix)];
    let seat = prop_oneof![Just(Seat::Always), (0..CONDITIONS).prop_map(Seat::If)];
    let seats = btree_map((0..3usize, 0..SCOPES.len()), seat, 0..3);
    resources().prop_flat_map(move |resources| {
        let count = resources.len();
        let roles = (vec(roles(count), 3), weighted(0.3, roles(count)));
        let public = btree_set(0..OPERATIONS.len(), 0..2);
        (Just(resources), heads(), roles, public, form.clone(), (obligations(), seats.clone())).prop_map(
            |(resources, head, (roles, anyone), public, form, (carried, seats))| {
                let (conditions, requirements, acting, asks_roles, defaults) = head;
                let anyone = anyone.map(|role| Role { claims: vec![], ..role });
                let own = Policy {
                    asks_roles,
                    defaults,
                    conditions,
                    requirements,
                    acting,
                    public,
                    form,
                    resources,
                    roles,
                    anyone,
                    carried,
                    seats,
                };
                own.tidied()
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
    let long = "x".repeat(257);
    let odd = vec![
        json!(""),
        json!(".."),
        json!("a/b"),
        json!("50%"),
        json!("a\n"),
        json!(long),
        json!(7),
        json!(null),
    ];
    let sub = prop_oneof![9 => select(vec![json!("u"), json!("a b"), json!("ä|+")]), 1 => select(odd)];
    (members, roles, tid, sub).prop_map(move |(values, roles, tid, sub)| {
        let mut claims = Map::from_iter([("sub".to_owned(), sub)]);
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
    let seated = prop_oneof![3 => Just(true), 1 => Just(false)];
    let world = (document("body"), answers(), seated, vec(document("thing"), 4));
    let line = (method, select(PATHS), vec(query, 0..3), vec(header, 0..3), client);
    (line, 1_799_900_000..1_800_100_000u64, weighted(0.95, caller), world).prop_map(
        |(line, now, caller, world)| {
            let (method, path, query, headers, client) = line;
            let (body, answers, seated, elements) = world;
            Ask { method, path, query, headers, client, now, caller, body, answers, seated, elements }
        },
    )
}

/// A document that holds the facts of a namespace: most of them well, some not at all, in another type or another case.
fn document(source: &'static str) -> impl Strategy<Value = Json> {
    let facts: Vec<_> = FACTS.iter().filter(|fact| namespace(fact.name) == source).collect();
    let members: Vec<_> = facts.iter().map(|fact| (member(fact.kind), 0..24).boxed()).collect();
    let role = select(&["role0", "role1", "boss", "chief", "nobody"][..]);
    let roles = prop_oneof![
        8 => vec(role, 0..4).prop_map(|all| json!(all)),
        1 => Just(json!({"role0": true})),
        1 => Just(json!("role1")),
    ];
    let odd = vec![
        json!(null),
        json!([]),
        json!("x"),
        json!(0),
        json!([[{}]]),
        json!({"": {}}),
        json!({"other": 1}),
    ];
    let whole = (members, roles).prop_map(move |(values, roles)| {
        let mut own = Map::new();
        if source == "me" {
            own.insert("roles".into(), roles);
        }
        for (fact, (value, odd)) in facts.iter().zip(values) {
            let Some(value) = value else { continue };
            let (outer, value) = match place(fact.name).as_slice() {
                [outer] => ((*outer).to_owned(), value),
                [outer, "0"] => ((*outer).to_owned(), json!([value])),
                [outer, inner] => ((*outer).to_owned(), json!({ *inner: value })),
                _ => panic!("no place"),
            };
            own.insert(if odd == 23 { outer.to_uppercase() } else { outer }, value);
        }
        Json::Object(own)
    });
    prop_oneof![9 => whole, 1 => select(odd)]
}

fn answers() -> impl Strategy<Value = Vec<(&'static str, Answer)>> {
    let one = |name: &'static str| {
        let answer = prop_oneof![
            7 => document(name).prop_map(Answer::Found),
            1 => Just(Answer::Nothing),
            2 => Just(Answer::None),
        ];
        answer.prop_map(move |answer| (name, answer))
    };
    (one("thing"), one("owner"), one("me")).prop_map(|(thing, owner, me)| vec![thing, owner, me])
}
