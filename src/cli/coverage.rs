//! `gatewarden coverage`: an OpenAPI document held against the rules.

use std::path::PathBuf;

use super::Exit;
use super::import::{invalid, read, usage};
use super::load::{Files, print, tell};
use crate::interchange::openapi::{Spec, cover};
use crate::interchange::{Report, Weight};

/// Which operations of an OpenAPI document no rule names, and the other way round; exit 1 if some are refused.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The document, JSON or YAML
    spec: PathBuf,
    #[command(flatten)]
    files: Files,
    /// The app whose document it is
    #[arg(long, value_name = "APP")]
    app: Option<String>,
    /// The prefix of its paths, in place of its server's
    #[arg(long, value_name = "PATH")]
    base: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Human,
    Json,
    Md,
}

/// Prints; a negative answer is that an operation of the document stands in no rule.
pub fn run(args: &Args) -> Exit {
    covered(args).unwrap_or_else(|exit| exit)
}

fn covered(args: &Args) -> Result<Exit, Exit> {
    let snapshot = args.files.load()?;
    let names: Vec<&str> = snapshot.apps.iter().map(|app| &*app.name).collect();
    let app = match (&args.app, names.as_slice()) {
        (Some(name), _) => snapshot
            .app(name)
            .ok_or_else(|| usage(&format!("there is no app `{name}`; there is {}", names.join(", "))))?,
        (None, [only]) => snapshot.app(only).ok_or(Exit::Usage)?,
        (None, _) => {
            return Err(usage(&format!("whose document is it? --app is one of {}", names.join(", "))));
        }
    };
    let mut report = Report::default();
    let spec = Spec::read(&read(&args.spec)?, &mut report).map_err(|why| invalid(&args.spec, &why))?;
    for own in report.findings().into_iter().filter(|own| own.weight == Weight::Denied) {
        tell(&format!("{} {}: {} ({})", own.code, own.what, own.why, own.at));
    }
    let coverage = cover(&spec, &snapshot, app, args.base.as_deref());
    match args.format {
        Format::Human => print(coverage.to_text().trim_end()),
        Format::Md => print(coverage.to_markdown().trim_end()),
        Format::Json => print(&format!("{:#}", coverage.to_json())),
    }
    // What couldn't be read of the document isn't known to be covered.
    let is_whole = coverage.uncovered.is_empty() && report.count(Weight::Denied) == 0;
    Ok(if is_whole { Exit::Yes } else { Exit::No })
}
