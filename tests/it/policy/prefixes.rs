//! A rule file that is cut off anywhere grants no more than the whole one.

use std::collections::HashSet;

use gatewarden::analysis::guard;
use gatewarden::config::{Carried, Sources, compile};
use gatewarden::policy::Access;
use gatewarden::snapshot::Snapshot;

use super::{compiled, shipped};

/// Everything that a set of files lets anyone do: who, what, and under which conditions in words.
fn grants(snapshot: &Snapshot) -> HashSet<String> {
    let mut grants = HashSet::new();
    for app in &snapshot.apps {
        for operation in &app.operations {
            let route = format!("{} {} {}", app.name, operation.verb, operation.template);
            if matches!(operation.access, Access::Public) {
                grants.insert(format!("public {route}"));
            }
            let required = format!(
                "{:?}",
                guard::required(app, operation).iter().map(|c| written(app, *c)).collect::<Vec<_>>()
            );
            for (index, role) in app.roles.iter().enumerate() {
                for conditions in guard::guards(app, index, operation) {
                    let conditions: Vec<_> = conditions.iter().map(|c| written(app, *c)).collect();
                    for claim in role
                        .claims
                        .iter()
                        .map(|claim| &**claim)
                        .chain((&*role.name == "anyone").then_some("anyone"))
                    {
                        grants.insert(format!("{claim} {route} if {conditions:?} require {required}"));
                    }
                }
            }
        }
    }
    for tenant in snapshot.directory.tenants() {
        let mut settings: Vec<_> =
            tenant.settings().map(|(name, value)| format!("{name} = {value}")).collect();
        settings.sort();
        grants.insert(format!("tenant {} {:?} {:?} {settings:?}", tenant.name, tenant.ids(), tenant.apps));
    }
    grants
}

fn written(app: &gatewarden::policy::App, condition: usize) -> String {
    let named = &app.conditions[condition];
    let mut leaves = Vec::new();
    named.condition.leaves(&app.conditions, &mut |leaf| {
        leaves.push(format!("{} {} {:?}", app.facts[leaf.fact].name, leaf.operator, leaf.operand));
    });
    format!("{}: {leaves:?}", named.name)
}

/// Prefixes that aren't TOML are refused before anything in them counts, which `a_syntax_error_anywhere_refuses_the_set`
/// shows; of the others only those that say something new need compiling.
#[test]
fn every_prefix_of_every_shipped_file_grants_no_more_than_the_whole() {
    let whole = shipped();
    let allowed = grants(&compiled(&whole));
    let (mut tried, mut distinct, mut loaded) = (0, 0, 0);
    for index in 1..whole.files.len() {
        let text = &whole.files[index].text;
        let mut before: Option<toml::Table> = None;
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
            tried += 1;
            let Ok(table) = text[..end].parse::<toml::Table>() else { continue };
            if before.as_ref() == Some(&table) {
                continue;
            }
            before = Some(table);
            distinct += 1;
            let mut cut = Sources { files: whole.files.clone(), hash: String::new() };
            cut.files[index].text.truncate(end);
            let Ok(compiled) = compile(&cut, Carried::nothing()) else { continue };
            loaded += 1;
            let found = grants(&compiled.snapshot);
            let more: Vec<_> = found.difference(&allowed).take(3).collect();
            assert!(more.is_empty(), "{} cut at byte {end} grants more:\n{more:#?}", whole.files[index].path);
        }
    }
    println!("{tried} prefixes, {distinct} distinct ones are TOML, {loaded} load");
    assert!(loaded > 20, "too few prefixes load for the test to say anything: {loaded}");
}

#[test]
fn a_syntax_error_anywhere_refuses_the_set() {
    let whole = shipped();
    for index in 0..whole.files.len() {
        let mut broken = Sources { files: whole.files.clone(), hash: String::new() };
        broken.files[index].text.push_str("\n= 1\n");
        assert!(compile(&broken, Carried::nothing()).is_err(), "{}", whole.files[index].path);
    }
}
