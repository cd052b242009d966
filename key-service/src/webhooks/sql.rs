//! The SQL of the messages that wait for delivery to the webhook.

use std::time::Duration;

use const_format::formatcp;
use sqlx::{AnyConnection, Row};

use crate::db;
use crate::db::{Database, NOW_MS};

/// A message and its delivery attempts.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// The same in every attempt.
    pub(crate) id: String,
    /// The name of the event.
    pub(crate) kind: String,
    /// The body to send.
    pub(crate) payload: String,
    /// The number of attempts that have begun, with this one.
    pub(crate) attempts: u32,
}

/// Stores a message that is due at once.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    id: &str,
    kind: &str,
    payload: &str,
) -> db::Result<()> {
    let insert = formatcp!(
        "INSERT INTO webhook_deliveries (id, kind, payload, created_at, attempts, next_attempt_at)
        VALUES ($1, $2, $3, {NOW_MS}, 0, {NOW_MS})"
    );
    sqlx::query(insert).bind(id).bind(kind).bind(payload).execute(connection).await?;
    Ok(())
}

/// The message that has been due longest, if any. Its next attempt is scheduled before this one begins. So a crash neither
/// loses the message nor repeats it at once, and no other process takes it too.
pub(crate) async fn take(
    database: &Database,
    wait_before: impl Fn(u32) -> Duration,
) -> db::Result<Option<Delivery>> {
    let select = formatcp!(
        "SELECT id, kind, payload, attempts FROM webhook_deliveries WHERE next_attempt_at <= {NOW_MS}
        ORDER BY next_attempt_at LIMIT 1"
    );
    let row = sqlx::query(select).fetch_optional(database.pool()).await?;
    let Some(row) = row else { return Ok(None) };
    let before: i64 = row.try_get("attempts")?;
    let delivery = Delivery {
        id: row.try_get("id")?,
        kind: row.try_get("kind")?,
        payload: row.try_get("payload")?,
        attempts: u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1),
    };
    let wait_ms = i64::try_from(wait_before(delivery.attempts + 1).as_millis()).unwrap_or(i64::MAX / 2);
    let update = formatcp!(
        "UPDATE webhook_deliveries SET attempts = attempts + 1, next_attempt_at = {NOW_MS} + $1
        WHERE id = $2 AND attempts = $3"
    );
    let mut write = database.begin_write().await?;
    let done =
        sqlx::query(update).bind(wait_ms).bind(&delivery.id).bind(before).execute(write.connection()).await?;
    write.commit().await?;
    Ok((done.rows_affected() == 1).then_some(delivery))
}

/// Removes a message that is delivered or given up.
pub(crate) async fn remove(database: &Database, id: &str) -> db::Result<()> {
    let mut write = database.begin_write().await?;
    let delete = "DELETE FROM webhook_deliveries WHERE id = $1";
    sqlx::query(delete).bind(id).execute(write.connection()).await?;
    write.commit().await
}

/// Removes messages older than this, and returns their number.
pub(crate) async fn remove_older(connection: &mut AnyConnection, than: Duration) -> db::Result<u64> {
    let delete = formatcp!("DELETE FROM webhook_deliveries WHERE created_at < {NOW_MS} - $1");
    let ms = i64::try_from(than.as_millis()).unwrap_or(i64::MAX / 2);
    Ok(sqlx::query(delete).bind(ms).execute(connection).await?.rows_affected())
}
