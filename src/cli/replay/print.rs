//! How a replay is printed: for people, for a pull request, for a program.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Printed;
use crate::hindsight::Met;
use crate::hindsight::again::Change;
use crate::hindsight::replay::{Denied, Group, Key, Kind, Replay};

/// Groups that people are shown; programs get all.
const SHOWN: usize = 50;
const CHANGES: [Change; 7] = [
    Change::Gained,
    Change::Tenant,
    Change::Upstream,
    Change::Wider,
    Change::Lost,
    Change::Narrower,
    Change::Reason,
];

/// For people.
pub(super) fn human(printed: &Printed<'_>) -> String {
    let replay = printed.replay;
    let mut text = String::new();
    // Writing to a String can't fail.
    let _ = writeln!(text, "{}", title(printed));
    for (count, what) in sums(replay) {
        let _ = writeln!(text, "{count:>12}  {what}");
    }
    for sentence in caveats(printed) {
        let _ = writeln!(text, "note: {sentence}");
    }
    let groups = replay.groups();
    let mut last = None;
    for (key, group) in groups.iter().take(SHOWN) {
        let kind = heading(&key.kind);
        if last.as_ref() != Some(&kind) {
            let _ = writeln!(text, "\n{kind}");
        }
        last = Some(kind);
        let _ = writeln!(text, "  {:<44} {}", whom(group), subject(key));
        let _ = writeln!(text, "      {}", reasons(key, group));
        let _ = writeln!(text, "      e.g. {}", group.samples.join(", "));
    }
    if groups.len() > SHOWN {
        let _ = writeln!(text, "\nand {} groups more: --format json has them all", groups.len() - SHOWN);
    }
    text
}

/// `replay of 10 000 requests by rules-next (9c7f22d1), decided from … to …`.
fn title(printed: &Printed<'_>) -> String {
    let hash = printed.hash.get(..8).unwrap_or(printed.hash);
    let period = match &printed.replay.period {
        Some((first, last)) => format!(", decided from {first} to {last}"),
        None => String::new(),
    };
    format!(
        "replay of {} by {} (rules {hash}){period}",
        many(printed.replay.requests, "request"),
        printed.rules
    )
}

fn sums(replay: &Replay) -> Vec<(u64, String)> {
    let mut sums = vec![(replay.alike, "are answered alike".to_owned())];
    for change in CHANGES {
        let count = replay.count(|kind| *kind == Kind::Changed(change));
        let effect = match (change.widens(), change.narrows()) {
            (true, _) => "   WIDENS",
            (_, true) => "   narrows",
            _ => "",
        };
        sums.push((count, format!("{}{effect}", change.as_str())));
    }
    sums.push((
        replay.count(|kind| matches!(kind, Kind::Unknown(..))),
        "can't be known: the log doesn't hold what the rules read".to_owned(),
    ));
    sums.push((replay.beyond, "changed in more ways than are told apart".to_owned()));
    sums.push((
        total(&replay.before_rules),
        format!("were refused before any rule{}", words(&replay.before_rules)),
    ));
    sums.push((total(&replay.unreplayable), format!("can't be put again{}", words(&replay.unreplayable))));
    let first = sums.remove(0);
    sums.retain(|(count, _)| *count > 0);
    sums.insert(0, first);
    sums
}

fn total(counts: &BTreeMap<String, u64>) -> u64 {
    counts.values().sum()
}

fn words(counts: &BTreeMap<String, u64>) -> String {
    let words: Vec<String> = counts.iter().map(|(word, count)| format!("{word} {count}")).collect();
    if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) }
}

/// What makes the sums unsure.
fn caveats(printed: &Printed<'_>) -> Vec<String> {
    let replay = printed.replay;
    let mut said = Vec::new();
    if replay.records == 0 {
        said.push("there was no decision in the log".to_owned());
    }
    if replay.sampled > 0 {
        said.push(format!(
            "{} stand for more of their kind: requests are estimates, people and tenants are at least as many",
            many(replay.sampled, "record")
        ));
    }
    if replay.dropped > 0 {
        said.push(format!("the log lost {}", many(replay.dropped, "record")));
    }
    if printed.unread.count > 0 {
        said.push(format!("{} can't be read", many(printed.unread.count, "line")));
    }
    let is_own = |(_, hash): &&(u64, String)| hash == printed.hash;
    if !replay.decided_by.is_empty() && replay.decided_by.keys().all(|own| is_own(&own)) {
        said.push("these are the rules that decided: what differs wasn't theirs to decide".to_owned());
    }
    said
}

