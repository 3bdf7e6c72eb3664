//! The facts that were known when a request was decided, as a record has them.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::captured::Asked;
use crate::authorize::{Evidence, Judged};
use crate::fact::{Fact, Source};
use crate::identity::Principal;
use crate::policy::lookup::LookedUp;
use crate::policy::{App, Facts, Trail};
use crate::request::{CanonicalPath, Query, RequestView};
use crate::snapshot::Snapshot;
use crate::token::{IssuerKind, VerifiedToken};

/// What Entra's tokens must say for their caller to be anybody, and to be challenged as the caller was.
const OF_ENTRA: [&str; 3] = ["tid", "oid", "xms_cc"];

/// What was known.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) facts: Map<String, Value>,
    pub(super) answers: Map<String, Value>,
}

/// Reads what was known of a request that came as far as an operation.
pub(super) fn known(snapshot: &Snapshot, asked: Option<&Asked>, evidence: &Evidence) -> Read {
    let mut read = Read::default();
    let (Some(asked), Some(judged)) = (asked, &evidence.judged) else { return read };
    let Some((app, operation)) = snapshot.operation(judged.operation) else { return read };
    let (Ok(path), Ok(query)) = (CanonicalPath::parse(&asked.path), Query::parse(&asked.query)) else {
        return read;
    };
    let view = RequestView {
        method: &asked.method,
        host: &asked.host,
        path: &path,
        query,
        headers: &asked.headers,
        client: asked.client,
        certificate: asked.certificate.as_ref(),
    };
    let principal = evidence.caller.as_ref().and_then(|token| identified(snapshot, token));
    let parameters = app.path_of(operation).values(&path);
    read.answers(app, judged);
    read.facts(app, judged, &view, (principal.as_ref(), &parameters));
    if let Some(token) = &evidence.caller {
        read.identity(token);
    }
    read
}

fn identified(snapshot: &Snapshot, token: &Arc<VerifiedToken>) -> Option<Principal> {
    Principal::identify(token.clone(), |id| snapshot.directory.knows(id)).ok()
}

impl Read {
    fn answers(&mut self, app: &App, judged: &Judged) {
        for (index, own) in app.look_ups.iter().enumerate() {
            let word = match judged.known.looked_up(judged.operation.app, index) {
                None => continue,
                Some(LookedUp::Found(_)) => "found",
                Some(LookedUp::Nothing) => "nothing",
                Some(LookedUp::Unavailable(why)) => why.as_str(),
            };
            self.answers.insert(own.name.to_string(), word.into());
        }
    }

    fn facts(
        &mut self,
        app: &App,
        judged: &Judged,
        view: &RequestView<'_>,
        (principal, parameters): (Option<&Principal>, &[(&str, Cow<'_, str>)]),
    ) {
        let trail = Trail::default();
        let facts = Facts {
            declared: &app.facts,
            request: view,
            parameters,
            principal,
            tenant: judged.tenant.as_deref(),
            app: judged.operation.app,
            known: &judged.known,
            narrows: &[],
            trail: &trail,
            now: judged.now,
        };
        for (index, fact) in app.facts.iter().enumerate() {
            if is_told(fact, judged, principal) {
                self.facts.insert(fact.name.to_string(), value(&facts, index));
            }
        }
    }

    /// What makes the caller somebody, whatever the rules read.
    fn identity(&mut self, token: &VerifiedToken) {
        if token.kind() != IssuerKind::Entra {
            return;
        }
        for name in OF_ENTRA {
            if let Some(claim) = token.claims().get(name) {
                self.facts.entry(format!("token.{name}")).or_insert_with(|| claim.clone());
            }
        }
    }
}

/// Whether it was known what a fact is, be it nothing. What the files say of a tenant is with the files.
fn is_told(fact: &Fact, judged: &Judged, principal: Option<&Principal>) -> bool {
    match &fact.source {
        Source::Token(_) => principal.is_some(),
        Source::Tenant(_) => false,
        Source::ClientTime | Source::ClientWeekday => judged.tenant.is_some(),
        Source::Body(_) => judged.known.body.is_some(),
        Source::LookUp { look_up, .. } => {
            matches!(judged.known.looked_up(judged.operation.app, *look_up), Some(LookedUp::Found(_)))
        }
        Source::ClientIp
        | Source::ClientCertificate(_)
        | Source::Path(_)
        | Source::Query(_)
        | Source::Header(_) => true,
    }
}

/// What the source itself says: a default is the rules', and may be another in others.
fn value(facts: &Facts<'_>, index: usize) -> Value {
    if !facts.is_stated(index) {
        return Value::Null;
    }
    facts.get(index).map_or_else(|| Value::Object(Map::new()), |own| own.to_json())
}
