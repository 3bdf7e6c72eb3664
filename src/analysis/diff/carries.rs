//! What an allow of an operation carries along whoever asks, as words: two operations that say the same here treat what
//! they let through alike, but for what depends on who asks.

use super::guard::Wider;
use crate::fact::{Fact, Source};
use crate::policy::obligation::Piece;
use crate::policy::socket::Told;
use crate::policy::{App, Condition, Operand, Operation, TokenHandling};
use crate::snapshot::Snapshot;

/// Everything that holds for whoever is let through: what, and which way is the wider one.
pub(super) fn of(snapshot: &Snapshot, app: &App, operation: &Operation) -> Vec<(String, Wider)> {
    let mut all = Vec::new();
    let upstream = snapshot.gateway.upstreams.get(operation.upstream);
    let servers = upstream.map(|own| {
        let servers: Vec<String> =
            own.servers.iter().map(|server| format!("{:?}://{server}", server.scheme)).collect();
        format!("{} ({})", own.name, servers.join(", ").to_lowercase())
    });
    all.push((format!("goes to {}", servers.unwrap_or_default()), Wider::With));
    if !operation.strip.is_empty() {
        all.push((format!("without `{}` before its path", operation.strip), Wider::With));
    }
    let obligations = &operation.obligations;
    for narrow in &obligations.narrows {
        let by = operand(app, &narrow.value);
        let text = format!("where filtered, `{}` is {by} and {:?} pass", narrow.query, narrow.pass);
        all.push((text, Wider::With));
    }
    for filter in &obligations.filters {
        let keep = condition(app, &Condition::Named(filter.keep));
        all.push((format!("of `{}` only what meets {keep} is shown", filter.items), Wider::Without));
    }
    for forget in obligations.forgets.iter().filter_map(|own| app.look_ups.get(*own)) {
        all.push((format!("what is known of `{}` is forgotten", forget.name), Wider::Without));
    }
    if obligations.audit_required {
        all.push(("is let through only where that can be put on record".to_owned(), Wider::Without));
    }
    for fact in &obligations.audit {
        all.push((format!("{} is put on record", name(app, *fact)), Wider::Same));
    }
    if matches!(operation.access, crate::policy::Access::Public) {
        let removed = app.injects.iter().map(|own| format!("the client's own {} is removed", own.header));
        all.extend(removed.map(|text| (text, Wider::Without)));
        return all;
    }
    for inject in &app.injects {
        all.push((format!("{} is {}", inject.header, fact(app, inject.fact)), Wider::With));
    }
    all.push(match app.authorization {
        TokenHandling::Pass => ("the caller's token is passed on".to_owned(), Wider::Same),
        TokenHandling::Strip => ("the caller's token is removed".to_owned(), Wider::Without),
    });
    all
}

/// What a look-up asks, and whom.
pub(super) fn question(snapshot: &Snapshot, app: &App, look_up: usize) -> String {
    let Some(own) = app.look_ups.get(look_up) else { return String::new() };
    let upstream = snapshot.gateway.upstreams.get(own.upstream).map_or("?", |own| &own.name);
    let target: String = own
        .target
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.to_string(),
            Piece::Fact(at) => format!("{{{}}}", name(app, *at)),
        })
        .collect();
    format!("GET {target} of {upstream}")
}

/// What a socket's app is told of a caller.
pub(super) fn told(app: &App, told: &Told) -> String {
    let members = |own: &[(Box<str>, Told)]| {
        own.iter()
            .map(|(key, value)| format!("{key}: {}", self::told(app, value)))
            .collect::<Vec<_>>()
            .join(", ")
    };
    match told {
        Told::Fact(at) => fact(app, *at),
        Told::Roles => "the roles".to_owned(),
        Told::Permissions => "the permissions".to_owned(),
        Told::Object(own) => format!("{{{}}}", members(own)),
        Told::Text(own) => format!("text of {{{}}}", members(own)),
    }
}

fn name(app: &App, fact: usize) -> &str {
    app.facts.get(fact).map_or("?", |own| &own.name)
}

/// A fact by its meaning.
pub(super) fn fact(app: &App, at: usize) -> String {
    let Some(Fact { name, source, kind, default }) = app.facts.get(at) else { return "?".to_owned() };
    let default = match default {
        None => String::new(),
        Some(crate::fact::Default::Literal(literal)) => format!(", else {literal}"),
        Some(crate::fact::Default::Fact(other)) => format!(", else {}", self::fact(app, *other)),
    };
    let from = match source {
        Source::LookUp { at, .. } | Source::Body(at) => format!(" at `{at}`"),
        Source::Token(path) if **name != *format!("token.{}", path.join(".")) => {
            format!(" of claim {}", path.join("."))
        }
        _ => String::new(),
    };
    format!("{name} ({kind}{from}{default})")
}

pub(super) fn operand(app: &App, operand: &Operand) -> String {
    match operand {
        Operand::Fact(other) => fact(app, *other),
        Operand::Literal(literal) => literal.to_string(),
    }
}

/// A condition with every name in it replaced by what it stands for.
pub(super) fn condition(app: &App, condition: &Condition) -> String {
    let list = |parts: &[Condition]| {
        parts.iter().map(|own| self::condition(app, own)).collect::<Vec<_>>().join(", ")
    };
    match condition {
        Condition::Leaf(leaf) => {
            format!("{} {} {}", fact(app, leaf.fact), leaf.operator, operand(app, &leaf.operand))
        }
        Condition::Named(index) => {
            app.conditions.get(*index).map_or_else(String::new, |own| self::condition(app, &own.condition))
        }
        Condition::All(parts) => format!("all [{}]", list(parts)),
        Condition::Any(parts) => format!("any [{}]", list(parts)),
        Condition::Not(part) => format!("not {}", self::condition(app, part)),
    }
}
