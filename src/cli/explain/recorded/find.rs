//! Where a decision is found by its id: in the logs that are named, else in the memory of the running gateway, else in the
//! log that the gateway's file names.

use std::path::PathBuf;

use http::{Method, StatusCode};

use super::super::Args;
use super::super::printed;
use crate::cli::hypothesis::Unposed;
use crate::cli::load::tell;
use crate::cli::{Exit, logs, rulesets};
use crate::control::sources;
use crate::plumbing::Sink;
use crate::record::{Record, parse};

/// A decision, and where it was found.
pub(super) struct Found {
    pub(super) record: Record,
    /// `decisions.log:812`, or the running gateway.
    pub(super) place: String,
    /// How many more have this id: events of one socket's frame, for example.
    pub(super) more: usize,
    /// The logs that were searched; none where the running gateway knew it.
    pub(super) logs: Vec<PathBuf>,
}

/// Finds it. Where it is nowhere, that is printed.
pub(super) fn find(args: &Args, id: &str) -> Result<Option<Found>, Unposed> {
    let mut looked: Vec<String> = Vec::new();
    let mut is_answered = false;
    if args.logs.is_empty() {
        match of_gateway(args, id, &mut looked) {
            Asked::Found(found) => return Ok(Some(*found)),
            Asked::Unknown => is_answered = true,
            Asked::Unanswered => {}
        }
    }
    let named = if args.logs.is_empty() { of_config(args) } else { args.logs.clone() };
    let logs: Vec<PathBuf> = named.iter().flat_map(|log| logs::with_rotated(log)).collect();
    let mut found: Option<(Record, String)> = None;
    let mut count = 0usize;
    let visit = |place: String, line: &str| {
        let Ok(Some(record)) = parse(line.as_bytes()) else { return };
        if record.decision_id == id {
            count += 1;
            found.get_or_insert((record, place));
        }
    };
    logs::search(&logs, |text| text.contains(id), visit).map_err(printed)?;
    looked.extend(logs.iter().map(|log| log.display().to_string()));
    let Some((record, place)) = found else {
        super::unknown(id, &looked);
        // Where there was nowhere to look, nothing is known of it, not even that it isn't there.
        return if is_answered || !logs.is_empty() { Ok(None) } else { Err(printed(Exit::Environment)) };
    };
    Ok(Some(Found { record, place, more: count - 1, logs }))
}

/// What came of asking the running gateway.
enum Asked {
    Found(Box<Found>),
    /// It has no such decision in memory.
    Unknown,
    /// None answers.
    Unanswered,
}

/// What the running gateway has in memory.
fn of_gateway(args: &Args, id: &str, looked: &mut Vec<String>) -> Asked {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !id.bytes().all(is_plain) {
        return Asked::Unknown;
    }
    let asked =
        rulesets::ask(&args.files.config, &Method::GET, &format!("/decisions/{id}"), Default::default());
    match asked {
        Err(why) => {
            looked.push(format!("the running gateway ({why})"));
            Asked::Unanswered
        }
        Ok((StatusCode::OK, body)) => match parse(&body) {
            Ok(Some(record)) => {
                let place = "the running gateway".to_owned();
                Asked::Found(Box::new(Found { record, place, more: 0, logs: Vec::new() }))
            }
            _ => {
                tell("the running gateway's answer can't be read: is it of another version?");
                looked.push("the running gateway, whose answer can't be read".to_owned());
                Asked::Unanswered
            }
        },
        Ok(_) => {
            looked.push("the running gateway, which holds the last ones".to_owned());
            Asked::Unknown
        }
    }
}

/// The log that the gateway's file names, where it is there.
fn of_config(args: &Args) -> Vec<PathBuf> {
    let sink = sources::peek(&args.files.config).and_then(|gateway| gateway.decisions.sink);
    match sink {
        Some(Sink::File { path, .. }) if path.exists() => vec![path],
        _ => Vec::new(),
    }
}
