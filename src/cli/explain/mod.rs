//! `gatewarden explain`: why a request would be answered as it is, step by step, with file and line; by two sets of
//! rules, if a second one is named. Or why one was answered as it was, by its id.

mod answer;
mod print;
mod recorded;

use std::path::PathBuf;
use std::sync::Arc;

use self::answer::{Answer, Side};
use super::Exit;
use super::hypothesis::{Hypothesis, Stated, Unposed};
use super::load::{Files, print, tell};
use super::rulesets::RuleSet;
use crate::config::codes;
use crate::interchange::report;
use crate::route::Verb;
use crate::snapshot::Snapshot;

/// Why a request would be answered as it is.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    stated: Stated,
    /// Other rules to put the same request to: `live`, `candidate`, a git revision (`git:main`), a gateway.toml, or a
    /// directory
    #[arg(long, value_name = "RULES")]
    against: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// A decision log to look for a request's id in, with those that it was rotated to; repeatable. Unless said, the
    /// running gateway is asked, then the log that its file names is searched
    #[arg(long = "log", value_name = "FILE", conflicts_with = "path")]
    logs: Vec<PathBuf>,
    /// The method; EMIT for an event of a socket. Or, alone, the id of a request that was answered (its X-Request-Id), or the
    /// code of a mistake such as GW2002
    #[arg(value_name = "METHOD|ID|CODE")]
    asked: String,
    /// The path from the root, with its query if there is one; the event for EMIT
    path: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Human,
    Json,
}

/// Explains; exit 0 for what is allowed, 1 for what is not.
pub fn run(args: &Args) -> Exit {
    if args.path.is_none() && codes::is_code(&args.asked) {
        return code(&args.asked);
    }
    match explain(args) {
        Ok(exit) => exit,
        Err(unposed) => {
            if !unposed.why.is_empty() {
                tell(&format!("error: {}", unposed.why));
            }
            unposed.exit
        }
    }
}

/// Prints what there is to say about the code of a mistake.
fn code(code: &str) -> Exit {
    match codes::page(code).map(codes::Page::plain).or_else(|| report::page(code)) {
        Some(page) => {
            print(page.trim_end());
            Exit::Yes
        }
        None => {
            tell(&format!(
                "error: there is no code `{code}`; `gatewarden check` prints those that it speaks of"
            ));
            Exit::Usage
        }
    }
}

/// What stood in the way is printed already.
fn printed(exit: Exit) -> Unposed {
    Unposed { why: String::new(), exit }
}

fn explain(args: &Args) -> Result<Exit, Unposed> {
    if args.asked != "EMIT" && Verb::parse(&args.asked).is_none() {
        let upper = args.asked.to_ascii_uppercase();
        if Verb::parse(&upper).is_some() {
            return Err(format!("methods are written in upper case: `{upper}`").into());
        }
    }
    let Some(path) = &args.path else {
        if args.asked == "EMIT" || Verb::parse(&args.asked).is_some() {
            let what = if args.asked == "EMIT" { "the event" } else { "the path" };
            return Err(format!("{what} after `{}` is missing", args.asked).into());
        }
        return recorded::run(args, &args.asked);
    };
    let own = RuleSet::configured(&args.files.config).map_err(printed)?;
    let first = hypothetical(args, path, &own.snapshot)?;
    let Some(other) = &args.against else {
        show(args, |format| match format {
            Format::Human => print::one(&first),
            Format::Json => print::machine(&first),
        });
        return Ok(exit(&first));
    };
    let other = RuleSet::read(other, &args.files.config).map_err(printed)?;
    // Where the other rules don't know what was stated, that is their answer.
    let second = hypothetical(args, path, &other.snapshot).map_err(|unposed| unposed.why);
    let sides = [
        Side { name: &own.name, answer: Ok(&first) },
        Side { name: &other.name, answer: second.as_ref().map_err(Clone::clone) },
    ];
    show(args, |format| match format {
        Format::Human => print::beside(&sides),
        Format::Json => print::machine_beside(&sides),
    });
    Ok(exit(&first))
}

fn hypothetical(args: &Args, path: &str, snapshot: &Arc<Snapshot>) -> Result<Answer, Unposed> {
    let hypothesis = Hypothesis::of(snapshot, &args.stated, &args.asked, path)?;
    let assumed = hypothesis.assumed.clone();
    let answer = hypothesis.decide(snapshot, |view, ruling| {
        Answer::of(snapshot, &hypothesis.posed, Some(&args.stated), view, ruling)
    })?;
    Ok(Answer { assumed, ..answer })
}

fn show(args: &Args, of: impl FnOnce(Format) -> String) {
    print(of(args.format).trim_end());
}

fn exit(answer: &Answer) -> Exit {
    if answer.is_allowed() { Exit::Yes } else { Exit::No }
}
