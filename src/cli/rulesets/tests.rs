use std::fs;
use std::process::Command;

use super::*;

const RULES: &str = "app = \"desk\"\nowns = [\"/things\", \"/stuff\"]\nissuer = \"sso\"\nroles = \"token.roles\"\ntenant = \"acme\"\n[facts.token]\nroles = \"set\"\n\
    [resource.things]\nview = [\"GET /things\"]\n[role.user]\nview = [\"things\"]\n";
const GATEWAY: &str = "[issuers.sso]\nkind = \"oidc\"\nissuer = \"https://sso.test\"\naudience = [\"api\"]\n\
    algorithms = [\"EdDSA\"]\njwks = \"https://sso.test/keys\"\n[upstreams.desk]\nat = [\"/things\", \"/stuff\"]\nservers = [\"http://127.0.0.1:1\"]\n";

/// A repository with the set in a directory of its own, one commit, and a change that isn't committed.
fn repository() -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let below = place.path().join("gw");
    fs::create_dir_all(below.join("rules")).unwrap();
    fs::write(below.join("gateway.toml"), GATEWAY).unwrap();
    fs::write(below.join("rules/desk.toml"), RULES).unwrap();
    fs::write(below.join("rules/tenants.toml"), "[tenant.acme]\nids = [\"acme\"]\napps = [\"desk\"]\n")
        .unwrap();
    fs::write(below.join("rules/notes.md"), "no rules").unwrap();
    for words in [
        &["init", "-q", "-b", "main"][..],
        &["add", "-A"],
        &["-c", "user.name=t", "-c", "user.email=t@test", "commit", "-q", "-m", "first"],
    ] {
        assert!(Command::new("git").arg("-C").arg(place.path()).args(words).status().unwrap().success());
    }
    fs::write(below.join("rules/desk.toml"), RULES.replace("GET /things", "GET /stuff")).unwrap();
    (place, below)
}

#[test]
fn a_revision_is_the_set_that_stood_there() {
    let (_place, below) = repository();
    let config = below.join("gateway.toml");
    let of = |spec: &str| RuleSet::read(spec, &config).unwrap();
    let (then, now) = (of("git:main"), of(config.to_str().unwrap()));
    assert_eq!(then.sources.files.len(), 3);
    assert!(then.sources.files[1].text.contains("GET /things"), "{}", then.sources.files[1].text);
    assert!(now.sources.files[1].text.contains("GET /stuff"));
    assert_ne!(then.snapshot.hash, now.snapshot.hash);
    assert!(then.name.starts_with("git:main ("), "{}", then.name);
    assert_eq!(of("main").sources.hash, then.sources.hash);
    fs::write(below.join("rules/desk.toml"), RULES).unwrap();
    assert_eq!(of(below.to_str().unwrap()).sources.hash, then.sources.hash);
}

#[test]
fn a_directory_of_rules_stands_beside_the_gateway() {
    let (place, below) = repository();
    let (config, other) = (below.join("gateway.toml"), place.path().join("other"));
    fs::create_dir(&other).unwrap();
    for name in ["desk.toml", "tenants.toml"] {
        fs::copy(below.join("rules").join(name), other.join(name)).unwrap();
    }
    let beside = RuleSet::read(other.to_str().unwrap(), &config).unwrap();
    assert_eq!(beside.sources.hash, RuleSet::configured(&config).unwrap().sources.hash);
}

#[test]
fn the_directory_of_candidates_stands_on_top_of_the_rules() {
    let (_place, below) = repository();
    let (config, next) = (below.join("gateway.toml"), below.join("rules-next"));
    fs::create_dir(&next).unwrap();
    fs::write(next.join("desk.toml"), RULES).unwrap();
    let tried = RuleSet::read(next.to_str().unwrap(), &config).unwrap();
    assert!(tried.sources.files.iter().any(|own| own.path.ends_with("rules/tenants.toml")));
    assert!(tried.name.contains("rules-next on top of "), "{}", tried.name);
    // It is what it would be once it is promoted.
    fs::write(below.join("rules/desk.toml"), RULES).unwrap();
    assert_eq!(tried.sources.hash, RuleSet::configured(&config).unwrap().sources.hash);
}

#[test]
fn only_what_says_that_it_is_a_gateways_counts() {
    use http::StatusCode;

    let read = |status, text: &str| super::admin::gateways("[::1]:9", status, text.as_bytes());
    assert!(read(StatusCode::OK, r#"{"schema":"gatewarden.rules/1"}"#).is_ok());
    assert!(read(StatusCode::UNPROCESSABLE_ENTITY, r#"{"rules":{"schema":"gatewarden.rules/1"}}"#).is_ok());
    for odd in ["{}", r#"{"schema":"other/1"}"#, "<p>", "", "null", "7"] {
        let why = read(StatusCode::OK, odd).unwrap_err();
        assert!(why.contains("what answers at [::1]:9 is no gateway"), "{odd}: {why}");
    }
    assert!(
        read(StatusCode::FORBIDDEN, "not from here\n").unwrap_err().ends_with("403 Forbidden: not from here")
    );
}

#[test]
fn what_names_nothing_is_refused_and_no_word_of_it_is_an_option() {
    let (_place, below) = repository();
    let config = below.join("gateway.toml");
    for spec in
        ["git:nothing", "nothing", "git:--help", "--all", "git:main:gw/gateway.toml", "git:", "x.toml"]
    {
        assert_eq!(RuleSet::read(spec, &config).err(), Some(Exit::Environment), "{spec}");
    }
    fs::write(below.join("rules/desk.toml"), "nonsense").unwrap();
    assert_eq!(RuleSet::configured(&config).err(), Some(Exit::Invalid));
    // Nothing listens there.
    fs::write(&config, format!("{GATEWAY}[admin]\naddress = \"127.0.0.1:1\"\n")).unwrap();
    assert_eq!(RuleSet::read("live", &config).err(), Some(Exit::Environment));
}
