//! A log's file as it lies on the disk: opened, locked, read from its ends, cut.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use crate::record::LINE_MAX_BYTES;

/// Who may read it: it says what people did.
const MODE: u32 = 0o640;
/// How much of a file is read at once, from its end.
const PIECE: u64 = 64 * 1024;
/// How long somebody else may have the file's lock: whoever may read it can take it.
const LOCKED_FOR: Duration = Duration::from_secs(1);
/// How long it is waited between two tries to get it.
const AGAIN: Duration = Duration::from_millis(5);
/// What every line of a log begins with.
const BEGINS: &[u8] = b"{\"";
/// Where the system has what stands for other things, such as standard output.
const OF_SYSTEM: [&str; 2] = ["/dev", "/proc"];

/// A file as it was found last.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) file: File,
    /// None for what is no file that lines stay in.
    pub(super) inode: Option<(u64, u64)>,
    /// What of it is known; more than any file has, where nothing is.
    pub(super) length: u64,
    pub(super) since: SystemTime,
}

impl Open {
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        if let Some(directory) = path.parent().filter(|own| !own.as_os_str().is_empty()) {
            fs::create_dir_all(directory)?;
        }
        // Opening one waits until somebody reads it, and so does writing to it.
        let is_pipe = fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo());
        if is_pipe && !OF_SYSTEM.iter().any(|own| path.starts_with(own)) {
            return Err(io::Error::other("it is a pipe: use `to = \"stdout\"`, or a file"));
        }
        let mut how = OpenOptions::new();
        how.create(true).append(true).mode(MODE);
        // What can't be read back can still be written to.
        let file = how.clone().read(true).open(path).or_else(|_| how.open(path))?;
        let metadata = file.metadata()?;
        let since = metadata.created().or_else(|_| metadata.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        let inode = metadata.is_file().then(|| inode(&metadata));
        // Not any length: what stands in it is looked at first.
        Ok(Self { file, inode, length: if inode.is_some() { u64::MAX } else { 0 }, since })
    }

    /// Whether it is still the file of this name.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        self.inode.is_none() || inode_at(path) == self.inode
    }

    /// Cuts off a line that was begun and not ended. What begins otherwise is nobody's line, and stays.
    pub(super) fn cut(&mut self, end: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(end))?;
        let mut begun = Vec::new();
        Read::by_ref(&mut self.file).take(2).read_to_end(&mut begun)?;
        if begun != BEGINS {
            return Err(io::Error::other("it is no log: what it ends with is no line of one"));
        }
        self.file.set_len(end)
    }
}

/// Which file has this name.
pub(super) fn inode_at(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|found| inode(&found))
}

fn inode(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// A file that nobody else writes to meanwhile.
pub(super) struct Locked<'f>(Option<&'f File>);

impl<'f> Locked<'f> {
    pub(super) fn of(file: &'f File, own: &Open) -> io::Result<Self> {
        if own.inode.is_none() {
            return Ok(Self(None));
        }
        let began = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(Some(file))),
                // Some file systems have no locks; one gateway alone needs none.
                Err(TryLockError::Error(_)) => return Ok(Self(None)),
                Err(TryLockError::WouldBlock) if began.elapsed() < LOCKED_FOR => std::thread::sleep(AGAIN),
                Err(TryLockError::WouldBlock) => {
                    return Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "another process keeps the file locked",
                    ));
                }
            }
        }
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if let Some(file) = self.0 {
            let _ = file.unlock();
        }
    }
}

/// The first line, as far as a line may be long.
pub(super) fn first_line(file: &mut File) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(0))?;
    let mut line = Vec::new();
    let most = u64::try_from(LINE_MAX_BYTES).unwrap_or(u64::MAX);
    BufReader::new(file).take(most).read_until(b'\n', &mut line)?;
    Ok(line)
}

/// The last line that has an end, without it, and where it ends.
pub(super) fn last_line(file: &mut File, length: u64) -> io::Result<(String, u64)> {
    let mut tail: Vec<u8> = Vec::new();
    let mut from = length;
    loop {
        let ends: Vec<usize> = tail
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, byte)| **byte == b'\n')
            .map(|(at, _)| at)
            .take(2)
            .collect();
        let begins = ends.get(1).map(|at| at + 1).or((from == 0).then_some(0));
        if let (Some(end), Some(begin)) = (ends.first(), begins) {
            let line = tail.get(begin..*end).unwrap_or_default();
            let after = u64::try_from(*end).unwrap_or(0) + 1;
            return Ok((String::from_utf8_lossy(line).into_owned(), from + after));
        }
        if from == 0 {
            return Ok((String::new(), 0));
        }
        if tail.len() > 2 * LINE_MAX_BYTES {
            return Err(io::Error::other("it is no log: its lines have no end"));
        }
        let piece = from.min(PIECE);
        from -= piece;
        file.seek(SeekFrom::Start(from))?;
        let mut read = vec![0; usize::try_from(piece).unwrap_or(0)];
        file.read_exact(&mut read)?;
        read.extend_from_slice(&tail);
        tail = read;
    }
}
