//! The log's files, as operators have them: rotated, chained, taken over, moved, broken off; and mistakes in `[decisions]`.

use std::fs;
use std::process::Command;

use gatewarden::config::diagnostic::Style;
use gatewarden::config::{Carried, FileKind, SourceFile, Sources, compile};
use serde_json::Value;

use crate::process::{FREE_PORTS, Files, Process, RULES, ask};
use crate::support::{Upstream, eventually};

fn files(upstream: &Upstream, decisions: &str) -> Files {
    let files = Files::new(upstream.address, FREE_PORTS);
    let text = fs::read_to_string(files.path("gateway.toml")).unwrap();
    files.write("gateway.toml", &format!("{text}[decisions]\n{decisions}\n"));
    files
}

fn asks(process: &Process, count: usize) {
    for number in 0..count {
        let line = format!("GET /desk/open/{number}");
        assert_eq!(ask(process.address("callers"), &line, &[]).status, 200);
    }
}

/// The log's lines, oldest file first.
fn log(files: &Files) -> Vec<Value> {
    let names = (0..50).rev().map(|n| if n == 0 { "d.ndjson".to_owned() } else { format!("d.ndjson.{n}") });
    let texts: Vec<_> =
        names.filter_map(|name| fs::read_to_string(files.path("log").join(name)).ok()).collect();
    texts.iter().flat_map(|text| text.lines()).map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn of_schema(lines: &[Value], schema: &str) -> Vec<Value> {
    lines.iter().filter(|line| line["schema"] == schema).cloned().collect()
}

fn verify(files: &Files) -> (i32, String) {
    let mut paths: Vec<_> = fs::read_dir(files.path("log")).unwrap().map(|own| own.unwrap().path()).collect();
    paths.sort();
    let done =
        Command::new(env!("CARGO_BIN_EXE_gatewarden")).args(["log", "verify"]).args(paths).output().unwrap();
    let text = [done.stdout, done.stderr].concat();
    (done.status.code().unwrap(), String::from_utf8(text).unwrap())
}

#[test]
fn a_chain_goes_on_over_files_restarts_and_successors() {
    let upstream = Upstream::echo();
    let chained = "file = \"log/d.ndjson\"\nrotate = { size = \"2KiB\", keep = 40 }\nchain = true";
    let mut process = Process::start(files(&upstream, chained));
    asks(&process, 8);
    process.signal("TERM");
    assert_eq!(process.end(), 0, "{}", process.log());
    assert_eq!(
        of_schema(&log(&process.files), "gatewarden.decision/1").len(),
        8,
        "a gateway that ends writes all"
    );
    let process = process.again();
    asks(&process, 4);
    // The new process writes while the old one still may.
    process.signal("USR2");
    process.until("another process serves from now on");
    asks(&process, 4);
    eventually("all is written", || of_schema(&log(&process.files), "gatewarden.decision/1").len() == 16);
    let (code, told) = verify(&process.files);
    assert_eq!(code, 0, "{told}");
    assert!(told.starts_with("whole: ") && told.contains(" files; the last value is "), "{told}");
    let log = process.log();
    let newest = log.split("starting a new process pid=").nth(1).and_then(|rest| rest.split(' ').next());
    crate::process::signal("TERM", newest.unwrap().parse().unwrap());
    // Whoever changes a line is found out, and where.
    let path = process.files.path("log/d.ndjson.2");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("\"status\":200", "\"status\":201", 1)).unwrap();
    let (code, told) = verify(&process.files);
    assert_eq!(code, 1, "{told}");
    assert!(
        told.contains("d.ndjson.2:") && told.contains("was changed") && told.contains("not whole: 1 finding"),
        "{told}"
    );
    fs::remove_file(&path).unwrap();
    let (code, told) = verify(&process.files);
    assert!(code == 1 && told.contains("lines may be missing"), "{told}");
}

#[test]
fn a_log_that_is_moved_away_is_begun_again() {
    let upstream = Upstream::echo();
    let process = Process::start(files(&upstream, "file = \"log/d.ndjson\""));
    asks(&process, 1);
    let path = process.files.path("log/d.ndjson");
    eventually("it is written", || fs::read_to_string(&path).is_ok_and(|text| text.contains("/desk/open/0")));
    fs::rename(&path, process.files.path("log/d.ndjson.1")).unwrap();
    process.signal("HUP");
    asks(&process, 2);
    eventually("it is begun again", || {
        fs::read_to_string(&path).is_ok_and(|text| text.contains("/desk/open/1"))
    });
    assert_eq!(of_schema(&log(&process.files), "gatewarden.decision/1").len(), 3);
}

