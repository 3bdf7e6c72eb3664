//! The layout of a TOML file as ours have it: `=` under each other, one blank where one belongs, arrays over several
//! lines indented by two, at most one empty line, no blanks at line ends. Lines are never joined, split or moved, and
//! comments stay in their columns, so that the file means the same; that it does is read once more before it is given out.

mod blanks;
#[cfg(test)]
mod tests;

use crate::config::Diagnostics;
use crate::config::raw::{self, Raw, Table};

use blanks::{Scan, tidy};

/// How far a key may stand out of its neighbours to be aligned with them.
const REACH: usize = 3;
/// How many blanks before a `=` may be meant.
const ROOM: usize = 32;
/// How much shorter than long keys a key may be to be aligned with them.
const NEAR: usize = 8;
/// Keys of this length and less are aligned with all that are shorter.
const SHORT: usize = 16;

/// Why a file stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unformatted {
    /// It can't be read.
    #[error("it isn't TOML")]
    Unreadable,
    /// It would mean something else.
    #[error("its layout can't be changed without changing what it says")]
    Unsure,
}

/// A line that begins with a key.
#[derive(Clone, Copy, Debug)]
struct Row {
    line: usize,
    /// Where the `=` stands in it, counted in characters.
    equals: usize,
    /// How long the key is.
    key: usize,
}

/// Lays a file out.
pub fn format(text: &str) -> Result<String, Unformatted> {
    let mut diagnostics = Diagnostics::default();
    let before = raw::parse(0, text, &mut diagnostics);
    if !diagnostics.is_empty() {
        return Err(Unformatted::Unreadable);
    }
    let lines: Vec<&str> = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
    let mut starts = vec![0usize];
    starts.extend(text.match_indices('\n').map(|(at, _)| at + 1));
    let mut values = Vec::new();
    collect(text, &before, &mut values);
    values.sort_unstable();
    let line_of = |at: usize| starts.partition_point(|start| *start <= at).saturating_sub(1);
    let rows: Vec<(Row, usize)> = values
        .iter()
        .filter_map(|(start, end)| {
            let line = line_of(*start);
            let head = text.get(*starts.get(line)?..*start)?.trim_end().strip_suffix('=')?;
            let key = head.trim().chars().count();
            Some((Row { line, equals: head.chars().count(), key }, line_of(end.saturating_sub(1))))
        })
        .collect();
    let out = laid_out(&lines, &rows);
    let mut again = Diagnostics::default();
    let after = raw::parse(0, &out, &mut again);
    if again.is_empty() && same(&before, &after) { Ok(out) } else { Err(Unformatted::Unsure) }
}

/// The places of values that stand behind a key on a line of its own.
fn collect(text: &str, table: &Table, into: &mut Vec<(usize, usize)>) {
    for entry in &table.entries {
        let span = entry.value.span;
        let (start, end) = (span.start as usize, span.end as usize);
        let is_inline = text.get(start..).is_some_and(|rest| rest.starts_with('{'));
        match &entry.value.value {
            Raw::Table(inner) if !is_inline => collect(text, inner, into),
            // `[[name]]`, which unlike an array stands behind no `=`.
            Raw::List(items) if !text.get(..start).is_some_and(|own| own.trim_end().ends_with('=')) => {
                for item in items {
                    if let Raw::Table(inner) = &item.value {
                        collect(text, inner, into);
                    }
                }
            }
            _ => into.push((start, end)),
        }
    }
}

fn laid_out(lines: &[&str], rows: &[(Row, usize)]) -> String {
    let columns = columns(lines, rows);
    let mut out: Vec<String> = Vec::new();
    let (mut at, mut next) = (0, 0);
    while let Some(line) = lines.get(at) {
        match (rows.get(next), columns.get(next)) {
            (Some((row, last)), Some(column)) if row.line == at => {
                let whole = lines.get(at..=*last).unwrap_or(&[]);
                out.extend(value_lines(whole, row, *column));
                at = last + 1;
                next += 1;
                continue;
            }
            _ if line.trim().is_empty() => {
                if out.last().is_some_and(|line| !line.is_empty()) {
                    out.push(String::new());
                }
            }
            _ => out.push(line.trim().to_owned()),
        }
        at += 1;
    }
    while out.last().is_some_and(String::is_empty) {
        out.pop();
    }
    let mut text = out.join("\n");
    text.push('\n');
    text
}

