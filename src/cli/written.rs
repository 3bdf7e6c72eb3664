//! Files that a verb writes. What stood there stays until the new text is whole: it is written beside the file by another
//! name, then takes its place, so that a full disk costs nobody a rule file and a gateway never reads half of one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::Path;

use crate::control::sources;

/// Writes a file as a whole. It keeps its mode and its owner, and a link to it stays a link.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let target = match fs::canonicalize(path) {
        Ok(target) => target,
        // A link to what isn't there yet: what it points to is made.
        Err(_) if fs::symlink_metadata(path).is_ok() => return fs::write(path, text),
        Err(_) => path.to_owned(),
    };
    let old = fs::metadata(&target).ok();
    if old.as_ref().is_some_and(|old| !old.is_file()) {
        // A terminal or a pipe: nothing stands there that could be lost.
        return fs::write(&target, text);
    }
    let directory = sources::parent(&target);
    let name = target.file_name().ok_or(io::ErrorKind::IsADirectory)?.to_string_lossy();
    // Hidden, so that nothing takes it for a rule file.
    let beside = directory.join(sources::free_name(directory, &format!(".{name}.{}", std::process::id()))?);
    let mut made = OpenOptions::new().write(true).create_new(true).open(&beside)?;
    let done = fill(&mut made, text, old.as_ref()).and_then(|()| fs::rename(&beside, &target));
    if done.is_err() {
        let _ = fs::remove_file(&beside);
    }
    done
}

fn fill(made: &mut File, text: &str, old: Option<&fs::Metadata>) -> io::Result<()> {
    if let Some(old) = old {
        let own = made.metadata()?;
        if (own.uid(), own.gid()) != (old.uid(), old.gid()) {
            // Only root may give a file away; to anyone else it becomes his own, as with any editor.
            let _ = fchown(&*made, Some(old.uid()), Some(old.gid()));
        }
        made.set_permissions(old.permissions())?;
    }
    made.write_all(text.as_bytes())?;
    made.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_through_links_and_keeps_its_mode() {
        let place = tempfile::tempdir().unwrap();
        let (file, link) = (place.path().join("x.toml"), place.path().join("link.toml"));
        replace(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("x.toml", &link).unwrap();
        // Whoever has it open reads on what stood there.
        let mut open = File::open(&file).unwrap();
        replace(&link, "new").unwrap();
        assert_eq!(io::read_to_string(&mut open).unwrap(), "old");
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 2, "nothing is left beside it");
    }
}
