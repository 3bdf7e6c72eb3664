//! `gatewarden log`: whether a decision log is whole, and what stands in it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Exit;
use super::load::{print, tell};
use crate::audit::chain::{Broken, Verifier};
use crate::record::{Effect, LINE_MAX_BYTES, Record, lines};

/// Most findings of one file that are told.
const TOLD: usize = 10;

/// Whether nothing was taken out of a chained log, changed in it or put into it.
#[derive(Clone, Debug, clap::Args)]
pub struct VerifyArgs {
    /// The log's files, in any order
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// What a log says, a line for each decision.
#[derive(Clone, Debug, clap::Args)]
pub struct ShowArgs {
    /// The log; `-` reads standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only what was refused
    #[arg(long)]
    deny: bool,
    /// Only this tenant's
    #[arg(long)]
    tenant: Option<String>,
    /// Only what was decided from then on: 2026-11-01, or 2026-11-01T08:00:00Z
    #[arg(long, value_name = "MOMENT", value_parser = since)]
    since: Option<jiff::Timestamp>,
}

/// A moment as `suggest` takes it, too.
fn since(text: &str) -> Result<jiff::Timestamp, String> {
    super::suggest::moment(text)?.parse().map_err(|why: jiff::Error| why.to_string())
}

/// Exit 0 for a log that is whole, 1 for one that isn't.
pub fn verify(args: &VerifyArgs) -> Exit {
    let mut files = Vec::new();
    for path in &args.files {
        match began(path) {
            Ok(at) => files.push((at, path.clone())),
            Err(why) => {
                tell(&format!("error: {}: {why}", path.display()));
                return Exit::Environment;
            }
        }
    }
    // The oldest first: a chain goes on from one file to the next.
    files.sort();
    let (mut verifier, mut findings) = (Verifier::default(), 0);
    for (_, path) in &files {
        match file(path, &mut verifier) {
            Ok(found) => findings += found,
            Err(why) => {
                tell(&format!("error: {}: {why}", path.display()));
                return Exit::Environment;
            }
        }
    }
    let count = if files.len() == 1 { "1 file".to_owned() } else { format!("{} files", files.len()) };
    if findings == 0 {
        let last = verifier.last().unwrap_or("none");
        print(&format!("whole: {} lines in {count}; the last value is {last}", verifier.lines()));
        return Exit::Yes;
    }
    print(&format!(
        "not whole: {findings} {}, {} lines of {count} as they should be",
        if findings == 1 { "finding" } else { "findings" },
        verifier.lines()
    ));
    Exit::No
}

/// When a log's first line was written, as its text says.
fn began(path: &Path) -> io::Result<String> {
    let mut first = Vec::new();
    let most = u64::try_from(LINE_MAX_BYTES).unwrap_or(u64::MAX);
    BufReader::new(File::open(path)?).take(most).read_until(b'\n', &mut first)?;
    let line: Value = serde_json::from_slice(&first).unwrap_or_default();
    Ok(line.get("ts").and_then(Value::as_str).unwrap_or_default().to_owned())
}

/// Looks at one file's lines; how many findings there are.
fn file(path: &Path, verifier: &mut Verifier) -> io::Result<usize> {
    let mut log = BufReader::new(File::open(path)?);
    let (mut number, mut findings) = (0, 0);
    let mut line = Vec::new();
    loop {
        line.clear();
        number += 1;
        let most = u64::try_from(LINE_MAX_BYTES).unwrap_or(u64::MAX);
        let read = Read::by_ref(&mut log).take(most).read_until(b'\n', &mut line)?;
        if read == 0 {
            if number == 1 {
                findings += 1;
                print(&format!("{}: it is empty: a log that was begun has a line", path.display()));
            }
            break;
        }
        let found = match line.strip_suffix(b"\n") {
            None => {
                Some("it breaks off: its writer ended in the middle of it, or somebody cut it".to_owned())
            }
            Some(whole) => match std::str::from_utf8(whole) {
                Ok(text) => verifier.read(text).err().map(|why: Broken| why.to_string()),
                Err(_) => Some("it isn't text".to_owned()),
            },
        };
        if let Some(why) = found {
            findings += 1;
            if findings <= TOLD {
                print(&format!("{}:{number}: {why}", path.display()));
            }
        }
    }
    if findings > TOLD {
        print(&format!("{}: and {} more", path.display(), findings - TOLD));
    }
    Ok(findings)
}

/// Exit 0, or 1 where a line can't be read.
pub fn show(args: &ShowArgs) -> Exit {
    let log: Box<dyn BufRead> = match open(&args.file) {
        Ok(log) => log,
        Err(why) => {
            tell(&format!("error: {}: {why}", args.file.display()));
            return Exit::Environment;
        }
    };
    let mut exit = Exit::Yes;
    for line in lines(log) {
        match line {
            Ok((_, record)) if is_wanted(args, &record) => print(&shown(&record)),
            Ok(_) => {}
            Err(why) => {
                tell(&format!("{}: {why}", args.file.display()));
                exit = Exit::No;
            }
        }
    }
    exit
}

fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(Box::new(BufReader::new(file)))
}

fn is_wanted(args: &ShowArgs, record: &Record) -> bool {
    let since = || args.since.is_none_or(|since| record.at().is_some_and(|at| at >= since));
    let tenant = || args.tenant.is_none() || record.tenant == args.tenant;
    (!args.deny || record.effect == Effect::Deny) && tenant() && since()
}

fn shown(record: &Record) -> String {
    let word = |own: &Option<String>| own.as_deref().unwrap_or("-").escape_debug().to_string();
    let effect = if record.effect == Effect::Allow { "ALLOW" } else { "DENY" };
    let asked = record.event.as_ref().or(record.path.as_ref()).or(record.route.as_ref()).cloned();
    format!(
        "{}  {effect:<5} {:>3}  {} {}  {}  tenant {}  subject {}  roles {}  rule {}  {}",
        record.ts,
        record.status,
        word(&record.method),
        word(&asked),
        record.reason,
        word(&record.tenant),
        word(&record.sub),
        if record.roles.is_empty() { "-".to_owned() } else { record.roles.join(",") },
        word(&record.rule),
        record.decision_id,
    )
}
