//! `gatewarden diff`: what a change of the rules, or of anything else that is configured, does to whom.

use std::path::PathBuf;

use serde_json::Value;

use super::Exit;
use super::load::print;
use super::rulesets::RuleSet;
use crate::analysis::diff::{SnapshotDiff, diff};

/// Compare two rule sets by meaning: who gains, who loses, when, each with a request that shows it.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What it was: `live`, `candidate`, a git revision (`git:main`), a gateway.toml, or a directory
    #[arg(value_name = "OLD")]
    old: String,
    /// What it is to be; the files of --config unless said
    #[arg(value_name = "NEW")]
    new: Option<String>,
    /// The gateway's file; the rules are where it says
    #[arg(long, value_name = "FILE", default_value = "gateway.toml", env = "GATEWARDEN_CONFIG")]
    config: PathBuf,
    /// Exit with 1 where someone may do more, someone may do less, or anything is different
    #[arg(long, value_enum, value_name = "WHAT")]
    fail_on: Option<FailOn>,
    /// How to print; md is for a comment on a change
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

/// Which differences are a negative answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum FailOn {
    Widen,
    Narrow,
    Any,
}

impl FailOn {
    /// Whether these are.
    pub(super) fn fails(self, found: &SnapshotDiff) -> bool {
        match self {
            Self::Widen => found.widens(),
            Self::Narrow => found.narrows(),
            Self::Any => !found.is_empty(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Human,
    Json,
    Md,
}

/// Compares.
pub fn run(args: &Args) -> Exit {
    let read = || -> Result<(RuleSet, RuleSet), Exit> {
        let old = RuleSet::read(&args.old, &args.config)?;
        let new = match &args.new {
            Some(spec) => RuleSet::read(spec, &args.config)?,
            None => RuleSet::configured(&args.config)?,
        };
        Ok((old, new))
    };
    let (old, new) = match read() {
        Ok(both) => both,
        Err(exit) => return exit,
    };
    let found = diff(&old.snapshot, &new.snapshot).with_contents(&old.contents(), &new.contents());
    match args.format {
        Format::Human => print(&format!("{}\n{}", sides(&old, &new, "\n"), found.to_text().trim_end())),
        Format::Md => print(&format!("{}\n{}", found.to_markdown(), sides(&old, &new, " · "))),
        Format::Json => print(&format!("{:#}", machine(&old, &new, &found))),
    }
    let fails = args.fail_on.is_some_and(|own| own.fails(&found));
    if fails { Exit::No } else { Exit::Yes }
}

/// What was compared.
fn sides(old: &RuleSet, new: &RuleSet, between: &str) -> String {
    let side = |word: &str, own: &RuleSet| {
        let short = own.sources.hash.get(..8).unwrap_or(&own.sources.hash);
        format!("{word} {short}  {}", own.name)
    };
    format!("{}{between}{}\n", side("old", old), side("new", new))
}

fn machine(old: &RuleSet, new: &RuleSet, found: &SnapshotDiff) -> Value {
    let mut document = found.to_json();
    if let Value::Object(members) = &mut document {
        for (key, own) in [("old", old), ("new", new)] {
            members.insert(key.to_owned(), serde_json::json!({ "name": own.name, "hash": own.sources.hash }));
        }
    }
    document
}
