//! What a change does, held against the rules on both sides of it: every row that is told has a request that shows it, a
//! request that is answered differently has its row, and where nothing is told nothing is.

use std::sync::Arc;

use gatewarden::analysis::diff::{Access, Outcome, SnapshotDiff, diff};
use gatewarden::analysis::posed::{Answered, Caller, Posed};
use gatewarden::authorize::{Evidence, Permit, Ruling};
use gatewarden::policy::lookup::{LookedUp, NoAnswer};
use gatewarden::rejection::Rejection;
use gatewarden::request::{Host, Timestamp};
use gatewarden::snapshot::Snapshot;
use http::{HeaderName, HeaderValue, Method};
use proptest::prelude::*;

use super::engine;
use super::generate;
use super::model::{Policy, Term};
use super::world::{Answer, Ask, Tenant, tenants_file};
use super::{config, told};

/// What is done to a policy.
#[derive(Clone, Copy, Debug)]
enum Change {
    Grant(usize, usize, usize),
    NoGrant(usize, usize),
    Condition(usize),
    NoRequirement,
    Only(usize),
    Carried,
    Settings(usize),
    Whole,
}

fn changes() -> impl Strategy<Value = Change> {
    let small = || 0..3usize;
    prop_oneof![
        (small(), small(), small()).prop_map(|(role, resource, scope)| Change::Grant(role, resource, scope)),
        (small(), small()).prop_map(|(role, scope)| Change::NoGrant(role, scope)),
        small().prop_map(Change::Condition),
        Just(Change::NoRequirement),
        small().prop_map(Change::Only),
        Just(Change::Carried),
        small().prop_map(Change::Settings),
        Just(Change::Whole),
    ]
}

/// The changed policy and tenants; what is new comes from another one.
fn changed(
    (policy, tenants): (&Policy, &[Tenant]),
    (other, others): (&Policy, &[Tenant]),
    change: Change,
) -> (Policy, Vec<Tenant>) {
    let (mut own, mut rows) = (policy.clone(), tenants.to_vec());
    match change {
        Change::Grant(role, resource, scope) => {
            let resource = resource % own.resources.len();
            let terms = &mut own.roles[role].grants[scope];
            terms.retain(|term| !matches!(term, Term::Not(_)));
            terms.insert(0, Term::One { resource, conditions: Vec::new(), until: None });
        }
        Change::NoGrant(role, scope) => own.roles[role].grants[scope].clear(),
        Change::Condition(at) => {
            let at = at % own.conditions.len().min(other.conditions.len()).max(1);
            if let (Some(place), Some(new)) = (own.conditions.get_mut(at), other.conditions.get(at)) {
                *place = new.clone();
            }
        }
        Change::NoRequirement => drop(own.requirements.pop()),
        Change::Only(role) => own.roles[role].only = None,
        Change::Carried => own.carried = other.carried.clone(),
        Change::Settings(at) => {
            let at = at % rows.len();
            rows[at].settings = others[at].settings.clone();
        }
        Change::Whole => own = other.clone(),
    }
    (own.tidied(), rows)
}

