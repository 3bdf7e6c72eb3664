//! A decision that was made: found by its id, told as it was recorded, and put to the rules of now.

mod find;
mod print;

use std::sync::Arc;

use serde_json::Value;

use self::find::Found;
use super::answer::{Answer, Side};
use super::{Args, Format, printed, show};
use crate::authorize::Ruling;
use crate::cli::hypothesis::Unposed;
use crate::cli::load::tell;
use crate::cli::rulesets::RuleSet;
use crate::cli::{Exit, logs};
use crate::hindsight::again::{Again, again};
use crate::record::{Effect, Record};
use crate::snapshot::Snapshot;

/// What rules of now say of a recorded decision.
struct Review {
    /// What an operator calls the rules.
    name: String,
    snapshot: Arc<Snapshot>,
    again: Again,
    /// The steps, where it can be put to them.
    answer: Option<Answer>,
}

/// When rules went live, as the log tells it.
struct Since {
    revision: u64,
    at: String,
}

/// A decision, told and judged again.
struct Told<'t> {
    found: &'t Found,
    review: &'t Review,
    /// By other rules still, where some were named.
    other: Option<&'t Review>,
    since: Option<Since>,
}

/// Explains a decision by its id; exit 0 for what was allowed, 1 for what wasn't, or isn't known.
pub(super) fn run(args: &Args, id: &str) -> Result<Exit, Unposed> {
    if !args.stated.is_empty() {
        let why = "who asked, and with what, is in the record: --role, --with and their like are for requests \
             that nobody sent";
        return Err(why.to_owned().into());
    }
    let Some(found) = find::find(args, id)? else { return Ok(Exit::No) };
    let rules = now(args, &found)?;
    let review = Review::of(&found.record, rules);
    let other = match &args.against {
        Some(spec) => Some(RuleSet::read(spec, &args.files.config).map_err(printed)?),
        None => None,
    };
    let other = other.map(|rules| Review::of(&found.record, rules));
    let since = match review.again {
        Again::Otherwise(..) => since(&found, &review.snapshot.hash)?,
        _ => None,
    };
    let told = Told { found: &found, review: &review, other: other.as_ref(), since };
    show(args, |format| match format {
        Format::Human => print::human(&told),
        Format::Json => print::machine(&told),
    });
    Ok(if found.record.effect == Effect::Allow { Exit::Yes } else { Exit::No })
}

/// The rules of now: what the gateway judges by that told the record, else the files.
fn now(args: &Args, found: &Found) -> Result<RuleSet, Unposed> {
    let config = &args.files.config;
    if found.logs.is_empty()
        && let Ok(live) = RuleSet::read("live", config)
    {
        return Ok(live);
    }
    RuleSet::configured(config).map_err(printed)
}

impl Review {
    fn of(record: &Record, rules: RuleSet) -> Self {
        let RuleSet { name, snapshot, .. } = rules;
        let again = again(record, &snapshot);
        let posed = record.posed(&snapshot).ok();
        let answer = posed.and_then(|posed| {
            let decided = posed
                .decide(&snapshot, |view, ruling: Ruling| Answer::of(&snapshot, &posed, None, view, ruling));
            decided.ok()
        });
        Self { name, again, answer, snapshot }
    }

    /// Whether these are the rules that decided.
    fn is_same(&self, record: &Record) -> bool {
        *record.rules.hash == *self.snapshot.hash
    }

    fn side(self: &Review) -> Side<'_> {
        let answer = self.answer.as_ref().ok_or_else(|| "no rule has a part in it".to_owned());
        Side { name: &self.name, answer }
    }
}

/// When the rules of this hash went live, if the log tells it.
fn since(found: &Found, hash: &str) -> Result<Option<Since>, Unposed> {
    let mut since: Option<Since> = None;
    let is_wanted = |text: &str| text.contains("gatewarden.config/1") && text.contains(hash);
    let visit = |_: String, line: &str| {
        let Ok(event) = serde_json::from_str::<Value>(line) else { return };
        let text = |name: &str| event.get(name).and_then(Value::as_str);
        let revision = event.get("revision").and_then(Value::as_u64);
        if text("result") == Some("applied")
            && text("hash") == Some(hash)
            && let (Some(revision), Some(at)) = (revision, text("ts"))
            && since.as_ref().is_none_or(|own| own.at.as_str() < at)
        {
            since = Some(Since { revision, at: at.to_owned() });
        }
    };
    logs::search(&found.logs, is_wanted, visit).map_err(printed)?;
    Ok(since)
}

/// Says that there is no such decision, and where it was looked for.
fn unknown(id: &str, looked: &[String]) {
    let places = if looked.is_empty() { "nowhere".to_owned() } else { looked.join(", ") };
    tell(&format!("no decision `{id}` is known; looked for in: {places}"));
}
