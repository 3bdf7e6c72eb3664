//! `gatewarden candidate`, `canary`, `discard` and `promote`: rules that are tried out beside the live ones. What they are
//! and what they would change is the running gateway's to say.

#![allow(
    clippy::indexing_slicing,
    reason = "JSON that is read by name never panics: what isn't there is null"
)]

mod promote;
mod show;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use http::Method;
use serde_json::{Value, json};

pub use self::promote::{PromoteArgs, promote};
use super::Exit;
use super::hypothesis::unknown;
use super::load::{print, tell};
use super::reload::outcome;
use super::rulesets::{RuleSet, admin, live_if_any};
use crate::analysis::diff::diff;
use crate::control::sources;

/// Rules that are tried out beside the live ones: what they are, and what they would change.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The gateway's file; it says where the running gateway hears operators
    #[arg(long, value_name = "FILE", default_value = "gateway.toml", env = "GATEWARDEN_CONFIG")]
    config: PathBuf,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Human,
    Json,
}

/// Let the candidate rules answer some tenants' requests, or nobody's.
#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("whose").required(true).multiple(true).args(["tenants", "off", "configured"]))]
pub struct CanaryArgs {
    /// The gateway's file; it says where the running gateway hears operators
    #[arg(long, value_name = "FILE", default_value = "gateway.toml", env = "GATEWARDEN_CONFIG")]
    config: PathBuf,
    /// A tenant for whom the candidate's answers count, by its name; repeatable
    #[arg(long = "tenant", value_name = "TENANT")]
    tenants: Vec<String>,
    /// The candidate answers nobody
    #[arg(long, conflicts_with_all = ["tenants", "configured"])]
    off: bool,
    /// The candidate answers the tenants that gateway.toml names
    #[arg(long, conflicts_with = "tenants")]
    configured: bool,
}

/// Give the candidate rules up: what was sent is forgotten, files are renamed so that nobody reads them.
#[derive(Clone, Debug, clap::Args)]
pub struct DiscardArgs {
    /// The gateway's file; it says where the running gateway hears operators
    #[arg(long, value_name = "FILE", default_value = "gateway.toml", env = "GATEWARDEN_CONFIG")]
    config: PathBuf,
}

/// What a discarded file's name ends in.
const DISCARDED: &str = ".discarded";

/// Prints; there being none is a negative answer.
pub fn run(args: &Args) -> Exit {
    let status = match ask(&args.config, &Method::GET, "/candidate", Value::Null) {
        Ok(status) => status,
        Err(exit) => return exit,
    };
    match args.format {
        Format::Json => print(&format!("{status:#}")),
        Format::Human => {
            let differences = if status["state"] == "judged" { differences(&args.config) } else { None };
            print(show::status(&status, differences.as_deref()).trim_end());
        }
    }
    exit(&status)
}

/// How much it differs from what is live, in a line.
fn differences(config: &Path) -> Option<String> {
    let old = RuleSet::read("live", config).ok()?;
    let new = RuleSet::read("candidate", config).ok()?;
    let found = diff(&old.snapshot, &new.snapshot);
    if found.is_empty() {
        return Some("it means the same as what is live".to_owned());
    }
    // In the words of `diff` and `promote`, so that the numbers are the same everywhere.
    Some(format!("{}\n  `gatewarden diff live candidate` shows each", found.verdict()))
}

/// Says for whom the candidate answers; a tenant that there isn't is a mistake, and nothing is said then.
pub fn canary(args: &CanaryArgs) -> Exit {
    if let Some(exit) = unknown_tenant(args) {
        return exit;
    }
    let tenants = if args.configured { Value::Null } else { json!(args.tenants) };
    match ask(&args.config, &Method::PUT, "/candidate/tenants", json!({ "tenants": tenants })) {
        Ok(status) => {
            print(show::canary(&status).trim_end());
            let is_whole = status["unknown_tenants"].as_array().is_none_or(Vec::is_empty);
            if is_whole { Exit::Yes } else { Exit::No }
        }
        Err(exit) => exit,
    }
}

