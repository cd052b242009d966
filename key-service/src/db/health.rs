//! Health of the database: it answers, can be written, and has its tables.

use std::collections::HashSet;
use std::time::Duration;

use super::Database;
use super::error::Result;
use super::transaction::Transaction;

/// A check that takes longer has failed: most probes wait for a second.
const AT_MOST: Duration = Duration::from_millis(800);

impl Database {
    /// Whether every migration that this program knows of is applied; `None` if the database does not answer.
    pub(crate) async fn is_migrated(&self) -> Option<bool> {
        match tokio::time::timeout(AT_MOST, self.migrations()).await {
            Ok(Ok(applied)) => {
                Some(self.kind.migrations().iter().all(|migration| applied.contains(&migration.version)))
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "the database does not answer");
                None
            }
            Err(_) => None,
        }
    }

    /// The applied migrations. Fails if the first table is missing.
    async fn migrations(&self) -> Result<HashSet<i64>> {
        sqlx::query("SELECT revision FROM revision_log").fetch_one(&self.read_pool).await?;
        let select = "SELECT version FROM _sqlx_migrations WHERE success";
        Ok(sqlx::query_scalar(select).fetch_all(&self.read_pool).await?.into_iter().collect())
    }

    /// Whether the database can be written. If there was no write within the last second, this function writes. So it
    /// writes at most once a second, and hardly ever while edges sync.
    pub(crate) async fn can_write(&self) -> bool {
        if let Some(works) = self.record_turns.work() {
            return works;
        }
        tokio::time::timeout(AT_MOST, self.try_to_write()).await.unwrap_or_else(|_| {
            tracing::debug!("the database could not be written in time");
            self.record_turns.note(false);
            false
        })
    }

    async fn try_to_write(&self) -> bool {
        let turn = self.record_turns.take().await;
        // The write before this turn may have shown it.
        if let Some(works) = self.record_turns.work() {
            return works;
        }
        let works = self.write_nothing().await.inspect_err(|error| {
            tracing::debug!(%error, "the database cannot be written");
        });
        turn.note(works.is_ok());
        works.is_ok()
    }

    /// A commit that changes nothing but still has to reach the file. SQLite skips an update that sets a row to its own
    /// values, and a transaction that is rolled back never leaves memory.
    async fn write_nothing(&self) -> Result<()> {
        let mut transaction = Transaction::begin(&self.record_pool, self.kind.begin_record()).await?;
        let insert = "INSERT INTO sessions (id_digest, data, expires_at) VALUES ('writable', '', 0)";
        sqlx::query(insert).execute(transaction.connection()).await?;
        sqlx::query("DELETE FROM sessions WHERE id_digest = 'writable'")
            .execute(transaction.connection())
            .await?;
        transaction.commit().await
    }
}
