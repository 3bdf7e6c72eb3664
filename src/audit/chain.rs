//! Lines that vouch for those before them: each holds the SHA-256 of the value before and of its own text. Whoever takes a
//! line out, changes one or puts one in has to make all later ones anew; whoever keeps the last value elsewhere sees that.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};

/// The schema of the line that a chain begins with in a file.
pub const SCHEMA: &str = "gatewarden.chain/1";
/// The value before the first line of all.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What a chained line ends with, around its value.
const MEMBER: &str = ",\"chain\":\"";
const END: &str = "\"}";

/// A chained line, and the value that the next one is chained to.
#[must_use]
pub fn seal(previous: &str, line: &str) -> (String, String) {
    let value = value(previous, line);
    let open = line.strip_suffix('}').unwrap_or(line);
    (format!("{open}{MEMBER}{value}{END}"), value)
}

/// A chained line as it was before, and its value.
#[must_use]
pub fn open(line: &str) -> Option<(String, &str)> {
    let (open, value) = line.strip_suffix(END)?.rsplit_once(MEMBER)?;
    let is_value = value.len() == GENESIS.len() && value.bytes().all(|b| b.is_ascii_hexdigit());
    is_value.then(|| (format!("{open}}}"), value))
}

/// The value of a line after `previous`.
#[must_use]
pub fn value(previous: &str, line: &str) -> String {
    let hashed = digest(&SHA256, &[previous.as_bytes(), line.as_bytes()].concat());
    let mut text = String::with_capacity(GENESIS.len());
    for byte in hashed.as_ref() {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The line that a file's chain begins with. Without a `previous` nothing stood before it, or nothing that can be read.
#[must_use]
pub fn beginning(previous: Option<&str>, at: jiff::Timestamp) -> String {
    let begins = if previous.is_some() { "continues" } else { "new" };
    json!({
        "schema": SCHEMA,
        "ts": format!("{at:.6}"),
        "begins": begins,
        "previous": previous.unwrap_or(GENESIS),
    })
    .to_string()
}

/// Looks at the lines of one file after the other, oldest first.
#[derive(Debug, Default)]
pub struct Verifier {
    last: Option<String>,
    lines: u64,
}

/// Why a chain isn't whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The line isn't chained.
    #[error("the line has no chain value")]
    Unchained,
    /// The value isn't the one of this line after the line before.
    #[error("the line, or one before it, was changed, taken out or put in")]
    Changed,
    /// A chain begins that doesn't go on from what was read before it.
    #[error("a chain begins here that doesn't go on from the line before: lines may be missing in between")]
    Gap,
    /// The first line isn't the beginning of a chain.
    #[error("the file doesn't begin with the beginning of a chain: its first lines are missing")]
    NoBeginning,
}

impl Verifier {
    /// Looks at the next line, without its end.
    pub fn read(&mut self, line: &str) -> Result<(), Broken> {
        let (own, found) = open(line).ok_or(Broken::Unchained)?;
        let is_beginning = own.contains(SCHEMA);
        let begun = is_beginning.then(|| serde_json::from_str::<Value>(&own).ok()).flatten();
        let begun = begun.filter(|own| own.get("schema").and_then(Value::as_str) == Some(SCHEMA));
        let previous = match (&begun, self.last.take()) {
            (None, None) => Err(Broken::NoBeginning),
            (None, Some(last)) => Ok(last),
            (Some(begun), last) => {
                let said = begun.get("previous").and_then(Value::as_str).unwrap_or(GENESIS).to_owned();
                if last.is_some_and(|last| last != said) { Err(Broken::Gap) } else { Ok(said) }
            }
        };
        // Whatever is found wrong, the next line is judged by this one: one change is one finding.
        self.last = Some(found.to_owned());
        if value(&previous?, &own) != found {
            return Err(Broken::Changed);
        }
        self.lines += 1;
        Ok(())
    }

    /// The value after the last line: to be kept elsewhere.
    #[must_use]
    pub fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// How many lines were as they should be.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chained(count: usize) -> Vec<String> {
        let mut lines = vec![beginning(None, jiff::Timestamp::UNIX_EPOCH)];
        lines.extend((0..count).map(|n| format!(r#"{{"n":{n},"who":"a\",\"chain\":\"x"}}"#)));
        let mut last = GENESIS.to_owned();
        let sealed = lines.iter().map(|line| {
            let (sealed, value) = seal(&last, line);
            last = value;
            sealed
        });
        sealed.collect()
    }

    fn broken(lines: &[String]) -> Vec<(usize, Broken)> {
        let mut verifier = Verifier::default();
        let found = lines.iter().enumerate().filter_map(|(at, line)| Some((at, verifier.read(line).err()?)));
        found.collect()
    }

    #[test]
    fn a_chain_is_whole_or_it_is_said_where_it_isnt() {
        let whole = chained(5);
        assert_eq!(broken(&whole), []);
        for line in &whole {
            assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
        }
        let mut changed = whole.clone();
        changed[3] = changed[3].replace("\"n\":2", "\"n\":7");
        assert_eq!(broken(&changed), [(3, Broken::Changed)]);
        let mut shorter = whole.clone();
        shorter.remove(3);
        assert_eq!(broken(&shorter), [(3, Broken::Changed)]);
        let mut unchained = whole.clone();
        unchained.insert(2, "{}".to_owned());
        assert_eq!(broken(&unchained), [(2, Broken::Unchained)]);
        assert_eq!(broken(&whole[2..]).first(), Some(&(0, Broken::NoBeginning)));
        let twice = [whole.clone(), whole.clone()].concat();
        assert_eq!(broken(&twice), [(6, Broken::Gap)]);
    }

    #[test]
    fn a_chain_goes_on_in_the_next_file() {
        let mut lines = chained(2);
        let last = open(&lines[2]).unwrap().1.to_owned();
        lines.push(seal(&last, &beginning(Some(&last), jiff::Timestamp::UNIX_EPOCH)).0);
        assert_eq!(broken(&lines), []);
        assert_eq!(broken(&lines[3..]), [], "the files before may be gone");
    }
}
