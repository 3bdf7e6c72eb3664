//! A log file: whole lines at its end, also when another process writes to it or somebody moves it away.
//!
//! Two gateways have one file while one takes the other's place. So each holds the file's lock while it writes, looks
//! first whether the file is still the one of that name, and chains to the line that stands last. A line that was begun
//! and not ended is a writer's that died: under the lock nobody else's, so it is cut off, and that is told. Where the line
//! that this gateway wrote last is gone, somebody took it out: the chain goes on from it all the same, so that the gap shows.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::chain;
use super::open::{Locked, Open, first_line, inode_at, last_line};
use crate::plumbing::{Chain, Rotate};

/// How often the file may turn out to be another one before that is an error.
const TRIES: usize = 8;

/// A log file.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    rotate: Option<Rotate>,
    chain: Chain,
    open: Option<Open>,
    /// The value of the last line that was seen anywhere.
    last: Option<String>,
    /// Where that line ends: in which file, and at which byte.
    ends: Option<((u64, u64), u64)>,
}

/// How what stands in the file goes with what was written last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// The chain goes on from what stands last.
    Whole,
    /// Lines that were written are gone: the chain goes on from the last of them, so that it shows.
    Torn,
}

impl LogFile {
    pub(super) fn new(path: &Path, rotate: Option<Rotate>, chain: Chain) -> Self {
        Self { path: path.to_owned(), rotate, chain, open: None, last: None, ends: None }
    }

    /// Opens the file anew with the next line. A plain file is looked after with every line, and held until then: what
    /// another gateway wrote to it before it was moved is still read.
    pub(super) fn reopen(&mut self) {
        self.open = self.open.take().filter(|own| own.inode.is_some());
    }

    /// Writes lines, all or none.
    pub(super) fn append(&mut self, lines: &[String], now: jiff::Timestamp) -> io::Result<()> {
        for _ in 0..TRIES {
            let mut own = match self.open.take() {
                Some(own) => own,
                None => Open::at(&self.path)?,
            };
            let locked = own.file.try_clone()?;
            let _lock = Locked::of(&locked, &own)?;
            let is_moved = !own.is_at(&self.path);
            let link = self.mend(&mut own)?;
            if is_moved {
                continue;
            }
            let adding = lines.iter().map(|line| line.len() + 1).sum::<usize>();
            if self.is_full(&own, u64::try_from(adding).unwrap_or(u64::MAX)) {
                own.file.sync_all()?;
                self.make_room()?;
                continue;
            }
            // What couldn't be written to is opened anew.
            self.write(&mut own, (lines, link), now)?;
            self.open = Some(own);
            return Ok(());
        }
        Err(io::Error::other("the file is moved away again and again"))
    }

    /// Has what was written survive the machine's end.
    pub(super) fn sync(&self) {
        if let Some(own) = &self.open {
            let _ = own.file.sync_all();
        }
    }

