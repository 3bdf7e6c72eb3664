//! How suggestions are printed: what a period was, what makes it unsure, and what it says.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Printed;
use crate::hindsight::suggest::{Denied, Findings, Held, Needed, Repaired, Unused, Used, Why};

/// Denials that people are shown; programs get all.
const SHOWN: usize = 20;

/// For people.
pub(super) fn human(printed: &Printed<'_>) -> String {
    let findings = printed.findings;
    let mut text = String::new();
    // Writing to a String can't fail.
    let _ = writeln!(text, "{}", title(printed));
    for sentence in caveats(printed) {
        let _ = writeln!(text, "note: {sentence}");
    }
    let mut part = |head: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            let _ = writeln!(text, "\n{head}");
            lines.iter().for_each(|line| {
                let _ = writeln!(text, "  {line}");
            });
        }
    };
    let absent = findings.absent.iter();
    part(
        "roles that nobody came with",
        absent.map(|own| format!("{}  {}   {}", own.app, own.role, own.place)).collect(),
    );
    let of = |why: &Why| findings.unused.iter().filter(|own| own.why == *why).map(unused).collect();
    part("grants that nobody used", of(&Why::NeverUsed));
    part("grants that weren't needed beside the others of the role", of(&Why::NotNeeded));
    part("the least that would have sufficed", findings.least.iter().map(needed).collect());
    part(
        "conditions that stood against nobody; perhaps because nobody tried",
        findings.held.iter().map(held).collect(),
    );
    let denied = findings.denied.iter().take(SHOWN);
    part("asked for in vain, again and again; each of these would WIDEN", denied.map(denied_line).collect());
    if findings.denied.len() > SHOWN {
        let _ = writeln!(text, "  and {} more: --format json has them all", findings.denied.len() - SHOWN);
    }
    if is_silent(findings) {
        let _ = writeln!(text, "\nevery grant was used, and nothing was asked for in vain");
    }
    let _ = writeln!(text, "\nnothing was changed; what wasn't needed then may be needed yet");
    text
}

fn is_silent(findings: &Findings) -> bool {
    findings.absent.is_empty() && findings.unused.is_empty() && findings.denied.is_empty()
}

fn title(printed: &Printed<'_>) -> String {
    let hash = printed.hash.get(..8).unwrap_or(printed.hash);
    let length = printed.period.between.as_ref().map(|(first, last)| {
        let long = length(first, last).map(|own| format!(", {own}")).unwrap_or_default();
        format!(" from {first} to {last}{long}")
    });
    let requests = match printed.period.requests {
        own if own == printed.period.records => String::new(),
        own => format!(", which stand for {own} requests"),
    };
    format!(
        "{} decisions{}{requests}; held against {} (rules {hash})",
        printed.period.records,
        length.unwrap_or_default(),
        printed.rules
    )
}

/// `12 days`, `3 hours`.
fn length(first: &str, last: &str) -> Option<String> {
    let (first, last): (jiff::Timestamp, jiff::Timestamp) = (first.parse().ok()?, last.parse().ok()?);
    let seconds = last.as_second() - first.as_second();
    let of = |count: i64, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    Some(match seconds {
        ..120 => of(seconds, "second"),
        120..7_200 => of(seconds / 60, "minute"),
        7_200..172_800 => of(seconds / 3_600, "hour"),
        _ => of(seconds / 86_400, "day"),
    })
}

/// What makes it unsure.
fn caveats(printed: &Printed<'_>) -> Vec<String> {
    let period = printed.period;
    let mut said = Vec::new();
    if period.sampled > 0 {
        said.push(format!(
            "allows were sampled ({} of the records stand for more): what looks unused may have been used",
            period.sampled
        ));
    }
    if period.dropped > 0 {
        said.push(format!("the log lost {} records: what looks unused may have been used", period.dropped));
    }
    if printed.unread.count > 0 {
        said.push(format!("{} lines can't be read", printed.unread.count));
    }
    if period.beyond > 0 {
        said.push(format!("{} requests were of more kinds than are told apart", period.beyond));
    }
    let others: u64 = period
        .decided_by
        .iter()
        .filter(|(hash, _)| **hash != *printed.hash)
        .map(|(_, records)| records)
        .sum();
    if others > 0 {
        said.push(format!("{others} of the decisions were made by other rules than these"));
    }
    if printed.findings.gone > 0 {
        said.push(format!(
            "{} requests were for operations that aren't there any more",
            printed.findings.gone
        ));
    }
    said
}

/// `3 requests, 1 person`.
fn whom(people: usize, requests: u64) -> String {
    let (request, person) =
        (if requests == 1 { "request" } else { "requests" }, if people == 1 { "person" } else { "people" });
    format!("{requests} {request}, {people} {person}")
}

fn unused(own: &Unused) -> String {
    format!("{}  {}  {}   {}", own.app, own.role, own.permission, own.place)
}

