//! The decision alone, without a socket: how long a ruling takes with few routes and with many, for a caller whose token
//! has been seen. Under `valgrind --tool=callgrind --toggle-collect='*ruling*'` the same program counts instructions.

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use gatewarden::authorize::{Ruling, authorize};
use gatewarden::config::diagnostic::Style;
use gatewarden::config::{Carried, FileKind, SourceFile, Sources, compile};
use gatewarden::request::{CanonicalPath, Credential, Host, Query, RequestView, Timestamp};
use gatewarden::snapshot::Snapshot;
use gatewarden::token::signer::Signer;
use gatewarden::token::{Algorithm, KeySet};
use http::{HeaderMap, Method};
use serde_json::json;

use crate::Result;

const NOW: Timestamp = Timestamp(1_800_000_000);
/// Routes of one app; a set is as many apps as its size needs.
const ROUTES_PER_APP: usize = 100;

/// Measures and prints one row per number of routes.
pub fn run(sizes: &[usize], rulings: u32, grants: Grants) -> Result<()> {
    println!("{:>8}  {:>12}  {:>10}  {:>8}", "routes", "load ms", "ns/ruling", "allowed");
    for size in sizes {
        let started = Instant::now();
        let snapshot = snapshot(*size, grants)?;
        let load = started.elapsed();
        let signer = Signer::generate(Algorithm::EdDsa, "bench")?;
        for issuer in snapshot.verifier.issuers() {
            issuer.keys.publish(KeySet::parse_jwks(signer.jwks().as_bytes())?, NOW);
        }
        let claims = json!({ "iss": "https://sso.example", "aud": "bench", "sub": "u1", "exp": NOW.0 + 600,
            "iat": NOW.0, "roles": ["reader", "editor", "other-a", "other-b"], "tid": "bench", "azp": "portal",
            "acrs": ["c1"], "groups": ["g1", "g2", "g3"] });
        let token = signer.sign(&claims)?;
        snapshot.verifier.verify(&token, NOW)?;
        let targets = targets(*size);
        let started = Instant::now();
        let mut allowed = 0u32;
        for turn in 0..rulings {
            // A prime stride, so that neighbours in time aren't neighbours in the tables.
            let at = (turn as usize).wrapping_mul(7919) % targets.len();
            let Some((method, path)) = targets.get(at) else { continue };
            allowed += u32::from(ruling(&snapshot, method, path, &token)?);
        }
        let each = started.elapsed().as_nanos() / u128::from(rulings);
        println!(
            "{size:>8}  {:>12.1}  {each:>10}  {:>7.0}%",
            load.as_secs_f64() * 1e3,
            100.0 * f64::from(allowed) / f64::from(rulings)
        );
    }
    Ok(())
}

/// One ruling, as `proxy` asks for it: read the path, rule, drop the permit.
#[inline(never)]
fn ruling(snapshot: &Arc<Snapshot>, method: &Method, path: &str, token: &str) -> Result<bool> {
    let host = Host::parse("gateway.example")?;
    let path = CanonicalPath::parse(path)?;
    let headers = HeaderMap::new();
    let view = RequestView {
        method,
        host: &host,
        path: &path,
        query: Query::parse("")?,
        headers: &headers,
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        certificate: None,
    };
    let ruling = authorize(snapshot, &view, Credential::Bearer(token.as_bytes()), NOW);
    Ok(matches!(black_box(ruling), Ruling::Permit(..)))
}

/// What the grants of a rule set rest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grants {
    /// Roles, a few of them under one test.
    Plain,
    /// Conditions as an installation's are: whose organisation, by which application, how logged in.
    Conditions,
}

/// Who calls from where, and whether they logged in strongly enough: a requirement and the grants' conditions.
const CONDITIONS: &str = r#"
[facts.token]
roles = "set"
sub = "string"
tid = "string"
client = "string"
acrs = "set"
amr = "set"
groups = "set"
[facts.tenant]
guests = "tenants"
guest-callers = "tenants"
keyfax-clients = "set"
portal-create = "bool"
mfa-groups = "set"
internal-nets = "nets"
[when]
home = "token.tid in tenant.ids"
guest-caller = "token.tid in tenant.guest-callers"
keyfax = "token.client in tenant.keyfax-clients"
portal-open = "tenant.portal-create = true"
mfa = { any = ["token.acrs has 'c1'", "token.amr has 'mfa'"] }
asked = "token.groups meets tenant.mfa-groups"
internal = "client.ip within tenant.internal-nets"
caller = { any = ["home", "guest-caller"] }
known = { any = [{ all = ["keyfax", "caller"] }, { all = ["portal-open", "caller"] }] }
[require]
member = { any = ["home", "token.tid in tenant.guests", "guest-caller"] }
login = { any = ["internal", { not = "asked" }, "mfa"] }
"#;
const SETTINGS: &str = r#"[tenant.bench.settings]
guests = ["guest"]
guest-callers = ["caller"]
keyfax-clients = ["keyfax"]
portal-create = true
mfa-groups = ["g3", "g9"]
internal-nets = ["10.0.0.0/8"]
[organisation.guest]
ids = ["g-1"]
[organisation.caller]
ids = ["g-2"]
"#;

