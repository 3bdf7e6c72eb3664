//! `gatewarden import`: a Keycloak export or an OpenAPI document as a rule file, with a report of everything that isn't in
//! it as it was. What was made is compiled before it is written.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::Exit;
use super::load::{print, report as show, tell};
use crate::interchange::keycloak::{self, Export, Stated};
use crate::interchange::trial::{Surroundings, compile_alone};
use crate::interchange::{Report, openapi};

/// Largest file that is read.
const FILE_MAX: u64 = 64 << 20;

/// Where the result goes, and what is said about it.
#[derive(Clone, Debug, clap::Args)]
struct Output {
    /// Write the rule file into this directory, the report to standard output; else the rule file goes to standard output
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Replace a rule file that is there already
    #[arg(long, requires = "output")]
    force: bool,
    /// Write the report here, too: Markdown, or JSON where the name ends in .json
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// How to print the report
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// The issuer, by its name in gateway.toml
    #[arg(long, value_name = "NAME", default_value = "keycloak")]
    issuer: String,
    /// The tenant, by its name in rules/tenants.toml
    #[arg(long, value_name = "NAME", default_value = "default")]
    tenant: String,
    /// What to call the app, in place of what its client or document is called
    #[arg(long, value_name = "NAME")]
    app: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Human,
    Json,
    Md,
}

/// Make a rule file of a Keycloak export: a realm's, a client's, or its authorization settings.
#[derive(Clone, Debug, clap::Args)]
pub struct KeycloakArgs {
    /// The export
    file: PathBuf,
    /// Only this client's settings, where there are several; the client's name, where the file doesn't say it
    #[arg(long, value_name = "CLIENT")]
    client: Option<String>,
    /// The file has to be a whole realm's
    #[arg(long)]
    realm: bool,
    /// Which methods a scope stands for, such as view=GET manage=POST,PUT,DELETE
    #[arg(long, value_name = "SCOPE=METHODS", num_args = 1..)]
    methods: Vec<String>,
    /// A policy enforcer's configuration: its paths say which methods ask for which scopes
    #[arg(long, value_name = "FILE", conflicts_with = "methods")]
    enforcer: Option<PathBuf>,
    /// The time zone where Keycloak runs, for policies about times
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    #[command(flatten)]
    output: Output,
}

/// Make a rule file to begin with of an OpenAPI document: routes and suggested resources, nobody granted anything.
#[derive(Clone, Debug, clap::Args)]
pub struct OpenapiArgs {
    /// The document, JSON or YAML
    file: PathBuf,
    /// The prefix of its paths, in place of its server's
    #[arg(long, value_name = "PATH")]
    base: Option<String>,
    /// The fact that holds the caller's roles
    #[arg(long, value_name = "FACT", default_value = "token.realm_access.roles")]
    roles: String,
    #[command(flatten)]
    output: Output,
}

/// Imports from Keycloak.
pub fn keycloak(args: &KeycloakArgs) -> Exit {
    match from_keycloak(args) {
        Ok(()) => Exit::Yes,
        Err(exit) => exit,
    }
}

fn from_keycloak(args: &KeycloakArgs) -> Result<(), Exit> {
    let text = read(&args.file)?;
    let methods: Stated = args
        .methods
        .iter()
        .map(|own| keycloak::stated(own))
        .collect::<Result<_, _>>()
        .map_err(|why| usage(&why))?;
    let enforcer = match &args.enforcer {
        None => None,
        Some(path) => Some(keycloak::enforcer(&read(path)?).map_err(|why| invalid(path, &why))?),
    };
    let mut first = Report::default();
    let export =
        Export::read(&text, args.client.as_deref(), &mut first).map_err(|why| invalid(&args.file, &why))?;
    if args.realm && export.realm.name.is_none() {
        return Err(invalid(&args.file, "this is no realm's export: it has no `clients`"));
    }
    let is_wanted = |own: &&keycloak::Settings| args.client.as_deref().is_none_or(|name| name == own.client);
    let wanted: Vec<&keycloak::Settings> = export.clients.iter().filter(is_wanted).collect();
    if wanted.is_empty() {
        let names: Vec<&str> = export.clients.iter().map(|own| own.client.as_str()).collect();
        let there =
            if names.is_empty() { "none has".to_owned() } else { format!("there is {}", names.join(", ")) };
        return Err(invalid(&args.file, &format!("no such client has authorization settings; {there}")));
    }
    if wanted.len() > 1 && (args.output.app.is_some() || args.output.output.is_none()) {
        let names: Vec<&str> = wanted.iter().map(|own| own.client.as_str()).collect();
        return Err(usage(&format!(
            "several clients have authorization settings: {}; name one with --client, or a directory with -o",
            names.join(", ")
        )));
    }
    let options = keycloak::Options {
        issuer: args.output.issuer.clone(),
        tenant: args.output.tenant.clone(),
        app: args.output.app.clone(),
        methods,
        enforcer,
        time_zone: args.time_zone.clone(),
    };
    for settings in wanted {
        let mut report = first.clone();
        let made =
            keycloak::import(&export.realm, settings, &options, &mut report).map_err(|why| usage(&why))?;
        args.output.deliver(&made.around, &made.text, &report, "gatewarden.import.keycloak/1")?;
    }
    Ok(())
}