/// Tells of a name that no tenant of the live rules has. Where they can't be read, the gateway tells afterwards.
fn unknown_tenant(args: &CanaryArgs) -> Option<Exit> {
    let live = if args.tenants.is_empty() { None } else { live_if_any(&args.config) }?;
    let directory = &live.snapshot.directory;
    let missing = args.tenants.iter().find(|name| directory.named(name).is_none())?;
    let names = directory.tenants().iter().map(|own| &*own.name);
    tell(&format!(
        "error: {}",
        unknown(&format!("there is no tenant `{missing}`; nothing was changed"), missing, names)
    ));
    Some(Exit::Usage)
}

/// Discards; there being nothing is a negative answer.
pub fn discard(args: &DiscardArgs) -> Exit {
    let before = match ask(&args.config, &Method::GET, "/candidate", Value::Null) {
        Ok(status) => status,
        Err(exit) => return exit,
    };
    if before["from"] == "sent" {
        return match ask(&args.config, &Method::DELETE, "/candidate", Value::Null) {
            Ok(after) => {
                print("the candidate that was sent is discarded");
                if after["state"] != "none" {
                    print(show::status(&after, None).trim_end());
                }
                Exit::Yes
            }
            Err(exit) => exit,
        };
    }
    let Some(directory) = sources::peek(&args.config).map(|config| config.candidate.rules) else {
        tell(&format!("error: `{}` can't be read", args.config.display()));
        return Exit::Environment;
    };
    match set_aside(&directory) {
        Ok(names) if names.is_empty() => {
            print(&format!("there is no candidate: `{}` holds no rule file", directory.display()));
            Exit::No
        }
        Ok(names) => {
            for (name, kept) in names {
                let [path, kept] = [name, kept].map(|own| directory.join(own));
                print(&format!("{} is now {}", path.display(), kept.display()));
            }
            reload(&args.config)
        }
        Err(why) => {
            tell(&format!("error: `{}` can't be changed: {why}", directory.display()));
            Exit::Environment
        }
    }
}

/// Renames every rule file so that it is none any more: the old names and the new ones.
fn set_aside(directory: &Path) -> io::Result<Vec<(String, String)>> {
    let mut names = Vec::new();
    let entries = match fs::read_dir(directory) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(names),
        entries => entries?,
    };
    for entry in entries {
        let name = entry?.file_name();
        if let Some(name) = name.to_str().filter(|name| sources::is_rule_file(name)) {
            let kept = sources::free_name(directory, &format!("{name}{DISCARDED}"))?;
            fs::rename(directory.join(name), directory.join(&kept))?;
            names.push((name.to_owned(), kept));
        }
    }
    names.sort();
    Ok(names)
}

/// How a verb that shows a candidate ends.
fn exit(status: &Value) -> Exit {
    match status["state"].as_str() {
        Some("rejected") => Exit::Invalid,
        Some("judged" | "same") => Exit::Yes,
        _ => Exit::No,
    }
}

/// Asks the running gateway and reads its answer; what stands in the way is printed.
fn ask(config: &Path, method: &Method, path: &str, body: Value) -> Result<Value, Exit> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    admin(config, method, path, body).map(|(_, said)| said)
}

/// Has the running gateway read the files, and prints what came of it.
fn reload(config: &Path) -> Exit {
    let said = match ask(config, &Method::POST, "/reload", Value::Null) {
        Ok(said) => said,
        Err(exit) => return exit,
    };
    let outcome = match outcome(&said) {
        Ok(outcome) => outcome,
        Err(exit) => return exit,
    };
    let rules = &said["rules"];
    let (revision, hash) = (&rules["revision"], rules["hash"].as_str().unwrap_or_default());
    match said["result"].as_str() {
        Some("rejected") => {
            tell(rules["last_error"]["rendered"].as_str().unwrap_or_default().trim_end());
            tell(&format!("nothing was applied; revision {revision} stays live"));
        }
        word => {
            let hash = hash.get(..8).unwrap_or(hash);
            print(&format!("{}: revision {revision} ({hash}) is live", word.unwrap_or("unchanged")));
        }
    }
    outcome
}
