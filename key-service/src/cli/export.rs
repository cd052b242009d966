//! `key-service export`.

use std::io::{self, BufWriter, IsTerminal};
use std::path::{Path, PathBuf};

use super::error::CliError;
use super::private_file::PrivateFile;
use super::terminal::{counted, print_message};
use crate::revocation::Store;
use crate::settings::operator;
use crate::transfer::Format;
use crate::transfer::export::export;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The columns of CSV and the fields of JSON are email, label, secure_value, scopes, created_at,
last_used_at, mask_value, last_rolled_at, expires_at, scoped_teams and scoped_organizations.
secure_value is sha256$ and the SHA-256 of the key's current value; an old value in its grace period is not exported.
In CSV, a ' precedes a cell that a spreadsheet would read as a formula; import removes it."
)]
pub(super) struct Args {
    /// The file to write, readable only by its owner; - or no file for standard output
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The format of the file
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
    /// Replace an existing file, or write to a terminal
    #[arg(long)]
    force: bool,
}

pub(super) async fn run(args: Args, store: &Store) -> Result<(), CliError> {
    let by = operator();
    let file = args.file.as_deref().filter(|file| *file != Path::new("-"));
    let count = match file {
        Some(path) => {
            let file = PrivateFile::begin(path, args.force)?;
            let count = export(store, &by, args.format, BufWriter::new(file.file())).await?;
            file.finish()?;
            count
        }
        None if io::stdout().is_terminal() && !args.force => return Err(CliError::ToTerminal),
        None => export(store, &by, args.format, BufWriter::new(io::stdout().lock())).await?,
    };
    let keys = counted(count, "key");
    Ok(print_message(&format!(
        "exported {keys}, each with the digest of its current value, without the value"
    ))?)
}
