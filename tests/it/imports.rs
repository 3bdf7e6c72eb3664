//! What is made of a Keycloak export, held against an evaluation of the export that knows nothing of rule files: whoever
//! is let in here is let in there, and where there lets in more, the report says so.

use gatewarden::analysis::posed::{Caller, Posed};
use gatewarden::authorize::Ruling;
use gatewarden::interchange::keycloak::{Export, Options, Stated, import};
use gatewarden::interchange::trial::compile_alone;
use gatewarden::interchange::{Report, Weight};
use gatewarden::request::{Host, Timestamp};
use gatewarden::snapshot::Snapshot;
use http::Method;
use std::process::{Command, Output};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use serde_json::{Value, json};

const ROLES: [&str; 4] = ["agent", "lead", "admin", "anyone"];
const STRATEGIES: [&str; 3] = ["UNANIMOUS", "AFFIRMATIVE", "CONSENSUS"];
const SCOPES: [&str; 2] = ["view", "manage"];

#[derive(Clone, Debug)]
enum Kind {
    /// Roles by index, with whether each is required.
    Roles(Vec<(usize, bool)>),
    /// Others by index, below its own.
    Aggregate(Vec<usize>, usize),
    /// A program and what it says.
    Program(bool),
}

#[derive(Clone, Debug)]
struct Policy {
    kind: Kind,
    negative: bool,
}

#[derive(Clone, Debug)]
struct Permission {
    /// Resources by index.
    resources: Vec<usize>,
    typed: bool,
    /// Scopes by index; none is a permission on whole resources.
    scopes: Option<Vec<usize>>,
    applied: Vec<usize>,
    strategy: usize,
}

#[derive(Clone, Debug)]
struct Client {
    policies: Vec<Policy>,
    permissions: Vec<Permission>,
    /// For each resource whether it has a type, and whether it has scopes.
    resources: Vec<(bool, bool)>,
    strategy: usize,
}

fn policy() -> impl Strategy<Value = Policy> {
    let roles = proptest::collection::vec((0..ROLES.len(), any::<bool>()), 0..3).prop_map(Kind::Roles);
    let aggregate = (proptest::collection::vec(0usize..6, 0..4), 0..STRATEGIES.len())
        .prop_map(|(of, how)| Kind::Aggregate(of, how));
    let kind = prop_oneof![5 => roles, 2 => aggregate, 1 => any::<bool>().prop_map(Kind::Program)];
    (kind, proptest::bool::weighted(0.25)).prop_map(|(kind, negative)| Policy { kind, negative })
}

fn permission() -> impl Strategy<Value = Permission> {
    let scopes = proptest::option::of(proptest::collection::vec(0..SCOPES.len(), 1..3));
    (
        proptest::collection::vec(0usize..3, 0..3),
        proptest::bool::weighted(0.25),
        scopes,
        proptest::collection::vec(0usize..6, 0..4),
        0..STRATEGIES.len(),
    )
        .prop_map(|(resources, typed, scopes, applied, strategy)| Permission {
            // What is about a type names no resource.
            resources: if typed { Vec::new() } else { resources },
            typed,
            scopes,
            applied,
            strategy,
        })
}

fn client() -> impl Strategy<Value = Client> {
    (
        proptest::collection::vec(policy(), 6),
        proptest::collection::vec(permission(), 1..6),
        proptest::collection::vec((any::<bool>(), proptest::bool::weighted(0.8)), 3),
        0..STRATEGIES.len(),
    )
        .prop_map(|(policies, permissions, resources, strategy)| Client {
            policies,
            permissions,
            resources,
            strategy,
        })
}