#[test]
fn sets_of_files_that_were_applied_or_refused_are_in_the_log() {
    let upstream = Upstream::echo();
    let process = Process::start(files(&upstream, "file = \"log/d.ndjson\""));
    process.files.write("rules/desk.toml", "app = ");
    process.until("rules rejected");
    process.files.write("rules/desk.toml", &format!("{RULES}# changed\n"));
    eventually("it is applied", || process.log().matches("rules applied").count() == 2);
    let mut events = Vec::new();
    eventually("all three are written", || {
        events = of_schema(&log(&process.files), "gatewarden.config/1");
        events.len() == 3
    });
    let told: Vec<_> = events.iter().map(|own| own["result"].as_str().unwrap()).collect();
    assert_eq!(told, ["applied", "refused", "applied"]);
    assert_eq!(events[2]["was"], events[0]["hash"]);
    assert_eq!((events[0]["trigger"].as_str(), events[2]["revision"].as_u64()), (Some("start"), Some(2)));
    assert!(events[1]["first"].as_str().unwrap().contains("desk.toml:1"), "{}", events[1]);
}

#[test]
fn where_to_write_is_changed_while_it_runs() {
    let upstream = Upstream::echo();
    let process = Process::start(files(&upstream, "file = \"/dev/full\""));
    asks(&process, 1);
    process.until("decisions can't be written");
    let text = fs::read_to_string(process.files.path("gateway.toml")).unwrap();
    process.files.write("gateway.toml", &text.replace("/dev/full", "log/d.ndjson"));
    process.until("decisions are written again");
    asks(&process, 1);
    eventually("nothing was lost", || of_schema(&log(&process.files), "gatewarden.decision/1").len() == 2);
}

/// What a gateway's file with this `[decisions]`, and these rules, comes to.
fn told(decisions: &str, rules: &str) -> Result<(), String> {
    let gateway = format!(
        "[issuers.sso]\nkind = \"oidc\"\nissuer = \"https://sso.example\"\naudience = [\"desk\"]\njwks = \"keys.json\"\n\
         [upstreams.desk]\nat = [\"/desk\"]\nservers = [\"http://127.0.0.1:1\"]\n{decisions}"
    );
    let file = |kind, path: &str, text: &str| SourceFile { kind, path: path.into(), text: text.into() };
    let files = vec![
        file(FileKind::Gateway, "gateway.toml", &gateway),
        file(FileKind::Rules, "rules/desk.toml", rules),
        file(FileKind::Tenants, "rules/tenants.toml", "[tenant.acme]\nids = [\"1\"]\napps = [\"desk\"]\n"),
    ];
    let sources = Sources { files, hash: String::new() };
    compile(&sources, Carried::nothing()).map(drop).map_err(|why| why.render(&sources.files, Style::Plain))
}

#[test]
fn mistakes_are_told_in_their_places() {
    for (lines, parts) in [
        ("file = \"\"", &["names no file"][..]),
        ("file = \"d\"\nto = \"stdout\"", &["not to both"]),
        ("to = \"stdin\"", &["the one word here is"]),
        ("to = \"stdout\"\nrotate = { size = \"1MiB\" }", &["only a `file` is rotated"]),
        ("queue = 5", &["nothing is written: say where to"]),
        ("file = \"d\"\nmask = [\"email\", \"token.*.x\"]", &["a mask is a fact's name"]),
        ("file = \"d\"\nsubject = \"hashed\"", &["or it is \"off\""]),
        ("file = \"d\"\nsubject = \"hash\"", &["needs `key ="]),
        ("file = \"d\"\nkey = { file = \"k\" }", &["nothing is hashed with it"]),
        ("file = \"d\"\nrotate = { size = \"1B\" }", &["must be between"]),
        ("file = \"d\"\nsampel = { allow = 2 }", &["unknown key `sampel`", "did you mean `sample`?"]),
    ] {
        let told = told(&format!("[decisions]\n{lines}\n"), RULES).unwrap_err();
        for part in parts {
            assert!(told.contains(part), "{lines}: {part} not in\n{told}");
        }
    }
    for lines in
        ["", "[decisions]\nrecent = 0\n", "[decisions]\nto = \"stdout\"\nchain = true\npath = false\n"]
    {
        told(lines, RULES).unwrap();
    }
}

#[test]
fn what_must_be_on_record_needs_a_log() {
    let rules =
        format!("{}[audit]\nrequired = [\"* /customers...\"]\n", RULES.split("[resource").next().unwrap());
    let rules = rules + &RULES[RULES.find("[resource").unwrap()..];
    let why = told("", &rules).unwrap_err();
    for part in ["isn't written anywhere", "rules/desk.toml:11:1", "[decisions]"] {
        assert!(why.contains(part), "{part} not in\n{why}");
    }
    told("[decisions]\nfile = \"d\"\n", &rules).unwrap();
    let why = told("[decisions]\nfile = \"d\"\n", &rules.replace("* /customers...", "PUT /customers/{id}"))
        .unwrap_err();
    assert!(why.contains("no operation is `PUT /customers/{id}`"), "{why}");
}
