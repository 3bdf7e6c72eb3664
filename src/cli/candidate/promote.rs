//! `gatewarden promote`: a candidate's files take the places of the live ones, all at one moment, once they are known to
//! compile.

use std::fs;
use std::path::{Path, PathBuf};

use http::Method;
use serde_json::Value;

use super::super::Exit;
use super::super::diff::FailOn;
use super::super::hypothesis::now;
use super::super::load::{print, read, report, tell};
use super::super::rulesets::{Unasked, document};
use super::{ask, reload};
use crate::analysis::diff::diff;
use crate::config::{Carried, SourceFile, Sources, compile};
use crate::control::promotion::{self, Ended, Stopped};
use crate::control::sources;

/// Make the candidate rules the live ones.
#[derive(Clone, Debug, clap::Args)]
pub struct PromoteArgs {
    /// The gateway's file; the rules and the candidate are where it says
    #[arg(long, value_name = "FILE", default_value = "gateway.toml", env = "GATEWARDEN_CONFIG")]
    config: PathBuf,
    /// Only this file of the candidate, such as calling.toml; repeatable
    #[arg(long = "file", value_name = "NAME")]
    files: Vec<String>,
    /// Promote nothing where someone could do more, less, or anything is different; exit 1
    #[arg(long, value_enum, value_name = "WHAT")]
    fail_on: Option<FailOn>,
    /// What an operator sent to the running gateway, by the hash that `candidate` shows, in place of what stands in the
    /// directory
    #[arg(long, value_name = "HASH")]
    sent: Option<String>,
}

/// Fewest characters by which a hash is told.
const SENT_MIN: usize = 8;

/// A candidate's files, and where they are from.
struct Found {
    files: Vec<SourceFile>,
    /// The directory that they stand in; none if an operator sent them.
    directory: Option<PathBuf>,
}

/// Promotes; what doesn't compile is refused.
pub fn promote(args: &PromoteArgs) -> Exit {
    match promoted(args) {
        Ok(exit) | Err(exit) => exit,
    }
}

fn promoted(args: &PromoteArgs) -> Result<Exit, Exit> {
    let environment = |why: String| {
        tell(&format!("error: {why}"));
        Exit::Environment
    };
    let Some(gateway) = sources::peek(&args.config) else {
        return Err(environment(format!("`{}` can't be read", args.config.display())));
    };
    let rules = gateway.rules;
    let stopped = |why: Stopped| {
        environment(match why {
            Stopped::Before(why) => format!("`{}` can't be changed, and nothing was: {why}", rules.display()),
            Stopped::After(why) => format!(
                "`{}` is being promoted: it counts, and must be ended by `gatewarden promote`: {why}",
                rules.display()
            ),
        })
    };
    // Before anything is moved: who isn't known must not be taken for a gateway that is off.
    let tried = tried(args)?;
    let ended = promotion::finish(&rules).map_err(stopped)?;
    tell_ended(&rules, &ended);
    let Found { files, directory } = found(args, gateway.candidate.rules, &tried)?;
    let (files, rest) = chosen(files, &args.files)?;
    if files.is_empty() && !ended.files.is_empty() {
        return Ok(reload(&args.config));
    }
    if files.is_empty() {
        print("there is no candidate: nothing to promote");
        return Ok(Exit::No);
    }
    holds(&read(&args.config)?, &files, args.fail_on)?;
    if rules.join("..data").exists() {
        return Err(environment(format!(
            "`{}` is swapped as a whole by whoever mounts it: change it there; nothing was promoted",
            rules.display()
        )));
    }
    let texts: Vec<_> = files.iter().map(|file| (sources::file_name(&file.path), &*file.text)).collect();
    promotion::promote(&rules, &texts).map_err(stopped)?;
    for (name, _) in &texts {
        print(&format!("{} is the candidate's", rules.join(name).display()));
    }
    let take_back = || take_back(&args.config, &rest);
    let left = directory.as_deref().map_or_else(take_back, |own| clear(own, &files));
    let live = reload(&args.config);
    if live == Exit::Environment {
        tell("the files are promoted; a gateway takes them when it starts or looks");
    }
    Ok(if live == Exit::Yes { left } else { live })
}

/// Says what was left over of a promotion before this one.
fn tell_ended(rules: &Path, ended: &Ended) {
    for name in &ended.files {
        print(&format!("{}: its promotion was broken off, and is ended now", rules.join(name).display()));
    }
    for name in &ended.kept {
        tell(&format!("{} is what was edited meanwhile, and never counted", rules.join(name).display()));
    }
}

/// What the running gateway tries out; nothing where none runs.
fn tried(args: &PromoteArgs) -> Result<Value, Exit> {
    match document(&args.config, &Method::GET, "/candidate", "") {
        Ok((_, said)) => Ok(said),
        Err(Unasked::Nobody(why)) if args.sent.is_none() => {
            tell(&format!("{why}: what stands in the directory is promoted"));
            Ok(Value::Null)
        }
        Err(why) => {
            tell(&format!("error: {why}; nothing was promoted"));
            Err(Exit::Environment)
        }
    }
}

