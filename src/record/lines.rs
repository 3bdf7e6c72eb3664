//! Reads a decision log line by line, and says of a line that can't be read which it is and why.

use std::io::BufRead;

use serde::Deserialize;

use super::{Record, SCHEMA};

/// The longest line that is read.
pub const LINE_MAX_BYTES: usize = 4 * 1024 * 1024;

/// How most lines begin.
const BEGINNING: &[u8] = br#"{"schema":"gatewarden.decision/1","#;

/// A line that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct Unread {
    /// Its number; the first is 1.
    pub line: usize,
    /// Why.
    pub why: Why,
}

/// Why a line can't be read.
#[derive(Debug, thiserror::Error)]
pub enum Why {
    /// It isn't JSON, or lacks what every record has.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// It has no end: the last one of a log whose writer stopped in the middle.
    #[error("it breaks off: {0}")]
    Torn(serde_json::Error),
    /// It is longer than any record.
    #[error("it is longer than {LINE_MAX_BYTES} bytes")]
    TooLong,
    /// The log itself can't be read any further.
    #[error("{0}")]
    Log(std::io::Error),
}

/// The decisions of a log, with their line numbers. Lines of other schemas are passed over.
#[derive(Debug)]
pub struct Lines<R> {
    log: R,
    line: usize,
    buffer: Vec<u8>,
    has_ended: bool,
}

/// Reads a log.
pub fn lines<R: BufRead>(log: R) -> Lines<R> {
    Lines { log, line: 0, buffer: Vec::new(), has_ended: false }
}

/// Reads one line; none where it is of another schema, or empty.
pub fn parse(line: &[u8]) -> Result<Option<Record>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Kind {
        schema: String,
    }
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    if line.starts_with(BEGINNING) || serde_json::from_slice::<Kind>(line)?.schema == SCHEMA {
        return serde_json::from_slice(line).map(Some);
    }
    Ok(None)
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<(usize, Record), Unread>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.has_ended {
            self.line += 1;
            let line = self.line;
            let unread = |why| Some(Err(Unread { line, why }));
            match self.read() {
                Err(why) => return unread(why),
                Ok(Ended::Log) => self.has_ended = true,
                Ok(Ended::Line) => {}
            }
            match parse(&self.buffer) {
                Ok(None) => {}
                Ok(Some(record)) => return Some(Ok((line, record))),
                Err(why) if self.has_ended => return unread(Why::Torn(why)),
                Err(why) => return unread(why.into()),
            }
        }
        None
    }
}

/// What a line ended with.
enum Ended {
    Line,
    Log,
}

impl<R: BufRead> Lines<R> {
    /// Reads a line into the buffer, without its end.
    fn read(&mut self) -> Result<Ended, Why> {
        self.buffer.clear();
        let mut is_too_long = false;
        loop {
            let chunk = match self.log.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.has_ended = true;
                    return Err(Why::Log(error));
                }
            };
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let (part, used) = chunk.split_at(end.unwrap_or(chunk.len()));
            let is_last = chunk.is_empty();
            is_too_long |= self.buffer.len() + part.len() > LINE_MAX_BYTES;
            if !is_too_long {
                self.buffer.extend_from_slice(part);
            }
            let used = part.len() + usize::from(!used.is_empty());
            self.log.consume(used);
            if end.is_none() && !is_last {
                continue;
            }
            self.has_ended = is_last;
            return match (is_too_long, is_last) {
                (true, _) => Err(Why::TooLong),
                (false, true) => Ok(Ended::Log),
                (false, false) => Ok(Ended::Line),
            };
        }
    }
}