fn posed(ask: &Ask) -> Posed {
    let query = ask.query_text();
    let target = if query.is_empty() { ask.path.to_owned() } else { format!("{}?{query}", ask.path) };
    let method = Method::from_bytes(ask.method.as_bytes()).unwrap();
    let mut posed = Posed::new(method, target, Host::parse("h").unwrap(), Timestamp(ask.now));
    for (name, value) in &ask.headers {
        posed.headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    posed.client = ask.client;
    if let Some((issuer, claims)) = &ask.caller {
        posed.caller = Caller::Claims((*issuer).into(), claims.clone());
    }
    posed.body = Some(Arc::new(ask.body.clone()));
    for (name, answer) in &ask.answers {
        let answer = match answer {
            Answer::Found(document) => LookedUp::Found(Arc::new(document.clone())),
            Answer::Nothing => LookedUp::Nothing,
            Answer::None => LookedUp::Unavailable(NoAnswer::Timeout),
        };
        posed.answers.push(Answered { app: "g".into(), look_up: (*name).into(), answer });
    }
    posed
}

/// What is let through to where, with what, and by which route; nothing where it isn't.
fn answered(snapshot: &Snapshot, posed: &Posed) -> Option<(String, String)> {
    let carried = |permit: &Permit, evidence: &Evidence| {
        let edits = permit.edits().map(|own| own.masks.iter().map(ToString::to_string).collect::<Vec<_>>());
        let supplied: Vec<_> = permit.supplied().iter().map(|own| format!("{own:?}")).collect();
        let says = format!("{} {edits:?} {supplied:?} {:?}", permit.target(), permit.removed());
        (evidence.route.as_deref().unwrap_or_default().to_owned(), says)
    };
    let ruling = posed.decide(snapshot, |_, ruling| match ruling {
        Ruling::Permit(permit, evidence) => Some(carried(&permit, &evidence)),
        _ => None,
    });
    ruling.ok().flatten()
}

fn is_malformed(snapshot: &Snapshot, posed: &Posed) -> bool {
    let refused = |ruling| matches!(ruling, Ruling::Refuse(Rejection::Malformed(_), _));
    posed.decide(snapshot, |_, ruling| refused(ruling)).unwrap_or(true)
}

fn covers(found: &SnapshotDiff, outcome: Outcome, method: &str, route: &str) -> bool {
    let operation = format!("{} {route}", if method == "HEAD" { "GET" } else { method });
    let tells =
        |row: &Access| (row.outcome == outcome || !row.decided) && row.operations.contains(&operation);
    found.access.iter().any(tells)
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn what_a_change_does_is_told_and_what_is_told_is_so(
        policy in generate::policies(),
        tenants in generate::tenants(),
        other in generate::policies(),
        others in generate::tenants(),
        change in changes(),
        asks in proptest::collection::vec(generate::asks(), 24),
    ) {
        let (after, rows) = changed((&policy, &tenants), (&other, &others), change);
        let (Some(old), Some(new)) = (engine::snapshot(&policy, &tenants), engine::snapshot(&after, &rows)) else {
            return Err(TestCaseError::reject("unreachable"));
        };
        let found = diff(&old, &new);
        let show = |ask: &Ask| format!("{change:?}\n{}--- after\n{after:?}\n{}{}", told(&policy, &tenants, ask), tenants_file(&rows, &after), found.to_text());
        for row in found.access.iter().filter(|row| row.decided) {
            let witness = row.witness.as_ref().map(|own| format!("{:?}", own.posed));
            prop_assert!(row.is_confirmed(), "{}\n{witness:?}\n{}", row.sentence(), show(&asks[0]));
        }
        for ask in &asks {
            let posed = posed(ask);
            // What is read newly may be said only once, whoever asks.
            if is_malformed(&old, &posed) != is_malformed(&new, &posed) {
                // Which of two refusals it is isn't told.
                let is_let_through = answered(&old, &posed).or(answered(&new, &posed)).is_some();
                let is_told = found.settings.iter().any(|own| own.text.contains("only once"));
                prop_assert!(is_told || !is_let_through, "untold\n{}", show(ask));
                continue;
            }
            match (answered(&old, &posed), answered(&new, &posed)) {
                (None, None) => {}
                (None, Some((route, _))) => {
                    prop_assert!(covers(&found, Outcome::Gains, ask.method, &route), "gains untold\n{}", show(ask));
                }
                (Some((route, _)), None) => {
                    prop_assert!(covers(&found, Outcome::Loses, ask.method, &route), "loses untold\n{}", show(ask));
                }
                (Some((_, before)), Some((_, after))) => {
                    prop_assert!(before == after || !found.is_empty(), "differs untold: {before} {after}\n{}", show(ask));
                }
            }
        }
        prop_assert!(diff(&old, &old).is_empty());
    }
}
