//! A rule set as it stands in a git revision, read by the `git` program. No shell is in between: every word is an argument
//! of its own, a revision is made a commit's name before anything else sees it, and contents come from the object store as
//! they are, without a filter or a driver of the repository's.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use crate::config::{Diagnostics, FileKind, SourceFile, gateway};
use crate::control::sources;

/// The commit that `revision` names in the repository around `config`, and the files of the set in it.
pub(super) fn read(revision: &str, config: &Path) -> Result<(String, Vec<SourceFile>), String> {
    let directory = sources::parent(config);
    let name = config.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| format!("`{}` is no file", config.display()))?;
    let commit = commit(directory, revision)?;
    let shown = |path: &Path| format!("{revision}:{}", path.display());
    let gateway_at = object(directory, &commit, Path::new(name))?;
    let mut texts = contents(directory, &[gateway_at])?.into_iter();
    let text = texts.next().ok_or_else(|| format!("`{}` can't be read", shown(Path::new(name))))?;
    // Under its own path, so that what it names is found where it would be; the revision is told beside.
    let first = SourceFile { kind: FileKind::Gateway, path: config.to_string_lossy().into(), text };
    let rules = gateway::read(0, &first, &mut Diagnostics::default()).rules;
    let below = relative(directory, &rules)?;
    let entries = listing(directory, &commit, &below)?;
    let names: Vec<String> = entries.iter().map(|(name, _)| name.clone()).collect();
    let ids: Vec<String> = entries.into_iter().map(|(_, id)| id).collect();
    if names.is_empty() {
        return Err(format!("`{}` holds no rule file", shown(&below)));
    }
    let mut files = vec![first];
    for (name, text) in names.iter().zip(contents(directory, &ids)?) {
        let path = rules.join(name).to_string_lossy().into();
        files.push(SourceFile { kind: sources::kind_of(name), path, text });
    }
    Ok((commit, files))
}

/// The full name of the commit, or why there is none.
fn commit(directory: &Path, revision: &str) -> Result<String, String> {
    let wanted = format!("{revision}^{{commit}}");
    let out = git(directory, &["rev-parse", "--verify", "--end-of-options", &wanted])
        .map_err(|why| format!("`{revision}` is neither a path nor a git revision here: {why}"))?;
    let text = String::from_utf8(out).map_err(|_| "git's answer is no text".to_owned())?;
    let commit = text.trim();
    let is_name = |name: &str| name.len() >= 40 && name.bytes().all(|b| b.is_ascii_hexdigit());
    if is_name(commit) { Ok(commit.to_owned()) } else { Err(format!("`{revision}` names no commit")) }
}

/// The object that stands at a path in a commit.
fn object(directory: &Path, commit: &str, path: &Path) -> Result<String, String> {
    let at = format!("{commit}:./{}", path.display());
    let out = git(directory, &["rev-parse", "--verify", "--end-of-options", &at])?;
    Ok(String::from_utf8_lossy(&out).trim().to_owned())
}

/// The rule directory as seen from the repository's directory.
fn relative(directory: &Path, rules: &Path) -> Result<PathBuf, String> {
    let plain = directory == Path::new(".");
    let below = if plain { rules } else { rules.strip_prefix(directory).unwrap_or(rules) };
    let upwards_or_down = |part: Component<'_>| !matches!(part, Component::RootDir | Component::Prefix(_));
    if below.components().all(upwards_or_down) {
        Ok(below.to_owned())
    } else {
        Err(format!("`rules = \"{}\"` is an absolute path: no repository holds it", rules.display()))
    }
}

/// The rule files of a directory in a commit, sorted, with their objects.
fn listing(directory: &Path, commit: &str, below: &Path) -> Result<Vec<(String, String)>, String> {
    let tree = object(directory, commit, below)?;
    let out = git(directory, &["ls-tree", "-z", "--full-tree", "--end-of-options", &tree])?;
    let out = String::from_utf8_lossy(&out);
    let mut found = Vec::new();
    for entry in out.split('\0').filter(|entry| !entry.is_empty()) {
        let Some((about, name)) = entry.split_once('\t') else { continue };
        if !sources::is_rule_file(name) {
            continue;
        }
        let mut words = about.split(' ');
        match (words.next(), words.next(), words.next()) {
            (Some("100644" | "100755"), Some("blob"), Some(id)) => {
                found.push((name.to_owned(), id.to_owned()));
            }
            _ => return Err(format!("`{name}` in that revision is no plain file")),
        }
    }
    found.sort();
    if found.len() > sources::FILES_MAX {
        return Err(format!("that revision holds more than {} rule files", sources::FILES_MAX));
    }
    Ok(found)
}

/// The texts of objects, in their order, by one process.
fn contents(directory: &Path, ids: &[String]) -> Result<Vec<String>, String> {
    let failed = |why: std::io::Error| format!("git can't be run: {why}");
    let mut child = command(directory)
        .args(["cat-file", "--batch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let texts = std::thread::scope(|scope| {
        // Beside, for git answers while it is asked: both sides could wait for each other.
        scope.spawn(move || {
            let Some(mut input) = input else { return };
            for id in ids {
                if writeln!(input, "{id}").is_err() {
                    return;
                }
            }
        });
        let mut output = BufReader::new(output.ok_or("git can't be read from")?);
        ids.iter().map(|_| one(&mut output)).collect::<Result<Vec<_>, String>>()
    });
    if texts.is_err() {
        let _ = child.kill();
    }
    child.wait().map_err(failed)?;
    texts
}

/// One object as `git cat-file --batch` writes it: a line about it, its bytes, a line feed.
fn one(output: &mut impl BufRead) -> Result<String, String> {
    let broken = |_| "git broke off".to_owned();
    let mut about = String::new();
    output.take(HEAD_MAX).read_line(&mut about).map_err(broken)?;
    let words: Vec<&str> = about.trim_end().split(' ').collect();
    let length = match words.as_slice() {
        [_, "blob", length] => length.parse::<u64>().map_err(|_| "git's answer can't be read".to_owned())?,
        _ => return Err(format!("git says `{}`", about.trim_end())),
    };
    if length > sources::FILE_MAX_BYTES {
        return Err(format!("a file of that revision is longer than {} MiB", sources::FILE_MAX_BYTES >> 20));
    }
    let mut bytes = Vec::new();
    output.take(length + 1).read_to_end(&mut bytes).map_err(broken)?;
    bytes.pop();
    if bytes.len() as u64 != length {
        return Err("git broke off".to_owned());
    }
    String::from_utf8(bytes).map_err(|_| "a file of that revision is not UTF-8".to_owned())
}

fn git(directory: &Path, arguments: &[&str]) -> Result<Vec<u8>, String> {
    let output =
        command(directory).args(arguments).output().map_err(|why| format!("git can't be run: {why}"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let first = said.lines().next().unwrap_or("it failed without a word");
    Err(first.trim_start_matches("fatal: ").to_owned())
}

fn command(directory: &Path) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(directory).stdin(Stdio::null());
    command
}

/// Longest line about an object.
const HEAD_MAX: u64 = 1024;
