//! `gatewarden schema`: the shape of a file, for editors.

use super::Exit;
use super::import::usage;
use super::load::{Files, print};
use crate::interchange::schema::{File, Names, schema};

/// The JSON schema of a file: put `#:schema ./rules.schema.json` on its first line, and an editor completes it.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Which file
    #[arg(value_enum, default_value_t = Which::Rules)]
    file: Which,
    /// Offer the names of the rules that are there: roles, resources, conditions, facts, tenants
    #[arg(long)]
    with_names: bool,
    /// Of this app alone
    #[arg(long, value_name = "APP", requires = "with_names")]
    app: Option<String>,
    #[command(flatten)]
    files: Files,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Which {
    /// rules/APP.toml
    Rules,
    /// rules/tenants.toml
    Tenants,
    /// gateway.toml
    Gateway,
}

/// Prints.
pub fn run(args: &Args) -> Exit {
    let file = match args.file {
        Which::Rules => File::Rules,
        Which::Tenants => File::Tenants,
        Which::Gateway => File::Gateway,
    };
    let names = if args.with_names {
        let snapshot = match args.files.load() {
            Ok(snapshot) => snapshot,
            Err(exit) => return exit,
        };
        if let Some(name) = args.app.as_deref().filter(|name| snapshot.app(name).is_none()) {
            return usage(&format!("there is no app `{name}`"));
        }
        Some(Names::of(&snapshot, args.app.as_deref()))
    } else {
        None
    };
    print(&format!("{:#}", schema(file, names.as_ref())));
    Exit::Yes
}
