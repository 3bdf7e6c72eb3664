//! Which rules a verb is asked about, where there may be two sets: files, a git revision, or what a running gateway
//! judges by. Each is read as one set and compiled whole; what stands in the way is printed with the side that it is on.

mod admin;
mod git;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) use self::admin::{Unasked, admin, ask, document};
use super::Exit;
use super::hypothesis::now;
use super::load::{report, tell};
use crate::analysis::diff::{Contents, named};
use crate::config::diagnostic::code;
use crate::config::{
    Carried, Compiled, Diagnostic, Diagnostics, FileKind, SourceFile, Sources, compile, compile_unexpected,
};
use crate::control::sources;
use crate::snapshot::Snapshot;

/// The word for what the running gateway judges by.
const LIVE: &str = "live";
/// The word for what it tries out beside that.
const CANDIDATE: &str = "candidate";
/// What a git revision begins with, where it has to be told from a path.
const GIT: &str = "git:";

/// A whole configuration, compiled, and what it was asked for as.
pub(super) struct RuleSet {
    /// What an operator calls it: a path, `git:main`, or the live set with its revision.
    pub(super) name: String,
    /// Its files.
    pub(super) sources: Sources,
    /// What they mean.
    pub(super) snapshot: Arc<Snapshot>,
    /// Whether the files that it names are as it means them: they stand beside it on this disk, now.
    pub(super) place: Place,
}

/// Where a set comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// From this disk.
    Disk,
    /// From a repository or a running gateway.
    Elsewhere,
}

impl Place {
    fn of(spec: &str) -> Self {
        let is_path = || Path::new(spec).exists();
        let asked = spec == LIVE || spec == CANDIDATE || spec.starts_with(GIT);
        if !asked && is_path() { Self::Disk } else { Self::Elsewhere }
    }
}

/// Most of a named file that is compared; what is longer is no key.
const NAMED_MAX_BYTES: u64 = 16 << 20;

impl RuleSet {
    /// Reads and compiles what `spec` names: `gateway.toml`, a directory that holds one, a directory of rule files beside
    /// `config` (that of candidates on top of the rules), `live`, `candidate`, or a git revision. What stands in the way is printed.
    pub(super) fn read(spec: &str, config: &Path) -> Result<Self, Exit> {
        let (name, sources) = match read_sources(spec, config) {
            Ok(found) => found,
            Err(why) => {
                report(&why, &[]);
                tell(&format!("`{spec}` can't be read"));
                return Err(Exit::refused(&why));
            }
        };
        match compiler(spec)(&sources, Carried::nothing_at(now())) {
            Ok(compiled) => {
                let place = Place::of(spec);
                Ok(Self { name, sources, snapshot: Arc::new(compiled.snapshot), place })
            }
            Err(why) => {
                report(&why, &sources.files);
                let count = why.errors();
                let word = if count == 1 { "mistake" } else { "mistakes" };
                tell(&format!("{count} {word} in `{name}`: nothing was done with it"));
                Err(Exit::refused(&why))
            }
        }
    }

    /// The gateway's file and the rules that it names, as a set of its own.
    pub(super) fn configured(config: &Path) -> Result<Self, Exit> {
        Self::read(&config.to_string_lossy(), config)
    }

    /// What stands in the files that it names, as digests.
    pub(super) fn contents(&self) -> Contents {
        let digest = |path: &Path| {
            let length = std::fs::metadata(path).ok()?.len();
            let bytes = (length <= NAMED_MAX_BYTES).then(|| std::fs::read(path).ok()).flatten()?;
            Some(sources::bytes_hash(&bytes))
        };
        let named = named(&self.snapshot.gateway).into_iter();
        named
            .map(|(name, path)| (name, (self.place == Place::Disk).then(|| digest(&path)).flatten()))
            .collect()
    }
}