fn needed(own: &Needed) -> String {
    let used = |own: &Used| format!("{} ({})", own.permission, whom(own.people, own.requests));
    let permissions: Vec<String> = own.permissions.iter().map(used).collect();
    let least = if permissions.is_empty() { "nothing".to_owned() } else { permissions.join(", ") };
    format!(
        "{}  {} ({}): {} of {} permissions: {least}",
        own.app,
        own.role,
        whom(own.people, own.requests),
        own.permissions.len(),
        own.granted
    )
}

fn held(own: &Held) -> String {
    let of = match &own.grant {
        Some((role, permission)) => format!("{role} {permission} if {}", own.condition),
        None => format!("{} is required", own.condition),
    };
    format!("{}  {of}: {}   {}", own.app, whom(own.people, own.requests), own.place)
}

fn denied_line(own: &Denied) -> String {
    let roles = if own.roles.is_empty() { "no role".to_owned() } else { own.roles.join(", ") };
    let why = match &own.condition {
        Some(condition) => format!("{}: {condition}", own.reason),
        None => own.reason.clone(),
    };
    format!(
        "{}  {}  {roles}: {} ({why})\n      {}",
        own.app,
        own.operation,
        whom(own.people, own.requests),
        repaired(own)
    )
}

fn repaired(own: &Denied) -> String {
    match &own.repaired {
        Repaired::Grant { permission, beside } => {
            let (resource, scope) = permission.split_once('#').unwrap_or((permission, ""));
            let whom = match own.roles.as_slice() {
                [] => "a role that they hold".to_owned(),
                [only] => format!("`{only}`"),
                several => format!("one of {}", several.join(", ")),
            };
            let more = match beside.as_slice() {
                [] => ", which permits nothing else".to_owned(),
                beside => format!(", which permits {} too", beside.join(", ")),
            };
            format!("least grant: `{resource}` in `{scope}` of {whom}{more}   WIDENS")
        }
        Repaired::Unconditional { role, permission } => {
            let condition = own.condition.as_deref().unwrap_or("its condition");
            format!(
                "no grant is missing: {role} has {permission}, and it would take it without `{condition}`   WIDENS"
            )
        }
        Repaired::NoGrant => "no grant would have let them in: what is required stood against it".to_owned(),
        Repaired::Nothing => "no grant would have let them in: there is no such operation now".to_owned(),
    }
}

/// For a program.
pub(super) fn machine(printed: &Printed<'_>) -> String {
    let (period, findings) = (printed.period, printed.findings);
    let least = |own: &Needed| {
        let used = |own: &Used| json!({ "permission": &*own.permission, "requests": own.requests, "people": own.people });
        json!({
            "app": &*own.app, "role": &*own.role, "people": own.people, "requests": own.requests,
            "granted": own.granted, "needed": own.permissions.iter().map(used).collect::<Vec<_>>(),
        })
    };
    let document = json!({
        "schema": "gatewarden.suggest/1",
        "rules": { "name": printed.rules, "hash": printed.hash },
        "period": period.between.as_ref().map(|(first, last)| json!({ "from": first, "to": last })),
        "records": period.records, "requests": period.requests,
        "unsure": {
            "sampled_records": period.sampled, "dropped": period.dropped, "beyond": period.beyond,
            "unreadable_lines": printed.unread.count, "gone": findings.gone,
            "notes": caveats(printed),
        },
        "absent_roles": findings.absent.iter().map(|own| json!({ "app": &*own.app, "role": &*own.role, "place": &*own.place })).collect::<Vec<_>>(),
        "unused_grants": findings.unused.iter().map(|own| json!({
            "app": &*own.app, "role": &*own.role, "permission": &*own.permission, "place": &*own.place,
            "why": match own.why { Why::NeverUsed => "never-used", Why::NotNeeded => "not-needed" },
        })).collect::<Vec<_>>(),
        "least": findings.least.iter().map(least).collect::<Vec<_>>(),
        "held": findings.held.iter().map(|own| json!({
            "app": &*own.app, "role": own.grant.as_ref().map(|(role, _)| &**role),
            "permission": own.grant.as_ref().map(|(_, permission)| &**permission),
            "condition": own.condition, "place": &*own.place, "requests": own.requests, "people": own.people,
        })).collect::<Vec<_>>(),
        "denied": findings.denied.iter().map(denied).collect::<Vec<_>>(),
    });
    format!("{document:#}")
}

fn denied(own: &Denied) -> Value {
    let (grant, beside) = match &own.repaired {
        Repaired::Grant { permission, beside } => (Some(&**permission), beside.as_slice()),
        Repaired::Unconditional { permission, .. } => (Some(permission.as_str()), &[][..]),
        Repaired::NoGrant | Repaired::Nothing => (None, &[][..]),
    };
    json!({
        "app": own.app, "operation": own.operation, "roles": own.roles, "reason": own.reason,
        "condition": own.condition, "requests": own.requests, "people": own.people,
        "least_grant": grant, "permits_beside": beside, "widens": grant.is_some(), "text": repaired(own),
    })
}
