//! Generated policies against a naive evaluator that is written from the design and knows nothing of bits, tries or
//! indices: it walks the rules as a reader would.

use std::collections::BTreeSet;
use std::sync::Arc;

use gatewarden::authorize::{Ruling, Supposed, suppose};
use gatewarden::config::Sources;
use gatewarden::request::{CanonicalPath, Host, Query, RequestView};
use gatewarden::snapshot::Snapshot;
use gatewarden::token::{IssuerKind, VerifiedToken};
use http::{HeaderMap, Method};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{compiled, file};

/// What a fact of the caller is: known one way, known the other way, or absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Yes,
    No,
    Absent,
}

#[derive(Clone, Debug)]
enum Test {
    Fact(usize),
    Not(Box<Test>),
    All(Vec<Test>),
    Any(Vec<Test>),
}

impl Test {
    fn toml(&self) -> String {
        let list = |parts: &[Test]| parts.iter().map(Test::toml).collect::<Vec<_>>().join(", ");
        match self {
            Self::Fact(index) => format!("\"token.f{index} = 'yes'\""),
            Self::Not(part) => format!("{{ not = {} }}", part.toml()),
            Self::All(parts) => format!("{{ all = [{}] }}", list(parts)),
            Self::Any(parts) => format!("{{ any = [{}] }}", list(parts)),
        }
    }

    /// `Some(true)` is the only answer that grants; `None` is unknown, and stays so under `not`.
    fn says(&self, facts: &[Known]) -> Option<bool> {
        match self {
            Self::Fact(index) => match facts[*index] {
                Known::Yes => Some(true),
                Known::No => Some(false),
                Known::Absent => None,
            },
            Self::Not(part) => part.says(facts).map(|truth| !truth),
            Self::All(parts) => {
                let all: Vec<_> = parts.iter().map(|part| part.says(facts)).collect();
                if all.contains(&Some(false)) {
                    Some(false)
                } else {
                    all.into_iter().collect::<Option<Vec<_>>>().map(|_| true)
                }
            }
            Self::Any(parts) => {
                let any: Vec<_> = parts.iter().map(|part| part.says(facts)).collect();
                if any.contains(&Some(true)) {
                    Some(true)
                } else {
                    any.into_iter().collect::<Option<Vec<_>>>().map(|_| false)
                }
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Term {
    All,
    Resource(usize, Vec<usize>),
    Not(usize),
}

#[derive(Clone, Debug)]
struct Policy {
    /// Per resource: reserved, and per scope (view, manage) which of its four operations it permits.
    resources: Vec<(bool, [BTreeSet<usize>; 2])>,
    tests: Vec<Test>,
    required: Vec<usize>,
    /// Per role: `only`, and per scope its terms.
    roles: Vec<(Option<usize>, [Vec<Term>; 2])>,
}

const SCOPES: [&str; 2] = ["view", "manage"];
const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
const FACTS: usize = 3;
const ROLES: usize = 3;

impl Policy {
    fn toml(&self) -> String {
        let mut text = "app = \"generated\"\nbase = \"/g\"\nissuer = \"keycloak\"\nroles = \"token.roles\"\ntenant = \"t\"\n[facts.token]\nroles = \"set\"\n".to_owned();
        (0..FACTS).for_each(|fact| text.push_str(&format!("f{fact} = \"string\"\n")));
        text.push_str("[when]\n");
        self.tests
            .iter()
            .enumerate()
            .for_each(|(index, test)| text.push_str(&format!("c{index} = {}\n", test.toml())));
        text.push_str("[require]\n");
        self.required
            .iter()
            .enumerate()
            .for_each(|(index, test)| text.push_str(&format!("q{index} = \"c{test}\"\n")));
        for (index, (reserved, scopes)) in self.resources.iter().enumerate() {
            text.push_str(&format!("[resource.r{index}]\n"));
            if *reserved {
                text.push_str("reserved = true\n");
            }
            for (scope, operations) in SCOPES.iter().zip(scopes) {
                let routes: Vec<_> =
                    operations.iter().map(|own| format!("\"{} /r{index}/{{id}}\"", METHODS[*own])).collect();
                text.push_str(&format!("{scope} = [{}]\n", routes.join(", ")));
            }
        }
        for (index, (only, scopes)) in self.roles.iter().enumerate() {
            text.push_str(&format!("[role.role{index}]\n"));
            only.iter().for_each(|test| text.push_str(&format!("only = \"c{test}\"\n")));
            for (scope, terms) in SCOPES.iter().zip(scopes) {
                // Naming what is reserved is a mistake of its own.
                let open = |term: &&Term| !matches!(term, Term::Resource(own, _) if self.resources[*own].0);
                let terms: Vec<_> = terms
                    .iter()
                    .filter(open)
                    .map(|term| match term {
                        Term::All => "\"*\"".to_owned(),
                        Term::Not(resource) => format!("\"!r{resource}\""),
                        Term::Resource(resource, tests) if tests.is_empty() => format!("\"r{resource}\""),
                        Term::Resource(resource, tests) => {
                            let tests: Vec<_> = tests.iter().map(|test| format!("c{test}")).collect();
                            format!("\"r{resource} if {}\"", tests.join(", "))
                        }
                    })
                    .collect();
                text.push_str(&format!("{scope} = [{}]\n", terms.join(", ")));
            }
        }
        text
    }

    /// The whole of the rules in one breath: every requirement holds, and some held role has, in some scope that
    /// permits the operation, a term for the resource that isn't excluded there and whose every condition holds.
    fn allows(&self, roles: &BTreeSet<usize>, facts: &[Known], resource: usize, operation: usize) -> bool {
        let holds = |test: &usize| self.tests[*test].says(facts) == Some(true);
        let (reserved, scopes) = &self.resources[resource];
        let grants = |role: &usize, scope: usize| {
            let (only, terms) = &self.roles[*role];
            let terms = &terms[scope];
            let excluded = terms.iter().any(|term| matches!(term, Term::Not(own) if *own == resource));
            let matches = |term: &Term| match term {
                Term::All => !reserved,
                Term::Resource(own, tests) => !reserved && *own == resource && tests.iter().all(holds),
                Term::Not(_) => false,
            };
            !excluded && only.iter().all(holds) && terms.iter().any(matches)
        };
        let permitted = roles
            .iter()
            .any(|role| (0..2).any(|scope| scopes[scope].contains(&operation) && grants(role, scope)));
        permitted && self.required.iter().all(holds)
    }
}

fn tests() -> impl Strategy<Value = Test> {
    let leaf = (0..FACTS).prop_map(Test::Fact);
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|part| Test::Not(Box::new(part))),
            proptest::collection::vec(inner.clone(), 1..3).prop_map(Test::All),
            proptest::collection::vec(inner, 1..3).prop_map(Test::Any),
        ]
    })
}

