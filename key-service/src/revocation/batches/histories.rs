//! Reads changes in batches, once for each position. Most edges are at the same one.

use std::collections::HashMap;
use std::sync::Arc;

use ::leases::{History, Position};
use sqlx::AnyConnection;

use crate::db;
use crate::db::batch::BatchOp;
use crate::revocation::revision;

/// Reads the changes since a position.
#[derive(Debug)]
pub(in crate::revocation) struct Histories;

impl BatchOp for Histories {
    type Input = Option<Position>;
    type Output = Arc<History>;
    const NAME: &'static str = "histories";
    const MAX_INPUTS: usize = 10_000;

    async fn run(
        &self,
        connection: &mut AnyConnection,
        since: &[Option<Position>],
    ) -> db::Result<Vec<Arc<History>>> {
        let mut read = HashMap::new();
        let mut histories = Vec::with_capacity(since.len());
        for since in since {
            let history = match read.get(since) {
                Some(history) => Arc::clone(history),
                None => Arc::new(revision::history(&mut *connection, since.as_ref()).await?),
            };
            read.insert(since, Arc::clone(&history));
            histories.push(history);
        }
        Ok(histories)
    }
}
