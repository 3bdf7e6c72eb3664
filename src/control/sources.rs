//! Reads `gateway.toml` and the rule directory as one set, at one moment.
//!
//! A set is only believed if a second look shortly after finds the same bytes: editors truncate before they
//! write, deploy tools replace a directory in the middle, and a half-written set must not become live. What a
//! Kubernetes ConfigMap swaps (`..data`) is resolved once and everything is read through it. Nothing here
//! understands what it reads, but for where the rules are.

use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;

use super::promotion;
use crate::config::diagnostic::code;
use crate::config::{Diagnostic, Diagnostics, FileKind, SourceFile, Sources, gateway};
use crate::plumbing::GatewayConfig;

/// How long a set must stay as it is before it is believed.
pub const STEADY_FOR: Duration = Duration::from_millis(50);
/// How often a set that keeps moving is looked at before it is given up.
const LOOKS_MAX: u32 = 40;
/// Longest file that is read.
pub const FILE_MAX_BYTES: u64 = 8 << 20;
/// Most rule files.
pub const FILES_MAX: usize = 10_000;
/// The one rule file that isn't an app.
const TENANTS_FILE: &str = "tenants.toml";

/// Reads the set, and again until two looks agree. `pause` waits; it is a parameter so that tests needn't.
pub fn read_steady(gateway: &Path, pause: impl FnMut(Duration)) -> Result<Sources, Diagnostics> {
    steady(|| read(gateway), pause)
}

/// Looks again until two looks agree.
pub fn steady(
    look: impl Fn() -> Result<Sources, Diagnostics>,
    mut pause: impl FnMut(Duration),
) -> Result<Sources, Diagnostics> {
    let mut last = look();
    for _ in 0..LOOKS_MAX {
        pause(STEADY_FOR);
        let next = look();
        if fingerprint(&last) == fingerprint(&next) {
            return next;
        }
        last = next;
    }
    Err(unreadable("the files keep changing: none of their states stayed long enough to be believed"))
}

/// What tells two readings apart: the hash, or what stood in the way.
#[must_use]
pub fn fingerprint(reading: &Result<Sources, Diagnostics>) -> String {
    match reading {
        Ok(sources) => sources.hash.clone(),
        Err(why) => why.first_line(&[]),
    }
}

/// Reads the set once.
pub fn read(gateway: &Path) -> Result<Sources, Diagnostics> {
    read_beside(gateway, None)
}

/// Reads the gateway's file once, and the rules of another directory than the one that it names, if one is given.
pub fn read_beside(gateway: &Path, other: Option<&Path>) -> Result<Sources, Diagnostics> {
    let shown: Arc<str> = Arc::from(gateway.to_string_lossy());
    let name = gateway.file_name().ok_or_else(|| unreadable(format!("`{shown}` is no file")))?;
    let directory = parent(gateway);
    let text = read_text(&resolved(directory).join(name), &shown)?;
    let first = SourceFile { kind: FileKind::Gateway, path: shown, text };
    let mut mistakes = Diagnostics::default();
    let rules = gateway::read(0, &first, &mut mistakes).rules;
    let mut files = vec![first];
    match read_rules(other.unwrap_or(&rules)) {
        Ok(more) => files.extend(more),
        // A mistake in this file may be why: the set is refused for that mistake, at its place.
        Err(_) if mistakes.errors() > 0 => {}
        Err(why) => return Err(why),
    }
    Ok(of(files))
}

/// Files that were read elsewhere as a set: the gateway's first, then the rules' by name.
#[must_use]
pub fn of(files: Vec<SourceFile>) -> Sources {
    let hash = hash(&files);
    Sources { files, hash }
}

/// The directory that a file stands in.
#[must_use]
pub fn parent(file: &Path) -> &Path {
    match file.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    }
}

/// What `gateway.toml` says, as far as it can be read; mistakes are for whoever compiles it.
#[must_use]
pub fn peek(gateway: &Path) -> Option<GatewayConfig> {
    let shown: Arc<str> = Arc::from(gateway.to_string_lossy());
    let text = read_text(gateway, &shown).ok()?;
    let file = SourceFile { kind: FileKind::Gateway, path: shown, text };
    Some(gateway::read(0, &file, &mut Diagnostics::default()))
}

