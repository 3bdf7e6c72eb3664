//! A made rule file by itself: compiled beside a gateway file and a tenants' file that have no more than it needs, so
//! that what is wrong with it is known before anyone has it.

use std::sync::Arc;

use super::toml_text::{key, quoted};
use crate::config::{Carried, Compiled, Diagnostics, FileKind, SourceFile, Sources, compile};

/// What a made file needs of the other files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surroundings {
    /// The app.
    pub app: String,
    /// Whose tokens it takes.
    pub issuer: String,
    /// What that issuer calls itself.
    pub issuer_url: String,
    /// What is in its tokens' `aud`.
    pub audience: String,
    /// The tenant.
    pub tenant: String,
    /// The tenant's time zone, if the rules read one.
    pub time_zone: Option<String>,
    /// The path prefixes that the app has.
    pub owns: Vec<String>,
}

impl Surroundings {
    /// The rows of `gateway.toml`.
    #[must_use]
    pub fn gateway(&self) -> String {
        let at: Vec<String> = self.owns.iter().map(|prefix| quoted(prefix)).collect();
        let url = &self.issuer_url;
        format!(
            "[issuers.{}]\nkind     = \"keycloak\"\nissuer   = {}\naudience = [{}]\nmetadata = {}\n\n[upstreams.{}]\nat      = [{}]\nservers = [\"http://127.0.0.1:7000\"]\n",
            key(&self.issuer),
            quoted(url),
            quoted(&self.audience),
            quoted(&format!("{}/.well-known/openid-configuration", url.trim_end_matches('/'))),
            key(&self.app),
            at.join(", "),
        )
    }

    /// The row of `rules/tenants.toml`.
    #[must_use]
    pub fn tenants(&self) -> String {
        let zone = self.time_zone.as_ref().map(|zone| format!("time-zone = {}\n", quoted(zone)));
        // What stands last is missed least where a file is cut off: the apps.
        format!(
            "[tenant.{}]\nids  = [{}]\n{}apps = [{}]\n",
            key(&self.tenant),
            quoted(&self.tenant),
            zone.unwrap_or_default(),
            quoted(&self.app),
        )
    }

    /// Both, as text to be copied.
    #[must_use]
    pub fn needs(&self) -> String {
        format!("# gateway.toml\n{}\n# rules/tenants.toml\n{}", self.gateway(), self.tenants())
    }
}

/// Compiles a made file by itself.
pub fn compile_alone(text: &str, around: &Surroundings) -> Result<Compiled, (Diagnostics, Vec<SourceFile>)> {
    let file = |kind, path: &str, text: String| SourceFile { kind, path: Arc::from(path), text };
    let files = vec![
        file(FileKind::Gateway, "gateway.toml", around.gateway()),
        file(FileKind::Rules, &format!("rules/{}.toml", around.app), text.to_owned()),
        file(FileKind::Tenants, "rules/tenants.toml", around.tenants()),
    ];
    let sources = Sources { files, hash: String::new() };
    compile(&sources, Carried::nothing()).map_err(|why| (why, sources.files))
}
