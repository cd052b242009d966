//! `key-service key leaked`.

use std::io;

use serde_json::json;

use crate::audit::Actor;
use crate::cli::CliError;
use crate::cli::revocation::{in_words, settled};
use crate::cli::terminal::{counted, print_json, print_table, tell};
use crate::leaks::{self, MAX_VALUES, Report};
use crate::store::Database;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Where the values were found, for the audit log and the webhook
    #[arg(long)]
    source: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, by: &Actor, database: &Database) -> Result<(), CliError> {
    let lines = io::stdin().lines().collect::<io::Result<Vec<_>>>()?;
    let values: Vec<_> = lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect();
    // All of them are checked before any of them is ended.
    let reports = match values.is_empty() {
        true => vec![Report::new([], &args.source)?],
        false => values
            .chunks(MAX_VALUES)
            .map(|values| Report::new(values.iter().copied(), &args.source))
            .collect::<Result<_, _>>()?,
    };
    let (mut outcomes, mut revocations) = (Vec::new(), Vec::new());
    for report in &reports {
        let (found, settling) = leaks::report(database, by, report).await?;
        outcomes.extend(found);
        revocations.push(settled(settling).await?);
    }
    let live = outcomes.iter().filter(|outcome| outcome.live).count() as u64;
    let in_force: String =
        revocations.iter().map(|revocation| format!("; {}", in_words(revocation))).collect();
    let read = counted(outcomes.len() as u64, "value");
    tell(&format!("{live} of {read} worked until now{in_force}"))?;
    if args.json {
        return print_json(&json!({ "results": outcomes, "revocations": revocations }));
    }
    let rows: Vec<_> = outcomes
        .into_iter()
        .map(|outcome| {
            let worked = if outcome.live { "yes" } else { "no" };
            let [key, user] = [outcome.key_id, outcome.user_id].map(Option::unwrap_or_default);
            [outcome.mask_value, worked.to_owned(), key, user]
        })
        .collect();
    Ok(print_table(["VALUE", "WORKED", "KEY", "USER"], &rows)?)
}
