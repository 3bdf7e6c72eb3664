//! `gatewarden report`: what a gateway has counted, from the file that it keeps.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::Exit;
use super::grid::{self, Grid, render};
use super::load::{print, tell};
use crate::control::sources;
use crate::ledger::{self, Ledger, Unread};
use crate::request::Timestamp;
use crate::seat::{Over, Row, Seated, Seating, Which, rows_to_json};
use crate::zone::Month;

/// Licence seats, by tenant and app.
#[derive(Clone, Debug, clap::Args)]
pub struct SeatsArgs {
    /// The gateway's file; `[ledger] file` in it says where the seats are kept
    #[arg(long, value_name = "FILE", default_value = "gateway.toml", env = "GATEWARDEN_CONFIG")]
    config: PathBuf,
    /// The month, such as 2026-11; the running one if none is named
    #[arg(long, value_name = "MONTH")]
    month: Option<Month>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Human,
    Json,
}

/// Prints; a negative answer is that there were too few seats.
pub fn seats(args: &SeatsArgs) -> Exit {
    let ledger = match kept(&args.config) {
        Ok(ledger) => ledger,
        Err(why) => {
            tell(&format!("error: {why}"));
            return Exit::Environment;
        }
    };
    let now = Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()));
    let wanted = |row: &Row| args.month.map_or(row.concurrent.is_some(), |month| row.month == month);
    let rows: Vec<Row> = ledger.seatings(now).iter().flat_map(Seating::rows).filter(wanted).collect();
    match args.format {
        Format::Json => print(&format!("{:#}", rows_to_json(&rows))),
        Format::Human if rows.is_empty() => match args.month {
            Some(month) => print(&format!("nobody is known to have had a seat in {month}")),
            None => print("nobody has had a seat yet"),
        },
        Format::Human => print(&table(&rows)),
    }
    if rows.iter().any(|row| row.summary.is_over()) { Exit::No } else { Exit::Yes }
}

/// The books that a gateway with this configuration has written.
fn kept(config: &Path) -> Result<Ledger, String> {
    let gateway = sources::peek(config).ok_or_else(|| format!("`{}` can't be read", config.display()))?;
    let Some(path) = gateway.ledger else {
        return Err(format!(
            "`{}` has no `[ledger] file`: seats are kept in memory only, where GET http://{}/seats shows them",
            config.display(),
            gateway.admin
        ));
    };
    let books = ledger::read(&path).map_err(|why| match why {
        Unread::Absent => format!("`{}` is not there: no gateway has written it yet", path.display()),
        why => format!("`{}`: {why}", path.display()),
    })?;
    Ok(Ledger::resume(books))
}

const HEADS: [&str; 8] =
    ["Tenant", "App", "Month", "Named", "Peak", "Peak at", "Time zone", "Without a seat"];
fn table(rows: &[Row]) -> String {
    // Numbers stand under each other by their ends.
    let mut grid = Grid::new("", HEADS).right(&[3, 4]);
    rows.iter().for_each(|row| grid.row(cells(row)));
    render(grid::Format::Table, &[grid])
}

fn cells(row: &Row) -> [String; 8] {
    let summary = &row.summary;
    let of = |used: u32, of: Option<u32>| of.map_or(format!("{used}"), |of| format!("{used} of {of}"));
    let when = if summary.peak.people > 0 { row.zone.minute(summary.peak.at) } else { "-".to_owned() };
    [
        row.tenant.to_string(),
        row.app.to_string(),
        row.month.to_string(),
        of(summary.named, summary.seats.named),
        of(summary.peak.people, summary.seats.concurrent),
        when,
        row.zone.name().to_owned(),
        without(row),
    ]
}

/// What became of those for whom there was no seat.
fn without(row: &Row) -> String {
    let mut parts = Vec::new();
    for which in Which::ALL {
        for over in Over::ALL {
            let (times, what) = (row.summary.tally.get(over.seated(which)), which.as_str());
            match over.seated(which) {
                _ if times == 0 => {}
                Seated::Refused(_) => parts.push(format!("{times} {what} refused")),
                _ => parts.push(format!("{times} {what} let in")),
            }
        }
    }
    match (parts.is_empty(), row.summary.is_over()) {
        (false, _) => parts.join(", "),
        (true, true) => "more people than seats".to_owned(),
        (true, false) => "-".to_owned(),
    }
}