impl Client {
    fn export(&self) -> String {
        let list = |names: Vec<String>| Value::from(names).to_string();
        let of =
            |indices: &[usize], word: &str| list(indices.iter().map(|at| format!("{word}{at}")).collect());
        let mut policies: Vec<Value> = Vec::new();
        for (index, own) in self.policies.iter().enumerate() {
            let (kind, strategy, config) = match &own.kind {
                Kind::Roles(roles) => {
                    let roles: Vec<Value> = roles
                        .iter()
                        .map(|(role, required)| json!({ "id": ROLES[*role], "required": required }))
                        .collect();
                    ("role", 0, json!({ "roles": Value::from(roles).to_string() }))
                }
                Kind::Aggregate(parts, strategy) => {
                    ("aggregate", *strategy, json!({ "applyPolicies": of(&below(parts, index), "p") }))
                }
                Kind::Program(says) => ("js", 0, json!({ "code": says.to_string() })),
            };
            policies.push(json!({ "name": format!("p{index}"), "type": kind, "config": config,
                "logic": if own.negative { "NEGATIVE" } else { "POSITIVE" }, "decisionStrategy": STRATEGIES[strategy] }));
        }
        for (index, own) in self.permissions.iter().enumerate() {
            let mut config = json!({ "applyPolicies": of(&own.applied, "p") });
            if !own.resources.is_empty() {
                config["resources"] = of(&own.resources, "r").into();
            }
            if own.typed {
                config["defaultResourceType"] = "thing".into();
            }
            if let Some(scopes) = &own.scopes {
                config["scopes"] = list(scopes.iter().map(|at| SCOPES[*at].to_owned()).collect()).into();
            }
            policies.push(json!({ "name": format!("permission {index}"), "config": config, "logic": "POSITIVE",
                "type": if own.scopes.is_some() { "scope" } else { "resource" }, "decisionStrategy": STRATEGIES[own.strategy] }));
        }
        let resource = |(index, (typed, scoped)): (usize, &(bool, bool))| {
            let scopes: Vec<Value> =
                SCOPES.iter().filter(|_| *scoped).map(|name| json!({ "name": name })).collect();
            let mut own =
                json!({ "name": format!("r{index}"), "uris": [format!("/r{index}")], "scopes": scopes });
            if *typed {
                own["type"] = "thing".into();
            }
            own
        };
        let resources: Vec<Value> = self.resources.iter().enumerate().map(resource).collect();
        json!({ "clientId": "shop", "authorizationSettings": { "policyEnforcementMode": "ENFORCING",
            "decisionStrategy": STRATEGIES[self.strategy], "resources": resources, "policies": policies,
            "scopes": SCOPES.map(|name| json!({ "name": name })) } })
        .to_string()
    }

    /// Whether a policy lets in who has these roles.
    fn lets_in(&self, index: usize, roles: &[&str]) -> bool {
        let own = &self.policies[index];
        let says = match &own.kind {
            Kind::Roles(wanted) => {
                let has = |role: usize| roles.contains(&ROLES[role]);
                wanted.iter().all(|(role, required)| !required || has(*role))
                    && wanted.iter().any(|(role, _)| has(*role))
            }
            Kind::Aggregate(parts, strategy) => {
                self.combined(&below(parts, index), *strategy, roles).unwrap_or(false)
            }
            Kind::Program(says) => *says,
        };
        says != own.negative
    }

    /// Several policies by a strategy; nothing where there are none.
    fn combined(&self, parts: &[usize], strategy: usize, roles: &[&str]) -> Option<bool> {
        let mut parts = parts.to_vec();
        parts.sort_unstable();
        parts.dedup();
        let yes = parts.iter().filter(|index| self.lets_in(**index, roles)).count();
        (!parts.is_empty()).then_some(match STRATEGIES[strategy] {
            "UNANIMOUS" => yes == parts.len(),
            "AFFIRMATIVE" => yes > 0,
            _ => yes > parts.len() - yes,
        })
    }

    /// What the server collects from the permissions about one scope of a resource, step by step as it does.
    fn keycloak(&self, resource: usize, scope: Option<usize>, roles: &[&str]) -> bool {
        let has_type = self.resources[resource].0;
        let (mut granted, mut any_deny, mut by_resource, mut verified) = (false, false, false, false);
        let (mut denied, mut denied_typed) = (false, false);
        // Scope permissions come first, then those of a type, then those of the resource.
        let rank = |own: &&Permission| (own.scopes.is_none(), !own.typed);
        let mut ordered: Vec<&Permission> = self.permissions.iter().collect();
        ordered.sort_by_key(rank);
        for own in ordered {
            let contains = own.resources.contains(&resource);
            let about_scope = match (&own.scopes, scope) {
                (None, _) => true,
                (Some(scopes), Some(scope)) => scopes.contains(&scope),
                (Some(_), None) => false,
            };
            let about = contains
                || (own.typed && has_type)
                || (own.resources.is_empty() && !own.typed && own.scopes.is_some());
            if !about_scope || !about {
                continue;
            }
            let Some(says) = self.combined(&own.applied, own.strategy, roles) else { continue };
            verified = true;
            let is_resource = own.scopes.is_none();
            if says {
                granted |= scope.is_some();
                by_resource |= is_resource && contains;
                continue;
            }
            any_deny = true;
            if !is_resource {
                denied |= contains || own.resources.is_empty();
            } else if contains || !by_resource {
                let first_is_typed = own.resources.first().is_some_and(|first| self.resources[*first].0);
                if own.typed || first_is_typed {
                    denied_typed |= scope.is_some()
                } else {
                    denied |= scope.is_some()
                }
            }
        }
        if STRATEGIES[self.strategy] == "AFFIRMATIVE" {
            denied &= !granted;
        }
        if by_resource {
            denied_typed &= !granted;
            denied |= denied_typed;
        }
        if !denied {
            denied |= denied_typed;
        }
        let granted = granted && !denied;
        if !verified || (!by_resource && !granted && scope.is_some()) {
            return false;
        }
        !any_deny || granted
    }
}

