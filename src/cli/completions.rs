//! `gatewarden completions`: a script that makes a shell complete verbs and flags.

use std::io;

use clap::CommandFactory;

use super::Exit;

/// A completion script for a shell, on standard output.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

/// Prints the script.
pub fn run(args: &Args) -> Exit {
    clap_complete::generate(args.shell, &mut super::Command::command(), "gatewarden", &mut io::stdout());
    Exit::Yes
}
