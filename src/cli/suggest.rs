//! `gatewarden suggest`: what a period of the decision log says of the rules. Text for a human; nothing is ever applied.

mod print;

use super::Exit;
use super::load::{Files, print, tell};
use super::logs::{Logs, Unread};
use super::rulesets::RuleSet;
use crate::hindsight::suggest::{Bounds, Findings, Period};

/// What did nobody use, and what was asked for in vain? For a human to read, never applied
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    files: Files,
    /// Only what was decided from then on: 2026-11-01, or 2026-11-01T08:00:00Z
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    since: Option<String>,
    /// Only what was decided before
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    until: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    #[command(flatten)]
    logs: Logs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Human,
    Json,
}

/// What is printed.
struct Printed<'p> {
    rules: &'p str,
    hash: &'p str,
    period: &'p Period,
    findings: &'p Findings,
    unread: &'p Unread,
}

/// A moment as records write them; a day begins at midnight, UTC.
pub(super) fn moment(text: &str) -> Result<String, String> {
    let at = match text.parse::<jiff::civil::Date>() {
        Ok(day) if !text.contains('T') => {
            day.to_zoned(jiff::tz::TimeZone::UTC).map(|own| own.timestamp()).map_err(|why| why.to_string())
        }
        _ => {
            text.parse::<jiff::Timestamp>().map_err(|_| "write 2026-11-01 or 2026-11-01T08:00:00Z".to_owned())
        }
    };
    at.map(|at| format!("{at:.6}"))
}

/// Prints; exit 1 if the period holds no record to say anything of.
pub fn run(args: &Args) -> Exit {
    let rules = match RuleSet::configured(&args.files.config) {
        Ok(rules) => rules,
        Err(exit) => return exit,
    };
    let bounds = Bounds { since: args.since.clone(), until: args.until.clone() };
    let read = args.logs.read(Period::default, |sum: &mut Period, record| {
        if bounds.hold(record) {
            sum.put(record);
        }
    });
    let (parts, unread) = match read {
        Ok(read) => read,
        Err(exit) => return exit,
    };
    let mut period = Period::default();
    parts.into_iter().for_each(|part| period.add(part));
    unread.tell();
    if period.records == 0 {
        tell("error: no decision was made in that period, so that nothing is known of it");
        return Exit::No;
    }
    let findings = period.conclude(&rules.snapshot);
    let printed = Printed {
        rules: &rules.name,
        hash: &rules.snapshot.hash,
        period: &period,
        findings: &findings,
        unread: &unread,
    };
    let text = match args.format {
        Format::Human => print::human(&printed),
        Format::Json => print::machine(&printed),
    };
    print(text.trim_end());
    Exit::Yes
}