/// Twenty resources of five routes an app: what a reader reads and an editor writes, half of it for neither.
fn rules(app: usize, routes: usize, grants: Grants) -> String {
    let guards = match grants {
        Grants::Plain => {
            "[facts.token]\nroles = \"set\"\nsub = \"string\"\n[when]\nknown = \"token.sub = 'u1'\"\n"
        }
        Grants::Conditions => CONDITIONS,
    };
    let mut text = format!(
        "app = \"app-{app}\"\nbase = \"/app-{app}\"\nissuer = \"sso\"\nroles = \"token.roles\"\ntenant = \"bench\"\n{guards}"
    );
    let resources = routes.div_ceil(5);
    for resource in 0..resources {
        // Writing to a String can't fail.
        let _ = write!(
            text,
            "[resource.r{resource}]\nview = [\"GET /r{resource}\", \"GET /r{resource}/{{id}}\"]\n\
             manage = [\"POST /r{resource}\", \"PUT /r{resource}/{{id}}\", \"DELETE /r{resource}/{{id}}\"]\n"
        );
    }
    let every = |step: usize, suffix: &str| {
        let names = (0..resources).step_by(step).map(|resource| format!("\"r{resource}{suffix}\""));
        names.collect::<Vec<_>>().join(", ")
    };
    let condition = match grants {
        Grants::Plain => "",
        Grants::Conditions => " if known",
    };
    let _ = write!(
        text,
        "[role.reader]\nview = [{}]\n[role.editor]\nview = [{}]\nmanage = [{}]\n",
        every(1, condition),
        every(2, condition),
        every(2, " if known")
    );
    text
}

fn targets(routes: usize) -> Vec<(Method, String)> {
    let mut targets = Vec::new();
    for app in 0..routes.div_ceil(ROUTES_PER_APP) {
        for resource in 0..routes.min(ROUTES_PER_APP).div_ceil(5) {
            let path = format!("/app-{app}/r{resource}");
            targets.push((Method::GET, path.clone()));
            targets.push((Method::GET, format!("{path}/5b1f")));
            targets.push((Method::POST, path.clone()));
            targets.push((Method::PUT, format!("{path}/5b1f")));
            targets.push((Method::DELETE, format!("{path}/5b1f")));
        }
    }
    targets
}

/// Writes the files that rulings are timed with, for whoever times something else with as many routes: `check`, `diff`. With an
/// edit, every hundredth app's editors lose what they have under a condition, and its readers gain it.
pub fn write(routes: usize, grants: Grants, edit: Edit, directory: &Path) -> Result<()> {
    std::fs::create_dir_all(directory.join("rules"))?;
    for (index, file) in sources(routes, grants).files.into_iter().enumerate() {
        let is_edited = edit == Edit::Some && index % 100 == 2;
        let text = if is_edited { file.text.replace("r0 if known", "r1 if known") } else { file.text };
        std::fs::write(directory.join(&*file.path), text)?;
    }
    Ok(())
}

/// Whether a set that is written differs from the one that is written without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    None,
    Some,
}

fn sources(routes: usize, grants: Grants) -> Sources {
    let gateway = "[issuers.sso]\nkind = \"oidc\"\nissuer = \"https://sso.example\"\naudience = [\"bench\"]\n\
        algorithms = [\"EdDSA\"]\njwks = \"unused.json\"\n[upstreams.all]\nat = [\"/\"]\nservers = [\"http://127.0.0.1:1\"]\n";
    let apps = routes.div_ceil(ROUTES_PER_APP);
    let names: Vec<_> = (0..apps).map(|app| format!("\"app-{app}\"")).collect();
    let settings = match grants {
        Grants::Plain => "",
        Grants::Conditions => SETTINGS,
    };
    let tenants = format!("[tenant.bench]\nids = [\"bench\"]\napps = [{}]\n{settings}", names.join(", "));
    let file = |kind, path: String, text| SourceFile { kind, path: path.into(), text };
    let mut files = vec![
        file(FileKind::Gateway, "gateway.toml".to_owned(), gateway.to_owned()),
        file(FileKind::Tenants, "rules/tenants.toml".to_owned(), tenants),
    ];
    for app in 0..apps {
        files.push(file(
            FileKind::Rules,
            format!("rules/app-{app}.toml"),
            rules(app, routes.min(ROUTES_PER_APP), grants),
        ));
    }
    Sources { files, hash: String::new() }
}

fn snapshot(routes: usize, grants: Grants) -> Result<Arc<Snapshot>> {
    let sources = sources(routes, grants);
    match compile(&sources, Carried::nothing()) {
        Ok(compiled) => Ok(Arc::new(compiled.snapshot)),
        Err(why) => Err(why.render(&sources.files, Style::Plain).into()),
    }
}
