//! Changes that widen in a way that is easily overlooked: each is told as widening, with a request that shows it wherever
//! the question is decided.

use gatewarden::analysis::diff::{SnapshotDiff, diff};
use gatewarden::config::{Carried, FileKind, SourceFile, compile};
use gatewarden::control::sources;
use gatewarden::request::Timestamp;
use gatewarden::snapshot::Snapshot;

const GATEWAY: &str = r#"
[issuers.kc]
kind = "keycloak"
issuer = "https://sso.example/realm"
audience = ["x"]
metadata = "https://sso.example/x"
[upstreams.a]
at = ["/a", "/z"]
servers = ["http://127.0.0.1:7001"]
"#;
const TENANTS: &str = r#"
[tenant.default]
ids = ["default"]
apps = ["a"]
"#;
const HEAD: &str = r#"
app = "a"
base = "/a"
issuer = "kc"
roles = "token.roles"
tenant = "default"
"#;
const FACTS: &str = r#"
[facts.token]
roles = "set"
x = "string"
y = "string"
z = "string"
n1 = "int"
n2 = "int"
n3 = "int"
n4 = "int"
i = "ip"
j = "ip"
t = "time"
u = "time"
g = "set"
h = "set"
n = "node"
m = "node"
"#;
/// A condition that never holds.
const NEVER: &str = r#"{ all = ["token.x = 'q'", "token.x = 'r'"] }"#;

/// A set of files by name and text.
fn snapshot(files: &[(&str, &str)]) -> Snapshot {
    let all = std::iter::once(("gateway.toml", GATEWAY)).chain(files.iter().copied());
    let file = |(name, text): (&str, &str)| {
        let kind = match name {
            "gateway.toml" => FileKind::Gateway,
            "tenants.toml" => FileKind::Tenants,
            _ => FileKind::Rules,
        };
        let path = if name == "gateway.toml" { name.to_owned() } else { format!("rules/{name}") };
        SourceFile { kind, path: path.into(), text: text.to_owned() }
    };
    let sources = sources::of(all.map(file).collect());
    match compile(&sources, Carried::nothing_at(Timestamp(1_767_225_600))) {
        Ok(compiled) => compiled.snapshot,
        Err(why) => panic!("{why:?}\n{files:?}"),
    }
}

fn compared(tenants: (&str, &str), old: &str, new: &str) -> SnapshotDiff {
    let old = snapshot(&[("tenants.toml", tenants.0), ("a.toml", old)]);
    let new = snapshot(&[("tenants.toml", tenants.1), ("a.toml", new)]);
    assert!(diff(&old, &old).is_empty());
    diff(&old, &new)
}

#[track_caller]
fn widens(name: &str, found: &SnapshotDiff) {
    assert!(found.widens(), "{name}: {}", found.to_text());
    for row in found.access.iter().filter(|row| row.decided) {
        assert!(row.is_confirmed(), "{name}: {}", found.to_text());
    }
}

/// One operation under a condition.
fn conditional(condition: &str) -> String {
    format!(
        "{HEAD}{FACTS}[facts.header]\nx-k = \"string\"\n[when]\nc1 = {condition}\n[resource.thing]\n\
         view = [\"GET /things/{{id}}\", \"GET /files/{{rest...}}\"]\nsee = [\"GET /things/me\"]\n\
         [role.user]\nview = [\"thing if c1\"]\n"
    )
}

