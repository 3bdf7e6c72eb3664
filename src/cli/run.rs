//! `gatewarden run`: serve.

use std::path::PathBuf;
use std::sync::Arc;

use super::Exit;
use super::serve::{self, Inherited, Start};
use crate::config::Trust;
use crate::telemetry::Mode;

/// Serve: verify callers, decide by the rule files, forward or refuse.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The gateway's file; the rules are where it says
    #[arg(long, value_name = "FILE", default_value = "gateway.toml", env = "GATEWARDEN_CONFIG")]
    pub config: PathBuf,
    /// Load everything, say whether it is in order, and end
    #[arg(long)]
    pub check_only: bool,
}

/// Serves until a signal ends it.
pub fn run(args: Args) -> Exit {
    if args.check_only {
        return serve::check_only(&args.config);
    }
    let inherited = match Inherited::take() {
        Ok(inherited) => inherited,
        Err(why) => return serve::cannot("use an inherited socket", why),
    };
    let trust = Arc::new(|| Trust::Configured);
    let announce = Box::new(|_: &serve::Addresses| {});
    serve::serve(Start { config: args.config, mode: Mode::Run, trust, fixed: None, announce, inherited })
}
