//! `key-service key leaked`.

use std::io;

use protocol::KEY_PREFIX;
use serde_json::json;

use crate::accounts;
use crate::audit::Actor;
use crate::cli::error::{CliError, ExitOutcome};
use crate::cli::revocation::{in_words, wait};
use crate::cli::terminal::{counted, print_json, print_message, print_table};
use crate::keys::leaks::{self, LeakedValues, MAX_VALUES, Outcome, Report, Source};
use crate::revocation::Store;
use crate::revocation::propagation::Revocation;
use crate::validation::{FieldError, Violation};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code 0: every line was a value. 3: some lines were not, and are listed; the others were reported.
1: the command failed."
)]
pub(in crate::cli) struct Args {
    /// The place where the values were found, for the audit log and the webhook
    #[arg(long)]
    source: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, by: &Actor, database_url: &str) -> Result<ExitOutcome, CliError> {
    let lines = io::stdin().lines().collect::<io::Result<Vec<_>>>()?;
    let numbered = (1..).zip(&lines).map(|(number, line)| (number, line.trim()));
    let (values, refused): (Vec<_>, Vec<_>) =
        numbered.filter(|(_, line)| !line.is_empty()).partition(|(_, line)| line.starts_with(KEY_PREFIX));
    if values.is_empty() && refused.is_empty() {
        return Err(CliError::NoValues);
    }
    // Check all values before ending one.
    let source: Source = args.source.parse().map_err(|violation: Violation| violation.of("source"))?;
    let report = |values: &[(u64, &str)]| {
        let values = LeakedValues::new(values.iter().map(|(_, value)| *value));
        let values = values.map_err(|violation| violation.of("values"))?;
        Ok(Report::new(values, source.clone()))
    };
    let reports = values.chunks(MAX_VALUES).map(report).collect::<Result<Vec<_>, FieldError>>()?;
    let store = &Store::open_existing(database_url).await?;
    for (number, _) in &refused {
        print_message(&format!("line {number}: not a personal API key, which begins with {KEY_PREFIX}"))?;
    }
    let mut ended =
        Ended { refused_lines: refused.into_iter().map(|(number, _)| number).collect(), ..Ended::default() };
    let mut end = ExitOutcome::Done;
    let result = ended.report_all(&reports, by, store).await;
    // After a failure, print the values that were reported, so that the user does not report them again.
    if result.is_ok() || !ended.outcomes.is_empty() {
        end = ended.print(args.json, store).await?;
    }
    result.map(|()| end)
}

/// The outcome of the values so far.
#[derive(Debug, Default)]
struct Ended {
    /// The numbers of the lines that are not values.
    refused_lines: Vec<u64>,
    outcomes: Vec<Outcome>,
    revocations: Vec<Revocation>,
}

impl Ended {
    async fn report_all(&mut self, reports: &[Report], by: &Actor, store: &Store) -> Result<(), CliError> {
        for report in reports {
            let (found, propagation) = leaks::report(store, by, report).await?;
            self.outcomes.extend(found);
            self.revocations.push(wait(propagation).await?);
        }
        Ok(())
    }

    async fn print(self, json: bool, store: &Store) -> Result<ExitOutcome, CliError> {
        let Ended { refused_lines, outcomes, revocations } = self;
        let end = if refused_lines.is_empty() { ExitOutcome::Done } else { ExitOutcome::NeedsAttention };
        let live = outcomes.iter().filter(|outcome| outcome.live).count() as u64;
        let propagated: String =
            revocations.iter().map(|revocation| format!("; {}", in_words(revocation))).collect();
        let read = counted(outcomes.len() as u64, "value");
        print_message(&format!("{live} of {read} worked until now{propagated}"))?;
        if json {
            let report = json!({
                "results": outcomes, "revocations": revocations, "refused_lines": refused_lines,
            });
            print_json(&report)?;
            return Ok(end);
        }
        let mut rows = Vec::with_capacity(outcomes.len());
        for outcome in outcomes {
            let user = match &outcome.user_id {
                Some(id) => accounts::find(store, id).await?.map(|user| user.email),
                None => None,
            };
            let worked = if outcome.live { "yes" } else { "no" };
            let [user, label, key] = [user, outcome.label, outcome.key_id].map(Option::unwrap_or_default);
            rows.push([outcome.mask_value, worked.to_owned(), user, label, key]);
        }
        print_table(["MASK", "WORKED", "USER", "LABEL", "KEY"], &rows)?;
        Ok(end)
    }
}
