//! `edge-key-auth`, the command line for operators of the filter: it checks and explains configurations, and tests key
//! services against the edge API.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

mod commands;
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
    Check(commands::CheckArgs),
    Explain(commands::ExplainArgs),
    Conformance(conformance::Args),
    /// Print a script that completes commands and options in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// The exit code of a command that could not run.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Check(args) => commands::run_check(&args),
        Command::Explain(args) => commands::run_explain(args),
        Command::Conformance(args) => conformance::run(args),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "edge-key-auth", &mut io::stdout().lock());
            Ok(ExitCode::SUCCESS)
        }
    };
    outcome.unwrap_or_else(|error| {
        for line in format!("{error:#}").lines() {
            // If standard error cannot be written, only the exit code is left.
            let _ = writeln!(io::stderr().lock(), "edge-key-auth: {}", commands::harmless(line));
        }
        ExitCode::from(USAGE)
    })
}