/// What stands in the directory; or what the running gateway was sent, where that is said.
fn found(args: &PromoteArgs, directory: PathBuf, tried: &Value) -> Result<Found, Exit> {
    let own = match sources::steady(|| sources::read_optional(&directory), std::thread::sleep) {
        Ok(own) => own.files,
        Err(why) => {
            report(&why, &[]);
            return Err(Exit::Environment);
        }
    };
    let refused = |why: String| {
        tell(&format!("error: {why}; nothing was promoted"));
        Exit::No
    };
    let is_sent = tried["from"] == "sent";
    let hash = tried["hash"].as_str().unwrap_or_default();
    let short = hash.get(..8).unwrap_or(hash);
    match &args.sent {
        None if is_sent => Err(refused(format!(
            "what is tried out is what the running gateway was sent: `--sent {short}` promotes it, \
             `gatewarden discard` takes it back"
        ))),
        None => Ok(Found { files: own, directory: Some(directory) }),
        Some(_) if !is_sent => Err(refused("the running gateway was sent no candidate".to_owned())),
        Some(said) if said.len() < SENT_MIN || !hash.starts_with(said.as_str()) => {
            Err(refused(format!("what the running gateway was sent is {short}: look at it first")))
        }
        Some(_) if !own.is_empty() => Err(refused(format!(
            "`{}` holds files too, which what was sent would pass by: promote or discard one of the two first",
            directory.display()
        ))),
        Some(said) => sent(&args.config, said),
    }
}

/// What the running gateway was sent, if it still is this.
fn sent(config: &Path, hash: &str) -> Result<Found, Exit> {
    let said = ask(config, &Method::GET, "/candidate/sources", Value::Null)?;
    let file = |file: &Value| {
        let path: &str = file["path"].as_str()?;
        let kind = sources::kind_of(sources::file_name(path));
        Some(SourceFile { kind, path: path.into(), text: file["text"].as_str()?.to_owned() })
    };
    let files = said["files"].as_array().into_iter().flatten().map(file).collect::<Option<_>>();
    let is_it = said["hash"].as_str().is_some_and(|own| own.starts_with(hash));
    match files.filter(|_| is_it) {
        Some(files) => Ok(Found { files, directory: None }),
        None => {
            tell("error: the running gateway's answer can't be read, or isn't about this candidate any more");
            Err(Exit::Environment)
        }
    }
}

/// The files of these names, or all; and the others.
fn chosen(files: Vec<SourceFile>, names: &[String]) -> Result<(Vec<SourceFile>, Vec<SourceFile>), Exit> {
    let is_of = |file: &SourceFile, name: &str| sources::file_name(&file.path) == name;
    if let Some(missing) = names.iter().find(|name| !files.iter().any(|file| is_of(file, name))) {
        tell(&format!("error: the candidate has no file `{missing}`"));
        return Err(Exit::Usage);
    }
    let is_chosen = |file: &SourceFile| names.is_empty() || names.iter().any(|name| is_of(file, name));
    Ok(files.into_iter().partition(is_chosen))
}

/// Refuses what would be refused once it is there, shows what it changes, and refuses that where it was told to.
fn holds(base: &Sources, files: &[SourceFile], fail_on: Option<FailOn>) -> Result<(), Exit> {
    let next = sources::overlaid(base, files);
    let compiled = compile(&next, Carried::nothing_at(now())).map_err(|why| {
        report(&why, &next.files);
        tell("nothing was promoted");
        Exit::refused(&why)
    })?;
    let Ok(before) = compile(base, Carried::nothing_at(now())) else {
        tell("what stands on disk has mistakes, so what this changes can't be told");
        if fail_on.is_some() {
            tell("nothing was promoted");
            return Err(Exit::No);
        }
        return Ok(());
    };
    let found = diff(&before.snapshot, &compiled.snapshot);
    print(found.to_text().trim_end());
    if fail_on.is_some_and(|own| own.fails(&found)) {
        tell("nothing was promoted");
        return Err(Exit::No);
    }
    Ok(())
}

/// Removes what was promoted from the candidate, unless it was edited meanwhile.
fn clear(directory: &Path, files: &[SourceFile]) -> Exit {
    for file in files {
        let path = directory.join(sources::file_name(&file.path));
        let is_same = fs::read_to_string(&path).is_ok_and(|text| text == file.text);
        if !is_same {
            tell(&format!("{} was edited meanwhile and stays a candidate", path.display()));
        } else if let Err(why) = fs::remove_file(&path) {
            tell(&format!("error: {} is promoted, but can't be removed: {why}", path.display()));
            return Exit::Environment;
        }
    }
    Exit::Yes
}

/// Leaves the gateway with the rest of what it was sent.
fn take_back(config: &Path, rest: &[SourceFile]) -> Exit {
    let text = |file: &SourceFile| (sources::file_name(&file.path).to_owned(), file.text.clone().into());
    let files: serde_json::Map<String, Value> = rest.iter().map(text).collect();
    let asked = if files.is_empty() {
        ask(config, &Method::DELETE, "/candidate", Value::Null)
    } else {
        ask(config, &Method::PUT, "/candidate", serde_json::json!({ "files": files }))
    };
    asked.map_or_else(|exit| exit, |_| Exit::Yes)
}