/// The rule files of a promotion that was broken off: what stands under their names isn't what counts.
#[must_use]
pub fn broken_off(gateway: &Path) -> Vec<String> {
    peek(gateway).map_or_else(Vec::new, |config| promotion::broken_off(&resolved(&config.rules)))
}

/// Reads a directory that needn't be there, and needn't hold anything.
pub fn read_optional(directory: &Path) -> Result<Sources, Diagnostics> {
    let is_rules = |entry: fs::DirEntry| is_rule_file(&entry.file_name().to_string_lossy());
    let holds_some = match fs::read_dir(resolved(directory)) {
        Ok(entries) => entries.flatten().any(is_rules),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => false,
        Err(why) => return Err(unreadable(format!("`{}` can't be read: {why}", directory.display()))),
    };
    Ok(of(if holds_some { read_rules(directory)? } else { Vec::new() }))
}

/// What stands on top of a set: a file takes the place of that of its name, or is one more.
#[must_use]
pub fn overlaid(base: &Sources, files: &[SourceFile]) -> Sources {
    let is_replaced = |own: &SourceFile| {
        let replaces = |file: &SourceFile| file_name(&file.path) == file_name(&own.path);
        own.kind != FileKind::Gateway && files.iter().any(replaces)
    };
    let kept = base.files.iter().filter(|own| !is_replaced(own));
    let mut all: Vec<SourceFile> = kept.chain(files).cloned().collect();
    all.sort_by(|a, b| {
        let order = |file: &SourceFile| (file.kind != FileKind::Gateway, file_name(&file.path).to_owned());
        order(a).cmp(&order(b))
    });
    of(all)
}

/// The last part of a path, by which files of sets are told apart.
#[must_use]
pub fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn read_rules(directory: &Path) -> Result<Vec<SourceFile>, Diagnostics> {
    let through = resolved(directory);
    let shown = directory.display();
    let unlisted =
        |why: std::io::Error| unreadable(format!("the rule directory `{shown}` can't be read: {why}"));
    let promoting = promotion::under_way(&through).map_err(unlisted)?;
    let mut names: Vec<String> = promoting.clone();
    for entry in fs::read_dir(&through).map_err(unlisted)? {
        let name = entry.map_err(unlisted)?.file_name();
        match name.to_str() {
            Some(name) if is_rule_file(name) => names.push(name.to_owned()),
            // It was meant as one: rules that nobody reads aren't the rules that somebody wrote.
            None if is_rule_file(&name.to_string_lossy()) => {
                let file = directory.join(&name);
                return Err(unreadable(format!("the name of `{}` is not UTF-8", file.display())));
            }
            _ => {}
        }
    }
    if names.is_empty() {
        return Err(unreadable(format!("the rule directory `{shown}` holds no rule file")));
    }
    if names.len() > FILES_MAX {
        return Err(unreadable(format!("the rule directory `{shown}` holds more than {FILES_MAX} files")));
    }
    names.sort();
    names.dedup();
    names
        .into_iter()
        .map(|name| {
            let path: Arc<str> = Arc::from(directory.join(&name).to_string_lossy());
            let staged = promoting.contains(&name).then(|| promotion::staged(&through, &name));
            let stands = staged.filter(|staged| staged.exists()).unwrap_or_else(|| through.join(&name));
            let text = read_text(&stands, &path)?;
            Ok(SourceFile { kind: kind_of(&name), path, text })
        })
        .collect()
}

/// This name, or with a number behind it the first that no file has.
pub fn free_name(directory: &Path, name: &str) -> std::io::Result<String> {
    let is_free = |name: &String| fs::symlink_metadata(directory.join(name)).is_err();
    let numbered = (2..=FILES_MAX).map(|number| format!("{name}.{number}"));
    let mut names = std::iter::once(name.to_owned()).chain(numbered);
    names.find(is_free).ok_or_else(|| std::io::Error::other(format!("too many files are named `{name}`")))
}

/// What a file of the rule directory is for.
#[must_use]
pub fn kind_of(name: &str) -> FileKind {
    if name == TENANTS_FILE { FileKind::Tenants } else { FileKind::Rules }
}

/// Rule files end in `.toml`; editors' droppings and hidden files don't count.
#[must_use]
pub fn is_rule_file(name: &str) -> bool {
    name.ends_with(".toml") && !name.starts_with('.')
}

