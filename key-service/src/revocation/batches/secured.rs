//! Commits in groups what alters nothing: one commit, which may wait for a standby, is enough for all who ask meanwhile.

use std::time::Duration;

use sqlx::AnyConnection;

use crate::db::batch::Topic;
use crate::db::{postgres, transaction};

/// Everything that could be read before, so that a failover keeps it.
#[derive(Debug)]
pub(in crate::revocation) struct Secured;

impl Topic for Secured {
    type Question = ();
    type Answer = ();
    const NAME: &'static str = "secured";
    const MOST: usize = 10_000;
    const AT_MOST: Duration = transaction::END_AT_MOST;

    async fn ask(&self, connection: &mut AnyConnection, questions: &[()]) -> sqlx::Result<Vec<()>> {
        postgres::commit_nothing(connection).await?;
        Ok(questions.to_vec())
    }
}
