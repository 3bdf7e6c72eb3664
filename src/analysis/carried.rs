//! What a ruling rested on beside the request, and what an allow carries along, as steps of an explanation.

use super::trace::Step;
use crate::authorize::{Evidence, Judged, Permit};
use crate::fact::Source;
use crate::policy::lookup::LookedUp;
use crate::policy::{App, Condition, Facts, Operand, Truth};
use crate::seat::{Over, Which};
use crate::snapshot::Snapshot;

/// What apps answered about themselves, and the body if it was read.
pub(super) fn answers(app: &App, judged: &Judged) -> Vec<Step> {
    let answer = |(index, own): (usize, &crate::policy::obligation::LookUp)| {
        let text = match judged.known.looked_up(judged.operation.app, index)? {
            LookedUp::Found(document) => format!("{}: {}", own.name, shortened(&document.to_string())),
            LookedUp::Nothing => format!("{}: there is no such thing, or it can't be asked", own.name),
            LookedUp::Unavailable(why) => format!("{}: no answer ({})", own.name, why.as_str()),
        };
        Some(Step { stage: "look-up", text, place: Some(own.place.clone()), tests: Vec::new() })
    };
    app.look_ups.iter().enumerate().filter_map(answer).collect()
}

fn shortened(text: &str) -> String {
    const SHOWN: usize = 120;
    match text.char_indices().nth(SHOWN) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

/// What is done to the request and its answer because of the rules.
#[must_use]
pub fn carried(snapshot: &Snapshot, permit: &Permit, evidence: &Evidence) -> Vec<Step> {
    let step = |text| Step { stage: "carries", text, place: None, tests: Vec::new() };
    let mut steps = Vec::new();
    for (key, value) in &evidence.narrowed {
        steps.push(step(format!("the list is filtered by {key} = '{value}'")));
    }
    steps.extend(edited(snapshot, permit, evidence).into_iter().map(step));
    steps.extend(evidence.judged.as_ref().and_then(seat).map(step));
    for (name, value) in permit.supplied() {
        let told = step(format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())));
        if !steps.contains(&told) {
            steps.push(told);
        }
    }
    for (name, value) in &evidence.audited {
        steps.push(step(format!("on record: {name} = {value}")));
    }
    steps
}

/// What is done to the answer, in sentences.
pub(super) fn edited(snapshot: &Snapshot, permit: &Permit, evidence: &Evidence) -> Vec<String> {
    let mut told = Vec::new();
    let Some(edits) = permit.edits() else { return told };
    if !edits.masks.is_empty() {
        let hidden: Vec<_> = edits.masks.iter().map(ToString::to_string).collect();
        told.push(format!("{} hidden in the answer", hidden.join(", ")));
    }
    let conditions = conditions_of_filters(snapshot, evidence);
    for (filter, condition) in edits.filters.iter().zip(conditions) {
        let items = filter.items.to_string();
        let items = if items.is_empty() { "the answer's array".to_owned() } else { items };
        told.push(format!("of {items} only what meets `{condition}` is passed on"));
    }
    told
}

/// The licence seat that was asked for.
fn seat(judged: &Judged) -> Option<String> {
    judged.known.seated(judged.operation.app)?;
    let tenant = judged.tenant.as_ref()?;
    let seats = tenant.seats();
    let of = |which: Which| Some(format!("{} {}", seats.limit(which)?, which.as_str()));
    let numbers: Vec<_> = Which::ALL.into_iter().filter_map(of).collect();
    let there_are = match (numbers.is_empty(), seats.over) {
        (true, _) => "counted, never over".to_owned(),
        (false, Over::Report) => format!("{}; whoever is over is reported", numbers.join(", ")),
        (false, Over::Refuse) => format!("{}; whoever is over is refused", numbers.join(", ")),
    };
    Some(format!("a licence seat of {} is taken ({there_are})", tenant.name))
}

fn conditions_of_filters(snapshot: &Snapshot, evidence: &Evidence) -> Vec<String> {
    let found = evidence.judged.as_ref().and_then(|judged| snapshot.operation(judged.operation));
    let Some((app, operation)) = found else { return Vec::new() };
    let name = |keep: usize| app.conditions.get(keep).map_or_else(String::new, |own| own.name.to_string());
    operation.obligations.filters.iter().map(|filter| name(filter.keep)).collect()
}

/// The facts that a condition reads and that nobody stated, where an operator could state them.
pub(super) fn unknown(app: &App, condition: usize, facts: &Facts<'_>, into: &mut Vec<Box<str>>) {
    Condition::Named(condition).leaves(&app.conditions, &mut |leaf| {
        if leaf.test(facts) != Truth::Unknown {
            return;
        }
        let operand = match leaf.operand {
            Operand::Fact(other) => Some(other),
            Operand::Literal(_) => None,
        };
        for index in [Some(leaf.fact), operand].into_iter().flatten() {
            let Some(fact) = app.facts.get(index).filter(|_| facts.get(index).is_none()) else { continue };
            let is_statable = !matches!(fact.source, Source::Tenant(_) | Source::Path(_));
            if is_statable && !into.contains(&fact.name) {
                into.push(fact.name.clone());
            }
        }
    });
}
