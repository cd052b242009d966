//! `key-service scopes`.

use super::error::CliError;
use super::terminal::{print_json, print_table};
use crate::settings::ScopeCatalogue;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    catalogue: ScopeCatalogue,
    /// Print JSON, which is also the format of the file
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<(), CliError> {
    let catalogue = args.catalogue.read()?;
    if args.json {
        return print_json(&catalogue.objects());
    }
    let rows: Vec<_> = catalogue
        .objects()
        .iter()
        .map(|object| {
            [object.object.clone(), object.title.clone(), object.group.clone(), object.description.clone()]
        })
        .collect();
    Ok(print_table(["OBJECT", "TITLE", "GROUP", "DESCRIPTION"], &rows)?)
}
