//! Decision logs for the verbs that look back: files are read in large blocks by one thread and taken apart by as many as
//! there are processors, and never held whole.

mod search;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

pub(super) use self::search::{search, with_rotated};
use super::Exit;
use super::load::tell;
use crate::record::{self, LINE_MAX_BYTES, Record};

/// How much of a log is read at once.
const BLOCK_BYTES: usize = 1 << 20;
/// Lines that can't be read and are told one by one.
const TOLD: usize = 3;

/// The logs that a verb reads.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Logs {
    /// Decision logs, the rotated ones too; `-` is standard input
    #[arg(value_name = "LOG", required = true)]
    paths: Vec<PathBuf>,
}

/// Some whole lines of a log.
struct Block {
    /// Which log.
    log: usize,
    /// The number of its first line.
    line: u64,
    bytes: Vec<u8>,
    /// Whether its last line has no end.
    is_torn: bool,
}

/// Lines that can't be read.
#[derive(Clone, Debug, Default)]
pub(super) struct Unread {
    /// How many.
    pub(super) count: u64,
    /// The first ones: `decisions.log:7: expected value`.
    pub(super) told: Vec<String>,
    /// Logs whose last line breaks off: their writer stopped in the middle, or is at it.
    pub(super) torn: Vec<String>,
}

impl Unread {
    fn note(&mut self, text: impl FnOnce() -> String) {
        self.count += 1;
        if self.told.len() < TOLD {
            self.told.push(text());
        }
    }

    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.torn.extend(other.torn);
        self.told.extend(other.told);
        self.told.truncate(TOLD);
    }

    /// Says what can't be read.
    pub(super) fn tell(&self) {
        self.torn.iter().for_each(|log| tell(&format!("{log}: the last line breaks off, and was left out")));
        self.told.iter().for_each(|line| tell(&format!("error: {line}")));
        let more = self.count.saturating_sub(self.told.len() as u64);
        if more > 0 {
            tell(&format!("error: and {more} more lines that can't be read"));
        }
    }
}

impl Logs {
    /// Hands every record to one of several takers; their sums are for the caller to add up. What stands in the way
    /// is printed.
    pub(super) fn read<T: Send>(
        &self,
        make: impl Fn() -> T + Sync,
        take: impl Fn(&mut T, &Record) + Sync,
    ) -> Result<(Vec<T>, Unread), Exit> {
        let names: Vec<String> = self.paths.iter().map(|path| path.display().to_string()).collect();
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let (sender, receiver) = sync_channel::<Block>(workers * 2);
        let receiver = Arc::new(Mutex::new(receiver));
        let work = |receiver: Arc<Mutex<Receiver<Block>>>| {
            let (mut sum, mut unread) = (make(), Unread::default());
            while let Some(block) = next(&receiver) {
                let name = names.get(block.log).map_or("", String::as_str);
                each(name, &block, &mut unread, |record| take(&mut sum, record));
            }
            (sum, unread)
        };
        std::thread::scope(|scope| {
            let work = &work;
            let taking: Vec<_> = (0..workers)
                .map(|_| {
                    let receiver = receiver.clone();
                    scope.spawn(move || work(receiver))
                })
                .collect();
            // Only takers hold it, so that nobody waits for takers that are gone.
            drop(receiver);
            let read = self.send(sender);
            let mut sums = Vec::new();
            let mut unread = Unread::default();
            for taken in taking {
                let Ok((sum, own)) = taken.join() else { return Err(Exit::Environment) };
                sums.push(sum);
                unread.add(own);
            }
            unread.add(read?);
            Ok((sums, unread))
        })
    }

    fn send(&self, sender: SyncSender<Block>) -> Result<Unread, Exit> {
        let mut unread = Unread::default();
        for (log, path) in self.paths.iter().enumerate() {
            let name = path.display();
            let mut send = |block| sender.send(block).map_err(|_| io::ErrorKind::BrokenPipe.into());
            let read = if path == Path::new("-") {
                blocks(log, io::stdin().lock(), &mut send)
            } else {
                File::open(path).and_then(|file| blocks(log, file, &mut send))
            };
            match read {
                Ok(long) => {
                    long.iter().for_each(|line| {
                        unread.note(|| format!("{name}:{line}: it is longer than {LINE_MAX_BYTES} bytes"));
                    });
                }
                Err(why) => {
                    tell(&format!("error: `{name}` can't be read: {why}"));
                    return Err(Exit::Environment);
                }
            }
        }
        Ok(unread)
    }
}

