//! Debian's HAProxy: one thread, passing through or checking tokens and rules.
//!
//! It has no key sets and no `kid`: a key is a PEM file for each algorithm. `$.roles` of an array finds nothing in
//! 2.6, so eight places of it are looked at one by one, which is a limit of this configuration and not of the tokens.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::{Child, OPEN_PATH, RESOURCES, Stage, Transport, free_address, installed};
use crate::{Result, echo, tokens};

/// What it is asked to do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Judges {
    /// It passes everything through.
    Nothing,
    /// It checks tokens, then the rules.
    Tokens,
}

/// Starts it with a configuration of our own.
pub fn start(stage: &Stage, transport: Transport, judges: Judges) -> Result<Child> {
    let program = installed(&["/usr/sbin/haproxy", "/usr/local/sbin/haproxy"], "haproxy")?;
    let address = free_address()?;
    let tls = match transport {
        Transport::Plain => String::new(),
        Transport::Tls => format!(" ssl crt {} alpn h2,http/1.1", stage.certificate_and_key.display()),
    };
    Child::start(address, &program, |directory| {
        let rules = match judges {
            Judges::Nothing => String::new(),
            Judges::Tokens => {
                for (file, scope) in [("read.map", "read"), ("write.map", "write")] {
                    fs::write(directory.join(file), map(scope))?;
                }
                judging(stage, directory)
            }
        };
        let config = directory.join("haproxy.cfg");
        fs::write(&config, format!("{}    bind {address}{tls}\n{rules}{}", head(), tail(stage)))?;
        Ok(vec!["-db".into(), "-f".into(), config.to_string_lossy().into_owned()])
    })
}

fn head() -> &'static str {
    "global\n    nbthread 1\n    maxconn 4096\n\
     defaults\n    mode http\n    timeout connect 3s\n    timeout client 60s\n    timeout server 30s\n    \
     option http-keep-alive\n    http-reuse always\n    option forwardfor\n\
     frontend in\n"
}

fn tail(stage: &Stage) -> String {
    format!("    default_backend echo\nbackend echo\n    server echo {} pool-max-conn 64\n", stage.upstream)
}

/// Which role a path takes, by its beginning.
fn map(scope: &str) -> String {
    let mut text = String::new();
    for index in 0..RESOURCES {
        let _ = writeln!(text, "/load/r{index}/ r{index}-{scope}");
    }
    text
}

fn judging(stage: &Stage, directory: &Path) -> String {
    let (rsa, ec, directory) = (stage.rsa_pem.display(), stage.ec_pem.display(), directory.display());
    let (issuer, audience) = (echo::ISSUER, tokens::AUDIENCE);
    let mut text = format!(
        r#"    acl open path {OPEN_PATH}
    http-request set-var(txn.alg) http_auth_bearer,jwt_header_query('$.alg')
    http-request set-var(txn.iss) http_auth_bearer,jwt_payload_query('$.iss')
    http-request set-var(txn.aud) http_auth_bearer,jwt_payload_query('$.aud')
    http-request set-var(txn.exp) http_auth_bearer,jwt_payload_query('$.exp','int')
    http-request set-var(txn.nbf) http_auth_bearer,jwt_payload_query('$.nbf','int')
    http-request set-var(txn.now) date()
    acl rs256 var(txn.alg) -m str RS256
    acl es256 var(txn.alg) -m str ES256
    acl good-rs256 http_auth_bearer,jwt_verify("RS256","{rsa}") -m int 1
    acl good-es256 http_auth_bearer,jwt_verify("ES256","{ec}") -m int 1
    http-request deny deny_status 401 unless open or rs256 or es256
    http-request deny deny_status 401 if rs256 !good-rs256
    http-request deny deny_status 401 if es256 !good-es256
    http-request deny deny_status 401 unless open or {{ var(txn.iss) -m str {issuer} }}
    http-request deny deny_status 401 unless open or {{ var(txn.aud) -m str {audience} }}
    http-request deny deny_status 401 unless open or {{ var(txn.exp),sub(txn.now) -m int gt 0 }}
    http-request deny deny_status 401 if {{ var(txn.nbf),sub(txn.now) -m int gt 0 }}
    http-request set-var(txn.need) path,map_beg({directory}/read.map) if {{ method GET HEAD }}
    http-request set-var(txn.need) path,map_beg({directory}/write.map) if {{ method PUT }}
    http-request deny deny_status 403 unless open or {{ var(txn.need) -m found }}
"#
    );
    for place in 0..8 {
        let _ = writeln!(
            text,
            "    acl held http_auth_bearer,jwt_payload_query('$.roles[{place}]'),strcmp(txn.need) eq 0"
        );
    }
    text.push_str("    http-request deny deny_status 403 unless open or held\n");
    text
}
