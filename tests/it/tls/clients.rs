//! Certificates of callers: facts for rules, and tokens that are bound to one.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gatewarden::plumbing::Presence;
use rcgen::DnType;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::{TLS12, TLS13};
use serde_json::json;

use super::NAME;
use crate::support::tls::{Identity, connect};
use crate::support::{Authority, Gateway, Upstream};

/// Whoever has the role may use things, if the connection has that certificate.
fn rules(condition: &str) -> String {
    format!(
        "app = \"app\"\nowns = [\"/app\", \"/app-guarded\"]\nissuer = \"test\"\nroles = \"token.roles\"\n\
         tenant = \"default\"\npublic = [\"GET /app/{{rest...}}\"]\n[facts.token]\nroles = \"set\"\nsub = \"string\"\n\
         [when]\nknown = \"{condition}\"\n[resource.things]\nuse = [\"GET /app-guarded/{{rest...}}\"]\n\
         [role.user]\nuse = [\"things if known\"]\n"
    )
}

fn gateway(authority: &Authority, condition: &str, presence: Presence) -> Gateway {
    let tls = authority.presenting(&[&authority.issue(&[NAME])], Some(presence));
    let setup = Gateway::setup().upstream("app", &[Upstream::echo().address]);
    setup.rules("app", &rules(condition)).presenting(tls).start()
}

fn named(authority: &Authority, name: &str) -> Identity {
    authority.issue_as(&["client"], |params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Acme, Inc");
        params.distinguished_name.push(DnType::CommonName, name);
    })
}

fn thumbprint(own: &Identity) -> String {
    let der = CertificateDer::from_pem_slice(own.certificate.as_bytes()).unwrap();
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, &der))
}

/// Asks twice on connections of one client, the second of which resumes the first's session.
#[track_caller]
fn asked(gateway: &Gateway, authority: &Authority, own: Option<&Identity>, headers: &[&str]) -> u16 {
    let mut found = None;
    for version in [&TLS12, &TLS13] {
        let mut caller = authority.client();
        (caller.own, caller.versions) = (own.cloned(), vec![version]);
        let config = caller.config();
        for _ in 0..2 {
            let mut client = connect(config.clone(), gateway.address, NAME).unwrap();
            let answer = client.request("GET /app-guarded/x", headers);
            assert_eq!(*found.get_or_insert(answer.status), answer.status);
        }
    }
    found.unwrap()
}

#[test]
fn rules_are_told_whom_the_certificate_names() {
    let authority = Authority::new();
    let condition = r"client.certificate.subject = 'CN=robot,O=Acme\\, Inc'";
    let gateway = gateway(&authority, condition, Presence::Optional);
    let token = gateway.token(&["user"]);
    let (robot, other) = (named(&authority, "robot"), named(&authority, "robotnik"));
    assert_eq!(asked(&gateway, &authority, Some(&robot), &[&token]), 200);
    assert_eq!(asked(&gateway, &authority, Some(&other), &[&token]), 403);
    assert_eq!(asked(&gateway, &authority, None, &[&token]), 403);
    // A certificate is no token.
    assert_eq!(asked(&gateway, &authority, Some(&robot), &[]), 401);
    // Nor can it be said in words.
    let words = ["X-Client-Cert: CN=robot", "Client-Cert: :x:", "X-SSL-Client-S-DN: CN=robot"];
    let headers = [&[token.as_str()], &words[..]].concat();
    assert_eq!(asked(&gateway, &authority, None, &headers), 403);
}

#[test]
fn rules_are_told_which_certificate_it_is_and_the_application_is_not() {
    let authority = Authority::new();
    let own = named(&authority, "robot");
    let condition = format!("client.certificate.thumbprint = '{}'", thumbprint(&own));
    let gateway = gateway(&authority, &condition, Presence::Required);
    let mut caller = authority.client();
    caller.own = Some(own);
    let mut client = caller.connect(gateway.address, NAME).unwrap();
    let words = [
        "X-Client-Cert: a",
        "Client-Cert: a",
        "Client-Cert-Chain: a",
        "X-SSL-Client-Verify: a",
        "SSL-Client-Cert: a",
        "X-Forwarded-Client-Cert: a",
    ];
    let token = gateway.token(&["user"]);
    let headers = [&[token.as_str()], &words[..]].concat();
    let answer = client.request("GET /app-guarded/x", &headers);
    assert_eq!(answer.status, 200);
    for name in words.map(|line| line.split_once(':').unwrap().0) {
        assert_eq!(answer.echoed(name), None, "{name}");
    }
}

#[test]
fn a_bound_token_counts_with_its_certificate_alone() {
    let authority = Authority::new();
    let gateway = gateway(&authority, "token.sub = 'ada'", Presence::Optional);
    let (own, other) = (named(&authority, "a"), named(&authority, "b"));
    let token = gateway.token_saying(&json!({ "roles": ["user"], "cnf": { "x5t#S256": thumbprint(&own) } }));
    for _ in 0..2 {
        assert_eq!(asked(&gateway, &authority, Some(&own), &[&token]), 200);
        assert_eq!(asked(&gateway, &authority, Some(&other), &[&token]), 401);
        assert_eq!(asked(&gateway, &authority, None, &[&token]), 401);
    }
    gateway.counts("gatewarden_auth_failures_total", &["not-bound"]);
    for odd in [json!("x"), json!(null), json!({ "x5t#S256": 7 }), json!([])] {
        let token = gateway.token_saying(&json!({ "roles": ["user"], "cnf": odd }));
        assert_eq!(asked(&gateway, &authority, Some(&own), &[&token]), 401, "{odd}");
    }
    // Bound to what nobody asks for here isn't bound to nothing.
    let both = json!({ "x5t#S256": thumbprint(&own), "jkt": "a" });
    for other in [json!({ "jkt": "a" }), json!({ "jwk": {} }), json!({ "kid": "a" }), both] {
        let token = gateway.token_saying(&json!({ "roles": ["user"], "cnf": other }));
        assert_eq!(asked(&gateway, &authority, Some(&own), &[&token]), 401, "{other}");
    }
    gateway.counts("gatewarden_auth_failures_total", &["other-binding"]);
}

#[test]
fn who_must_present_one_that_counts_is_not_served_without() {
    let authority = Authority::new();
    let gateway = gateway(&authority, "client.certificate.subject = 'CN=x'", Presence::Required);
    let stranger = Authority::new();
    for own in [None, Some(named(&stranger, "robot"))] {
        let mut caller = authority.client();
        caller.own = own;
        // In TLS 1.3 a client learns of it when it reads.
        if let Ok(mut client) = caller.connect(gateway.address, NAME) {
            let asked =
                std::io::Write::write_all(&mut client.stream, b"GET /app/x HTTP/1.1\r\nHost: a\r\n\r\n");
            assert!(asked.is_err() || client.read(false).is_err());
        }
    }
    gateway.counts("gatewarden_tls_handshake_failures_total", &["no-certificate", " 1"]);
    gateway.counts("gatewarden_tls_handshake_failures_total", &["bad-certificate", " 1"]);
}
