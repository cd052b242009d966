//! `key-service key scan`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use serde::Serialize;
use walkdir::WalkDir;

use super::error::{CliError, ExitOutcome};
use super::progress;
use super::terminal::{counted, harmless, print_json_line, print_line, print_message};
use crate::keys::scan::{Match, Scanner};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "In a folder, all regular files are read, including hidden ones; links are not followed.
Management tokens are found too. Imported keys have no fixed format and are not found.
Exit code 0: no key or token was found. 3: some were found. 1: a file could not be read."
)]
pub(super) struct Args {
    /// The files and folders to read; - or none for standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print one JSON object per line, with the SHA-256 of the key
    #[arg(long)]
    json: bool,
}

/// A found key in JSON.
#[derive(Serialize)]
struct FoundLine<'a> {
    file: &'a str,
    line: u64,
    column: u64,
    mask_value: &'a str,
    digest: String,
}

/// The result of a scan.
#[derive(Default)]
struct Tally {
    keys: u64,
    files: u64,
    unread: usize,
}

pub(super) fn run(args: Args) -> Result<ExitOutcome, CliError> {
    let paths = if args.files.is_empty() { vec![PathBuf::from("-")] } else { args.files };
    let mut tally = Tally::default();
    for path in &paths {
        if path == Path::new("-") {
            tally.scan("-", io::stdin().lock(), &progress::of_reading(None), args.json)?;
        } else if path.is_dir() {
            tally.scan_folder(path, args.json)?;
        } else {
            tally.scan_file(path, args.json)?;
        }
    }
    let Tally { keys, files, unread } = tally;
    print_message(&format!("found {} in {}", counted(keys, "key"), counted(files, "file")))?;
    match (unread, keys) {
        (0, 0) => Ok(ExitOutcome::Done),
        (0, _) => Ok(ExitOutcome::NeedsAttention),
        _ => Err(CliError::Unread(unread)),
    }
}

impl Tally {
    /// Reads all regular files of a folder and its subfolders.
    fn scan_folder(&mut self, folder: &Path, json: bool) -> Result<(), CliError> {
        for entry in WalkDir::new(folder).sort_by_file_name() {
            match entry {
                Ok(entry) if entry.file_type().is_file() => self.scan_file(entry.path(), json)?,
                Ok(_) => {}
                Err(error) => {
                    self.unread += 1;
                    print_message(&format!("{error}; skipped"))?;
                }
            }
        }
        Ok(())
    }

    fn scan_file(&mut self, path: &Path, json: bool) -> Result<(), CliError> {
        let name = path.to_string_lossy();
        match File::open(path) {
            Ok(file) => {
                let bar = progress::of_reading(Some(&file));
                self.scan(&name, file, &bar, json)
            }
            Err(error) => {
                self.unread += 1;
                Ok(print_message(&format!("{name}: {error}; skipped"))?)
            }
        }
    }

    fn scan(&mut self, name: &str, input: impl Read, bar: &ProgressBar, json: bool) -> Result<(), CliError> {
        self.files += 1;
        for found in Scanner::new(bar.wrap_read(input)) {
            match found {
                Ok(found) => {
                    self.keys += 1;
                    bar.suspend(|| print(name, &found, json))?;
                }
                Err(error) => {
                    self.unread += 1;
                    bar.suspend(|| print_message(&format!("{name}: {error}; not read to its end")))?;
                }
            }
        }
        bar.finish_and_clear();
        Ok(())
    }
}

fn print(name: &str, found: &Match, json: bool) -> Result<(), CliError> {
    let Match { line, column, mask_value, digest } = found;
    if json {
        let digest = digest.to_hex();
        return print_json_line(&FoundLine { file: name, line: *line, column: *column, mask_value, digest });
    }
    Ok(print_line(&harmless(&format!("{name}:{line}:{column}: {mask_value}")))?)
}
