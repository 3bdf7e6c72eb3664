//! A log file: whole lines at its end, also when another process writes to it or somebody moves it away.
//!
//! Two gateways have one file while one takes the other's place. So each holds the file's lock while it writes, looks
//! first whether the file is still the one of that name, and chains to the line that stands last. A line that was begun
//! and not ended is a writer's that died: under the lock nobody else's, so it is cut off, and that is told.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::chain;
use crate::plumbing::{Chain, Rotate};
use crate::record::LINE_MAX_BYTES;

/// How often the file may turn out to be another one before that is an error.
const TRIES: usize = 8;
/// Who may read it: it says what people did.
const MODE: u32 = 0o640;
/// How much of a file is read at once, from its end.
const PIECE: u64 = 64 * 1024;

/// A log file.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    rotate: Option<Rotate>,
    chain: Chain,
    open: Option<Open>,
    /// The value of the last line that was seen anywhere.
    last: Option<String>,
}

/// The file as it was found last.
#[derive(Debug)]
struct Open {
    file: File,
    /// None for what is no file that lines stay in.
    inode: Option<(u64, u64)>,
    length: u64,
    since: SystemTime,
}

impl LogFile {
    pub(super) fn new(path: &Path, rotate: Option<Rotate>, chain: Chain) -> Self {
        Self { path: path.to_owned(), rotate, chain, open: None, last: None }
    }

    /// Opens the file anew with the next line.
    pub(super) fn reopen(&mut self) {
        self.open = None;
    }

    /// Writes lines, all or none.
    pub(super) fn append(&mut self, lines: &[String], now: jiff::Timestamp) -> io::Result<()> {
        for _ in 0..TRIES {
            let mut own = match self.open.take() {
                Some(own) => own,
                None => Open::at(&self.path)?,
            };
            let locked = own.file.try_clone()?;
            let _lock = Locked::of(&locked, &own);
            let is_moved = !own.is_at(&self.path);
            self.mend(&mut own)?;
            if is_moved {
                continue;
            }
            let adding = lines.iter().map(|line| line.len() + 1).sum::<usize>();
            if self.is_full(&own, u64::try_from(adding).unwrap_or(u64::MAX)) {
                own.file.sync_all()?;
                self.make_room()?;
                continue;
            }
            let written = self.write(&mut own, lines, now);
            self.open = Some(own);
            return written;
        }
        Err(io::Error::other("the file is moved away again and again"))
    }

    /// Has what was written survive the machine's end.
    pub(super) fn sync(&self) {
        if let Some(own) = &self.open {
            let _ = own.file.sync_all();
        }
    }

    fn write(&mut self, own: &mut Open, lines: &[String], now: jiff::Timestamp) -> io::Result<()> {
        let (mut text, mut last) = (String::new(), self.last.clone());
        let mut add = |line: &str| match self.chain {
            Chain::No => text += &format!("{line}\n"),
            Chain::Yes => {
                let (sealed, value) = chain::seal(last.as_deref().unwrap_or(chain::GENESIS), line);
                text += &format!("{sealed}\n");
                last = Some(value);
            }
        };
        // A file that is new, or whose last line vouches for nothing, begins a chain.
        if self.chain == Chain::Yes && (own.length == 0 || self.last.is_none()) {
            add(&chain::beginning(self.last.as_deref(), now));
        }
        lines.iter().for_each(|line| add(line));
        if let Err(why) = own.file.write_all(text.as_bytes()) {
            // Half a line would be taken for what the next one begins with.
            if own.inode.is_some() {
                let _ = own.file.set_len(own.length);
            }
            return Err(why);
        }
        own.length += u64::try_from(text.len()).unwrap_or(0);
        self.last = last;
        Ok(())
    }

    /// Finds the end of what others wrote, and cuts off what nobody ended.
    fn mend(&mut self, own: &mut Open) -> io::Result<()> {
        if own.inode.is_none() {
            return Ok(());
        }
        let found = own.file.metadata()?.len();
        if found == own.length && own.is_known() {
            return Ok(());
        }
        let (line, end) = last_line(&mut own.file, found)?;
        if end < found {
            own.file.set_len(end)?;
            tracing::warn!(
                file = %self.path.display(), bytes = found - end,
                "the decision log ended in the middle of a line, which was cut off: its writer was"
            );
        }
        own.length = end;
        if self.chain == Chain::Yes && end > 0 {
            self.last = chain::open(&line).map(|(_, value)| value.to_owned());
        }
        Ok(())
    }

    fn is_full(&self, own: &Open, adding: u64) -> bool {
        let Some(rotate) = self.rotate.filter(|_| own.inode.is_some() && own.length > 0) else {
            return false;
        };
        let age = || SystemTime::now().duration_since(own.since).unwrap_or(Duration::ZERO);
        own.length.saturating_add(adding) > rotate.bytes || rotate.every.is_some_and(|every| age() >= every)
    }

    /// Moves the file aside, and those before it one further. The lock is held.
    fn make_room(&self) -> io::Result<()> {
        let keep = self.rotate.map_or(1, |rotate| rotate.keep);
        for number in (1..keep).rev() {
            match fs::rename(self.numbered(number), self.numbered(number + 1)) {
                Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
                _ => {}
            }
        }
        fs::rename(&self.path, self.numbered(1))
    }

