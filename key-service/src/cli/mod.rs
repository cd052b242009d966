//! The command line: `serve`, and the management of users and keys on the same database.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use leases::LeaseConfigError;

use crate::accounts::AccountError;
use crate::edge_tokens::TokenError;
use crate::invalid::Invalid;
use crate::keys::KeyError;
use crate::leaks::LeakError;
use crate::links::LinkError;
use crate::management_tokens;
use crate::server::ServerError;
use crate::settling::Unsettled;
use crate::store::{Database, OpenError};
use crate::transfer::export::ExportError;
use crate::transfer::import::ImportError;
use crate::transfer::read::ReadError;
use crate::webhooks::EndpointError;

mod arguments;
mod backup;
mod export;
mod fault;
mod import;
mod key;
mod oversight;
mod private_file;
mod progress;
mod revocation;
mod scan;
mod serve;
mod terminal;
mod token;
mod user;

/// Keeps accounts and personal API keys, and tells edges what a key is worth.
#[derive(Debug, Parser)]
#[command(name = "key-service", version)]
struct Cli {
    /// The database, as sqlite:path/to/file.db or postgres://user@host/database; serve, user add and import make the file
    /// or the tables if there are none
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
    Key(KeyCommand),
    /// Manage what automation authenticates with
    #[command(subcommand)]
    Token(token::Command),
    /// Show who did what to which user, key or token, newest first
    Audit(oversight::AuditArgs),
    /// Show the edges that hold a lease now, and how far each has come
    Edges {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Take in keys from CSV or JSON lines, by the digests of their values
    Import(import::Args),
    /// Write all keys into a file that import takes, without their values
    Export(export::Args),
    /// Copy the database into a file to restore from, while the service runs
    Backup(backup::Args),
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    #[command(flatten)]
    Stored(key::Command),
    /// Find generated keys in files or standard input, by their format alone
    Scan(scan::Args),
}

/// How a command that was carried out ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// All is as it should be.
    Done,
    /// It was done, and somebody should look at what it says: exit code 3.
    NeedsALook,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => ExitCode::SUCCESS,
            Outcome::NeedsALook => ExitCode::from(3),
        }
    }
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
    /// Edges could not keep their leases, or changes would not wait long enough for them.
    #[error("{setting}: {0}", setting = serve::setting_at_fault(.0))]
    Terms(#[from] LeaseConfigError),
    /// The service cannot run.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// An account could not be made or changed.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// A key could not be made or changed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A report of leaked values could not be carried out.
    #[error(transparent)]
    Leak(#[from] LeakError),
    /// The database failed while a change came into force.
    #[error(transparent)]
    Settling(#[from] Unsettled),
    /// The user gave up waiting.
    #[error("interrupted: the change is made, but not known to be in force everywhere")]
    Interrupted,
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// A management token could not be made or revoked.
    #[error(transparent)]
    ManagementToken(#[from] management_tokens::TokenError),
    /// A one-time link could not be made.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// There is a user, so the first admin has begun.
    #[error("there is a user already; `user link` makes a link for a user")]
    NotFirst,
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
    /// Some of the files to scan could not be read.
    #[error("{0} of the files could not be read")]
    Unread(usize),
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] private_file::FileError),
    /// The file for the refused lines cannot be written, and nothing was read.
    #[error("--report: {0}; nothing was imported")]
    Report(private_file::FileError),
    /// The same, when all lines had been taken in.
    #[error("--report: {0}; the import itself is done, and a second run changes nothing")]
    ReportLost(private_file::FileError),
    /// Not a file of keys.
    #[error("{}: {source}", path.display())]
    NoKeys {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ReadError,
    },
    /// There is no line.
    #[error("standard input: there is no value in it")]
    NoValues,
    /// Keys are other people's texts, and a terminal obeys some characters.
    #[error("standard output is a terminal; name a file, or write to it all the same with --force")]
    ToTerminal,
    /// An import ended before its last line.
    #[error("{}: {source}; what went in before is in", path.display())]
    Import {
        /// The file.
        path: PathBuf,
        /// What ended it.
        source: ImportError,
    },
    /// The keys could not be exported.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The database could not be backed up.
    #[error("{0}")]
    Backup(String),
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Runs the command that the program's arguments are. What keeps it from being carried out is told in one line on
/// standard error.
pub async fn run() -> ExitCode {
    let mut command = Cli::command();
    let matches = command.get_matches_mut();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match cli.carry_out().await {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            let why = fault::in_words(&error, &command, &matches);
            // Without a standard error, the exit code has to do.
            let _ = terminal::tell(&format!("key-service: {why}"));
            ExitCode::FAILURE
        }
    }
}

impl Cli {
    async fn carry_out(self) -> Result<Outcome, CliError> {
        let url = &self.database_url;
        match self.command {
            Command::Serve(args) => serve::run(args, url).await?,
            Command::User(command) => user::run(command, url).await?,
            Command::Key(KeyCommand::Stored(command)) => {
                return key::run(command, &Database::open_existing(url).await?).await;
            }
            Command::Key(KeyCommand::Scan(args)) => return scan::run(args),
            Command::Token(command) => token::run(command, &Database::open_existing(url).await?).await?,
            Command::Audit(args) => oversight::audit(args, &Database::open_existing(url).await?).await?,
            Command::Edges { json } => oversight::edges(json, &Database::open_existing(url).await?).await?,
            Command::Import(args) => return import::run(args, url).await,
            Command::Backup(args) => backup::run(args, &Database::open_existing(url).await?).await?,
            Command::Export(args) => export::run(args, &Database::open_existing(url).await?).await?,
        }
        Ok(Outcome::Done)
    }
}
