//! The file that the books are kept in: versioned JSON, for its owner alone, replaced as a whole or not at all.
//!
//! There are no names in it: a person is a digest of who he is to whom.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Kept;
use crate::request::Timestamp;
use crate::seat::{Current, Over, Peak, PersonId, Seats, Summary, Tally};
use crate::zone::{Month, Zone};

const SCHEMA: &str = "gatewarden.seats/1";
/// A file that is longer was not written by a gateway.
const FILE_MAX_BYTES: u64 = 1 << 30;

/// Why there are no books from a file.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// There is no file.
    #[error("there is no file")]
    Absent,
    /// It can't be read.
    #[error("it can't be read: {0}")]
    Unreadable(io::Error),
    /// It doesn't hold what a gateway writes.
    #[error("it is broken: {0}")]
    Broken(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    schema: String,
    books: Vec<BookRow>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct BookRow {
    tenant: String,
    app: String,
    time_zone: String,
    latest: u64,
    running: MonthRow,
    named_people: Vec<String>,
    present_people: Vec<String>,
    past: Vec<MonthRow>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct MonthRow {
    month: String,
    named: u32,
    named_seats: Option<u32>,
    concurrent_peak: u32,
    concurrent_peak_at: u64,
    concurrent_seats: Option<u32>,
    over: String,
    named_reported: u64,
    named_refused: u64,
    concurrent_reported: u64,
    concurrent_refused: u64,
}

/// The books of a file.
pub fn read(path: &Path) -> Result<Vec<Kept>, Unread> {
    let unread = |why: io::Error| match why.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Unread::Absent,
        _ => Unread::Unreadable(why),
    };
    let file = File::open(path).map_err(unread)?;
    if file.metadata().map_err(unread)?.len() > FILE_MAX_BYTES {
        return Err(Unread::Broken("it is too long".to_owned()));
    }
    let text = io::read_to_string(file).map_err(|why| match why.kind() {
        io::ErrorKind::InvalidData => Unread::Broken("it is not text".to_owned()),
        _ => Unread::Unreadable(why),
    })?;
    decode(&text).map_err(Unread::Broken)
}

/// Replaces the file: whoever reads it, or is cut off while writing it, finds the old books or the new ones.
pub(super) fn write(path: &Path, kept: &[Kept]) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let new = beside(path, "new");
    match fs::remove_file(&new) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(encode(kept).as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(directory)?.sync_all()
}

/// Which version of the file is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

pub(super) fn version(path: &Path) -> Option<Version> {
    let found = fs::metadata(path).ok()?;
    Some(Version { inode: found.ino(), bytes: found.len(), changed: (found.mtime(), found.mtime_nsec()) })
}

/// `seats.json` → `seats.json.WORD`.
pub(super) fn beside(path: &Path, word: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(word);
    name.into()
}

pub(super) fn encode(kept: &[Kept]) -> String {
    let whole = Whole { schema: SCHEMA.to_owned(), books: kept.iter().map(book_row).collect() };
    // Strings, numbers and arrays: nothing in it that JSON can't say.
    serde_json::to_string(&whole).unwrap_or_default()
}

pub(super) fn decode(text: &str) -> Result<Vec<Kept>, String> {
    let whole: Whole = serde_json::from_str(text).map_err(|why| why.to_string())?;
    if whole.schema != SCHEMA {
        return Err(format!("it is of schema `{}`, not `{SCHEMA}`", whole.schema));
    }
    whole.books.into_iter().map(kept).collect()
}

fn book_row(kept: &Kept) -> BookRow {
    let current = &kept.current;
    let people = |ids: &[PersonId]| ids.iter().map(ToString::to_string).collect();
    BookRow {
        tenant: kept.tenant.to_string(),
        app: kept.app.to_string(),
        time_zone: current.zone.name().to_owned(),
        latest: current.latest.0,
        running: month_row(current.month, current.summary()),
        named_people: people(&current.named),
        present_people: people(&current.present),
        past: current.past.iter().map(|(month, summary)| month_row(*month, *summary)).collect(),
    }
}

fn month_row(month: Month, summary: Summary) -> MonthRow {
    let Summary { named, peak, seats, tally } = summary;
    MonthRow {
        month: month.to_string(),
        named,
        named_seats: seats.named,
        concurrent_peak: peak.people,
        concurrent_peak_at: peak.at.0,
        concurrent_seats: seats.concurrent,
        over: seats.over.as_str().to_owned(),
        named_reported: tally.named_reported,
        named_refused: tally.named_refused,
        concurrent_reported: tally.concurrent_reported,
        concurrent_refused: tally.concurrent_refused,
    }
}

fn kept(row: BookRow) -> Result<Kept, String> {
    let people = |ids: &[String]| -> Result<Vec<PersonId>, String> {
        ids.iter().map(|id| PersonId::parse(id).ok_or_else(|| format!("`{id}` is nobody"))).collect()
    };
    let (month, running) = month(&row.running)?;
    let current = Current {
        seats: running.seats,
        zone: Zone::named(&row.time_zone).ok_or_else(|| format!("unknown time zone `{}`", row.time_zone))?,
        latest: Timestamp(row.latest),
        month,
        named: people(&row.named_people)?,
        present: people(&row.present_people)?,
        peak: running.peak,
        tally: running.tally,
        past: row.past.iter().map(self::month).collect::<Result<BTreeMap<_, _>, _>>()?,
    };
    Ok(Kept { tenant: row.tenant.into(), app: row.app.into(), current })
}

fn month(row: &MonthRow) -> Result<(Month, Summary), String> {
    let month = row.month.parse().map_err(|_| format!("`{}` is no month", row.month))?;
    let over = Over::ALL.into_iter().find(|over| over.as_str() == row.over);
    let over = over.ok_or_else(|| format!("`{}` is nothing that can follow", row.over))?;
    let summary = Summary {
        named: row.named,
        peak: Peak { people: row.concurrent_peak, at: Timestamp(row.concurrent_peak_at) },
        seats: Seats { named: row.named_seats, concurrent: row.concurrent_seats, over },
        tally: Tally {
            named_reported: row.named_reported,
            named_refused: row.named_refused,
            concurrent_reported: row.concurrent_reported,
            concurrent_refused: row.concurrent_refused,
        },
    };
    Ok((month, summary))
}
