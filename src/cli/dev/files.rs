//! The files that `dev` works with and that `--eject` hands out: the repository's own, embedded.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::backends::Backend;
use super::issuer::STAND_INS;
use crate::config::Diagnostics;
use crate::config::raw::{self, Raw};

/// `gateway.toml` as it stands in the repository.
const GATEWAY: &str = include_str!("../../../gateway.toml");
/// The rule files as they stand in the repository.
const RULES: [(&str, &str); 5] = [
    ("admin.toml", include_str!("../../../rules/admin.toml")),
    ("agent-desk.toml", include_str!("../../../rules/agent-desk.toml")),
    ("calling.toml", include_str!("../../../rules/calling.toml")),
    ("connect.toml", include_str!("../../../rules/connect.toml")),
    ("tenants.toml", include_str!("../../../rules/tenants.toml")),
];
/// The tables that the repository holds those rules against.
const TESTS: [(&str, &str); 9] = [
    ("admin.md", include_str!("../../../rules/tests/admin.md")),
    ("admin.toml", include_str!("../../../rules/tests/admin.toml")),
    ("agent-desk.md", include_str!("../../../rules/tests/agent-desk.md")),
    ("agent-desk.toml", include_str!("../../../rules/tests/agent-desk.toml")),
    ("calling-people.toml", include_str!("../../../rules/tests/calling-people.toml")),
    ("calling.md", include_str!("../../../rules/tests/calling.md")),
    ("calling.toml", include_str!("../../../rules/tests/calling.toml")),
    ("connect.md", include_str!("../../../rules/tests/connect.md")),
    ("connect.toml", include_str!("../../../rules/tests/connect.toml")),
];
const NEXT_STEPS: &str = include_str!("eject.md");

/// Where `dev` keeps its files: below the current directory, so that a reader finds and edits them.
#[derive(Clone, Debug)]
pub(super) struct Workplace {
    root: PathBuf,
}

impl Workplace {
    /// The place of this name, relative to the current directory.
    #[must_use]
    pub(super) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory of rule files.
    #[must_use]
    pub(super) fn rules(&self) -> PathBuf {
        self.root.join("rules")
    }

    /// The gateway's own file, written anew at every start.
    #[must_use]
    pub(super) fn config(&self) -> PathBuf {
        self.root.join("gateway.toml")
    }

    /// The socket where tokens are asked for.
    #[must_use]
    pub(super) fn socket(&self) -> PathBuf {
        self.private().join("token.sock")
    }

    fn keys(&self) -> PathBuf {
        self.private().join("keys.json")
    }

    fn lookups(&self) -> PathBuf {
        self.private().join("lookups")
    }

    fn private(&self) -> PathBuf {
        self.root.join(".run")
    }

    /// Makes the directories, the rule files and their tests; one that is there already is kept, edits and all.
    pub(super) fn prepare(&self) -> io::Result<Kept> {
        private_directory(&self.root)?;
        private_directory(&self.private())?;
        private_directory(&self.rules())?;
        private_directory(&self.rules().join("tests"))?;
        let mut kept = Kept::None;
        let rules = RULES.map(|(name, text)| (self.rules().join(name), text));
        let tests = TESTS.map(|(name, text)| (self.rules().join("tests").join(name), text));
        for (path, text) in rules.into_iter().chain(tests) {
            match fs::read_to_string(&path) {
                Ok(found) if found == text => {}
                Ok(_) => kept = Kept::Edited,
                Err(error) if error.kind() == io::ErrorKind::NotFound => fs::write(&path, text)?,
                Err(error) => return Err(error),
            }
        }
        Ok(kept)
    }

    /// Writes the public keys, what look-ups are made with, and the gateway's own file for these addresses. Returns the
    /// latter's text.
    pub(super) fn configure(
        &self,
        listen: Listen,
        written: Written<'_>,
        backends: &[Backend],
    ) -> io::Result<String> {
        let text = gateway_toml(listen, backends);
        write_private(&self.keys(), written.jwks)?;
        write_private(&self.lookups(), written.secret)?;
        write_private(&self.config(), &text)?;
        Ok(text)
    }
}

