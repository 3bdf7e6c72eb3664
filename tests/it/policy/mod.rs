//! The rules as they are shipped: what they decide, and what is told of mistakes in them. Everything here goes through
//! the same `authorize` as a request; no socket is opened.

mod codes;
mod edges;
mod lints;
mod golden;
mod mistakes;
mod people;
mod prefixes;
mod properties;
mod reference;
mod rulings;
mod tables;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gatewarden::authorize::{Answer, Question, Ruling, authorize};
use gatewarden::config::{Carried, Diagnostics, FileKind, SourceFile, Sources, compile};
use gatewarden::request::{CanonicalPath, Credential, Host, Query, RequestView, Timestamp};
use gatewarden::snapshot::Snapshot;
use gatewarden::token::signer::Signer;
use gatewarden::token::{Algorithm, KeySet};
use http::{HeaderMap, Method};

/// A moment at which nothing has expired.
pub(crate) const NOW: Timestamp = Timestamp(1_800_000_000);

/// The plumbing that tests put the shipped rules on: its issuers sign with keys that the test makes.
const GATEWAY: &str = r#"
[issuers.entra]
kind       = "entra"
audience   = ["api://gatewarden"]
algorithms = ["EdDSA"]
metadata   = "https://login.microsoftonline.com/common/v2.0/.well-known/openid-configuration"
[issuers.keycloak]
kind       = "keycloak"
issuer     = "https://sso.example/auth/realms/expertflow"
audience   = ["cim"]
algorithms = ["EdDSA"]
metadata   = "https://sso.example/auth/realms/expertflow/.well-known/openid-configuration"
[upstreams.all]
at      = ["/"]
servers = ["http://127.0.0.1:1"]
"#;

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The shipped rule files on the tests' plumbing.
pub(crate) fn shipped() -> Sources {
    let mut files = vec![file("gateway.toml", GATEWAY)];
    let mut names: Vec<_> =
        std::fs::read_dir(root().join("rules")).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    for path in names.iter().filter(|path| path.extension().is_some_and(|ext| ext == "toml")) {
        let name = path.file_name().unwrap().to_str().unwrap();
        files.push(file(&format!("rules/{name}"), &std::fs::read_to_string(path).unwrap()));
    }
    Sources { files, hash: "test".into() }
}

pub(crate) fn file(path: &str, text: &str) -> SourceFile {
    let kind = match path {
        "gateway.toml" => FileKind::Gateway,
        "rules/tenants.toml" => FileKind::Tenants,
        _ => FileKind::Rules,
    };
    SourceFile { kind, path: path.into(), text: text.into() }
}

/// Compiles, or fails the test with every mistake rendered.
#[track_caller]
pub(crate) fn compiled(sources: &Sources) -> Arc<Snapshot> {
    match compile(sources, Carried::nothing()) {
        Ok(compiled) => Arc::new(compiled.snapshot),
        Err(diagnostics) => panic!("{}", rendered(&diagnostics, sources)),
    }
}

pub(crate) fn rendered(diagnostics: &Diagnostics, sources: &Sources) -> String {
    diagnostics.render(&sources.files, gatewarden::config::diagnostic::Style::Plain)
}

/// A signer whose key every issuer of the snapshot holds.
pub(crate) fn trusted_signer(snapshot: &Snapshot) -> Signer {
    let signer = Signer::generate(Algorithm::EdDsa, "test").unwrap();
    for issuer in snapshot.verifier.issuers() {
        issuer.keys.publish(KeySet::parse_jwks(signer.jwks().as_bytes()).unwrap(), NOW);
    }
    signer
}

/// One request, as a test states it.
#[derive(Clone, Debug)]
pub(crate) struct Asked<'t> {
    pub(crate) method: &'t str,
    pub(crate) target: &'t str,
    pub(crate) headers: HeaderMap,
    pub(crate) token: Option<&'t str>,
    pub(crate) client: IpAddr,
}

/// Rules on a request, answering its questions on the way.
pub(crate) fn rule(snapshot: &Arc<Snapshot>, asked: &Asked<'_>) -> Ruling {
    let (path, query) = asked.target.split_once('?').unwrap_or((asked.target, ""));
    let host = Host::parse("gateway.example").unwrap();
    let view = RequestView {
        method: &Method::from_bytes(asked.method.as_bytes()).unwrap(),
        host: &host,
        path: &CanonicalPath::parse(path).unwrap(),
        query: Query::parse(query).unwrap(),
        headers: &asked.headers,
        client: asked.client,
        certificate: None,
    };
    let credential = asked.token.map_or(Credential::Absent, |token| Credential::Bearer(token.as_bytes()));
    match authorize(snapshot, &view, credential, NOW) {
        Ruling::Ask(pending) => {
            let [Question::Verify { token }] = pending.questions() else { panic!("nothing else is asked") };
            let verified = snapshot.verifier.verify(token, NOW);
            pending.settle(&view, vec![Answer::Verified(verified)])
        }
        ruling => ruling,
    }
}
