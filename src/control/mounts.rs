//! Notices files that are mounted one by one. Such a mount shows the file that was there when it was made: after
//! an editor or Kubernetes renamed a new one over it, no watcher and no poll can ever see that.

use std::fs;
use std::path::Path;

use crate::config::Sources;

/// The files of a set that are mount points; none where the system doesn't say.
#[must_use]
pub fn mounted_files(sources: &Sources) -> Vec<&str> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points: Vec<String> = mount_points(&mounts).collect();
    let is_mounted = |path: &&str| {
        let real = fs::canonicalize(Path::new(path)).unwrap_or_default();
        points.iter().any(|point| Path::new(point) == real)
    };
    sources.files.iter().map(|file| &*file.path).filter(is_mounted).collect()
}

/// The fifth field of each line of `mountinfo` (see `proc(5)`), with its octal escapes undone.
fn mount_points(mountinfo: &str) -> impl Iterator<Item = String> {
    let fields = mountinfo.lines().filter_map(|line| line.split(' ').nth(4));
    fields.map(|field| {
        let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
        escapes.iter().fold(field.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{FileKind, SourceFile};

    #[test]
    fn mount_points_are_read_with_their_escapes() {
        let text =
            "36 35 98:0 /a /etc/gateway\\040x.toml rw - ext4 /dev/a rw\n37 35 98:0 / /proc rw - proc p rw\n";
        assert_eq!(mount_points(text).collect::<Vec<_>>(), ["/etc/gateway x.toml", "/proc"]);
    }

    #[test]
    fn a_file_that_isnt_mounted_is_not_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_string_lossy().into();
        let files = vec![SourceFile { kind: FileKind::Rules, path, text: String::new() }];
        assert!(mounted_files(&Sources { files, hash: String::new() }).is_empty());
    }
}
