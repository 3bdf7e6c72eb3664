//! A rule file that is cut off anywhere grants no more than the whole one.

use std::collections::HashSet;

use gatewarden::analysis::guard;
use gatewarden::config::{Carried, Sources, compile};
use gatewarden::policy::{Access, App, Operation};
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
                "{:?} carrying {}",
                guard::required(app, operation).iter().map(|c| written(app, *c)).collect::<Vec<_>>(),
                carried(app, operation)
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

/// What an allow of an operation carries along: less of it is more for the caller.
fn carried(app: &App, operation: &Operation) -> String {
    let own = &operation.obligations;
    let seats: Vec<_> =
        operation.permissions().filter_map(|id| app.permission(id)).map(|own| own.seat).collect();
    let forgets: Vec<_> = own.forgets.iter().map(|look_up| &app.look_ups[*look_up].name).collect();
    let injects: Vec<_> = app.injects.iter().map(|own| (&own.header, &app.facts[own.fact].name)).collect();
    let masks: Vec<_> = own.masks.iter().map(|mask| (&mask.fields, &mask.unless)).collect();
    let filters: Vec<_> = own.filters.iter().map(|own| (&own.items, written(app, own.keep))).collect();
    let narrows: Vec<_> =
        own.narrows.iter().map(|own| (written(app, own.condition), &own.query, &own.pass)).collect();
    let socket = app.socket.as_ref().map(|own| (&own.token, &own.auth));
    format!(
        "{seats:?} {forgets:?} {injects:?} {masks:?} {filters:?} {narrows:?} {:?} {socket:?}",
        own.body_only
    )
}

fn written(app: &App, condition: usize) -> String {
    let named = &app.conditions[condition];
    let mut leaves = Vec::new();
    named.condition.leaves(&app.conditions, &mut |leaf| {
        leaves.push(format!("{} {} {:?}", app.facts[leaf.fact].name, leaf.operator, leaf.operand));
    });
    format!("{}: {leaves:?}", named.name)
}

/// Where a text could be cut and still be TOML that says something new: outside of strings, comments and brackets, after
/// what can end a value, a header or a line. Anywhere else a key, a string or a list is left open, or only a comment grew.
fn ends(text: &str) -> Vec<usize> {
    let (mut ends, mut depth, mut quote, mut comment) = (Vec::new(), 0_usize, None, false);
    for (at, char) in text.char_indices() {
        match (char, quote) {
            ('\n', None) => comment = false,
            _ if comment => continue,
            (_, Some(open)) => quote = (char != open).then_some(open),
            ('"' | '\'', None) => quote = Some(char),
            ('#', None) => comment = true,
            ('[' | '{', None) => depth += 1,
            (']' | '}', None) => depth = depth.saturating_sub(1),
            _ => {}
        }
        let closes = matches!(char, '"' | '\'' | ']' | '}' | 'e' | '\n') || char.is_ascii_digit();
        if depth == 0 && quote.is_none() && !comment && closes {
            ends.push(at + char.len_utf8());
        }
    }
    ends
}

#[test]
fn every_end_at_which_a_text_is_toml_is_found() {
    let text = "a = 12 # x\nb = \"x#[\" \n[c]\nd = [1,\n 2]\ne = { f = 'y', g = true }\nh = false\n";
    let found = ends(text);
    let mut before = toml::Table::new();
    for end in 1..text.len() {
        let Ok(table) = text[..end].parse::<toml::Table>() else { continue };
        assert!(table == before || found.contains(&end), "{:?}", &text[..end]);
        before = table;
    }
    assert!(
        !text.contains("\"\"\"") && !text.contains('\\'),
        "neither escapes nor long strings are looked for"
    );
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
        assert!(
            !text.contains("\"\"\"") && !text.contains('\\'),
            "escapes and long strings need another `ends`"
        );
        let mut before: Option<toml::Table> = None;
        for end in ends(text) {
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
