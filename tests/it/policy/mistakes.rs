//! Seeded mistakes in the shipped files: each is found at its exact token, with the suggestion where one is near.

mod beside;
mod grammar;
mod small;

use gatewarden::config::{Carried, Span, compile};

use super::{rendered, shipped};

/// File, what is replaced, by what, the token that the caret must stand under, and words that must be said.
const SEEDED: &[(&str, &str, &str, &str, &[&str])] = &[
    (
        "rules/agent-desk.toml",
        "\"state-change\", \"customer-labels\"",
        "\"state-chnge\", \"customer-labels\"",
        "state-chnge",
        &["GW2002", "did you mean `state-change`?"],
    ),
    (
        "rules/calling.toml",
        "use    = [\"create-call if may-call\"",
        "use    = [\"create-call if may-cal\"",
        "may-cal",
        &["GW2001", "did you mean `may-call`?"],
    ),
    (
        "rules/calling.toml",
        "home         = \"token.tid in tenant.ids\"",
        "home         = \"token.tdi in tenant.ids\"",
        "token.tdi",
        &["GW2003", "did you mean `token.tid`?"],
    ),
    (
        "rules/calling.toml",
        "home         = \"token.tid in tenant.ids\"",
        "home         = \"token.tid inn tenant.ids\"",
        "inn",
        &["GW1007", "did you mean `in`?"],
    ),
    (
        "rules/calling.toml",
        "issuer = \"entra\"",
        "issuer = \"entar\"",
        "entar",
        &["GW2007", "did you mean `entra`?"],
    ),
    (
        "rules/calling.toml",
        "isolation = \"ours\"",
        "isolaton = \"ours\"",
        "isolaton",
        &["GW1001", "did you mean `isolation`?"],
    ),
    (
        "rules/calling.toml",
        ", proven-by = \"member\"",
        "",
        "header.x-customer",
        &["GW4001", "the caller names the tenant"],
    ),
    ("rules/calling.toml", "only   = \"home\"", "", "\"Customer Admins\"", &["GW4002", "has no `only`"]),
    (
        "rules/calling.toml",
        "[\"GET /calls/{call}\", \"GET",
        "[\"GTE /calls/{call}\", \"GET",
        "GTE",
        &["GW1008", "did you mean `GET`?"],
    ),
    (
        "rules/calling.toml",
        "\"GET /calls/{call}/media/{item}\"]",
        "\"GET /calls/{id}/media/{id}\"]",
        "/calls/{id}/media/{id}",
        &["GW1008", "twice"],
    ),
    (
        "rules/calling.toml",
        "operations = [\"POST /calls/{call}/invite\"] }",
        "operations = [\"POST /calls/{call}\"] }\nmore = [\"PUT /calls/{id}\"]",
        "PUT /calls/{id}",
        &["GW3003", "two parameter names"],
    ),
    (
        "rules/calling.toml",
        "= \"if caller, may-call\"",
        "= \"allow\"",
        "allow",
        &["GW4004", "the rules say `if caller, may-call`"],
    ),
    (
        "rules/calling.toml",
        "\"Customer ReadOnly Users\" = [\"POST *\"",
        "\"Customer ReadOnly Users\" = [\"GET *\"",
        "GET *",
        &["GW4003", "[never]"],
    ),
    (
        "rules/connect.toml",
        "\"SSO Configuration\"                     = [\"GET /sso\", \"PUT /sso\"]",
        "",
        "\"SSO Configuration\"",
        &["GW3005", "no line in [routes]"],
    ),
    (
        "rules/connect.toml",
        "[\"yes\",              \"no\",                            \"no\",             \"no\",        \"no\"]",
        "[\"yes\", \"no\", \"no\", \"no\"]",
        "[\"yes\", \"no\", \"no\", \"no\"]",
        &["GW3005", "4 cells for 5 columns"],
    ),
    (
        "rules/connect.toml",
        "\"if subscribed\"",
        "\"if subscribd\"",
        "subscribd",
        &["GW2001", "did you mean `subscribed`?"],
    ),
    (
        "rules/admin.toml",
        "shared-with",
        "shred-with",
        "shred-with",
        &["GW1001", "did you mean `shared-with`?"],
    ),
    (
        "rules/tenants.toml",
        "guests         = [\"bodgit-contractors\"]",
        "guests         = [\"bodgit-contractor\"]",
        "bodgit-contractor",
        &["GW2006", "did you mean `bodgit-contractors`?"],
    ),
    (
        "rules/tenants.toml",
        "portal-create  = false",
        "portal-create  = \"false\"",
        "\"false\"",
        &["GW1002", "expected a value of type bool"],
    ),
    ("rules/tenants.toml", "call-centres   = []", "", "settings", &["GW1003", "no setting `call-centres`"]),
    (
        "rules/agent-desk.toml",
        "tenant = \"default\"",
        "tenant = \"defualt\"",
        "defualt",
        &["GW2006", "did you mean `default`?"],
    ),
    (
        "rules/agent-desk.toml",
        "roles  = \"token.realm_access.roles\"",
        "roles  = \"token.realm_access.role\"",
        "token.realm_access.role",
        &["GW2003"],
    ),
    (
        "rules/admin.toml",
        "[resource.reason-code]",
        "[resource.reason-code]\nevents = [\"EMIT topicUnsubscription\"]",
        "EMIT topicUnsubscription",
        &["GW1010", "an event without a socket"],
    ),
    (
        "rules/calling.toml",
        "[never]",
        "[narrow.home]\n\"GET /calls\" = { query = \"x\" }\n[never]",
        "home",
        &["GW3008", "more than one `=`"],
    ),
    ("rules/calling.toml", "[never]", "[limit]\n[never]", "limit", &["GW1011", "limits nothing"]),
    (
        "rules/calling.toml",
        "[never]",
        "[limit]\nrole.'Customer Uzers' = \"10/s\"\n[never]",
        "Customer Uzers",
        &["GW2005", "did you mean `Customer Users`?"],
    ),
    (
        "gateway.toml",
        "audience   = [\"cim\"]",
        "audeince   = [\"cim\"]",
        "audeince",
        &["GW1001", "did you mean `audience`?"],
    ),
];

