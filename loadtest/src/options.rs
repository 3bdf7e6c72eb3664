//! The command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Parser;

use crate::Result;
use crate::peers::Peer;
use crate::workloads::Kind;

/// Measures what a request costs on this machine, through the gateway and through its peers.
#[derive(Parser, Debug)]
#[command(version, about)]
pub struct Options {
    /// The gateway's binary; the one beside this program if not given.
    #[arg(long)]
    gateway: Option<PathBuf>,
    /// Envoy's binary; the one that `setup.sh` installed if not given.
    #[arg(long)]
    envoy: Option<PathBuf>,
    /// Write every figure of every round to this file.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// How often each workload is measured; they take turns.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Two rounds of one second: a try.
    #[arg(long)]
    quick: bool,
    /// Only these workloads.
    #[arg(long, value_delimiter = ',')]
    pub workloads: Vec<Kind>,
    /// Only these peers.
    #[arg(long, value_delimiter = ',')]
    pub peers: Vec<Peer>,
    /// Keep-alive connections.
    #[arg(long, default_value_t = 64, value_parser = at_least_one)]
    pub connections: usize,
    /// Distinct tokens of the many-tokens workload.
    #[arg(long, default_value_t = 10_000)]
    pub tokens: usize,
    /// Distinct tokens of the new-token workloads: none is sent twice to the same process, and a measurement ends with them.
    #[arg(long, default_value_t = 30_000)]
    pub new_tokens: usize,

    /// Swap rule files under load and check every answer, instead of measuring.
    #[arg(long)]
    pub churn: bool,
    /// Good rule files swapped in by `--churn`.
    #[arg(long, default_value_t = 100)]
    pub swaps: u32,
    /// Broken rule files swapped in by `--churn`.
    #[arg(long, default_value_t = 10)]
    pub broken: u32,

    /// Time rulings alone, without a socket, for these numbers of routes, instead of measuring requests.
    #[arg(long, value_delimiter = ',', num_args = 0.., default_missing_value = "10,1000,100000")]
    pub decide: Option<Vec<usize>>,
    /// Put the grants of `--decide` or `--write-set` under conditions, and a requirement over them
    #[arg(long)]
    pub conditions: bool,
    /// Write the files of that many routes to this directory, instead of measuring: see `--set-routes`
    #[arg(long)]
    pub write_set: Option<PathBuf>,
    /// Routes of `--write-set`, a hundred an app
    #[arg(long, default_value_t = 100_000)]
    pub set_routes: usize,
    /// Write a set that differs in every hundredth app
    #[arg(long, requires = "write_set")]
    pub edited: bool,
    /// Rulings timed by `--decide`.
    #[arg(long, default_value_t = 200_000)]
    pub rulings: u32,
    /// Time the editing of answers alone, without a socket, instead of measuring requests.
    #[arg(long)]
    pub edit: bool,

    /// Run the upstream alone and write a gateway's files and tokens to this directory, for a profiler.
    #[arg(long)]
    pub stage: Option<PathBuf>,
    /// Ask this URL (`http://…`) as fast as it answers, instead of measuring everything.
    #[arg(long)]
    pub drive: Option<http::Uri>,
    /// The token for `--drive`, or `@FILE` with one a line.
    #[arg(long, requires = "drive")]
    pub token: Option<String>,
    /// The status that `--drive` must be answered with.
    #[arg(long, requires = "drive", default_value_t = 200)]
    pub status: u16,
    /// How many requests `--drive` sends, instead of for how long.
    #[arg(long, requires = "drive")]
    pub requests: Option<usize>,
    /// How many requests a second `--drive` sends, instead of as many as are answered.
    #[arg(long, requires = "drive")]
    pub rate: Option<f64>,
    /// Whose processor time `--drive` counts: a process id.
    #[arg(long, requires = "drive")]
    pub pid: Option<u32>,

    /// Be the floor on this address.
    #[arg(long, hide = true, requires = "upstream")]
    pub floor: Option<SocketAddr>,
    /// Where the floor forwards to.
    #[arg(long, hide = true)]
    pub upstream: Option<SocketAddr>,
    /// The floor's certificate.
    #[arg(long, hide = true, requires = "key")]
    pub certificate: Option<PathBuf>,
    /// The certificate's key.
    #[arg(long, hide = true, requires = "certificate")]
    pub key: Option<PathBuf>,
}

fn at_least_one(text: &str) -> std::result::Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least one".into()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}

impl Options {
    /// How often each workload is measured.
    pub fn rounds(&self) -> u32 {
        if self.quick { 2 } else { self.rounds }
    }

    /// How long each measurement takes.
    pub fn seconds(&self) -> f64 {
        if self.quick { 1.0 } else { self.seconds }
    }

    /// The gateway's binary.
    pub fn gateway(&self) -> Result<PathBuf> {
        let path = match &self.gateway {
            Some(path) => path.clone(),
            None => beside("gatewarden")?,
        };
        match path.exists() {
            true => Ok(path),
            false => Err(format!("{} isn't there; `make build` makes it", path.display()).into()),
        }
    }

    /// Envoy's binary, if there is one.
    pub fn envoy(&self) -> Option<PathBuf> {
        let path = self.envoy.clone().or_else(|| beside("../peers/envoy").ok())?;
        path.exists().then_some(path)
    }
}

/// A file beside this program.
fn beside(name: &str) -> Result<PathBuf> {
    Ok(std::env::current_exe()?.parent().unwrap_or(Path::new(".")).join(name))
}