    fn numbered(&self, number: usize) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        if let Some(directory) = path.parent().filter(|own| !own.as_os_str().is_empty()) {
            fs::create_dir_all(directory)?;
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

    fn is_known(&self) -> bool {
        self.length != u64::MAX
    }

    /// Whether it is still the file of this name.
    fn is_at(&self, path: &Path) -> bool {
        let Some(own) = self.inode else { return true };
        fs::metadata(path).is_ok_and(|found| inode(&found) == own)
    }
}

fn inode(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// A file that nobody else writes to meanwhile.
struct Locked<'f>(Option<&'f File>);

impl<'f> Locked<'f> {
    fn of(file: &'f File, own: &Open) -> Self {
        // Some file systems have no locks; one gateway alone needs none.
        let is_locked = own.inode.is_some() && file.lock().is_ok();
        Self(is_locked.then_some(file))
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if let Some(file) = self.0 {
            let _ = file.unlock();
        }
    }
}

/// The last line that has an end, without it, and where it ends.
fn last_line(file: &mut File, length: u64) -> io::Result<(String, u64)> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: jiff::Timestamp = jiff::Timestamp::UNIX_EPOCH;

    fn line(number: usize) -> String {
        format!(r#"{{"schema":"test/1","n":{number}}}"#)
    }

    fn read(path: &Path) -> Vec<String> {
        fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
    }

    fn verified<'l>(lines: impl Iterator<Item = &'l String>) -> u64 {
        let mut verifier = chain::Verifier::default();
        lines.for_each(|line| verifier.read(line).unwrap());
        verifier.lines()
    }

    #[test]
    fn two_writers_make_one_chain() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("log/decisions.ndjson");
        let mut writers = [(); 2].map(|()| LogFile::new(&path, None, Chain::Yes));
        for number in 0..10 {
            writers[number % 3 % 2].append(&[line(number), line(number)], NOW).unwrap();
        }
        // One that is started anew goes on.
        LogFile::new(&path, None, Chain::Yes).append(&[line(10)], NOW).unwrap();
        let lines = read(&path);
        assert_eq!((lines.len(), verified(lines.iter())), (22, 22));
    }

    #[test]
    fn files_give_way_and_the_chain_goes_on_in_the_next() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("d");
        let rotate = Some(Rotate { bytes: 600, every: None, keep: 3 });
        let mut writers = [(); 2].map(|()| LogFile::new(&path, rotate, Chain::Yes));
        for number in 0..40 {
            writers[number % 2].append(&[line(number)], NOW).unwrap();
        }
        let files = ["d.3", "d.2", "d.1", "d"].map(|name| read(&place.path().join(name)));
        assert!(!place.path().join("d.4").exists());
        let lines: Vec<_> = files.into_iter().flatten().collect();
        assert!(lines.len() > 10 && lines.last().unwrap().contains("\"n\":39"), "{lines:#?}");
        assert_eq!(verified(lines.iter()), lines.len() as u64);
    }

    #[test]
    fn a_file_that_was_moved_away_is_begun_again() {
        let place = tempfile::tempdir().unwrap();
        let (path, aside) = (place.path().join("d"), place.path().join("aside"));
        let mut writer = LogFile::new(&path, None, Chain::Yes);
        writer.append(&[line(1)], NOW).unwrap();
        fs::rename(&path, &aside).unwrap();
        writer.append(&[line(2)], NOW).unwrap();
        let lines = [read(&aside), read(&path)].concat();
        assert_eq!(verified(lines.iter()), 4);
        assert!(lines[2].contains("continues"), "{lines:#?}");
    }

    #[test]
    fn a_line_that_nobody_ended_is_cut_off() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("d");
        for chain in [Chain::Yes, Chain::No] {
            let mut writer = LogFile::new(&path, None, chain);
            writer.append(&[line(1), line(2)], NOW).unwrap();
            let whole = fs::read_to_string(&path).unwrap();
            fs::write(&path, format!("{whole}{{\"schema\":\"te")).unwrap();
            LogFile::new(&path, None, chain).append(&[line(3)], NOW).unwrap();
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.starts_with(&whole) && text.lines().count() == whole.lines().count() + 1, "{text}");
            if chain == Chain::Yes {
                assert_eq!(verified(read(&path).iter()), 4);
            }
            fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn what_stood_there_unchained_is_followed_by_a_chain_of_its_own() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("d");
        LogFile::new(&path, None, Chain::No).append(&[line(1)], NOW).unwrap();
        LogFile::new(&path, None, Chain::Yes).append(&[line(2)], NOW).unwrap();
        let lines = read(&path);
        assert_eq!((lines.len(), verified(lines.iter().skip(1))), (3, 2));
    }

    #[test]
    fn a_full_disk_is_an_error_and_nothing_else() {
        let mut writer = LogFile::new(Path::new("/dev/full"), None, Chain::Yes);
        assert_eq!(writer.append(&[line(1)], NOW).unwrap_err().kind(), io::ErrorKind::StorageFull);
        let place = tempfile::tempdir().unwrap();
        assert!(LogFile::new(place.path(), None, Chain::No).append(&[line(1)], NOW).is_err());
    }
}
