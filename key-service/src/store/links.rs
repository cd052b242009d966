//! The SQL of one-time links.

use protocol::KeyDigest;
use sqlx::{AnyConnection, AnyExecutor, AssertSqlSafe};

use super::NOW_MS;

/// Adds a link for a user, or for the first admin, in place of those there were.
pub(crate) async fn replace(
    connection: &mut AnyConnection,
    user_id: Option<&str>,
    digest: KeyDigest,
    lifetime_s: u32,
) -> sqlx::Result<()> {
    match user_id {
        Some(user_id) => remove(&mut *connection, user_id).await?,
        None => {
            sqlx::query("DELETE FROM one_time_links WHERE user_id IS NULL").execute(&mut *connection).await?;
        }
    }
    let insert =
        format!("INSERT INTO one_time_links (digest, user_id, expires_at) VALUES ($1, $2, {NOW_MS} + $3)");
    // Safe: the text is always the same.
    sqlx::query(AssertSqlSafe(insert))
        .bind(digest.to_hex())
        .bind(user_id)
        .bind(i64::from(lifetime_s) * 1000)
        .execute(connection)
        .await?;
    Ok(())
}

/// Ends a user's links.
pub(crate) async fn remove(connection: &mut AnyConnection, user_id: &str) -> sqlx::Result<()> {
    let delete = "DELETE FROM one_time_links WHERE user_id = $1";
    sqlx::query(delete).bind(user_id).execute(connection).await?;
    Ok(())
}

/// Whose link that is, if it works: a user's, or `Some(None)` for the first admin's.
pub(crate) async fn find(
    connection: impl AnyExecutor<'_>,
    digest: KeyDigest,
) -> sqlx::Result<Option<Option<String>>> {
    let select = format!("SELECT user_id FROM one_time_links WHERE digest = $1 AND expires_at > {NOW_MS}");
    // Safe: the text is always the same.
    sqlx::query_scalar(AssertSqlSafe(select)).bind(digest.to_hex()).fetch_optional(connection).await
}

/// The same, and it works no more.
pub(crate) async fn take(
    connection: &mut AnyConnection,
    digest: KeyDigest,
) -> sqlx::Result<Option<Option<String>>> {
    let found = find(&mut *connection, digest).await?;
    let delete = "DELETE FROM one_time_links WHERE digest = $1";
    sqlx::query(delete).bind(digest.to_hex()).execute(connection).await?;
    Ok(found)
}

/// Forgets links whose time has run out.
pub(super) async fn remove_ended(connection: impl AnyExecutor<'_>) -> sqlx::Result<()> {
    let delete = format!("DELETE FROM one_time_links WHERE expires_at <= {NOW_MS}");
    // Safe: the text is always the same.
    sqlx::query(AssertSqlSafe(delete)).execute(connection).await?;
    Ok(())
}
