//! What holds of every policy, whatever it says: grants only add up, no order means anything, and a file that is cut off
//! grants no more than the whole one.

use gatewarden::config::{Carried, compile};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::engine::{self, Verdict};
use super::evaluate::{Allowed, Judge};
use super::generate;
use super::model::{Cond, Policy, Term};
use super::world::{Answer, Ask, Tenant};
use super::{config, told};

/// The same policy with everything that stands in a list written the other way round.
fn reversed(policy: &Policy) -> Policy {
    fn turn(cond: &mut Cond) {
        match cond {
            Cond::All(parts) | Cond::Any(parts) => {
                parts.reverse();
                parts.iter_mut().for_each(turn);
            }
            Cond::Not(part) => turn(part),
            Cond::Leaf(_) | Cond::Named(_) => {}
        }
    }
    let mut own = policy.clone();
    own.conditions.iter_mut().for_each(turn);
    own.requirements.reverse();
    own.carried.masks.reverse();
    for role in own.roles.iter_mut().chain(&mut own.anyone) {
        for terms in &mut role.grants {
            terms.reverse();
            for term in terms {
                if let Term::One { conditions, .. } = term {
                    conditions.reverse();
                }
            }
        }
    }
    own
}

/// The same request of someone who has every role there is, and a seat.
fn with_every_role(ask: &Ask) -> Ask {
    let all = json!(["role0", "role1", "role2", "boss", "chief"]);
    let mut own = ask.clone();
    if let Some((_, claims)) = &mut own.caller {
        claims.insert("roles".into(), all.clone());
    }
    for (name, answer) in &mut own.answers {
        if let (&mut "me", Answer::Found(Json::Object(members))) = (&mut *name, answer) {
            members.insert("roles".into(), all.clone());
        }
    }
    own
}

/// The same policy with one grant more.
fn with_a_grant(policy: &Policy, (role, resource, scope): (usize, usize, usize)) -> Policy {
    let mut own = policy.clone();
    let resource = resource % own.resources.len();
    let terms = &mut own.roles[role].grants[scope];
    if !terms.iter().any(|term| matches!(term, Term::Not(_))) {
        terms.insert(0, Term::One { resource, conditions: Vec::new(), until: None });
    }
    own.tidied()
}

fn verdict(policy: &Policy, tenants: &[Tenant], ask: &Ask) -> Option<Verdict> {
    let snapshot = engine::snapshot(policy, tenants)?;
    Some(engine::knowing_all(&snapshot, &Judge { policy, tenants, ask, knows_all: true }))
}

/// Whether one permit shows all that another shows.
fn shows_as_much(one: &Allowed, other: &Allowed) -> bool {
    let filtered =
        |own: &Allowed| own.query.iter().filter(|(key, _)| key == "owner" || key == "team").count();
    one.masks.is_subset(&other.masks) && one.kept == other.kept && filtered(one) <= filtered(other)
}

proptest! {
    #![proptest_config(config(40))]

    #[test]
    fn no_order_means_anything(
        policy in generate::policies(),
        tenants in generate::tenants(),
        asks in proptest::collection::vec(generate::asks(), 8),
    ) {
        let other = reversed(&policy);
        let (Some(one), Some(two)) = (engine::snapshot(&policy, &tenants), engine::snapshot(&other, &tenants)) else {
            return Err(TestCaseError::reject("unreachable"));
        };
        for ask in &asks {
            let judge = Judge { policy: &policy, tenants: &tenants, ask, knows_all: true };
            let found = [engine::knowing_all(&one, &judge), engine::knowing_all(&two, &judge)];
            let alike = match &found {
                [Verdict::Allowed(one), Verdict::Allowed(two)] => {
                    Allowed { permissions: two.permissions.clone(), ..one.clone() } == *two
                }
                [one, two] => matches!((one, two), (Verdict::Refused(_), Verdict::Refused(_))),
            };
            prop_assert!(alike, "{found:#?}\n{}\n--- the other way round: {other:?}", told(&policy, &tenants, ask));
        }
    }

    #[test]
    fn one_role_or_grant_more_never_takes_access_away(
        policy in generate::policies(),
        tenants in generate::tenants(),
        mut asks in proptest::collection::vec(generate::asks(), 8),
        grant in (0..3usize, 0..3usize, 0..3usize),
    ) {
        let more = with_a_grant(&policy, grant);
        for ask in &mut asks {
            ask.seated = true;
            let Some(Verdict::Allowed(before)) = verdict(&policy, &tenants, ask) else { continue };
            for (other, asked) in [(&policy, with_every_role(ask)), (&more, ask.clone())] {
                let Some(found) = verdict(other, &tenants, &asked) else { continue };
                let Verdict::Allowed(after) = &found else {
                    return Err(TestCaseError::fail(format!("{found:?}\n{}\n{}", told(&policy, &tenants, ask), told(other, &tenants, &asked))));
                };
                prop_assert!(shows_as_much(after, &before), "{after:?}\nafter {before:?}\n{}\n{}", told(&policy, &tenants, ask), told(other, &tenants, &asked));
            }
        }
    }
}

proptest! {
    #![proptest_config(config(6))]

    #[test]
    fn a_file_that_is_cut_off_grants_no_more(
        policy in generate::policies(),
        tenants in generate::tenants(),
        asks in proptest::collection::vec(generate::asks(), 6),
    ) {
        let Some(whole) = engine::snapshot(&policy, &tenants) else { return Err(TestCaseError::reject("unreachable")) };
        let mut sources = engine::sources(&policy, &tenants);
        let text = policy.rules();
        // Before the first resource there is nothing to be granted.
        let first = text.find("[resource").or(text.find("[matrix]")).unwrap();
        let ends = text.char_indices().filter(|(_, c)| "\n]".contains(*c)).map(|(at, _)| at + 1);
        for end in ends.filter(|end| *end > first) {
            sources.files[1].text = text[..end].to_owned();
            let Ok(cut) = compile(&sources, Carried::nothing()) else { continue };
            let cut = std::sync::Arc::new(cut.snapshot);
            for ask in &asks {
                let judge = Judge { policy: &policy, tenants: &tenants, ask, knows_all: true };
                let allows = |found: Verdict| matches!(found, Verdict::Allowed(_));
                if allows(engine::knowing_all(&cut, &judge)) {
                    prop_assert!(allows(engine::knowing_all(&whole, &judge)), "cut at {end}:\n{}\n{}", &text[..end], told(&policy, &tenants, ask));
                }
            }
        }
    }
}