/// Rows whose `=` belong under each other.
#[derive(Debug)]
struct Segment {
    members: Vec<usize>,
    /// The longest key.
    key: usize,
    /// Where the `=` of the first stands.
    equals: usize,
    /// How many stand under it.
    aligned: usize,
}

impl Segment {
    /// The width of its keys: what it is, if that was meant.
    fn width(&self) -> usize {
        let kept = self.equals.saturating_sub(1);
        let is_meant = self.aligned == self.members.len() || self.aligned > 1;
        if is_meant && (self.key..=self.key + ROOM).contains(&kept) { kept } else { self.key }
    }

    /// Whether a key that stands elsewhere is one of them: rows that are aligned aren't moved for it.
    fn takes(&self, key: usize) -> bool {
        let longest = if self.aligned > 1 { self.width() } else { self.key + REACH };
        key <= longest && (self.key <= SHORT || key + NEAR >= self.key)
    }
}

/// How wide the keys of each row are. Rows that stand under each other by now stay together; one that doesn't joins
/// those above it if it isn't of quite another length.
fn columns(lines: &[&str], rows: &[(Row, usize)]) -> Vec<usize> {
    let mut segments: Vec<Segment> = Vec::new();
    let follows = |index: usize| -> bool {
        let above = index.checked_sub(1).and_then(|own| rows.get(own));
        let (Some((row, _)), Some((_, last))) = (rows.get(index), above) else { return false };
        let between = lines.get(last + 1..row.line).unwrap_or(&[]);
        between.iter().all(|line| line.trim_start().starts_with('#'))
    };
    for (index, (row, _)) in rows.iter().enumerate() {
        let next = rows.get(index + 1).filter(|_| follows(index + 1));
        let leads = next.is_some_and(|(next, _)| next.equals == row.equals);
        match segments.last_mut().filter(|_| follows(index)) {
            Some(own) if own.equals == row.equals => {
                own.aligned += 1;
                own.members.push(index);
                own.key = own.key.max(row.key);
            }
            Some(own) if !leads && own.takes(row.key) => {
                own.members.push(index);
                own.key = own.key.max(row.key);
            }
            _ => {
                segments.push(Segment { members: vec![index], key: row.key, equals: row.equals, aligned: 1 })
            }
        }
    }
    segments.iter().flat_map(|own| vec![own.width(); own.members.len()]).collect()
}

/// The lines of a key with its value.
fn value_lines(lines: &[&str], row: &Row, width: usize) -> Vec<String> {
    let Some((first, rest)) = lines.split_first() else { return Vec::new() };
    let split = first.char_indices().nth(row.equals).map_or(first.len(), |(at, _)| at);
    let (key, behind) = first.split_at(split);
    let behind = behind.strip_prefix('=').unwrap_or(behind);
    let head = format!("{:<width$} = ", key.trim());
    let mut scan = Scan::default();
    if rest.is_empty() {
        let old = first.chars().count() - behind.chars().count();
        return vec![tidy(
            &head,
            behind.trim(),
            old + behind.chars().count() - behind.trim_start().chars().count(),
        )];
    }
    let mut out = vec![format!("{head}{}", behind.trim())];
    scan.line(behind);
    for line in rest {
        if scan.is_in_text() || scan.depth() == 0 {
            out.push((*line).to_owned());
        } else {
            let closes = line.trim_start().starts_with(']');
            let depth = scan.depth().saturating_sub(usize::from(closes));
            let indent = if line.trim().is_empty() { 0 } else { depth * 2 };
            out.push(format!("{:indent$}{}", "", line.trim()));
        }
        scan.line(line);
    }
    out
}

/// Whether two files say the same in the same order.
fn same(one: &Table, other: &Table) -> bool {
    one.entries.len() == other.entries.len()
        && one
            .entries
            .iter()
            .zip(&other.entries)
            .all(|(a, b)| a.key == b.key && same_value(&a.value.value, &b.value.value))
}

fn same_value(one: &Raw, other: &Raw) -> bool {
    match (one, other) {
        (Raw::Text(a, _), Raw::Text(b, _)) => a == b,
        (Raw::Int(a), Raw::Int(b)) => a == b,
        (Raw::Bool(a), Raw::Bool(b)) => a == b,
        (Raw::Other(a), Raw::Other(b)) => a == b,
        (Raw::List(a), Raw::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_value(&a.value, &b.value))
        }
        (Raw::Table(a), Raw::Table(b)) => same(a, b),
        _ => false,
    }
}
