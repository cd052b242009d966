//! The revision: the counter that puts all changes of verdicts in one order.

use sqlx::AnyExecutor;
use uuid::Uuid;

/// Gives a new database its log id, which names the history that its revisions belong to.
pub(crate) async fn start_log(connection: impl AnyExecutor<'_>) -> sqlx::Result<()> {
    let insert = "INSERT INTO revision_log (only_row, log_id, revision) VALUES (1, $1, 0)
        ON CONFLICT (only_row) DO NOTHING";
    sqlx::query(insert).bind(Uuid::new_v4().to_string()).execute(connection).await?;
    Ok(())
}

/// Raises the revision and returns it. Until the transaction ends, nobody else can.
pub(crate) async fn raise(connection: impl AnyExecutor<'_>) -> sqlx::Result<i64> {
    let update = "UPDATE revision_log SET revision = revision + 1 RETURNING revision";
    sqlx::query_scalar(update).fetch_one(connection).await
}

/// The revision of the latest change.
pub(crate) async fn current(connection: impl AnyExecutor<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT revision FROM revision_log").fetch_one(connection).await
}