/// Those before `index`, so that no aggregate rests on itself.
fn below(parts: &[usize], index: usize) -> Vec<usize> {
    parts.iter().copied().filter(|part| *part < index).collect()
}

fn options() -> Options {
    Options {
        issuer: "keycloak".into(),
        tenant: "default".into(),
        app: None,
        methods: Stated::new(),
        enforcer: None,
        time_zone: None,
    }
}

fn imported(text: &str) -> (Snapshot, Report, String) {
    let mut report = Report::default();
    let export = Export::read(text, None, &mut report).unwrap();
    let made = import(&export.realm, &export.clients[0], &options(), &mut report).unwrap();
    match compile_alone(&made.text, &made.around) {
        Ok(compiled) => (compiled.snapshot, report, made.text),
        Err((why, files)) => {
            panic!("{}\n{}", why.render(&files, gatewarden::config::diagnostic::Style::Plain), made.text)
        }
    }
}

/// Whether a token with these roles may do it.
fn is_allowed(snapshot: &Snapshot, method: Method, path: &str, roles: &[&str]) -> bool {
    let now = Timestamp(1_800_000_000);
    let mut posed = Posed::new(method, path, Host::parse("gateway.invalid").unwrap(), now);
    let claims = json!({ "sub": "7", "realm_access": { "roles": roles } });
    posed.caller = Caller::Claims("keycloak".into(), claims.as_object().unwrap().clone());
    posed.decide(snapshot, |_, ruling| matches!(ruling, Ruling::Permit(..))).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn nobody_is_let_in_whom_keycloak_refuses(client in client(), held in proptest::collection::vec(proptest::bool::ANY, ROLES.len())) {
        let (snapshot, report, text) = imported(&client.export());
        let roles: Vec<&str> = ROLES.iter().zip(&held).filter(|(_, held)| **held).map(|(role, _)| *role).collect();
        for resource in 0..client.resources.len() {
            for (scope, method) in [(0, Method::GET), (1, Method::PUT)] {
                let scope = client.resources[resource].1.then_some(scope);
                let there = client.keycloak(resource, scope, &roles);
                let here = is_allowed(&snapshot, method.clone(), &format!("/r{resource}"), &roles);
                prop_assert!(there || !here, "{method} /r{resource} as {roles:?} is refused there\n{text}\n{client:#?}");
                if there && !here {
                    let told = report.count(Weight::Denied) + report.count(Weight::Stricter);
                    prop_assert!(told > 0, "{method} /r{resource} as {roles:?} isn't told\n{text}\n{client:#?}");
                }
            }
        }
    }
}

