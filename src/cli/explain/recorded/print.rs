//! How a recorded decision is printed: what was decided then, what is known of it and what isn't, and what the rules of now
//! say, step by step.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::super::print::{beside, headline, steps, value};
use super::{Review, Told};
use crate::hindsight::again::{Again, Change};
use crate::record::{Effect, Record};

/// For people.
pub(super) fn human(told: &Told<'_>) -> String {
    let mut text = then(told);
    match told.other {
        None => now(&mut text, told),
        Some(other) => {
            // Writing to a String can't fail.
            let _ = writeln!(text, "\nA  {}", verdict(told, told.review));
            let _ = writeln!(text, "B  {}", verdict(told, other));
            text.push_str(&beside(&[told.review.side(), other.side()]));
        }
    }
    text
}

/// What was decided, and what the record says of it.
fn then(told: &Told<'_>) -> String {
    let record = &told.found.record;
    let word = match record.effect {
        Effect::Allow => "ALLOW".to_owned(),
        Effect::Deny => format!("DENY  {}", record.status),
    };
    let mut text = format!("{word}  {:<28} {}  {}\n", record.reason, record.ts, told.found.place);
    let mut line = |what: &str, is: String| {
        // Writing to a String can't fail.
        let _ = writeln!(text, "   {what:<10}{is}");
    };
    line("asked", asked(record));
    line("by", caller(record));
    line("decided", decided(record));
    if !record.obligations.is_empty() {
        line("held back", record.obligations.join(", "));
    }
    let facts: Vec<String> = record.facts.iter().map(|(name, value)| known(name, value)).collect();
    if !facts.is_empty() {
        line("known", facts.join(", "));
    }
    let answers: Vec<String> =
        record.answers.iter().map(|(name, word)| format!("{name}: {}", plain(word))).collect();
    if !answers.is_empty() {
        line("look-ups", answers.join(", "));
    }
    if !record.erased.is_empty() {
        line("masked", format!("{}: left out on purpose, so not known here", record.erased.join(", ")));
    }
    if record.dropped_before > 0 {
        line("lost", format!("{} records before this one", record.dropped_before));
    }
    if told.found.more > 0 {
        line("also", format!("{} more decisions have this id", told.found.more));
    }
    text
}

fn asked(record: &Record) -> String {
    let method = record.method.as_deref().unwrap_or("?");
    let what = record.event.as_deref().or(record.path.as_deref()).or(record.route.as_deref());
    let host = record.host.as_deref().map(|host| format!(" on {host}")).unwrap_or_default();
    let of = match (&record.app, &record.permission) {
        (Some(app), Some(permission)) => format!(" -> {app}: {permission}"),
        (Some(app), None) => format!(" -> {app}"),
        _ => String::new(),
    };
    format!("{method} {}{host}{of}", what.unwrap_or("(what can't be read)"))
}

fn caller(record: &Record) -> String {
    let who = match (&record.issuer, &record.sub) {
        (Some(issuer), Some(sub)) => format!("{sub} ({issuer})"),
        (Some(issuer), None) => format!("someone of {issuer}"),
        (None, _) => "nobody whose token counted".to_owned(),
    };
    let roles = if record.roles.is_empty() { "no role".to_owned() } else { record.roles.join(", ") };
    let tenant = record.tenant.as_deref().unwrap_or("none proven");
    format!("{who}; roles: {roles}; tenant: {tenant}")
}

fn decided(record: &Record) -> String {
    let hash = record.rules.hash.get(..8).unwrap_or(&record.rules.hash);
    let place = record.rule.as_deref().map(|rule| format!("   {rule}")).unwrap_or_default();
    let why = match (&record.role, &record.condition, record.effect) {
        (Some(role), _, Effect::Allow) => format!(": a grant of {role}"),
        (Some(role), Some(condition), _) => format!(": nearest was a grant of {role}, but `{condition}`"),
        (None, Some(condition), _) => format!(": `{condition}` is required"),
        _ => String::new(),
    };
    format!("by revision {} (rules {hash}){why}{place}", record.rules.revision)
}

fn known(name: &str, value: &Value) -> String {
    match value {
        Value::Null => format!("{name} absent"),
        Value::Object(_) => format!("{name} unreadable"),
        value => format!("{name} = {}", plain(value)),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What the rules of now say, and each step of it.
fn now(text: &mut String, told: &Told<'_>) {
    let review = told.review;
    // Writing to a String can't fail.
    let _ = writeln!(text, "\n{}", verdict(told, review));
    let Some(answer) = &review.answer else { return };
    steps(text, &answer.steps);
    for sentence in answer.about_nearest().iter().chain(&answer.hints) {
        let _ = writeln!(text, "   {sentence}");
    }
}

/// `now, by live (revision 42): ALLOW  granted: would be allowed since revision 42 (2026-11-21T…)`.
fn verdict(told: &Told<'_>, review: &Review) -> String {
    let record = &told.found.record;
    let hash = review.snapshot.hash.get(..8).unwrap_or(&review.snapshot.hash);
    let by = format!("by {} (rules {hash})", review.name);
    let is_now = std::ptr::eq(review, told.review);
    let since = match &told.since {
        Some(since) if is_now => format!(", since revision {} went live {}", since.revision, since.at),
        _ => String::new(),
    };
    let head = review.answer.as_ref().map(headline).unwrap_or_default();
    match &review.again {
        Again::Alike if review.is_same(record) => {
            format!("{by}, the very rules that decided; the steps:")
        }
        Again::Alike => format!("{by}: {head}: it would be answered alike"),
        Again::Otherwise(_, _) if review.is_same(record) => {
            format!(
                "{by}, the very rules that decided, it would be {head}: something else than rules decided then"
            )
        }
        Again::Otherwise(_, change) => {
            let word = match change {
                Change::Gained => "it would be allowed",
                Change::Lost => "it would be denied",
                Change::Wider | Change::Narrower => "other things would be held back",
                Change::Tenant => "it would be allowed for another tenant",
                Change::Upstream => "it would be sent to another upstream",
                Change::Reason => "it would be denied for another reason",
            };
            format!("{by}: {head}: {word}{since}")
        }
        Again::Unknown(_, missing) => format!(
            "{by} it can't be known: they read {}, which the record doesn't hold; without it: {head}",
            missing.iter().map(|own| &**own).collect::<Vec<_>>().join(", ")
        ),
        Again::Apart(why) => format!("{by} there is nothing to say: {why}"),
    }
}

/// For a program.
pub(super) fn machine(told: &Told<'_>) -> String {
    let document = json!({
        "schema": "gatewarden.explain/1",
        "found": told.found.place,
        "more": told.found.more,
        "then": told.found.record,
        "now": review(told, told.review),
        "against": told.other.map(|other| review(told, other)),
        "since": told.since.as_ref().map(|own| json!({ "revision": own.revision, "ts": own.at })),
    });
    format!("{document:#}")
}

fn review(told: &Told<'_>, review: &Review) -> Value {
    let (change, missing) = match &review.again {
        Again::Alike => ("alike", Vec::new()),
        Again::Otherwise(_, change) => (change.as_str(), Vec::new()),
        Again::Unknown(_, missing) => ("unknown", missing.clone()),
        Again::Apart(_) => ("apart", Vec::new()),
    };
    json!({
        "name": review.name, "hash": &*review.snapshot.hash, "change": change, "missing": missing,
        "same_rules": review.is_same(&told.found.record), "says": verdict(told, review),
        "answer": review.answer.as_ref().map(value),
    })
}