/// The directory itself, or what its `..data` points to at this moment.
fn resolved(directory: &Path) -> PathBuf {
    fs::canonicalize(directory.join("..data")).unwrap_or_else(|_| directory.to_owned())
}

fn read_text(path: &Path, shown: &str) -> Result<String, Diagnostics> {
    let failed = |why: std::io::Error| unreadable(format!("`{shown}` can't be read: {why}"));
    // Looked at before it is opened: to open a pipe is to wait for whoever writes to it.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(unreadable(format!("`{shown}` is no file")));
    }
    let file = fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_MAX_BYTES {
        return Err(unreadable(format!("`{shown}` is longer than {} MiB", FILE_MAX_BYTES >> 20)));
    }
    String::from_utf8(bytes).map_err(|_| unreadable(format!("`{shown}` is not UTF-8")))
}

fn unreadable(message: impl Into<String>) -> Diagnostics {
    let mut diagnostics = Diagnostics::default();
    diagnostics.push(Diagnostic::error(code::UNREADABLE, message));
    diagnostics
}

/// SHA-256 over names and bytes. Only the last part of a path counts, so that replicas which keep the same
/// files elsewhere have the same hash; lengths go in too, so that nothing can move from one file to the next.
fn hash(files: &[SourceFile]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut add = |bytes: &[u8]| {
        context.update(&(bytes.len() as u64).to_be_bytes());
        context.update(bytes);
    };
    for file in files {
        let name = match file.kind {
            FileKind::Gateway => "",
            FileKind::Tenants | FileKind::Rules => file_name(&file.path),
        };
        add(name.as_bytes());
        add(file.text.as_bytes());
    }
    hex(context.finish().as_ref())
}

