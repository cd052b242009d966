//! The SQL of messages to the operator's webhook.

use serde_json::Value;
use sqlx::{AnyConnection, AssertSqlSafe};
use uuid::Uuid;

use super::NOW_MS;

/// Adds a message, to be delivered once the transaction is committed.
pub(crate) async fn enqueue(connection: &mut AnyConnection, kind: &str, payload: &Value) -> sqlx::Result<()> {
    let insert = format!(
        "INSERT INTO webhook_deliveries (id, kind, payload, created_at, attempts, next_attempt_at)
        VALUES ($1, $2, $3, {NOW_MS}, 0, {NOW_MS})"
    );
    // Safe: the text is always the same.
    sqlx::query(AssertSqlSafe(insert))
        .bind(Uuid::now_v7().to_string())
        .bind(kind)
        .bind(payload.to_string())
        .execute(connection)
        .await?;
    Ok(())
}
