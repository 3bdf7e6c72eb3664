//! Files of a candidate take the places of the live ones on disk: all of them at one moment, whatever happens in between.
//!
//! The new files are written beside the old ones first, under names that nobody reads. Then one rename makes a list of
//! them appear, and from that moment on whoever reads the directory reads them in the old ones' place. Only then are they
//! renamed, and the list goes last. Who finds a list that nobody ended ends it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::sources;

/// The list of files that are being promoted.
const LIST: &str = ".promoting";
/// The list before it counts.
const DRAFT: &str = ".promoting.draft";
/// How long a promotion takes at most.
const UNDER_WAY: Duration = Duration::from_secs(5);
/// Longest list.
const LIST_MAX_BYTES: u64 = 1 << 20;

/// Where a file stands until it has its name.
pub(super) fn staged(rules: &Path, name: &str) -> PathBuf {
    rules.join(format!(".{name}.promoted"))
}

/// The files that are in the middle of being promoted, and count already.
pub(super) fn under_way(rules: &Path) -> io::Result<Vec<String>> {
    let path = rules.join(LIST);
    let text = match fs::metadata(&path) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(why) => return Err(why),
        Ok(about) if about.len() > LIST_MAX_BYTES => return Err(odd(&path)),
        Ok(_) => match fs::read_to_string(&path) {
            // It was ended just now.
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            text => text?,
        },
    };
    let names: Vec<String> = text.lines().map(str::to_owned).collect();
    let is_name = |name: &String| sources::is_rule_file(name) && !name.contains('/');
    if names.iter().all(is_name) { Ok(names) } else { Err(odd(&path)) }
}

/// Where a promotion stopped.
#[derive(Debug)]
pub enum Stopped {
    /// Before it counted: everything is as it was.
    Before(io::Error),
    /// After that: the new files count, and it has to be ended.
    After(io::Error),
}

/// A promotion that was broken off and is ended now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// The files that have their names now.
    pub files: Vec<String>,
    /// Where those stand that somebody had edited meanwhile.
    pub kept: Vec<String>,
}

/// The files of a promotion that somebody should end; one that began just now will end by itself.
pub(super) fn broken_off(rules: &Path) -> Vec<String> {
    let age = |about: fs::Metadata| about.modified().map(|since| since.elapsed().unwrap_or(UNDER_WAY));
    let is_old = fs::metadata(rules.join(LIST)).and_then(age).is_ok_and(|age| age >= UNDER_WAY);
    if is_old { under_way(rules).unwrap_or_default() } else { Vec::new() }
}

/// Puts files with these names and texts into the directory.
pub fn promote(rules: &Path, files: &[(&str, &str)]) -> Result<(), Stopped> {
    finish(rules)?;
    let counts = stage(rules, files).and_then(|()| fs::rename(rules.join(DRAFT), rules.join(LIST)));
    if let Err(why) = counts {
        let names = files.iter().map(|(name, _)| staged(rules, name));
        for path in names.chain([rules.join(DRAFT)]) {
            let _ = fs::remove_file(path);
        }
        return Err(Stopped::Before(why));
    }
    sync(rules).map_err(Stopped::After)?;
    finish(rules).map(|_| ())
}

/// Ends a promotion that was broken off after it counted, if there is one.
pub fn finish(rules: &Path) -> Result<Ended, Stopped> {
    let files = under_way(rules).map_err(Stopped::Before)?;
    if files.is_empty() {
        return Ok(Ended::default());
    }
    let kept = named(rules, &files).map_err(Stopped::After)?;
    Ok(Ended { files, kept })
}

