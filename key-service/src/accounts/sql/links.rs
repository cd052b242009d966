//! The SQL of one-time links.

use const_format::formatcp;
use protocol::KeyDigest;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AnyExecutor, FromRow, Row};

use crate::db;
use crate::db::NOW_MS;
use crate::db::rows::{RowResult, truth};

/// The digest under which a link is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinkDigest(KeyDigest);

impl LinkDigest {
    /// The digest of a link's secret.
    pub(crate) fn of_secret(secret: &str) -> Self {
        LinkDigest(KeyDigest::of_value(secret))
    }

    fn to_hex(self) -> String {
        self.0.to_hex()
    }
}

/// A stored link.
#[derive(Debug)]
pub(crate) struct StoredLink {
    /// The link's user; `None` for the link of the first admin.
    pub(crate) user_id: Option<String>,
    /// Whether a management token created the link.
    pub(crate) is_from_token: bool,
    /// The admin or the management token that created the link; `None` for the command line and the service.
    pub(crate) created_by_id: Option<String>,
}

impl<'r> FromRow<'r, AnyRow> for StoredLink {
    fn from_row(row: &'r AnyRow) -> RowResult<Self> {
        Ok(StoredLink {
            user_id: row.try_get("user_id")?,
            is_from_token: truth(row, "is_from_token")?,
            created_by_id: row.try_get("created_by_id")?,
        })
    }
}

/// Adds a link, and removes the earlier ones of the same user or of the first admin.
pub(crate) async fn replace(
    connection: &mut AnyConnection,
    link: &StoredLink,
    digest: LinkDigest,
    lifetime_s: u32,
) -> db::Result<()> {
    match &link.user_id {
        Some(user_id) => remove(&mut *connection, user_id).await?,
        None => {
            sqlx::query("DELETE FROM one_time_links WHERE user_id IS NULL").execute(&mut *connection).await?;
        }
    }
    let insert = formatcp!(
        "INSERT INTO one_time_links (digest, user_id, is_from_token, created_by_id, expires_at)
            VALUES ($1, $2, $3, $4, {NOW_MS} + $5)"
    );
    sqlx::query(insert)
        .bind(digest.to_hex())
        .bind(link.user_id.as_deref())
        .bind(i64::from(link.is_from_token))
        .bind(link.created_by_id.as_deref())
        .bind(i64::from(lifetime_s) * 1000)
        .execute(connection)
        .await?;
    Ok(())
}

/// Removes a user's links.
pub(crate) async fn remove(connection: &mut AnyConnection, user_id: &str) -> db::Result<()> {
    let delete = "DELETE FROM one_time_links WHERE user_id = $1";
    sqlx::query(delete).bind(user_id).execute(connection).await?;
    Ok(())
}

/// Removes the links that an admin or a management token created.
pub(crate) async fn remove_made_by(connection: &mut AnyConnection, maker_id: &str) -> db::Result<()> {
    let delete = "DELETE FROM one_time_links WHERE created_by_id = $1";
    sqlx::query(delete).bind(maker_id).execute(connection).await?;
    Ok(())
}

/// The link with this digest, if it is valid. A link that a token created is valid no longer than the token.
pub(crate) async fn find(
    connection: impl AnyExecutor<'_>,
    digest: LinkDigest,
) -> db::Result<Option<StoredLink>> {
    let select = formatcp!(
        "SELECT user_id, is_from_token, created_by_id FROM one_time_links l
            WHERE digest = $1 AND expires_at > {NOW_MS} AND NOT EXISTS (
                SELECT 1 FROM management_tokens t WHERE t.id = l.created_by_id AND t.expires_at <= {NOW_MS})"
    );
    Ok(sqlx::query_as(select).bind(digest.to_hex()).fetch_optional(connection).await?)
}

/// Takes the link with this digest, if it is valid, and removes it.
pub(crate) async fn take(
    connection: &mut AnyConnection,
    digest: LinkDigest,
) -> db::Result<Option<StoredLink>> {
    let found = find(&mut *connection, digest).await?;
    let delete = "DELETE FROM one_time_links WHERE digest = $1";
    sqlx::query(delete).bind(digest.to_hex()).execute(connection).await?;
    Ok(found)
}

/// Removes expired links.
pub(crate) async fn remove_ended(connection: impl AnyExecutor<'_>) -> db::Result<()> {
    let delete = formatcp!("DELETE FROM one_time_links WHERE expires_at <= {NOW_MS}");
    sqlx::query(delete).execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[tokio::test]
    async fn ended_links_are_forgotten_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let store = testing::store(&folder).await;
        let insert = formatcp!(
            "INSERT INTO one_time_links (digest, user_id, is_from_token, created_by_id, expires_at)
            VALUES ('ended', NULL, 0, NULL, {NOW_MS}), ('works', NULL, 0, NULL, {NOW_MS} + 60000)"
        );
        sqlx::query(insert).execute(store.pool()).await.unwrap();
        remove_ended(store.pool()).await.unwrap();
        let select = "SELECT digest FROM one_time_links";
        let left: Vec<String> = sqlx::query_scalar(select).fetch_all(store.pool()).await.unwrap();
        assert_eq!(left, ["works"]);
    }
}