fn policies() -> impl Strategy<Value = Policy> {
    let operations = || proptest::collection::btree_set(0..4usize, 0..4);
    let resources = proptest::collection::vec((any::<bool>(), [operations(), operations()]), 1..4);
    (resources, proptest::collection::vec(tests(), 1..4)).prop_flat_map(|(resources, tests)| {
        let (resource, test) = (0..resources.len(), 0..tests.len());
        let term = prop_oneof![
            1 => Just(Term::All),
            4 => (resource.clone(), proptest::collection::vec(test.clone(), 0..3)).prop_map(|(own, tests)| Term::Resource(own, tests)),
            1 => resource.prop_map(Term::Not),
        ];
        let terms = || proptest::collection::vec(term.clone(), 0..4);
        let role = (proptest::option::weighted(0.3, test.clone()), [terms(), terms()]);
        let roles = proptest::collection::vec(role, ROLES);
        let required = proptest::collection::vec(test, 0..2);
        (Just(resources), Just(tests), required, roles)
            .prop_map(|(resources, tests, required, roles)| Policy { resources, tests, required, roles })
    })
}

fn snapshot(policy: &Policy) -> Arc<Snapshot> {
    let tenants = "[tenant.t]\nids = [\"t\"]\napps = [\"generated\"]\n";
    let files = vec![
        file("gateway.toml", super::GATEWAY),
        file("rules/g.toml", &policy.toml()),
        file("rules/tenants.toml", tenants),
    ];
    compiled(&Sources { files, hash: String::new() })
}

fn decided(
    snapshot: &Snapshot,
    roles: &BTreeSet<usize>,
    facts: &[Known],
    resource: usize,
    method: &str,
) -> bool {
    let mut claims = Map::from_iter([("sub".to_owned(), json!("u"))]);
    claims.insert("roles".into(), roles.iter().map(|role| Value::from(format!("role{role}"))).collect());
    for (index, known) in facts.iter().enumerate() {
        match known {
            Known::Yes => drop(claims.insert(format!("f{index}"), json!("yes"))),
            Known::No => drop(claims.insert(format!("f{index}"), json!("no"))),
            Known::Absent => {}
        }
    }
    let path = format!("/g/r{resource}/7");
    let host = Host::parse("h").unwrap();
    let view = RequestView {
        method: &Method::from_bytes(method.as_bytes()).unwrap(),
        host: &host,
        path: &CanonicalPath::parse(&path).unwrap(),
        query: Query::parse("").unwrap(),
        headers: &HeaderMap::new(),
        client: [127, 0, 0, 1].into(),
        certificate: None,
    };
    let caller = Arc::new(VerifiedToken::hypothetical("keycloak".into(), IssuerKind::Keycloak, claims));
    matches!(suppose(snapshot, &view, Some(caller), Supposed::default()), Ruling::Permit(..))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_compiled_policy_says_what_the_rules_say(
        policy in policies(),
        held in proptest::collection::vec(proptest::collection::btree_set(0..ROLES, 0..=ROLES), 3),
        facts in proptest::collection::vec(proptest::collection::vec(prop_oneof![Just(Known::Yes), Just(Known::No), Just(Known::Absent)], FACTS), 3),
    ) {
        let snapshot = snapshot(&policy);
        for roles in &held {
            for facts in &facts {
                for resource in 0..policy.resources.len() {
                    for (operation, method) in METHODS.iter().enumerate() {
                        let expected = policy.allows(roles, facts, resource, operation);
                        let found = decided(&snapshot, roles, facts, resource, method);
                        prop_assert_eq!(found, expected, "{} r{} as {:?} knowing {:?}\n{}", method, resource, roles, facts, policy.toml());
                        if found {
                            let all: BTreeSet<usize> = (0..ROLES).collect();
                            prop_assert!(decided(&snapshot, &all, facts, resource, method), "more roles, less access\n{}", policy.toml());
                        }
                    }
                }
            }
        }
    }
}
