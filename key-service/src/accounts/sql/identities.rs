//! The SQL of identities: the accounts at OpenID providers with which users sign in.

use const_format::formatcp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AnyExecutor, FromRow, Row};

use crate::db;
use crate::db::NOW_MS;
use crate::db::rows::{RowResult, truth, with_list};
use crate::time::Timestamp;

/// A stored identity.
#[derive(Debug)]
pub(crate) struct StoredIdentity {
    /// The provider.
    pub(crate) issuer: String,
    /// The provider's name for the account.
    pub(crate) subject: String,
    /// The user; `None` if the user was deleted or the identity was unlinked.
    pub(crate) user_id: Option<String>,
    /// Whether the identity was unlinked from its user.
    pub(crate) is_unlinked: bool,
    /// When it was linked.
    pub(crate) created_at: Timestamp,
}

impl<'r> FromRow<'r, AnyRow> for StoredIdentity {
    fn from_row(row: &'r AnyRow) -> RowResult<Self> {
        Ok(StoredIdentity {
            issuer: row.try_get("issuer")?,
            subject: row.try_get("subject")?,
            user_id: row.try_get("user_id")?,
            is_unlinked: truth(row, "is_unlinked")?,
            created_at: row.try_get("created_at")?,
        })
    }
}

const COLUMNS: &str = "issuer, subject, user_id, is_unlinked, created_at";

/// The identity of a provider's account.
pub(crate) async fn find(
    connection: impl AnyExecutor<'_>,
    issuer: &str,
    subject: &str,
) -> db::Result<Option<StoredIdentity>> {
    let select = formatcp!("SELECT {COLUMNS} FROM identities WHERE issuer = $1 AND subject = $2");
    Ok(sqlx::query_as(select).bind(issuer).bind(subject).fetch_optional(connection).await?)
}

/// The identities of users, the first one first.
pub(crate) async fn of_users(
    connection: impl AnyExecutor<'_>,
    user_ids: &[&str],
) -> db::Result<Vec<StoredIdentity>> {
    let select = formatcp!(
        "SELECT {COLUMNS} FROM identities WHERE user_id IN (:list) ORDER BY created_at, issuer, subject"
    );
    let mut query = sqlx::query_as(with_list(select, user_ids.len()));
    for user_id in user_ids {
        query = query.bind(*user_id);
    }
    Ok(query.fetch_all(connection).await?)
}

/// Links a provider's account to a user. An account that has a user keeps it.
pub(crate) async fn link(
    connection: &mut AnyConnection,
    issuer: &str,
    subject: &str,
    user_id: &str,
) -> db::Result<()> {
    let insert = formatcp!(
        "INSERT INTO identities (issuer, subject, user_id, created_at) VALUES ($1, $2, $3, {NOW_MS})
            ON CONFLICT (issuer, subject) DO UPDATE
            SET user_id = excluded.user_id, created_at = excluded.created_at, is_unlinked = 0
            WHERE identities.user_id IS NULL"
    );
    sqlx::query(insert).bind(issuer).bind(subject).bind(user_id).execute(connection).await?;
    Ok(())
}

/// Unlinks a provider's account from its user.
pub(crate) async fn unlink(connection: &mut AnyConnection, issuer: &str, subject: &str) -> db::Result<()> {
    let update = "UPDATE identities SET user_id = NULL, is_unlinked = 1 WHERE issuer = $1 AND subject = $2";
    sqlx::query(update).bind(issuer).bind(subject).execute(connection).await?;
    Ok(())
}
