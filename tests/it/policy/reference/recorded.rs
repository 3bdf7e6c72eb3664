//! A decision that was recorded and put back is decided alike, and lacks nothing that the rules read.

use std::sync::Arc;
use std::time::Duration;

use gatewarden::authorize::{Evidence, Ruling};
use gatewarden::outcome::{Ending, Outcome};
use gatewarden::record::{Asked, Captured, Record, Unreplayable, parse};
use gatewarden::request::RequestView;
use gatewarden::snapshot::Snapshot;
use http::HeaderValue;
use proptest::prelude::*;

use super::evaluate::Judge;
use super::{config, engine, generate, told};

fn record(snapshot: &Arc<Snapshot>, view: &RequestView<'_>, ruling: Ruling) -> (Record, Evidence) {
    let (asked, evidence) = match ruling {
        Ruling::Permit(permit, evidence) => (Asked::of(snapshot, view, &evidence, Ok(&permit)), evidence),
        Ruling::Refuse(refusal, evidence) => (Asked::of(snapshot, view, &evidence, Err(&refusal)), evidence),
        Ruling::Ask(pending) => panic!("open questions: {:?}", pending.questions()),
    };
    let at = evidence.judged.as_ref().map_or(0, |own| own.now.0);
    let captured = Captured {
        snapshot: snapshot.clone(),
        at: jiff::Timestamp::new(i64::try_from(at).unwrap(), 123_456_000).unwrap(),
        asked: Some(Box::new(asked)),
        sampled: 1,
        overruled: None,
    };
    let outcome = Outcome {
        request_id: HeaderValue::from_static("0198"),
        method: Some(view.method.clone()),
        status: 200,
        ending: Ending::Answered,
        evidence: evidence.clone(),
        total: Duration::from_micros(7),
        deciding: Duration::from_micros(3),
        upstream: None,
        upstream_name: None,
        bytes_sent: 0,
        revision: snapshot.revision,
    };
    (Record::of(&captured, &outcome), evidence)
}

proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn a_recorded_decision_is_decided_alike_again(
        policy in generate::policies(),
        tenants in generate::tenants(),
        asks in proptest::collection::vec(generate::asks(), 12),
    ) {
        let Some(snapshot) = engine::snapshot(&policy, &tenants) else { return Err(TestCaseError::reject("unreachable")) };
        for ask in &asks {
            let judge = Judge { policy: &policy, tenants: &tenants, ask, knows_all: true };
            let (first, _) = engine::ruling(&snapshot, &judge, |view, ruling| record(&snapshot, view, ruling).0);
            let line = first.line();
            let read = parse(line.as_bytes()).unwrap();
            prop_assert_eq!(read.as_ref(), Some(&first), "{}", line);
            let posed = match first.posed(&snapshot) {
                Ok(posed) => posed,
                Err(Unreplayable::Fields) if first.reason == "body-field" => continue,
                Err(Unreplayable::NoDecision { .. }) if first.app.is_none() || first.reason.contains("ambiguous") => continue,
                Err(why) => return Err(TestCaseError::fail(format!("{why}: {line}\n{}", told(&policy, &tenants, ask)))),
            };
            let (again, missing) = posed
                .decide(&snapshot, |view, ruling| {
                    let (again, evidence) = record(&snapshot, view, ruling);
                    let missing = first.missing(&snapshot, &evidence);
                    (again, missing)
                })
                .unwrap();
            let told = || format!("{line}\n{}\n{}", again.line(), told(&policy, &tenants, ask));
            let mut expected = Record { ts: again.ts.clone(), ..first.clone() };
            // A token of another issuer's is nobody here, whatever it says.
            if first.reason == "wrong-issuer" {
                expected.facts.clone_from(&again.facts);
            }
            prop_assert_eq!(&again, &expected, "{}", told());
            prop_assert!(missing.is_empty(), "{:?}: {}", missing, told());
        }
    }
}
