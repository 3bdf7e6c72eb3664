//! `gatewarden replay`: what a log's decisions would be by other rules, and whom it concerns.

mod print;

use super::Exit;
use super::load::{Files, print, tell};
use super::logs::{Logs, Unread};
use super::rulesets::RuleSet;
use crate::hindsight::replay::{Kind, Replay};

/// What would change for those who really asked? A log's decisions, put to other rules
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    files: Files,
    /// The rules: `live`, `candidate`, a git revision (`git:main`), a gateway.toml, or a directory; the files that
    /// `--config` names unless said
    #[arg(long, value_name = "RULES")]
    rules: Option<String>,
    /// Exit 1 if any decision widens, narrows, or changes at all; what can't be known counts as each
    #[arg(long, value_enum, value_name = "WHAT")]
    fail_on: Option<FailOn>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    #[command(flatten)]
    logs: Logs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FailOn {
    Widen,
    Narrow,
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Human,
    Json,
    Md,
}

/// What is printed of a replay.
struct Printed<'p> {
    /// What the operator calls the rules.
    rules: &'p str,
    hash: &'p str,
    replay: &'p Replay,
    unread: &'p Unread,
}

/// Replays; exit 1 for what `--fail-on` names, and where there was nothing to replay.
pub fn run(args: &Args) -> Exit {
    let rules = match &args.rules {
        Some(spec) => RuleSet::read(spec, &args.files.config),
        None => RuleSet::configured(&args.files.config),
    };
    let rules = match rules {
        Ok(rules) => rules,
        Err(exit) => return exit,
    };
    let snapshot = &*rules.snapshot;
    let (parts, unread) =
        match args.logs.read(Replay::default, |sum: &mut Replay, record| sum.put(record, snapshot)) {
            Ok(read) => read,
            Err(exit) => return exit,
        };
    let mut replay = Replay::default();
    parts.into_iter().for_each(|part| replay.add(part));
    unread.tell();
    let printed = Printed { rules: &rules.name, hash: &snapshot.hash, replay: &replay, unread: &unread };
    let text = match args.format {
        Format::Human => print::human(&printed),
        Format::Json => print::machine(&printed),
        Format::Md => print::markdown(&printed),
    };
    print(text.trim_end());
    if replay.records == 0 {
        tell("error: the logs hold no decision that can be read, so that nothing is known of the change");
        return Exit::No;
    }
    let Some(fail_on) = args.fail_on else { return Exit::Yes };
    let is_wanted = |kind: &Kind| match fail_on {
        FailOn::Widen => kind.widens(),
        FailOn::Narrow => kind.narrows(),
        FailOn::Any => true,
    };
    let is_found = replay.count(is_wanted) > 0 || replay.beyond > 0 || unread.count > 0;
    if is_found { Exit::No } else { Exit::Yes }
}
