//! Headers by which clients say what only the gateway may, in every spelling that some server reads alike.

use crate::support::{Gateway, Upstream};

#[test]
fn nobody_says_who_he_is() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(upstream.address);
    let mut names = Vec::new();
    for name in ["subject", "tenant", "roles", "permission", "assertion", "lookups", "x"] {
        for (before, between) in [
            ("X-Gatewarden-", ""),
            ("x-gatewarden-", ""),
            ("X_Gatewarden_", ""),
            ("X-Gatewarden_", ""),
            ("X_GATEWARDEN-", ""),
            ("x-gatewarden-", "_"),
        ] {
            names.push(format!("{before}{name}{between}"));
        }
    }
    for name in [
        "X-Forwarded-User",
        "X-Forwarded-Email",
        "X-Forwarded-Groups",
        "X-Forwarded-Preferred-Username",
        "X-Forwarded-Access-Token",
        "X-Forwarded-Prefix",
        "X-Forwarded-Uri",
        "X-Forwarded-Method",
        "X-Forwarded-Port",
        "X-Forwarded-Server",
        "X-Forwarded-Ssl",
        "X-Forwarded-Scheme",
        "X-Forwarded-Client-Cert",
        "X_Forwarded_For",
        "Forwarded",
        "X-Original-URL",
        "X-Original-URI",
        "X-Original-Method",
        "X-Original-Host",
        "X-Rewrite-URL",
        "X-Envoy-External-Address",
        "X-Envoy-Original-Path",
        "X-Real-IP",
        "X-Client-IP",
        "True-Client-IP",
        "Client-IP",
        "CF-Connecting-IP",
        "Fastly-Client-IP",
        "X-Cluster-Client-IP",
        "X-HTTP-Method",
        "X-HTTP-Method-Override",
        "X-Method-Override",
        "X-Accel-Redirect",
        "X-Accel-Buffering",
        "Content_Type",
        "Auth_orization",
    ] {
        names.push(name.to_owned());
    }
    let token = gateway.token(&["user"]);
    for name in &names {
        for lines in [
            vec![format!("{name}: spoofed")],
            vec![format!("{name}: spoofed"), format!("{name}: spoofed")],
            vec![format!("Connection: {name}"), format!("{name}: spoofed")],
            vec![format!("{name}:\tspoofed ")],
        ] {
            let mut lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            lines.push(&token);
            let response = gateway.request("GET /app-guarded/x", &lines);
            assert_eq!(response.status, 200, "{lines:?}: {}", response.text());
            assert!(!response.text().contains("spoofed"), "{lines:?}: {}", response.text());
            assert_eq!(response.echoed("x-gatewarden-subject").as_deref(), Some("ada"), "{lines:?}");
            assert_eq!(response.echoed("x-gatewarden-roles").as_deref(), Some("user"), "{lines:?}");
        }
    }
    // What the gateway says isn't named away either.
    for name in [
        "x-gatewarden-subject",
        "X-Gatewarden-Roles",
        "authorization",
        "Host",
        "x-forwarded-for",
        "x-request-id",
        "traceparent",
    ] {
        let response = gateway.request("GET /app-guarded/x", &[&format!("Connection: {name}"), &token]);
        assert_eq!(response.status, 200);
        assert_eq!(response.echoed("x-gatewarden-subject").as_deref(), Some("ada"), "{name}");
        assert!(response.echoed("authorization").is_some() && response.echoed("host").is_some(), "{name}");
    }
}
