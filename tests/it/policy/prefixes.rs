//! A rule file that is cut off anywhere grants no more than the whole one.

use std::collections::HashSet;
use std::sync::Arc;

use gatewarden::analysis::guard;
use gatewarden::budget::Limit;
use gatewarden::config::{Carried, Sources, compile};
use gatewarden::policy::{Access, App, Operation};
use gatewarden::snapshot::Snapshot;

use super::{GATEWAY, compiled, file, shipped};

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
    let rates = app.limits.as_ref().map(|own| {
        let rate = |limit: &Arc<Limit>| limit.rate.to_string();
        let roles: Vec<_> =
            own.roles.iter().map(|(role, limit)| (&app.roles[*role].name, rate(limit))).collect();
        (own.address.as_ref().map(rate), own.tenant.as_ref().map(rate), roles)
    });
    let pages = app.cors.as_ref().map(|own| (&own.origins, own.credentials, &own.headers, &own.expose));
    let socket = app.socket.as_ref().map(|own| (&own.token, &own.auth));
    format!(
        "{seats:?} {forgets:?} {injects:?} {masks:?} {filters:?} {narrows:?} {:?} {socket:?} {rates:?} {pages:?}",
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
    let (tried, distinct, loaded) = cut_everywhere(&shipped());
    println!("{tried} prefixes, {distinct} distinct ones are TOML, {loaded} load");
    assert!(loaded > 20, "too few prefixes load for the test to say anything: {loaded}");
}

/// What no shipped file says.
#[test]
fn every_prefix_of_a_file_with_rates_and_origins_grants_no_more_either() {
    let rules = "app = \"shop\"\nbase = \"/shop\"\nissuer = \"keycloak\"\nroles = \"token.roles\"\ntenant = \"acme\"\n\
        public = [\"GET /open\"]\n[facts.token]\nroles = \"set\"\n[limit]\naddress = \"20/s burst 40\"\ntenant = \"100/s\"\n\
        role.clerk = \"5/s\"\n[cors]\ncredentials = true\nexpose = [\"x-total\"]\norigins = [\"https://desk.example\"]\n\
        [resource.orders]\nview = [\"GET /orders\"]\nmanage = [\"POST /orders\"]\n[role.clerk]\nview = [\"orders\"]\n\
        [role.boss]\nview = [\"*\"]\nmanage = [\"*\"]\n";
    let tenants = "[tenant.acme]\nids = [\"acme\"]\napps = [\"shop\"]\n";
    let files = vec![
        file("gateway.toml", GATEWAY),
        file("rules/shop.toml", rules),
        file("rules/tenants.toml", tenants),
    ];
    let (_, _, loaded) = cut_everywhere(&Sources { files, hash: String::new() });
    assert!(loaded > 3, "too few prefixes load for the test to say anything: {loaded}");
    for guard in ["[limit]\ntenant = \"1/s\"\n", "[cors]\norigins = [\"https://desk.example\"]\n"] {
        let late = format!("{}{guard}", rules.replace("[limit]", "[audit]").replace("[cors]", "[audit]"));
        let files = vec![
            file("gateway.toml", GATEWAY),
            file("rules/shop.toml", &late),
            file("rules/tenants.toml", tenants),
        ];
        let sources = Sources { files, hash: String::new() };
        let told = super::rendered(&compile(&sources, Carried::nothing()).unwrap_err(), &sources);
        assert!(told.contains("GW1005"), "{guard} after the last grant:\n{told}");
    }
}

/// Cuts each file at every end, and holds what loads against the whole.
fn cut_everywhere(whole: &Sources) -> (usize, usize, usize) {
    let allowed = grants(&compiled(whole));
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
    (tried, distinct, loaded)
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
