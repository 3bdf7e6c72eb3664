//! Loading for the verbs that ask about rules and serve nothing: read, compile, and print every mistake.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Exit;
use super::hypothesis::now;
use crate::config::diagnostic::{RENDERED_MAX, Style};
use crate::config::{Carried, Diagnostics, SourceFile, Sources, compile};
use crate::control::sources;
use crate::snapshot::Snapshot;

/// Where the files are.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Files {
    /// The gateway's file; the rules are where it says
    #[arg(long, value_name = "FILE", default_value = "gateway.toml", env = "GATEWARDEN_CONFIG")]
    pub(super) config: PathBuf,
}

impl Files {
    /// Reads and compiles. What stands in the way is printed.
    pub(super) fn load(&self) -> Result<Arc<Snapshot>, Exit> {
        self.load_all().map(|(snapshot, _)| snapshot)
    }

    /// Reads and compiles, for whoever looks at the files, too.
    pub(super) fn load_all(&self) -> Result<(Arc<Snapshot>, Sources), Exit> {
        let sources = read(&self.config)?;
        match compile(&sources, Carried::nothing_at(now())) {
            Ok(compiled) => Ok((Arc::new(compiled.snapshot), sources)),
            Err(why) => {
                report(&why, &sources.files);
                let count = why.errors();
                tell(&format!(
                    "{count} {}; nothing was applied",
                    if count == 1 { "mistake" } else { "mistakes" }
                ));
                Err(Exit::refused(&why))
            }
        }
    }
}

/// Reads the files.
pub(super) fn read(config: &Path) -> Result<Sources, Exit> {
    sources::read_steady(config, std::thread::sleep).map_err(|why| {
        report(&why, &[]);
        Exit::refused(&why)
    })
}

/// Prints diagnostics to standard error.
pub(super) fn report(diagnostics: &Diagnostics, files: &[SourceFile]) {
    tell(diagnostics.render(files, style()).trim_end());
}

/// Prints diagnostics to standard error: as many as one reads, or every one.
pub(super) fn report_all(diagnostics: &Diagnostics, files: &[SourceFile], all: bool) {
    let most = if all { usize::MAX } else { RENDERED_MAX };
    tell(diagnostics.render_some(files, style(), most).trim_end());
}

fn style() -> Style {
    let colour =
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if colour { Style::Colour } else { Style::Plain }
}

/// Prints a line to standard error.
pub(super) fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Whether a result couldn't be printed. It is one fact about the process's one standard output.
static IS_LOST: AtomicBool = AtomicBool::new(false);

/// Prints a result to standard output. A reader that has gone away, such as `head`, is no mistake; a full disk is, and is
/// told once.
pub(super) fn print(text: &str) {
    if let Err(why) = writeln!(io::stdout(), "{text}")
        && why.kind() != io::ErrorKind::BrokenPipe
        && !IS_LOST.swap(true, Ordering::Relaxed)
    {
        tell(&format!("error: standard output can't be written: {why}"));
    }
}

/// How the process ends when a verb has ended so: nobody may take an answer that was lost for one.
pub(super) fn ended(exit: Exit) -> Exit {
    if IS_LOST.load(Ordering::Relaxed) { Exit::Environment } else { exit }
}