/// Gives every file of the list its name. What was edited after the list was made is kept beside it.
fn named(rules: &Path, names: &[String]) -> io::Result<Vec<String>> {
    let mut kept = Vec::new();
    let since = fs::metadata(rules.join(LIST))?.modified()?;
    for name in names {
        let is_edited =
            || fs::metadata(rules.join(name)).and_then(|own| own.modified()).is_ok_and(|at| at > since);
        if staged(rules, name).exists() && is_edited() {
            let aside = sources::free_name(rules, &format!("{name}.edited"))?;
            fs::rename(rules.join(name), rules.join(&aside))?;
            kept.push(aside);
        }
        match fs::rename(staged(rules, name), rules.join(name)) {
            // It has its name already.
            Err(why) if why.kind() == io::ErrorKind::NotFound => {}
            done => done?,
        }
    }
    sync(rules)?;
    fs::remove_file(rules.join(LIST))?;
    sync(rules)?;
    Ok(kept)
}

fn stage(rules: &Path, files: &[(&str, &str)]) -> io::Result<()> {
    let mut list = String::new();
    for (name, text) in files {
        let path = staged(rules, name);
        let like = looks(rules, name)?;
        // What is left over there may be anyone's.
        let _ = fs::remove_file(&path);
        write(&path, text)?;
        dress(&path, &like)?;
        list.push_str(name);
        list.push('\n');
    }
    write(&rules.join(DRAFT), &list)?;
    sync(rules)
}

/// What a new file has to look like for the gateway to read it: the one that it replaces, or any other.
fn looks(rules: &Path, name: &str) -> io::Result<fs::Metadata> {
    let path = rules.join(name);
    match fs::symlink_metadata(&path) {
        Ok(own) if own.is_file() => return Ok(own),
        Ok(_) => {
            let what = "is no plain file but perhaps a link: whoever put it there has to change it";
            return Err(io::Error::other(format!("`{}` {what}", path.display())));
        }
        Err(why) if why.kind() == io::ErrorKind::NotFound => {}
        Err(why) => return Err(why),
    }
    for entry in fs::read_dir(rules)? {
        let entry = entry?;
        let is_rules = entry.file_name().to_str().is_some_and(sources::is_rule_file);
        if is_rules && entry.file_type()?.is_file() {
            return entry.metadata();
        }
    }
    Err(io::Error::other(format!("`{}` holds no rule file", rules.display())))
}

