//! The `key-service` program.

use std::process::ExitCode;

use clap::Parser;
use key_service::cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    Cli::parse().run().await
}