/// Imports an OpenAPI document.
pub fn openapi(args: &OpenapiArgs) -> Exit {
    match from_openapi(args) {
        Ok(()) => Exit::Yes,
        Err(exit) => exit,
    }
}

fn from_openapi(args: &OpenapiArgs) -> Result<(), Exit> {
    let text = read(&args.file)?;
    let mut report = Report::default();
    let spec = openapi::Spec::read(&text, &mut report).map_err(|why| invalid(&args.file, &why))?;
    if !args.roles.starts_with("token.") {
        return Err(usage("the fact of --roles begins with `token.`"));
    }
    let options = openapi::Options {
        app: args.output.app.clone(),
        issuer: args.output.issuer.clone(),
        tenant: args.output.tenant.clone(),
        roles: args.roles.clone(),
        base: args.base.clone(),
    };
    let made = openapi::suggest(&spec, &options, &mut report);
    args.output.deliver(&made.around, &made.text, &report, "gatewarden.import.openapi/1")
}

impl Output {
    /// Compiles what was made, then writes it.
    fn deliver(&self, around: &Surroundings, text: &str, report: &Report, schema: &str) -> Result<(), Exit> {
        if let Err((why, files)) = compile_alone(text, around) {
            show(&why, &files);
            tell(
                "error: the rule file that was made doesn't compile, so it wasn't written; the mistakes above are in it",
            );
            tell(&report.to_text());
            return Err(Exit::Invalid);
        }
        let said = |format: Format| match format {
            Format::Human => report.to_text(),
            Format::Md => report.to_markdown(),
            Format::Json => format!("{:#}\n", report.to_json(schema)),
        };
        match &self.output {
            None => {
                print(text.trim_end());
                tell(said(self.format).trim_end());
            }
            Some(directory) => {
                let path = directory.join(format!("{}.toml", around.app));
                if path.exists() && !self.force {
                    return Err(usage(&format!(
                        "`{}` is there already; --force replaces it",
                        path.display()
                    )));
                }
                std::fs::create_dir_all(directory).map_err(|why| environment(directory, &why))?;
                write(&path, text)?;
                print(said(self.format).trim_end());
                tell(&format!("written: {}", path.display()));
            }
        }
        if let Some(path) = &self.report {
            let is_json = path.extension().is_some_and(|own| own == "json");
            write(path, &said(if is_json { Format::Json } else { Format::Md }))?;
        }
        Ok(())
    }
}

/// A file's text, if it isn't too large.
pub(super) fn read(path: &Path) -> Result<String, Exit> {
    let file = std::fs::File::open(path).map_err(|why| environment(path, &why))?;
    let mut text = Vec::new();
    file.take(FILE_MAX + 1).read_to_end(&mut text).map_err(|why| environment(path, &why))?;
    if text.len() as u64 > FILE_MAX {
        return Err(unreadable(path, "it is larger than 64 MiB"));
    }
    String::from_utf8(text).map_err(|_| unreadable(path, "it isn't UTF-8"))
}

pub(super) fn write(path: &Path, text: &str) -> Result<(), Exit> {
    super::written::replace(path, text).map_err(|why| environment(path, &why))
}

fn environment(path: &Path, why: &std::io::Error) -> Exit {
    unreadable(path, &why.to_string())
}

fn unreadable(path: &Path, why: &str) -> Exit {
    tell(&format!("error: `{}`: {why}", path.display()));
    Exit::Environment
}

pub(super) fn invalid(path: &Path, why: &str) -> Exit {
    tell(&format!("error: `{}`: {why}", path.display()));
    Exit::Invalid
}

pub(super) fn usage(why: &str) -> Exit {
    tell(&format!("error: {why}"));
    Exit::Usage
}