/// Gives a file the owner, the group and the mode of another.
fn dress(path: &Path, like: &fs::Metadata) -> io::Result<()> {
    let own = fs::symlink_metadata(path)?;
    if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
        chown(path, Some(like.uid()), Some(like.gid())).map_err(|why| {
            let (owner, group) = (like.uid(), like.gid());
            io::Error::other(format!(
                "`{}` can't be given to {owner}:{group}, whose the rules are: {why}",
                path.display()
            ))
        })?;
    }
    fs::set_permissions(path, like.permissions())
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn odd(path: &Path) -> io::Error {
    io::Error::other(format!("`{}` is no list of files that are being promoted", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(rules: &Path) -> Vec<String> {
        let files = sources::read_optional(rules).unwrap().files;
        files.iter().map(|file| file.text.clone()).collect()
    }

    #[test]
    fn wherever_it_breaks_off_the_set_is_the_old_one_or_the_new_one() {
        let new = [("a.toml", "A"), ("b.toml", "B"), ("c.toml", "C")];
        // How many steps are done before the machine stops.
        for steps in 0..8 {
            let place = tempfile::tempdir().unwrap();
            let rules = place.path();
            fs::write(rules.join("a.toml"), "a").unwrap();
            fs::write(rules.join("b.toml"), "b").unwrap();
            let mut left = steps;
            let mut step = |act: &dyn Fn() -> io::Result<()>| {
                if left > 0 {
                    left -= 1;
                    act().unwrap();
                }
            };
            for (name, text) in &new {
                step(&|| write(&staged(rules, name), text));
            }
            step(&|| write(&rules.join(DRAFT), "a.toml\nb.toml\nc.toml\n"));
            step(&|| fs::rename(rules.join(DRAFT), rules.join(LIST)));
            step(&|| fs::rename(staged(rules, "a.toml"), rules.join("a.toml")));
            step(&|| fs::rename(staged(rules, "b.toml"), rules.join("b.toml")));
            let expected: &[&str] = if steps < 5 { &["a", "b"] } else { &["A", "B", "C"] };
            assert_eq!(texts(rules), expected, "{steps}");
            finish(rules).unwrap();
            assert_eq!(texts(rules), expected, "{steps}");
            promote(rules, &new).unwrap();
            assert_eq!(texts(rules), ["A", "B", "C"], "{steps}");
            assert_eq!(fs::read_dir(rules).unwrap().count(), 3, "nothing is left over");
        }
    }

    #[test]
    fn what_cannot_count_is_removed_and_what_counts_is_told_apart() {
        let place = tempfile::tempdir().unwrap();
        let rules = place.path();
        fs::write(rules.join("a.toml"), "a").unwrap();
        std::os::unix::fs::symlink("a.toml", rules.join("l.toml")).unwrap();
        let linked = promote(rules, &[("a.toml", "A"), ("l.toml", "L")]);
        assert!(
            matches!(&linked, Err(Stopped::Before(why)) if why.to_string().contains("link")),
            "{linked:?}"
        );
        assert_eq!(texts(rules), ["a", "a"]);
        fs::remove_file(rules.join("l.toml")).unwrap();
        assert_eq!(fs::read_dir(rules).unwrap().count(), 1, "nothing is left over");
        // A directory in the list's place: the rename fails.
        fs::create_dir_all(rules.join(LIST).join("x")).unwrap();
        assert!(promote(rules, &[("a.toml", "A")]).is_err());
        fs::remove_dir_all(rules.join(LIST)).unwrap();
        assert_eq!(fs::read_dir(rules).unwrap().count(), 1, "nothing is left over");
        // It counts already, and can't have its name.
        fs::write(staged(rules, "b.toml"), "B").unwrap();
        fs::create_dir_all(rules.join("b.toml/x")).unwrap();
        fs::write(rules.join(LIST), "b.toml\n").unwrap();
        assert!(matches!(promote(rules, &[("a.toml", "A")]), Err(Stopped::After(_))));
    }

    #[test]
    fn what_was_edited_while_it_was_broken_off_is_kept() {
        let place = tempfile::tempdir().unwrap();
        let rules = place.path();
        fs::write(staged(rules, "a.toml"), "A").unwrap();
        fs::write(rules.join(LIST), "a.toml\n").unwrap();
        fs::write(rules.join("a.toml"), "edited").unwrap();
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
        File::options().write(true).open(rules.join("a.toml")).unwrap().set_modified(later).unwrap();
        let ended = finish(rules).unwrap();
        assert_eq!((ended.files, ended.kept), (vec!["a.toml".to_owned()], vec!["a.toml.edited".to_owned()]));
        assert_eq!(texts(rules), ["A"]);
        assert_eq!(broken_off(rules), [""; 0]);
        assert_eq!(fs::read_to_string(rules.join("a.toml.edited")).unwrap(), "edited");
    }

    #[test]
    fn a_new_file_is_whose_the_old_one_was() {
        let place = tempfile::tempdir().unwrap();
        let rules = place.path();
        fs::write(rules.join("a.toml"), "a").unwrap();
        // Only root can give files away.
        if chown(rules.join("a.toml"), Some(12), Some(34)).is_ok() {
            promote(rules, &[("a.toml", "A"), ("b.toml", "B")]).unwrap();
            for name in ["a.toml", "b.toml"] {
                let own = fs::metadata(rules.join(name)).unwrap();
                assert_eq!((own.uid(), own.gid()), (12, 34), "{name}");
            }
        }
    }

    #[test]
    fn a_list_of_anything_else_is_refused() {
        let place = tempfile::tempdir().unwrap();
        for list in ["../a.toml\n", "a.txt\n", "\n"] {
            fs::write(place.path().join(LIST), list).unwrap();
            assert!(under_way(place.path()).is_err(), "{list:?}");
        }
    }
}