/// Without programs, and where no permission can override another, both say the same.
#[test]
fn plain_exports_mean_the_same_here() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut compared = 0;
    for _ in 0..300 {
        let mut client = client().new_tree(&mut runner).unwrap().current();
        for own in &mut client.policies {
            if let Kind::Program(_) = own.kind {
                own.kind = Kind::Roles(vec![(0, false)]);
            }
        }
        client.resources.iter_mut().for_each(|own| own.0 = false);
        client.permissions.iter_mut().for_each(|own| own.typed = false);
        client.permissions.retain(|own| !own.applied.is_empty());
        let is_empty = |own: &Policy, index: usize| matches!(&own.kind, Kind::Aggregate(parts, _) if below(parts, index).is_empty());
        if client.policies.iter().enumerate().any(|(index, own)| is_empty(own, index)) {
            continue;
        }
        let (snapshot, _, text) = imported(&client.export());
        for mask in 0..1 << ROLES.len() {
            let roles: Vec<&str> = ROLES
                .iter()
                .enumerate()
                .filter(|(bit, _)| mask >> bit & 1 == 1)
                .map(|(_, role)| *role)
                .collect();
            for resource in 0..client.resources.len() {
                for (scope, method) in [(0, Method::GET), (1, Method::PUT)] {
                    let scope = client.resources[resource].1.then_some(scope);
                    let there = client.keycloak(resource, scope, &roles);
                    let here = is_allowed(&snapshot, method.clone(), &format!("/r{resource}"), &roles);
                    assert_eq!(here, there, "{method} /r{resource} as {roles:?}\n{text}\n{client:#?}");
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 5_000, "{compared}");
}

fn gatewarden(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gatewarden"))
        .args(arguments)
        .env_remove("GATEWARDEN_CONFIG")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap()
}

/// Runs, and holds the exit code and words on both outputs against what is expected.
#[track_caller]
fn says(arguments: &[&str], code: i32, words: &[&str]) -> String {
    let output = gatewarden(arguments);
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{out}\n{err}");
    for word in words {
        assert!(out.contains(word) || err.contains(word), "{arguments:?}: no {word:?} in\n{out}\n{err}");
    }
    out
}

#[test]
fn what_is_imported_is_written_with_its_report_and_then_covered() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let client = Client {
        policies: vec![Policy { kind: Kind::Roles(vec![(0, false)]), negative: false }],
        permissions: vec![Permission {
            resources: vec![0],
            typed: false,
            scopes: Some(vec![0]),
            applied: vec![0],
            strategy: 0,
        }],
        resources: vec![(false, true)],
        strategy: 0,
    };
    std::fs::write(at("export.json"), client.export()).unwrap();
    says(
        &["import", "keycloak", &at("export.json")],
        0,
        &["[role.agent]\nview = [\"r0\"]", "GW6018", "# gateway.toml"],
    );
    let arguments = [
        "import",
        "keycloak",
        &at("export.json"),
        "-o",
        &at("rules"),
        "--report",
        &at("r.json"),
        "--format",
        "md",
    ];
    says(&arguments, 0, &["| GW6018 |", "written: "]);
    says(&arguments, 2, &["is there already"]);
    let report: Value = serde_json::from_str(&std::fs::read_to_string(at("r.json")).unwrap()).unwrap();
    assert_eq!(report["schema"], "gatewarden.import.keycloak/1");
    std::fs::write(
        at("gateway.toml"),
        report["needs"].as_str().unwrap().split("# rules/tenants.toml").next().unwrap(),
    )
    .unwrap();
    let tenants = report["needs"].as_str().unwrap().split("# rules/tenants.toml").nth(1).unwrap();
    std::fs::write(place.path().join("rules/tenants.toml"), tenants).unwrap();
    says(&["check", "--config", &at("gateway.toml")], 0, &["ok: 3 files, 1 app"]);
    std::fs::write(
        at("api.yaml"),
        "openapi: 3.1.0\ninfo: { title: R }\npaths: { /r0: { get: {}, trace: {} }, /r1: { get: {} } }\n",
    )
    .unwrap();
    says(
        &["coverage", &at("api.yaml"), "--config", &at("gateway.toml")],
        1,
        &["1 of 2 operations", "GET     /r1", "PUT     /r0", "GW6102"],
    );
    says(
        &["import", "openapi", &at("api.yaml"), "-o", &at("rules"), "--app", "other"],
        0,
        &["GW6101", "written: "],
    );
    says(&["import", "keycloak", &at("api.yaml")], 3, &["this is no JSON"]);
    says(&["import", "keycloak", &at("gone.json")], 4, &["gone.json"]);
    says(&["import", "keycloak", &at("export.json"), "--methods", "view=LOOK"], 2, &["`LOOK` is no method"]);
}

#[test]
fn the_rules_are_written_for_editors_and_for_another_engine() {
    let schema: Value =
        serde_json::from_str(&says(&["schema", "rules", "--with-names"], 0, &["supervisor"])).unwrap();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    for file in ["tenants", "gateway"] {
        says(&["schema", file], 0, &["additionalProperties"]);
    }
    let text = says(
        &["export", "cedar"],
        0,
        &[
            "permit (principal in AgentDesk::Role::\"agent\", action in [AgentDesk::Action::\"",
            "context has \"token.tid\" && context has \"tenant.ids\"",
            "// - GET /calling/calls: a condition becomes a filter",
        ],
    );
    // Whatever is read is asked for first.
    for line in text.lines().filter(|line| line.contains("context[")) {
        for read in line.split("context[").skip(1).filter_map(|rest| rest.split(']').next()) {
            assert!(line.contains(&format!("context has {read}")), "{read} in {line}");
        }
    }
    says(
        &["export", "cedar", "--schema", "--app", "calling"],
        0,
        &["entity Caller in [Role];", "\"client.ip\"?: ipaddr"],
    );
    says(&["export", "cedar", "--app", "gone"], 2, &["there is no app `gone`"]);
}

#[test]
fn files_are_laid_out_or_left_alone() {
    says(&["fmt", "--check"], 0, &[]);
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("x.toml").to_str().unwrap().to_owned();
    std::fs::write(&path, "a=1\n\n\nlong = [ 2,3 ] # why\n").unwrap();
    says(&["fmt", &path, "--check"], 1, &["x.toml"]);
    says(&["fmt", &path, "--diff"], 1, &["-a=1\n+a = 1", "+long = [2, 3]  # why"]);
    says(&["fmt", &path], 0, &["x.toml"]);
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "a = 1\n\nlong = [2, 3] # why\n".replace("] #", "]  #")
    );
    says(&["fmt", &path, "--check"], 0, &[]);
    std::fs::write(&path, "a = \n").unwrap();
    says(&["fmt", &path], 3, &["isn't TOML", "GW0001", "x.toml:1:"]);
}
