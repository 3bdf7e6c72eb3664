//! Files of a candidate take the places of the live ones on disk: all of them at one moment, whatever happens in between.
//!
//! The new files are written beside the old ones first, under names that nobody reads. Then one rename makes a list of
//! them appear, and from that moment on whoever reads the directory reads them in the old ones' place. Only then are they
//! renamed, and the list goes last. Who finds a list that nobody ended ends it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::sources;

/// The list of files that are being promoted.
const LIST: &str = ".promoting";
/// The list before it counts.
const DRAFT: &str = ".promoting.draft";
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

/// Puts files with these names and texts into the directory. An error before the last step leaves all as it was.
pub fn promote(rules: &Path, files: &[(&str, &str)]) -> io::Result<()> {
    finish(rules)?;
    let written = stage(rules, files);
    if let Err(why) = written {
        let names = files.iter().map(|(name, _)| staged(rules, name));
        for path in names.chain([rules.join(DRAFT)]) {
            let _ = fs::remove_file(path);
        }
        return Err(why);
    }
    fs::rename(rules.join(DRAFT), rules.join(LIST))?;
    sync(rules)?;
    finish(rules)
}

/// Ends a promotion that was broken off after it counted.
pub fn finish(rules: &Path) -> io::Result<()> {
    let names = under_way(rules)?;
    if names.is_empty() {
        return Ok(());
    }
    for name in &names {
        match fs::rename(staged(rules, name), rules.join(name)) {
            // It has its name already.
            Err(why) if why.kind() == io::ErrorKind::NotFound => {}
            done => done?,
        }
    }
    sync(rules)?;
    fs::remove_file(rules.join(LIST))?;
    sync(rules)
}

fn stage(rules: &Path, files: &[(&str, &str)]) -> io::Result<()> {
    let mut list = String::new();
    for (name, text) in files {
        let path = staged(rules, name);
        write(&path, text)?;
        if let Ok(about) = fs::metadata(rules.join(name)) {
            fs::set_permissions(&path, about.permissions())?;
        }
        list.push_str(name);
        list.push('\n');
    }
    write(&rules.join(DRAFT), &list)?;
    sync(rules)
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
    fn a_list_of_anything_else_is_refused() {
        let place = tempfile::tempdir().unwrap();
        for list in ["../a.toml\n", "a.txt\n", "\n"] {
            fs::write(place.path().join(LIST), list).unwrap();
            assert!(under_way(place.path()).is_err(), "{list:?}");
        }
    }
}
