//! Lines of decision logs that are looked for by a text in them, the newest log first, rotated ones after it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::{Block, blocks};
use crate::cli::Exit;
use crate::cli::load::tell;

/// A log and those that it was rotated to: `decisions.log`, `decisions.log.1`, `decisions.log.2`, …
pub(in crate::cli) fn with_rotated(log: &Path) -> Vec<PathBuf> {
    let mut found = vec![log.to_owned()];
    let name = log.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let directory = log.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut rotated: Vec<(u64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let own = entry.file_name().to_string_lossy().into_owned();
        let number = own.strip_prefix(&name).and_then(|rest| rest.strip_prefix('.')?.parse().ok());
        rotated.extend(number.map(|number| (number, entry.path())));
    }
    rotated.sort();
    found.extend(rotated.into_iter().map(|(_, path)| path));
    found
}

/// Visits the lines that `is_wanted`, with where they stand, until one is enough or the logs end.
pub(in crate::cli) fn search(
    logs: &[PathBuf],
    is_wanted: impl Fn(&str) -> bool,
    mut visit: impl FnMut(String, &str),
) -> Result<(), Exit> {
    for (log, path) in logs.iter().enumerate() {
        let mut look = |block: Block| {
            let text = String::from_utf8_lossy(&block.bytes);
            if is_wanted(&text) {
                for (number, line) in (block.line..).zip(text.split('\n')).filter(|(_, line)| is_wanted(line))
                {
                    visit(format!("{}:{number}", path.display()), line);
                }
            }
            Ok(())
        };
        let read = if path == Path::new("-") {
            blocks(log, io::stdin().lock(), &mut look)
        } else {
            File::open(path).and_then(|file| blocks(log, file, &mut look))
        };
        if let Err(why) = read {
            tell(&format!("error: `{}` can't be read: {why}", path.display()));
            return Err(Exit::Environment);
        }
    }
    Ok(())
}
