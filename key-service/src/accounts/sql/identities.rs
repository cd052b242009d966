//! The SQL of identities: the accounts at OpenID providers with which users sign in.

use const_format::formatcp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AnyExecutor, FromRow, Row};

use crate::db;
use crate::db::NOW_MS;
use crate::db::rows::RowResult;
use crate::time::Timestamp;

/// A stored identity.
#[derive(Debug)]
pub(crate) struct StoredIdentity {
    /// The provider.
    pub(crate) issuer: String,
    /// The user; `None` if the user was deleted.
    pub(crate) user_id: Option<String>,
    /// When the user signed in with it first.
    pub(crate) created_at: Timestamp,
}

impl<'r> FromRow<'r, AnyRow> for StoredIdentity {
    fn from_row(row: &'r AnyRow) -> RowResult<Self> {
        Ok(StoredIdentity {
            issuer: row.try_get("issuer")?,
            user_id: row.try_get("user_id")?,
            created_at: row.try_get("created_at")?,
        })
    }
}

const COLUMNS: &str = "issuer, user_id, created_at";

/// The identity of a provider's account.
pub(crate) async fn find(
    connection: impl AnyExecutor<'_>,
    issuer: &str,
    subject: &str,
) -> db::Result<Option<StoredIdentity>> {
    let select = formatcp!("SELECT {COLUMNS} FROM identities WHERE issuer = $1 AND subject = $2");
    Ok(sqlx::query_as(select).bind(issuer).bind(subject).fetch_optional(connection).await?)
}

/// The identities of a user, the first one first.
pub(crate) async fn of_user(
    connection: impl AnyExecutor<'_>,
    user_id: &str,
) -> db::Result<Vec<StoredIdentity>> {
    let select = formatcp!("SELECT {COLUMNS} FROM identities WHERE user_id = $1 ORDER BY created_at, issuer");
    Ok(sqlx::query_as(select).bind(user_id).fetch_all(connection).await?)
}

/// Links a provider's account to a user. An earlier link to a user who was deleted is replaced.
pub(crate) async fn link(
    connection: &mut AnyConnection,
    issuer: &str,
    subject: &str,
    user_id: &str,
) -> db::Result<()> {
    let insert = formatcp!(
        "INSERT INTO identities (issuer, subject, user_id, created_at) VALUES ($1, $2, $3, {NOW_MS})
            ON CONFLICT (issuer, subject) DO UPDATE SET user_id = excluded.user_id, created_at = excluded.created_at
            WHERE identities.user_id IS NULL"
    );
    sqlx::query(insert).bind(issuer).bind(subject).bind(user_id).execute(connection).await?;
    Ok(())
}
