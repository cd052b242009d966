//! `edge-key-auth conformance`: sends a key service the requests of edges, and checks its answers.
//!
//! It reads answers with the filter's own parser, so an answer that passes here is one that the filter accepts.

#![allow(clippy::disallowed_methods, reason = "it measures a running service")]

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

mod commands;
mod deletes;
mod edge;
mod restrictions;
mod service;
mod syncs;
#[cfg(test)]
mod tests;
mod verifies;

use commands::Commands;
use service::{Check, Service};

/// Try a key service that implements the edge API (docs/edge-api.md)
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The shell runs the commands. `--create` and `--create-restricted` print the value of a new key as the \
last line of their standard output. `--delete` finds that value in the variable KEY, and returns when the delete has returned.

Exit code 0: the service conforms. 1: a check failed. 2: the checks could not run."
)]
pub(crate) struct Args {
    /// The URL of the edge listener, such as http://127.0.0.1:8081
    url: String,
    /// The environment variable that holds the edge token
    #[arg(long, value_name = "NAME", default_value = "EDGE_TOKEN")]
    token_env: String,
    /// The shell command that creates a key
    #[arg(long, value_name = "COMMAND")]
    create: String,
    /// The shell command that creates a key that is restricted to some projects or organizations; without it, the checks of
    /// restrictions are left out
    #[arg(long, value_name = "COMMAND")]
    create_restricted: Option<String>,
    /// The shell command that deletes the key in the variable KEY
    #[arg(long, value_name = "COMMAND")]
    delete: String,
    /// Leave out the checks of sync, for a service that only verifies (`sync: off` in the filter)
    #[arg(long)]
    verify_only: bool,
}

/// Runs the checks one by one, and prints a line for each.
///
/// # Errors
/// The token is missing, or the URL is invalid.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    let token = std::env::var(&args.token_env)
        .with_context(|| format!("--token-env: the variable {} is not set", args.token_env))?;
    if !args.url.starts_with("http://") {
        bail!("{}: not an http:// URL", args.url);
    }
    let service = Service::new(&args.url, token);
    let checks = checks(args.create_restricted.is_some(), args.verify_only);
    let commands =
        Commands { create: args.create, create_restricted: args.create_restricted, delete: args.delete };
    let mut failed = 0;
    for (what, check) in &checks {
        match check(&service, &commands) {
            Ok(()) => println!("ok      {what}"),
            Err(problem) => {
                failed += 1;
                println!("FAILED  {what}: {problem:#}");
            }
        }
    }
    println!("{} of {} checks passed", checks.len() - failed, checks.len());
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn checks(restricts: bool, verify_only: bool) -> Vec<Check> {
    let restrictions = restrictions::CHECKS.iter().filter(|_| restricts);
    let verifies = verifies::CHECKS.iter().chain(restrictions);
    let with_leases = syncs::CHECKS.iter().chain(&deletes::CHECKS).filter(|_| !verify_only);
    verifies.chain(with_leases).copied().collect()
}
