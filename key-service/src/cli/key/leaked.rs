//! `key-service key leaked`.

use std::io;

use serde_json::json;

use crate::audit::Actor;
use crate::cli::CliError;
use crate::cli::revocation::{in_words, settled};
use crate::cli::terminal::{counted, print_json, print_table, tell};
use crate::leaks::{self, MAX_VALUES, Outcome, Report};
use crate::leases::Revocation;
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
    let mut ended = Ended::default();
    let result = ended.report_all(&reports, by, database).await;
    // What was done before a failure is told all the same: these values are not for trying again.
    if result.is_ok() || !ended.outcomes.is_empty() {
        ended.tell(args.json)?;
    }
    result
}

/// What became of the values so far.
#[derive(Debug, Default)]
struct Ended {
    outcomes: Vec<Outcome>,
    revocations: Vec<Revocation>,
}

impl Ended {
    async fn report_all(
        &mut self,
        reports: &[Report],
        by: &Actor,
        database: &Database,
    ) -> Result<(), CliError> {
        for report in reports {
            let (found, settling) = leaks::report(database, by, report).await?;
            self.outcomes.extend(found);
            self.revocations.push(settled(settling).await?);
        }
        Ok(())
    }

    fn tell(self, json: bool) -> Result<(), CliError> {
        let Ended { outcomes, revocations } = self;
        let live = outcomes.iter().filter(|outcome| outcome.live).count() as u64;
        let in_force: String =
            revocations.iter().map(|revocation| format!("; {}", in_words(revocation))).collect();
        let read = counted(outcomes.len() as u64, "value");
        tell(&format!("{live} of {read} worked until now{in_force}"))?;
        if json {
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
}
