//! What a ruling carries along, and where it draws its lines, on small rule sets of its own.

use std::sync::Arc;

use gatewarden::authorize::{Permit, Ruling, Supposed, TokenHandling, suppose};
use gatewarden::config::{Carried, Sources, compile};
use gatewarden::rejection::{Rejection, TenantError};
use gatewarden::request::{CanonicalPath, Host, Query, RequestView};
use gatewarden::snapshot::Snapshot;
use gatewarden::token::{IssuerKind, VerifiedToken};
use http::{HeaderMap, HeaderName, Method};
use serde_json::{Value, json};

use super::{compiled, file, rendered};

const TENANTS: &str = "[tenant.acme]\nids = [\"a1\"]\napps = [\"desk\", \"other\"]\n[tenant.zenith]\nids = [\"z1\"]\napps = [\"desk\", \"other\"]\n[tenant.elsewhere]\nids = [\"e1\"]\napps = []\n";

fn sources(rules: &[&str]) -> Sources {
    // A tenant is a customer of apps that there are.
    let apps: Vec<_> = ["desk", "other"]
        .into_iter()
        .filter(|app| rules.iter().any(|text| text.contains(&format!("app = \"{app}\""))))
        .collect();
    let tenants = TENANTS.replace("[\"desk\", \"other\"]", &format!("{apps:?}"));
    let mut files = vec![file("gateway.toml", super::GATEWAY), file("rules/tenants.toml", &tenants)];
    files.extend(rules.iter().zip(0..).map(|(text, index)| file(&format!("rules/app{index}.toml"), text)));
    Sources { files, hash: String::new() }
}

fn desk(rules: &[&str]) -> Arc<Snapshot> {
    compiled(&sources(rules))
}

/// A request in one line, `GET /path`, with headers as `name: value`, of a Keycloak caller with these claims.
fn ask(snapshot: &Snapshot, request: &str, headers: &[&str], claims: Option<Value>) -> Ruling {
    ask_host(snapshot, "any.example", request, headers, claims)
}

