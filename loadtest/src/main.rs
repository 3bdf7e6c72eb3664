//! What a request through the gateway costs, measured on this machine.
//!
//! It starts an echo upstream (`echo`), the gateway's own binary as a child process (`gateway`) and, if asked, nginx
//! beside it (`nginx`), drives them in turn with its own keep-alive client (`client`), and reports medians over
//! interleaved rounds (`measure`, `report`). `--churn` swaps rule files under load instead and holds every answer
//! against the two rule sets (`churn`); `--decide` times rulings
//! alone (`decide`), `--edit` the editing of answers (`edit`). Nothing else here knows how the gateway works inside.

mod churn;
mod client;
mod decide;
mod echo;
mod edit;
mod gateway;
mod measure;
mod nginx;
mod process;
mod report;
mod tokens;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Any failure ends the program with its text.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Measures what a request through the gateway costs on this machine.
#[derive(Parser, Debug)]
#[command(version, about)]
pub struct Options {
    /// The gateway's binary; the one beside this program if not given.
    #[arg(long)]
    gateway: Option<PathBuf>,
    /// Write every figure of every round to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// How often each workload is measured; they take turns.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Keep-alive connections.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Distinct tokens of the many-tokens workload.
    #[arg(long, default_value_t = 10_000)]
    tokens: usize,
    /// Also measure nginx passing the same requests through, in the same rounds.
    #[arg(long)]
    nginx: bool,
    /// Swap rule files under load and check every answer, instead of measuring.
    #[arg(long)]
    churn: bool,
    /// Good rule files swapped in by `--churn`.
    #[arg(long, default_value_t = 100)]
    swaps: u32,
    /// Broken rule files swapped in by `--churn`.
    #[arg(long, default_value_t = 10)]
    broken: u32,
    /// Time rulings alone, without a socket, for these numbers of routes, instead of measuring requests.
    #[arg(long, value_delimiter = ',', num_args = 0.., default_missing_value = "10,1000,100000")]
    decide: Option<Vec<usize>>,
    /// Put the grants of `--decide` under conditions, and a requirement over them
    #[arg(long, requires = "decide")]
    conditions: bool,
    /// Time the editing of answers alone, without a socket, instead of measuring requests.
    #[arg(long)]
    edit: bool,
    /// Rulings timed by `--decide`.
    #[arg(long, default_value_t = 200_000)]
    rulings: u32,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match &options.decide {
        Some(sizes) => {
            let grants = if options.conditions { decide::Grants::Conditions } else { decide::Grants::Plain };
            decide::run(sizes, options.rulings, grants)
        }
        None if options.edit => edit::run(),
        None if options.churn => churn::run(&options),
        None => measure::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("loadtest: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The client's runtime: one thread, so that the machine's other core is the gateway's.
fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