    fn write(
        &mut self,
        own: &mut Open,
        (lines, link): (&[String], Link),
        now: jiff::Timestamp,
    ) -> io::Result<()> {
        let (mut text, mut last) = (String::new(), self.last.clone());
        let mut add = |line: &str| match self.chain {
            Chain::No => text += &format!("{line}\n"),
            Chain::Yes => {
                let (sealed, value) = chain::seal(last.as_deref().unwrap_or(chain::GENESIS), line);
                text += &format!("{sealed}\n");
                last = Some(value);
            }
        };
        // A file that is new, whose last line vouches for nothing, or whose last lines are gone, begins a chain.
        let begins = own.length == 0 || self.last.is_none() || link == Link::Torn;
        if self.chain == Chain::Yes && begins {
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
        self.ends = own.inode.map(|inode| (inode, own.length));
        Ok(())
    }

    /// Finds the end of what others wrote, and cuts off what nobody ended.
    fn mend(&mut self, own: &mut Open) -> io::Result<Link> {
        let Some(inode) = own.inode else { return Ok(Link::Whole) };
        let found = own.file.metadata()?.len();
        if found == own.length {
            return Ok(Link::Whole);
        }
        let (line, end) = last_line(&mut own.file, found)?;
        if end < found {
            own.cut(end)?;
            tracing::warn!(
                file = %self.path.display(), bytes = found - end,
                "the decision log ended in the middle of a line, which was cut off: its writer was"
            );
        }
        own.length = end;
        if self.chain == Chain::No {
            return Ok(Link::Whole);
        }
        if !self.holds_last(own, inode)? {
            tracing::error!(
                file = %self.path.display(), bytes = end,
                "lines that were written are no longer in the decision log: its chain shows the gap"
            );
            return Ok(Link::Torn);
        }
        if end > 0 {
            self.last = chain::open(&line).map(|(_, value)| value.to_owned());
            self.ends = Some((inode, end));
        }
        Ok(Link::Whole)
    }

    /// Whether what was written last is where it was, or what stands in the file goes on from it. Whatever else was done to
    /// it can be seen by what stands in it.
    fn holds_last(&self, own: &mut Open, inode: (u64, u64)) -> io::Result<bool> {
        let (Some(last), Some((file, end))) = (&self.last, self.ends) else { return Ok(true) };
        if inode == file {
            if own.length < end {
                return Ok(false);
            }
            let (line, ended) = last_line(&mut own.file, end)?;
            return Ok(ended == end && chain::open(&line).is_some_and(|(_, value)| value == last));
        }
        // Another gateway began it, or nobody has yet.
        let mut begun = || -> io::Result<bool> {
            let line: Value = serde_json::from_slice(&first_line(&mut own.file)?).unwrap_or_default();
            Ok(line.get("previous").and_then(Value::as_str) == Some(last))
        };
        // It may have begun several meanwhile: then the one that was written to is still among them.
        let keep = self.rotate.map_or(1, |rotate| rotate.keep);
        let mut aside = (1..=keep).map(|number| inode_at(&self.numbered(number)));
        Ok(own.length == 0 || begun()? || aside.any(|other| other == Some(file)))
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

    fn gaps(lines: &[String]) -> Vec<chain::Broken> {
        let mut verifier = chain::Verifier::default();
        lines.iter().filter_map(|line| verifier.read(line).err()).collect()
    }

    #[test]
    fn a_chain_does_not_heal_over_lines_that_were_taken_out() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("d");
        let cut = |text: &str| text.lines().take(2).fold(String::new(), |all, line| all + line + "\n");
        let in_place = |text: &str| fs::write(&path, cut(text)).unwrap();
        let as_another = |text: &str| {
            fs::rename(&path, place.path().join("gone")).unwrap();
            fs::write(&path, cut(text)).unwrap();
        };
        let grown = |text: &str| {
            in_place(text);
            LogFile::new(&path, None, Chain::Yes).append(&[line(8), line(9), line(9)], NOW).unwrap();
        };
        for tear in [&in_place as &dyn Fn(&str), &as_another, &grown] {
            let mut writer = LogFile::new(&path, None, Chain::Yes);
            writer.append(&[line(1), line(2), line(3)], NOW).unwrap();
            tear(&fs::read_to_string(&path).unwrap());
            assert_eq!(gaps(&read(&path)), [], "what was left is whole");
            writer.append(&[line(4)], NOW).unwrap();
            writer.append(&[line(5)], NOW).unwrap();
            assert_eq!(gaps(&read(&path)), [chain::Broken::Gap], "once, where they were");
            // Another gateway goes on from there.
            LogFile::new(&path, None, Chain::Yes).append(&[line(6)], NOW).unwrap();
            writer.append(&[line(7)], NOW).unwrap();
            assert_eq!(gaps(&read(&path)), [chain::Broken::Gap]);
            fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn what_is_no_log_is_not_cut() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("d");
        for text in ["a letter", "{}\nand more", "x\n{"] {
            fs::write(&path, text).unwrap();
            let told = LogFile::new(&path, None, Chain::No).append(&[line(1)], NOW).unwrap_err().to_string();
            assert!(told.contains("no log"), "{told}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn a_lock_that_somebody_keeps_is_an_error_and_so_is_a_pipe() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("d");
        let reader = fs::File::create(&path).unwrap();
        reader.lock_shared().unwrap();
        let mut writer = LogFile::new(&path, None, Chain::No);
        assert_eq!(writer.append(&[line(1)], NOW).unwrap_err().kind(), io::ErrorKind::TimedOut);
        reader.unlock().unwrap();
        writer.append(&[line(1)], NOW).unwrap();
        let pipe = place.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let told = LogFile::new(&pipe, None, Chain::No).append(&[line(1)], NOW).unwrap_err().to_string();
        assert!(told.contains("pipe"), "{told}");
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
