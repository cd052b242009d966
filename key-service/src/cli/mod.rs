//! The command line: `serve`, and the management of users and keys on the same database.

use std::io;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

use crate::revocation::Store;
use crate::settings::Flags;

mod arguments;
mod audit;
mod backup;
mod database;
mod edges;
mod error;
mod export;
mod fault;
mod import;
mod key;
mod private_file;
mod progress;
mod revocation;
mod scan;
mod scopes;
mod serve;
mod terminal;
mod token;
mod user;

use error::{CliError, ExitOutcome};

/// Manages users and personal API keys, and verifies keys for edges.
#[derive(Debug, Parser)]
#[command(
    name = "key-service",
    version,
    after_help = "`serve`, `user add` and `import` create the database file or the tables if they are missing."
)]
struct Cli {
    /// The database: sqlite:path/to/file.db or postgres://user@host/database
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
    Serve(Box<Flags>),
    /// Manage users
    #[command(subcommand)]
    User(user::Command),
    /// Manage personal API keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Manage management tokens, with which automation authenticates
    #[command(subcommand)]
    Token(token::Command),
    /// Show the audit log, newest entries first
    Audit(audit::Args),
    /// Show the edges that hold a lease, and the revision that each has acknowledged
    Edges(edges::Args),
    /// Show the objects that scopes can name: the scope catalogue
    Scopes(scopes::Args),
    /// Import keys from CSV or JSON lines, by the digests of their values
    Import(import::Args),
    /// Write all keys to a file for import, without their values
    Export(export::Args),
    /// Copy the database to a file, also while the service runs
    Backup(backup::Args),
    /// Print a script that completes commands and options in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    #[command(flatten)]
    Stored(key::Command),
    /// Find generated keys in files or standard input by their format and checksum
    Scan(scan::Args),
}

/// Parses the program's arguments and runs the command. On failure, prints the error to standard error: one line, or one line
/// for each invalid setting or argument.
///
/// It is not `async`, because the compiler would then generate the code of the whole server in each program that awaits it.
#[tokio::main]
pub async fn run() -> ExitCode {
    let mut command = command();
    let matches = command.get_matches_mut();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match cli.carry_out().await {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            let why = fault::in_words(&error, &command, &matches);
            for line in why.lines().filter(|_| !error.is_broken_pipe()) {
                // If standard error cannot be written, only the exit code is left.
                let _ = terminal::print_message(&format!("key-service: {line}"));
            }
            error.exit_code()
        }
    }
}

/// The command line, whose help does not name the database for commands that use none.
fn command() -> clap::Command {
    let command = Cli::command();
    let Some(url) = command.get_arguments().find(|argument| argument.get_id() == "database_url") else {
        return command;
    };
    // A global argument is not given to a subcommand that has it.
    let hidden = url.clone().hide(true);
    let without = |command: clap::Command| command.arg(&hidden);
    let command = command.clone().mut_subcommand("scopes", without).mut_subcommand("completions", without);
    command.mut_subcommand("key", |key| key.mut_subcommand("scan", without))
}

impl Cli {
    async fn carry_out(self) -> Result<ExitOutcome, CliError> {
        let url = &self.database_url;
        match self.command {
            Command::Serve(flags) => serve::run(*flags, url).await?,
            Command::User(command) => user::run(command, url).await?,
            Command::Key(KeyCommand::Stored(command)) => {
                return key::run(command, url).await;
            }
            Command::Key(KeyCommand::Scan(args)) => return scan::run(args),
            Command::Token(command) => token::run(command, url).await?,
            Command::Audit(args) => audit::run(args, &Store::open_existing(url).await?).await?,
            Command::Edges(args) => edges::run(args, &Store::open_existing(url).await?).await?,
            Command::Scopes(args) => scopes::run(args)?,
            Command::Import(args) => return import::run(args, url).await,
            Command::Backup(args) => backup::run(args, &Store::open_existing(url).await?).await?,
            Command::Completions { shell } => {
                clap_complete::generate(shell, &mut command(), "key-service", &mut io::stdout().lock());
            }
            Command::Export(args) => export::run(args, &Store::open_existing(url).await?).await?,
        }
        Ok(ExitOutcome::Done)
    }
}
