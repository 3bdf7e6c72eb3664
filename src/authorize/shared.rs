//! Routes that several apps claim: one allow suffices, but what the other apps' files say of the request itself stays true.

use super::case::Case;
use super::permit::Permit;
use super::{Effect, Evidence, Judgement, Verdict};
use crate::policy::TenantRule;
use crate::policy::lookup::Forget;
use crate::rejection::Rejection;
use crate::request::{RequestView, Timestamp};
use crate::route::{Match, Verb};
use crate::snapshot::{OperationRef, Snapshot};

/// Where apps share a route, what any of them reads occurs once: else one would let in what another can't read.
pub(super) fn read_twice(
    snapshot: &Snapshot,
    request: &RequestView<'_>,
    claims: &[OperationRef],
) -> Option<Judgement> {
    let [_, _, ..] = claims else { return None };
    claims.iter().find_map(|at| {
        let (app, operation) = snapshot.operation(*at)?;
        let case = Case { snapshot, request, at: *at, app, operation, now: Timestamp::default() };
        let why = case.read_once().err()?;
        let evidence = Evidence {
            app: Some(app.name.clone()),
            route: Some(operation.route.clone()),
            verdict: Some(Verdict { effect: Effect::Deny, reason: why.reason() }),
            ..Evidence::default()
        };
        Some(Judgement::Refuse(Rejection::Malformed(why), evidence))
    })
}

/// What is owed to the apps that share the route of a request which another app permits. A header that one of them is
/// given by a proven fact alone is nobody's word under an app that proves none; what they were told before is as stale
/// as if they had permitted it themselves; and what any of them wants on record is on record.
pub(super) fn owe(case: &Case<'_>, claims: &[OperationRef], evidence: &Evidence, permit: &mut Permit) {
    permit.on_record |= claims.iter().any(|at| wants_record(case.snapshot, *at));
    for at in claims.iter().filter(|other| other.app != case.at.app) {
        let Some((app, operation)) = case.snapshot.operation(*at) else { continue };
        let other = Case { at: *at, app, operation, ..*case };
        permit.hide(app.injects.iter().map(|own| &own.header));
        permit.forgets.extend(stale(&other, evidence));
    }
}

/// Whether these rules want it on record that a request is done which they came as far as an operation with, whoever permits
/// it: the rules that answer in their place may know nothing of that.
#[must_use]
pub fn must_be_on_record(snapshot: &Snapshot, request: &RequestView<'_>, evidence: &Evidence) -> bool {
    let Some(judged) = &evidence.judged else { return false };
    if wants_record(snapshot, judged.operation) {
        return true;
    }
    match snapshot.routes.find(request.host, request.path, Verb::of(request.method)) {
        // An event is asked about with the request that its socket was opened by.
        Match::Operations(claims) if claims.contains(&judged.operation) => {
            claims.iter().any(|at| wants_record(snapshot, *at))
        }
        _ => false,
    }
}

fn wants_record(snapshot: &Snapshot, at: OperationRef) -> bool {
    snapshot.operation(at).is_some_and(|(_, operation)| operation.obligations.audit_required)
}

fn stale(other: &Case<'_>, evidence: &Evidence) -> Vec<Forget> {
    let acting = evidence.judged.as_ref().and_then(|own| own.tenant.as_ref());
    let tenant = match &other.app.tenant {
        TenantRule::Constant(own) => Some(own),
        TenantRule::From { .. } => acting,
    };
    tenant.map(|own| other.forgets(own)).unwrap_or_default()
}
