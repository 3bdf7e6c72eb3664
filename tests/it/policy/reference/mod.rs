//! Generated policies against a naive evaluator that is written from the design and knows nothing of the engine: no
//! bits, no tries, no indices, no questions. A policy is an abstract value (`model`) that writes itself as a rule file for
//! the one side and is read by the other (`evaluate`); a case (`world`) is everything that there is to know of a
//! request. Whatever differs is shown as the file and the request.
//!
//! `PROPTEST_CASES=20000` makes a longer run of it.

mod carry;
mod changes;
mod engine;
mod evaluate;
mod facts;
mod found;
mod generate;
mod laws;
mod model;
mod obligations;
mod recorded;
mod value;
mod words;
mod world;

use proptest::prelude::*;

use self::engine::Asked;
use self::evaluate::{Expected, Judge};
use self::model::Policy;
use self::world::{Ask, Tenant, tenants_file};

/// As many cases as a run in between can wait for, unless the environment says otherwise.
fn config(cases: u32) -> ProptestConfig {
    let told = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    ProptestConfig {
        cases: told.unwrap_or(cases),
        max_shrink_iters: 1500,
        max_global_rejects: 1 << 20,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn told(policy: &Policy, tenants: &[Tenant], ask: &Ask) -> String {
    format!("{ask:?}\n--- {policy:?}\n--- rules/tenants.toml\n{}", tenants_file(tenants, policy))
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn the_compiled_rules_say_what_the_reference_says(
        policy in generate::policies(),
        tenants in generate::tenants(),
        asks in proptest::collection::vec(generate::asks(), 12),
    ) {
        let Some(snapshot) = engine::snapshot(&policy, &tenants) else { return Err(TestCaseError::reject("unreachable")) };
        for ask in &asks {
            let judge = Judge { policy: &policy, tenants: &tenants, ask, knows_all: true };
            let expected = judge.judge();
            let all = engine::knowing_all(&snapshot, &judge);
            prop_assert!(all.is(&expected), "{all:#?}\nexpected {expected:#?}\n{}", told(&policy, &tenants, ask));
            let (found, asked) = engine::asking(&snapshot, &judge);
            prop_assert!(found.is_in_rounds(&expected, &asked, ask), "asked {asked:?}: {found:#?}\nexpected {expected:#?}\n{}", told(&policy, &tenants, ask));
            let why = why_asked_in_vain(&judge, &expected, &asked);
            prop_assert!(why.is_none(), "{why:?}: {asked:?} for {expected:#?}\n{}", told(&policy, &tenants, ask));
        }
    }
}

/// Nobody is asked twice, nor where the rules refuse whatever the answer; a denial spends no seat.
fn why_asked_in_vain(judge: &Judge<'_>, expected: &Expected, asked: &Asked) -> Option<&'static str> {
    let mut once = asked.of_world.clone();
    once.sort();
    once.dedup();
    let blank = Judge { knows_all: false, ..*judge }.judge();
    let is_settled = matches!(&blank, Expected::Refused(kinds) if !kinds.contains(&"unanswered"));
    if once.len() < asked.of_world.len() || asked.seats > 1 {
        return Some("twice");
    }
    if is_settled && !asked.of_world.is_empty() {
        return Some("for a request that is refused anyway");
    }
    let is_denied = matches!(expected, Expected::Refused(kinds) if !kinds.contains(&"no-seat"));
    (asked.seats > 0 && is_denied).then_some("for a seat that a denied request would take")
}