/// How a set is compiled.
type Compiler = fn(&Sources, Carried<'_>) -> Result<Compiled, Diagnostics>;

/// What comes from a running gateway is in force, whether or not it is what its files expect: rules that were only narrowed
/// needn't be.
fn compiler(spec: &str) -> Compiler {
    if spec == LIVE || spec == CANDIDATE { compile_unexpected } else { compile }
}

/// What the running gateway judges by, for whom it is no mistake that none runs.
pub(super) fn live_if_any(config: &Path) -> Option<RuleSet> {
    let (name, sources) = live(config).ok()?;
    let snapshot = compile_unexpected(&sources, Carried::nothing_at(now())).ok()?.snapshot;
    Some(RuleSet { name, sources, snapshot: Arc::new(snapshot), place: Place::Elsewhere })
}

fn read_sources(spec: &str, config: &Path) -> Result<(String, Sources), Diagnostics> {
    if spec == LIVE {
        return live(config);
    }
    if spec == CANDIDATE {
        return candidate(config);
    }
    if let Some(revision) = spec.strip_prefix(GIT) {
        return git(revision, config);
    }
    let path = PathBuf::from(spec);
    let steady = |gateway: &Path, rules: Option<&Path>| {
        sources::steady(|| sources::read_beside(gateway, rules), std::thread::sleep)
    };
    if let Some(rules) = rules_under(&path, config) {
        let own = sources::steady(|| sources::read_optional(&path), std::thread::sleep)?;
        let sources = sources::overlaid(&steady(config, None)?, &own.files);
        return Ok((format!("{spec} on top of {}", rules.display()), sources));
    }
    let sources = if path.join("gateway.toml").is_file() {
        steady(&path.join("gateway.toml"), None)
    } else if path.is_dir() {
        steady(config, Some(&path))
    } else if path.exists() || spec.ends_with(".toml") || spec.contains("..") {
        steady(&path, None)
    } else {
        return git(spec, config);
    };
    Ok((spec.to_owned(), sources?))
}

/// The rules that a directory stands on top of, if it is the one that `config` names for candidates: its files alone
/// are no set.
fn rules_under(directory: &Path, config: &Path) -> Option<PathBuf> {
    let asked = directory.canonicalize().ok().filter(|own| own.is_dir())?;
    let gateway = sources::peek(config)?;
    let candidate = gateway.candidate.rules.canonicalize().ok()?;
    (asked == candidate && gateway.rules.canonicalize().ok()? != candidate).then_some(gateway.rules)
}

fn git(revision: &str, config: &Path) -> Result<(String, Sources), Diagnostics> {
    let (commit, files) = git::read(revision, config).map_err(unreadable)?;
    let short = commit.get(..10).unwrap_or(&commit);
    let name = if commit.starts_with(revision) {
        format!("{GIT}{revision}")
    } else {
        format!("{GIT}{revision} ({short})")
    };
    Ok((name, sources::of(files)))
}

/// What the gateway judges by that `config` names, as it was read when it went live.
fn live(config: &Path) -> Result<(String, Sources), Diagnostics> {
    let (_, said) = document(config, &http::Method::GET, "/rules/sources", bytes::Bytes::new())
        .map_err(|why| unreadable(why.to_string()))?;
    let odd =
        || unreadable("the running gateway's answer can't be read: is it of another version?".to_owned());
    let files = member(&said, "files").as_array().ok_or_else(odd)?.iter().map(|file| {
        Some(SourceFile {
            kind: match member(file, "kind").as_str()? {
                "gateway" => FileKind::Gateway,
                "tenants" => FileKind::Tenants,
                "rules" => FileKind::Rules,
                _ => return None,
            },
            path: member(file, "path").as_str()?.into(),
            text: member(file, "text").as_str()?.to_owned(),
        })
    });
    let sources = sources::of(files.collect::<Option<_>>().ok_or_else(odd)?);
    let told = member(&said, "hash").as_str().ok_or_else(odd)?;
    if told != sources.hash {
        return Err(odd());
    }
    Ok((format!("{LIVE} (revision {})", member(&said, "revision").as_u64().ok_or_else(odd)?), sources))
}

/// What the gateway tries out: its own files on top of what is live.
fn candidate(config: &Path) -> Result<(String, Sources), Diagnostics> {
    let (name, base) = live(config)?;
    let (status, said) = document(config, &http::Method::GET, "/candidate/sources", bytes::Bytes::new())
        .map_err(|why| unreadable(why.to_string()))?;
    let file = |file: &serde_json::Value| {
        let path = member(file, "path").as_str()?;
        let kind = sources::kind_of(sources::file_name(path));
        Some(SourceFile { kind, path: path.into(), text: member(file, "text").as_str()?.to_owned() })
    };
    let files = said.get("files").and_then(serde_json::Value::as_array).filter(|_| status.is_success());
    let files: Option<Vec<SourceFile>> = files.and_then(|files| files.iter().map(file).collect());
    match files {
        None => Err(unreadable(
            "the running gateway says nothing of candidates: is it of another version?".to_owned(),
        )),
        Some(files) if files.is_empty() => Err(unreadable("the running gateway has no candidate".to_owned())),
        Some(files) => Ok((format!("{CANDIDATE} on top of {name}"), sources::overlaid(&base, &files))),
    }
}

/// A member of a document; `null` where there is none.
pub(super) fn member<'v>(document: &'v serde_json::Value, name: &str) -> &'v serde_json::Value {
    static NOTHING: serde_json::Value = serde_json::Value::Null;
    document.get(name).unwrap_or(&NOTHING)
}

fn unreadable(message: String) -> Diagnostics {
    let mut why = Diagnostics::default();
    why.push(Diagnostic::error(code::UNREADABLE, message));
    why
}

#[cfg(test)]
mod tests;