#[test]
fn what_only_values_of_their_own_tell_apart_is_found() {
    let rows = [
        (
            "two of one list",
            NEVER,
            r#"{ all = ["token.x in ['k','l']", "token.y in ['k','l']", "token.x != token.y"] }"#,
        ),
        (
            "three of one list",
            NEVER,
            r#"{ all = ["token.x in ['k','l','m']", "token.y in ['k','l','m']", "token.z in ['k','l','m']", "token.x != token.y", "token.y != token.z", "token.x != token.z"] }"#,
        ),
        (
            "numbers in a row",
            NEVER,
            r#"{ all = ["token.n1 < token.n2", "token.n2 < token.n3", "token.n3 < token.n4"] }"#,
        ),
        (
            "numbers below nothing",
            NEVER,
            r#"{ all = ["token.n1 < 0", "token.n2 < token.n1", "token.n3 < token.n2"] }"#,
        ),
        (
            "places below each other",
            NEVER,
            r#"{ all = ["token.n under token.m", "token.m under 'a'", "token.n != token.m", "token.m != 'a'", "token.m != 'a/below'"] }"#,
        ),
        (
            "places beside each other",
            NEVER,
            r#"{ all = ["token.n under 'a'", "token.m under 'a'", "token.n != token.m", "token.n != 'a'", "token.m != 'a'", { not = "token.n under token.m" }, { not = "token.m under token.n" }] }"#,
        ),
        (
            "a list of places",
            r#"{ all = ["token.n in ['a/b','c']", "token.n under 'a'"] }"#,
            r#""token.n in ['a/b','c']""#,
        ),
        (
            "addresses of one network",
            NEVER,
            r#"{ all = ["token.i within ['10.0.0.0/8']", "token.j within ['10.0.0.0/8']", "token.i != token.j"] }"#,
        ),
        (
            "times in a row",
            NEVER,
            r#"{ all = ["token.t < token.u", "token.t > '2031-03-03T10:00:00Z'", "token.u < '2031-03-03T10:05:00Z'"] }"#,
        ),
        (
            "members of a set",
            NEVER,
            r#"{ all = ["token.x in token.g", "token.y in token.g", "token.x in ['k','l']", "token.y in ['k','l']", "token.x != token.y"] }"#,
        ),
        (
            "a header that can't be sent",
            r#""header.x-k in ['a']""#,
            r#""header.x-k in ['a', '\u0001bad', 'zok']""#,
        ),
        ("a path that leads elsewhere", r#""path.id in ['x']""#, r#""path.id in ['x', 'me', 'zz']""#),
        ("a path with a slash", r#""path.id in ['x']""#, r#""path.id in ['x', 'a/b', 'zz']""#),
        (
            "the path and a claim",
            NEVER,
            r#"{ all = ["path.id = token.x", "token.x in ['k','l']", "path.id != 'k'"] }"#,
        ),
        ("a role that the roles are asked for", NEVER, r#""token.roles has 'boss'""#),
    ];
    for (name, old, new) in rows {
        let new = new.replace("\\\\u", "\\u");
        // A path is read where there is one.
        let of = |condition: &str| {
            let text = conditional(condition);
            if condition.contains("path.id") || new.contains("path.id") {
                text.replace(", \"GET /files/{rest...}\"", "")
            } else {
                text
            }
        };
        widens(name, &compared((TENANTS, TENANTS), &of(old), &of(&new)));
    }
}

#[test]
fn the_rest_of_a_path_is_asked_for_by_name() {
    let of = |condition: &str| conditional(condition).replace("\"GET /things/{id}\", ", "");
    let found =
        compared((TENANTS, TENANTS), &of(r#""path.rest = 'x/y'""#), &of(r#""path.rest in ['x/y', 'z/w']""#));
    widens("rest", &found);
}

const GUESTS: &str = r#"
[tenant.acme]
ids = ["acme"]
apps = ["a"]
[tenant.acme.settings]
guests = ["x", "y"]
[organisation.x]
ids = ["x"]
[organisation.y]
ids = ["y"]
"#;

#[test]
fn whose_call_it_is_is_found_beside_the_guests_list() {
    let of = |conditions: &str| {
        HEAD.replace("\"default\"", "\"acme\"")
            + &format!(
                r#"
[facts.token]
roles = "set"
tid = "string"
[facts.tenant]
guests = "set"
[facts.call]
get = "/calls/{{path.call}}"
ttl = "5s"
owner = {{ at = "/owner", type = "string" }}
[when]
guest = "token.tid in tenant.guests"
a-guests-call = "call.owner in tenant.guests"
own = "call.owner = token.tid"
[resource.calls]
view = ["GET /calls/{{call}}"]
[role.guest]
view = ["calls if {conditions}"]
"#
            )
    };
    let found = compared((GUESTS, GUESTS), &of("guest, a-guests-call, own"), &of("guest, a-guests-call"));
    widens("guests", &found);
}

#[test]
fn callers_with_two_roles_are_asked_about() {
    let of = |view: &str| {
        format!(
            "{HEAD}[facts.token]\nroles = \"set\"\n[when]\nlead = \"token.roles has 'boss'\"\n[resource.t]\n\
             view = [\"GET /t\"]\n[role.user]\nview = [{view}]\n[role.boss]\nview = []\n"
        )
    };
    let found = compared((TENANTS, TENANTS), &of(""), &of("\"t if lead\""));
    widens("roles", &found);
    assert!(
        found.to_text().contains("user and boss") || found.to_text().contains("boss and user"),
        "{}",
        found.to_text()
    );
    let of = |unless: &str, keeper: &str| {
        format!(
            "{HEAD}[facts.token]\nroles = \"set\"\n[mask]\n\"GET /t\" = {{ fields = [\"/secret\"], unless = \
             \"{unless}\" }}\n[resource.t]\nview = [\"GET /t\"]\n[resource.key]\nsee = [\"GET /key\"]\n\
             [resource.key2]\nsee = [\"GET /key2\"]\n[role.user]\nview = [\"t\"]\n[role.keeper]\nsee = [{keeper}]\n"
        )
    };
    widens("unless", &compared((TENANTS, TENANTS), &of("key2", "\"key\""), &of("key", "\"key\"")));
    widens("grant", &compared((TENANTS, TENANTS), &of("key2", "\"key\""), &of("key2", "\"key\", \"key2\"")));
    let less = compared((TENANTS, TENANTS), &of("key2", "\"key\", \"key2\""), &of("key2", "\"key\""));
    assert!(!less.access.iter().any(|row| row.detail.contains("shown")), "{}", less.to_text());
}

#[test]
fn what_shared_routes_carry_along_is_the_deciding_apps() {
    let mask = |unless: &str| format!("[mask]\n\"GET PATH\" = {{ fields = [\"/secret\"]{unless} }}\n");
    let set = |mask_a: &str, mask_b: &str, grants: &str, more: &str| {
        let a = format!(
            "{HEAD}shared-with = [\"b\"]\n[facts.token]\nroles = \"set\"\n{}[resource.thing]\nview = [\"GET \
             /things\"]\n[resource.ring]\nsee = [\"GET /ring\"]\n[role.user]\nview = [\"thing\"]\n",
            mask_a.replace("PATH", "/things")
        );
        let b = format!(
            "{}owns = [\"/z\"]\n[facts.token]\nroles = \"set\"\n{}[resource.thing]\nview = [\"GET \
             /a/things\"]\n[resource.zing]\nview = [\"GET /z/zing\"]\nsee = [\"GET /z/zingo\"]\n\
             [role.user]\nview = [{grants}]\n{more}",
            HEAD.replace("app = \"a\"", "app = \"b\"").replace("base = \"/a\"\n", ""),
            mask_b.replace("PATH", "/a/things")
        );
        {
            let tenants = TENANTS.replace("[\"a\"]", "[\"a\", \"b\"]");
            snapshot(&[("tenants.toml", &tenants), ("a.toml", &a), ("b.toml", &b)])
        }
    };
    let whole = set(&mask(""), &mask(""), "\"thing\"", "");
    widens("no mask", &diff(&whole, &set("", "", "\"thing\"", "")));
    let (ring, zing) = (mask(", unless = \"ring\""), mask(", unless = \"zing#see\""));
    let see = "see = [\"zing\"]\n";
    let (less, more) = (set(&ring, &zing, "\"zing\"", see), set("", &zing, "\"zing\", \"thing\"", see));
    widens("no mask of the first", &diff(&less, &more));
    assert!(diff(&less, &less).is_empty() && diff(&more, &more).is_empty());
}

#[test]
fn another_kind_of_value_widens() {
    let of = |kind: &str, value: &str| {
        format!(
            "{HEAD}[facts.token]\nroles = \"set\"\n[facts.header]\nx-n = \"{kind}\"\n[when]\nc1 = \"header.x-n = \
             {value}\"\n[resource.t]\nview = [\"GET /t\"]\n[role.user]\nview = [\"t if c1\"]\n"
        )
    };
    widens("05", &compared((TENANTS, TENANTS), &of("string", "'5'"), &of("int", "5")));
}

#[test]
fn a_setting_that_applications_are_asked_by_widens() {
    let tenants = |value: &str| {
        format!(
            "[tenant.acme]\nids = [\"acme\"]\napps = [\"a\"]\n[tenant.acme.settings]\nacct = \"{value}\"\n"
        )
    };
    let app = format!(
        "{}[facts.token]\nroles = \"set\"\n[facts.tenant]\nacct = \"string\"\n[facts.item]\nget = \
         \"/accounts/{{tenant.acct}}/items/{{path.item}}\"\nttl = \"5s\"\nstate = {{ at = \"/state\", type = \
         \"string\" }}\n[when]\nopen = \"item.state = 'open'\"\n[resource.thing]\nview = [\"GET /items/{{item}}\"]\n\
         [role.user]\nview = [\"thing if open\"]\n",
        HEAD.replace("\"default\"", "\"acme\"")
    );
    widens("look-up", &compared((&tenants("one"), &tenants("two")), &app, &app));
}

#[test]
fn tenants_that_swap_their_ids_are_told_as_such() {
    let tenants = |acme: &str, beta: &str| {
        format!(
            "[tenant.acme]\nids = [\"{acme}\"]\napps = [\"a\"]\n[tenant.beta]\nids = [\"{beta}\"]\napps = [\"a\"]\n"
        )
    };
    let app = HEAD
        .replace("tenant = \"default\"", "tenant = { from = [\"token.tid\"] }\nisolation = \"upstream\"")
        + "[facts.token]\nroles = \"set\"\ntid = \"string\"\n[resource.t]\nview = [\"GET /t\"]\n[role.user]\nview = [\"t\"]\n";
    let found = compared((&tenants("one", "two"), &tenants("two", "one")), &app, &app);
    widens("swap", &found);
    assert!(found.to_text().contains("now for tenant beta"), "{}", found.to_text());
}
