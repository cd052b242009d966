//! Reads what changed in groups: once for each place that is asked about, which is one place mostly.

use std::collections::HashMap;
use std::sync::Arc;

use ::leases::{History, Position};
use sqlx::AnyConnection;

use crate::db::batch::Topic;
use crate::revocation::revision;

/// What happened since then.
#[derive(Debug)]
pub(in crate::revocation) struct Histories;

impl Topic for Histories {
    type Question = Option<Position>;
    type Answer = Arc<History>;
    const NAME: &'static str = "histories";
    const MOST: usize = 10_000;

    async fn ask(
        &self,
        connection: &mut AnyConnection,
        since: &[Option<Position>],
    ) -> sqlx::Result<Vec<Arc<History>>> {
        let mut read = HashMap::new();
        let mut told = Vec::with_capacity(since.len());
        for since in since {
            let history = match read.get(since) {
                Some(history) => Arc::clone(history),
                None => Arc::new(revision::history(&mut *connection, since.as_ref()).await?),
            };
            read.insert(since, Arc::clone(&history));
            told.push(history);
        }
        Ok(told)
    }
}