fn ask_host(
    snapshot: &Snapshot,
    host: &str,
    request: &str,
    headers: &[&str],
    claims: Option<Value>,
) -> Ruling {
    let (method, target) = request.split_once(' ').unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut map = HeaderMap::new();
    for line in headers {
        let (name, value) = line.split_once(": ").unwrap();
        map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    let caller = claims.map(|claims| {
        let Value::Object(claims) = claims else { panic!("claims are an object") };
        Arc::new(VerifiedToken::hypothetical("keycloak".into(), IssuerKind::Keycloak, claims))
    });
    let host = Host::parse(host).unwrap();
    let view = RequestView {
        method: &Method::from_bytes(method.as_bytes()).unwrap(),
        host: &host,
        path: &CanonicalPath::parse(path).unwrap(),
        query: Query::parse(query).unwrap(),
        headers: &map,
        client: [192, 0, 2, 1].into(),
        certificate: None,
    };
    suppose(snapshot, &view, caller, Supposed::default())
}

#[track_caller]
fn permitted(ruling: Ruling) -> Permit {
    match ruling {
        Ruling::Permit(permit, _) => permit,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused(ruling: Ruling) -> Rejection {
    match ruling {
        Ruling::Refuse(rejection, _) => rejection,
        other => panic!("{other:?}"),
    }
}

const VIEWS: &str = r#"
app = "desk"
base = "/desk"
issuer = "keycloak"
roles = "token.roles"
tenant = { from = ["header.x-customer", "token.tenant"], proven-by = "mine" }
isolation = "upstream"
authorization = "strip"
[facts.token]
roles = "set"
tenant = "string"
[facts.header]
x-view = { type = "string", default = "'all'" }
[facts.query]
limit = { type = "int", default = 50 }
[when]
mine = "token.tenant in tenant.ids"
few = "query.limit <= 100"
known-view = "header.x-view in ['all', 'own']"
[require]
mine = "mine"
[resource.thing]
view = ["GET /things", "GET /things/{id}", "GET /files/{path...}"]
edit = ["PUT /things/{id}"]
[role.reader]
only = "mine"
view = ["thing if few, known-view"]
"#;

fn reader() -> Option<Value> {
    Some(json!({ "sub": "ann b", "tenant": "a1", "roles": ["reader"] }))
}

fn header<'p>(permit: &'p Permit, name: &str) -> Option<&'p str> {
    let found = permit.supplied().iter().find(|(own, _)| own == name)?;
    Some(found.1.to_str().unwrap())
}

#[test]
fn what_was_taken_for_granted_is_what_the_app_is_given() {
    let snapshot = desk(&[VIEWS]);
    let bare = permitted(ask(&snapshot, "GET /desk/things", &[], reader()));
    assert_eq!(bare.target(), "/desk/things?limit=50");
    assert_eq!((header(&bare, "x-view"), header(&bare, "x-customer")), (Some("all"), Some("a1")));
    assert_eq!(bare.authorization(), TokenHandling::Strip);
    let who = bare.identity().unwrap();
    assert_eq!(
        (&who.subject, &who.tenant, &who.roles, &who.permission),
        (
            &"ann%20b".parse().unwrap(),
            &"acme".parse().unwrap(),
            &"reader".parse().unwrap(),
            &"thing#view".parse().unwrap()
        )
    );
    let stated = permitted(ask(
        &snapshot,
        "GET /desk/things?limit=7&x=1",
        &["x-view: own", "x-customer: a1"],
        reader(),
    ));
    assert_eq!((stated.target(), header(&stated, "x-view")), ("/desk/things?limit=7&x=1", None));
    assert_eq!(
        permitted(ask(&snapshot, "GET /desk/things?x=1", &[], reader())).target(),
        "/desk/things?x=1&limit=50"
    );
}

#[test]
fn what_is_stated_badly_is_never_replaced_by_a_default() {
    let snapshot = desk(&[VIEWS]);
    for (request, headers) in [
        ("GET /desk/things?limit=many", &[][..]),
        ("GET /desk/things?limit=101", &[]),
        ("GET /desk/things?limit=", &[]),
        ("GET /desk/things", &["x-view: everything"]),
        ("GET /desk/things", &["x-view: "]),
    ] {
        assert_eq!(
            refused(ask(&snapshot, request, headers, reader())),
            Rejection::Denied,
            "{request} {headers:?}"
        );
    }
    for (request, headers) in [
        ("GET /desk/things?limit=1&limit=2", &[][..]),
        ("GET /desk/things?LIMIT=1", &[]),
        ("GET /desk/things", &["x-view: all", "x-view: own"]),
    ] {
        assert_eq!(
            refused(ask(&snapshot, request, headers, reader())).status(),
            400,
            "{request} {headers:?}"
        );
    }
}

#[test]
fn the_first_tenant_that_is_named_decides() {
    let snapshot = desk(&[VIEWS]);
    let tenant =
        |headers: &[&str], claims: Value| match ask(&snapshot, "GET /desk/things", headers, Some(claims)) {
            Ruling::Refuse(Rejection::Tenant(why), _) => Err(why),
            ruling => Ok(permitted(ruling).identity().unwrap().tenant.to_str().unwrap().to_owned()),
        };
    let claims = json!({ "sub": "u", "tenant": "a1", "roles": ["reader"] });
    assert_eq!(tenant(&[], claims.clone()).as_deref(), Ok("acme"));
    assert_eq!(tenant(&["x-customer: z1"], claims.clone()), Err(TenantError::NotProven));
    assert_eq!(
        tenant(&["x-customer: e1"], claims.clone()),
        Err(TenantError::Unknown),
        "no customer of this app"
    );
    assert_eq!(tenant(&["x-customer: "], claims.clone()), Err(TenantError::Unknown), "never the next source");
    assert_eq!(tenant(&["x-customer: acme"], claims), Err(TenantError::Unknown), "a name is no id");
    assert_eq!(tenant(&[], json!({ "sub": "u", "roles": ["reader"] })), Err(TenantError::Missing));
    assert_eq!(
        tenant(&[], json!({ "sub": "u", "tenant": ["a1"], "roles": ["reader"] })),
        Err(TenantError::Unknown)
    );
}

#[test]
fn head_is_judged_as_get_and_a_trailing_slash_makes_no_other_operation() {
    let snapshot = desk(&[VIEWS]);
    permitted(ask(&snapshot, "HEAD /desk/things", &[], reader()));
    assert_eq!(
        permitted(ask(&snapshot, "GET /desk/things/", &[], reader())).target(),
        "/desk/things/?limit=50"
    );
    permitted(ask(&snapshot, "GET /desk/files/a/b%20c/d", &[], reader()));
    assert_eq!(refused(ask(&snapshot, "PUT /desk/things/1", &[], reader())), Rejection::Denied);
    for (request, allow) in [
        ("POST /desk/things", 2),
        ("OPTIONS /desk/things/1", 3),
        ("TRACE /desk/things", 2),
        ("get /desk/things", 2),
    ] {
        let Rejection::MethodNotAllowed { allow: found } = refused(ask(&snapshot, request, &[], reader()))
        else {
            panic!("{request}")
        };
        assert_eq!(found.len(), allow, "{request}");
    }
    for request in
        ["GET /desk", "GET /desk/files", "GET /desk/things/1/2", "GET /Desk/things", "GET /deskthings"]
    {
        assert_eq!(refused(ask(&snapshot, request, &[], reader())), Rejection::NoRoute, "{request}");
    }
}

const OWNER: &str = r#"
app = "desk"
owns = ["/desk"]
shared-with = ["other"]
issuer = "keycloak"
roles = "token.roles"
tenant = "acme"
public = ["GET /desk/open"]
[facts.token]
roles = "set"
[resource.list]
view = ["GET /desk/list"]
edit = ["PUT /desk/list"]
[role.boss]
view = ["list"]
edit = ["list"]
"#;
const OTHER: &str = r#"
app = "other"
owns = ["/other"]
issuer = "keycloak"
roles = "token.roles"
tenant = "zenith"
[facts.token]
roles = "set"
[resource.desk-list]
view = ["GET /desk/list"]
[role.agent]
view = ["desk-list"]
"#;

#[test]
fn a_shared_route_is_judged_under_each_app_and_one_allow_suffices() {
    let snapshot = desk(&[OWNER, OTHER]);
    let with = |role: &str| Some(json!({ "sub": "u", "roles": [role] }));
    let tenant = |ruling| permitted(ruling).identity().unwrap().tenant.clone();
    assert_eq!(tenant(ask(&snapshot, "GET /desk/list", &[], with("boss"))), "acme");
    assert_eq!(tenant(ask(&snapshot, "GET /desk/list", &[], with("agent"))), "zenith");
    assert_eq!(refused(ask(&snapshot, "GET /desk/list", &[], with("guest"))), Rejection::Denied);
    assert_eq!(refused(ask(&snapshot, "PUT /desk/list", &[], with("agent"))), Rejection::Denied);
    assert_eq!(refused(ask(&snapshot, "GET /desk/list", &[], None)), Rejection::CredentialMissing);
}

#[test]
fn what_one_app_wants_on_record_is_on_record_whichever_app_permits_it() {
    let logged = "\n[decisions]\nfile = \"d\"\n";
    let strict = |app: &str| {
        let audit = "[audit]\nrequired = [\"GET /desk/list\"]\n[resource";
        app.replacen("[resource", audit, 1)
    };
    for (owner, other, expected) in [
        (OWNER.to_owned(), OTHER.to_owned(), false),
        (strict(OWNER), OTHER.to_owned(), true),
        (OWNER.to_owned(), strict(OTHER), true),
    ] {
        let mut sources = sources(&[&owner, &other]);
        sources.files[0].text = super::GATEWAY.to_owned() + logged;
        let snapshot = compiled(&sources);
        for role in ["boss", "agent"] {
            let caller = Some(json!({ "sub": "u", "roles": [role] }));
            let permit = permitted(ask(&snapshot, "GET /desk/list", &[], caller));
            assert_eq!(permit.is_on_record(), expected, "{role}");
        }
    }
}

#[test]
fn a_public_operation_says_nothing_of_its_caller() {
    let snapshot = desk(&[OWNER, OTHER]);
    for caller in [None, Some(json!({ "sub": "u", "roles": ["boss"] }))] {
        let permit = permitted(ask(&snapshot, "GET /desk/open", &[], caller));
        assert_eq!((permit.identity(), permit.authorization()), (None, TokenHandling::Strip));
    }
}

#[test]
fn an_app_answers_to_its_hosts_alone() {
    let hosted = OWNER.replacen("owns = ", "hosts = [\"desk.example\"]\nowns = ", 1).replacen(
        "shared-with = [\"other\"]\n",
        "",
        1,
    );
    let snapshot = desk(&[&hosted]);
    let boss = || Some(json!({ "sub": "u", "roles": ["boss"] }));
    permitted(ask_host(&snapshot, "desk.example", "GET /desk/list", &[], boss()));
    permitted(ask_host(&snapshot, "Desk.Example.:8443", "GET /desk/list", &[], boss()));
    assert_eq!(
        refused(ask_host(&snapshot, "other.example", "GET /desk/list", &[], boss())),
        Rejection::NoRoute
    );
}

/// Two files that contradict each other name both places.
#[test]
fn files_that_contradict_each_other_are_refused_with_both_places() {
    let unshared = OWNER.replacen("shared-with = [\"other\"]\n", "", 1);
    let public = OTHER.replacen("[facts.token]", "public = [\"GET /desk/other-list\"]\n[facts.token]", 1);
    let owner = OTHER.replacen("owns = [\"/other\"]", "owns = [\"/desk/list\"]", 1);
    let renamed = OWNER.replacen("\"GET /desk/list\"", "\"GET /desk/list\", \"GET /desk/{a}/x\"", 1);
    let other = OTHER.replacen("\"GET /desk/list\"", "\"GET /desk/{b}/x\"", 1);
    for (first, second, word) in [
        (unshared.as_str(), OTHER, "belongs to `desk`"),
        (OWNER, public.as_str(), "only `desk` may make"),
        (OWNER, owner.as_str(), "own the same paths"),
        (renamed.as_str(), other.as_str(), "one template under two parameter names"),
        (OWNER, OWNER, "has two files"),
    ] {
        let sources = sources(&[first, second]);
        let Err(diagnostics) = compile(&sources, Carried::nothing()) else { panic!("{word}: loads") };
        let out = rendered(&diagnostics, &sources);
        assert!(out.contains(word), "{word} not in\n{out}");
        assert!(
            out.contains("rules/app0.toml") && out.contains("rules/app1.toml"),
            "{word}: not both places\n{out}"
        );
    }
}

/// A guard that stands after what it guards would be lost if the file were cut off between them.
#[test]
fn a_guard_after_a_grant_is_refused() {
    for late in [
        "[when]\nx = \"token.roles has 'a'\"\n",
        "[require]\nx = \"token.roles has 'a'\"\n",
        "[facts.query]\nq = \"string\"\n",
        "[never]\nboss = [\"PUT *\"]\n",
        "[resource.more]\nview = [\"GET /desk/more\"]\n",
    ] {
        let text = format!("{OWNER}{late}");
        let sources = sources(&[&text, OTHER]);
        let Err(diagnostics) = compile(&sources, Carried::nothing()) else { panic!("{late} loads") };
        assert!(
            rendered(&diagnostics, &sources).contains("GW1005"),
            "{late}\n{}",
            rendered(&diagnostics, &sources)
        );
    }
}

/// A regression: a permission was taken for held where another one permits the same operation.
#[test]
fn never_holding_a_permission_is_not_never_reaching_its_operations() {
    let never = "[never]\nviewer = [\"list#edit\"]\n";
    let role = "[role.viewer]\nview = [\"list\"]\n";
    let both = OWNER
        .replacen("shared-with = [\"other\"]\n", "", 1)
        .replacen("edit = [\"PUT /desk/list\"]", "edit = [\"GET /desk/list\", \"PUT /desk/list\"]", 1)
        .replacen("[resource.list]", &format!("{never}[resource.list]"), 1);
    desk(&[&format!("{both}{role}")]);
    let broken = sources(&[&format!("{both}[role.viewer]\nedit = [\"list\"]\n")]);
    assert!(compile(&broken, Carried::nothing()).is_err());
}

#[test]
fn a_requirement_may_ask_for_a_stronger_log_in_instead_of_refusing() {
    let with = |otherwise: &str| {
        let strong = format!(
            "[when]\nstrong = \"token.acrs has 'c1'\"\n[require]\nlogin = {{ is = \"strong\", else = {{ step-up = {otherwise} }} }}\n[resource.list]"
        );
        OWNER
            .replacen("shared-with = [\"other\"]\n", "", 1)
            .replacen("issuer = \"keycloak\"", "issuer = \"entra\"", 1)
            .replacen("roles = \"set\"\n", "roles = \"set\"\nacrs = \"set\"\n", 1)
            .replacen("[resource.list]", &strong, 1)
            .replacen("[role.boss]\n", "[role.boss]\nonly = \"home\"\n", 1)
            .replacen("[when]\n", "[when]\nhome = \"token.tid in tenant.ids\"\n", 1)
            .replacen("acrs = \"set\"\n", "acrs = \"set\"\ntid = \"string\"\n", 1)
    };
    let challenge = |rules: &str, claims: Value| {
        let Value::Object(claims) = claims else { panic!("claims are an object") };
        let caller = Arc::new(VerifiedToken::hypothetical("entra".into(), IssuerKind::Entra, claims));
        let host = Host::parse("any.example").unwrap();
        let view = RequestView {
            method: &Method::GET,
            host: &host,
            path: &CanonicalPath::parse("/desk/list").unwrap(),
            query: Query::parse("").unwrap(),
            headers: &HeaderMap::new(),
            client: [192, 0, 2, 1].into(),
            certificate: None,
        };
        match suppose(&desk(&[rules]), &view, Some(caller), Supposed::default()) {
            Ruling::Refuse(rejection, _) => {
                Some((rejection.status().as_u16(), rejection.challenge().unwrap().into_owned()))
            }
            ruling => {
                permitted(ruling);
                None
            }
        }
    };
    let boss = json!({ "sub": "u", "tid": "a1", "roles": ["boss"] });
    let both = with("{ acr = [\"mfa\", \"phr\"], entra = \"c1\" }");
    let rfc = "Bearer error=\"insufficient_user_authentication\", error_description=\"A stronger log-in is needed\", acr_values=\"mfa phr\"";
    assert_eq!(challenge(&both, boss.clone()), Some((401, rfc.to_owned())));
    let capable = json!({ "sub": "u", "tid": "a1", "roles": ["boss"], "xms_cc": ["CP1"] });
    let (status, entra) = challenge(&both, capable.clone()).unwrap();
    let claims = "eyJhY2Nlc3NfdG9rZW4iOnsiYWNycyI6eyJlc3NlbnRpYWwiOnRydWUsInZhbHVlIjoiYzEifX19";
    assert_eq!(status, 401);
    assert!(
        entra.contains("error=\"insufficient_claims\"") && entra.contains(&format!("claims=\"{claims}\"")),
        "{entra}"
    );
    // A client that wouldn't understand the claims challenge, and nothing else to ask for: refused.
    let (status, _) = challenge(&with("{ entra = \"c1\" }"), boss).unwrap();
    assert_eq!(status, 403);
    // Logging in again gives no role, so it isn't asked for where there is none.
    assert_eq!(
        challenge(&both, json!({ "sub": "u", "tid": "a1", "roles": [], "xms_cc": ["cp1"] })).unwrap().0,
        403
    );
    let strong = json!({ "sub": "u", "tid": "a1", "roles": ["boss"], "acrs": ["c1"] });
    assert_eq!(challenge(&both, strong), None);
    for bad in ["{ }", "{ acr = [\"a b\"] }", "{ acr = [\"a\\\"\"] }", "{ arc = [\"mfa\"] }"] {
        assert!(compile(&sources(&[&with(bad)]), Carried::nothing()).is_err(), "{bad}");
    }
}

/// A regression: an object's keys were read as a set, so that `"boss": false` gave the role.
#[test]
fn an_object_is_no_set_of_roles() {
    let snapshot = desk(&[OWNER, OTHER]);
    let with =
        |roles: Value| ask(&snapshot, "GET /desk/list", &[], Some(json!({ "sub": "u", "roles": roles })));
    assert_eq!(refused(with(json!({ "boss": false }))), Rejection::Denied);
    assert_eq!(refused(with(json!([{ "boss": true }]))), Rejection::Denied);
    permitted(with(json!("boss")));
}
