//! Documents that become rule files, and what is told of the rest.

use super::super::report::Report;
use super::super::trial::compile_alone;
use super::*;

const PETS: &str = r#"
openapi: 3.1.0
info: { title: "Pet Store", version: "1" }
x-internal: { anything: [1, 2] }
servers:
  - url: https://{region}.pets.example/{version}/
    variables: { region: { default: eu }, version: { default: v1 } }
security: [{ oidc: [] }]
paths:
  /pets:
    get: { operationId: listPets, tags: [Pets], responses: { 200: { description: ok } } }
    post: { operationId: "addPet # and more", tags: [Pets] }
    head: { summary: count }
    x-thing: 1
  /pets/{petId}:
    get: { tags: [Pets] }
    delete: { tags: [Pets] }
  /pets/{pet.id}/photos/{petId}:
    put: { tags: [Pets] }
  /health:
    get: { security: [], summary: "Alive?" }
  /files/{name}.json:
    get: {}
  /trace:
    trace: {}
  /elsewhere: { $ref: "other.yaml#/x" }
  /odd//path: { get: {} }
"#;

fn options() -> Options {
    Options {
        app: None,
        issuer: "keycloak".into(),
        tenant: "default".into(),
        roles: "token.realm_access.roles".into(),
        base: None,
    }
}

fn suggested(text: &str) -> (Suggested, Report) {
    let mut report = Report::default();
    let spec = Spec::read(text, &mut report).unwrap();
    let made = suggest(&spec, &options(), &mut report);
    (made, report)
}

#[test]
fn a_document_becomes_a_file_that_grants_nothing() {
    let (made, report) = suggested(PETS);
    let compiled = compile_alone(&made.text, &made.around);
    let snapshot = compiled.unwrap_or_else(|(why, files)| {
        panic!("{}\n{}", why.render(&files, crate::config::diagnostic::Style::Plain), made.text)
    });
    let app = &snapshot.snapshot.apps[0];
    assert!(app.roles.is_empty(), "{}", made.text);
    assert!(app.operations.iter().all(|own| !matches!(own.access, crate::policy::Access::Public)));
    for line in [
        "base   = \"/v1\"",
        "#   \"GET /health\",",
        "[resource.pets]",
        "[resource.health]",
        "# addPet # and more",
        "\"PUT /pets/{pet-id}/photos/{petId}\"",
        "# manage = [\"pets\"]",
    ] {
        assert!(made.text.contains(line), "{line} not in\n{}", made.text);
    }
    let text = report.to_text();
    for told in [
        "GW6101  GET /health",
        "GW6010  /files/{name}.json",
        "GW6102  TRACE /trace",
        "GW6103  /elsewhere",
        "GW6010  /odd//path",
    ] {
        assert!(text.contains(told), "{told} not in\n{text}");
    }
}

#[test]
fn json_is_read_too_and_what_is_no_document_is_refused() {
    let (made, _) = suggested(r#"{"openapi":"3.0.3","info":{"title":"A"},"paths":{"/x":{"get":{}}}}"#);
    assert!(made.text.contains("GET /x"), "{}", made.text);
    for odd in
        ["", "[]", "{", "openapi: 2", "swagger: '2.0'", "{\"openapi\":\"4.0\"}", "a: &a [*a, *a]", "\u{0}"]
    {
        assert!(Spec::read(odd, &mut Report::default()).is_err(), "{odd:?}");
    }
}

#[test]
fn a_document_that_unfolds_without_end_is_refused() {
    let mut bomb = String::from("openapi: 3.1.0\nx-a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for level in 1..12 {
        let above = format!("*a{}", level - 1);
        bomb.push_str(&format!("x-a{level}: &a{level} [{}]\n", vec![above; 9].join(", ")));
    }
    assert!(Spec::read(&bomb, &mut Report::default()).is_err());
    let deep = format!("openapi: 3.1.0\nx: {}1{}", "[".repeat(20_000), "]".repeat(20_000));
    assert!(Spec::read(&deep, &mut Report::default()).is_err());
}

#[test]
fn coverage_compares_templates_both_ways() {
    let (made, _) = suggested(PETS);
    let text = made.text.replace("\"DELETE /pets/{pet-id}\",", "\"DELETE /pets/{pet-id}/x\",");
    let compiled = compile_alone(&text, &made.around).unwrap();
    let spec = Spec::read(PETS, &mut Report::default()).unwrap();
    let found = cover(&spec, &compiled.snapshot, &compiled.snapshot.apps[0], None);
    let paths = |rows: &[(String, String, String)]| -> Vec<String> {
        rows.iter().map(|(method, path, _)| format!("{method} {path}")).collect()
    };
    assert_eq!(paths(&found.uncovered), ["DELETE /v1/pets/{pet-id}"]);
    assert_eq!(paths(&found.unknown), ["DELETE /v1/pets/{pet-id}/x"]);
    assert_eq!(found.covered, 5);
}
