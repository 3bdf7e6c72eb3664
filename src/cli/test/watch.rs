//! `--watch`: runs again whenever the rules or the tables change, until it is stopped. It looks a few times a second at what
//! the files hold: an editor's save is seen whichever way it is written.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::filter::Filter;
use super::{Args, files, once};
use crate::cli::Exit;
use crate::cli::load::{print, tell};
use crate::control::sources;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Runs, and never comes to an end by itself.
pub(super) fn run(args: &Args, filter: &Filter) -> Exit {
    let mut seen = look(args);
    loop {
        if std::io::stdout().is_terminal() {
            // The screen is cleared, and what was printed before stays above.
            let _ = write!(std::io::stdout(), "\x1b[2J\x1b[H");
        }
        let exit = once(args, filter);
        if exit != Exit::Yes {
            tell("not all is well; waiting for a change");
        }
        let _ = std::io::stdout().flush();
        while look(args) == seen {
            std::thread::sleep(LOOK_EVERY);
        }
        seen = look(args);
        print("changed, once more:");
    }
}

/// What tells two states of rules and tables apart.
fn look(args: &Args) -> u64 {
    let mut hasher = DefaultHasher::new();
    sources::fingerprint(&sources::read(&args.files.config)).hash(&mut hasher);
    for path in
        args.tables.iter().chain(&args.golden).cloned().chain(beside(&files::directory(&args.files.config)))
    {
        path.hash(&mut hasher);
        std::fs::read(&path).ok().hash(&mut hasher);
    }
    hasher.finish()
}

fn beside(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.is_file());
    paths.sort();
    paths
}
