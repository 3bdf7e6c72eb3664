//! The rules as Cedar policies with a schema, for a second opinion by another engine. Roles are what a caller is in,
//! operations are actions, permissions groups of actions, facts what stands in the context; a condition is a `when`, a
//! requirement a `forbid … unless`. Every attribute is guarded with `has`, and `not` is taken to its leaves, so that a
//! fact that isn't known neither grants nor makes an error. `condition` writes tests, `policies` the rest; what Cedar
//! can't say is told.

mod condition;
mod policies;

use std::fmt::Write as _;

use super::report::{Report, Weight, code};
use crate::fact::Type;
use crate::policy::{Access, App, Operation};
use crate::snapshot::Snapshot;
use condition::quoted;
use policies::Writer;

/// What was exported.
#[derive(Clone, Debug)]
pub struct Exported {
    /// The schema, in Cedar's own form.
    pub schema: String,
    /// The policies.
    pub policies: String,
}

/// Exports the rules of all apps, or of one.
#[must_use]
pub fn export(snapshot: &Snapshot, app: Option<&str>, report: &mut Report) -> Exported {
    let mut out = Exported { schema: String::new(), policies: String::new() };
    let apps: Vec<&App> =
        snapshot.apps.iter().filter(|own| app.is_none_or(|name| *name == *own.name)).collect();
    for own in &apps {
        let space = space(&own.name);
        let written = Writer::new(own, &space).write(report);
        for test in &written.given {
            let why = "Cedar can't test it, or not as it is meant here: its outcome is given in the context under this name";
            report.add(Weight::Review, code::GIVEN, own.name.to_string(), test.clone(), why);
        }
        out.schema.push_str(&schema(own, &space, &written.given));
        out.policies.push_str(&written.policies);
    }
    let names: Vec<String> = apps.iter().map(|own| format!("`{}`", own.name)).collect();
    report.source = format!("Rules of {}", names.join(", "));
    report.result = format!(
        "{} policies; {} things that Cedar can't say, {} tests given as values",
        out.policies.matches("\n@id(").count(),
        report.count(Weight::Note),
        report.count(Weight::Review)
    );
    out
}

/// An app's name as a namespace: `agent-desk` is `AgentDesk`.
fn space(name: &str) -> String {
    let word = |word: &str| {
        let mut chars = word.chars();
        chars.next().map(|first| first.to_ascii_uppercase().to_string() + chars.as_str()).unwrap_or_default()
    };
    let joined: String = name.split('-').map(word).collect();
    if joined.starts_with(|c: char| c.is_ascii_digit()) { format!("App{joined}") } else { joined }
}

fn action(own: &Operation) -> String {
    format!("{} {}", own.verb, own.template)
}

fn schema(app: &App, space: &str, given: &[String]) -> String {
    let mut out = format!(
        "namespace {space} {{\n  entity Role;\n  entity Caller in [Role];\n  entity App;\n  type Facts = {{\n"
    );
    for fact in &app.facts {
        let kind = match fact.kind {
            Type::String | Type::Node => "String",
            Type::Bool => "Bool",
            Type::Int => "Long",
            Type::Set => "Set<String>",
            Type::Ip => "ipaddr",
            Type::Nets | Type::Time => continue,
        };
        let _ = writeln!(out, "    {}?: {kind},", quoted(&fact.name));
    }
    for test in given {
        let _ = writeln!(out, "    {}?: Bool,", quoted(test));
    }
    out.push_str("  };\n");
    for (_, own) in &app.permissions {
        let _ = writeln!(out, "  action {};", quoted(&own.name));
    }
    for own in app.operations.iter().filter(|own| !matches!(own.access, Access::Socket { .. })) {
        let groups: Vec<String> =
            own.permissions().filter_map(|id| app.permission(id)).map(|own| quoted(&own.name)).collect();
        let within = if groups.is_empty() { String::new() } else { format!(" in [{}]", groups.join(", ")) };
        let _ = writeln!(
            out,
            "  action {}{within} appliesTo {{ principal: [Caller], resource: [App], context: Facts }};",
            quoted(&action(own))
        );
    }
    out.push_str("}\n");
    out
}
