//! Empty commits in batches. One commit, which may wait for a standby, serves every operation of its batch.

use std::time::Duration;

use sqlx::AnyConnection;

use crate::db;
use crate::db::batch::BatchOp;
use crate::db::{postgres, transaction};

/// Makes everything that could be read before durable, so that a failover keeps it.
#[derive(Debug)]
pub(in crate::revocation) struct Flush;

impl BatchOp for Flush {
    type Input = ();
    type Output = ();
    const NAME: &'static str = "flush";
    const MAX_INPUTS: usize = 10_000;
    const TIMEOUT: Duration = transaction::END_AT_MOST;

    async fn run(&self, connection: &mut AnyConnection, inputs: &[()]) -> db::Result<Vec<()>> {
        postgres::commit_nothing(connection).await?;
        Ok(inputs.to_vec())
    }
}