/// Whether rule files from an earlier start were found changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// All are as embedded.
    None,
    /// At least one was edited, and is kept so.
    Edited,
}

/// What a gateway started by `dev` reads beside its own file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written<'w> {
    /// The public keys of the stand-ins.
    pub jwks: &'w str,
    /// What the demo applications want to see when they are asked by the gateway itself.
    pub secret: &'w str,
}

/// The two addresses of a gateway started by `dev`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listen {
    /// Where callers come in.
    pub gateway: SocketAddr,
    /// Where operators come in.
    pub admin: SocketAddr,
}

/// The dev gateway's file: the repository's upstreams with the demo applications as their servers, and the stand-ins
/// as issuers.
fn gateway_toml(listen: Listen, backends: &[Backend]) -> String {
    let Listen { gateway, admin } = listen;
    let mut text = format!(
        "# Written anew by every `gatewarden dev`, and it must stay as it is while that runs: nothing but the demo\n\
         # applications stands behind it. To start from files of your own: `gatewarden dev --eject DIR`.\n[listen]\naddress = \"{gateway}\"\n[admin]\naddress = \"{admin}\"\n"
    );
    for stand_in in STAND_INS {
        let kind = stand_in.name;
        let _ = write!(
            text,
            "[issuers.{kind}]\nkind = \"{kind}\"\nissuer = \"{}\"\naudience = [\"{}\"]\n\
             algorithms = [\"EdDSA\"]\njwks = \".run/keys.json\"\n",
            stand_in.issuer(),
            stand_in.audience
        );
    }
    for upstream in upstreams() {
        let Some(backend) = backends.iter().find(|backend| backend.name == upstream.name) else { continue };
        let at: Vec<String> = upstream.at.iter().map(|place| format!("{place:?}")).collect();
        let _ = write!(
            text,
            "[upstreams.{}]\nat = [{}]\nservers = [\"http://{}\"]\ncredential = {{ file = \".run/lookups\" }}\n",
            upstream.name,
            at.join(", "),
            backend.address
        );
        if let Some(strip) = upstream.strip {
            let _ = writeln!(text, "strip = {strip:?}");
        }
    }
    text += "[decisions]\nfile = \"log/decisions.ndjson\"\nrotate = { size = \"20MiB\", keep = 2 }\n";
    text
}

struct Upstream {
    name: String,
    at: Vec<String>,
    strip: Option<String>,
}

/// The upstreams of the repository's `gateway.toml`.
fn upstreams() -> Vec<Upstream> {
    let root = raw::parse(0, GATEWAY, &mut Diagnostics::default());
    let tables = root.get("upstreams").and_then(|entry| entry.value.as_table());
    let entries = tables.map(|table| table.entries.as_slice()).unwrap_or_default();
    let text = |node: &raw::Node| node.as_text().map(|text| text.value.to_owned());
    entries
        .iter()
        .filter_map(|entry| {
            let table = entry.value.as_table()?;
            let at = match table.get("at").map(|at| &at.value.value) {
                Some(Raw::List(places)) => places.iter().filter_map(text).collect(),
                _ => Vec::new(),
            };
            let strip = table.get("strip").and_then(|strip| text(&strip.value));
            Some(Upstream { name: entry.key.clone(), at, strip })
        })
        .collect()
}

/// Writes the files to start from into a directory that isn't there yet, or is empty. Returns what was written.
pub(super) fn eject(into: &Path) -> io::Result<Vec<PathBuf>> {
    if into.exists() && (!into.is_dir() || fs::read_dir(into)?.next().is_some()) {
        let message = format!("{} is there already and not an empty directory", into.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
    }
    fs::create_dir_all(into.join("rules"))?;
    let mut written = Vec::new();
    let rules = RULES.iter().map(|(name, text)| (into.join("rules").join(name), *text));
    let own = [(into.join("gateway.toml"), GATEWAY), (into.join("README.md"), NEXT_STEPS)];
    for (path, text) in own.into_iter().chain(rules) {
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()))?;
        written.push(path);
    }
    Ok(written)
}

