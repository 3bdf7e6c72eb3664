//! Two large sets that differ in one line: what is the same is looked at once and no further.

use std::time::Instant;

use gatewarden::analysis::diff::diff;
use gatewarden::config::{Carried, FileKind, SourceFile, Sources, compile};
use gatewarden::snapshot::Snapshot;

/// Operations of each app.
const OPERATIONS: usize = 100;

/// Apps of a hundred operations each, with roles, conditions and tenants.
fn set(apps: usize, change: impl Fn(usize, String) -> String) -> Snapshot {
    let file = |kind, path: String, text| SourceFile { kind, path: path.into(), text };
    let mut gateway = "[issuers.sso]\nkind = \"keycloak\"\nissuer = \"https://sso.test\"\naudience = [\"api\"]\nalgorithms = [\"EdDSA\"]\njwks = \"keys.json\"\n".to_owned();
    let mut files = Vec::new();
    let mut names = Vec::new();
    for app in 0..apps {
        gateway += &format!("[upstreams.a{app}]\nat = [\"/a{app}\"]\nservers = [\"http://127.0.0.1:1\"]\n");
        names.push(format!("a{app}"));
        files.push(file(FileKind::Rules, format!("rules/a{app}.toml"), change(app, rules(app))));
    }
    let tenants =
        format!("[tenant.t]\nids = [\"t\"]\napps = {names:?}\n[tenant.t.settings]\nplan = \"big\"\n");
    files.push(file(FileKind::Tenants, "rules/tenants.toml".to_owned(), tenants));
    files.insert(0, file(FileKind::Gateway, "gateway.toml".to_owned(), gateway));
    compile(&Sources { files, hash: "test".to_owned() }, Carried::nothing()).unwrap().snapshot
}

fn rules(app: usize) -> String {
    let mut text = format!(
        "app = \"a{app}\"\nbase = \"/a{app}\"\nissuer = \"sso\"\nroles = \"token.roles\"\ntenant = {{ from = [\"token.tid\"] }}\nisolation = \"upstream\"\n\
         [facts.token]\nroles = \"set\"\ntid = \"string\"\norg = \"string\"\namr = \"set\"\n[facts.tenant]\nplan = \"string\"\n\
         [when]\nown = \"token.org = 'own'\"\nbig = \"tenant.plan = 'big'\"\nstrong = \"token.amr has 'mfa'\"\nmay = {{ any = [\"own\", \"strong\"] }}\n[require]\nbig = \"big\"\n"
    );
    for resource in 0..OPERATIONS / 4 {
        text += &format!(
            "[resource.r{resource}]\nview = [\"GET /r{resource}\", \"GET /r{resource}/{{id}}\"]\nmanage = [\"PUT /r{resource}/{{id}}\", \"DELETE /r{resource}/{{id}}\"]\n"
        );
    }
    for role in 0..4 {
        let named: Vec<String> =
            (0..OPERATIONS / 4).filter(|own| own % 4 == role).map(|own| format!("r{own} if may")).collect();
        text += &format!("[role.role{role}]\nview = [\"*\"]\nmanage = {named:?}\n");
    }
    text
}

fn one_grant(app: usize, text: String) -> String {
    if app == 3 { text.replacen("\"r0 if may\"", "\"r0\"", 1) } else { text }
}

#[test]
fn of_a_large_set_only_what_changed_is_told() {
    let (old, new) = (set(20, |_, text| text), set(20, one_grant));
    let found = diff(&old, &new);
    let told: Vec<String> = found.access.iter().map(|row| row.sentence()).collect();
    assert_eq!(
        told,
        [
            "a3: role0 gains r0#manage (PUT /a3/r0/{id}, DELETE /a3/r0/{id}), unless token.org = 'own' or token.amr has 'mfa'"
        ]
    );
    assert!(found.settings.is_empty(), "{:?}", found.settings);
}

/// `cargo nextest run --release --run-ignored only -E 'test(a_thousand_apps)' --no-capture`
#[test]
#[ignore = "a measurement"]
fn a_thousand_apps_and_a_hundred_thousand_routes() {
    let (old, new) = (set(1_000, |_, text| text), set(1_000, one_grant));
    let began = Instant::now();
    let found = diff(&old, &new);
    let took = began.elapsed();
    assert_eq!(found.access.len(), 1);
    let everywhere = set(1_000, |_, text| text.replacen("\"r0 if may\"", "\"r0\"", 1));
    let began = Instant::now();
    let all = diff(&old, &everywhere);
    eprintln!("one app changed: {took:?}; all of them: {:?}, {} rows", began.elapsed(), all.access.len());
}
