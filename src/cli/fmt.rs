//! `gatewarden fmt`: files laid out as ours are. What a file says stays what it was, or the file stays as it is.

use std::path::{Path, PathBuf};

use super::Exit;
use super::import::{read, write};
use super::load::{Files, print, report, tell};
use crate::config::{Diagnostics, FileKind, SourceFile, raw};
use crate::control::sources;
use crate::interchange::layout::{Unformatted, format};

/// Lay files out: `=` under each other, blanks where they belong; comments and order stay.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The files; all that the gateway reads if none is named
    paths: Vec<PathBuf>,
    #[command(flatten)]
    files: Files,
    /// Change nothing; exit 1 if a file would be changed
    #[arg(long)]
    check: bool,
    /// Change nothing, and show what would be changed; exit 1 if something would
    #[arg(long)]
    diff: bool,
}

/// Formats.
pub fn run(args: &Args) -> Exit {
    formatted(args).unwrap_or_else(|exit| exit)
}

fn formatted(args: &Args) -> Result<Exit, Exit> {
    let paths = if args.paths.is_empty() { all(args)? } else { args.paths.clone() };
    let is_dry = args.check || args.diff;
    let (mut changed, mut odd) = (0, 0);
    for path in &paths {
        let text = read(path)?;
        match format(&text) {
            Ok(out) if out == text => {}
            Ok(out) => {
                changed += 1;
                if !is_dry {
                    write(path, &out)?;
                }
                print(&path.display().to_string());
                if args.diff {
                    print(difference(&text, &out).trim_end());
                }
            }
            Err(why) => {
                odd += 1;
                if why == Unformatted::Unreadable {
                    mistakes(path, text);
                }
                tell(&format!("error: `{}` stays as it is: {why}", path.display()));
            }
        }
    }
    Ok(match (odd, changed) {
        (1.., _) => Exit::Invalid,
        (0, 1..) if is_dry => Exit::No,
        _ => Exit::Yes,
    })
}

/// Says where a text is no TOML.
fn mistakes(path: &Path, text: String) {
    let mut found = Diagnostics::default();
    raw::parse(0, &text, &mut found);
    let shown = path.to_string_lossy().as_ref().into();
    report(&found, &[SourceFile { kind: FileKind::Rules, path: shown, text }]);
}

/// Every file that the gateway reads.
fn all(args: &Args) -> Result<Vec<PathBuf>, Exit> {
    let sources = sources::read(&args.files.config).map_err(|why| {
        report(&why, &[]);
        Exit::refused(&why)
    })?;
    Ok(sources.files.iter().map(|file| PathBuf::from(&*file.path)).collect())
}

/// Lines that go and lines that come, where the two differ.
fn difference(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let (mut a, mut b) = (0, 0);
    let mut out = String::new();
    loop {
        let (left, right) = (old.get(a), new.get(b));
        match (left, right) {
            (None, None) => break,
            (Some(left), Some(right)) if left == right => (a, b) = (a + 1, b + 1),
            // Empty lines are all that is ever left out.
            (Some(left), _) if left.trim().is_empty() && right.is_none_or(|right| !right.is_empty()) => {
                out.push_str("-\n");
                a += 1;
            }
            (left, right) => {
                out.extend(left.map(|line| format!("-{line}\n")));
                out.extend(right.map(|line| format!("+{line}\n")));
                (a, b) = (a + 1, b + 1);
            }
        }
    }
    out
}