fn many(count: u64, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

/// What a group is told under.
fn heading(kind: &Kind) -> String {
    match kind {
        Kind::Changed(change) => change.as_str().to_owned(),
        Kind::Unknown(..) => "can't be known".to_owned(),
    }
}

fn whom(group: &Group) -> String {
    let counted = |met: &Met, one: &str, more: &str| {
        let at_least = if met.is_full() { "at least " } else { "" };
        format!("{at_least}{} {}", met.count(), if met.count() == 1 { one } else { more })
    };
    format!(
        "{}, {}, {}",
        many(group.requests, "request"),
        counted(&group.people, "person", "people"),
        counted(&group.tenants, "tenant", "tenants")
    )
}

fn subject(key: &Key) -> String {
    let roles = if key.roles.is_empty() { "no role".to_owned() } else { key.roles.join(", ") };
    let app = if key.app.is_empty() { "-" } else { &key.app };
    format!("{app}  {}  {roles}", key.what)
}

fn reasons(key: &Key, group: &Group) -> String {
    let at = |place: &Option<String>| place.as_ref().map(|own| format!(" ({own})")).unwrap_or_default();
    let (then, now) = (&key.reasons.0, &key.reasons.1);
    let (was, is) = (at(&group.rules.0), at(&group.rules.1));
    match &key.kind {
        Kind::Unknown(missing, denied) => {
            let effect = if *denied == Denied::Then { "denied" } else { "allowed" };
            let names: Vec<&str> = missing.iter().map(|own| &**own).collect();
            format!(
                "then {effect} for {then}{was}; now it rests on {}, which the log doesn't hold or which was masked",
                names.join(", ")
            )
        }
        Kind::Changed(Change::Wider | Change::Narrower) => {
            let list = |own: &[String]| if own.is_empty() { "nothing".to_owned() } else { own.join(", ") };
            let (held, holds) = &key.obligations;
            format!("then held back: {}{was}; now: {}{is}", list(held), list(holds))
        }
        Kind::Changed(change @ (Change::Tenant | Change::Upstream)) => {
            let what = if *change == Change::Tenant { "for tenant" } else { "by upstream" };
            let (held, holds) = &key.obligations;
            format!("then {what} {}{was}; now {what} {}{is}", held.join(", "), holds.join(", "))
        }
        Kind::Changed(_) => format!("then {then}{was}; now {now}{is}"),
    }
}

/// For a pull request.
pub(super) fn markdown(printed: &Printed<'_>) -> String {
    let mut text = format!("### {}\n\n", title(printed));
    for (count, what) in sums(printed.replay) {
        let _ = writeln!(text, "- {count} {what}");
    }
    for sentence in caveats(printed) {
        let _ = writeln!(text, "\n> {sentence}");
    }
    let groups = printed.replay.groups();
    if !groups.is_empty() {
        let _ = writeln!(
            text,
            "\n| change | app | permission or route | roles | requests | people | tenants | reasons | e.g. |"
        );
        let _ = writeln!(text, "|---|---|---|---|---|---|---|---|---|");
    }
    for (key, group) in groups.iter().take(SHOWN) {
        let cells = [
            heading(&key.kind),
            key.app.clone(),
            key.what.clone(),
            key.roles.join(", "),
            group.requests.to_string(),
            group.people.count().to_string(),
            group.tenants.count().to_string(),
            reasons(key, group),
            group.samples.first().cloned().unwrap_or_default(),
        ];
        let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    if groups.len() > SHOWN {
        let _ = writeln!(text, "\nand {} groups more", groups.len() - SHOWN);
    }
    text
}

/// For a program.
pub(super) fn machine(printed: &Printed<'_>) -> String {
    let replay = printed.replay;
    let of = |change: Change| replay.count(|kind| *kind == Kind::Changed(change));
    let changed: serde_json::Map<String, Value> = [
        ("deny_to_allow", Change::Gained),
        ("allow_to_deny", Change::Lost),
        ("other_tenant", Change::Tenant),
        ("other_upstream", Change::Upstream),
        ("wider_obligations", Change::Wider),
        ("narrower_obligations", Change::Narrower),
        ("other_reason", Change::Reason),
    ]
    .into_iter()
    .map(|(name, change)| (name.to_owned(), of(change).into()))
    .collect();
    let decided_by: Vec<Value> = replay
        .decided_by
        .iter()
        .map(|((revision, hash), records)| json!({ "revision": revision, "hash": hash, "records": records }))
        .collect();
    let document = json!({
        "schema": "gatewarden.replay/1",
        "rules": { "name": printed.rules, "hash": printed.hash },
        "period": replay.period.as_ref().map(|(first, last)| json!({ "from": first, "to": last })),
        "records": replay.records, "requests": replay.requests, "alike": replay.alike,
        "changed": changed,
        "unknown": replay.count(|kind| matches!(kind, Kind::Unknown(..))),
        "beyond": replay.beyond,
        "before_rules": replay.before_rules, "unreplayable": replay.unreplayable,
        "sampled_records": replay.sampled, "dropped": replay.dropped,
        "unreadable_lines": printed.unread.count, "decided_by": decided_by,
        "groups": replay.groups().into_iter().map(|(key, group)| one(key, group)).collect::<Vec<_>>(),
    });
    format!("{document:#}")
}

fn one(key: &Key, group: &Group) -> Value {
    let (missing, denied) = match &key.kind {
        Kind::Unknown(missing, denied) => (missing.as_slice(), Some(*denied == Denied::Then)),
        Kind::Changed(_) => (&[][..], None),
    };
    json!({
        "change": heading(&key.kind), "widens": key.kind.widens(), "narrows": key.kind.narrows(),
        "app": key.app, "what": key.what, "roles": key.roles,
        "then": { "reason": key.reasons.0, "rule": group.rules.0, "obligations": key.obligations.0, "denied": denied },
        "now": { "reason": key.reasons.1, "rule": group.rules.1, "obligations": key.obligations.1 },
        "missing": missing,
        "requests": group.requests, "people": group.people.count(), "tenants": group.tenants.count(),
        "at_least": group.people.is_full(), "samples": group.samples,
    })
}
