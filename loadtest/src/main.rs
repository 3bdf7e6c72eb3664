//! What a request through the gateway costs, measured on this machine, beside what it costs through others.
//!
//! It starts an echo upstream (`echo`) and, one at a time, the gateway's own binary and its peers as child processes
//! (`peers`), holds those that judge against what is right (`correct`), drives them in turn with its own keep-alive client
//! (`client`) or `h2load`, each workload (`workloads`) in interleaved rounds (`measure`), and reports medians and what is
//! aimed at (`report`, `targets`). `setup.sh` installs the peers.
//!
//! Other modes: `--churn` swaps rule files under load and holds every answer against the two rule sets (`churn`);
//! `--decide` times rulings alone (`decide`), `--write-set` writes their files for others to time, `--edit` the editing of answers (`edit`); `--stage` and `--drive` are for
//! profilers (`drive`). Nothing else here knows how the gateway works inside.

mod churn;
mod client;
mod correct;
mod decide;
mod drive;
mod echo;
mod edit;
mod h2load;
mod measure;
mod options;
mod peers;
mod process;
mod report;
mod spread;
mod targets;
mod tokens;
mod workloads;

use std::process::ExitCode;

use clap::Parser;

use options::Options;

/// Any failure ends the program with its text.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    match carry_out(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("loadtest: {error}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(options: &Options) -> Result<()> {
    if let Some((address, upstream)) = options.floor.zip(options.upstream) {
        let files = options.certificate.clone().zip(options.key.clone());
        return peers::serve_floor(address, upstream, files);
    }
    let grants = if options.conditions { decide::Grants::Conditions } else { decide::Grants::Plain };
    if let Some(directory) = &options.write_set {
        let edit = if options.edited { decide::Edit::Some } else { decide::Edit::None };
        return decide::write(options.set_routes, grants, edit, directory);
    }
    if let Some(sizes) = &options.decide {
        return decide::run(sizes, options.rulings, grants);
    }
    match (&options.stage, &options.drive) {
        (Some(directory), _) => drive::stage(options, directory),
        (None, Some(url)) => drive::drive(options, url),
        _ if options.edit => edit::run(),
        _ if options.churn => churn::run(options),
        _ => measure::run(options),
    }
}

/// The client's runtime: one thread, so that the machine's other core is the measured one's.
fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
