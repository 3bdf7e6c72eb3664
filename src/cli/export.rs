//! `gatewarden export cedar`: the rules for another engine's second opinion.

use std::path::PathBuf;

use super::Exit;
use super::import::{usage, write};
use super::load::{Files, print, tell};
use crate::interchange::{Report, cedar};

/// The rules as Cedar policies, with a schema; what Cedar can't say stands in comments and in the report.
#[derive(Clone, Debug, clap::Args)]
pub struct CedarArgs {
    #[command(flatten)]
    files: Files,
    /// Only this app's
    #[arg(long, value_name = "APP")]
    app: Option<String>,
    /// Write gatewarden.cedar and gatewarden.cedarschema into this directory; else the policies go to standard output
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// The schema, in place of the policies
    #[arg(long, conflicts_with = "output")]
    schema: bool,
    /// Write the report here, too: Markdown, or JSON where the name ends in .json
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// Exports.
pub fn cedar(args: &CedarArgs) -> Exit {
    exported(args).err().unwrap_or(Exit::Yes)
}

fn exported(args: &CedarArgs) -> Result<(), Exit> {
    let snapshot = args.files.load()?;
    if let Some(name) = args.app.as_deref().filter(|name| snapshot.app(name).is_none()) {
        let names: Vec<&str> = snapshot.apps.iter().map(|app| &*app.name).collect();
        return Err(usage(&format!("there is no app `{name}`; there is {}", names.join(", "))));
    }
    let mut report = Report::default();
    let made = cedar::export(&snapshot, args.app.as_deref(), &mut report);
    match &args.output {
        None => print(if args.schema { made.schema.trim_end() } else { made.policies.trim_end() }),
        Some(directory) => {
            std::fs::create_dir_all(directory).map_err(|why| {
                tell(&format!("error: `{}`: {why}", directory.display()));
                Exit::Environment
            })?;
            write(&directory.join("gatewarden.cedar"), &made.policies)?;
            write(&directory.join("gatewarden.cedarschema"), &made.schema)?;
            print(report.to_text().trim_end());
        }
    }
    if let Some(path) = &args.report {
        let is_json = path.extension().is_some_and(|own| own == "json");
        let text = if is_json {
            format!("{:#}\n", report.to_json("gatewarden.export.cedar/1"))
        } else {
            report.to_markdown()
        };
        write(path, &text)?;
    }
    Ok(())
}
