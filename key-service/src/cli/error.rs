//! The outcomes and errors of commands.

use std::path::PathBuf;
use std::process::ExitCode;

use super::private_file;
use crate::accounts::links::LinkError;
use crate::accounts::{AccountError, management_tokens};
use crate::db;
use crate::db::error::OpenError;
use crate::keys::KeyError;
use crate::keys::excess::Excess;
use crate::keys::leaks::LeakError;
use crate::revocation::propagation::PropagationError;
use crate::server::ServerError;
use crate::settings::InvalidSettings;
use crate::transfer::export::ExportError;
use crate::transfer::import::ImportError;
use crate::transfer::read::ReadError;
use crate::validation::{FieldError, FieldErrors};

/// The outcome of a command that ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExitOutcome {
    /// Success.
    Done,
    /// Success, but the output needs attention: exit code 3.
    NeedsAttention,
}

impl From<ExitOutcome> for ExitCode {
    fn from(outcome: ExitOutcome) -> Self {
        match outcome {
            ExitOutcome::Done => ExitCode::SUCCESS,
            ExitOutcome::NeedsAttention => ExitCode::from(3),
        }
    }
}

/// The error of a command: one line, or one line for each invalid setting or argument.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// An argument is invalid.
    #[error(transparent)]
    Invalid(#[from] FieldErrors),
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Settings are invalid: one line for each.
    #[error(transparent)]
    Settings(#[from] InvalidSettings),
    /// The service cannot run.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// An account could not be created or changed.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// A key could not be created or changed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key of `--if-absent` exists, and allows more than was asked for.
    #[error("{email} has the key {label} already, and {excess}")]
    WiderKey {
        /// The address of its user.
        email: String,
        /// Its label.
        label: String,
        /// What it allows beyond.
        excess: Excess,
    },
    /// A report of leaked values failed.
    #[error(transparent)]
    Leak(#[from] LeakError),
    /// The database failed while a change propagated.
    #[error(transparent)]
    Propagation(#[from] PropagationError),
    /// The user stopped the wait.
    #[error("interrupted: the change is saved, but not every edge has confirmed it")]
    Interrupted,
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] db::Error),
    /// A management token could not be created or revoked.
    #[error(transparent)]
    ManagementToken(#[from] management_tokens::TokenError),
    /// A one-time link could not be created.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// There is an admin, and the link of `user first-link` creates the first one.
    #[error(
        "an admin already exists, and only the first one gets this link; `key-service user admin EMAIL` promotes a user to admin, \
         and `key-service user link EMAIL` creates a link to set a password"
    )]
    NotFirst,
    /// The user has accounts at several providers.
    #[error("the user has accounts at several providers; choose one with --issuer: {0}")]
    SeveralIdentities(String),
    /// The value of `--value-stdin` is not a key.
    #[error("--value-stdin: {0}")]
    Value(protocol::KeyError),
    /// There is no terminal for the prompt.
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
        /// The system's error.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] private_file::FileError),
    /// The file for the refused lines cannot be written, and nothing was read.
    #[error("--report: {0}; nothing was imported")]
    Report(private_file::FileError),
    /// The file for the refused lines cannot be written, after all lines were imported.
    #[error("--report: {0}; the import itself is done, and a second run changes nothing")]
    ReportLost(private_file::FileError),
    /// Not a file of keys.
    #[error("{}: {source}", path.display())]
    NoKeys {
        /// The file.
        path: PathBuf,
        /// The error.
        source: ReadError,
    },
    /// Standard input has no line.
    #[error("standard input has no value; write one value on each line")]
    NoValues,
    /// The export would go to a terminal. Other people wrote the labels, and a terminal interprets some characters.
    #[error("standard output is a terminal; name a file, or add --force to write to the terminal")]
    ToTerminal,
    /// An import ended before its last line.
    #[error("{}: {source}; keys that were already imported stay, and another run skips them", path.display())]
    Import {
        /// The file.
        path: PathBuf,
        /// The error.
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

impl From<FieldError> for CliError {
    fn from(error: FieldError) -> Self {
        CliError::Invalid(error.into())
    }
}

impl CliError {
    /// Whether the program that reads the output has exited, as `head` does after its last line.
    pub(super) fn is_broken_pipe(&self) -> bool {
        let (CliError::Io(error) | CliError::Export(ExportError::Write(error))) = self else { return false };
        error.kind() == std::io::ErrorKind::BrokenPipe
    }

    /// 2 for invalid settings, as for arguments that clap refuses; 1 for everything else.
    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            CliError::Settings(_) => ExitCode::from(2),
            // As a program that the signal SIGPIPE ends.
            error if error.is_broken_pipe() => ExitCode::from(141),
            _ => ExitCode::FAILURE,
        }
    }
}
