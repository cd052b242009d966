//! The `key-service` program.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    key_service::cli::run().await
}
