//! Generated policies against a naive evaluator that is written from the design and knows nothing of the engine: no
//! bits, no tries, no indices, no questions. A policy is an abstract value (`model`) that writes itself as a rule file for
//! the one side and is read by the other (`evaluate`); a case (`world`) is everything that there is to know of a
//! request. Whatever differs is shown as the file and the request.
//!
//! `PROPTEST_CASES=20000` makes a longer run of it.

mod engine;
mod evaluate;
mod generate;
mod model;
mod value;
mod words;
mod world;

use proptest::prelude::*;

use self::evaluate::{Expected, Judge};
use self::model::Policy;
use self::world::{Ask, Tenant, tenants_file};

/// As many cases as a run in between can wait for, unless the environment says otherwise.
fn config(cases: u32) -> ProptestConfig {
    let told = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    ProptestConfig {
        cases: told.unwrap_or(cases),
        max_shrink_iters: 20_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn told(policy: &Policy, tenants: &[Tenant], ask: &Ask) -> String {
    format!("{ask:?}\n--- {policy:?}\n--- rules/tenants.toml\n{}", tenants_file(tenants, policy))
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn the_compiled_rules_say_what_the_reference_says(
        policy in generate::policies(),
        tenants in generate::tenants(),
        asks in proptest::collection::vec(generate::asks(), 12),
    ) {
        let snapshot = engine::snapshot(&policy, &tenants);
        for ask in &asks {
            let expected: Expected = Judge { policy: &policy, tenants: &tenants, ask }.judge();
            for found in [engine::knowing_all(&snapshot, ask), engine::asking(&snapshot, ask)] {
                prop_assert!(found.is(&expected), "{found:#?}\nexpected {expected:#?}\n{}", told(&policy, &tenants, ask));
            }
        }
    }
}
