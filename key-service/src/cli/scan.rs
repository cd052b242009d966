//! `key-service key scan`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::terminal::{counted, harmless, print_json_line, print_line, tell};
use super::{CliError, Outcome, progress};
use crate::scan::{Found, Scanner};

#[derive(Debug, clap::Args)]
#[command(after_help = "Exit code 0: no key was found. 3: some were. 1: something could not be read.
Keys that were imported have no shape of their own and are not found.")]
pub(super) struct Args {
    /// The files to read, - for standard input; without any, standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print a JSON object a line, with the SHA-256 of the key
    #[arg(long)]
    json: bool,
}

/// A found key as JSON shows it.
#[derive(Serialize)]
struct Line<'a> {
    file: &'a str,
    line: u64,
    column: u64,
    mask_value: String,
    digest: String,
}

pub(super) fn run(args: Args) -> Result<Outcome, CliError> {
    let files = if args.files.is_empty() { vec![PathBuf::from("-")] } else { args.files };
    let (mut keys, mut unread) = (0, 0);
    for path in &files {
        let name = path.to_string_lossy();
        let bar;
        let input: Box<dyn Read> = if path == Path::new("-") {
            bar = progress::of_reading(None);
            Box::new(bar.wrap_read(io::stdin().lock()))
        } else {
            match File::open(path) {
                Ok(file) => {
                    bar = progress::of_reading(Some(&file));
                    Box::new(bar.wrap_read(file))
                }
                Err(error) => {
                    unread += 1;
                    tell(&format!("{name}: {error}; skipped"))?;
                    continue;
                }
            }
        };
        for found in Scanner::new(input) {
            match found {
                Ok(found) => {
                    keys += 1;
                    bar.suspend(|| print(&name, &found, args.json))?;
                }
                Err(error) => {
                    unread += 1;
                    bar.suspend(|| tell(&format!("{name}: {error}; not read to its end")))?;
                }
            }
        }
        bar.finish_and_clear();
    }
    tell(&format!("found {} in {}", counted(keys, "key"), counted(files.len() as u64, "file")))?;
    match (unread, keys) {
        (0, 0) => Ok(Outcome::Done),
        (0, _) => Ok(Outcome::NeedsALook),
        _ => Err(CliError::Unread(unread)),
    }
}

fn print(name: &str, found: &Found, json: bool) -> Result<(), CliError> {
    let Found { line, column, key } = found;
    let mask_value = key.mask();
    if json {
        let digest = key.digest().to_hex();
        return print_json_line(&Line { file: name, line: *line, column: *column, mask_value, digest });
    }
    Ok(print_line(&harmless(&format!("{name}:{line}:{column}: {mask_value}")))?)
}
