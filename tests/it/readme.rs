//! What README shows is true: its files compile, and every command that it prints is one that there is.

use std::process::Command;

use gatewarden::config::diagnostic::Style;
use gatewarden::config::{Carried, FileKind, SourceFile, Sources, compile};

const README: &str = include_str!("../../README.md");

/// The fenced blocks of a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let opening = format!("```{language}\n");
    README.split(opening.as_str()).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn the_files_it_shows_compile() {
    let mut files: Vec<SourceFile> = blocks("toml")
        .into_iter()
        .map(|text| {
            let path = text.lines().next().and_then(|line| line.strip_prefix("# ")).unwrap();
            let kind = match path {
                "gateway.toml" => FileKind::Gateway,
                "rules/tenants.toml" => FileKind::Tenants,
                _ => FileKind::Rules,
            };
            SourceFile { kind, path: path.into(), text: text.into() }
        })
        .collect();
    files.sort_by_key(|file| file.kind != FileKind::Gateway);
    assert_eq!(files.len(), 3);
    let sources = Sources { files, hash: String::new() };
    if let Err(why) = compile(&sources, Carried::nothing()) {
        panic!("{}", why.render(&sources.files, Style::Plain));
    }
}

/// The rules' hash changes with every edit of them.
fn without_hash(text: &str) -> String {
    let lines = text.lines().map(|line| match line.split_once(" rules ") {
        Some((before, hash)) if hash.len() == 8 => before.trim_end(),
        _ => line.trim_end(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_commands_it_shows_print_what_it_shows() {
    let shown = blocks("console");
    assert!(shown.len() > 1);
    for block in shown {
        let (command, expected) = block.split_once('\n').unwrap();
        let arguments = command.strip_prefix("$ gatewarden ").unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_gatewarden"))
            .args(arguments.split(' '))
            .env_remove("GATEWARDEN_CONFIG")
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(without_hash(&printed), without_hash(expected), "{command}");
    }
}

#[test]
fn every_verb_it_names_is_one() {
    let verbs = README
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split(['`', ' ']).next());
    for verb in verbs {
        let help = Command::new(env!("CARGO_BIN_EXE_gatewarden")).args([verb, "--help"]).output().unwrap();
        assert!(help.status.success(), "{verb}");
    }
}

/// The paragraph on limits names every key that is read.
#[test]
fn every_limit_is_named() {
    let read = include_str!("../../src/config/gateway/limits.rs");
    let keys: Vec<_> = read.split('"').skip(1).step_by(2).collect();
    assert!(keys.len() > 20, "{keys:?}");
    let (_, rest) = README.split_once("What `[limits]` may change").unwrap();
    let (paragraph, _) = rest.split_once("\n\n").unwrap();
    for key in keys {
        assert!(paragraph.contains(&format!("`{key}`")), "{key}");
    }
}
