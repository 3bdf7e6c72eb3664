//! `gatewarden completions`: a script that makes a shell complete verbs and flags.

use clap::CommandFactory;

use super::Exit;
use super::load::print;

/// A completion script for a shell, on standard output.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

/// Prints the script.
pub fn run(args: &Args) -> Exit {
    // The library panics where it can't write, so it writes to where it can.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Command::command(), "gatewarden", &mut script);
    print(String::from_utf8_lossy(&script).trim_end());
    Exit::Yes
}
