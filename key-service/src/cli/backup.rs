//! `key-service backup`.

use std::path::PathBuf;

use super::error::CliError;
use super::private_file::PrivateFile;
use super::terminal::{counted, print_json, print_message};
use crate::revocation::Store;
use crate::settings::operator;
use crate::transfer::backup;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The service may be running. The file is a SQLite database, readable only by its owner, without
sessions, one-time links and leases. A key that is revoked after the backup works again if the
backup is restored."
)]
pub(super) struct Args {
    /// The file to write, which must not exist
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print the content of the backup as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, store: &Store) -> Result<(), CliError> {
    let file = PrivateFile::begin(&args.file, false)?;
    let backup = backup::make(store, &operator(), file.path()).await;
    let backup = backup.map_err(|error| CliError::Backup(file.in_words(error)))?;
    file.finish()?;
    let (users, keys) = (counted(backup.users, "user"), counted(backup.keys, "key"));
    print_message(&format!("backed up {users} and {keys} into {}, and checked it", args.file.display()))?;
    print_message("a key that you revoke from now on works again if you restore this backup")?;
    if args.json { print_json(&backup) } else { Ok(()) }
}