#[test]
fn each_seeded_mistake_is_found_at_its_exact_token() {
    for (path, from, to, token, words) in SEEDED {
        let mut sources = shipped();
        let file = sources.files.iter_mut().find(|file| &*file.path == *path).unwrap();
        assert!(file.text.contains(from), "{path} has no {from}");
        file.text = file.text.replacen(from, to, 1);
        let Err(diagnostics) = compile(&sources, Carried::nothing()) else { panic!("{path}: {to} loads") };
        let out = rendered(&diagnostics, &sources);
        for word in *words {
            assert!(out.contains(word), "{path}: {to}: no {word} in\n{out}");
        }
        let under = |span: &Span| {
            let file = &sources.files[span.file as usize];
            (&*file.path == *path).then(|| &file.text[span.start as usize..span.end as usize])
        };
        let carets: Vec<_> = diagnostics.iter().filter_map(|d| under(&d.primary.as_ref()?.0)).collect();
        assert!(carets.contains(token), "{path}: {to}: carets under {carets:?}, none under {token}\n{out}");
    }
}

#[test]
fn mistakes_in_several_files_are_told_in_one_run() {
    let mut sources = shipped();
    for file in &mut sources.files[1..] {
        file.text = file.text.replacen("\n[", "\nnonsense = 1\n[", 1);
    }
    let diagnostics = compile(&sources, Carried::nothing()).unwrap_err();
    assert!(diagnostics.errors() >= sources.files.len() - 1, "{}", rendered(&diagnostics, &sources));
}
