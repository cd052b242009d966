//! The command line: `serve`, and the management of users and keys on the same database.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::accounts::AccountError;
use crate::edge_tokens::TokenError;
use crate::invalid::Invalid;
use crate::keys::KeyError;
use crate::leases::LeaseTooShort;
use crate::links::LinkError;
use crate::server::ServerError;
use crate::store::{Database, OpenError};
use crate::webhooks::EndpointError;

mod key;
mod revocation;
mod serve;
mod terminal;
mod user;

/// Keeps accounts and personal API keys, and tells edges what a key is worth.
#[derive(Debug, Parser)]
#[command(name = "key-service", version)]
pub struct Cli {
    /// The database, as sqlite:path/to/file.db; the file is made if there is none
    #[arg(
        long,
        env = "DATABASE_URL",
        hide_env_values = true,
        default_value = "sqlite:edge-key-auth.db",
        global = true
    )]
    database_url: String,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service
    Serve(serve::Args),
    /// Manage users
    #[command(subcommand)]
    User(user::Command),
    /// Manage personal API keys
    #[command(subcommand)]
    Key(key::Command),
}

/// Why a command failed, in one line.
#[derive(Debug, thiserror::Error)]
enum CliError {
    /// A setting or an argument is not what it has to be.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The edge token cannot be used.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The webhook cannot be used.
    #[error(transparent)]
    Webhook(#[from] EndpointError),
    /// Edges could not keep their leases.
    #[error("--lease-ms (LEASE_MS): {0}")]
    Terms(#[from] LeaseTooShort),
    /// The service cannot run.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// An account could not be made or changed.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// A key could not be made or changed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The database failed while a change came into force.
    #[error("the database failed; the change is made, but not known to be in force everywhere: {0}")]
    Settling(#[from] sqlx::Error),
    /// The link for the first admin could not be made.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The value of `--value-stdin` is no key.
    #[error("--value-stdin: {0}")]
    Value(protocol::KeyError),
    /// `RUST_LOG` is no filter.
    #[error("RUST_LOG: {0}")]
    LogFilter(#[from] tracing_subscriber::filter::ParseError),
    /// There is no terminal to ask on.
    #[error("cannot ask for the password ({0}); pass it with --password-stdin")]
    Prompt(std::io::Error),
    /// The two passwords typed differ.
    #[error("the two passwords differ")]
    PasswordsDiffer,
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Cli {
    /// Runs the command. What keeps it from being carried out is told in one line on standard error.
    pub async fn run(self) -> ExitCode {
        match self.carry_out().await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                // Without a standard error, the exit code has to do.
                let _ = terminal::tell(&format!("key-service: {error}"));
                ExitCode::FAILURE
            }
        }
    }

    async fn carry_out(self) -> Result<(), CliError> {
        match self.command {
            Command::Serve(args) => serve::run(args, &self.database_url).await,
            Command::User(command) => user::run(command, &Database::open(&self.database_url).await?).await,
            Command::Key(command) => key::run(command, &Database::open(&self.database_url).await?).await,
        }
    }
}
