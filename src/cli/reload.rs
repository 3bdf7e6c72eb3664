//! `gatewarden reload`: has the running gateway read its files now, and says what came of it.

use std::path::PathBuf;

use http::Method;
use serde_json::Value;

use super::Exit;
use super::load::{print, tell};
use super::rulesets::{admin, member};

/// Have the running gateway read its files now.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The gateway's file; it says where the gateway hears operators
    #[arg(long, value_name = "FILE", default_value = "gateway.toml", env = "GATEWARDEN_CONFIG")]
    config: PathBuf,
    /// Go live although `[expect]` rows fail, if it is proven that nobody may do more than before
    #[arg(long)]
    narrow_only: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Human,
    Json,
}

/// Asks for it.
pub fn run(args: &Args) -> Exit {
    let path = if args.narrow_only { "/reload?narrow-only" } else { "/reload" };
    let (_, said) = match admin(&args.config, &Method::POST, path, bytes::Bytes::new()) {
        Ok(answer) => answer,
        Err(exit) => return exit,
    };
    let exit = match outcome(&said) {
        Ok(outcome) => outcome,
        Err(exit) => return exit,
    };
    if args.format == Format::Json {
        print(&format!("{said:#}"));
        return exit;
    }
    let rules = member(&said, "rules");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let hash = text(member(rules, "hash"));
    let (revision, hash) = (member(rules, "revision"), hash.get(..8).unwrap_or(&hash));
    let waiting = super::status::waiting(rules);
    match member(&said, "result").as_str() {
        Some("rejected") => {
            tell(text(member(member(rules, "last_error"), "rendered")).trim_end());
            tell(&format!("nothing was applied; revision {revision} ({hash}) stays live"));
        }
        Some("unchanged") => {
            print(&format!("unchanged: revision {revision} ({hash}) is what stands on disk"));
            waiting.iter().for_each(|line| print(&format!("  {line}")));
        }
        // Only `applied` is left: `outcome` knows no other word.
        _ => {
            print(&format!("applied: revision {revision} ({hash}) is live"));
            if let Some(verdict) = member(rules, "does").as_str() {
                print(&format!("  {verdict}"));
            }
            waiting.iter().for_each(|line| print(&format!("  {line}")));
        }
    }
    exit
}

/// How a verb ends that had the gateway read its files. A word that this program doesn't know is no success.
pub(super) fn outcome(said: &Value) -> Result<Exit, Exit> {
    match member(said, "result").as_str() {
        Some("applied" | "unchanged") => Ok(Exit::Yes),
        Some("rejected") => Ok(Exit::Invalid),
        _ => {
            tell("error: the gateway doesn't say what came of it: is it of another version?");
            Err(Exit::Environment)
        }
    }
}