fn next(receiver: &Mutex<Receiver<Block>>) -> Option<Block> {
    receiver.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// Takes the lines of a block apart.
fn each(name: &str, block: &Block, unread: &mut Unread, mut take: impl FnMut(&Record)) {
    let mut lines = (block.line..).zip(block.bytes.split(|byte| *byte == b'\n')).peekable();
    while let Some((number, line)) = lines.next() {
        match record::parse(line) {
            Ok(None) => {}
            Ok(Some(record)) => take(&record),
            Err(_) if block.is_torn && lines.peek().is_none() => unread.torn.push(name.to_owned()),
            Err(why) => unread.note(|| format!("{name}:{number}: {why}")),
        }
    }
}

/// Cuts a log into blocks of whole lines. The numbers of lines that are too long come back.
fn blocks(
    log: usize,
    mut input: impl Read,
    send: &mut impl FnMut(Block) -> io::Result<()>,
) -> io::Result<Vec<u64>> {
    let (mut long, mut line, mut is_skipping) = (Vec::new(), 1u64, false);
    let mut bytes: Vec<u8> = Vec::with_capacity(BLOCK_BYTES);
    loop {
        let room = BLOCK_BYTES.saturating_sub(bytes.len()).max(BLOCK_BYTES / 4) as u64;
        let read = (&mut input).take(room).read_to_end(&mut bytes)?;
        let is_last = read == 0;
        if is_skipping {
            match bytes.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    bytes.drain(..=end);
                    (line, is_skipping) = (line + 1, false);
                }
                None => bytes.clear(),
            }
        }
        let end = if is_last {
            Some(bytes.len())
        } else {
            bytes.iter().rposition(|byte| *byte == b'\n').map(|at| at + 1)
        };
        match end.filter(|end| *end > 0) {
            Some(end) => {
                let rest = bytes.split_off(end);
                let is_torn = bytes.last() != Some(&b'\n');
                let count = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
                send(Block { log, line, bytes, is_torn })?;
                line += count;
                bytes = Vec::with_capacity(BLOCK_BYTES);
                bytes.extend_from_slice(&rest);
            }
            None if bytes.len() > LINE_MAX_BYTES => {
                // As many numbers as are told, and one for the rest.
                if long.len() <= TOLD {
                    long.push(line);
                }
                bytes.clear();
                is_skipping = true;
            }
            None => {}
        }
        if is_last {
            return Ok(long);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &[u8]) -> (Vec<(u64, usize, bool)>, Vec<u64>) {
        let mut found = Vec::new();
        let long = blocks(0, text, &mut |block: Block| {
            found.push((block.line, block.bytes.len(), block.is_torn));
            Ok(())
        });
        (found, long.unwrap())
    }

    #[test]
    fn blocks_end_where_lines_do_and_know_their_number() {
        let line = [&[b'x'; 999][..], b"\n"].concat();
        let text = line.repeat(3000);
        let (found, long) = of(&text);
        assert!(found.len() > 2 && long.is_empty(), "{found:?}");
        let mut at = 0;
        for (line, length, is_torn) in found {
            assert_eq!((line, length % 1000, is_torn), (at / 1000 + 1, 0, false));
            at += length as u64;
        }
        assert_eq!(at, 3_000_000);
        assert_eq!(of(b"a\nb"), (vec![(1, 2, false), (2, 1, true)], vec![]));
        assert_eq!(of(b""), (vec![], vec![]));
    }

    #[test]
    fn a_line_that_never_ends_is_passed_over() {
        let text = [&b"first\n"[..], &vec![b'x'; LINE_MAX_BYTES + BLOCK_BYTES], b"\nlast\n"].concat();
        let (found, long) = of(&text);
        assert_eq!(long, [2]);
        assert_eq!(found.first(), Some(&(1, 6, false)));
        assert_eq!(found.last(), Some(&(3, 5, false)));
    }
}
