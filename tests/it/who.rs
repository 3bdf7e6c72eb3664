//! `gatewarden who`: every role that could, and nobody else.

use serde_json::Value;

use crate::cli::says;

#[test]
fn who_names_every_role_with_its_conditions_and_where_they_stand() {
    let out = says(
        &["who", "GET", "/calling/calls/7"],
        0,
        &[
            "GET /calling/calls/{call} of calling: call-resources#view",
            "the first stated of header.x-customer, token.tid, proven by member",
            "Customer Users (CustomerUsers)",
            "caller, own, reader",
            "call.creator = token.oid",
            "else a stronger log-in is asked for",
        ],
    );
    assert!(!out.contains("anyone"), "{out}");
    // What is required of all is told once, and not with each grant.
    assert_eq!(out.matches("call.customer = tenant.account").count(), 1, "{out}");
    let asked = ["who", "GET", "/calling/calls/{call}"];
    assert_eq!(says(&asked, 0, &[]), out, "a template is asked about like a path of it");
}

#[test]
fn who_says_through_what_a_role_comes_to_it() {
    says(&["who", "EMIT", "deletePullModeRequest"], 0, &["admin", "subscribed-list#manage through *"]);
    says(&["who", "GET", "/calling/about"], 0, &["anyone (every verified caller)", "always"]);
    says(&["who", "GET", "/ccm/widget-configs/7"], 0, &["public", "everyone, without a token"]);
    says(&["who", "--resource", "customer-list#manage"], 0, &["permits GET /cim/customers, POST"]);
}

#[test]
fn who_exits_1_where_nobody_could_and_says_why() {
    says(&["who", "--resource", "team-announcements#view"], 1, &["as long as the resource is reserved"]);
    says(&["who", "GET", "/calling/nothing"], 1, &["nobody", "404"]);
    says(&["who", "DELETE", "/calling/calls"], 1, &["nobody: the path has GET, POST alone (405)"]);
    says(&["who", "--app", "agent-desk", "GET", "/calling/calls"], 1, &["an operation of `calling` alone"]);
    says(&["who", "--resource", "customer-lst#manage"], 2, &["did you mean `customer-list#manage`?"]);
    says(&["who", "--app", "calls", "GET", "/calling/calls"], 2, &["there is no app `calls`"]);
    says(&["who", "EMIT", "deletePullModeReqest"], 2, &["did you mean `deletePullModeRequest`?"]);
    says(&["who", "GET", "/a/../b"], 2, &["dot segment"]);
    says(&["who"], 2, &[]);
}

/// What `who` lists is what the decision does: no more, no less.
#[test]
fn who_and_can_agree_about_every_role() {
    for (method, path) in [
        ("GET", "/cim/customers"),
        ("GET", "/cim/customerSchema"),
        ("DELETE", "/cim/customerSchema/age"),
        ("EMIT", "deletePullModeRequest"),
    ] {
        let out = says(&["who", "--format", "json", "--app", "agent-desk", method, path], 0, &[]);
        let said: Value = serde_json::from_str(&out).unwrap();
        let granted = said["answers"][0]["granted"].as_array().unwrap();
        for role in ["agent", "supervisor", "admin"] {
            let listed = granted.iter().any(|own| own["role"] == role);
            let code = if listed { 0 } else { 1 };
            says(&["can", "--app", "agent-desk", "--role", role, method, path], code, &[]);
        }
    }
}

#[test]
fn who_is_printed_for_pages_sheets_and_programs() {
    says(&["who", "--format", "md", "GET", "/calling/calls/7"], 0, &["| role | granted | if | place |"]);
    let csv =
        says(&["who", "--format", "csv", "GET", "/calling/calls/7"], 0, &["\"tenant proof\",\"member\""]);
    assert!(csv.lines().all(|line| line.split("\",\"").count() == 8), "{csv}");
    let json = says(&["who", "--format", "json", "GET", "/nothing"], 1, &[]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["schema"], &json["possible"]), (&"gatewarden.who/1".into(), &false.into()));
}

#[test]
fn who_is_a_page_too() {
    let asked = ["who", "--format", "html", "GET", "/calling/calls/7"];
    let page = says(&asked, 0, &["Customer ReadOnly Users", "required of all", "call.creator = token.oid"]);
    assert!(page.starts_with("<!doctype html>"), "{page}");
    let human = says(&["who", "--format", "human", "GET", "/calling/about"], 0, &[]);
    assert_eq!(human, says(&["who", "GET", "/calling/about"], 0, &[]));
}