/// SHA-256 of what stands in a file.
#[must_use]
pub fn bytes_hash(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// SHA-256 of one file's text.
#[must_use]
pub fn file_hash(text: &str) -> String {
    bytes_hash(text.as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Set {
        directory: tempfile::TempDir,
    }

    impl Set {
        fn new() -> Self {
            let set = Self { directory: tempfile::tempdir().unwrap() };
            fs::create_dir(set.path("rules")).unwrap();
            set.write("gateway.toml", "");
            set.write("rules/tenants.toml", "t");
            set.write("rules/desk.toml", "d");
            set
        }
        fn path(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }
        fn write(&self, name: &str, text: &str) {
            fs::write(self.path(name), text).unwrap();
        }
        fn read(&self) -> Result<Sources, String> {
            read(&self.path("gateway.toml")).map_err(|why| why.first_line(&[]))
        }
    }

    #[test]
    fn the_set_is_the_gateway_and_the_sorted_rules() {
        let set = Set::new();
        for ignored in [".hidden.toml", "desk.toml~", ".desk.toml.swp", "4913", "notes.md"] {
            set.write(&format!("rules/{ignored}"), "x");
        }
        let sources = set.read().unwrap();
        let kinds: Vec<_> = sources.files.iter().map(|file| file.kind).collect();
        assert_eq!(kinds, [FileKind::Gateway, FileKind::Rules, FileKind::Tenants]);
        assert!(sources.files[1].path.ends_with("/rules/desk.toml"), "{}", sources.files[1].path);
        assert_eq!(sources.hash.len(), 64);
    }

    #[test]
    fn the_hash_follows_names_and_bytes_but_not_the_place() {
        let (a, b) = (Set::new(), Set::new());
        let first = a.read().unwrap().hash;
        assert_eq!(first, b.read().unwrap().hash);
        b.write("rules/desk.toml", "e");
        assert_ne!(first, b.read().unwrap().hash);
        b.write("rules/desk.toml", "d");
        fs::rename(b.path("rules/desk.toml"), b.path("rules/dusk.toml")).unwrap();
        assert_ne!(first, b.read().unwrap().hash);
        let other = Set::new();
        other.write("rules/desk.toml", "");
        other.write("rules/tenants.toml", "dt");
        assert_ne!(first, other.read().unwrap().hash);
    }

    #[test]
    fn rules_may_stand_elsewhere() {
        let set = Set::new();
        set.write("gateway.toml", "rules = \"other\"\n");
        fs::rename(set.path("rules"), set.path("other")).unwrap();
        assert_eq!(set.read().unwrap().files.len(), 3);
    }

    #[test]
    fn an_empty_or_vanished_directory_is_an_error() {
        let set = Set::new();
        fs::remove_file(set.path("rules/desk.toml")).unwrap();
        fs::remove_file(set.path("rules/tenants.toml")).unwrap();
        assert!(set.read().unwrap_err().contains("holds no rule file"));
        fs::remove_dir(set.path("rules")).unwrap();
        assert!(set.read().unwrap_err().contains("can't be read"));
        fs::remove_file(set.path("gateway.toml")).unwrap();
        assert!(set.read().unwrap_err().contains("gateway.toml"));
    }

    #[test]
    fn what_is_no_text_is_an_error() {
        let set = Set::new();
        fs::write(set.path("rules/bad.toml"), [0xff, 0xfe]).unwrap();
        assert!(set.read().unwrap_err().contains("not UTF-8"));
        fs::remove_file(set.path("rules/bad.toml")).unwrap();
        std::os::unix::fs::symlink("nowhere", set.path("rules/bad.toml")).unwrap();
        assert!(set.read().unwrap_err().contains("bad.toml"));
        fs::remove_file(set.path("rules/bad.toml")).unwrap();
        fs::create_dir(set.path("rules/bad.toml")).unwrap();
        assert!(set.read().unwrap_err().contains("no file"));
    }

    #[test]
    fn a_pipe_is_no_file_and_nobody_waits_for_it() {
        let set = Set::new();
        let socket = std::os::unix::net::UnixListener::bind(set.path("rules/socket.toml")).unwrap();
        assert!(set.read().unwrap_err().contains("no file"));
        drop(socket);
        fs::remove_file(set.path("rules/socket.toml")).unwrap();
        let made = std::process::Command::new("mkfifo").arg(set.path("rules/pipe.toml")).status().unwrap();
        assert!(made.success());
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || sender.send((set.read(), read_optional(&set.path("rules")).is_err())));
        let (read, is_refused) = receiver.recv_timeout(Duration::from_secs(20)).expect("it waits");
        assert!(read.unwrap_err().contains("no file") && is_refused);
    }

    #[test]
    fn a_rule_file_whose_name_is_no_text_is_an_error() {
        use std::os::unix::ffi::OsStrExt as _;
        let set = Set::new();
        let name = std::ffi::OsStr::from_bytes(b"caf\xe9.toml");
        fs::write(set.path("rules").join(name), "x").unwrap();
        assert!(set.read().unwrap_err().contains("is not UTF-8"));
        let next = set.path("next");
        fs::create_dir(&next).unwrap();
        fs::rename(set.path("rules").join(name), next.join(name)).unwrap();
        assert!(read_optional(&next).is_err() && set.read().is_ok());
    }

    #[test]
    fn a_config_map_is_read_through_its_one_target() {
        let set = Set::new();
        let rules = set.path("rules");
        fs::create_dir(rules.join("..1")).unwrap();
        for name in ["desk.toml", "tenants.toml"] {
            fs::rename(rules.join(name), rules.join("..1").join(name)).unwrap();
            std::os::unix::fs::symlink(format!("..data/{name}"), rules.join(name)).unwrap();
        }
        std::os::unix::fs::symlink("..1", rules.join("..data")).unwrap();
        let first = set.read().unwrap();
        assert_eq!(first.hash, Set::new().read().unwrap().hash);
        assert!(first.files[1].path.ends_with("/rules/desk.toml"));
    }

    #[test]
    fn a_moving_set_is_looked_at_again_and_given_up_in_the_end() {
        let set = Set::new();
        let gateway = set.path("gateway.toml");
        let mut looks = 0;
        let sources = read_steady(&gateway, |_| {
            looks += 1;
            match looks {
                1 => set.write("rules/desk.toml", ""),
                2 => set.write("rules/desk.toml", "new"),
                _ => {}
            }
        });
        assert_eq!((looks, &*sources.unwrap().files[1].text), (3, "new"));
        let mut text = String::new();
        let never = read_steady(&gateway, |_| {
            text.push('x');
            set.write("rules/desk.toml", &text);
        });
        assert!(never.unwrap_err().first_line(&[]).contains("keep changing"));
    }
}
