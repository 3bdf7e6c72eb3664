//! The verbs, one file each: what they read from the command line and what they print.

pub mod can;
pub mod candidate;
pub mod check;
pub mod completions;
pub mod coverage;
pub mod dev;
pub mod diff;
pub mod explain;
pub mod export;
pub mod fmt;
mod grid;
mod hypothesis;
pub mod import;
mod load;
pub mod log;
mod logs;
pub mod matrix;
pub mod reload;
pub mod replay;
pub mod report;
pub mod routes;
mod rulesets;
pub mod run;
pub mod schema;
pub mod serve;
pub mod status;
pub mod suggest;
pub mod test;
pub mod token;
pub mod who;
mod written;

use clap::{Parser, Subcommand};

use crate::config::Diagnostics;
use crate::config::diagnostic::code;

/// How a verb ended; the process's exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Yes, or done.
    Yes = 0,
    /// A negative answer: denied, a test failed, requests were cut off.
    No = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The rules or the configuration are invalid.
    Invalid = 3,
    /// The machine stands in the way: an address in use, a file that can't be read.
    Environment = 4,
}

impl Exit {
    /// How a verb ends over files that weren't taken: what can't be read is the machine's matter, not the files'.
    fn refused(why: &Diagnostics) -> Self {
        let unreadable = why.iter().all(|own| own.code == code::UNREADABLE);
        if unreadable { Self::Environment } else { Self::Invalid }
    }
}

/// Verifies who is calling, decides from rule files whether they may, and forwards or refuses.
#[derive(Debug, Parser)]
#[command(name = "gatewarden", version, about)]
struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Args),
    Dev(dev::Args),
    Diff(diff::Args),
    Check(check::Args),
    Test(test::Args),
    Can(can::Args),
    Candidate(candidate::Args),
    Canary(candidate::CanaryArgs),
    Promote(candidate::PromoteArgs),
    Discard(candidate::DiscardArgs),
    Explain(explain::Args),
    Who(who::Args),
    Replay(replay::Args),
    Suggest(suggest::Args),
    Matrix(matrix::Args),
    Routes(routes::Args),
    Reload(reload::Args),
    Status(status::Args),
    Coverage(coverage::Args),
    Schema(schema::Args),
    Fmt(fmt::Args),
    Completions(completions::Args),
    /// The rules as another system's
    #[command(subcommand)]
    Export(ExportVerb),
    /// Make a rule file of what another system has; everything that isn't in it is listed
    #[command(subcommand)]
    Import(ImportVerb),
    /// What a gateway has counted
    #[command(subcommand)]
    Report(ReportVerb),
    /// Look at a decision log
    #[command(subcommand)]
    Log(LogVerb),
    /// Look at a token, or have one made by a running `gatewarden dev`
    #[command(subcommand)]
    Token(TokenVerb),
}

#[derive(Debug, Subcommand)]
enum ReportVerb {
    Seats(report::SeatsArgs),
}

#[derive(Debug, Subcommand)]
enum LogVerb {
    Verify(log::VerifyArgs),
    Show(log::ShowArgs),
}

#[derive(Debug, Subcommand)]
enum ExportVerb {
    Cedar(export::CedarArgs),
}

#[derive(Debug, Subcommand)]
enum ImportVerb {
    Keycloak(import::KeycloakArgs),
    Openapi(import::OpenapiArgs),
}

#[derive(Debug, Subcommand)]
enum TokenVerb {
    Dev(dev::TokenArgs),
    Inspect(token::InspectArgs),
}

/// Reads the command line and does what it says.
#[must_use]
pub fn run() -> Exit {
    load::ended(verb())
}

fn verb() -> Exit {
    match Command::parse().verb {
        Verb::Run(args) => run::run(args),
        Verb::Dev(args) => dev::run(&args),
        Verb::Diff(args) => diff::run(&args),
        Verb::Token(TokenVerb::Dev(args)) => dev::token(&args),
        Verb::Token(TokenVerb::Inspect(args)) => token::run(&args),
        Verb::Log(LogVerb::Verify(args)) => log::verify(&args),
        Verb::Log(LogVerb::Show(args)) => log::show(&args),
        Verb::Check(args) => check::run(&args),
        Verb::Test(args) => test::run(&args),
        Verb::Can(args) => can::run(&args),
        Verb::Candidate(args) => candidate::run(&args),
        Verb::Canary(args) => candidate::canary(&args),
        Verb::Promote(args) => candidate::promote(&args),
        Verb::Discard(args) => candidate::discard(&args),
        Verb::Explain(args) => explain::run(&args),
        Verb::Suggest(args) => suggest::run(&args),
        Verb::Replay(args) => replay::run(&args),
        Verb::Who(args) => who::run(&args),
        Verb::Matrix(args) => matrix::run(&args),
        Verb::Report(ReportVerb::Seats(args)) => report::seats(&args),
        Verb::Routes(args) => routes::run(&args),
        Verb::Reload(args) => reload::run(&args),
        Verb::Status(args) => status::run(&args),
        Verb::Export(ExportVerb::Cedar(args)) => export::cedar(&args),
        Verb::Fmt(args) => fmt::run(&args),
        Verb::Schema(args) => schema::run(&args),
        Verb::Coverage(args) => coverage::run(&args),
        Verb::Import(ImportVerb::Keycloak(args)) => import::keycloak(&args),
        Verb::Import(ImportVerb::Openapi(args)) => import::openapi(&args),
        Verb::Completions(args) => completions::run(&args),
    }
}
