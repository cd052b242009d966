//! `edge-key-auth`, the command line for those who run the filter: it tries a key service that edges use.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod conformance;

/// Checks what edges depend on.
#[derive(Parser)]
#[command(name = "edge-key-auth", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Conformance(conformance::Args),
}

/// The exit code of a command that could not run.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Conformance(args) => conformance::run(args),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("edge-key-auth: {error:#}");
        ExitCode::from(USAGE)
    })
}
