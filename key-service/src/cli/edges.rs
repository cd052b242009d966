//! `key-service edges`.

use super::error::CliError;
use super::terminal::{print_json, print_table};
use crate::revocation::{Store, edges};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, store: &Store) -> Result<(), CliError> {
    let edges = edges::list(store).await?;
    if args.json {
        return print_json(&edges);
    }
    let rows: Vec<_> = edges
        .edges
        .into_iter()
        .map(|edge| {
            let behind = edges.revision.saturating_sub(edge.acknowledged);
            let known = |text: Option<String>| text.unwrap_or_else(|| "unknown".to_owned());
            [
                edge.edge,
                known(edge.node),
                known(edge.cluster),
                known(edge.version),
                edge.acknowledged.to_string(),
                behind.to_string(),
                format!("{} ms", edge.lease_ends_in_ms),
            ]
        })
        .collect();
    Ok(print_table(["EDGE", "NODE", "CLUSTER", "ENVOY", "ACKNOWLEDGED", "BEHIND", "LEASE ENDS IN"], &rows)?)
}
