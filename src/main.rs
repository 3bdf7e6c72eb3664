//! The `gatewarden` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(gatewarden::cli::run() as u8)
}
