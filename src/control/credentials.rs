//! Reads the secrets that the gateway shows its upstreams, when it starts, when it reloads, and whenever the files are
//! looked at: a secret that was exchanged is used without a reload. One that can't be read refuses a new set; the live one
//! keeps what it read last.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::provision;
use crate::audit;
use crate::config::diagnostic::code;
use crate::config::{Diagnostic, Diagnostics, FileKind, Sources, gateway};
use crate::plumbing::{Credential, CredentialSource, GatewayConfig, SECRET_MAX_BYTES, examine};

/// Reads every credential of a set that is about to be live.
pub fn read_all(config: &GatewayConfig, sources: &Sources) -> Result<(), Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    for (upstream, credential) in credentials(config) {
        let read = read(credential.source());
        let held = read.and_then(|text| credential.hold(&text).map_err(|why| why.to_string()));
        if let Err(why) = held {
            let place = place(credential.source());
            let message = format!("the credential of upstream `{upstream}` can't be used: {place}: {why}");
            let diagnostic = Diagnostic::error(code::UNREADABLE, &message);
            diagnostics.push(match provision::place(sources, upstream, "credential", &message) {
                Some(span) => diagnostic.at(span, ""),
                None => diagnostic,
            });
        }
    }
    if diagnostics.errors() == 0 { Ok(()) } else { Err(diagnostics) }
}

/// Reads the credentials of the live set again.
pub fn refresh(config: &GatewayConfig) {
    for (_, credential) in credentials(config) {
        // What stands in the way is told where the set as a whole is judged again.
        let _ = read(credential.source()).map(|text| credential.hold(&text));
    }
}

/// What can't be read of the credentials that a set names: nothing where all is well. Two looks at the same files differ
/// in it when a secret appears or vanishes, though nothing else has changed.
#[must_use]
pub fn unreadable(sources: &Sources) -> String {
    let mut files = sources.files.iter().zip(0u32..);
    let Some((file, index)) = files.find(|(file, _)| file.kind == FileKind::Gateway) else {
        return String::new();
    };
    let config = gateway::read(index, file, &mut Diagnostics::default());
    let is_unreadable =
        |credential: &Credential| !read(credential.source()).is_ok_and(|text| examine(&text).is_ok());
    let found = credentials(&config).filter(|(_, credential)| is_unreadable(credential));
    let mut found: String = found.map(|(upstream, _)| format!(" -{upstream}")).collect();
    if audit::key(&config.decisions).is_err() {
        found += " -[decisions]";
    }
    found
}

fn credentials(config: &GatewayConfig) -> impl Iterator<Item = (&str, &Credential)> {
    config.upstreams.iter().filter_map(|own| Some((&*own.name, own.credential.as_ref()?)))
}

fn place(source: &CredentialSource) -> String {
    match source {
        CredentialSource::File(path) => format!("file `{}`", path.display()),
        CredentialSource::Env(name) => format!("environment variable `{name}`"),
    }
}

fn read(source: &CredentialSource) -> Result<String, String> {
    match source {
        CredentialSource::File(path) => read_file(path).map_err(|why| why.to_string()),
        // The value isn't in the error: not even one that isn't text.
        CredentialSource::Env(name) => std::env::var(name).map_err(|_| "it isn't set, or isn't text".into()),
    }
}

fn read_file(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut text = String::new();
    // Room for the longest secret, its line's end, and one byte that shows that it is longer.
    file.take(SECRET_MAX_BYTES as u64 + 3).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::SourceFile;

    fn sources(directory: &Path) -> Sources {
        let text = "[upstreams.desk]\nat = [\"/\"]\nservers = [\"http://127.0.0.1:1\"]\n\
                    credential = { file = \"secrets/desk\" }\n";
        let path = directory.join("gateway.toml").to_string_lossy().into();
        Sources {
            files: vec![SourceFile { kind: FileKind::Gateway, path, text: text.into() }],
            ..Sources::default()
        }
    }

    fn config(sources: &Sources) -> GatewayConfig {
        let mut diagnostics = Diagnostics::default();
        let config = gateway::read(0, &sources.files[0], &mut diagnostics);
        assert_eq!(diagnostics.errors(), 0, "{diagnostics:?}");
        config
    }

    #[test]
    fn a_secret_is_read_beside_the_file_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let sources = sources(directory.path());
        let config = config(&sources);
        let why = read_all(&config, &sources).unwrap_err().first_line(&[]);
        assert!(why.contains("upstream `desk`") && why.contains("secrets/desk`: No such file"), "{why}");
        assert_eq!(unreadable(&sources), " -desk");

        let secret = directory.path().join("secrets/desk");
        fs::create_dir(directory.path().join("secrets")).unwrap();
        fs::write(&secret, "first\n").unwrap();
        read_all(&config, &sources).unwrap();
        let shown = || config.upstreams[0].credential.as_ref().unwrap().header().unwrap();
        assert_eq!(shown(), "Bearer first");
        assert_eq!(unreadable(&sources), "");

        fs::write(&secret, "second").unwrap();
        refresh(&config);
        assert_eq!(shown(), "Bearer second");

        for nothing in ["", "not one word"] {
            fs::write(&secret, nothing).unwrap();
            refresh(&config);
            assert_eq!(shown(), "Bearer second");
            assert_eq!(unreadable(&sources), " -desk");
        }
        fs::remove_file(&secret).unwrap();
        refresh(&config);
        assert_eq!(shown(), "Bearer second");
    }

    #[test]
    fn what_is_wrong_with_a_secret_is_told_without_it() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("secrets")).unwrap();
        fs::write(directory.path().join("secrets/desk"), "hunter2 hunter3").unwrap();
        let sources = sources(directory.path());
        let why = read_all(&config(&sources), &sources).unwrap_err().first_line(&[]);
        assert!(why.contains("character") && !why.contains("hunter"), "{why}");
    }
}
