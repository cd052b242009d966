//! The SQL of personal API keys and of the digests of their values.

use protocol::KeyDigest;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AnyExecutor, AssertSqlSafe, FromRow, Row};

use super::{Change, NOW_MS, scopes};
use crate::clock::Timestamp;
use crate::keys::{Generated, Key};

impl<'r> FromRow<'r, AnyRow> for Key {
    fn from_row(row: &'r AnyRow) -> sqlx::Result<Self> {
        Ok(Key {
            id: row.try_get("id")?,
            user_id: row.try_get("user_id")?,
            label: row.try_get("label")?,
            mask_value: row.try_get("mask_value")?,
            scopes: scopes(row, "scopes")?,
            created_at: row.try_get("created_at")?,
            last_used_at: row.try_get("last_used_at")?,
            last_rolled_at: row.try_get("last_rolled_at")?,
            expires_at: row.try_get("expires_at")?,
        })
    }
}

/// The database's clock.
pub(crate) async fn now(connection: impl AnyExecutor<'_>) -> sqlx::Result<Timestamp> {
    // Safe: the text is always the same.
    sqlx::query_scalar(AssertSqlSafe(format!("SELECT {NOW_MS}"))).fetch_one(connection).await
}

/// All keys, newest first.
pub(crate) async fn list_all(connection: impl AnyExecutor<'_>) -> sqlx::Result<Vec<Key>> {
    sqlx::query_as("SELECT * FROM api_keys ORDER BY created_at DESC, id DESC").fetch_all(connection).await
}

/// A user's keys, newest first.
pub(crate) async fn list(connection: impl AnyExecutor<'_>, user_id: &str) -> sqlx::Result<Vec<Key>> {
    sqlx::query_as("SELECT * FROM api_keys WHERE user_id = $1 ORDER BY created_at DESC, id DESC")
        .bind(user_id)
        .fetch_all(connection)
        .await
}

/// The key with that id.
pub(crate) async fn find(connection: impl AnyExecutor<'_>, id: &str) -> sqlx::Result<Option<Key>> {
    sqlx::query_as("SELECT * FROM api_keys WHERE id = $1").bind(id).fetch_optional(connection).await
}

/// The key that a value with that digest is, or was until its time ran out.
pub(crate) async fn find_by_digest(
    connection: impl AnyExecutor<'_>,
    digest: KeyDigest,
) -> sqlx::Result<Option<Key>> {
    let select = "SELECT k.* FROM key_digests d JOIN api_keys k ON k.id = d.key_id WHERE d.digest = $1";
    sqlx::query_as(select).bind(digest.to_hex()).fetch_optional(connection).await
}

/// Adds a key, which alters no verdict while it has no value.
pub(crate) async fn insert(connection: impl AnyExecutor<'_>, key: &Key) -> sqlx::Result<()> {
    let insert = "INSERT INTO api_keys
        (id, user_id, label, mask_value, scopes, created_at, last_used_at, last_rolled_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    sqlx::query(insert)
        .bind(&key.id)
        .bind(&key.user_id)
        .bind(&key.label)
        .bind(&key.mask_value)
        .bind(key.scopes.to_string())
        .bind(key.created_at)
        .bind(key.last_used_at)
        .bind(key.last_rolled_at)
        .bind(key.expires_at)
        .execute(connection)
        .await?;
    Ok(())
}

/// Gives a user's key another label; `false` if the user has no such key.
pub(crate) async fn set_label(
    connection: impl AnyExecutor<'_>,
    user_id: &str,
    id: &str,
    label: &str,
) -> sqlx::Result<bool> {
    let update = "UPDATE api_keys SET label = $1 WHERE id = $2 AND user_id = $3";
    let done = sqlx::query(update).bind(label).bind(id).bind(user_id).execute(connection).await?;
    Ok(done.rows_affected() == 1)
}

/// Writes a key's fields that can change.
pub(crate) async fn update(change: &mut Change, key: &Key) -> sqlx::Result<()> {
    let update = "UPDATE api_keys
        SET label = $1, mask_value = $2, scopes = $3, last_rolled_at = $4, expires_at = $5 WHERE id = $6";
    sqlx::query(update)
        .bind(&key.label)
        .bind(&key.mask_value)
        .bind(key.scopes.to_string())
        .bind(key.last_rolled_at)
        .bind(key.expires_at)
        .bind(&key.id)
        .execute(change.connection())
        .await?;
    Ok(())
}

/// Removes a key and every value of it.
pub(crate) async fn delete(change: &mut Change, id: &str) -> sqlx::Result<()> {
    remove_digests(change, id).await?;
    sqlx::query("DELETE FROM api_keys WHERE id = $1").bind(id).execute(change.connection()).await?;
    Ok(())
}

/// Makes a new value the key's current one. Nobody can have asked for it, so that alters no verdict.
pub(crate) async fn add_generated(
    connection: &mut AnyConnection,
    key_id: &str,
    value: &Generated,
) -> sqlx::Result<()> {
    if add_digest(connection, key_id, value.digest()).await? { Ok(()) } else { Err(sqlx::Error::RowNotFound) }
}

/// Makes a value that comes from elsewhere the key's current one; `false` if some key has it already.
pub(crate) async fn take_over(change: &mut Change, key_id: &str, digest: KeyDigest) -> sqlx::Result<bool> {
    add_digest(change.connection(), key_id, digest).await
}

async fn add_digest(connection: &mut AnyConnection, key_id: &str, digest: KeyDigest) -> sqlx::Result<bool> {
    let insert = "INSERT INTO key_digests (digest, key_id, expires_at) VALUES ($1, $2, NULL)
        ON CONFLICT (digest) DO NOTHING";
    let done = sqlx::query(insert).bind(digest.to_hex()).bind(key_id).execute(connection).await?;
    Ok(done.rows_affected() == 1)
}

/// Ends every value of a key at once.
pub(crate) async fn remove_digests(change: &mut Change, key_id: &str) -> sqlx::Result<()> {
    let delete = "DELETE FROM key_digests WHERE key_id = $1";
    sqlx::query(delete).bind(key_id).execute(change.connection()).await?;
    Ok(())
}

/// Lets a key's current value work until `end`, and drops the values whose time ran out before `now`. A value
/// that an earlier roll left working keeps the end it was given.
pub(crate) async fn retire_current_digest(
    change: &mut Change,
    key_id: &str,
    end: Timestamp,
    now: Timestamp,
) -> sqlx::Result<()> {
    let delete = "DELETE FROM key_digests WHERE key_id = $1 AND expires_at <= $2";
    sqlx::query(delete).bind(key_id).bind(now).execute(change.connection()).await?;
    let update = "UPDATE key_digests SET expires_at = $1 WHERE key_id = $2 AND expires_at IS NULL";
    sqlx::query(update).bind(end).bind(key_id).execute(change.connection()).await?;
    Ok(())
}