/// A directory that only its owner can look into, also if it was there before.
fn private_directory(path: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))
        }
        made => made,
    }
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    io::Write::write_all(&mut file, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::dev::store::Store;

    use crate::config::diagnostic::Style;
    use crate::config::{Carried, FileKind, SourceFile, Sources, compile};

    const NOTHING: Written<'_> = Written { jwks: "{}", secret: "s" };

    #[test]
    fn every_upstream_of_the_shipped_gateway_has_a_demo_application() {
        let demo: Vec<String> = Store::demo().unwrap().into_iter().map(|(name, _)| name).collect();
        let upstreams = upstreams();
        assert!(!upstreams.is_empty());
        for upstream in upstreams {
            assert!(demo.contains(&upstream.name), "{}", upstream.name);
        }
    }

    #[test]
    fn what_is_written_compiles() {
        let place = tempfile::tempdir().unwrap();
        let place = Workplace::new(place.path().join("d"));
        place.prepare().unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let backends: Vec<Backend> = Store::demo()
            .unwrap()
            .into_iter()
            .map(|(name, _)| Backend { name, address: "127.0.0.1:9".parse().unwrap() })
            .collect();
        place.configure(Listen { gateway: any, admin: any }, NOTHING, &backends).unwrap();
        let file = |kind, path: PathBuf| SourceFile {
            kind,
            text: fs::read_to_string(&path).unwrap(),
            path: path.to_string_lossy().into(),
        };
        let mut files = vec![file(FileKind::Gateway, place.config())];
        for (name, _) in RULES {
            let kind = if name == "tenants.toml" { FileKind::Tenants } else { FileKind::Rules };
            files.push(file(kind, place.rules().join(name)));
        }
        let sources = Sources { files, hash: String::new() };
        if let Err(why) = compile(&sources, Carried::nothing()) {
            panic!("{}", why.render(&sources.files, Style::Plain));
        }
    }

    #[test]
    fn every_table_of_the_repository_comes_along() {
        let there = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/rules/tests")).unwrap();
        let mut there: Vec<_> = there.map(|own| own.unwrap().file_name().into_string().unwrap()).collect();
        there.sort();
        assert_eq!(there, TESTS.map(|(name, _)| name));
    }

    #[test]
    fn edits_are_kept_and_what_is_private_stays_so() {
        let place = tempfile::tempdir().unwrap();
        let place = Workplace::new(place.path().join("gatewarden-dev"));
        assert_eq!(place.prepare().unwrap(), Kept::None);
        fs::write(place.rules().join("calling.toml"), "# mine\n").unwrap();
        assert_eq!(place.prepare().unwrap(), Kept::Edited);
        assert_eq!(fs::read_to_string(place.rules().join("calling.toml")).unwrap(), "# mine\n");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&place.private()), 0o700);
        let any = "127.0.0.1:0".parse().unwrap();
        place.configure(Listen { gateway: any, admin: any }, NOTHING, &[]).unwrap();
        for path in [place.config(), place.keys(), place.lookups()] {
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
    }

    #[test]
    fn ejecting_never_overwrites() {
        let place = tempfile::tempdir().unwrap();
        let mine = place.path().join("mine");
        assert_eq!(eject(&mine).unwrap().len(), RULES.len() + 2);
        assert_eq!(fs::read_to_string(mine.join("gateway.toml")).unwrap(), GATEWAY);
        fs::write(mine.join("gateway.toml"), "# mine").unwrap();
        assert_eq!(eject(&mine).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(mine.join("gateway.toml")).unwrap(), "# mine");
    }
}
